"""Checkpoints of one log that cannot all be honest, kept on this machine, outside every ledger.

They lie in `Places.split_view` as they were signed, each under its digest; by log and not by
address, as it is the log that signed them, whoever showed them. As long as they lie there, nothing
is said to hold that rests on that log. What a witness of ours has kept as proof counts likewise.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from counterfoil.core.checkpoint import LogKeys, open_checkpoint
from counterfoil.core.note import MAX_NOTE_BYTES
from counterfoil.errors import FormatError, SignatureError, SplitViewError, UnavailableError
from counterfoil.ledger.disk import Disk, read_file, reported
from counterfoil.ledger.keyfiles import make_private
from counterfoil.ledger.places import Places
from counterfoil.ledger.suspects import Suspects


def keep_checkpoint(folder: Path, note: bytes, disk: Disk) -> None:
    """Keep a signed checkpoint as evidence; it is durable on return."""
    name = f"{sha256(note).hexdigest()[:16]}.checkpoint"
    with reported(f"cannot write in {folder}"):
        make_private(folder)
        if not (folder / name).exists():
            disk.replace(folder, name, note)


def keep_split_view(origin: str, *notes: bytes, disk: Disk | None = None) -> Path:
    """Keep checkpoints of a log that contradict each other; give their folder."""
    folder = Places(origin).split_view
    for note in notes:
        keep_checkpoint(folder, note, disk or Disk())
    return folder


def kept_split_view(keys: LogKeys) -> SplitViewError | None:
    """Give the proof that a log showed two histories; None where none lies on this machine.

    Args:
        keys: The log's. What lies there and is not signed by one of them proves nothing about it.

    Raises:
        UnavailableError: what lies there cannot be read.
    """
    places = Places(keys.name)
    try:
        folder, kept = places.split_view, places.witnessing(".refused")
    except UnavailableError:
        return None  # who has no home has nothing kept there
    notes = _signed_in(folder, keys)
    if notes:
        return _two_histories(keys, folder, notes[0], notes[min(1, len(notes) - 1)])
    for refused in kept:
        proven = Suspects(refused, Disk()).proven(keys)
        if proven is not None:
            return _two_histories(keys, refused, *proven)
    return None


def _signed_in(folder: Path, keys: LogKeys) -> list[bytes]:
    """Read the checkpoints in a folder that a log has signed, oldest first."""
    with reported(f"cannot read {folder}"):
        paths = [*folder.iterdir()] if folder.exists() else []
        dated = sorted((path.stat().st_mtime_ns, path) for path in paths)
    notes = []
    for _, path in dated:
        try:
            note = read_file(path, MAX_NOTE_BYTES)
            open_checkpoint(note, keys)
        except (FormatError, SignatureError):
            continue
        notes.append(note)
    return notes


def _two_histories(keys: LogKeys, folder: Path, a: bytes, b: bytes) -> SplitViewError:
    return SplitViewError(
        f"two histories of {keys.name} were shown to this machine: the log signed both, and can "
        "be trusted no more",
        a=a,
        b=b,
        hint=f"The checkpoints are in {folder}. Show them to whoever runs the log, and to its "
        "other readers; once that is settled, move that folder away.",
    )
