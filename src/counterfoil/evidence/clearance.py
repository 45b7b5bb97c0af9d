"""The model behind a decision: what was said of it, by whom, before the decision was logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from counterfoil.core.instant import parse_instant
from counterfoil.core.judgement import evaluate_stage
from counterfoil.core.requirements import Mode
from counterfoil.core.statement import SHA256, Statement, Subject
from counterfoil.core.succession import POLICY, PolicyHistory
from counterfoil.core.testimony import hear, short_predicate, stated_types
from counterfoil.core.text import named, shown
from counterfoil.errors import FormatError, PolicyError, VerificationError
from counterfoil.evidence.logged import Logged
from counterfoil.models.formats import PICKLE

_OTHER_KINDS = ("override", "pad")  # records that are about a decision, or about nothing


def check_model(
    facts: Mapping[str, Any],
    logged: Sequence[Logged],
    before: int,
    policies: PolicyHistory | None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Check what was said of the model that decided, before its decision reached the log.

    Returns:
        What is proved, and what was not checked, in words.
    """
    match facts.get("output"):
        case {
            "model": {"name": str(name), "digest": str(digest), "stage": str(stage)},
            "decided": str(decided),
        }:
            subject = Subject(name, {SHA256: digest})
        case _ if facts.get("kind") in _OTHER_KINDS:
            return (), (
                (
                    "The decision that this record is about, and whether its model was cleared: "
                    "that decision's own evidence shows it."
                ),
            )
        case _ if "output" not in facts:
            _require_observing(policies, before)
            return (), ("Which model decided, and whether it was cleared: that is withheld.",)
        case _:
            raise FormatError(
                "the record does not say which model decided, at which stage, or when",
                hint="A decision without that cannot be judged; ask for its whole output.",
            )
    about = [one for one in logged if one.index < before and one.role != POLICY]
    stated = [one for one in about if one.role == "model" and subject in one.statement.subjects]
    if policies is not None:
        stated = [
            one
            for one in stated
            if hear(policies.at(one.index), one.envelope, one.index).principals
        ]
    if not stated:
        raise VerificationError(
            f"nobody who may has stated a model {named(name)} with SHA-256 {digest[:12]}… before "
            "this",
            hint="The record names a model that the log does not know under this name.",
        )
    unknown = beyond_the_digest(stated[-1].statement)
    if policies is None:
        return (f"The model is stated to be {named(name)}, SHA-256 {digest[:12]}….",), unknown
    proved, not_seen = _check_clearance(
        subject, stage, decided, stated=stated[-1], about=about, policies=policies, before=before
    )
    return proved, (*not_seen, *unknown)


def beyond_the_digest(stated: Statement) -> tuple[str, ...]:
    """Say which code the digest of a model does not cover, as far as its statement tells."""
    if types := stated_types(stated):
        code = f"The code of {', '.join(map(named, types))}, which the model's file builds"
        covered = "what they hold, not what they run"
    elif stated.predicate.get("format") == PICKLE.name:
        code, covered = "What the model's pickle calls", "the file, and no code beside it"
    elif stated.predicate.get("verifiable") is not True:
        code, covered = "What the model's function calls or closes over", "its own code only"
    else:
        return ()
    return (f"{code}: its digest covers {covered}.",)


def _require_observing(policies: PolicyHistory | None, before: int) -> None:
    """Refuse evidence that withholds what a policy would be enforced on.

    Whoever holds a letter can leave a field out; that must not make more of it pass.
    """
    if policies is None:
        return
    enforced = [one.name for one in policies.at(before).stages if one.mode is Mode.ENFORCE]
    if enforced:
        raise PolicyError(
            "the evidence withholds which model decided, and the policy enforces "
            f"{', '.join(map(shown, enforced))}",
            have="no `output`",
            need="the field `output`",
            hint="Ask for the evidence with its field `output`.",
        )


def _check_clearance(
    subject: Subject,
    stage: str,
    decided: str,
    *,
    stated: Logged,
    about: Sequence[Logged],
    policies: PolicyHistory,
    before: int,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Judge what was said of the model, and find the gate that looked at all of the log."""
    heard = [hear(policies.at(one.index), one.envelope, one.index) for one in about]
    judgement = evaluate_stage(
        policies.at(before),
        stage,
        subject,
        heard,
        model_format=str(stated.statement.predicate.get("format")),
        types=stated_types(stated.statement),
        now=parse_instant(decided, "time of the decision"),
    )
    which = f"The model is {named(subject.name)}, SHA-256 {subject.digest[SHA256][:12]}…"
    where = f"stage {shown(stage)}"
    cleared = [
        one
        for one in heard
        if one.principals
        and short_predicate(one.statement.predicate_type) == "clearance"
        and subject in one.statement.subjects
        and one.statement.predicate.get("stage") == stage
    ]
    missing = list(judgement.reasons)
    if not cleared:
        missing.append("no gate's clearance, made before the decision, is in the file")
    if missing and judgement.mode is Mode.ENFORCE:
        raise PolicyError(
            f"the model {named(subject.name)} was not cleared for {shown(stage)}: "
            f"{'; '.join(missing)}",
            have=", ".join(str(ground) for ground in judgement.grounds) or "nothing",
            need=f"what the policy asks for at {shown(stage)}",
            hint="The decision was made by a model that the policy does not let decide.",
        )
    if missing:
        told = f"{which}. The policy does not enforce at {where}; if it did, it would refuse this"
        return (f"{told} model: {'; '.join(missing)}.",), ()
    gate = cleared[-1]
    size = gate.statement.predicate.get("size")
    voices = ", ".join(f"{one.principal} said `{one.predicate}`" for one in judgement.grounds)
    scanned = f"having looked at the first {size} entries of the log"
    whose = ", ".join(gate.principals)
    told = f"{which}. {voices}; a gate of {whose} cleared it for {where}, {scanned}."
    unseen = (
        f"Whether the model was revoked after those {size} entries: no revocation is in this "
        "file, and a file cannot show that there is none."
    )
    return (told,), (unseen,)
