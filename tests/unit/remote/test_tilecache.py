"""Tiles that were read are found again, and no more of them are kept than is said."""

from __future__ import annotations

import os

import pytest

from counterfoil.remote import tilecache
from counterfoil.remote.tilecache import TILE_BYTES, TileCache


def tiles(first, count):
    """Tiles that all differ."""
    return [number.to_bytes(4, "big") * (TILE_BYTES // 4) for number in range(first, first + count)]


def test_a_row_over_the_end_of_a_file_is_found_again(tmp_path):
    """Each tile has its place; where none was kept, there is none."""
    row = tiles(1, 8)
    TileCache(tmp_path).keep_row((0, 252), b"".join(row))
    again = TileCache(tmp_path)
    assert [again.stored((0, index)) for index in range(252, 260)] == row
    assert [again.stored((0, index)) for index in (0, 251, 260)] == [None] * 3
    assert again.stored((1, 252)) is None


def test_what_is_read_for_a_while_is_not_kept(tmp_path):
    """A tree that may turn out to be another history leaves nothing behind."""
    apart = TileCache(tmp_path).apart()
    apart.keep((0, 0), tiles(1, 1)[0])
    assert apart.known((0, 0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("x")])
def test_a_place_that_is_taken_is_passed_by(tmp_path, make):
    """Neither a folder, a pipe nor a link there is waited for, followed or an error."""
    (tmp_path / "0").mkdir()
    make(tmp_path / "0" / "0")
    cache = TileCache(tmp_path)
    cache.keep((0, 7), tiles(1, 1)[0])
    assert cache.stored((0, 7)) is None
    assert cache.known((0, 7))
    assert not (tmp_path / "0" / "x").exists()


def test_no_more_is_kept_than_is_said(tmp_path, monkeypatch):
    """The files written longest ago go first; what was kept twice counts once."""
    monkeypatch.setattr(tilecache, "MAX_TILES_ON_DISK", 1024)
    cache = TileCache(tmp_path)
    row = b"".join(tiles(1, 256))
    for number in range(4):
        for _ in range(2):
            cache.keep_row((0, 256 * number), row)
    assert len(list(tmp_path.rglob("[0-9]"))) == 5  # the folder, and four files
    for number, path in enumerate(sorted((tmp_path / "0").iterdir())):
        os.utime(path, (1_000 + number, 1_000 + number))
    cache.keep_row((1, 0), tiles(9, 1)[0])
    assert sorted(path.name for path in (tmp_path / "0").iterdir()) == ["3"]
    assert cache.stored((0, 1023)) == row[-TILE_BYTES:]
    assert cache.stored((1, 0)) == tiles(9, 1)[0]
