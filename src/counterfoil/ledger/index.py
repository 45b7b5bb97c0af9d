"""The index: which entries hold statements by whom about what. It can always be rebuilt.

An SQLite file beside the log, brought up to date whenever somebody searches, so that appending
never waits for it. It is a convenience, never a proof: what it finds is read from the log, and
that there is nothing else is known only to whoever holds the whole log.

Still, a gate must not miss a revocation because a bit of this file flipped, a power cut took a
page of it, or it is of another time than the log beside it. So it holds the root of what it
covers and the sum of its rows, and a file that does not fit is thrown away and made again. Where
the file cannot be used, the index is kept in memory.

A signed statement is found once, where it first stands: later copies of its envelope are not
indexed. The same words signed by somebody else are another voice, and are.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from counterfoil.core.envelope import parse_envelope
from counterfoil.core.merkle import EMPTY_ROOT, Hash
from counterfoil.core.statement import parse_statement
from counterfoil.errors import FormatError, UnavailableError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS progress (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, total INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS statements (
    position INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, predicate TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS issuers (key TEXT, position INTEGER, PRIMARY KEY (key, position))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subjects (subject TEXT, position INTEGER,
    PRIMARY KEY (subject, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_predicate ON statements (predicate)
"""
_TOTAL = """
SELECT coalesce((SELECT sum(mark(position, predicate, digest)) FROM statements), 0)
    + coalesce((SELECT sum(mark(position, key, x'')) FROM issuers), 0)
    + coalesce((SELECT sum(mark(position, subject, x'')) FROM subjects), 0)
"""
_NAMED_BY = {"subjects": "subject", "issuers": "key", "statements": "predicate"}
_STEPS = 10_000  # of SQLite between two looks at the clock
_BATCH = 4096  # entries between two commits of the index
_TRIES = 3  # the file, a new file, memory
_WAIT_S = 30.0  # for another process that is indexing
_REFUSALS = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}

Read = Callable[[int, int], Iterable[bytes]]
Resolve = Callable[[bytes], bytes]
Root = Callable[[int], Hash | None]
Query = tuple[str, Sequence[Any]]


class Named(NamedTuple):
    """What a statement is found by.

    Args:
        digest: SHA-256 of its entry.
        predicate: Its type, in full.
        keys: Labels of the keys that its envelope names.
        subjects: Names and digests of what it is about.
    """

    digest: bytes
    predicate: str
    keys: set[str]
    subjects: set[str]

    def fits(self, subject: str | None, predicate: str | None, issuer: str | None) -> bool:
        """Whether all that is given is among it."""
        return (
            (subject is None or subject in self.subjects)
            and (predicate is None or predicate == self.predicate)
            and (issuer is None or issuer in self.keys)
        )


def read_names(entry: bytes, resolve: Resolve) -> Named | None:
    """Read what an entry is found by; None if it is no statement of ours."""
    try:
        envelope = parse_envelope(resolve(entry))
        statement = parse_statement(envelope.in_toto)
    except FormatError:
        return None
    return Named(
        sha256(entry).digest(),
        statement.predicate_type,
        {signature.keyid for signature in envelope.signatures},
        {
            value
            for subject in statement.subjects
            for value in (subject.name, *subject.digest.values())
        },
    )


class Index:
    """The index of one log. May be used by several threads, one at a time.

    Args:
        path: The SQLite file; where it cannot be written, the index is kept in memory.
        origin: The log it belongs to; an index of another log is thrown away.
        read: Gives entries of the log, checked.
        resolve: Gives the envelope an entry stands for (see `blobs`).
        root: Gives the log's root at a size; None for one that only others may have seen yet.
    """

    def __init__(self, path: Path, origin: str, read: Read, resolve: Resolve, root: Root) -> None:
        self._path = path
        self._origin = origin
        self._read = read
        self._resolve = resolve
        self._root = root
        self._database: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def find(
        self,
        subject: str | None,
        predicate: str | None,
        issuer: str | None,
        size: int,
        *,
        last: int | None = None,
        within_s: float | None = None,
    ) -> list[int]:
        """Find positions below `size`, ascending, that match all that is given.

        Args:
            subject: A subject's name or one of its digests, hex.
            predicate: A predicate type, in full.
            issuer: The label of a key that the envelope names; its signature is not checked.
            size: Where to stop; the index is first brought up to there.
            last: How many of the newest to give at most; None for all.
            within_s: How long to look; None for as long as it takes.

        Raises:
            UnavailableError: it took longer.
        """
        # Walked is what has the fewest rows as a rule, from the newest on, so that the last ones of
        # something are found without all the others.
        wanted = {"subjects": subject, "issuers": issuer, "statements": predicate}
        given = {table: value for table, value in wanted.items() if value is not None}
        walked = next(iter(given), "statements")
        query = [f"SELECT position FROM {walked} w WHERE position < ?"]  # noqa: S608 our own names
        values: list[str | int] = [size]
        for table, value in given.items():
            test = f"{_NAMED_BY[table]} = ?"
            if table != walked:
                there = f"SELECT 1 FROM {table} WHERE {test} AND position = w.position"  # noqa: S608 ours
                test = f"EXISTS ({there})"
            query.append(f"AND {test}")
            values.append(value)
        query.append("ORDER BY position DESC LIMIT ?")
        values.append(-1 if last is None else last)
        found = self._ask([(" ".join(query), values)], size, within_s)
        return [position for (position,) in reversed(found[0])]

    def positions(self, entries: Sequence[bytes], size: int) -> list[int | None]:
        """Find where entries that hold statements first stand, below `size`."""
        query = "SELECT position FROM statements WHERE digest = ? AND position < ?"
        digests = [sha256(entry).digest() for entry in entries]
        found = self._ask([(query, (digest, size)) for digest in digests], size)
        return [rows[0][0] if rows else None for rows in found]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _ask(
        self, queries: Sequence[Query], size: int, within_s: float | None = None
    ) -> list[list[Any]]:
        """Bring the index up to `size`, and give the rows that each query finds."""
        with self._lock:
            return self._ask_alone(queries, size, within_s)

    def _ask_alone(
        self, queries: Sequence[Query], size: int, within_s: float | None
    ) -> list[list[Any]]:
        name = str(self._path)
        for _ in range(_TRIES):
            try:
                if self._database is None:
                    self._database = self._open(name)
                self._catch_up(self._database, size)
                with _limited(self._database, within_s):
                    return [list(self._database.execute(*query)) for query in queries]
            except UnicodeEncodeError:
                return [[] for _ in queries]  # half a surrogate pair, which no statement holds
            except (sqlite3.Error, UnicodeDecodeError) as error:
                self._close()
                if is_refusal(error):
                    name = ":memory:"
                else:
                    self._discard()
        raise UnavailableError(
            f"no index of {self._path.parent} can be made, not even in memory",
            hint="Is there memory left?",
        )

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self, name: str) -> sqlite3.Connection:
        """Open the file, if it is whole, and of this log.

        Raises:
            sqlite3.Error: it is damaged, or cannot be used.
        """
        with contextlib.suppress(OSError):  # without a folder, the file cannot be opened either
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = sqlite3.connect(
            name, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
        )
        try:
            database.create_function("mark", 3, _mark, deterministic=True)
            database.execute("PRAGMA synchronous = OFF")  # made again if a crash damages it
            with database:
                for query in ("BEGIN", *_SCHEMA.split(";")):
                    database.execute(query)
                known = database.execute("SELECT origin, root, total FROM progress").fetchall()
                if [origin for origin, *_ in known] != [self._origin]:
                    for table in ("progress", "statements", "issuers", "subjects"):
                        database.execute(f"DELETE FROM {table}")  # noqa: S608 our own names
                    empty = (self._origin, EMPTY_ROOT)
                    database.execute("INSERT INTO progress VALUES (?, 0, ?, 0)", empty)
                _require_whole(database)
        except BaseException:
            database.close()
            raise
        return database

    def _discard(self) -> None:
        """Remove a damaged file: it holds nothing that the log does not."""
        # The rollback journal first: alone, it would be played back into the next file.
        with contextlib.suppress(OSError):
            self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)

    def _catch_up(self, database: sqlite3.Connection, size: int) -> None:
        """Take in the entries up to `size`."""
        while (done := self._covered(database)) < size:
            stop = min(size, done + _BATCH)
            with database:
                database.execute("BEGIN IMMEDIATE")
                if self._covered(database) != done:
                    continue  # another process was faster
                total = sum(
                    self._add(database, position, entry)
                    for position, entry in enumerate(self._read(done, stop), done)
                )
                database.execute(
                    "UPDATE progress SET size = ?, root = ?, total = total + ?",
                    (stop, self._root(stop), total + stop - done),
                )

    def _covered(self, database: sqlite3.Connection) -> int:
        """Tell how many entries are indexed.

        Raises:
            sqlite3.DatabaseError: they are not those of this log, which was restored or rewritten.
        """
        size, covered = database.execute("SELECT size, root FROM progress").fetchone()
        root = self._root(size)
        if root is not None and root != covered:
            raise sqlite3.DatabaseError("the index is of another history")
        return int(size)

    def _add(self, database: sqlite3.Connection, position: int, entry: bytes) -> int:
        """Index one entry and sum its rows up; one that is no statement of ours is not found."""
        named = read_names(entry, self._resolve)
        if named is None:
            return 0
        added = database.execute(
            "INSERT OR IGNORE INTO statements VALUES (?, ?, ?)",
            (position, named.digest, named.predicate),
        )
        if added.rowcount == 0:
            return 0
        for table, texts in (("issuers", named.keys), ("subjects", named.subjects)):
            rows = [(text, position) for text in texts]
            database.executemany(f"INSERT INTO {table} VALUES (?, ?)", rows)  # noqa: S608 our own
        marks = [_mark(position, text, b"") for text in (*named.keys, *named.subjects)]
        return _mark(position, named.predicate, named.digest) + sum(marks)


@contextlib.contextmanager
def _limited(database: sqlite3.Connection, within_s: float | None) -> Iterator[None]:
    """Stop queries that take longer than that.

    Raises:
        UnavailableError: one did.
    """
    if within_s is None:
        yield
        return
    until = time.monotonic() + within_s
    database.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        raise too_slow(within_s) from error
    finally:
        database.set_progress_handler(None, 0)


def too_slow(within_s: float) -> UnavailableError:
    """Say that a search took longer than it may."""
    return UnavailableError(
        f"the search took longer than {within_s:g} s",
        hint="Ask for less: for the last ones of one subject, for instance.",
    )


def _require_whole(database: sqlite3.Connection) -> None:
    """Check that the file is well formed and its rows are those that were written."""
    (form,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    size, stored = database.execute("SELECT size, total FROM progress").fetchone()
    (computed,) = database.execute(_TOTAL).fetchone()
    if form != "ok" or stored != computed + size:
        raise sqlite3.DatabaseError("the rows of the index are not those that were written")


def _mark(position: int, text: str, digest: bytes) -> int:
    """Stand for a row in the sum of all."""
    return crc32(text.encode(), crc32(digest, position)) + position


def is_refusal(error: Exception) -> bool:
    """Whether the disk or another process is to blame, and not what an SQLite file holds.

    A damaged file raises `sqlite3.Error`, or `UnicodeDecodeError` where it spoils the message.
    """
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _REFUSALS
