"""The two ends of a move: a log in a folder, and one on PostgreSQL.

Each can be the end that is left and the end that is gone to. A log that comes back finds the one
that it left, as far as it was then, and goes on from there.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from counterfoil.cluster import state
from counterfoil.cluster.address import parse_address
from counterfoil.cluster.blobs import ObjectBlobs
from counterfoil.cluster.database import Database
from counterfoil.cluster.edge import Edge
from counterfoil.cluster.engine import Cluster, open_objects
from counterfoil.cluster.keeping import DatabaseKeeping
from counterfoil.cluster.objects import CHECKPOINT_PATH, MAX_CHECKPOINT_BYTES
from counterfoil.cluster.schema import migrate
from counterfoil.cluster.tiletree import Head
from counterfoil.core.checkpoint import LogKeys
from counterfoil.core.merkle import leaf_hashes
from counterfoil.errors import ConflictError, FormatError
from counterfoil.ledger.blobs import Blobs, FolderBlobs
from counterfoil.ledger.disk import Disk, as_path, is_url
from counterfoil.ledger.identity import IDENTITY_FILE, read_identity, write_identity
from counterfoil.ledger.keeping import Keeping
from counterfoil.ledger.log import Log
from counterfoil.ledger.moved import (
    forget_moved,
    read_moved,
    remember_moved,
    remove_moved,
    write_moved,
)
from counterfoil.ledger.places import Places
from counterfoil.ledger.treestore import TreeStore

_USER = re.compile(r"(?<=^postgresql)://[^/@?]*@")


class Held(NamedTuple):
    """What log an end holds.

    Args:
        keys: The log's.
        moved_to: Where it went; empty if it is here.
    """

    keys: LogKeys
    moved_to: str


class End(Protocol):
    """A place that a log is moved from or to.

    A move calls, of the end it goes to: `begin`, `take` for all further entries in order, `finish`;
    each may be done again after a kill. Until `finish` returns, nobody appends there.
    """

    name: str  # to write down; no password in it

    def held(self) -> Held | None:
        """What log is here, live or left; None if there is none."""

    def open(self) -> Log:
        """Open the log that is here."""

    def freeze(self, to: str) -> None:
        """Mark the log as moved, once all that was acknowledged is published."""

    def private(self, origin: str) -> Path:
        """Where this machine keeps what goes with the log: its policy, stamps and anchors."""

    def keeping(self) -> Path | Keeping:
        """Where all that is private of the log is: its folder, or its database."""

    def begin(self, origin: str) -> int:
        """Prepare to take entries of a log; returns how many are here already.

        Raises:
            ConflictError: the tiles of another one are here.
        """

    def rehearse(self, checkpoint: bytes) -> None:
        """Write what can be written before the other place is left: rather refused now than then.

        Raises:
            UnavailableError: the place refuses.
        """

    def blobs(self) -> Blobs:
        """What lies beside the log."""

    def take(self, entries: Sequence[bytes]) -> None:
        """Append entries that nobody sees yet."""

    def root(self) -> bytes:
        """The root over all entries taken."""

    def finish(self, keys: LogKeys, head: Head) -> None:
        """Show the log, under the keys and the checkpoint that it had, and let others append."""

    def close(self) -> None:
        """Release everything."""


class FolderEnd:
    """A log in a folder."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder, self._disk = folder, disk
        self.name = str(folder.absolute())
        self._tree: TreeStore | None = None

    def held(self) -> Held | None:
        """Read `ledger.json`, and the mark beside it."""
        if not (self._folder / IDENTITY_FILE).exists():
            return None
        return Held(read_identity(self._folder), read_moved(self._folder))

    def open(self) -> Log:
        """Open it."""
        return Log(self._folder, disk=self._disk)

    def freeze(self, to: str) -> None:
        """Become the one writer, which finishes what was begun, and leave the mark."""
        with self.open() as log:
            writer = log.engine.write()
            try:
                write_moved(self._folder, to, self._disk)
            finally:
                writer.close()

    def private(self, origin: str) -> Path:
        """The folder itself."""
        del origin
        return self._folder

    def keeping(self) -> Path:
        """The folder itself."""
        return self._folder

    def begin(self, origin: str) -> int:
        """Open the tree for writing, made if it is missing."""
        del origin
        tree = self._folder / "log"
        if not (tree / "tree.json").exists():
            TreeStore.create(tree, disk=self._disk).close()
        self._tree = TreeStore.open(tree, write=True, disk=self._disk)
        return self._tree.size

    def rehearse(self, checkpoint: bytes) -> None:
        """Nothing more: entries were written here already."""
        del checkpoint

    def blobs(self) -> Blobs:
        """The folder `blobs`."""
        return FolderBlobs(self._folder / "blobs", self._disk)

    def take(self, entries: Sequence[bytes]) -> None:
        """Commit them; without `ledger.json`, or beside a mark, they are no ledger yet."""
        self._require_tree().commit(entries, leaf_hashes(entries), lambda _size, _root: b"")

    def root(self) -> bytes:
        """Of the tree."""
        return self._require_tree().root()

    def finish(self, keys: LogKeys, head: Head) -> None:
        """Put the checkpoint in place; `ledger.json` comes, or the mark goes, last."""
        tree = self._require_tree()
        tree.publish(head.checkpoint)
        self.close()
        if not (self._folder / IDENTITY_FILE).exists() or read_identity(self._folder) != keys:
            write_identity(self._folder, keys, self._disk)
        forget_moved(Places(keys.name), self._disk)
        remove_moved(self._folder, self._disk)

    def close(self) -> None:
        """Close the tree."""
        if self._tree is not None:
            self._tree.close()
            self._tree = None

    def _require_tree(self) -> TreeStore:
        assert self._tree is not None, "a move begins with `begin`"  # noqa: S101 our own bug
        return self._tree


class SharedEnd:
    """A log on PostgreSQL and an object store."""

    def __init__(self, url: str, disk: Disk) -> None:
        self._url, self._disk = url, disk
        address = parse_address(url)
        self.name = address.url
        self._database = Database(address)
        self._objects = open_objects(address, disk)
        self._edge = Edge.empty()
        self._left: set[str] = set()  # folders of partial tiles that this edge began with
        self._is_new = True

    def held(self) -> Held | None:
        """Read the log's row; the tables are made if they are missing."""
        migrate(self._database)
        with self._database.transaction("looking for a log") as connection:
            if not state.has_log(connection):
                return None
            keys = state.read_keys(self._database, connection)
            return Held(keys, state.read_moved(connection))

    def open(self) -> Log:
        """Open it."""
        engine = Cluster(self._url, self._disk)
        return Log(engine.folder, engine=engine)

    def freeze(self, to: str) -> None:
        """Mark it when all that was queued is published; a writer of ours sees to that."""
        with (
            contextlib.closing(Cluster(self._url, self._disk).write()) as writer,
            writer.alone() as (connection, _),
        ):
            state.mark_moved(connection, to)

    def private(self, origin: str) -> Path:
        """This machine's folder for the log."""
        return Places(origin).cluster

    def keeping(self) -> DatabaseKeeping:
        """The database."""
        return DatabaseKeeping(self._url)

    def begin(self, origin: str) -> int:
        """Take up the edge of the log that was here, if one was."""
        (shown,) = self._objects.get([CHECKPOINT_PATH], MAX_CHECKPOINT_BYTES)
        if shown is not None and shown.split(b"\n", 1)[0] != origin.encode():
            raise ConflictError(
                f"{self._objects.name} holds the tiles of another log",
                hint="Name another place for them: tiles=…",
            )
        self._is_new = self.held() is None
        if not self._is_new:
            with contextlib.closing(Cluster(self._url, self._disk).read()) as tree:
                self._edge = Edge.of(tree)
            self._left = _partial_folders(self._edge)
        return self._edge.size

    def rehearse(self, checkpoint: bytes) -> None:
        """Put the tiles of the edge as it is, and the checkpoint, which is true of them."""
        self._objects.create(self._edge.open_tiles())
        self._left |= _partial_folders(self._edge)
        self._objects.replace(CHECKPOINT_PATH, checkpoint)

    def blobs(self) -> Blobs:
        """Those in the object store."""
        return ObjectBlobs(self._objects)

    def take(self, entries: Sequence[bytes]) -> None:
        """Put full tiles and bundles; what is not full yet follows at the end."""
        growth = self._edge.grow(entries)
        full = {path: data for path, data in growth.objects.items() if ".p/" not in path}
        self._objects.create(full)
        self._edge = growth.edge

    def root(self) -> bytes:
        """Of the edge."""
        return self._edge.frontier.root()

    def finish(self, keys: LogKeys, head: Head) -> None:
        """Put the partial tiles; then the rows, in one transaction."""
        # Before anybody can append here: from then on an older copy of a folder would fork the log.
        remember_moved(Places(keys.name), self.name, self._disk)
        self._objects.create(self._edge.open_tiles())
        self._objects.replace(CHECKPOINT_PATH, head.checkpoint)
        with self._database.transaction("taking over the log") as connection:
            if self._is_new:
                state.create_rows(connection, keys, head)
            else:
                state.resume(connection, keys, head)
        # If we stop here, partial tiles stay beside full ones, which harms nobody.
        for outgrown in sorted(self._left - _partial_folders(self._edge)):
            self._objects.remove_below(outgrown)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()


def _partial_folders(edge: Edge) -> set[str]:
    """Name what the partial tiles of an edge lie below: `tile/0/001.p/`."""
    return {path[: path.rindex("/") + 1] for path in edge.open_tiles()}


def end_at(where: str | Path, disk: Disk) -> FolderEnd | SharedEnd:
    """Give the end that a user named."""
    if isinstance(where, str) and is_url(where):
        return SharedEnd(where, disk)
    return FolderEnd(as_path(where), disk)


def is_same_place(a: str, b: str) -> bool:
    """Whether two names, as ends have them, are of one place, whichever user connects to it."""
    return _USER.sub("://", a, count=1) == _USER.sub("://", b, count=1)


def require_same(left: Held | None, gone_to: Held | None, a: End, b: End) -> Held:
    """Check that a log can be moved from one end to the other.

    Raises:
        ConflictError: another one is where it is to go, or it was moved elsewhere.
        FormatError: there is none, or both places are one.
    """
    if is_same_place(a.name, b.name):
        raise FormatError("a log cannot be moved to where it is", hint="Name another place.")
    if left is None:
        raise FormatError(f"there is no ledger in {a.name}", hint="Name where it is now first.")
    if left.moved_to and not is_same_place(left.moved_to, b.name):
        raise ConflictError(
            f"the log in {a.name} was moved to {left.moved_to}",
            hint="Move it from there.",
        )
    # The place that it left has the keys of that time.
    if gone_to is not None and not (
        left.keys.begin_with(gone_to.keys) or gone_to.keys.begin_with(left.keys)
    ):
        raise ConflictError(
            f"{b.name} holds another log, {gone_to.keys.name}", hint="Name another place."
        )
    if gone_to is not None and not gone_to.moved_to and not left.moved_to:
        raise ConflictError(
            f"{a.name} and {b.name} both hold {left.keys.name}, and neither was left",
            hint="One is a copy; find out which went on before you do anything.",
        )
    return left
