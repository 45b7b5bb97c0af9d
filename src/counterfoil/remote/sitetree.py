"""A tree read from a tlog-tiles site: each hash and entry is proven before anything is made of it.

The checkpoint's root vouches for the tiles at the right edge (see `edge`), each hash of a tile for
the full tile below it, and the tiles of level 0 for the entries. An entry bundle is compared with
the tile of level 1 at once, so that whoever reads all entries needs no tile of level 0.

    checkpoint ─► edge ─► full tiles, level by level ─► leaves ─► entries

Source:
    C2SP tlog-tiles.
"""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, TypeVar

from counterfoil.core.checkpoint import Checkpoint
from counterfoil.core.merkle import HASH_BYTES, Frontier, leaf_hashes
from counterfoil.core.tile import (
    MAX_ENTRY_BYTES,
    TILE_WIDTH,
    bundle_path,
    parse_bundle,
    tile_path,
    tile_width,
)
from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.run import Run
from counterfoil.ledger.tree import Published, Tree
from counterfoil.remote.edge import Edge, edge_tiles
from counterfoil.remote.source import Source
from counterfoil.remote.tilecache import TILE_BYTES, TileCache

MAX_FETCHES = 8
"""Files of a site that are asked for at the same time."""

MAX_BUNDLES_BYTES = 32 << 20
"""Entry bundles kept in memory after they were checked."""

Item = TypeVar("Item")
Found = TypeVar("Found")

_LENGTH_BYTES = 2  # before each entry of a bundle
_RESTORE = "Ask whoever runs the log, or read another copy of it; keep what you got."


class Served(NamedTuple):
    """A bundle as it was served, unchecked.

    Args:
        data: The bytes.
        width: How many entries it should hold.
    """

    data: bytes
    width: int


class Bundle(NamedTuple):
    """A bundle that was checked.

    Args:
        data: As it was served: entries, each behind its length.
        ends: Where each ends in it.
        leaves: Their leaf hashes, one after another.
    """

    data: bytes
    ends: list[int]
    leaves: bytes


@dataclass(frozen=True, slots=True)
class CheckedRun(Run):
    """Entries that were compared with their leaves already."""

    hashes: bytes = b""

    def leaves(self) -> bytes:
        """Give their leaf hashes."""
        return self.hashes


class SiteTree(Tree):
    """The tree under one checkpoint of a site, until it is `shown` a newer one.

    Args:
        source: Where its files come from.
        folder: Of this machine, for whoever asks which tree a run is of.
        cache: Where full tiles are kept.
        follow: Finds the newest checkpoint that is to be believed, and shows it; for `refresh`.
    """

    proves_entries = True

    def __init__(
        self,
        source: Source,
        folder: Path,
        cache: TileCache,
        follow: Callable[[SiteTree], None] = lambda _: None,
    ) -> None:
        super().__init__(source.name)
        self._source, self._folder, self._cache, self._follow = source, folder, cache, follow
        self._edge = Edge.of(0, ())
        self._lock = threading.RLock()
        self._over: SiteTree | None = None  # whose threads are used
        self._pool: ThreadPoolExecutor | None = None
        self._bundles: OrderedDict[tuple[int, int], Bundle] = OrderedDict()
        self._bundles_bytes = 0
        self._ahead: dict[int, Future[Served]] = {}  # full bundles that are asked for
        self._next = -1  # where a reader that goes on reads next
        self._bundle_bytes = 0  # of those that were read last, on average

    def refresh(self) -> None:
        """Take over the newest checkpoint that holds."""
        self._follow(self)

    def show(self, checkpoint: Checkpoint, note: bytes, edge: Edge) -> None:
        """Go by another checkpoint from now on; who calls this has found it to be believed."""
        # The edge first: a newer one holds all that a reader of the older tree needs.
        self._edge = edge
        self._cache.keep_edge(edge)
        self._published = Published(edge.frontier, checkpoint.root, note)

    def find_edge(self, checkpoint: Checkpoint) -> Edge:
        """Read the right edge of the tree under a checkpoint, and check it.

        Raises:
            UnavailableError: the site does not hold it.
            VerificationError: what it holds does not lead to the checkpoint's root.
        """
        if (checkpoint.size, checkpoint.root) == (self._edge.size, self._edge.root()):
            return self._edge
        wanted = list(edge_tiles(checkpoint.size))
        for fresh in (False, True):
            rows = self._each(partial(self._read_partial, fresh=fresh), wanted)
            edge = Edge.of(checkpoint.size, tuple(rows))
            if edge.root() == checkpoint.root:
                return edge
        raise VerificationError(
            f"{self.name}: the tiles at the right edge do not lead to the root of its checkpoint "
            f"of {checkpoint.size} entries",
            hint=_RESTORE,
        )

    def under(self, edge: Edge) -> SiteTree:
        """Give a tree that reads from the same site, under an edge that is not shown yet.

        What it reads is not kept: it may turn out to be another history.
        """
        tree = SiteTree(self._source, self._folder, self._cache.apart())
        tree._over = self
        tree.show(Checkpoint("-", edge.size, edge.root()), b"", edge)
        return tree

    def past(self, checkpoint: Checkpoint) -> SiteTree:
        """Give the tree under a checkpoint that was proven before, to be asked for its roots.

        It is read from what was kept of it, and else from the site, as far as that still has it.

        Raises:
            As `find_edge`; so do the tree's roots.
        """
        if (checkpoint.size, checkpoint.root) == (self.size, self.root()):
            return self
        return self.under(self._cache.edge(checkpoint) or self.find_edge(checkpoint))

    @property
    def edge(self) -> Edge:
        """The right edge."""
        return self._edge

    def joined_hashes(self, tile_level: int, start: int, stop: int) -> bytes:
        """Read hashes, each proven; see the top of this module."""
        if start >= stop:
            return b""
        tiles = range(start // TILE_WIDTH, (stop - 1) // TILE_WIDTH + 1)
        self._warm(tile_level + 1, range(tiles[0] // TILE_WIDTH, tiles[-1] // TILE_WIDTH + 1))
        rows = self._each(lambda index: self._tile(tile_level, index), list(tiles))
        first = start - tiles[0] * TILE_WIDTH
        joined = b"".join(rows) if len(rows) > 1 else rows[0]
        found = joined[first * HASH_BYTES : (first + stop - start) * HASH_BYTES]
        if len(found) != (stop - start) * HASH_BYTES:
            raise FormatError(
                f"{self.name} has no hashes {start} to {stop - 1} of level {tile_level}",
                hint="Refresh to see newer entries.",
            )
        return found

    def read_run(self, start: int, stop: int) -> Run:
        """Read entries, each proven; the next ones are asked for meanwhile."""
        self._known(stop)
        numbers = range(start // TILE_WIDTH, (stop - 1) // TILE_WIDTH + 1)
        self._warm(1, range(numbers[0] // TILE_WIDTH, numbers[-1] // TILE_WIDTH + 1))
        asked = self._ask(numbers, ahead=len(numbers) if start == self._next else 0)
        self._next = stop
        # Proven here: the other threads only ask, and the next ones are under way meanwhile.
        bundles = [self._bundle(number, asked.get(number)) for number in numbers]
        data = b"".join([bundle.data for bundle in bundles])
        leaves = b"".join([bundle.leaves for bundle in bundles])
        # Histories of fewer entries are held against these, whatever the site serves by then.
        self._cache.keep_row((0, numbers[0]), leaves[: len(leaves) // TILE_BYTES * TILE_BYTES])
        self._bundle_bytes = len(data) // len(bundles)
        ends, at = array("Q"), 0
        for bundle in bundles:
            ends.extend([at + end for end in bundle.ends])
            at += len(bundle.data)
        skipped = start - numbers[0] * TILE_WIDTH
        begin = ends[skipped - 1] if skipped else 0
        ends = ends[skipped : skipped + stop - start]
        hashes = leaves[skipped * HASH_BYTES : (skipped + stop - start) * HASH_BYTES]
        data = data[begin : ends[-1]]
        return CheckedRun(self._folder, start, data, begin, ends, _LENGTH_BYTES, hashes)

    def checked(self, start: int, stop: int) -> Iterator[bytes]:
        """Read entries as `bodies` does: there they are proven already."""
        return self.bodies(start, stop)

    def close(self) -> None:
        """Stop asking."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._ahead.clear()
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        self._source.close()

    # Tiles

    def _tile(self, level: int, index: int) -> bytes:
        """Give a tile of the tree as it is shown: a full one, or the one at the edge."""
        edge = self._edge
        width = tile_width(edge.size, level, index)
        if width < TILE_WIDTH:
            return edge.rows[level] if width else b""
        tile = self._cache.known((level, index))
        if tile is not None:
            return tile
        tile = self._prove(level, index, lambda fresh: self._read_full(level, index, fresh=fresh))
        self._cache.keep((level, index), tile)
        return tile

    def _prove(self, level: int, index: int, read: Callable[[bool], bytes]) -> bytes:
        """Read a full tile until it has the root that the tile above says.

        Args:
            level: Of the tile.
            index: Of the tile.
            read: Gives the tile; called again, for what no cache gives, if that is not it.
        """
        wanted = self._parent(level, index)
        for fresh in (False, True):
            tile = read(fresh)
            if len(tile) == TILE_BYTES and Frontier().extend(tile)[1] == wanted:
                return tile
        span = TILE_WIDTH**level
        first = index * TILE_WIDTH * span
        raise VerificationError(
            f"{self.name}: what it serves for entries {first} to {first + TILE_WIDTH * span - 1} "
            "is not what its checkpoint says",
            hint=_RESTORE,
        )

    def _parent(self, level: int, index: int) -> bytes:
        above = self._tile(level + 1, index // TILE_WIDTH)
        at = index % TILE_WIDTH * HASH_BYTES
        return above[at : at + HASH_BYTES]

    def _read_full(self, level: int, index: int, *, fresh: bool) -> bytes:
        if not fresh:
            stored = self._cache.stored((level, index))
            if stored is not None:
                return stored
        path = tile_path(level, index)
        tile = self._source.read(path, TILE_BYTES, fresh=fresh)
        if tile is None:
            raise self._missing(path)
        return tile

    def _read_partial(self, place: tuple[int, int, int], *, fresh: bool) -> bytes:
        """Read a partial tile, from the full one where the partial one is gone."""
        level, index, width = place
        if not width:
            return b""
        path = tile_path(level, index, width)
        tile = self._source.read(path, width * HASH_BYTES, fresh=fresh)
        if tile is None:
            full = self._source.read(tile_path(level, index), TILE_BYTES, fresh=fresh)
            tile = None if full is None else full[: width * HASH_BYTES]
        if tile is None:
            raise self._missing(path)
        if len(tile) != width * HASH_BYTES and not fresh:
            return b""  # a cache's, perhaps: it is asked for once more
        if len(tile) != width * HASH_BYTES:
            raise VerificationError(
                f"{self.name}: {path} has {len(tile)} bytes, not {width * HASH_BYTES}",
                hint=_RESTORE,
            )
        return tile

    # Entries

    def _bundle(self, number: int, asked: Future[Served] | None) -> Bundle:
        """Read a bundle until its entries are those that were logged."""
        edge = self._edge
        width = tile_width(edge.size, 0, number)
        with self._lock:
            known = self._bundles.get((number, width))
            if known is not None:
                self._bundles.move_to_end((number, width))
                return known
        found: list[Bundle] = []

        def read(fresh: bool) -> bytes:
            if asked is None or asked.cancelled() or fresh:
                served = self._serve_bundle(number, width, fresh=fresh)
            else:
                served = asked.result()
            found[:] = [self._take_apart(served, bundle_path(number, width), width, fresh=fresh)]
            return found[0].leaves

        if width == TILE_WIDTH:
            self._prove(0, number, read)
        elif read(False) != edge.rows[0] != read(True):
            first = number * TILE_WIDTH
            raise VerificationError(
                f"{self.name}: entries {first} to {first + width - 1} are not those that were "
                "logged",
                hint=_RESTORE,
            )
        self._keep(number, found[0])
        return found[0]

    def _serve_bundle(self, number: int, width: int, *, fresh: bool = False) -> Served:
        """Read a bundle as it is served, a partial one from the full one where it is gone."""
        most = TILE_WIDTH * (_LENGTH_BYTES + MAX_ENTRY_BYTES)
        for whole in (width, TILE_WIDTH):
            data = self._source.read(bundle_path(number, whole), most, fresh=fresh)
            if data is not None:
                return Served(data, whole)
        raise self._missing(bundle_path(number, width))

    def _take_apart(self, served: Served, path: str, width: int, *, fresh: bool) -> Bundle:
        try:
            entries = parse_bundle(served.data, served.width)[:width]
        except FormatError as error:
            if not fresh:
                return Bundle(b"", [], b"")  # a cache's, perhaps: it is asked for once more
            raise VerificationError(f"{self.name}: {path}: {error}", hint=_RESTORE) from error
        ends = list(accumulate([len(entry) + _LENGTH_BYTES for entry in entries]))
        # The entries are taken apart again by whoever wants them: kept, they would cost memory
        # anew for every bundle.
        return Bundle(served.data[: ends[-1]], ends, leaf_hashes(entries))

    def _keep(self, number: int, bundle: Bundle) -> None:
        with self._lock:
            self._bundles[number, len(bundle.ends)] = bundle
            self._bundles_bytes += len(bundle.data)
            while self._bundles_bytes > MAX_BUNDLES_BYTES and len(self._bundles) > 1:
                _, oldest = self._bundles.popitem(last=False)
                self._bundles_bytes -= len(oldest.data)

    def _ask(self, numbers: range, ahead: int) -> dict[int, Future[Served]]:
        """Ask for bundles at the same time, and for some after them, while these are used.

        Args:
            numbers: Those that are read now.
            ahead: How many after them, as far as these are no longer than may be kept.

        Returns:
            The full ones that are read now and were not known, as soon as they are served.
        """
        size = self._edge.size
        ahead = min(ahead, MAX_BUNDLES_BYTES // 4 // max(self._bundle_bytes, 1))
        found: dict[int, Future[Served]] = {}
        with self._lock:
            before, self._ahead = self._ahead, {}
            for number in range(numbers.start, numbers.stop + ahead):
                is_full = tile_width(size, 0, number) == TILE_WIDTH
                if not is_full or (number, TILE_WIDTH) in self._bundles:
                    continue
                asked = before.get(number) or self._workers().submit(
                    self._serve_bundle, number, TILE_WIDTH
                )
                (found if number in numbers else self._ahead)[number] = asked
        return found

    # Beneath

    def _warm(self, level: int, tiles: range) -> None:
        """Read what several that are read at the same time have above them, once."""
        for index in tiles:
            self._tile(level, index)

    def _each(self, read: Callable[[Item], Found], wanted: Sequence[Item]) -> list[Found]:
        """Read several at the same time."""
        if len(wanted) == 1:
            return [read(wanted[0])]
        return list(self._workers().map(read, wanted))

    def _workers(self) -> ThreadPoolExecutor:
        if self._over is not None:
            return self._over._workers()  # noqa: SLF001 one class
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(MAX_FETCHES, thread_name_prefix="counterfoil-read")
            return self._pool

    def _missing(self, path: str) -> UnavailableError:
        return UnavailableError(
            f"{self.name} has no {path}, which its checkpoint calls for",
            hint="Try again later, or read another copy of the log.",
        )
