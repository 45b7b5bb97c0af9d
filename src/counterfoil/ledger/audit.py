"""Auditing a log: every entry hashed again, every stored hash compared, the first bad place named.

What an audit does not look at: the signatures inside entries (a policy judges those), and whether
others were shown another log; that takes witnesses. What this machine has seen of the log before is
compared. Where the proof of two histories lies on it, there is no audit until it is moved away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from counterfoil.core.merkle import HASH_BYTES, Frontier, Hash, split_hashes
from counterfoil.errors import VerificationError
from counterfoil.ledger.blobs import REFERENCE
from counterfoil.ledger.engine import Writers
from counterfoil.ledger.log import Log
from counterfoil.ledger.remembered import compare_log
from counterfoil.ledger.run import Run
from counterfoil.ledger.splitview import kept_split_view

_CHUNK_ENTRIES = 1 << 12

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found in order.

    Args:
        origin: The log.
        size: Entries hashed.
        root: The root they lead to, the one in the log's signed checkpoint.
        seen: How many entries this machine has seen of the log, where that is more: whether those
            begin with these is not compared. Else 0.
    """

    origin: str
    size: int
    root: Hash
    seen: int = 0


def audit(log: Log, progress: Progress | None = None) -> AuditReport:
    """Hash the whole log again.

    Args:
        log: An open log.
        progress: Called with entries done and entries in all.

    Raises:
        SplitViewError: on this machine lies the proof that the log showed two histories; or it
            remembers another one, and then both checkpoints are kept.
        UnavailableError: bytes that an entry refers to are not beside the log.
        VerificationError: names the first entry or stored hash that is not what the signed
            checkpoint says.
    """
    split = kept_split_view(log.keys)
    if split is not None:
        raise split
    size = log.size
    frontier = Frontier()
    for start in range(0, size, _CHUNK_ENTRIES):
        stop = min(size, start + _CHUNK_ENTRIES)
        run = log.read_run(start, stop)
        _resolve(log, run)
        # What was read from elsewhere was hashed, and led to the root, on the way.
        for tile_level, hashes in enumerate(
            () if log.proves_entries else frontier.extend(run.leaves())
        ):
            first = start >> 8 * tile_level
            stored = log.stored_hashes(tile_level, first, first + len(hashes) // HASH_BYTES)
            if stored != hashes:
                _name_the_place(tile_level, first, stored, hashes)
        if progress is not None:
            progress(stop, size)
    if not log.proves_entries and frontier.root() != log.root:
        raise VerificationError(
            f"the {size} entries of {log.origin} lead to another root than its checkpoint",
            hint="A stored hash between them was changed; restore the folder from a backup.",
        )
    return AuditReport(log.origin, size, log.root, compare_log(log))


def unaudited(log: Log) -> tuple[str, ...]:
    """Name what lies where the log does and is not looked at, neither here nor by a verdict."""
    match log.engine.writers:
        case Writers.ONE:
            return (
                "the folder `private`, the journal and the copies of the log's head",
                "whatever lies in its files beyond the last entry: it is no part of the log",
            )
        case Writers.ANY:
            return ("what is private in the database",)
    return ()


def _resolve(log: Log, run: Run) -> None:
    """Check what entries refer to beside the log."""
    if REFERENCE in run.data:  # rarely: then it is worth taking them apart
        for entry in run.bodies():
            if entry.startswith(REFERENCE):
                log.resolve(entry)


def _name_the_place(tile_level: int, first: int, stored: bytes, computed: bytes) -> None:
    """Raise, naming the first hash that differs."""
    pairs = zip(split_hashes(stored), split_hashes(computed), strict=True)
    place = next(place for place, (was, now) in enumerate(pairs) if was != now)
    if tile_level == 0:
        where = f"entry {first + place} does not have the hash that was logged"
    else:
        span = 256**tile_level
        begin = (first + place) * span
        where = f"the stored hash over entries {begin} to {begin + span - 1} is not theirs"
    raise VerificationError(
        f"first bad place: {where}", hint="Restore the folder from a backup; keep the damaged one."
    )
