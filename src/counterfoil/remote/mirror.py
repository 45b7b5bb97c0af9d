"""A mirror: a verified copy of a log elsewhere, as a site that any web server hands out.

    checkpoint                   as the log signed it, with its cosignatures
    tile/…                       as `ledger.export` writes them
    blobs/<sha256>               statements too large for an entry

The order is that of an export: entries and tiles, all of them durable, then the checkpoint. Every
entry is hashed on the way, and what is published leads to the checkpoint's root. Whoever reads
sees the old log or the new one; if we stop anywhere, the next run takes what lies there already,
once it has proven it, and asks for the rest. An update costs what is new.

A mirror cosigns nothing: that a checkpoint is mirrored, a reader sees by reading it.

Source:
    C2SP tlog-tiles; tlog-mirror, for what a mirror has to hold.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from counterfoil.core.checkpoint import Checkpoint, open_checkpoint
from counterfoil.core.merkle import Frontier, Hash, leaf_hashes
from counterfoil.core.note import MAX_NOTE_BYTES
from counterfoil.core.tile import TILE_WIDTH, bundle_path, format_bundle, tile_path
from counterfoil.errors import FormatError, SignatureError, SplitViewError, VerificationError
from counterfoil.ledger.audit import Progress
from counterfoil.ledger.blobs import REFERENCE
from counterfoil.ledger.disk import Disk, WriterLock, read_file, reported
from counterfoil.ledger.export import TileWriter, check_same_log, check_site_folder
from counterfoil.ledger.log import Log
from counterfoil.ledger.splitview import kept_split_view
from counterfoil.remote.beside import BLOBS
from counterfoil.remote.edge import edge_tiles
from counterfoil.remote.engine import SiteEngine, open_site
from counterfoil.remote.source import CHECKPOINT

_CHUNK_ENTRIES = 16 * TILE_WIDTH


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What an update found.

    Args:
        origin: The log.
        size: Entries the mirror shows now.
        root: The root over them.
        new: How many of them came with this update.
        mended: Files that were missing or wrong although the mirror should have had them.
        split_view: The proof, kept on this machine, that the log showed two histories; None
            without one. The mirror goes on with the one that was proven first.
    """

    origin: str
    size: int
    root: Hash
    new: int
    split_view: SplitViewError | None
    mended: tuple[str, ...] = ()


class Mirror:
    """A mirror in a folder, and the log that it follows.

    Args:
        where: Address of the log's site, or its folder.
        folder: The mirror's; made if it is missing.
        trust: The log's trust policy, for the first time; None for the adopted one.

    Raises:
        ConflictError: another process writes this mirror, or something else than a site lies there.
        SplitViewError: the log shows another history than the mirror, or than was seen elsewhere.
        As `SiteEngine`.
    """

    def __init__(self, where: str | Path, folder: Path, *, trust: str | Path | None = None) -> None:
        self.folder = folder
        self._disk = Disk()
        with reported(f"cannot mirror into {folder}"):
            check_site_folder(folder)
            folder.mkdir(parents=True, exist_ok=True)
        self._held = contextlib.ExitStack()
        with contextlib.ExitStack() as held:
            with reported(f"cannot mirror into {folder}"):
                held.callback(WriterLock(folder / ".mirror.lock", str(folder)).close)
            self._engine: SiteEngine = open_site(where, first=folder, trust=trust)
            self._log = held.enter_context(Log(self._engine.folder, engine=self._engine))
            self._held = held.pop_all()

    @property
    def log(self) -> Log:
        """The log that is followed."""
        return self._log

    def update(self, progress: Progress | None = None, *, whole: bool = False) -> Mirrored:
        """Bring the mirror up to the newest checkpoint.

        What is new is proven and written, and so is the right edge, even where nothing is new: the
        newest bundle with its blobs, and the tiles above it. Older files are left as they are,
        unless the mirror's own checkpoint is damaged: then nothing counts as proven.

        Args:
            progress: Called with entries done and entries in all.
            whole: Whether older files are proven, too, and fetched where they do not hold.

        Raises:
            ConflictError: the folder is the mirror of another log.
            SplitViewError: the log shows another history than before; both checkpoints are kept,
                and the mirror stays as it is.
            UnavailableError: the server does not answer, or the disk refuses; try again.
            VerificationError: what is served is not true, or was set back.
        """
        log = self._log
        log.refresh()
        shown, mended = self._shown()
        size, root, note = log.size, log.root, log.checkpoint
        with reported(f"cannot mirror into {self.folder}"):
            # From the beginning of a bundle: what lies there of it is proven and written like new.
            start = 0 if whole else max(0, min(shown.size, size - 1)) // TILE_WIDTH * TILE_WIDTH
            writer = TileWriter(self.folder, start, self._rows(start), shows=shown.size)
            frontier = Frontier.at(start, self._engine.tree.node)
            for number, entries in self._bundles(start, size):
                writer.write(bundle_path(number, len(entries)), format_bundle(entries))
                first = number * TILE_WIDTH
                mended += self._copy_blobs(entries, writer, shown.size - first)
                writer.extend(frontier.extend(leaf_hashes(entries)))
                if progress is not None:
                    progress(first + len(entries), size)
            if frontier.root() != root:
                raise VerificationError(
                    f"the {size} entries of {log.origin} lead to another root than its checkpoint",
                    hint="Nothing was published. Tell whoever runs the log.",
                )
            writer.finish()
            self._publish(note, writer.files)
            self._drop_partial(shown.size, size)
        split = kept_split_view(log.keys)
        mended += writer.mended
        return Mirrored(log.origin, size, root, size - shown.size, split, tuple(mended))

    def close(self) -> None:
        """Let the next process in."""
        self._held.close()

    def _shown(self) -> tuple[Checkpoint, list[str]]:
        """Read what the mirror shows, and hold it against the log; name it if it is damaged."""
        log = self._log
        path = self.folder / CHECKPOINT
        nothing = Checkpoint(log.origin, 0, log.root_at(0))
        if not path.exists():
            return nothing, []
        try:
            note = read_file(path, MAX_NOTE_BYTES)
            check_same_log(self.folder, note, log)
            shown = open_checkpoint(note, log.keys)
        except (FormatError, SignatureError):
            # No log has signed this, so it is no evidence, and everything is proven again.
            return nothing, [CHECKPOINT]
        if shown.size > log.size:
            raise VerificationError(
                f"{self.folder} shows {shown.size} entries of {log.origin}, and {log.size} are "
                "served: the log was set back, or this is a copy that is behind",
                hint="The mirror stays as it is; its checkpoint is the evidence.",
            )
        # The beginning of the log: that was compared when it was opened.
        return shown, []

    def _rows(self, size: int) -> list[bytes]:
        """Give the hashes at the right edge of a size, as the log has proven them."""
        tree = self._engine.tree
        return [
            tree.joined_hashes(level, index * TILE_WIDTH, index * TILE_WIDTH + width)
            for level, index, width in edge_tiles(size)
        ]

    def _bundles(self, first: int, size: int) -> Iterator[tuple[int, list[bytes]]]:
        """Read the bundles from the one that begins with entry `first` on."""
        for start in range(first, size, _CHUNK_ENTRIES):
            entries = self._log.read_entries(start, min(size, start + _CHUNK_ENTRIES))
            for at in range(0, len(entries), TILE_WIDTH):
                yield (start + at) // TILE_WIDTH, entries[at : at + TILE_WIDTH]

    def _copy_blobs(self, entries: list[bytes], writer: TileWriter, shown: int) -> Iterator[str]:
        """Write what entries only refer to; it was checked by its digest.

        Returns:
            What was written for the first `shown` of them, whose blobs should have been there.
        """
        for place, entry in enumerate(entries):
            if entry.startswith(REFERENCE) and (data := self._log.resolve(entry)) != entry:
                name = f"{BLOBS}/{sha256(data).hexdigest()}"
                if writer.write(name, data) and place < shown:
                    yield name

    def _publish(self, note: bytes, files: int) -> None:
        if files:
            os.sync()  # thousands of small files: all at once
        path = self.folder / CHECKPOINT
        if path.exists() and path.stat().st_size == len(note) and path.read_bytes() == note:
            return
        # If we stop before this, the mirror still shows what it showed before.
        self._disk.replace(self.folder, CHECKPOINT, note)

    def _drop_partial(self, old: int, size: int) -> None:
        """Remove partial tiles and bundles that a full one has replaced.

        Who still holds an older checkpoint reads the full one (C2SP tlog-tiles, "Partial Tiles").
        """
        for level, index, width in edge_tiles(old):
            if width and size >> 8 * (level + 1) > index:
                names = [tile_path(level, index)]
                if level == 0:
                    names.append(bundle_path(index))
                for name in names:
                    shutil.rmtree(self.folder / f"{name}.p", ignore_errors=True)
