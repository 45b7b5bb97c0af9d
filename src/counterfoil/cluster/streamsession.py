"""A connection to the rows of one stream: the writer's holds the stream's lock, and its fence.

Whoever becomes the writer raises `streams.fence`; everything that a writer changes looks, with that
row locked, whether the fence is still its own. So a connection that was thought dead changes
nothing any more, and a writer that lost its connection goes on only if nobody else wrote.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import psycopg
from psycopg import sql

from counterfoil.cluster.database import Connection, Database
from counterfoil.cluster.state import lock_number
from counterfoil.errors import ConflictError, FormatError

_TAKE_WITHIN_S = 2.0  # for a connection of our own that broke to end
_PAUSE_S = 0.05
_SWEPT_AT_ONCE = 10_000  # rows of one query


class StreamSession:
    """One connection, made again when it breaks. One thread at a time uses it.

    Args:
        database: Of the log; closed with the session.
        name: What messages call the stream.
        stream: Its id.
        write: Whether to be the one writer.

    Raises:
        ConflictError: `write`, and there is a writer already.
        FormatError: there is no such stream.
        UnavailableError: the database does not answer.
    """

    def __init__(self, database: Database, name: str, stream: bytes, *, write: bool) -> None:
        self.name = name
        self.write = write
        self.number = 0
        self._database = database
        self._stream = stream
        self._lock = lock_number(database, f"stream {stream.hex()}")
        self._fence: int | None = None
        self._connection: Connection | None = None
        self._backend = 0  # the server's process behind the connection that we had last
        try:
            with self.transaction("opening a stream"):
                pass
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def transaction(self, doing: str) -> Iterator[Connection]:
        """Read in one transaction.

        Raises:
            ConflictError: we wrote, lost the connection, and somebody else has written since.
            UnavailableError: PostgreSQL did not do it, or it is not known whether it did.
        """
        with self._database.reported(f"stream {self._stream.hex()[:12]}…: {doing}"):
            connection = self._require_connection()
            try:
                with connection.transaction():
                    yield connection
            except BaseException:
                if connection.broken:
                    self._connection = None
                raise

    @contextlib.contextmanager
    def change(self, doing: str) -> Iterator[Connection]:
        """Write in one transaction, under the fence; raises as `transaction`."""
        assert self.write, "only the writer changes anything"  # noqa: S101 our own bug
        with self.transaction(doing) as connection:
            held = connection.execute(
                "SELECT FROM streams WHERE number = %s AND fence = %s FOR UPDATE",
                (self.number, self._fence),
            )
            if held.rowcount != 1:
                raise self._taken()
            yield connection

    def sweep(self, table: str, where: str = "true") -> None:
        """Delete rows of this stream, some at a time, so that no query takes long.

        Args:
            table: One of ours.
            where: Which rows, in our own words.
        """
        query = sql.SQL(
            "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table}"
            " WHERE stream = %s AND {where} LIMIT %s))"
        ).format(table=sql.Identifier(table), where=sql.SQL(where))
        deleted = _SWEPT_AT_ONCE
        while deleted == _SWEPT_AT_ONCE:
            with self.change("sweeping up") as connection:
                deleted = connection.execute(query, (self.number, _SWEPT_AT_ONCE)).rowcount

    def close(self) -> None:
        """Let go of the lock, and close the connection."""
        if self._connection is not None:
            if self.write:
                # The server ends a connection, and its locks, some time after it was closed here.
                with contextlib.suppress(psycopg.Error):
                    self._connection.execute("SELECT pg_advisory_unlock(%s)", (self._lock,))
            self._connection.close()
            self._connection = None
        self._database.close()

    def _require_connection(self) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = self._database.connect()
            try:
                self.number = self._find(connection)
                if self.write:
                    self._take_lock(connection)
                    self._raise_fence(connection)
                self._backend = connection.info.backend_pid
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _find(self, connection: Connection) -> int:
        row = connection.execute(
            "SELECT number FROM streams WHERE id = %s", (self._stream,)
        ).fetchone()
        if row is None:
            raise FormatError(
                f"{self.name} is not there", hint="It begins with the first record of its system."
            )
        return int(row[0])

    def _take_lock(self, connection: Connection) -> None:
        """Take the writer's lock; our own broken connection, if it still has it, is ended."""
        until = time.monotonic() + _TAKE_WITHIN_S
        while True:
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (self._lock,)).fetchone()
            if row is not None and row[0]:
                return
            if not self._backend or time.monotonic() > until:
                raise ConflictError(
                    f"{self.name} already has a writer",
                    hint="One process at a time records into a stream. If its machine died, "
                    "PostgreSQL lets go of it when its keep-alives fail.",
                )
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND objsubid = 1 AND granted AND pid = %s AND classid = %s AND objid = %s",
                (self._backend, self._lock % (1 << 64) >> 32, self._lock & 0xFFFFFFFF),
            )
            time.sleep(_PAUSE_S)

    def _raise_fence(self, connection: Connection) -> None:
        """Fence off all earlier writers, those of us that are thought dead included."""
        row = connection.execute(
            "UPDATE streams SET fence = fence + 1"
            " WHERE number = %s AND coalesce(fence = %s, true) RETURNING fence",
            (self.number, self._fence),
        ).fetchone()
        if row is None:
            raise self._taken()
        self._fence = int(row[0])

    def _taken(self) -> ConflictError:
        return ConflictError(
            f"{self.name} was written to by somebody else while we had no connection",
            hint="Close the stream and open it again.",
        )
