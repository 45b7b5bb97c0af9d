"""A tree on disk as its readers see it.

The files are described in `treestore`, which adds the one writer.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

from counterfoil.core.canonical import parse_canonical
from counterfoil.core.merkle import HASH_BYTES, Frontier
from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.disk import Disk, read_file, reported, require_posix
from counterfoil.ledger.flatfiles import FlatFiles
from counterfoil.ledger.journal import Frame, peek
from counterfoil.ledger.run import Run, split_entries
from counterfoil.ledger.tree import Published, Tree

TREE_FORMAT = "counterfoil tree v1"
END_BYTES = 8
_MAX_WIDTHS_BYTES = 1 << 10  # of tree.json, which has three short members


class TreeView(Tree):
    """What was published of the tree in `folder`, as of the last `refresh`."""

    def __init__(self, folder: Path, disk: Disk, *, write: bool) -> None:
        require_posix()
        super().__init__(str(folder))
        self.folder = folder
        self._disk = disk
        self._slot_bytes, self._length_bytes = _read_widths(folder)
        self._files = FlatFiles(folder, disk, write=write)

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

    def payloads(self, start: int, stop: int) -> Iterator[bytes | None]:
        """Read the payloads [start, stop), as `payload`; None for one that was erased."""
        width = self._slot_bytes
        slots = self._files.read("slots", start * width, (self._known(stop) - start) * width)
        for place, body in enumerate(self.bodies(start, stop)):
            slot = slots[place * width : (place + 1) * width]
            yield slot + body if any(slot) else None

    def read_run(self, start: int, stop: int) -> Run:
        """Read entries [start, stop), at least one, at once and as they lie in the file."""
        begin, ends = self._read_ends(start, stop)
        data = self._files.read("entries", begin, ends[-1] - begin)
        return Run(self.folder, start, data, begin, ends, self._length_bytes)

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

    def unpublished(self) -> Published | None:
        """Find what the next writer would go on from: commits in the journal beyond the head."""
        published = self._published
        size = published.frontier.size
        beyond = self._beyond()
        if not beyond:
            return None
        # From what is published, so that a journal of another history does not pass for its end.
        frontier = Frontier.at(size, self.node)
        if frontier.root() != published.root:
            return None
        for frame in beyond:
            frontier.extend(frame.leaves)
        return Published(frontier, frontier.root(), beyond[-1].head)

    def waiting(self) -> list[bytes]:
        """Read the entries that `unpublished` has beyond the published."""
        return [
            entry
            for frame in self._beyond()
            for entry in split_entries(frame.entries, self._length_bytes)
        ]

    def close(self) -> None:
        """Release the files."""
        self._files.close()

    def _beyond(self) -> list[Frame]:
        """Read the commits in the journal that go on from the published head."""
        size = self._published.frontier.size
        path = self.folder / "journal"
        if not path.exists():
            return []
        with reported(f"cannot read {path}"):
            frames = peek(path, self._length_bytes)
        beyond = [frame for frame in frames if frame.size_after > size]
        return beyond if beyond and beyond[0].size_before == size else []

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
