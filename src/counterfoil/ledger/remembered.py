"""What this machine remembers of a log, and other checkpoints of it held against that.

    remote/<address>/checkpoint          the newest that was found true there
    witness/<log>/<id>.checkpoint        what the local witness cosigned last
    witnessing/<name>/<id>.checkpoint    what witnesses of ours have

The log signed them all, whoever showed them. So another root at the same size is a split view by
itself; whether a longer tree goes on from a shorter one, only the hashes between them tell.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from counterfoil.core.checkpoint import Checkpoint, LogKeys, open_checkpoint, parse_checkpoint
from counterfoil.core.note import MAX_NOTE_BYTES, parse_note
from counterfoil.errors import (
    ConflictError,
    FormatError,
    SignatureError,
    SplitViewError,
    UnavailableError,
)
from counterfoil.ledger.disk import read_file
from counterfoil.ledger.keyfiles import home_path
from counterfoil.ledger.places import Places, witnessed_name
from counterfoil.ledger.splitview import keep_split_view
from counterfoil.ledger.tree import Tree

if TYPE_CHECKING:  # a log, when it is opened for writing, asks this
    from counterfoil.ledger.log import Log


@dataclass(frozen=True, slots=True)
class Remembered:
    """A checkpoint of a log that was seen before.

    Args:
        checkpoint: The log signed it.
        note: The same, as signed.
        path: Its file.
    """

    checkpoint: Checkpoint
    note: bytes
    path: Path


def remembered(keys: LogKeys) -> list[Remembered]:
    """List what this machine remembers of a log.

    Args:
        keys: The log's. What none of them signed, or is damaged, says nothing about it.

    Raises:
        UnavailableError: what lies there cannot be read.
    """
    places = Places(keys.name)
    try:
        cosigned = [
            home_path() / "witness" / places.slug / f"{witnessed_name(keys.name)}.checkpoint",
            *places.witnessing(".checkpoint"),
        ]
    except UnavailableError:
        return []  # who has no home remembers nothing
    return [*_seen_by_readers(keys), *_read(cosigned, keys)]


def require_seen(tree: Tree, keys: LogKeys) -> None:
    """Refuse to write where readers on this machine have seen more, or another history.

    What witnesses have cosigned may wait to be published; readers saw what was. So the tree has to
    be as a writer opens it, with whatever a crash had left finished.

    Raises:
        ConflictError: it is behind.
        SplitViewError: it has another history; both checkpoints are kept.
        UnavailableError: what lies here cannot be read, or kept.
    """
    for one in _seen_by_readers(keys):
        size = one.checkpoint.size
        if size > tree.size:
            raise ConflictError(
                f"{tree.name} has {tree.size} entries, and {size} of this log were seen on this "
                "machine: this was restored from a snapshot, or is a copy of one that went on",
                hint="Do not append here; go on with the newest copy, or start a new log. What was "
                f"seen is {one.path}.",
            )
        if tree.root(size) != one.checkpoint.root:
            raise _split(one, tree.head)


def _seen_by_readers(keys: LogKeys) -> list[Remembered]:
    try:
        paths = sorted((home_path() / "remote").glob("*/checkpoint"))
    except UnavailableError:
        return []
    return _read(paths, keys)


def _read(paths: Sequence[Path], keys: LogKeys) -> list[Remembered]:
    found = []
    for path in paths:
        with contextlib.suppress(FormatError, SignatureError):
            note = read_file(path, MAX_NOTE_BYTES) if path.exists() else b""
            if note.startswith(f"{keys.name}\n".encode()):  # else of another log
                found.append(Remembered(open_checkpoint(note, keys), note, path))
    return found


def compare_checkpoint(note: bytes, keys: LogKeys) -> int:
    """Hold a checkpoint against what is remembered of its log at the same size.

    Args:
        note: A log signed it, which the caller has checked.
        keys: That log's.

    Returns:
        Where nothing of that size is remembered, of how many entries the newest is that is; 0
        where there is none, or the checkpoint is one that was seen before.

    Raises:
        SplitViewError: it has another root than is remembered; both are kept.
        UnavailableError: what lies here cannot be read, or kept.
    """
    checkpoint = parse_checkpoint(parse_note(note).text)
    others = remembered(keys)
    same = [one for one in others if one.checkpoint.size == checkpoint.size]
    for one in same:
        if one.checkpoint.root != checkpoint.root:
            raise _split(one, note)
    return 0 if same else max((one.checkpoint.size for one in others), default=0)


def compare_log(log: Log) -> int:
    """Hold a log whose hashes are known to be those of its entries against what is remembered.

    Returns:
        Of how many entries the newest remembered is that has more than the log, whose beginning
        is not compared; 0 where there is none.

    Raises:
        SplitViewError: its first entries lead to another root than is remembered of as many; both
            checkpoints are kept.
        UnavailableError: what lies here cannot be read, or kept.
    """
    longer = 0
    for one in remembered(log.keys):
        if one.checkpoint.size > log.size:
            longer = max(longer, one.checkpoint.size)
        elif log.root_at(one.checkpoint.size) != one.checkpoint.root:
            raise _split(one, log.checkpoint)
    return longer


def _split(one: Remembered, note: bytes) -> SplitViewError:
    origin, size = one.checkpoint.origin, one.checkpoint.size
    folder = keep_split_view(origin, one.note, note)
    return SplitViewError(
        f"this is another history of {origin} than this machine has seen, with other entries among "
        f"the first {size}: the log signed both, and can be trusted no more",
        a=one.note,
        b=note,
        hint=f"Both checkpoints are kept in {folder}; what was seen before is {one.path}. Show "
        "them to whoever runs the log, and to its other readers.",
    )
