from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core import tile
from counterfoil.core.tile import Tile, bundle_path, parse_tile_path, tile_path, tile_width
from counterfoil.errors import FormatError


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (tile_path(0, 0), "tile/0/000"),
        (tile_path(0, 1234067), "tile/0/x001/x234/067"),
        (tile_path(15, 999, 5), "tile/15/999.p/5"),
        (tile_path(1, 1000, 255), "tile/1/x001/000.p/255"),
        (bundle_path(67), "tile/entries/067"),
        (bundle_path(1067, 1), "tile/entries/x001/067.p/1"),
    ],
)
def test_a_tile_lies_where_the_specification_says(path, expected):
    """Groups of three digits, `x` before all but the last, width only where partial."""
    assert path == expected


@given(
    st.builds(
        Tile,
        st.none() | st.integers(0, tile.MAX_TILE_LEVEL),
        st.integers(0, tile.MAX_TILE_INDEX),
        st.integers(1, 256),
    )
)
def test_a_path_reads_back_as_the_tile_it_names(one):
    """Paths and tiles are two forms of one thing."""
    assert parse_tile_path(one.path) == one


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/067",
        "tile/0/001/067",
        "tile/0/x001",
        "tile/0/X001/067",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/05",
        "tile/0/000.p/999",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/entries/../000",
        "tile/data/000",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/" + "x999/" * 6 + "999",
        "tile/0/" + "x001/" * 10**5 + "000",
    ],
)
def test_any_other_path_is_refused(path):
    """One tile has one path, so nothing outside the tree can be named."""
    with pytest.raises(FormatError, match=r"not the path of a tile|there is no tile"):
        parse_tile_path(path)


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [(64, 0, 256), (-1, 0, 256), (0, -1, 256), (0, 2**55, 256), (0, 0, 0), (0, 0, 257)],
)
def test_an_impossible_tile_cannot_be_named(level, index, width):
    """Levels, indexes and widths outside the format raise before there is a path."""
    with pytest.raises(FormatError, match="there is no tile"):
        tile_path(level, index, width)


def test_the_tiles_of_a_tree_of_70000_are_those_of_the_specification():
    """273 full tiles and one of 112, then one full and one of 17, then one of 1."""
    assert [tile_width(70_000, 0, i) for i in range(275)] == [256] * 273 + [112, 0]
    assert [tile_width(70_000, 1, i) for i in range(3)] == [256, 17, 0]
    assert [tile_width(70_000, 2, i) for i in range(2)] == [1, 0]
    assert tile_width(70_000, 3, 0) == 0


def test_a_full_tile_is_one_hash_of_the_level_above():
    """At 256 leaves level 1 begins; one leaf fewer, and it has no tile."""
    assert [tile_width(256, level, 0) for level in range(3)] == [256, 1, 0]
    assert [tile_width(255, level, 0) for level in range(2)] == [255, 0]
    assert tile_width(0, 0, 0) == 0


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=8))
def test_entries_come_out_of_a_bundle_as_they_went_in(entries):
    """Empty entries and ones that look like lengths survive."""
    assert tile.parse_bundle(tile.format_bundle(entries), len(entries)) == entries


def test_a_bundle_is_lengths_and_entries():
    """Two bytes, big-endian, before each entry."""
    assert tile.format_bundle([b"one", b""]) == b"\x00\x03one\x00\x00"


def test_the_largest_entry_fits_and_one_byte_more_does_not():
    """65,535 bytes are what two bytes of length can say."""
    largest = bytes(tile.MAX_ENTRY_BYTES)
    assert tile.parse_bundle(tile.format_bundle([largest]), 1) == [largest]
    with pytest.raises(FormatError, match="65536 bytes, at most 65535"):
        tile.format_bundle([largest + b"\x00"])


@pytest.mark.parametrize("count", [-1, 0, 257])
def test_there_are_no_empty_or_overfull_bundles(count):
    """A bundle holds 1 to 256 entries, whichever way."""
    with pytest.raises(FormatError, match="1 to 256 entries"):
        tile.parse_bundle(b"", count)
    with pytest.raises(FormatError, match="1 to 256 entries"):
        tile.format_bundle([b""] * max(0, count))


def test_a_cut_or_prolonged_bundle_is_refused():
    """Every beginning of a bundle is too short for its count, and nothing may follow."""
    data = tile.format_bundle([b"one", b"", b"three"])
    for end in range(len(data)):
        with pytest.raises(FormatError, match="ends within entry"):
            tile.parse_bundle(data[:end], 3)
    with pytest.raises(FormatError, match="goes on for 1 bytes"):
        tile.parse_bundle(data + b"\x00", 3)
    with pytest.raises(FormatError, match="goes on for 7 bytes"):
        tile.parse_bundle(data, 2)
