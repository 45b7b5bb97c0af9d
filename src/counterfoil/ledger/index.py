"""The index: which entries hold statements by whom about what. It can always be rebuilt.

An SQLite file beside the log, brought up to date whenever somebody searches, so that appending
never waits for it. It is a convenience, never a proof: what it finds is read from the log, and
that there is nothing else is known only to whoever holds the whole log.

A signed statement is found once, where it first stands: later copies of its envelope are not
indexed. The same words signed by somebody else are another voice, and are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from counterfoil.core.envelope import parse_envelope
from counterfoil.core.statement import parse_statement
from counterfoil.errors import FormatError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS progress (origin TEXT PRIMARY KEY, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS statements (
    position INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, predicate TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS issuers (key TEXT, position INTEGER, PRIMARY KEY (key, position))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subjects (subject TEXT, position INTEGER,
    PRIMARY KEY (subject, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_predicate ON statements (predicate);
"""
_BATCH = 4096  # entries between two commits of the index

Read = Callable[[int, int], Iterable[bytes]]
Resolve = Callable[[bytes], bytes]


class Index:
    """The index of one log.

    Args:
        path: The SQLite file; where it cannot be written, the index is kept in memory.
        origin: The log it belongs to; an index of another log is thrown away.
        resolve: Gives the envelope an entry stands for (see `blobs`).
    """

    def __init__(self, path: Path, origin: str, resolve: Resolve) -> None:
        self._origin = origin
        self._resolve = resolve
        try:
            self._database = self._open(str(path))
        except sqlite3.DatabaseError as error:
            if not _is_damaged(error):
                self._database = self._open(":memory:")
                return
            path.unlink()  # it holds nothing that the log does not
            self._database = self._open(str(path))

    def catch_up(self, size: int, read: Read) -> None:
        """Take in the entries up to `size`."""
        while (done := self._progress()) < size:
            stop = min(size, done + _BATCH)
            with self._database:
                for position, entry in enumerate(read(done, stop), done):
                    self._add(position, entry)
                self._database.execute("UPDATE progress SET size = ?", (stop,))

    def find(
        self, subject: str | None, predicate: str | None, issuer: str | None, size: int
    ) -> list[int]:
        """Find positions below `size`, ascending, that match all that is given.

        Args:
            subject: A subject's name or one of its digests, hex.
            predicate: A predicate type, in full.
            issuer: The label of a key that the envelope names; its signature is not checked.
            size: Where to stop.
        """
        query = ["SELECT position FROM statements WHERE position < ?"]
        values: list[str | int] = [size]
        if predicate is not None:
            query.append("AND predicate = ?")
            values.append(predicate)
        if subject is not None:
            query.append("AND position IN (SELECT position FROM subjects WHERE subject = ?)")
            values.append(subject)
        if issuer is not None:
            query.append("AND position IN (SELECT position FROM issuers WHERE key = ?)")
            values.append(issuer)
        query.append("ORDER BY position")
        return [position for (position,) in self._database.execute(" ".join(query), values)]

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _open(self, name: str) -> sqlite3.Connection:
        database = sqlite3.connect(name, timeout=30, check_same_thread=False)
        try:
            database.execute("PRAGMA synchronous = OFF")  # rebuilt if a crash damages it
            with database:
                database.executescript(_SCHEMA)
                with closing(database.execute("SELECT origin FROM progress")) as rows:
                    known = [origin for (origin,) in rows]
                if known != [self._origin]:
                    for table in ("progress", "statements", "issuers", "subjects"):
                        database.execute(f"DELETE FROM {table}")  # noqa: S608 our own names
                    database.execute("INSERT INTO progress VALUES (?, 0)", (self._origin,))
        except BaseException:
            database.close()
            raise
        return database

    def _progress(self) -> int:
        (size,) = self._database.execute("SELECT size FROM progress").fetchone()
        return int(size)

    def _add(self, position: int, entry: bytes) -> None:
        """Index one entry; one that is no statement of ours is simply not found."""
        try:
            envelope = parse_envelope(self._resolve(entry))
            statement = parse_statement(envelope.in_toto)
        except FormatError:
            return
        added = self._database.execute(
            "INSERT OR IGNORE INTO statements VALUES (?, ?, ?)",
            (position, sha256(entry).digest(), statement.predicate_type),
        )
        if added.rowcount == 0:
            return
        self._database.executemany(
            "INSERT OR IGNORE INTO issuers VALUES (?, ?)",
            [(signature.keyid, position) for signature in envelope.signatures],
        )
        self._database.executemany(
            "INSERT OR IGNORE INTO subjects VALUES (?, ?)",
            [
                (value, position)
                for subject in statement.subjects
                for value in (subject.name, *subject.digest.values())
            ],
        )


def _is_damaged(error: sqlite3.DatabaseError) -> bool:
    return error.sqlite_errorcode in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
