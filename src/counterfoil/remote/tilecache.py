"""Tiles that were read once, in memory and in a folder: full ones never change.

The folder saves asking, and tells what a log was if its site does not any more. What comes from it
is checked like what comes from a server. It is bounded, and may be deleted at any time.

    tile/…    full tiles, as the site names them
    edge      the partial tiles of the checkpoint seen last, one after another, from level 0
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from itertools import accumulate, pairwise
from pathlib import Path

from counterfoil.core.checkpoint import Checkpoint
from counterfoil.core.merkle import HASH_BYTES
from counterfoil.core.tile import TILE_WIDTH, tile_path
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
        tile = self._read(tile_path(*place), TILE_BYTES)
        return tile if len(tile) == TILE_BYTES else None

    def keep(self, place: Place, tile: bytes) -> None:
        """Take in a tile that was checked."""
        with self._lock:
            self._tiles[place] = tile
            self._tiles.move_to_end(place)
            if len(self._tiles) > MAX_TILES_IN_MEMORY:
                self._tiles.popitem(last=False)
        if self._may_write and self._folder is not None:
            with contextlib.suppress(OSError):  # a full disk costs us the cache alone
                self._write(self._folder, place, tile)

    def edge(self, checkpoint: Checkpoint) -> Edge | None:
        """Read the right edge under a checkpoint, if that is the one which is kept."""
        data = self._read(_EDGE, _MAX_EDGE_BYTES)
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
                if self._read(_EDGE, _MAX_EDGE_BYTES) != data:
                    _put(self._folder / _EDGE, data)

    def _read(self, name: str, most: int) -> bytes:
        """Read a file of the folder, unchecked; nothing where it is not there, or no such file."""
        if self._folder is None:
            return b""
        try:
            return read_file(self._folder / name, most)
        except (FormatError, UnavailableError):
            return b""  # the server has it

    def _write(self, folder: Path, place: Place, tile: bytes) -> None:
        if self.stored(place) == tile:
            return
        _put(folder / tile_path(*place), tile)
        with self._lock:
            if self._on_disk is None:
                self._on_disk = sum(1 for one in folder.rglob("*") if one.is_file())
            self._on_disk += 1
            is_full = self._on_disk > MAX_TILES_ON_DISK
        if is_full:
            self._prune(folder)

    def _prune(self, folder: Path) -> None:
        """Remove the older half."""
        dated = []
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):  # another process prunes, too
                if path.is_file():
                    dated.append((path.stat().st_mtime_ns, path))
        dated.sort()
        for _, path in dated[: len(dated) // 2]:
            path.unlink(missing_ok=True)
        with self._lock:
            self._on_disk = len(dated) - len(dated) // 2


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # No sync: what a power cut spoils fails its check, and is fetched again.
    unfinished = path.with_name(f".{path.name}.{threading.get_ident()}.new")
    unfinished.write_bytes(data)
    unfinished.replace(path)
