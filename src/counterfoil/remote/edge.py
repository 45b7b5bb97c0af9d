"""The right edge of a tree, in tiles: what a checkpoint's root is computed from.

The hashes that no tile above covers lie in one partial tile of each level. Their complete subtrees
are the peaks of the tree, so that the root vouches for every one of them; and each of those in
turn vouches for a full tile below. Everything else that is read of a log hangs from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from counterfoil.core.merkle import HASH_BYTES, Frontier, Hash
from counterfoil.core.tile import TILE_LEVELS, TILE_WIDTH

_MASK = TILE_WIDTH - 1


@dataclass(frozen=True, slots=True)
class Edge:
    """The partial tiles of the tree with `size` leaves.

    Args:
        size: Leaves.
        rows: The hashes of the partial tile of each level, from level 0; empty where there is none.
        frontier: The peaks made of them.
    """

    size: int
    rows: tuple[bytes, ...]
    frontier: Frontier

    @classmethod
    def of(cls, size: int, rows: tuple[bytes, ...]) -> Edge:
        """Compute the peaks from the partial tiles."""
        peaks: list[Hash | None] = []
        for row in rows:
            peaks += _peaks(row)
        return cls(size, rows, Frontier(size, peaks[: size.bit_length()]))

    def root(self) -> Hash:
        """Compute the root of the tree."""
        return self.frontier.root()

    def extended(self, leaves: bytes) -> Edge:
        """Give the edge after these leaf hashes are appended, 32 bytes each."""
        frontier = self.frontier.copy()
        completed = frontier.extend(leaves)
        rows = []
        for level in range(max(len(completed), len(self.rows))):
            row = self.rows[level] if level < len(self.rows) else b""
            if level < len(completed):
                row += completed[level]
            width = (frontier.size >> TILE_LEVELS * level) & _MASK
            rows.append(row[len(row) - width * HASH_BYTES :])
        return Edge(frontier.size, tuple(rows), frontier)


def edge_tiles(size: int) -> Iterator[tuple[int, int, int]]:
    """List the partial tiles of a tree: level, index and width, 0 where a level has none."""
    level = 0
    while nodes := size >> TILE_LEVELS * level:
        yield level, nodes // TILE_WIDTH, nodes & _MASK
        level += 1


def _peaks(row: bytes) -> list[Hash | None]:
    """Compute the roots of the complete subtrees that a row consists of, by their level in it."""
    width = len(row) // HASH_BYTES
    peaks: list[Hash | None] = [None] * TILE_LEVELS
    at = 0
    for level in reversed(range(TILE_LEVELS)):
        if width >> level & 1:
            end = at + (HASH_BYTES << level)
            peaks[level] = _root(row[at:end])
            at = end
    return peaks


def _root(row: bytes) -> Hash:
    """Compute the root over a row of 2**k hashes."""
    frontier = Frontier()
    frontier.extend(row)
    return frontier.root()
