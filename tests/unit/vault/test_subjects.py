from __future__ import annotations

import os
import sqlite3

import pytest

from counterfoil.errors import UnavailableError
from counterfoil.ledger.disk import Disk
from counterfoil.vault import subjects
from counterfoil.vault.subjects import SubjectIndex

ANNA, BERT = b"A" * 32, b"B" * 32


@pytest.fixture
def index(tmp_path):
    """Opens the index of one stream; the test says in which epoch, and whether to write."""
    opened = []

    def open_(epoch=1, *, write=True):
        options = {"write": write, "disk": Disk(), "random": os.urandom}
        opened.append(SubjectIndex(tmp_path / "index.sqlite", epoch, **options))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


def test_it_finds_what_was_noted(index):
    """Records are found at once, and also after they were written and read again."""
    first = index()
    first.extend([ANNA, None, BERT, ANNA])
    assert first.places(ANNA) == [0, 3]
    first.flush()
    first.extend([ANNA])
    assert first.places(ANNA) == [0, 3, 4]
    first.close()
    again = index()
    assert again.size == 5
    assert again.places(ANNA) == [0, 3, 4]
    assert again.places(BERT) == [2]
    assert again.places(b"C" * 32) == []


def test_no_flipped_bit_hides_a_record(index, tmp_path):
    """Wherever a bit flips, a checked index finds what was noted, or knows that it is empty."""
    first = index()
    first.extend([ANNA, None, BERT, ANNA] * 50)
    expected = first.places(ANNA)
    first.close()
    path = tmp_path / "index.sqlite"
    data = path.read_bytes()
    empty = 0
    for place in range(0, len(data), 11):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        damaged = index(write=False)
        damaged.check()
        if damaged.size:
            assert (damaged.size, damaged.places(ANNA)) == (200, expected)
        else:
            empty += 1
        damaged.close()
    assert empty > 200
    path.write_bytes(data)
    again = index()
    again.check()
    again.forget([0, 2])
    again.extend([BERT])
    again.close()
    again = index()
    again.check()
    assert (again.size, again.places(BERT)) == (201, [*range(6, 200, 4), 200])


def test_what_waits_is_lost_with_the_process_and_known_to_be(index):
    """`size` never covers rows that are not on the disk, so they are read again."""
    first = index()
    first.extend([ANNA])
    first.flush()
    first.extend([BERT])
    assert index(write=False).size == 1


def test_small_batches_wait(index):
    """A flush that asks for more rows than wait does nothing."""
    first = index()
    first.extend([ANNA, BERT])
    first.flush(at_least=3)
    assert index(write=False).size == 0
    first.flush(at_least=2)
    assert index(write=False).size == 2


@pytest.mark.parametrize("waiting", [False, True])
def test_forgetting_leaves_no_row_in_any_file(index, tmp_path, waiting):
    """After `forget`, neither the database nor its journal holds the tag's bytes."""
    first = index()
    first.extend([os.urandom(32) for _ in range(500)])
    first.extend([ANNA, BERT])
    first.flush()
    first.extend([os.urandom(32) for _ in range(500)])
    if not waiting:
        first.flush()
    first.extend([ANNA])
    first.forget([500, 1002])
    assert first.places(ANNA) == []
    assert first.places(BERT) == [501]
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert {"index.sqlite", "index.sqlite-journal"} <= set(files)
    assert [name for name, data in files.items() if ANNA in data] == []
    assert set(files["index.sqlite-journal"]) == {0}
    assert BERT in files["index.sqlite"]


def test_a_row_is_zeros_before_the_file_is_compacted(index, tmp_path):
    """If the disk has no room to compact the file, the row is already overwritten in it."""

    class NoRoom:
        def __init__(self, database):
            self.database = database

        def __getattr__(self, name):
            return getattr(self.database, name)

        def execute(self, query, *values):
            if query == "VACUUM":
                error = sqlite3.OperationalError("database or disk is full (test)")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
            return self.database.execute(query, *values)

    first = index()
    first.extend([ANNA, BERT])
    first.flush()
    first._database = NoRoom(first._database)
    with pytest.raises(UnavailableError, match="full"):
        first.forget([0])
    data = (tmp_path / "index.sqlite").read_bytes()
    assert ANNA not in data
    assert BERT in data


def test_forgetting_compacts_the_file(index, tmp_path):
    """The file is rewritten, as copies of rows that SQLite moved would else stay in it."""
    first = index()
    first.extend([os.urandom(32) for _ in range(3000)])
    first.flush()
    before = (tmp_path / "index.sqlite").stat().st_size
    first.forget(range(2900))
    assert (tmp_path / "index.sqlite").stat().st_size < before / 4


def test_forgetting_twice_is_harmless(index):
    """An interrupted erasure forgets again what is forgotten already."""
    first = index()
    first.extend([ANNA])
    first.forget([0])
    first.forget([0])
    assert first.size == 1


def test_many_places_are_forgotten_at_once(index):
    """There is no limit to how many records one call forgets."""
    first = index()
    first.extend([ANNA, BERT] * 1500)
    first.forget(range(0, 3000, 2))
    assert first.places(ANNA) == []
    assert len(first.places(BERT)) == 1500


@pytest.mark.parametrize("damage", [b"", b"not a database" * 100, b"SQLite format 3\0" + b"x" * 99])
@pytest.mark.parametrize("write", [False, True])
def test_a_damaged_index_starts_over(index, tmp_path, damage, write):
    """A file that is no index is not an error: it is rebuilt from the payloads."""
    first = index()
    first.extend([ANNA])
    first.close()
    (tmp_path / "index.sqlite").write_bytes(damage)
    again = index(write=write)
    assert again.size == 0
    again.extend([ANNA])
    assert again.places(ANNA) == [0]


def test_damage_found_while_forgetting_destroys_the_index(index, tmp_path):
    """An index that cannot be edited is destroyed whole rather than left with what it held."""
    first = index()
    first.extend([ANNA, *(os.urandom(32) for _ in range(2000))])
    first.flush()
    first.close()
    path = tmp_path / "index.sqlite"
    data = bytearray(path.read_bytes())
    data[4096 * 3 :] = b"\xff" * (len(data) - 4096 * 3)
    path.write_bytes(data)
    again = index()
    again.forget([0])
    assert again.size == 0
    assert ANNA not in path.read_bytes()


def test_another_epochs_index_starts_over(index, tmp_path):
    """Tags of another epoch are useless, and are destroyed."""
    first = index(epoch=1)
    first.extend([ANNA])
    first.close()
    assert index(epoch=2).size == 0
    assert ANNA not in (tmp_path / "index.sqlite").read_bytes()


def test_a_reader_writes_nothing(index, tmp_path):
    """A reader's additions stay in its memory, and it needs no file."""
    reader = index(write=False)
    reader.extend([ANNA])
    reader.flush()
    assert reader.places(ANNA) == [0]
    assert list(tmp_path.glob("index*")) == []


def test_a_refused_flush_loses_nothing(index, tmp_path):
    """If the disk refuses, the rows go on waiting, and the error is ours."""
    first = index()
    first.extend([ANNA])
    blocker = sqlite3.connect(tmp_path / "index.sqlite", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    first._database.execute("PRAGMA busy_timeout = 0")
    with pytest.raises(UnavailableError, match=r"index\.sqlite"):
        first.flush()
    blocker.execute("ROLLBACK")
    blocker.close()
    first.flush()
    first.close()
    assert index().places(ANNA) == [0]


def test_the_batch_is_large_enough():
    """Small random inserts would make the index dearer than all the rest of an append."""
    assert subjects.BATCH_ROWS >= 10_000
