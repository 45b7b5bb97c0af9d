"""The engine that outgrows one machine: PostgreSQL coordinates, an object store serves.

    tables in a schema of PostgreSQL    see `migrations`
    tile/…, checkpoint                  in the object store: a tlog-tiles site
    blobs/ab/cdef…                      there too: statements too large for an entry

Each machine that appends needs the log's key, and keeps what is private in a folder of its own:
see `Places.cluster`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from counterfoil.cluster import state
from counterfoil.cluster.address import Address, parse_address
from counterfoil.cluster.blobs import ObjectBlobs
from counterfoil.cluster.database import Connection, Database
from counterfoil.cluster.index import SharedIndex
from counterfoil.cluster.keeping import DatabaseKeeping
from counterfoil.cluster.lost import read_edge, read_shown, require_newest, require_reached
from counterfoil.cluster.objects import FolderObjects, Objects
from counterfoil.cluster.remote import RemoteObjects
from counterfoil.cluster.schema import is_outdated, migrate, no_ledger
from counterfoil.cluster.tiletree import Head, TileTree
from counterfoil.cluster.writer import ClusterWriter
from counterfoil.core.checkpoint import LogKeys
from counterfoil.core.keys import Signer
from counterfoil.ledger.countersign import Witnesses
from counterfoil.ledger.disk import Disk, reported
from counterfoil.ledger.engine import Writers
from counterfoil.ledger.index import Read, Resolve, Root
from counterfoil.ledger.log import Log
from counterfoil.ledger.moved import require_here
from counterfoil.ledger.nextkey import load_log_key
from counterfoil.ledger.places import Places


class Cluster:
    """The log at an address.

    Args:
        url: `postgresql://…?tiles=…`, see `address`.
        disk: How to write and sync, where the tiles are in a folder.

    Raises:
        FormatError: the URL is no such address, or there is no ledger.
        UnavailableError: the database does not answer.
    """

    def __init__(self, url: str, disk: Disk) -> None:
        self.address = parse_address(url)
        self.name = self.address.name
        self.is_shared = True
        self.writers = Writers.ANY
        self.objects = open_objects(self.address, disk)
        self.blobs = ObjectBlobs(self.objects)
        self.keeping = DatabaseKeeping(url)
        database = Database(self.address)
        try:
            with database.transaction("opening the ledger") as connection:
                old = is_outdated(database, connection)
            if old:
                migrate(database)
            with database.transaction("opening the ledger") as connection:
                if not state.has_log(connection):
                    raise no_ledger(database)
                keys = state.read_keys(database, connection)
        finally:
            database.close()
        self._disk = disk
        self._places = Places(keys.name)
        self.witnesses = Witnesses(keys, self._places)
        with reported(f"cannot make {self.folder}"):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def folder(self) -> Path:
        """Where this machine keeps what is private to it."""
        return self._places.cluster

    def shared_index(self, read: Read, resolve: Resolve, root: Root) -> SharedIndex:
        """Open the index in the database."""
        return SharedIndex(Database(self.address), read, resolve, root)

    @property
    def keys(self) -> LogKeys:
        """The log's, as the database says now."""
        with self._asking("looking whose log this is") as (database, connection):
            return state.read_keys(database, connection)

    def moved_to(self) -> str:
        """Ask the database."""
        with self._asking("looking where the log is") as (_, connection):
            return state.read_moved(connection)

    def shown(self) -> bytes:
        """Read the checkpoint in the object store."""
        return read_shown(self.objects)

    def reached(self) -> int:
        """Ask the database."""
        with self._asking("looking how far the log is") as (database, connection):
            # Published beyond what is committed was something before the database was set back.
            committed = state.read_committed(connection, database)
            return min(committed.size, state.read_news(connection, database).head.size)

    def require_writable(self) -> None:
        """Refuse where the log was moved, or has ended."""
        with self._asking("looking where the log is") as (database, connection):
            state.require_open(connection, database)

    def read(self) -> TileTree:
        """Open what is published, for reading."""
        return self._open(Database(self.address))

    def write(self) -> ClusterWriter:
        """Become a writer, one of any number."""
        database = Database(self.address)
        try:
            with database.transaction("opening the ledger for writing") as connection:
                require_here(self.address.url, state.read_moved(connection))
                self.witnesses.log_keys = keys = state.read_keys(database, connection)
            # Before the database is asked how far it is, as others go on meanwhile; and before
            # anything is queued, as who leads elsewhere may not know what is known here.
            shown, remembered = read_shown(self.objects), self.witnesses.remembered()
            tree = self._open(database)
            with database.transaction("opening the ledger for writing") as connection:
                read_edge(connection, self.objects, tree)
                committed = state.read_committed(connection, database)
            require_reached(tree.head, committed, self.name, keys)
            require_newest(shown, committed, tree, keys)
            self.witnesses.require_kept(tree, committed.checkpoint, remembered)
            return ClusterWriter(database, self.objects, tree, self._find_signer, self.witnesses)
        except BaseException:
            database.close()
            raise

    def _find_signer(self, keys: LogKeys) -> Signer:
        return load_log_key(self._places, keys, self._disk)

    @contextlib.contextmanager
    def _asking(self, doing: str) -> Iterator[tuple[Database, Connection]]:
        """Ask the database something, once."""
        database = Database(self.address)
        try:
            with database.transaction(doing) as connection:
                yield database, connection
        finally:
            database.close()

    def _open(self, database: Database) -> TileTree:
        def read_head() -> Head:
            with database.transaction("reading what is published") as connection:
                return state.read_news(connection, database).head

        def read_unpublished() -> Head | None:
            with database.transaction("reading what waits") as connection:
                return state.read_unpublished(connection)

        tree = TileTree(
            self.address.name, self.objects, read_head, read_unpublished, database.close
        )
        try:
            tree.refresh()
        except BaseException:
            database.close()
            raise
        return tree


def open_log(url: str) -> Log:
    """Open the log at an address, as `Log` opens one in a folder."""
    engine = Cluster(url, Disk())
    return Log(engine.folder, engine=engine)


def open_objects(address: Address, disk: Disk) -> Objects:
    """Open the object store of an address."""
    if address.tiles.startswith("file://"):
        return FolderObjects(Path(address.tiles.removeprefix("file://")), disk)
    return RemoteObjects(address.tiles)
