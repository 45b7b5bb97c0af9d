"""The log as static files, for any web server to hand out and anyone to check.

    checkpoint                   the signed note
    tile/<level>/<number>        hashes, 256 to a file; those at the right edge end in .p/<width>
    tile/entries/<number>        entries, likewise

Every hash is computed from the entries on the way, so nothing is published that does not lead to
the checkpoint's root, and the checkpoint comes last: whoever reads while an export runs sees the
old log or the new one. Partial tiles of earlier exports stay, for those who still hold the
checkpoint they belong to, until `prune_site` takes those away that a full tile has replaced. What
an entry only refers to (see `blobs`) is not in the site.

Source:
    C2SP tlog-tiles.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from counterfoil.core.checkpoint import open_checkpoint, parse_checkpoint
from counterfoil.core.merkle import HASH_BYTES, Frontier, Hash, check_extension, leaf_hashes
from counterfoil.core.note import parse_note
from counterfoil.core.tile import (
    TILE_LEVELS,
    TILE_WIDTH,
    Tile,
    bundle_path,
    format_bundle,
    parse_tile_path,
    tile_path,
    tile_width,
)
from counterfoil.errors import (
    ConflictError,
    FormatError,
    ProofError,
    SplitViewError,
    VerificationError,
)
from counterfoil.ledger.audit import Progress
from counterfoil.ledger.disk import Disk, reported
from counterfoil.ledger.identity import IDENTITY_FILE
from counterfoil.ledger.keyfiles import home_path
from counterfoil.ledger.log import Log

_OF_SITE = {"checkpoint", ".checkpoint.new", "tile", ".mirror.lock"}  # whole, or under way


@dataclass(frozen=True, slots=True)
class Site:
    """What an export wrote.

    Args:
        folder: Where.
        size: Entries.
        root: The root they lead to, the one in the checkpoint.
        files: How many files, the checkpoint included.
    """

    folder: Path
    size: int
    root: Hash
    files: int


def prune_site(log: Log, folder: Path, older_than_s: float, now: float | None = None) -> int:
    """Take partial tiles away that a full tile has replaced.

    Whoever holds an older checkpoint finds the full tile, which begins with what the partial one
    held. A partial tile that the newest checkpoint calls for is not one of them, nor is an older
    one of that edge.

    Args:
        log: As of the export.
        folder: A site of it, brought up to date by `export_site`.
        older_than_s: Seconds since they were last written, when they were the edge: readers who
            began before the full tile was there have had that long.
        now: Unix seconds; None for now.

    Returns:
        How many files were taken away.

    Raises:
        ConflictError: the folder holds another log's site, or one with more entries.
        UnavailableError: the disk refuses.
    """
    before = (time.time() if now is None else now) - older_than_s
    count = 0
    with reported(f"cannot prune {folder}"):
        _check_published(log, folder / "checkpoint")
        # An export that was stopped has left full tiles which the checkpoint does not call for.
        size = open_checkpoint((folder / "checkpoint").read_bytes(), log.keys).size
        for edge in sorted((folder / "tile").rglob("*.p")):
            for path in sorted(edge.iterdir()) if edge.is_dir() else ():
                full = edge.with_suffix("")
                if (
                    _is_replaced(path.relative_to(folder).as_posix(), size)
                    and full.is_file()
                    and path.lstat().st_mtime <= before
                ):
                    path.unlink()
                    count += 1
            with contextlib.suppress(OSError):  # not empty: something is left that may be asked for
                edge.rmdir()
    return count


def _is_replaced(name: str, size: int) -> bool:
    """Whether a file is a partial tile in whose place a log of that size has a full one."""
    tile = _tile_at(name)
    return tile is not None and tile.width < _width_at(tile, size) == TILE_WIDTH


def _is_called_for(name: str, size: int) -> bool:
    """Whether a file is a tile that a log of that size has."""
    tile = _tile_at(name)
    return tile is not None and tile.width == _width_at(tile, size)


def _tile_at(name: str) -> Tile | None:
    try:
        return parse_tile_path(name)
    except FormatError:
        return None


def _width_at(tile: Tile, size: int) -> int:
    return tile_width(size, tile.level or 0, tile.index)


def export_site(log: Log, folder: Path, progress: Progress | None = None) -> Site:
    """Write the log as a tlog-tiles site, or bring the one in `folder` up to date.

    Args:
        log: An open log, as of its last refresh.
        folder: Made if it is missing; what else lies in a site is left alone.
        progress: Called with entries done and entries in all.

    Raises:
        ConflictError: the folder holds something else than a site, another log's, or one with more
            entries.
        SplitViewError: the site there has another history.
        VerificationError: the entries do not lead to the checkpoint's root; it was not written.
        UnavailableError: the disk refuses.
    """
    size, root, checkpoint = log.size, log.root, log.checkpoint
    with reported(f"cannot export to {folder}"):
        check_site_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _check_published(log, folder / "checkpoint")
        writer = TileWriter(folder)
        frontier = Frontier()
        for number, start in enumerate(range(0, size, TILE_WIDTH)):
            entries = list(log.entries(start, min(size, start + TILE_WIDTH)))
            writer.write(bundle_path(number, len(entries)), format_bundle(entries))
            writer.extend(frontier.extend(leaf_hashes(entries)))
            if progress is not None:
                progress(start + len(entries), size)
        if frontier.root() != root:
            raise VerificationError(
                f"the {size} entries of {log.origin} lead to another root than its checkpoint",
                hint="`counterfoil log audit` names the first bad place.",
            )
        writer.finish()
        # If we stop before this, the site still shows what it showed before.
        Disk().replace(folder, "checkpoint", checkpoint)
    return Site(folder, size, root, writer.files + 1)


def check_site_folder(folder: Path) -> None:
    """Refuse a folder in which something else lies than a site, or one under way.

    Raises:
        ConflictError: a ledger, a home with keys, or anything else is there; names it.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConflictError(f"{folder} is a file", hint="Give a new folder.")
    names = sorted(path.name for path in folder.iterdir())
    if IDENTITY_FILE in names:
        found = f"a ledger ({IDENTITY_FILE})"
    elif "keys" in names or folder.resolve() == home_path().resolve():
        found = "private keys: it is a home"
    elif names and _OF_SITE.isdisjoint(names):
        found = f"something that is no site ({', '.join(names[:3])}{', …' * (len(names) > 3)})"
    else:
        return
    raise ConflictError(
        f"{folder} holds {found}", hint="Nothing was written. Give a new folder, or an empty one."
    )


def check_same_log(folder: Path, note: bytes, log: Log) -> None:
    """Refuse a site whose checkpoint is of another log.

    Raises:
        ConflictError: it is.
        FormatError: the checkpoint is none.
    """
    origin = parse_checkpoint(parse_note(note).text).origin
    if origin != log.origin:
        raise ConflictError(
            f"{folder} is the site of another log, {origin}, and not of {log.origin}",
            hint="Give a new folder.",
        )


class TileWriter:
    """Writes tiles as they fill up; the rest, when asked to finish, as partial ones.

    Args:
        folder: Of the site.
        size: Entries whose tiles are there.
        rows: Of each level the hashes at the right edge of that size, which fill no tile yet.
        shows: Entries that the site shows already; `mended` names files of those that were
            missing or wrong.
    """

    def __init__(
        self, folder: Path, size: int = 0, rows: Sequence[bytes] = (), *, shows: int = 0
    ) -> None:
        self.files = 0
        self.mended: list[str] = []
        self._shows = shows
        self._folder = folder
        # Full tiles of each level, and hashes that wait for one.
        self._written = [size >> TILE_LEVELS * (level + 1) for level in range(len(rows))]
        self._waiting = list(rows)

    def extend(self, completed: list[bytes]) -> None:
        """Take in the hashes that one bundle completed; it fills at most one tile of a level."""
        for level, hashes in enumerate(completed):
            if level == len(self._waiting):
                self._written.append(0)
                self._waiting.append(b"")
            self._waiting[level] += hashes
            if len(self._waiting[level]) == TILE_WIDTH * HASH_BYTES:
                self._write_waiting(level)
                self._written[level] += 1
                self._waiting[level] = b""

    def finish(self) -> None:
        """Write what waits as partial tiles."""
        for level, hashes in enumerate(self._waiting):
            if hashes:
                self._write_waiting(level)

    def write(self, name: str, data: bytes) -> bool:
        """Put a file in place whole; readers of an older one see no mix.

        Returns:
            False if it is there with these bytes, and was left alone.
        """
        path = self._folder / name
        if path.is_file() and path.read_bytes() == data:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.new")
        unfinished.write_bytes(data)
        unfinished.replace(path)
        self.files += 1
        if _is_called_for(name, self._shows):
            self.mended.append(name)
        return True

    def _write_waiting(self, level: int) -> None:
        hashes = self._waiting[level]
        name = tile_path(level, self._written[level], len(hashes) // HASH_BYTES)
        self.write(name, hashes)


def _check_published(log: Log, path: Path) -> None:
    """Refuse to put this log in the place of another one, or of more of itself."""
    if not path.exists():
        return
    note = path.read_bytes()
    check_same_log(path.parent, note, log)
    published = open_checkpoint(note, log.keys)
    if published.size > log.size:
        raise ConflictError(
            f"{path.parent} shows {published.size} entries of this log, and here are {log.size}",
            hint="This folder is behind what was published; export from the newest copy.",
        )
    proof = log.consistency(published.size)
    try:
        check_extension(published.size, published.root, log.size, log.root, proof)
    except ProofError as error:
        raise SplitViewError(
            f"{path.parent} shows another history of {log.origin}",
            a=note,
            b=log.checkpoint,
            hint="Keep both checkpoints: they are the evidence. Entries were rewritten.",
        ) from error
