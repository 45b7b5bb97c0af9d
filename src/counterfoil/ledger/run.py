"""A run: entries as they lie in a tree's file, one after another, each behind its length.

Whoever wants the entries gets them taken apart; whoever wants only their leaf hashes, as an audit
does, gets these without a Python object for each entry.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from counterfoil import kernel
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
            raise self._disagreement()
        return bodies

    def leaves(self) -> bytes:
        """Hash the entries into their leaves, 32 bytes each, one after another.

        Raises:
            VerificationError: the files disagree about where an entry lies.
        """
        if not kernel.is_native():
            return leaf_hashes(self.bodies())
        hashes = kernel.run_leaves(self.data, self.begin, self.ends, self.width)
        if hashes is None:
            raise self._disagreement()
        return hashes

    def _disagreement(self) -> VerificationError:
        return VerificationError(
            f"{self.folder}: `entries` and `ends` disagree about an entry from {self.start} to "
            f"{self.start + len(self.ends) - 1}",
            hint="A file was changed; restore the folder from a backup.",
        )
