"""A tree whose hashes and entries are tiles and bundles in an object store (C2SP tlog-tiles).

What is at the right edge lies in partial tiles. They are removed some time after the full one is
there, so a reader who still holds an older size takes the full one where it finds no partial one.
"""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from counterfoil.cluster.objects import Objects, missing, not_what_was_logged
from counterfoil.core.merkle import HASH_BYTES, Frontier, Hash
from counterfoil.core.tile import MAX_ENTRY_BYTES, TILE_WIDTH, Tile, parse_bundle
from counterfoil.errors import FormatError
from counterfoil.ledger.run import Run
from counterfoil.ledger.tree import Published, Tree

MAX_TILE_BYTES = TILE_WIDTH * HASH_BYTES
"""Bytes of a full tile."""

MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
"""Bytes of the largest bundle."""

MAX_CACHE_BYTES = 32 << 20
"""Bytes of tiles and bundles that one tree keeps in memory."""


class Head(NamedTuple):
    """What a log says of itself at one moment."""

    size: int
    root: Hash
    checkpoint: bytes


class TileTree(Tree):
    """What is published of a log, as of the last `refresh`.

    Args:
        name: What errors call it.
        objects: Where tiles and bundles are.
        read_head: Asks for the newest published head.
        read_unpublished: Asks for the committed one, where that is not published.
        close: Releases what that needs.
    """

    def __init__(
        self,
        name: str,
        objects: Objects,
        read_head: Callable[[], Head],
        read_unpublished: Callable[[], Head | None],
        close: Callable[[], None],
    ) -> None:
        super().__init__(name)
        self._objects = objects
        self._read_head = read_head
        self._read_unpublished = read_unpublished
        self._close = close
        self._lock = threading.Lock()  # guards the cache
        self._fetching = threading.Lock()  # held by the one thread that asks the store
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._taking = threading.Lock()  # guards what is published
        # Entries whose tiles are in the store, as far as is known here: a leader's are stored
        # before they are published.
        self.stored = 0

    def refresh(self) -> None:
        """Ask for the newest published head."""
        self.take(self._read_head())

    @property
    def published_head(self) -> Head:
        """What is shown."""
        frontier, root, checkpoint = self.published
        return Head(frontier.size, root, checkpoint)

    def unpublished(self) -> Published | None:
        """Ask for what is committed and not published, as witnesses are lacking or being asked."""
        head = self._read_unpublished()
        return head and Published(Frontier(head.size), head.root, head.checkpoint)

    def take(self, head: Head) -> None:
        """Show a published head; an older one than is shown changes nothing."""
        with self._taking:
            if head.size >= self.size:
                self.stored = max(self.stored, head.size)
                self._published = Published(Frontier(head.size), head.root, head.checkpoint)

    def store(self, objects: Mapping[str, bytes], size: int) -> None:
        """Put new tiles and bundles into the store, up to a size; proofs can use them from then."""
        self._objects.create(objects)
        for path, data in objects.items():
            self._keep(path, data)
        self.stored = size

    def forget(self) -> None:
        """Read everything from the store again, from here on."""
        with self._lock:
            self._cache.clear()
            self._cached_bytes = 0
        self._full_tile.cache_clear()

    def joined_hashes(self, tile_level: int, start: int, stop: int) -> bytes:
        """Read them tile by tile."""
        if start == stop:
            return b""
        first = start // TILE_WIDTH
        tiles = self._tiles(tile_level, first, (stop - 1) // TILE_WIDTH + 1, self.stored)
        begin = (start - first * TILE_WIDTH) * HASH_BYTES
        return b"".join(tiles)[begin : begin + (stop - start) * HASH_BYTES]

    def read_run(self, start: int, stop: int) -> Run:
        """Read entries [start, stop), at least one, from the bundles that hold them."""
        first = start // TILE_WIDTH
        stored = self.stored  # of one moment: another thread may show a newer size meanwhile
        bundles = self._tiles(None, first, (stop - 1) // TILE_WIDTH + 1, stored)
        lengths = [
            2 + len(entry)
            for number, bundle in enumerate(bundles, first)
            for entry in self._parse(bundle, number, stored)
        ]
        ends = list(accumulate(lengths, initial=0))
        skipped, count = start - first * TILE_WIDTH, stop - start
        begin, last = ends[skipped], ends[skipped + count]
        data = b"".join(bundles)[begin:last]
        inner = array("Q", ends[skipped + 1 : skipped + count + 1])
        return Run(Path(self.name), start, data, begin, inner, 2)

    def close(self) -> None:
        """Release the connection."""
        self._close()

    def _parse(self, bundle: bytes, number: int, stored: int) -> Sequence[bytes]:
        count = min(TILE_WIDTH, stored - number * TILE_WIDTH)
        try:
            return parse_bundle(bundle, count)
        except FormatError as error:
            path = Tile(None, number, count).path
            raise not_what_was_logged(self._objects.name, path) from error

    def _tiles(self, level: int | None, start: int, stop: int, stored: int) -> list[bytes]:
        """Read tiles or bundles [start, stop), each as wide as it is at a stored size."""
        nodes = stored >> 8 * (level or 0)
        wanted = [
            Tile(level, number, min(TILE_WIDTH, nodes - number * TILE_WIDTH))
            for number in range(start, stop)
        ]
        found = self._cached(wanted)
        if len(found) < len(wanted):
            # Many callers want the same new tile at once, when something was published.
            with self._fetching:
                found = self._cached(wanted)
                missing = [tile for tile in wanted if tile.index not in found]
                if missing:
                    found.update(self._fetch(missing))
        return [found[tile.index] for tile in wanted]

    def _cached(self, tiles: Sequence[Tile]) -> dict[int, bytes]:
        found = {}
        with self._lock:
            for tile in tiles:
                data = self._cache.get(tile.path)
                if data is not None:
                    self._cache.move_to_end(tile.path)
                    found[tile.index] = data
        return found

    def _fetch(self, tiles: Sequence[Tile]) -> dict[int, bytes]:
        """Read them from the store, and a full one where a partial one is gone."""
        most = MAX_BUNDLE_BYTES if tiles[0].level is None else MAX_TILE_BYTES
        got = self._objects.get([tile.path for tile in tiles], most)
        found = {}
        for tile, data in zip(tiles, got, strict=True):
            whole = data
            if whole is None and tile.width < TILE_WIDTH:
                (full,) = self._objects.get([Tile(tile.level, tile.index).path], most)
                whole = None if full is None else self._begin(tile, full)
            if whole is None:
                raise missing(self._objects, tile.path)
            if tile.level is not None and len(whole) != tile.width * HASH_BYTES:
                raise not_what_was_logged(self._objects.name, tile.path)
            self._keep(tile.path, whole)
            found[tile.index] = whole
        return found

    def _begin(self, tile: Tile, full: bytes) -> bytes:
        """Give the partial tile or bundle that a full one begins with."""
        if tile.level is not None:
            return full[: tile.width * HASH_BYTES]
        try:
            entries = parse_bundle(full, TILE_WIDTH)
        except FormatError as error:
            raise not_what_was_logged(self._objects.name, Tile(None, tile.index).path) from error
        return full[: sum(2 + len(entry) for entry in entries[: tile.width])]

    def _keep(self, path: str, data: bytes) -> None:
        """Keep in memory, and forget what was not used for longest."""
        with self._lock:
            self._cached_bytes += len(data) - len(self._cache.pop(path, b""))
            self._cache[path] = data
            while self._cached_bytes > MAX_CACHE_BYTES:
                self._cached_bytes -= len(self._cache.popitem(last=False)[1])
