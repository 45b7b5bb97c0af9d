"""The private side of streams, in the database of a log: rows that the vault has encrypted.

    streams          one for each: how far it is, and the fence of its writer
    stream_records   leaf and body of each record
    stream_slots     its key, wrapped; all of them are replaced when the epoch ends
    stream_nodes     hashes above the leaves
    stream_tags      which records are about whom (see `streamtags`)
    stream_notes     the epoch, and erasures under way

What is erased or replaced here lives on for a time: in rows that no transaction sees any more, in
the write-ahead log, in replicas and backups. So the vault ends the epoch with each erasure: no key
is left that any of these copies opens under.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from psycopg import sql

from counterfoil.cluster.address import parse_address
from counterfoil.cluster.database import Connection, Database
from counterfoil.cluster.streamsession import StreamSession
from counterfoil.cluster.streamtags import StreamTags
from counterfoil.cluster.streamtree import DatabaseTree
from counterfoil.core.merkle import EMPTY_ROOT
from counterfoil.errors import ConflictError

_TABLES = ("stream_records", "stream_slots", "stream_nodes", "stream_tags", "stream_notes")
_REMOVED_AT_ONCE = 10_000  # rows of one query


class DatabaseStreams:
    """The streams of the log at an address.

    Args:
        url: The log's.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def ids(self) -> list[bytes]:
        """List them."""
        with self.transaction("looking for streams") as connection:
            rows = connection.execute(
                "SELECT id FROM streams WHERE id IS NOT NULL ORDER BY number", binary=True
            )
            return [bytes(row[0]) for row in rows]

    def with_note(self, *names: str) -> list[bytes]:
        """List those with one of these notes."""
        with self.transaction("looking for streams") as connection:
            rows = connection.execute(
                "SELECT DISTINCT id FROM streams, stream_notes"
                " WHERE stream = number AND name = ANY(%s) AND id IS NOT NULL",
                ([*names],),
                binary=True,
            )
            return [bytes(row[0]) for row in rows]

    def place(self, stream: bytes) -> DatabasePlace:
        """Name the rows of a stream."""
        return DatabasePlace(self, stream)

    @contextlib.contextmanager
    def transaction(self, doing: str) -> Iterator[Connection]:
        """Connect for one transaction."""
        database = Database(parse_address(self.url))
        try:
            with database.transaction(doing) as connection:
                yield connection
        finally:
            database.close()


class DatabasePlace:
    """One stream in the database.

    Args:
        streams: All of its log.
        stream: Its id.
    """

    keeps_copies = True

    def __init__(self, streams: DatabaseStreams, stream: bytes) -> None:
        self._streams = streams
        self._stream = stream
        self.address = f"{streams.url}#{stream.hex()}"
        self._where = parse_address(streams.url)
        self.name = f"{self._where.name}, stream {stream.hex()[:12]}…"

    def exists(self) -> bool:
        """Whether it has a row."""
        with self._streams.transaction("looking for a stream") as connection:
            found = connection.execute("SELECT FROM streams WHERE id = %s", (self._stream,))
            return found.rowcount == 1

    def create(self, note: str, data: bytes) -> OpenRows:
        """Make the row and the note, in one transaction."""
        with self._streams.transaction("making a stream") as connection:
            made = connection.execute(
                "INSERT INTO streams (id, root) VALUES (%s, %s) ON CONFLICT DO NOTHING"
                " RETURNING number",
                (self._stream, EMPTY_ROOT),
            ).fetchone()
            if made is None:
                raise ConflictError(f"{self.name} is there already", hint="Open it instead.")
            connection.execute(
                "INSERT INTO stream_notes (stream, name, data) VALUES (%s, %s, %s)",
                (made[0], note, data),
            )
        return self.open(write=True)

    def remove(self) -> None:
        """Take the id from its row, and remove rows without one, some at a time."""
        with self._streams.transaction("removing a stream") as connection:
            connection.execute("UPDATE streams SET id = NULL WHERE id = %s", (self._stream,))
        # If we stop from here on, the stream is gone; whoever removes one again tidies up.
        for table in _TABLES:
            deleted = _REMOVED_AT_ONCE
            while deleted == _REMOVED_AT_ONCE:
                with self._streams.transaction("removing a stream") as connection:
                    deleted = connection.execute(
                        sql.SQL(
                            "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM"
                            " {table} AS t, streams WHERE stream = number AND id IS NULL LIMIT %s))"
                        ).format(table=sql.Identifier(table)),
                        (_REMOVED_AT_ONCE,),
                    ).rowcount
        with self._streams.transaction("removing a stream") as connection:
            connection.execute("DELETE FROM streams WHERE id IS NULL")

    def open(self, *, write: bool) -> OpenRows:
        """Connect; a writer takes the stream's lock, and sweeps up what was interrupted."""
        session = StreamSession(Database(self._where), self.name, self._stream, write=write)
        try:
            return OpenRows(session)
        except BaseException:
            session.close()
            raise


class OpenRows:
    """A stream in the database, opened."""

    def __init__(self, session: StreamSession) -> None:
        self._session = session
        self.tree = DatabaseTree(session)
        self.tree.refresh()

    def note(self, name: str) -> bytes | None:
        """Read it."""
        with self._session.transaction("reading a note") as connection:
            row = connection.execute(
                "SELECT data FROM stream_notes WHERE stream = %s AND name = %s",
                (self._session.number, name),
                binary=True,
            ).fetchone()
            return None if row is None else bytes(row[0])

    def put_note(self, name: str, data: bytes) -> None:
        """Put or replace it."""
        with self._session.change("writing a note") as connection:
            connection.execute(
                "INSERT INTO stream_notes (stream, name, data) VALUES (%s, %s, %s)"
                " ON CONFLICT (stream, name) DO UPDATE SET data = excluded.data",
                (self._session.number, name, data),
            )

    def destroy_note(self, name: str) -> None:
        """Delete it; copies of it live on, and open under no key once its own is destroyed."""
        with self._session.change("removing a note") as connection:
            connection.execute(
                "DELETE FROM stream_notes WHERE stream = %s AND name = %s",
                (self._session.number, name),
            )

    def subjects(self, epoch: int) -> StreamTags:
        """Open the tags."""
        return StreamTags(self._session, epoch)

    def find_out(self) -> None:
        """Connect anew if need be, and look how far the stream is."""
        self.tree.refresh()

    def close(self) -> None:
        """Close the connection; the lock goes with it."""
        self._session.close()
