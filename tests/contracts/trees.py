"""Merkle trees of any size, in memory that does not grow: all leaves are alike but a few."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from counterfoil.core.merkle import (
    Frontier,
    Hash,
    leaf_hash,
    node_hash,
    prove_consistency,
    prove_inclusion,
)

LIKE = leaf_hash(b"an entry like the others")


@cache
def _complete(level: int) -> Hash:
    """Root of 2**level like leaves."""
    return LIKE if level == 0 else node_hash(_complete(level - 1), _complete(level - 1))


class Tree:
    """A log as its prover sees it. Two trees agree up to the first entry in which they differ.

    Args:
        entries: What stands at which index, where it is not the usual entry.
    """

    def __init__(self, entries: Mapping[int, bytes] | None = None) -> None:
        self._leaves = {index: leaf_hash(entry) for index, entry in (entries or {}).items()}

    def node(self, level: int, index: int) -> Hash:
        """Root of a complete subtree."""
        if not any(place >> level == index for place in self._leaves):
            return _complete(level)
        if level == 0:
            return self._leaves[index]
        return node_hash(self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))

    def leaf(self, index: int) -> Hash:
        """Hash of an entry."""
        return self.node(0, index)

    def root(self, size: int) -> Hash:
        """Root of the first `size` entries."""
        return Frontier.at(size, self.node).root()

    def path(self, index: int, size: int) -> list[bytes]:
        """Inclusion proof."""
        return list(prove_inclusion(index, size, self.node))

    def proof(self, old_size: int, size: int) -> list[bytes]:
        """Consistency proof."""
        return list(prove_consistency(old_size, size, self.node))
