"""Checkpoints held against what this machine has seen of their logs before."""

from __future__ import annotations

from counterfoil.core.checkpoint import LogKeys, parse_checkpoint
from counterfoil.core.note import parse_note
from counterfoil.evidence.finding import Finding
from counterfoil.ledger.engine import Writers
from counterfoil.ledger.remembered import compare_checkpoint


def recall(note: bytes, keys: LogKeys) -> Finding:
    """Hold a checkpoint that its log has signed against what is remembered; offline.

    Raises:
        SplitViewError: this machine remembers another root at its size; both are kept.
        UnavailableError: what lies here cannot be read, or kept.
    """
    seen = compare_checkpoint(note, keys)
    return Finding(not_checked=not_compared(parse_checkpoint(parse_note(note).text).size, seen))


def not_compared(size: int, seen: int, writers: Writers = Writers.ANY) -> tuple[str, ...]:
    """Say that a log was seen here with another number of entries, and the two not compared.

    Args:
        size: Entries of the log.
        seen: Entries of it that were seen; 0 if there is nothing to compare.
        writers: Who appends where it lies; a copy, where nobody does, lags behind it by right.
    """
    if not seen:
        return ()
    fewer, more = sorted((size, seen))
    older = f"This is an older copy, as of {size} entries; this machine knows {seen}. "
    says = (
        f"Whether the log of {size} entries is the one that was seen on this machine with {seen}: "
        f"its first {fewer} have to be those of the {more}."
    )
    return (f"{older if writers is Writers.NOBODY else ''}{says}",)
