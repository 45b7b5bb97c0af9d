"""Subtrees: ranges of a log that have a root of their own, and are proven to be part of the log.

Leaves [start, end) are a subtree if `start` is a multiple of the smallest power of two that holds
so many. It is a Merkle tree by itself: an entry's path in it is shorter than in the
whole log, and a witness that has cosigned the log signs the subtree once it is proven consistent
with that (`cosignature.cosign_subtree`).

Any range lies in two of them, of which less than half of the first is too much (`cover`).

Source:
    draft-ietf-plants-merkle-tree-certs-05, section 4. With `start` 0 a consistency proof is the one
    of RFC 9162, with one leaf it is an inclusion proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from counterfoil.core.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Hash,
    NodeReader,
    check_range,
    prove_inclusion,
    prove_range,
    range_root,
)
from counterfoil.errors import FormatError, ProofError


@dataclass(frozen=True, slots=True)
class Subtree:
    """Leaves [start, end) of a log.

    Args:
        start: Index of the first.
        end: Index behind the last.

    Raises:
        FormatError: such a range is no subtree.
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end <= MAX_SIZE or self.start % _bit_ceil(self.size):
            raise FormatError(
                f"[{self.start}, {self.end}) is no subtree",
                hint="It begins at a multiple of the least power of two that holds its leaves.",
            )

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self.end - self.start

    def root(self, node: NodeReader) -> Hash:
        """Compute its root from the complete subtrees of the log."""
        return range_root(self.start, self.end, node)

    def prove_inclusion(self, index: int, node: NodeReader) -> tuple[Hash, ...]:
        """Build the path from the log's leaf `index` to the root of this subtree.

        `merkle.check_inclusion` checks it, with `index - start` and `size`.

        Raises:
            ProofError: the leaf is outside.
        """
        if not self.start <= index < self.end:
            raise ProofError(f"there is no entry {index} in [{self.start}, {self.end})")
        # Levels up to the subtree's own begin at a multiple of their width.
        return prove_inclusion(
            index - self.start,
            self.size,
            lambda level, place: node(level, place + (self.start >> level)),
        )

    def prove_consistency(self, size: int, node: NodeReader) -> tuple[Hash, ...]:
        """Build the proof that the log of `size` leaves has this subtree.

        Raises:
            ProofError: it ends behind the log.
        """
        if self.end > size:
            raise ProofError(f"a log of {size} does not hold [{self.start}, {self.end})")
        return prove_range(self.start, self.end, size, node)


def check_subtree(
    subtree: Subtree, subtree_root: Hash, size: int, root: Hash, proof: Sequence[Hash]
) -> None:
    """Check that the tree (`size`, `root`) has `subtree`, and that this has `subtree_root`.

    Args:
        subtree: The range.
        subtree_root: Its root, 32 bytes.
        size: Leaves of the log.
        root: The log's root, 32 bytes.
        proof: Hashes, 32 bytes each.

    Raises:
        FormatError: a hash is not 32 bytes long.
        ProofError: the sizes do not fit, or the proof leads to other roots.

    Source:
        draft-ietf-plants-merkle-tree-certs-05, section 4.4.3.
    """
    if not subtree.end <= size <= MAX_SIZE:
        raise ProofError(f"a log of {size} does not hold [{subtree.start}, {subtree.end})")
    if subtree.size:
        leaves = range(subtree.start, subtree.end)
        check_range(leaves, subtree_root, size, root, proof)
    elif proof or subtree_root != EMPTY_ROOT:
        raise ProofError("an empty subtree has the empty root, and needs no proof")


def cover(start: int, end: int) -> tuple[Subtree, Subtree]:
    """Find two adjacent subtrees that end with [start, end), and hold it with little before it.

    Raises:
        FormatError: that is no range.

    Source:
        draft-ietf-plants-merkle-tree-certs-05, section 4.5.1.
    """
    if not 0 <= start <= end <= MAX_SIZE:
        raise FormatError(f"[{start}, {end}) is no range of a log")
    if end - start <= 1:
        return Subtree(start, end), Subtree(end, end)
    last = end - 1
    # Where the ways of the first and the last leaf meet, the second subtree begins on the right.
    below = (1 << (start ^ last).bit_length() - 1) - 1
    middle = last & ~below
    width = (~start & below).bit_length()
    return Subtree(start >> width << width, middle), Subtree(middle, end)


def _bit_ceil(number: int) -> int:
    """Find the smallest power of two that is not below `number`."""
    return 1 << max(0, number - 1).bit_length()
