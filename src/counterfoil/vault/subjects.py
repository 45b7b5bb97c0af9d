"""Which records are about whom: a SQLite index of subject tags, rebuildable from the payloads.

A tag is an HMAC under a key of the current epoch, so the file names nobody, and one from an old
backup says nothing once that epoch's key is destroyed. Rows wait in memory and are written in
large sorted batches, because small random inserts into a large B-tree would cost more than all
the rest of an append; what a crash takes from memory is read again from the payloads.

Nothing erased may survive in it: deleted rows are overwritten (`secure_delete`), the file is
compacted, and the rollback journal, which SQLite keeps as a file (`PERSIST`) with the pages as
they were before, is overwritten with zeros. A write-ahead log would leave such pages in blocks
that nobody can reach any more.

The file also holds the sum of its rows: one that a fault took a row from, or gave another tag,
starts over before anybody searches it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar
from zlib import crc32

from counterfoil.errors import UnavailableError
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.index import is_refusal
from counterfoil.vault.seal import Random
from counterfoil.vault.wipe import overwrite, wipe

BATCH_ROWS: Final = 65_536  # rows that wait in memory: some 15 MB, and about 1 s to read again
_VERSION: Final = 2  # of the tables; another version is rebuilt
_QUERY_PARAMETERS: Final = 500  # SQLite takes 32,766 now and took 999 once
_SETTINGS: Final = (
    "PRAGMA page_size = 4096",
    "PRAGMA secure_delete = ON",
    "PRAGMA journal_mode = PERSIST",
    "PRAGMA synchronous = FULL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -32768",  # KiB: as memory, it stays the same from 10^4 rows to 10^7
)
_TABLES: Final = (
    f"PRAGMA user_version = {_VERSION}",
    "CREATE TABLE state (epoch INTEGER NOT NULL, size INTEGER NOT NULL, total INTEGER NOT NULL)",
    """CREATE TABLE record (tag BLOB NOT NULL, place INTEGER NOT NULL,
                           PRIMARY KEY (tag, place)) WITHOUT ROWID""",
)

_DAMAGE: Final = (sqlite3.Error, UnicodeDecodeError)  # if it is no refusal
_UNACCOUNTED: Final = """
SELECT total - size - coalesce((SELECT sum(mark(tag, place)) FROM record), 0) FROM state
"""

_Item = TypeVar("_Item")


class SubjectIndex:
    """The index of one stream in one epoch.

    `size` tells how many records are covered; whoever opens it reads the rest from the payloads
    and calls `extend`. A reader's additions stay in memory. An index that is damaged, of another
    epoch, or ahead of its stream starts over from nothing.

    Args:
        path: The file, `index.sqlite` in the stream's folder.
        epoch: Number of the epoch whose tags it holds.
        write: Whether the file is written; there is one writer.
        disk: How to overwrite and sync.
        random: What to overwrite with.

    Raises:
        UnavailableError: the disk refuses.
    """

    def __init__(self, path: Path, epoch: int, *, write: bool, disk: Disk, random: Random) -> None:
        self.size = 0
        self._path = path
        self._rollback = path.with_name(f"{path.name}-journal")
        self._epoch = epoch
        self._write = write
        self._disk = disk
        self._random = random
        self._waiting: dict[bytes, list[int]] = {}
        self._waiting_rows = 0
        self._is_checked = False
        with self._asked():
            self._database = self._connect()
            try:
                if not self._takes_over():
                    self.start_over(epoch)
            except BaseException:
                self._database.close()
                raise

    def extend(self, tags: Sequence[bytes | None]) -> None:
        """Note whom the next records are about; None for a record without a named subject."""
        waiting = self._waiting
        for place, tag in enumerate(tags, self.size):
            if tag is not None:
                waiting.setdefault(tag, []).append(place)
                self._waiting_rows += 1
        self.size += len(tags)

    def check(self) -> None:
        """Start over if the rows are not those that were written; this reads them all.

        Raises:
            UnavailableError: the disk refuses.
        """
        if not self._is_checked:
            with self._asked():
                if not self._is_whole():
                    self.start_over(self._epoch)
            self._is_checked = True

    def places(self, tag: bytes) -> list[int]:
        """Find every record of a subject, in order."""
        with self._asked():
            rows = self._database.execute("SELECT place FROM record WHERE tag = ?", (tag,))
            return sorted({place for (place,) in rows} | set(self._waiting.get(tag, ())))

    def flush(self, *, at_least: int = 1) -> None:
        """Write what waits, if that many rows do.

        Raises:
            UnavailableError: the disk refuses; the rows go on waiting.
        """
        if not self._write or self._waiting_rows < at_least:
            return
        rows = sorted((tag, place) for tag, places in self._waiting.items() for place in places)
        with self._asked(), self._transaction() as database:
            database.executemany("INSERT OR IGNORE INTO record VALUES (?, ?)", rows)
            added = sum(_mark(*row) for row in rows)
            database.execute("UPDATE state SET total = total + ? - size", (added + self.size,))
            database.execute("UPDATE state SET size = ?", (self.size,))
        self._waiting.clear()
        self._waiting_rows = 0

    def forget(self, places: Sequence[int]) -> None:
        """Remove records so that neither file holds their rows; doing it again is harmless.

        Raises:
            UnavailableError: the disk refuses; ask again.
        """
        self.flush()
        self.check()  # a row whose place was changed would be missed
        with self._asked():
            try:
                with self._transaction() as database:
                    for chunk in _chunks(places):
                        where = f"FROM record WHERE place IN ({_marks(chunk)})"
                        gone = database.execute(f"SELECT place, tag {where}", chunk).fetchall()
                        database.execute(f"DELETE {where}", chunk)
                        lost = sum(_mark(tag, place) for place, tag in gone)
                        database.execute("UPDATE state SET total = total - ?", (lost,))
                # If we stop here, the rows are zeros in the database and whole in the journal.
                # Moving rows between pages leaves copies of some that no later deletion reaches
                # (measured: one in 36,000); rewriting the whole file does.
                self._database.execute("VACUUM")
                if self._rollback.exists():
                    overwrite(self._rollback, self._disk)
            except _DAMAGE as error:  # what cannot be edited is destroyed whole
                if is_refusal(error):
                    raise
                self.start_over(self._epoch)

    def start_over(self, epoch: int) -> None:
        """Destroy both files and begin an empty index of `epoch`; a reader's lies in memory."""
        with self._asked():
            self._database.close()
            if self._write:
                wipe(self._path, self._disk, self._random)
                wipe(self._rollback, self._disk, self._random)
            self._epoch = epoch
            self._database = self._connect() if self._write else _connect(":memory:")
            for query in (*_SETTINGS, "BEGIN", *_TABLES):
                self._database.execute(query)
            self._database.execute("INSERT INTO state VALUES (?, 0, 0)", (epoch,))
            self._database.execute("COMMIT")
        self.size = 0
        self._waiting.clear()
        self._waiting_rows = 0

    def close(self) -> None:
        """Write what waits, and release the file."""
        try:
            self.flush()
        finally:
            self._database.close()

    def _connect(self) -> sqlite3.Connection:
        """Open the file; a writer makes it, a reader that finds none gets an empty one."""
        if self._write:
            # Made here so that the journal, whose mode SQLite copies, is private too.
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
            return _connect(str(self._path))
        if self._path.exists():
            return _connect(f"{self._path.absolute().as_uri()}?mode=ro")
        return _connect(":memory:")

    def _takes_over(self) -> bool:
        """Use the file as it is, if it is of this version and epoch, and whole."""
        try:
            for setting in _SETTINGS if self._write else ():
                self._database.execute(setting)
            if self._database.execute("PRAGMA user_version").fetchone() != (_VERSION,):
                return False
            epoch, self.size = self._database.execute("SELECT epoch, size FROM state").fetchone()
        except _DAMAGE as error:  # not a database, or a damaged one
            if is_refusal(error):
                raise
            return False
        return bool(epoch == self._epoch)

    def _is_whole(self) -> bool:
        try:
            (form,) = self._database.execute("PRAGMA integrity_check(1)").fetchone()
            (rest,) = self._database.execute(_UNACCOUNTED).fetchone()
        except _DAMAGE as error:
            if is_refusal(error):
                raise
            return False
        return bool(form == "ok" and rest == 0)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(
                f"the subject index {self._path}: {error}",
                hint="Check free space and permissions. If it is damaged, remove the file: it is "
                "rebuilt from the records.",
            ) from error


def _connect(name: str) -> sqlite3.Connection:
    # One connection serves every thread, under the stream's lock.
    database = sqlite3.connect(
        name, isolation_level=None, check_same_thread=False, uri=name.startswith("file:")
    )
    database.create_function("mark", 2, _mark, deterministic=True)
    return database


def _mark(tag: bytes, place: int) -> int:
    """Stand for a row in the sum of all."""
    return crc32(repr((tag, place)).encode())  # whatever types a damaged row holds


def _chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), _QUERY_PARAMETERS):
        yield items[start : start + _QUERY_PARAMETERS]


def _marks(chunk: Sequence[object]) -> str:
    return ",".join("?" * len(chunk))
