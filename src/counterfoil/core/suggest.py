"""A policy from what was observed: what was said so far may be said, and is asked for from now on.

A suggestion is a draft for people. It cannot know who *should* have a say, only who had one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from counterfoil.core.judgement import APPROVAL, CONSENT, DATASET, REVOCATION
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.principals import Permission
from counterfoil.core.requirements import DataRules, Mode, Requirement, Stage
from counterfoil.core.text import shown
from counterfoil.errors import FormatError

MODEL_PREDICATES = ("training", "evaluation", APPROVAL)
"""What is asked of a model, as far as it was observed."""

_OF_ITSELF = frozenset({"stream", "batch", "clearance", "refusal", "promotion", "policy", "anchor"})

SAFE_FORMATS = ("skops", "safetensors", "onnx")
"""Formats whose loading runs no code that the file brings along."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One statement, as far as a suggestion needs it.

    Args:
        predicate: Short name, or the full type of a foreign one.
        subject: Name of the subject.
        principal: Who said it: a principal's name or the label of one of its keys.
    """

    predicate: str
    subject: str
    principal: str


def suggest_policy(
    policy: TrustPolicy,
    observed: Iterable[Observed],
    *,
    stage: str = "production",
    formats: tuple[str, ...] = SAFE_FORMATS,
    trusted_types: tuple[str, ...] = (),
    purposes: tuple[str, ...] = (),
    mode: Mode = Mode.ENFORCE,
) -> TrustPolicy:
    """Draft the successor of `policy` that lets through what was observed, and nothing wider.

    Log, witnesses and principals stay. Each principal may say what it said, about the subjects it
    spoke of; whoever may approve a model or describe data may revoke them as well, or nobody
    could. The stage asks for what was said about models, with the smallest number of voices
    that any subject had; data likewise. Statements by keys of no principal are left out: a
    signature that the policy does not know is no reason to trust it.

    Args:
        policy: In force while observing.
        observed: What was said.
        stage: The stage to write rules for; others stay as they are.
        formats: What may be loaded there.
        trusted_types: Python types that model files may build there.
        purposes: What data may be used for.
        mode: What the new rules do.

    Raises:
        FormatError: A subject's name or a purpose cannot stand in a policy.
    """
    labels = {key.label: one.name for one in policy.principals for key in one.keys}
    names = {one.name: one.name for one in policy.principals}
    said = [
        replace(one, principal=principal)
        for one in observed
        if (principal := names.get(one.principal) or labels.get(one.principal))
    ]
    former = next((one for one in policy.stages if one.name == stage), None)
    # Where nobody has spoken yet, what was asked for stays: with nothing, nothing would get in.
    asked = _requirements(said, MODEL_PREDICATES) or (former.requirements if former else ())
    rules = Stage(stage, mode, formats, asked, trusted_types)
    data = _requirements(said, (DATASET,))
    consent = policy.data.consent_when_personal if policy.data is not None else True
    return replace(
        policy,
        version=policy.version + 1,
        previous=policy.digest.hex(),
        principals=tuple(
            replace(
                one,
                may=_permissions({it for it in said if it.principal == one.name}, asked, one.name),
            )
            for one in policy.principals
        ),
        stages=(*(one for one in policy.stages if one.name != stage), rules),
        data=DataRules(
            mode,
            purposes,
            data,
            consent_when_personal=consent,
            consent_from=_speakers(said, CONSENT),
        )
        if data
        else policy.data,
    )


def _permissions(
    said: set[Observed], asked: tuple[Requirement, ...], principal: str
) -> tuple[Permission, ...]:
    """Allow what was said, and what is asked of this principal.

    What a ledger says of itself has a new subject each time, so that is allowed about anything.
    """
    for one in said:
        if "*" in one.predicate + one.subject:
            raise FormatError(
                f"{shown(one.predicate)} about {shown(one.subject)} has a * in its name",
                hint="As a pattern it would allow more than was observed; rename the subject.",
            )
    pairs = {(one.predicate, "*" if one.predicate in _OF_ITSELF else one.subject) for one in said}
    heard = {predicate for predicate, _ in pairs}
    if heard & {"stream", "batch"}:  # whoever runs the ledger speaks for its gates as well
        pairs |= {(predicate, "*") for predicate in ("clearance", "refusal", "promotion")}
    pairs |= {
        (one.predicate, "*")
        for one in asked
        if principal in one.among and one.predicate not in heard
    }
    # A no is wanted on the day when something is wrong, so nobody has been heard saying it yet.
    pairs |= {(REVOCATION, subject) for said_of, subject in pairs if said_of in (APPROVAL, DATASET)}
    return tuple(Permission(predicate, subject) for predicate, subject in sorted(pairs))


def _requirements(said: list[Observed], predicates: tuple[str, ...]) -> tuple[Requirement, ...]:
    requirements: list[Requirement] = []
    for predicate in predicates:
        voices: dict[str, set[str]] = {}
        for one in said:
            if one.predicate == predicate:
                voices.setdefault(one.subject, set()).add(one.principal)
        if voices:
            threshold = min(len(names) for names in voices.values())
            requirements.append(Requirement(predicate, threshold, _speakers(said, predicate)))
    return tuple(requirements)


def _speakers(said: list[Observed], predicate: str) -> tuple[str, ...]:
    return tuple(sorted({one.principal for one in said if one.predicate == predicate}))
