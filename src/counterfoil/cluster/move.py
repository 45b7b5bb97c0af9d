"""Moving a log from a folder to PostgreSQL and back, with every receipt staying valid.

    1. all entries are copied, as far as they are published; the log goes on meanwhile
    2. the place it leaves is marked, once the new one takes writes: nobody appends there any more
    3. the rest is copied, and what is kept with the log moves along, first what is private
    4. the new place shows the log, under the very checkpoint that it had
    5. everything is read again at the new place, and hashed

Killed anywhere, the same call does the rest. Between 2 and 4 nobody can append at all: two places
that could would be two histories.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from counterfoil.cluster.ends import End, Held, end_at, require_same
from counterfoil.cluster.lost import set_back
from counterfoil.cluster.tiletree import Head
from counterfoil.core.merkle import Hash
from counterfoil.errors import ConflictError, SplitViewError, VerificationError
from counterfoil.ledger import blobs
from counterfoil.ledger.audit import Progress, audit
from counterfoil.ledger.disk import Disk, reported
from counterfoil.ledger.keeping import Keeping
from counterfoil.ledger.log import Log
from counterfoil.ledger.status import find_set_back

_CHUNK_ENTRIES = 1024  # read, hashed and written at once
# What in a ledger's folder does not move along as it is: the log itself, and what is private.
_NOT_MOVED = {"blobs", "ledger.json", "log", "moved.json", "private"}

Carrying = Callable[
    [str, Path | Keeping, Path | Keeping], AbstractContextManager[Callable[[], None]]
]


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move did.

    Args:
        origin: The log.
        size: Entries, all hashed again at the new place.
        root: Their root.
        left: The place that was left, and can still be read.
        place: Where it is now; without a password.
    """

    origin: str
    size: int
    root: Hash
    left: str
    place: str


def move_log(
    source: str | Path,
    target: str | Path,
    carrying: Carrying,
    progress: Progress | None = None,
) -> Moved:
    """Move a log; the same call goes on with a move that was broken off.

    Args:
        source: Its folder or URL now.
        target: Where it goes; a folder and a URL can be either.
        carrying: Keeps everybody from recording, and gives what carries over all that is private.
        progress: Called with entries copied and entries in all; then again while they are audited.

    Raises:
        ConflictError: another log is there, somebody appends or records while we move, or the
            database was set back.
        SplitViewError: the log that is there has another history.
        UnavailableError: a disk, the database or the object store refuses; move again.
        VerificationError: the entries are not those of the checkpoint; nothing was marked yet.
    """
    disk = Disk()
    old, new = end_at(source, disk), end_at(target, disk)
    with contextlib.closing(old), contextlib.closing(new):
        there = new.held()
        left = require_same(old.held(), there, old, new)
        if there is None or there.moved_to:
            _copy(old, new, carrying, progress)
        with new.open() as log:
            report = audit(log, progress)
    return Moved(left.keys.name, report.size, report.root, old.name, new.name)


def _copy(old: End, new: End, carrying: Carrying, progress: Progress | None) -> None:
    with old.open() as log:
        behind = find_set_back(log)
        if behind is not None:
            raise set_back(old.name, behind.has, behind.shown)
        private, place = old.private(log.origin), new.private(log.origin)
        with carrying(log.origin, old.keeping(), new.keeping()) as carry:
            _require_room(private, place, is_under_way=bool(_held(old).moved_to))
            done = new.begin(log.origin)
            _require_prefix(log, new, done)
            done = _take(log, new, done, progress)
            _require_whole(log, new)
            if not _held(old).moved_to:
                new.rehearse(log.checkpoint)
                old.freeze(new.name)
            # If we stop from here on, moving again goes on.
            log.refresh()
            log.reload_keys()  # the old key may have signed the newest checkpoint, too
            _take(log, new, done, progress)
            _require_whole(log, new)
            carry()
            _move_kept(private, place)
            new.finish(log.keys, Head(log.size, log.root, log.checkpoint))


def _take(log: Log, new: End, done: int, progress: Progress | None) -> int:
    """Copy entries from `done` to what is published, and what they refer to; return that size."""
    for start in range(done, log.size, _CHUNK_ENTRIES):
        stop = min(log.size, start + _CHUNK_ENTRIES)
        entries = log.read_entries(start, stop)
        for entry in entries:
            if entry.startswith(blobs.REFERENCE):
                data = log.resolve(entry)
                if data is not entry:
                    blobs.shorten(data, new.blobs())
        new.take(entries)
        if progress is not None:
            progress(stop, log.size)
    return max(done, log.size)


def _require_whole(log: Log, new: End) -> None:
    """Check that what was copied is what the log's checkpoint says."""
    if new.root() != log.root:
        raise VerificationError(
            f"the {log.size} entries of {log.engine.name} lead to another root than was signed",
            hint="`counterfoil log audit` names the first bad place.",
        )


def _require_prefix(log: Log, new: End, done: int) -> None:
    """Check that what is there already is the beginning of this log."""
    if done > log.size:
        raise ConflictError(
            f"{new.name} has {done} entries of {log.origin}, and {log.engine.name} {log.size}",
            hint="This place is behind that one; find out which went on.",
        )
    if new.root() != log.root_at(done):
        with new.open() as there:
            note = there.checkpoint
        raise SplitViewError(
            f"{new.name} has another history of {log.origin} than {log.engine.name}",
            a=note,
            b=log.checkpoint,
            hint="Keep both checkpoints, they are the evidence.",
        )


# What is kept with the log


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.name not in _NOT_MOVED)


def _require_room(private: Path, place: Path, *, is_under_way: bool) -> None:
    """Refuse, before anything is done, to mix files of two places.

    What is there of the same names makes room where all of its bytes are about to come, too.
    """
    if is_under_way:
        return  # what is there may be what was moved so far
    with reported(f"cannot make room in {place}"):
        for name in _names(private):
            there = place / name
            if not there.is_dir():
                continue
            only_there = _only_in(there, private / name)
            if only_there:
                raise ConflictError(
                    f"{there} is there already, with {only_there[0]}"
                    + (f" and {len(only_there) - 1} more" if len(only_there) > 1 else "")
                    + f" that {private / name} does not have",
                    hint="Keep it elsewhere, and move the log again: "
                    f"mv {there} {place.with_name(f'{place.name}-{name}')}",
                )
            shutil.rmtree(there)


def _only_in(folder: Path, other: Path) -> list[Path]:
    """List what a folder holds that another one does not hold under the same name."""
    return sorted(
        found
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
        for found in (path.relative_to(folder),)
        if path.is_symlink()
        or not (other / found).is_file()
        or not filecmp.cmp(path, other / found, shallow=False)
    )


def _move_kept(private: Path, place: Path) -> None:
    """Move files and folders, each name whole: they are at one of the two places at any time."""
    with reported(f"cannot move files from {private} to {place}"):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in _names(private):
            source, target = private / name, place / name
            if name.startswith("."):
                continue  # half a copy of ours, or of a file that is replaced
            if source.stat().st_dev == place.stat().st_dev and not target.is_dir():
                source.replace(target)
                continue
            if not target.exists():
                _copy_whole(source, target)
            elif not _are_same(source, target):
                raise ConflictError(
                    f"{source} and {target} differ, and one was to be a copy of the other",
                    hint="Keep both, and find out which is newer.",
                )
            os.sync()
            shutil.rmtree(source) if source.is_dir() else source.unlink()
        os.sync()


def _copy_whole(source: Path, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.moving")
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    if source.is_dir():
        shutil.copytree(source, unfinished, symlinks=True)
    else:
        shutil.copy2(source, unfinished)
    unfinished.replace(target)


def _are_same(source: Path, target: Path) -> bool:
    """Whether two files, or two folders of files, hold the same bytes."""
    if not source.is_dir():
        return filecmp.cmp(source, target, shallow=False)
    files = [{p.relative_to(top) for p in top.rglob("*")} for top in (source, target)]
    return files[0] == files[1] and all(
        filecmp.cmp(source / path, target / path, shallow=False)
        for path in files[0]
        if (source / path).is_file()
    )


def _held(end: End) -> Held:
    found = end.held()
    assert found is not None  # noqa: S101 looked at before
    return found
