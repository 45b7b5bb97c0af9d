"""Tiles and entry bundles: a log's tree and entries as files that never change.

    tile/0/x001/x234/067         256 hashes of level 0: leaves 1234067 * 256 and on
    tile/1/000.p/17              the first 17 roots of full tiles of level 0
    tile/entries/x001/067.p/5    five entries, each after its length in two bytes

Hash `i` of tile `index` at `level` is the root of the `256**level` leaves that begin at
`(index * 256 + i) * 256**level`; only complete subtrees are in tiles. A tile with fewer than 256
hashes is partial and says its width; once it is full, partial ones may go.

Source:
    C2SP tlog-tiles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from counterfoil.core.merkle import MAX_SIZE
from counterfoil.core.text import shown
from counterfoil.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

TILE_WIDTH = 256
"""Hashes in a full tile, entries in a full bundle."""

TILE_LEVELS = 8
"""Tree levels that one tile spans; `2**TILE_LEVELS == TILE_WIDTH`."""

MAX_TILE_LEVEL = 63
"""Highest level that a path may name (C2SP tlog-tiles)."""

MAX_TILE_INDEX = MAX_SIZE // TILE_WIDTH
"""Highest index of a tile: that of the last leaf of the largest tree."""

MAX_ENTRY_BYTES = 65_535
"""Longest entry of a log: bundles write its length in two bytes."""

_PATH = re.compile(
    r"tile/(?:(?P<level>0|[1-9][0-9]?)|entries)"
    r"/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)
_MAX_PATH_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Tile:
    """Which tile or bundle.

    Args:
        level: Level of a tile of hashes, 0 to 63; None for a bundle of entries.
        index: Its number among those of its level, from 0.
        width: How many hashes or entries it holds, 1 to 256.
    """

    level: int | None
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if (
            not 0 <= (self.level or 0) <= MAX_TILE_LEVEL
            or not 0 <= self.index <= MAX_TILE_INDEX
            or not 1 <= self.width <= TILE_WIDTH
        ):
            raise FormatError(
                f"there is no tile of level {self.level}, index {self.index}, width {self.width}",
                hint=f"Levels go from 0 to {MAX_TILE_LEVEL}, widths from 1 to {TILE_WIDTH}.",
            )

    @property
    def path(self) -> str:
        """Where it lies below the log's prefix; `parse_tile_path` is the inverse."""
        groups = f"{self.index:,}".split(",")
        *upper, last = (group.zfill(3) for group in groups)
        number = "".join(f"x{group}/" for group in upper) + last
        kind = "entries" if self.level is None else self.level
        partial = f".p/{self.width}" if self.width < TILE_WIDTH else ""
        return f"tile/{kind}/{number}{partial}"


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Name the file of a tile of hashes.

    Raises:
        FormatError: There is no such tile.
    """
    return Tile(level, index, width).path


def bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """Name the file of a bundle of entries.

    Raises:
        FormatError: There is no such bundle.
    """
    return Tile(None, index, width).path


def parse_tile_path(path: str) -> Tile:
    """Read the path of a tile or bundle; `parse_tile_path(path).path == path`.

    Raises:
        FormatError: `path` is not one that `tile_path` or `bundle_path` writes.
    """
    match = _PATH.fullmatch(path) if len(path) <= _MAX_PATH_CHARACTERS else None
    if match is None:
        raise _no_tile_path(path)
    level, width = match["level"], match["width"]
    tile = Tile(
        None if level is None else int(level),
        int(match["index"].replace("x", "").replace("/", "")),
        TILE_WIDTH if width is None else int(width),
    )
    # Refuses the full width written out, and an index with a group of zeros in front.
    if tile.path != path:
        raise _no_tile_path(path)
    return tile


def tile_width(size: int, level: int, index: int) -> int:
    """Count the hashes in a tile of the tree with `size` leaves: 0 where there is no such tile.

    A bundle is as wide as the tile of level 0 with its index.
    """
    nodes = size >> (TILE_LEVELS * level)
    return max(0, min(TILE_WIDTH, nodes - index * TILE_WIDTH))


def format_bundle(entries: Sequence[bytes]) -> bytes:
    """Write a bundle: each entry after its length, two bytes, big-endian.

    Raises:
        FormatError: There are none or more than 256, or one is longer than `MAX_ENTRY_BYTES`.
    """
    _check_count(len(entries))
    longest = max(map(len, entries))
    if longest > MAX_ENTRY_BYTES:
        raise FormatError(
            f"an entry has {longest} bytes, at most {MAX_ENTRY_BYTES} fit",
            hint="Keep the large part beside the log and append its digest and size.",
        )
    return b"".join(chain.from_iterable((len(entry).to_bytes(2), entry) for entry in entries))


def parse_bundle(data: bytes, count: int) -> list[bytes]:
    """Read a bundle of exactly `count` entries.

    Args:
        data: The bundle.
        count: How many entries it has by its path and the log's size, 1 to 256.

    Raises:
        FormatError: It has fewer or more, or ends within one.
    """
    _check_count(count)
    entries: list[bytes] = []
    position = 0
    for number in range(count):
        start = position + 2
        position = start + int.from_bytes(data[position:start])
        if position > len(data):
            raise FormatError(
                f"the bundle ends within entry {number} of {count}",
                hint="Fetch it again; it was cut, or belongs to a smaller log.",
            )
        entries.append(data[start:position])
    if position != len(data):
        raise FormatError(
            f"the bundle goes on for {len(data) - position} bytes after its {count} entries",
            hint="Fetch it again; it may be that of a larger log.",
        )
    return entries


def _check_count(count: int) -> None:
    if not 1 <= count <= TILE_WIDTH:
        raise FormatError(
            f"a bundle has 1 to {TILE_WIDTH} entries, not {count}",
            hint="There are no empty bundles; longer runs of entries fill several.",
        )


def _no_tile_path(path: str) -> FormatError:
    return FormatError(
        f"{shown(path)} is not the path of a tile",
        hint="Paths look like tile/0/x001/067, tile/1/000.p/17 or tile/entries/000.p/5.",
    )
