"""What somebody outside says about a log, and which grades a verdict reaches with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import Grade


@dataclass(frozen=True, slots=True)
class Finding:
    """What cosignatures, an anchor or a time-stamp are worth.

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


def reached(
    cosigned: Iterable[Grade], index: int, findings: Iterable[Finding]
) -> tuple[Grade, ...]:
    """List the grades that statements up to an entry reach, all of them, lowest first.

    Each stands for itself: a time-stamp says nothing about whether everybody is shown the same
    log, and witnesses nothing about when.

    Args:
        cosigned: What the cosignatures under each of their checkpoints are worth.
        index: Of the last of these statements.
        findings: What stamps and anchors are worth.
    """
    grades = {found.grade for found in findings if index < found.size}
    if all(grade is Grade.WITNESSED for grade in cosigned):
        grades.add(Grade.WITNESSED)
    return tuple(sorted(grades - {Grade.SELF_WITNESSED})) or (Grade.SELF_WITNESSED,)


def views(policy: TrustPolicy | None, grades: Sequence[Grade]) -> tuple[str, ...]:
    """Say whether one has to trust the operator that this is the log everybody sees.

    Whom else, and for what, is for the findings to say.
    """
    if policy is None:
        return ("The operator, that this is the log everybody sees.",)
    same = "that you were shown the same log as everybody else"
    outside = "no witness outside of it that the policy names counts"
    operator = policy.log.operator
    if {Grade.ANCHORED, Grade.WITNESSED} & {*grades}:
        return ()
    if Grade.TIME_STAMPED in grades:
        return (f"{operator}, {same}: {outside}.",)
    return (f"{operator}, {same}, and about every time: {outside}.",)
