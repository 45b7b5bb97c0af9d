"""A run: entries as they lie in a tree's file, one after another, each behind its length.

Whoever wants the entries gets them taken apart, whoever wants their leaf hashes gets these.
`lay_out` is the way back.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

from counterfoil.core.merkle import leaf_hashes
from counterfoil.errors import VerificationError

_LENGTHS = {2: "H", 4: "I"}  # array types by width


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive entries; their lengths are compared with their ends when they are used.

    Args:
        folder: The tree they are of.
        start: Index of the first.
        data: The bytes.
        begin: Where these begin in the file.
        ends: Where each entry ends in the file.
        width: Bytes of the length before each, 2 or 4.
    """

    folder: Path
    start: int
    data: bytes
    begin: int
    ends: array[int]
    width: int

    def bodies(self) -> list[bytes]:
        """Take the entries apart.

        Raises:
            VerificationError: the files disagree about where an entry lies.
        """
        data, width, begin = self.data, self.width, self.begin
        offsets = [0, *[end - begin for end in self.ends]]
        bodies = [data[at + width : end] for at, end in pairwise(offsets)]
        said = b"".join([data[at : at + width] for at in offsets[:-1]])
        lengths = array(_LENGTHS[width], map(len, bodies))
        if sys.byteorder == "little":
            lengths.byteswap()
        if said != lengths.tobytes():
            raise VerificationError(
                f"{self.folder}: `entries` and `ends` disagree about an entry from {self.start} to "
                f"{self.start + len(self.ends) - 1}",
                hint="A file was changed; restore the folder from a backup.",
            )
        return bodies

    def leaves(self) -> bytes:
        """Hash the entries into their leaves, 32 bytes each, one after another.

        Raises:
            VerificationError: the files disagree about where an entry lies.
        """
        return leaf_hashes(self.bodies())


class LaidOut(NamedTuple):
    """Entries as the files of a tree hold them.

    Args:
        entries: Each behind its length.
        ends: Where each ends in the file, u64 little-endian.
    """

    entries: bytes
    ends: bytes


def lay_out(bodies: Sequence[bytes], lengths: array[int], width: int, begin: int) -> LaidOut:
    """Lay entries out for the end of a file.

    Args:
        bodies: The entries.
        lengths: Bytes of each, which fit into `width` bytes; an array of type `Q`.
        width: Bytes of the length before each, 2 or 4.
        begin: Where the file ends now.
    """
    parts: list[bytes] = [b""] * (2 * len(lengths))
    prefixes = {length: length.to_bytes(width, "big") for length in set(lengths)}
    parts[0::2] = [prefixes[length] for length in lengths]
    parts[1::2] = bodies
    ends = accumulate([length + width for length in lengths], initial=begin)
    return LaidOut(b"".join(parts), _encode_ends(array("Q", ends)[1:]))


def count_entries(entries: bytes | bytearray, width: int) -> int | None:
    """Count entries, each behind its length; None if the last one does not end where they do."""
    ends = [0, *_ends(entries, width)]
    return len(ends) - 1 if ends[-1] == len(entries) else None


def find_ends(entries: bytes | bytearray, width: int, begin: int) -> bytes:
    """Find where each entry ends in a file, as `LaidOut` has it, if the first begins at `begin`."""
    return _encode_ends(array("Q", [begin + end for end in _ends(entries, width)]))


def split_entries(entries: bytes | bytearray, width: int) -> Iterator[bytes]:
    """Take entries apart that lie one after another, each behind its length."""
    begin = 0
    for end in _ends(entries, width):
        yield bytes(entries[begin + width : end])
        begin = end


def _ends(entries: bytes | bytearray, width: int) -> Iterator[int]:
    offset = 0
    while offset < len(entries):
        offset += width + int.from_bytes(entries[offset : offset + width], "big")
        yield offset


def _encode_ends(ends: array[int]) -> bytes:
    if sys.byteorder == "big":
        ends.byteswap()
    return ends.tobytes()
