"""Tiles that were read once, in memory and in a folder: full ones never change.

The folder saves asking, and tells what a log was if its site does not any more. What comes from it
is checked like what comes from a server. It is bounded, and may be deleted at any time.

    <level>/<number>    full tiles of a level, 256 in a file, each at its place: a tile of its own
                        file would cost more to create than to fetch and prove
    edge                the partial tiles of the newest checkpoint, one after another
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import BinaryIO

from counterfoil.core.checkpoint import Checkpoint
from counterfoil.core.merkle import HASH_BYTES
from counterfoil.core.tile import TILE_WIDTH
from counterfoil.errors import FormatError, UnavailableError
from counterfoil.ledger.disk import read_file
from counterfoil.remote.edge import Edge, edge_tiles

MAX_TILES_IN_MEMORY = 2_048
"""Full tiles kept in memory: 16 MiB."""

MAX_TILES_ON_DISK = 16_384
"""Full tiles kept in the folder of a ledger elsewhere: 128 MiB, those of four million entries."""

TILE_BYTES = TILE_WIDTH * HASH_BYTES

Place = tuple[int, int]  # level and index
_EDGE = "edge"
_MAX_EDGE_BYTES = 8 * TILE_BYTES  # that of 2**64 entries has eight levels
_FILE_BYTES = TILE_WIDTH * TILE_BYTES
_HOLE = bytes(TILE_BYTES)  # what a file has where no tile was written
_BLOCK_BYTES = 512  # that `st_blocks` counts
_OPENING = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not make us wait


class TileCache:
    """Full tiles by level and index. May be used by several threads and processes.

    Args:
        folder: Where they are kept; None for memory alone.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._tiles: OrderedDict[Place, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._may_write = folder is not None
        self._on_disk: int | None = None  # about how many; counted when one is first written

    def apart(self) -> TileCache:
        """Give a cache that reads the same folder and keeps nothing in it."""
        cache = TileCache(self._folder)
        cache._may_write = False
        return cache

    def known(self, place: Place) -> bytes | None:
        """Give a tile that was checked in this process."""
        with self._lock:
            tile = self._tiles.get(place)
            if tile is not None:
                self._tiles.move_to_end(place)
            return tile

    def stored(self, place: Place) -> bytes | None:
        """Read a tile from the folder, unchecked."""
        if self._folder is None:
            return None
        path, offset = _find(self._folder, place)
        try:
            fd = os.open(path, os.O_RDONLY | _OPENING)
        except OSError:
            return None  # the server has it
        try:
            tile = os.pread(fd, TILE_BYTES, offset)
        except OSError:
            return None
        finally:
            os.close(fd)
        return tile if len(tile) == TILE_BYTES and tile != _HOLE else None

    def keep(self, place: Place, tile: bytes) -> None:
        """Take in a tile that was checked."""
        with self._lock:
            self._tiles[place] = tile
            self._tiles.move_to_end(place)
            if len(self._tiles) > MAX_TILES_IN_MEMORY:
                self._tiles.popitem(last=False)
        self.keep_row(place, tile)

    def keep_row(self, first: Place, tiles: bytes) -> None:
        """Keep tiles of a level that were checked, in the folder alone; they follow each other."""
        if self._may_write and self._folder is not None:
            with contextlib.suppress(OSError):  # a full disk costs us the cache alone
                self._write(self._folder, first, tiles)

    def edge(self, checkpoint: Checkpoint) -> Edge | None:
        """Read the right edge under a checkpoint, if that is the one which is kept."""
        data = self._read_edge()
        ends = [*accumulate(width * HASH_BYTES for _, _, width in edge_tiles(checkpoint.size))]
        if not ends or len(data) != ends[-1]:
            return None
        rows = tuple(data[start:end] for start, end in pairwise([0, *ends]))
        edge = Edge.of(checkpoint.size, rows)
        return edge if edge.root() == checkpoint.root else None

    def keep_edge(self, edge: Edge) -> None:
        """Keep the right edge of what is shown now."""
        if self._may_write and self._folder is not None:
            data = b"".join(edge.rows)
            with contextlib.suppress(OSError):  # as above
                if self._read_edge() != data:
                    _replace(self._folder / _EDGE, data)

    def _read_edge(self) -> bytes:
        """Read the kept edge, unchecked; nothing where there is none."""
        if self._folder is None:
            return b""
        try:
            return read_file(self._folder / _EDGE, _MAX_EDGE_BYTES)
        except (FormatError, UnavailableError):
            return b""  # the server has it

    def _write(self, folder: Path, first: Place, tiles: bytes) -> None:
        level, index = first
        new = 0
        while tiles:
            path, offset = _find(folder, (level, index))
            part = tiles[: _FILE_BYTES - offset]
            with _open_to_write(path) as file:
                if os.pread(file.fileno(), len(part), offset) != part:
                    # No sync: what a power cut spoils fails its check, and is fetched again.
                    os.pwrite(file.fileno(), part, offset)
                    new += len(part) // TILE_BYTES
            tiles = tiles[len(part) :]
            index += len(part) // TILE_BYTES
        with self._lock:
            if self._on_disk is None:
                self._on_disk = sum(count for _, count, _ in _files(folder))
            else:
                self._on_disk += new
            is_full = self._on_disk > MAX_TILES_ON_DISK
        if is_full:
            self._prune(folder)

    def _prune(self, folder: Path) -> None:
        """Remove the files written longest ago, until half the tiles are left."""
        files = sorted(_files(folder))
        left = sum(count for _, count, _ in files)
        for _, count, path in files:
            if left <= MAX_TILES_ON_DISK // 2:
                break
            path.unlink(missing_ok=True)
            left -= count
        with self._lock:
            self._on_disk = left


def _find(folder: Path, place: Place) -> tuple[Path, int]:
    """Tell in which file a tile is kept, and where in it."""
    level, index = place
    number, at = divmod(index, _FILE_BYTES // TILE_BYTES)
    return folder / str(level) / str(number), at * TILE_BYTES


def _open_to_write(path: Path) -> BinaryIO:
    """Open a file of tiles, made if it is not there."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CREAT | _OPENING, 0o644)

    try:
        return open(path, "rb+", buffering=0, opener=opener)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "rb+", buffering=0, opener=opener)


def _files(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Give when each file was written last, room for how many tiles it takes, and its path."""
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another process prunes, too
            if path.is_file():
                found = path.stat()
                yield found.st_mtime_ns, found.st_blocks * _BLOCK_BYTES // TILE_BYTES, path


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # No sync: what a power cut spoils fails its check, and is fetched again.
    unfinished = path.with_name(f".{path.name}.{threading.get_ident()}.new")
    unfinished.write_bytes(data)
    unfinished.replace(path)
