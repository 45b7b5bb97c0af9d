"""The right edge of a log: what a leader needs to give the next entries their place.

That is the frontier, and what lies in tiles and a bundle that are not full yet. It costs memory and
time that do not grow with the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from counterfoil.core.merkle import HASH_BYTES, Frontier, leaf_hashes
from counterfoil.core.tile import TILE_WIDTH, bundle_path, format_bundle, parse_bundle, tile_path
from counterfoil.errors import FormatError, VerificationError
from counterfoil.ledger.tree import Tree

_FULL_BYTES = TILE_WIDTH * HASH_BYTES


class Growth(NamedTuple):
    """What appending entries makes.

    Args:
        edge: The edge after them.
        objects: New tiles and bundles, by path.
        outgrown: Prefixes of the partial ones that are of no use once those are published.
    """

    edge: Edge
    objects: dict[str, bytes]
    outgrown: list[str]


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge at one size.

    Args:
        frontier: Complete subtrees; nobody changes it.
        rows: For each tile level, the hashes in the tile that is not full.
        entries: The entries in the bundle that is not full.
    """

    frontier: Frontier
    rows: tuple[bytes, ...] = ()
    entries: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self.frontier.size

    @classmethod
    def empty(cls) -> Edge:
        """Give the edge of a log without entries."""
        return cls(Frontier())

    @classmethod
    def of(cls, tree: Tree) -> Edge:
        """Read the edge of what is published, and check that it is that of its root.

        Raises:
            VerificationError: the tiles are not those of the published checkpoint.
        """
        size = tree.size
        frontier, rows = Frontier.at(size, tree.node), _open_rows(tree, size)
        begin = size - size % TILE_WIDTH
        entries = tuple(tree.bodies(begin, size))
        if frontier.root() != tree.root() or leaf_hashes(entries) != (rows[0] if rows else b""):
            raise VerificationError(
                f"{tree.name}: the tiles are not those of the checkpoint at size {size}",
                hint="An object was changed; `counterfoil log audit` names the first bad place.",
            )
        return cls(frontier, rows, entries)

    @classmethod
    def at_full_bundles(cls, tree: Tree) -> Edge:
        """Read the edge of what is published as far as bundles are full; nothing is checked."""
        size = tree.size - tree.size % TILE_WIDTH
        return cls(Frontier.at(size, tree.node), _open_rows(tree, size))

    def open_tiles(self) -> dict[str, bytes]:
        """Give the partial tiles and the partial bundle at this size, by path."""
        objects: dict[str, bytes] = {}
        if self.entries:
            number = self.size // TILE_WIDTH
            objects[bundle_path(number, len(self.entries))] = format_bundle(self.entries)
        for level, row in enumerate(self.rows):
            if row:
                number = (self.size >> 8 * level) // TILE_WIDTH
                objects[tile_path(level, number, len(row) // HASH_BYTES)] = row
        return objects

    def grow(self, new: Sequence[bytes]) -> Growth:
        """Append entries; this edge stays as it is."""
        objects: dict[str, bytes] = {}
        outgrown: list[str] = []
        number = self.size // TILE_WIDTH
        rest = (*self.entries, *new)
        for first in range(0, len(rest), TILE_WIDTH):
            bundle = rest[first : first + TILE_WIDTH]
            objects[bundle_path(number, len(bundle))] = format_bundle(bundle)
            if self.entries and first == 0 and len(bundle) == TILE_WIDTH:
                outgrown.append(f"{bundle_path(number)}.p/")
            number += 1
        frontier = self.frontier.copy()
        rows = list(self.rows)
        for level, hashes in enumerate(frontier.extend(leaf_hashes(new))):
            if level == len(rows):
                rows.append(b"")
            number = (self.size >> 8 * level) // TILE_WIDTH
            row = rows[level] + hashes
            if rows[level] and len(row) >= _FULL_BYTES:
                outgrown.append(f"{tile_path(level, number)}.p/")
            for begin in range(0, len(row), _FULL_BYTES):
                tile = row[begin : begin + _FULL_BYTES]
                objects[tile_path(level, number, len(tile) // HASH_BYTES)] = tile
                number += 1
            rows[level] = row[len(row) - len(row) % _FULL_BYTES :]
        entries = rest[len(rest) - len(rest) % TILE_WIDTH :]
        return Growth(Edge(frontier, tuple(rows), entries), objects, outgrown)


def _open_rows(tree: Tree, size: int) -> tuple[bytes, ...]:
    """Read, for each tile level, the hashes in the tile that is not full at a size."""
    rows: list[bytes] = []
    while nodes := size >> 8 * len(rows):
        rows.append(tree.joined_hashes(len(rows), nodes - nodes % TILE_WIDTH, nodes))
    return tuple(rows)


def split_entries(data: bytes, count: int) -> list[bytes]:
    """Take apart entries that lie one after another, each behind its length in two bytes.

    Raises:
        FormatError: they are not so many.
    """
    entries: list[bytes] = []
    at = 0
    for _ in range(0, count, TILE_WIDTH):
        some = min(TILE_WIDTH, count - len(entries))
        end = at
        for _ in range(some):
            end += 2 + int.from_bytes(data[end : end + 2])
        entries += parse_bundle(data[at:end], some)
        at = end
    if at != len(data):
        raise FormatError(
            f"there are {len(data) - at} bytes behind the {count} entries of a call",
            hint="Was the database changed by another program?",
        )
    return entries
