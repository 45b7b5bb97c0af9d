"""A tree on disk as its readers see it: proofs, payloads and hashes of what was published.

The files are described in `treestore`, which adds the one writer.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from counterfoil import kernel
from counterfoil.core.canonical import parse_canonical
from counterfoil.core.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    Frontier,
    Hash,
    check_inclusion,
    prove_consistency,
    prove_inclusion,
    split_hashes,
)
from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.disk import Disk, read_file, require_posix
from counterfoil.ledger.flatfiles import FlatFiles
from counterfoil.ledger.run import Run

TILE_WIDTH = 256
TREE_FORMAT = "counterfoil tree v1"
END_BYTES = 8
_READ_ENTRIES = 1024  # entries read at once when iterating
_MAX_WIDTHS_BYTES = 1 << 10  # of tree.json, which has three short members


class Published(NamedTuple):
    """What readers see of a tree."""

    frontier: Frontier
    root: Hash
    head: bytes


class TreeView:
    """What was published of the tree in `folder`, as of the last `refresh`."""

    def __init__(self, folder: Path, disk: Disk, *, write: bool) -> None:
        require_posix()
        self.folder = folder
        self._disk = disk
        self._slot_bytes, self._length_bytes = _read_widths(folder)
        self._files = FlatFiles(folder, disk, write=write)
        self._full_tile = lru_cache(maxsize=64)(self._read_full_tile)
        # Size, root and head change together, so that a thread never sees parts of two commits.
        self._published = Published(Frontier(), EMPTY_ROOT, b"")

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._published.frontier.size

    @property
    def head(self) -> bytes:
        """What was published with the newest commit; empty before the first."""
        return self._published.head

    @property
    def published(self) -> Published:
        """Frontier, root and head of one moment."""
        return self._published

    def root(self, size: int | None = None) -> Hash:
        """Compute the root at `size` leaves, by default now."""
        if size is None or size == self.size:
            return self._published.root
        return Frontier.at(self._known(size), self.node).root()

    def leaf(self, index: int) -> Hash:
        """Read the leaf hash at `index`."""
        self._known(index + 1)
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
        path = self.inclusion(index, published.frontier.size)
        # Checked before it leaves: a disk that changed must not make us hand out nonsense.
        check_inclusion(self.leaf(index), index, published.frontier.size, path, published.root)
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

    def payload(self, index: int) -> bytes:
        """Read the payload at `index`: slot and body.

        Raises:
            ProofError: there is no such entry.
            UnavailableError: it was erased.
        """
        self._known(index + 1)
        slot = self._files.read("slots", index * self._slot_bytes, self._slot_bytes)
        if self._slot_bytes and not any(slot):
            raise UnavailableError(f"entry {index} of {self.folder} was erased")
        return slot + next(self.bodies(index, index + 1))

    def bodies(self, start: int, stop: int) -> Iterator[bytes]:
        """Read the bodies of entries [start, stop); those of erased entries are zeros.

        Raises:
            VerificationError: the files disagree about where an entry lies.
        """
        for first in range(start, stop, _READ_ENTRIES):
            yield from self.read_run(first, min(stop, first + _READ_ENTRIES)).bodies()

    def read_run(self, start: int, stop: int) -> Run:
        """Read entries [start, stop), at least one, at once and as they lie in the file."""
        begin, ends = self._read_ends(start, stop)
        data = self._files.read("entries", begin, ends[-1] - begin)
        return Run(self.folder, start, data, begin, ends, self._length_bytes)

    def hashes(self, tile_level: int, start: int, stop: int) -> list[Hash]:
        """Read the stored hashes [start, stop) of level `8 * tile_level`."""
        return split_hashes(self.joined_hashes(tile_level, start, stop))

    def joined_hashes(self, tile_level: int, start: int, stop: int) -> bytes:
        """Read them as they lie in the file, one after another."""
        return self._files.read(
            f"level{tile_level}", start * HASH_BYTES, (stop - start) * HASH_BYTES
        )

    def refresh(self) -> None:
        """Take over the newest published head; for readers.

        Raises:
            VerificationError: the head is damaged.
        """
        found = self._files.read_head()
        if found is None:
            raise VerificationError(
                f"{self.folder / 'head'} is damaged",
                hint="Open the ledger for writing once: its journal may still have the head.",
            )
        size, root, head = found
        self._published = Published(Frontier(size), root, head)

    def close(self) -> None:
        """Release the files."""
        self._files.close()

    def _known(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise FormatError(
                f"{self.folder} has {self.size} entries; there is no size or index {size}",
                hint="Indices count from 0; refresh a reader to see newer entries.",
            )
        return size

    def _read_ends(self, start: int, stop: int) -> tuple[int, array[int]]:
        """Read where entries [start, stop) lie: the first's begin, and each one's end."""
        first = max(start - 1, 0)
        ends = array("Q", self._files.read("ends", first * END_BYTES, (stop - first) * END_BYTES))
        if sys.byteorder == "big":
            ends.byteswap()
        begin = ends.pop(0) if start else 0
        return begin, ends

    def _end_of_entries(self, size: int) -> int:
        return self._read_ends(size - 1, size)[1][0] if size else 0

    def _read_full_tile(self, tile_level: int, tile: int) -> list[bytes]:
        first = tile * TILE_WIDTH
        return _layers(self.joined_hashes(tile_level, first, first + TILE_WIDTH))


def _layers(row: bytes) -> list[bytes]:
    """Compute all layers above a row of 2**k hashes, the row first, the root last."""
    layers = [row]
    while len(row) > HASH_BYTES:
        row = kernel.parents(row)
        layers.append(row)
    return layers


def _read_widths(folder: Path) -> tuple[int, int]:
    """Read tree.json: the widths of slots and of lengths."""
    path = folder / "tree.json"
    if not path.exists():
        raise FormatError(
            f"{folder} holds no counterfoil tree", hint="Create it with `counterfoil init`."
        )
    match parse_canonical(read_file(path, _MAX_WIDTHS_BYTES), what=str(path)):
        case {"format": "counterfoil tree v1", "length_bytes": 2 | 4 as width, "slot_bytes": slot}:
            if isinstance(slot, int) and isinstance(width, int) and 0 <= slot <= 1 << 10:
                return slot, width
    raise FormatError(
        f"{path} is not of the format {TREE_FORMAT!r}",
        hint="It was written by another version, or changed.",
    )
