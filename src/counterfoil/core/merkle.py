"""Merkle mathematics of RFC 9162: roots, inclusion proofs and consistency proofs.

A tree of `n` leaves splits at the largest power of two below `n`, so all but its right edge
consists of complete subtrees. Everything here follows from that: a proof is a list of roots of
ranges, a range is a handful of complete subtrees, and the right edge (`Frontier`) is all that
appending needs to know.

Where hashes come from is not known here: provers ask a `NodeReader` for the root of a complete
subtree, given its level (log2 of its leaves) and its index among the subtrees of that level.

Source:
    RFC 9162, section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from struct import iter_unpack
from typing import NewType, cast

from counterfoil.errors import FormatError, ProofError

HASH_BYTES = 32
# A tree of 2**63 leaves has paths of 63 hashes; nothing longer can be true.
MAX_PROOF_HASHES = 63
MAX_SIZE = 2**63 - 1

Hash = NewType("Hash", bytes)
NodeReader = Callable[[int, int], Hash]

EMPTY_ROOT = Hash(sha256(b"").digest())


def as_hash(data: bytes, what: str = "hash") -> Hash:
    """Give `data` the type `Hash`.

    Raises:
        FormatError: `data` is not 32 bytes long.
    """
    if len(data) != HASH_BYTES:
        raise FormatError(
            f"{what} is {len(data)} bytes long, not {HASH_BYTES}",
            hint="A SHA-256 digest is expected here.",
        )
    return Hash(bytes(data))


def leaf_hash(entry: bytes) -> Hash:
    """Hash an entry into its leaf: SHA-256(00 ‖ entry)."""
    return Hash(sha256(b"\x00" + entry).digest())


def leaf_hashes(entries: Sequence[bytes]) -> bytes:
    """Hash many entries, as `leaf_hash` does; their leaf hashes one after another."""
    sha = sha256
    return b"".join([sha(b"\x00" + entry).digest() for entry in entries])


def split_hashes(joined: bytes) -> list[Hash]:
    """Take apart hashes that lie one after another."""
    return cast(
        "list[Hash]", [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]
    )


def node_hash(left: bytes, right: bytes) -> Hash:
    """Hash two subtree roots into their parent: SHA-256(01 ‖ left ‖ right)."""
    return Hash(sha256(b"\x01" + left + right).digest())


def parent_hashes(row: bytes) -> bytes:
    """Hash each two of a row of hashes, an even number of them, as `node_hash` does."""
    sha = sha256
    return b"".join([sha(b"\x01" + pair).digest() for (pair,) in iter_unpack("64s", row)])


class Frontier:
    """The right edge of a growing tree: one root for each complete subtree it consists of.

    Holds at most 63 hashes whatever the size, so appending costs memory that does not grow.

    Args:
        size: Number of leaves so far.
        peaks: Roots of the complete subtrees, by level; `peaks[level]` is None where bit
            `level` of `size` is 0.
    """

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[Hash | None] = ()) -> None:
        self.size = size
        self._peaks = list(peaks)

    @classmethod
    def at(cls, size: int, node: NodeReader) -> Frontier:
        """Read the right edge of the tree with `size` leaves."""
        return cls(
            size,
            [
                node(level, (size >> level) - 1) if size >> level & 1 else None
                for level in range(size.bit_length())
            ],
        )

    @property
    def peaks(self) -> tuple[Hash, ...]:
        """Roots of the complete subtrees, smallest first: the path of a leaf appended next."""
        return tuple(peak for peak in self._peaks if peak is not None)

    def copy(self) -> Frontier:
        """Make an independent frontier in the same state."""
        return Frontier(self.size, self._peaks)

    def extend(self, leaves: bytes, every: int = 8) -> list[bytes]:
        """Append leaves; return the subtree roots that this completed at every 8th level.

        Args:
            leaves: Leaf hashes, 32 bytes each, one after another.
            every: Distance between the levels that are returned.

        Returns:
            Item `k` holds, left to right and one after another, the new complete subtrees of level
            `k * every`; item 0 is the leaves themselves. These are the hashes that tiles of height
            8 hold.

        Raises:
            FormatError: the leaves are no whole number of hashes.
        """
        if len(leaves) % HASH_BYTES:
            raise FormatError(
                f"leaf hashes have {len(leaves)} bytes, which is no multiple of {HASH_BYTES}",
                hint="Give them one after another, 32 bytes each.",
            )
        self.size += len(leaves) // HASH_BYTES
        completed: list[bytes] = []
        row = leaves
        level = 0
        while row:
            if level % every == 0:
                completed.append(row)
            if level == len(self._peaks):
                self._peaks.append(None)
            waiting = self._peaks[level]
            if waiting is not None:
                row = waiting + row
            paired = len(row) - len(row) % (2 * HASH_BYTES)
            self._peaks[level] = Hash(row[paired:]) if paired < len(row) else None
            row = parent_hashes(row[:paired])
            level += 1
        return completed

    def root(self) -> Hash:
        """Compute the root: the peaks folded from right to left."""
        first, *others = self.peaks or (EMPTY_ROOT,)
        return _climb(first, others, -1)


def root_of(leaves: Sequence[Hash]) -> Hash:
    """Compute the root of the tree with these leaf hashes (RFC 9162, section 2.1.1)."""
    frontier = Frontier()
    frontier.extend(b"".join(leaves))
    return frontier.root()


def prove_inclusion(index: int, size: int, node: NodeReader) -> tuple[Hash, ...]:
    """Build the path from leaf `index` to the root of the tree with `size` leaves.

    Args:
        index: Zero-based position, `0 <= index < size`.
        size: Number of leaves.
        node: Gives the roots of complete subtrees below `size`.

    Returns:
        Sibling hashes, leaf to root. RFC 6962 calls this a "Merkle audit path".

    Raises:
        ProofError: `index` is outside the tree.

    Source:
        RFC 9162, section 2.1.3.1.
    """
    if not 0 <= index < size:
        raise ProofError(f"there is no entry {index} in a tree of {size}")
    path: list[Hash] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(range_root(middle, high, node))
            high = middle
        else:
            path.append(range_root(low, middle, node))
            low = middle
    return tuple(reversed(path))


def prove_consistency(old_size: int, size: int, node: NodeReader) -> tuple[Hash, ...]:
    """Build the proof that the tree with `size` leaves begins with the one of `old_size`.

    Raises:
        ProofError: not `0 <= old_size <= size`.

    Source:
        RFC 9162, section 2.1.4.1.
    """
    if not 0 <= old_size <= size:
        raise ProofError(f"a tree of {size} cannot extend one of {old_size}")
    return prove_range(0, old_size, size, node)


def prove_range(start: int, end: int, size: int, node: NodeReader) -> tuple[Hash, ...]:
    """Build the proof that leaves [start, end) of the tree with `size` leaves have their root.

    Args:
        start: Index of the first; aligned, as `subtree` says.
        end: Index behind the last, at most `size`.
        size: Number of leaves.
        node: Gives the roots of complete subtrees below `size`.

    Source:
        draft-ietf-plants-merkle-tree-certs-05, section 4.4.1, of which RFC 9162 has the case that
        `start` is 0.
    """
    if start == end:
        return ()
    path: list[Hash] = []
    first, low, high = start, 0, size
    while (first, end) != (low, high):
        middle = low + _split(high - low)
        if end <= middle:
            path.append(range_root(middle, high, node))
            high = middle
        else:
            path.append(range_root(low, middle, node))
            first = max(first, middle)  # what it loses here is the range's own
            low = middle
    if first != start:
        path.append(range_root(low, high, node))
    return tuple(reversed(path))


def check_inclusion(leaf: Hash, index: int, size: int, path: Sequence[Hash], root: Hash) -> None:
    """Check that `leaf` is number `index` of the tree with `size` leaves and this root.

    Who vouches for `root` is not looked at here.

    Args:
        leaf: Leaf hash, 32 bytes.
        index: Zero-based position, `0 <= index < size`.
        size: Number of leaves.
        path: Sibling hashes, leaf to root, 32 bytes each.
        root: Root hash, 32 bytes.

    Raises:
        FormatError: a hash is not 32 bytes long.
        ProofError: the index is outside the tree, the path is too short or too long, or it
            leads to another root.

    Source:
        RFC 9162, section 2.1.3.2; the two halves of the path are explained in
        "Merkle tree proofs", transparency-dev.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofError(f"there is no entry {index} in a tree of {size}")
    # Below the level where the leaf's and the last leaf's ways to the root meet, siblings lie on
    # both sides; above it, only on the left, one for each 1 bit of the index.
    inner = (index ^ (size - 1)).bit_length()
    length = inner + (index >> inner).bit_count()
    if len(path) != length:
        raise ProofError(
            f"inclusion proof of entry {index} in a tree of {size} has {len(path)} hashes, "
            f"not {length}"
        )
    _check_widths(leaf, root, *path)
    if _climb(leaf, path, index | -1 << inner) != root:
        raise ProofError("inclusion proof leads to another root")


def check_consistency(
    old_size: int, old_root: Hash, size: int, root: Hash, proof: Sequence[Hash]
) -> None:
    """Check that the tree (`size`, `root`) begins with the tree (`old_size`, `old_root`).

    Args:
        old_size: Leaves of the older tree, at least 1; see `check_extension` for 0.
        old_root: Its root, 32 bytes.
        size: Leaves of the newer tree.
        root: Its root, 32 bytes.
        proof: Hashes, 32 bytes each; empty when the sizes are equal.

    Raises:
        FormatError: a hash is not 32 bytes long.
        ProofError: the sizes do not fit, or the proof leads to other roots.

    Source:
        RFC 9162, section 2.1.4.2.
    """
    if not 1 <= old_size <= size <= MAX_SIZE:
        raise ProofError(f"no proof can show that a tree of {size} extends one of {old_size}")
    check_range(range(old_size), old_root, size, root, proof)


def check_range(
    leaves: range, leaves_root: Hash, size: int, root: Hash, proof: Sequence[Hash]
) -> None:
    """Check a proof of `prove_range`.

    Args:
        leaves: At least one, of the tree, and aligned, which are not checked.
        leaves_root: Their root, 32 bytes.
        size: Leaves of the tree.
        root: Its root, 32 bytes.
        proof: Hashes, 32 bytes each.

    Raises:
        FormatError: a hash is not 32 bytes long.
        ProofError: the proof leads to other roots.

    Source:
        draft-ietf-plants-merkle-tree-certs-05, section 4.4.3.
    """
    _check_widths(leaves_root, root, *proof)
    if _climb_twice(leaves, leaves_root, size, proof) != (leaves_root, root):
        raise ProofError(f"the proof of entries {leaves[0]} to {leaves[-1]} leads to another root")


def prefix_root(old_size: int, size: int, root: Hash, proof: Sequence[Hash]) -> Hash:
    """Give the root of a tree's first entries, as a consistency proof shows it.

    Where that is not the root which was seen before, the proof shows another history: its hashes
    lead to `root`, so they are in that tree, and it begins otherwise. A proof from an `old_size`
    that is a power of two, and less than `size`, lacks the root that is asked for.

    Args:
        old_size: How many, at least 1.
        size: Leaves of the tree, and so on: as `check_consistency` has them.
        root: Likewise.
        proof: Likewise.

    Raises:
        ProofError: it shows none.

    Source:
        RFC 9162, section 2.1.4.2: `fr`, where `sr` is the root.
    """
    if not 1 <= old_size <= size <= MAX_SIZE:
        raise ProofError(f"a tree of {size} has no first {old_size} entries")
    _check_widths(root, *proof)
    old_root, climbed = _climb_twice(range(old_size), root, size, proof)
    if climbed != root:
        raise ProofError(f"the proof of entries 0 to {old_size - 1} leads to another root")
    return old_root


def check_extension(
    old_size: int, old_root: Hash, size: int, root: Hash, proof: Sequence[Hash]
) -> None:
    """Check as `check_consistency`, and that the empty tree is extended by any, without proof.

    This is what a witness asks of a log's first checkpoint.

    Raises:
        FormatError: a hash is not 32 bytes long.
        ProofError: the proof does not hold, or a proof is given where none is due.

    Source:
        C2SP tlog-witness, add-checkpoint.
    """
    if old_size != 0:
        check_consistency(old_size, old_root, size, root, proof)
        return
    _check_widths(old_root, root)
    if proof:
        raise ProofError("nothing has to be proven to extend the empty tree")
    if old_root != EMPTY_ROOT or (size == 0 and root != EMPTY_ROOT):
        raise ProofError("the empty tree has another root")


def _climb_twice(
    leaves: range, leaves_root: Hash, size: int, proof: Sequence[Hash]
) -> tuple[Hash, Hash]:
    """Compute both roots that a proof of `prove_range` leads to: of the range, and of the tree.

    Raises:
        ProofError: it has the wrong length.
    """
    # The range's last subtree that is complete, or that ends the tree, is where the ways to both
    # roots begin. From there the proof has the two halves of an inclusion proof of that subtree.
    first, last, edge = leaves[0], leaves[-1], size - 1
    while first != last and (last & 1 or last == edge):
        first, last, edge = first >> 1, last >> 1, edge >> 1
    hashes = [leaves_root, *proof] if first == last else proof
    inner = (last ^ edge).bit_length()
    if len(hashes) != 1 + inner + (last >> inner).bit_count():
        raise ProofError(
            f"the proof of entries {leaves[0]} to {leaves[-1]} in a tree of {size} has the wrong "
            f"length, {len(proof)}"
        )
    seed, *siblings = hashes
    left = last | -1 << inner
    # What stands on the right of the way is not in the range, nor what lies left of its first leaf.
    own = [sibling for place, sibling in enumerate(siblings) if left >> place & 1]
    own = own[: (first ^ last).bit_count()]
    return _climb(seed, own, -1), _climb(seed, siblings, left)


def _climb(node: bytes, siblings: Sequence[bytes], left: int) -> Hash:
    """Hash a node with one sibling after another.

    Args:
        node: Where the way begins.
        siblings: 32 bytes each, which is not checked here.
        left: Bit `i` says that sibling `i` stands on the left; -1, that all do.
    """
    for sibling in siblings:
        pair = sibling + node if left & 1 else node + sibling
        node = sha256(b"\x01" + pair).digest()
        left >>= 1
    return Hash(node)


def _split(size: int) -> int:
    """Find the largest power of two below `size`, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1


def range_root(low: int, high: int, node: NodeReader) -> Hash:
    """Compute the root of leaves [low, high), a range that a split of the RFC yields.

    Such a range begins at a multiple of the power of two that holds it, so it is made of
    complete subtrees, largest first.
    """
    if low == high:
        return EMPTY_ROOT
    peaks: list[Hash] = []
    rest = high - low
    while rest:
        level = rest.bit_length() - 1
        peaks.append(node(level, low >> level))
        low += 1 << level
        rest -= 1 << level
    first, *others = reversed(peaks)
    return _climb(first, others, -1)


def _check_widths(*hashes: bytes) -> None:
    """Refuse hashes that are not 32 bytes; with other widths, two could be read as one."""
    for width in set(map(len, hashes)) - {HASH_BYTES}:
        raise FormatError(f"a hash in the proof is {width} bytes long, not {HASH_BYTES}")
