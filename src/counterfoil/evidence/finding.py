"""What somebody outside says about a log, and which grades a verdict reaches with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from counterfoil.core.quorum import Grade
from counterfoil.evidence.logged import Logged


@dataclass(frozen=True, slots=True)
class Finding:
    """What an anchor or a time-stamp is worth.

    Args:
        size: Entries that it covers.
        grade: What it gives to statements below that size.
        proved: What it proves, in words.
        not_checked: Why it counts for nothing, or what else nobody looked at, in words.
        trust: Whom one has to believe for it.
    """

    size: int = 0
    grade: Grade = Grade.SELF_WITNESSED
    proved: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()


def reached(judged: Sequence[Logged], findings: Iterable[Finding]) -> tuple[Grade, ...]:
    """List the grades that all of these statements reach, lowest first.

    Each stands for itself: a time-stamp says nothing about whether everybody is shown the same
    log, and witnesses nothing that outlives their keys.
    """
    grades = {
        found.grade for found in findings if all(one.index < found.size for one in judged)
    } - {Grade.SELF_WITNESSED}
    if all(one.grade is Grade.WITNESSED for one in judged):
        grades.add(Grade.WITNESSED)
    return tuple(sorted(grades)) or (Grade.SELF_WITNESSED,)
