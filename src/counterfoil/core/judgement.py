"""What a gate decides: has everything been said that the policy demands, by who had to say it?

Rules, the same for models and data:

1. Only statements about this digest under this name count, once for each principal that signed
   them, at the place in the log where that principal's signature first stood: saying old words
   again revives nothing.
2. Of what a principal said on a matter, the newest counts. An evaluation that turned out worse
   replaces the better one.
3. What has expired does not count, nor an approval that says anything but yes to this stage.
4. A revocation is final. Approvals count again only if they came after it and name its index in
   `after`; measurements stay what they were. Data that was revoked needs every required statement
   anew in that way.
5. Thresholds count principals.

A judgement lists every reason against, not the first. Statements prove what somebody said, never
that it is so; and a list of statements with something left out gives a judgement of its own: who
calls this hands over all of the log's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from counterfoil.core.instant import parse_instant
from counterfoil.core.requirements import Mode, Requirement, parse_number
from counterfoil.core.testimony import Testimony, find_permitted, short_predicate
from counterfoil.core.text import shown
from counterfoil.errors import FormatError, RefusedError

if TYPE_CHECKING:
    from counterfoil.core.canonical import JsonValue
    from counterfoil.core.policy import TrustPolicy
    from counterfoil.core.statement import Subject

APPROVAL = "approval"
CONSENT = "consent"
DATASET = "dataset"
REVOCATION = "revocation"


@dataclass(frozen=True, slots=True)
class Ground:
    """One voice that counted.

    Args:
        predicate: What was said.
        principal: Who said it.
        index: Where in the log.
    """

    predicate: str
    principal: str
    index: int

    def __str__(self) -> str:
        return f"{self.predicate} by {self.principal} at index {self.index}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a gate found.

    Args:
        gate: What was asked, in words.
        mode: What to do with reasons against.
        grounds: The voices that counted.
        reasons: Every reason against, in plain language; empty means yes.
    """

    gate: str
    mode: Mode
    grounds: tuple[Ground, ...]
    reasons: tuple[str, ...]

    def check(self) -> Judgement:
        """Return the judgement if the gate lets through, which in other modes it always does.

        Raises:
            RefusedError: There are reasons against and the gate enforces.
        """
        if self.reasons and self.mode is Mode.ENFORCE:
            raise RefusedError(
                f"{self.gate}: refused",
                reasons=self.reasons,
                hint="Put right what each reason names, and try again.",
            )
        return self


def evaluate_stage(
    policy: TrustPolicy,
    stage: str,
    subject: Subject,
    found: Iterable[Testimony],
    *,
    model_format: str,
    types: Collection[str] = (),
    now: int,
) -> Judgement:
    """Decide whether a model may be used at a stage.

    Args:
        policy: In force now.
        stage: Its name; one that the policy does not know refuses.
        subject: Name and digest of the model.
        found: All statements of the log about the digest (`hear`).
        model_format: What the model's file was found to be (`skops`), not what it is called.
        types: Python types that opening it builds and that its format does not vouch for.
        now: Unix seconds.
    """
    gate = f"{shown(subject.name)} at stage {shown(stage)}"
    rules = next((one for one in policy.stages if one.name == stage), None)
    if rules is None:
        return Judgement(gate, Mode.ENFORCE, (), (f"the policy knows no stage {shown(stage)}",))
    said = _first_said(found)
    revoked = find_revocation(policy, subject, said)
    case = _Case(policy, subject, said, revoked, (APPROVAL,), now, stage=stage)
    reasons = case.expired_policy()
    if model_format not in rules.formats:
        allowed = f"only {', '.join(rules.formats)}" if rules.formats else "none at all"
        reasons.append(f"format {shown(model_format)} is not allowed here, {allowed}")
    unknown = sorted(set(types) - set(rules.trusted_types))
    if unknown:
        reasons.append(
            f"its file builds {', '.join(f'{one!a:.200}' for one in unknown)}; `trusted_types` "
            "does not list that"
        )
    grounds, more = case.judge(rules.requirements)
    return Judgement(gate, rules.mode, tuple(grounds), (*reasons, *more))


def evaluate_data(
    policy: TrustPolicy, purpose: str, subject: Subject, found: Iterable[Testimony], *, now: int
) -> Judgement:
    """Decide whether a data set may be used for a purpose.

    Args:
        policy: In force now.
        purpose: What for.
        subject: Name and digest of the data set.
        found: All statements of the log about the digest (`hear`).
        now: Unix seconds.
    """
    gate = f"{shown(subject.name)} for {shown(purpose)}"
    rules = policy.data
    if rules is None:
        return Judgement(gate, Mode.ENFORCE, (), ("the policy has no rules for data",))
    said = _first_said(found)
    revoked = find_revocation(policy, subject, said)
    renewed = (*(one.predicate for one in rules.requirements), CONSENT)
    case = _Case(policy, subject, said, revoked, renewed, now, purpose=purpose)
    reasons = case.expired_policy()
    if purpose not in rules.purposes:
        reasons.append(f"the policy allows no use of data for {shown(purpose)}")
    grounds, more = case.judge(rules.requirements)
    reasons += more
    if rules.consent_when_personal and case.is_personal(grounds):
        if rules.consent_from:
            consent, more = case.tally(Requirement(CONSENT, 1, rules.consent_from))
            grounds += consent
            reasons += more
        else:
            reasons.append("this is personal data and the policy accepts nobody's consent")
    return Judgement(gate, rules.mode, tuple(grounds), tuple(reasons))


def _first_said(found: Iterable[Testimony]) -> tuple[Testimony, ...]:
    """Keep of each statement the voices that are heard in it for the first time (rule 1).

    A signer that could not say it then is not heard later either, when only its old envelope is
    put into the log again.
    """
    seen: set[tuple[bytes, str]] = set()
    first: list[Testimony] = []
    for one in sorted(found, key=lambda one: one.index):
        fresh = tuple(name for name in one.principals if (one.digest, name) not in seen)
        seen.update((one.digest, name) for name in one.signers)
        if fresh or not one.principals:
            first.append(replace(one, principals=fresh))
    return tuple(first)


def find_revocation(
    policy: TrustPolicy, subject: Subject, found: Iterable[Testimony]
) -> int | None:
    """Return the index of the newest revocation of these bytes; None if none counts.

    Under the subject's own name it stands for good, even if its author has left the policy since.
    Under another name it counts if its author may revoke the subject by its own name.

    Args:
        policy: In force now.
        subject: Name and digest of the thing.
        found: All statements of the log about the digest (`hear`).
    """
    return max(
        (
            one.index
            for one in _first_said(found)
            if short_predicate(one.statement.predicate_type) == REVOCATION
            and any(_overlap(each, subject) for each in one.statement.subjects)
            and (
                (_is_named(one, subject) and one.principals)
                or find_permitted(policy, one.principals, REVOCATION, [subject.name])
            )
        ),
        default=None,
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """Everything said about one subject, asked for one stage or one purpose."""

    policy: TrustPolicy
    subject: Subject
    said: tuple[Testimony, ...]
    revoked: int | None  # index of the newest revocation
    renewed: tuple[str, ...]  # predicates that it makes void (rule 4)
    now: int
    stage: str = ""
    purpose: str = ""

    def expired_policy(self) -> list[str]:
        if self.now < parse_instant(self.policy.expires, "expires"):
            return []
        return [f"the trust policy expired at {self.policy.expires}"]

    def judge(self, requirements: tuple[Requirement, ...]) -> tuple[list[Ground], list[str]]:
        grounds: list[Ground] = []
        reasons: list[str] = []
        unmet: set[str] = set()
        if not requirements:
            reasons.append("the policy requires nothing here, and so lets nothing in")
        for requirement in requirements:
            more_grounds, more_reasons = self.tally(requirement)
            grounds += more_grounds
            reasons += more_reasons
            unmet.update([requirement.predicate] if more_reasons else [])
        lifting = {one.predicate for one in requirements}.intersection(self.renewed)
        if self.revoked is not None and (not lifting or lifting & unmet):
            by = f"only {' and '.join(sorted(lifting))} anew" if lifting else "nothing"
            reasons.insert(0, f"revoked at index {self.revoked}; {by} can lift that here")
        return grounds, reasons

    def tally(self, requirement: Requirement) -> tuple[list[Ground], list[str]]:
        """Count the voices for one requirement; reasons only if they are too few."""
        about = [
            one
            for one in self.said
            if short_predicate(one.statement.predicate_type) == requirement.predicate
            and any(_overlap(each, self.subject) for each in one.statement.subjects)
        ]
        grounds: list[Ground] = []
        objections: list[str] = []
        for name in requirement.among:
            spoken = [one for one in about if name in one.principals]
            if not spoken:
                continue
            to_the_point = [one for one in spoken if self._is_to_the_point(one, requirement)]
            newest = (to_the_point or spoken)[-1]
            ground = Ground(requirement.predicate, name, newest.index)
            against = self._objections(newest, requirement)
            objections += [f"{ground} does not count: {one}" for one in against]
            if not against:
                grounds.append(ground)
        if len(grounds) >= requirement.threshold:
            return grounds, []
        for one in about:
            where = f"{requirement.predicate} at index {one.index} does not count"
            if one.objection:
                objections.append(f"{where}: {one.objection}")
            elif not set(one.principals) & set(requirement.among):
                objections.append(f"{where}: {', '.join(one.principals)} is not asked for it")
        counted = ", ".join(one.principal for one in grounds) or "nobody"
        lacking = (
            f"{requirement.predicate} needs {requirement.threshold} of "
            f"{', '.join(requirement.among)}; what counts is by {counted}"
        )
        return grounds, [lacking, *objections]

    def is_personal(self, grounds: Iterable[Ground]) -> bool:
        """Whether the data are about people: unless every counted description says they are not."""
        counted = {one.index for one in grounds if one.predicate == DATASET}
        return not counted or any(
            one.statement.predicate.get("personal") is not False
            for one in self.said
            if one.index in counted
        )

    def _is_to_the_point(self, one: Testimony, requirement: Requirement) -> bool:
        """Whether a statement speaks to the requirement at all (rule 2)."""
        metrics = _metrics(one)
        bounded = [metric for metric, _ in (*requirement.at_least, *requirement.at_most)]
        return (
            _is_named(one, self.subject)
            and (not self.stage or one.statement.predicate.get("stage") in (None, self.stage))
            and (not bounded or any(metric in metrics for metric in bounded))
        )

    def _objections(self, one: Testimony, requirement: Requirement) -> list[str]:
        """Say everything that keeps a statement from counting."""
        body = one.statement.predicate
        against: list[str] = []
        if not _is_named(one, self.subject):
            names = ", ".join(shown(each.name) for each in one.statement.subjects)
            against.append(f"it speaks of these bytes as {names}")
        if body.get("expires") is not None and (late := _lateness(body["expires"], self.now)):
            against.append(late)
        after = body.get("after")
        if (
            self.revoked is not None
            and requirement.predicate in self.renewed
            and (one.index <= self.revoked or isinstance(after, bool) or after != self.revoked)
        ):
            against.append(
                f"after the revocation at index {self.revoked} it must be said anew, with that "
                "index in `after`"
            )
        if self.stage and body.get("stage") not in (None, self.stage):
            against.append(f"it is for stage {shown(str(body['stage']))}")
        if requirement.predicate == APPROVAL:
            against += _not_a_yes(body)
        if self.purpose and requirement.predicate in (DATASET, CONSENT):
            purposes = body.get("purposes")
            if not isinstance(purposes, list) or self.purpose not in purposes:
                against.append(f"it does not list the purpose {shown(self.purpose)}")
        against += _out_of_bounds(_metrics(one), requirement)
        return against


def _is_named(one: Testimony, subject: Subject) -> bool:
    """Whether a statement speaks of these bytes under this name."""
    return any(
        each.name == subject.name and _agree(each, subject) for each in one.statement.subjects
    )


def _overlap(one: Subject, other: Subject) -> bool:
    """Whether some digest is the same: these may be the same bytes."""
    return not one.digest.items().isdisjoint(other.digest.items())


def _agree(one: Subject, other: Subject) -> bool:
    """Whether some digest is the same and none differs: these are the same bytes."""
    common = one.digest.keys() & other.digest.keys()
    return bool(common) and all(one.digest[key] == other.digest[key] for key in common)


def _lateness(expires: JsonValue, now: int) -> str:
    try:
        if now < parse_instant(str(expires), "expires"):
            return ""
    except FormatError:
        return "its `expires` is no time"
    return f"it expired at {expires}"


def _not_a_yes(body: Mapping[str, JsonValue]) -> list[str]:
    """Say why an approval approves nothing: what anybody may write there is no yes yet."""
    against: list[str] = []
    if body.get("decision") != "approve":
        against.append(f"its `decision` is {shown(str(body.get('decision')))}, not 'approve'")
    if not isinstance(body.get("stage"), str):
        against.append("it names no stage")
    return against


def _metrics(one: Testimony) -> Mapping[str, JsonValue]:
    metrics = one.statement.predicate.get("metrics")
    return metrics if isinstance(metrics, dict) else {}


def _out_of_bounds(metrics: Mapping[str, JsonValue], requirement: Requirement) -> list[str]:
    against: list[str] = []
    sides: tuple[tuple[str, tuple[tuple[str, str], ...], Callable[[Decimal, Decimal], bool]], ...]
    sides = (
        ("at least", requirement.at_least, operator.ge),
        ("at most", requirement.at_most, operator.le),
    )
    for side, bounds, holds in sides:
        for metric, bound in bounds:
            value = metrics.get(metric)
            if isinstance(value, bool) or not isinstance(value, str | int):
                against.append(f"it states no {metric}, which must be {side} {bound}")
                continue
            try:
                number = parse_number(str(value), metric)
            except FormatError as error:
                against.append(str(error))
                continue
            if not holds(number, Decimal(bound)):
                against.append(f"{metric} is {value}, must be {side} {bound}")
    return against
