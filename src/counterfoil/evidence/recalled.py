"""Checkpoints held against what this machine has seen of their logs before."""

from __future__ import annotations

from counterfoil.core.checkpoint import LogKeys, parse_checkpoint
from counterfoil.core.note import parse_note
from counterfoil.evidence.finding import Finding
from counterfoil.ledger.remembered import compare_checkpoint


def recall(note: bytes, keys: LogKeys) -> Finding:
    """Hold a checkpoint that its log has signed against what is remembered; offline.

    Raises:
        SplitViewError: this machine remembers another root at its size; both are kept.
        UnavailableError: what lies here cannot be read, or kept.
    """
    seen = compare_checkpoint(note, keys)
    if not seen:
        return Finding()
    size = parse_checkpoint(parse_note(note).text).size
    return Finding(not_checked=(not_compared(size, seen),))


def not_compared(size: int, seen: int) -> str:
    """Say that a log was seen here with another number of entries, and the two not compared."""
    fewer, more = sorted((size, seen))
    return (
        f"Whether the log of {size} entries is the one that was seen on this machine with {seen}: "
        f"its first {fewer} have to be those of the {more}."
    )
