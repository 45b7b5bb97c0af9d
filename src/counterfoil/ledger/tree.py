"""A published tree as its readers see it: proofs, entries and stored hashes, wherever they lie.

`Tree` computes; where the hashes and entries come from is for a subclass: files in a folder
(`treeview`), or a site that is believed in nothing (`counterfoil.remote`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from counterfoil.core.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    Frontier,
    Hash,
    check_inclusion,
    leaf_hash,
    parent_hashes,
    prove_consistency,
    prove_inclusion,
    split_hashes,
)
from counterfoil.core.tile import TILE_WIDTH
from counterfoil.errors import FormatError, VerificationError
from counterfoil.ledger.run import Run

_READ_ENTRIES = 1024  # entries read at once when iterating


class Published(NamedTuple):
    """What readers see of a tree."""

    frontier: Frontier
    root: Hash
    head: bytes


class Tree(ABC):
    """What was published of a tree, as of the last `refresh`.

    Args:
        name: What errors call it.
    """

    proves_entries = False
    """Whether `read_run` gives only entries that are proven to be under the published root."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._full_tile = lru_cache(maxsize=64)(self._read_full_tile)
        # Size, root and head change together, so that a thread never sees parts of two commits.
        self._published = Published(Frontier(), EMPTY_ROOT, b"")

    @abstractmethod
    def refresh(self) -> None:
        """Take over the newest published head; for readers."""

    @abstractmethod
    def joined_hashes(self, tile_level: int, start: int, stop: int) -> bytes:
        """Read the stored hashes [start, stop) of level `8 * tile_level`, one after another."""

    @abstractmethod
    def read_run(self, start: int, stop: int) -> Run:
        """Read entries [start, stop), at least one, at once and laid out one after another."""

    @abstractmethod
    def close(self) -> None:
        """Release what is held open."""

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._published.frontier.size

    @property
    def head(self) -> bytes:
        """What was published with the newest commit; empty before the first."""
        return self._published.head

    def unpublished(self) -> Published | None:
        """Find what is durable beyond the published and not shown yet; None if there is nothing.

        A tree elsewhere does not tell; nobody is to go by more of it than that it is there.
        """
        return None

    def waiting(self) -> list[bytes]:
        """Read the entries that `unpublished` has beyond the published; none where it has none."""
        return []

    @property
    def published(self) -> Published:
        """Frontier, root and head of one moment."""
        return self._published

    def root(self, size: int | None = None) -> Hash:
        """Compute the root at `size` leaves, by default now."""
        if size is None or size == self.size:
            return self._published.root
        return Frontier.at(self._known(size), self.node).root()

    def root_seen(self, size: int) -> Hash | None:
        """Compute the root at `size`; None where it is not seen here, as the log may have grown."""
        return self.root(size) if size <= self.size else None

    def leaf(self, index: int) -> Hash:
        """Read the leaf hash at `index`."""
        self._require_entry(index, self.size)
        return Hash(self.joined_hashes(0, index, index + 1))

    def node(self, level: int, index: int) -> Hash:
        """Compute the root of the complete subtree number `index` of 2**`level` leaves."""
        tile_level, height = divmod(level, 8)
        first = index << height
        tile, place = divmod(first, TILE_WIDTH)
        if (tile + 1) * TILE_WIDTH << 8 * tile_level <= self.size:
            at = (place >> height) * HASH_BYTES
            return Hash(self._full_tile(tile_level, tile)[height][at : at + HASH_BYTES])
        return Hash(_layers(self.joined_hashes(tile_level, first, first + (1 << height)))[-1])

    def inclusion(self, index: int, size: int | None = None) -> tuple[Hash, ...]:
        """Prove that the leaf at `index` is in the tree of `size` leaves (by default now)."""
        return prove_inclusion(index, self._known(size), self.node)

    def path(self, index: int, published: Published) -> tuple[Hash, ...]:
        """Prove as `inclusion`, in a tree that was published once, and check the proof.

        Raises:
            FormatError: there is no such entry.
            ProofError: the disk no longer holds what was published.
        """
        size = published.frontier.size
        self._require_entry(index, size)
        path = self.inclusion(index, size)
        # Checked before it leaves: a disk that changed must not make us hand out nonsense.
        check_inclusion(self.leaf(index), index, size, path, published.root)
        return path

    def consistency(self, old_size: int, size: int | None = None) -> tuple[Hash, ...]:
        """Prove that the tree of `size` leaves (by default now) extends that of `old_size`."""
        return prove_consistency(old_size, self._known(size), self.node)

    def root_below(self, size: int) -> Hash:
        """Compute as `root`, also for a size that is durable and not published yet."""
        return Frontier.at(size, self.node).root()

    def consistency_below(self, old_size: int, size: int) -> tuple[Hash, ...]:
        """Prove as `consistency`, also for a size that is durable and not published yet."""
        return prove_consistency(old_size, size, self.node)

    def bodies(self, start: int, stop: int) -> Iterator[bytes]:
        """Read the bodies of entries [start, stop); those of erased entries are zeros.

        Raises:
            VerificationError: what is stored contradicts itself.
        """
        for first in range(start, stop, _READ_ENTRIES):
            yield from self.read_run(first, min(stop, first + _READ_ENTRIES)).bodies()

    def checked(self, start: int, stop: int) -> Iterator[bytes]:
        """Read entries [start, stop), each compared with its leaf.

        Raises:
            VerificationError: one is not what was logged.
        """
        leaves = self.hashes(0, start, stop)
        entries = self.bodies(start, stop)
        for index, leaf, entry in zip(range(start, stop), leaves, entries, strict=True):
            if leaf_hash(entry) != leaf:
                raise VerificationError(
                    f"entry {index} of {self.name} is not the one that was logged",
                    hint="Restore it from a backup; `counterfoil log audit` checks all.",
                )
            yield entry

    def hashes(self, tile_level: int, start: int, stop: int) -> list[Hash]:
        """Read the stored hashes [start, stop) of level `8 * tile_level`."""
        return split_hashes(self.joined_hashes(tile_level, start, stop))

    def _require_entry(self, index: int, size: int) -> None:
        if not 0 <= index < size:
            raise FormatError(
                f"there is no entry {index}: {self.name} has {size}, the first one is number 0",
                hint="Refresh a reader to see newer entries.",
            )

    def _known(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise FormatError(
                f"{self.name} has {self.size} entries, and never had {size}",
                hint="Refresh a reader to see newer entries.",
            )
        return size

    def _read_full_tile(self, tile_level: int, tile: int) -> list[bytes]:
        first = tile * TILE_WIDTH
        return _layers(self.joined_hashes(tile_level, first, first + TILE_WIDTH))


def _layers(row: bytes) -> list[bytes]:
    """Compute all layers above a row of 2**k hashes, the row first, the root last."""
    layers = [row]
    while len(row) > HASH_BYTES:
        row = parent_hashes(row)
        layers.append(row)
    return layers
