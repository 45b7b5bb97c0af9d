"""Who outside confirms what lies in a ledger here: by its checkpoint, stamps and anchors kept."""

from __future__ import annotations

from dataclasses import dataclass

from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import Grade
from counterfoil.core.testimony import is_confirmation
from counterfoil.evidence.anchor import check_anchor, collect_anchor
from counterfoil.evidence.cosigned import check_cosigned
from counterfoil.evidence.finding import Finding, reached, views
from counterfoil.evidence.recalled import recall
from counterfoil.evidence.stamp import check_stamps, collect_stamps
from counterfoil.ledger.log import Log


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Who confirms the log up to an entry.

    Args:
        grades: What that entry and all before it reach, lowest first.
        findings: What cosignatures, stamps and anchors are worth.
    """

    grades: tuple[Grade, ...]
    findings: tuple[Finding, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The grades as verdicts have them."""
        return tuple(grade.label for grade in self.grades)

    @property
    def proved(self) -> tuple[str, ...]:
        """What they prove."""
        return tuple(said for found in self.findings for said in found.proved)

    @property
    def not_checked(self) -> tuple[str, ...]:
        """Why they count for nothing, where they do."""
        return tuple(said for found in self.findings for said in found.not_checked)

    def trust(self, policy: TrustPolicy | None) -> tuple[str, ...]:
        """Whom one still has to trust for the log."""
        source = ("Whoever gave you the trust policy, for the log's key.",) if policy else ()
        said = (said for found in self.findings for said in found.trust)
        return (*source, *views(policy, self.grades), *said)


def confirm_checkpoint(note: bytes, policy: TrustPolicy) -> Confirmation:
    """Find who confirms a checkpoint by signing it, and hold it against what was seen before.

    Raises:
        SplitViewError: this machine has seen another history of its log; both are kept.
        PolicyError: fewer than the policy's quorum.
        SignatureError: a line in the name of a witness is false.
    """
    cosigned = check_cosigned(note, policy)
    seen = recall(note, policy.log.keys)
    return Confirmation(reached((cosigned.grade,), 0, ()), (cosigned, seen))


def confirm_log(log: Log, policy: TrustPolicy | None, index: int, now: float) -> Confirmation:
    """Find who confirms a log up to an entry, offline.

    Args:
        log: As of its last refresh.
        policy: The verifier's own.
        index: The last entry that matters.
        now: As of when certificates of stamps have to be valid, Unix seconds.

    Raises:
        As `confirm_checkpoint`, `check_stamps` and `check_anchor`.
    """
    cosigned = check_cosigned(log.checkpoint, policy)
    if policy is None:
        return Confirmation((cosigned.grade,), ())
    checkpoint = open_checkpoint(log.checkpoint, policy.log.keys)
    findings: list[Finding] = []
    stamps = collect_stamps(log, policy, index)
    if stamps:
        findings += check_stamps(stamps, checkpoint, policy.log.keys, policy, now)
    elif policy.authorities:
        findings.append(Finding(not_checked=("Any time: no time-stamp here covers this.",)))
    anchor = collect_anchor(log, policy.chain, index)
    if anchor is not None:
        findings.append(check_anchor(anchor, checkpoint, policy, None))
    elif policy.chain is not None:
        findings.append(Finding(not_checked=("The chain: no anchor here covers this.",)))
    grades = reached((cosigned.grade,), index, findings)
    return Confirmation(grades, (cosigned, *findings))


def grade_log(log: Log, policy: TrustPolicy | None, now: float) -> tuple[str, ...]:
    """Grade a log as the verdict about all of it does: the labels it reaches, lowest first.

    Raises:
        As `confirm_log`.
    """
    return confirm_log(log, policy, newest_said(log), now).labels


def newest_said(log: Log) -> int:
    """Give the index of the newest entry that says more than who confirmed the log; 0 if none."""
    return next((at for at in range(log.size - 1, -1, -1) if not is_confirmation(log.entry(at))), 0)
