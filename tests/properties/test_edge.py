"""The right edge of a tree, as a ledger elsewhere is read by it."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core.merkle import Frontier, root_of, split_hashes
from counterfoil.core.tile import tile_width
from counterfoil.remote.edge import Edge, edge_tiles

LEAVES = b"".join(sha256(number.to_bytes(3)).digest() for number in range(67_000))
SIZES = st.one_of(st.integers(0, 1_500), st.integers(65_500, 66_000))


def edge_of(size: int) -> Edge:
    """Compute the partial tiles by the definition of a tile, and the edge from them."""
    levels = Frontier().extend(LEAVES[: 32 * size])
    rows = [
        b"".join(split_hashes(levels[level])[index * 256 : index * 256 + width]) if width else b""
        for level, index, width in edge_tiles(size)
    ]
    return Edge.of(size, tuple(rows))


@given(SIZES)
def test_an_edge_leads_to_the_root(size: int):
    """The partial tiles alone are enough to compute the root of the tree."""
    edge = edge_of(size)
    assert edge.root() == root_of(split_hashes(LEAVES[: 32 * size]))
    assert [width for _, _, width in edge_tiles(size)] == [
        tile_width(size, level, index) if tile_width(size, level, index) < 256 else 0
        for level, index, _ in edge_tiles(size)
    ]


@given(SIZES, st.integers(0, 1_000))
def test_an_edge_grows_into_that_of_the_larger_tree(size: int, more: int):
    """Appending leaves to an edge gives the very tiles that the larger tree has."""
    more = min(more, 67_000 - size)
    grown = edge_of(size).extended(LEAVES[32 * size : 32 * (size + more)])
    there = edge_of(size + more)
    assert (grown.size, grown.root()) == (there.size, there.root())
    assert grown.rows == there.rows
