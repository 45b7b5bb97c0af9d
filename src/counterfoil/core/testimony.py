"""Who made a statement, and whether the policy lets them.

A statement is judged by the policy in force at its index in the log (`policy_in_force`), with
what the newest policy has learnt about stolen keys (`with_compromises`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from counterfoil.core.envelope import IN_TOTO, Envelope, check_envelope, parse_envelope
from counterfoil.core.keys import VerifierKey
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.principals import Compromise
from counterfoil.core.statement import (
    Statement,
    format_statement,
    parse_statement,
    predicate_name,
)
from counterfoil.core.text import shown
from counterfoil.errors import CounterfoilError, FormatError, PolicyError, VerificationError

_CONFIRMATIONS = frozenset({"anchor", "timestamp"})


@dataclass(frozen=True, slots=True)
class Testimony:
    """A statement of the log with the voices behind it.

    Args:
        index: Where in the log it stands.
        digest: SHA-256 of its payload: the same words said again are the same statement.
        statement: What was said.
        signers: Principals that signed it.
        principals: Those of them that may say it: the voices that count.
        objection: Why nobody's voice counts, where that is so.
    """

    index: int
    digest: bytes
    statement: Statement
    signers: tuple[str, ...]
    principals: tuple[str, ...]
    objection: str = ""


def is_confirmation(entry: bytes) -> bool:
    """Whether an entry only says that somebody outside confirmed the log.

    Such entries are no reason to have it confirmed again, or there would be no end to it. Anything
    may stand in a log; what cannot be read is none.
    """
    try:
        statement = parse_statement(parse_envelope(entry).in_toto)
    except CounterfoilError:
        return False
    return short_predicate(statement.predicate_type) in _CONFIRMATIONS


def short_predicate(uri: str) -> str:
    """Return the name by which a policy calls a predicate: short for ours, else the whole type."""
    try:
        return predicate_name(uri)
    except FormatError:
        return uri


def stated_types(statement: Statement) -> tuple[str, ...]:
    """Give the Python types that a `model` statement says its file builds, beyond safe ones.

    Anything but a list of names counts as a type that no policy lists.
    """
    types = statement.predicate.get("types")
    match types:
        case [*names] if all(isinstance(name, str) for name in names):
            return tuple(map(str, names))
    return (f"types {types!r}",)


def find_signers(policy: TrustPolicy, keys: Collection[VerifierKey], index: int) -> tuple[str, ...]:
    """Return the principals that have spoken, given keys whose signatures hold.

    Args:
        policy: In force at `index`.
        keys: Keys that signed, as `check_envelope` returns them.
        index: Where in the log the statement stands.
    """
    return tuple(one.name for one in policy.principals if not one.shortfall(keys, index))


def find_permitted(
    policy: TrustPolicy, names: Collection[str], predicate: str, subjects: Iterable[str]
) -> tuple[str, ...]:
    """Return those of `names` that may say `predicate` about every one of `subjects`.

    Args:
        policy: Lists what each principal may say.
        names: Principals.
        predicate: As `short_predicate` returns it.
        subjects: Names of subjects; about none at all nobody may say anything.
    """
    about = tuple(subjects)
    return tuple(
        one.name
        for one in policy.principals
        if one.name in names
        and about
        and all(any(each.covers(predicate, name) for each in one.may) for name in about)
    )


def check_attestation(
    policy: TrustPolicy, envelope: Envelope, statement: Statement, index: int
) -> tuple[str, ...]:
    """Check that somebody who may make this statement made it.

    Args:
        policy: In force at `index`.
        envelope: As parsed from the log's entry.
        statement: What its payload says.
        index: Where in the log it stands.

    Returns:
        The principals that signed and may say this, in the policy's order.

    Raises:
        FormatError: `statement` is not what the envelope holds.
        SignatureError: No principal's key signed, or one of their signatures is false.
        PolicyError: Nobody who may say this has spoken.
    """
    _check_contents(envelope, statement)
    keys = check_envelope(envelope, policy.keys)
    return _check_voices(policy, keys, statement, index)


def hear(policy: TrustPolicy, envelope: Envelope, index: int) -> Testimony:
    """Read a statement and find who stands behind it; nobody is an answer too.

    Args:
        policy: In force at `index`.
        envelope: As parsed from the log's entry.
        index: Where in the log it stands.

    Raises:
        FormatError: The envelope does not hold a statement.
    """
    statement = parse_statement(envelope.in_toto)
    _check_contents(envelope, statement)
    signers: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    objection = ""
    try:
        keys = check_envelope(envelope, policy.keys)
        signers = find_signers(policy, keys, index)
        principals = _check_voices(policy, keys, statement, index)
    except VerificationError as error:
        objection = str(error)
    return Testimony(index, envelope.digest, statement, signers, principals, objection)


def with_compromises(policy: TrustPolicy, newest: TrustPolicy) -> TrustPolicy:
    """Return `policy` with the stolen keys that a later one knows of.

    A policy cannot know of a theft that is found out later; the thief's statements are void all
    the same, from the index that the later policy names.

    Args:
        policy: In force when a statement was made.
        newest: In force now.
    """
    learnt = [one for principal in newest.principals for one in principal.compromised]
    return replace(
        policy,
        principals=tuple(
            replace(
                principal,
                compromised=_merge(
                    [
                        one
                        for one in (*principal.compromised, *learnt)
                        if one.key in {key.label for key in principal.keys}
                    ]
                ),
            )
            for principal in policy.principals
        ),
    )


def _merge(compromises: list[Compromise]) -> tuple[Compromise, ...]:
    earliest: dict[str, int] = {}
    for one in compromises:
        earliest[one.key] = min(one.from_index, earliest.get(one.key, one.from_index))
    return tuple(Compromise(key, index) for key, index in earliest.items())


def _check_contents(envelope: Envelope, statement: Statement) -> None:
    if envelope.payload_type != IN_TOTO or envelope.payload != format_statement(statement):
        raise FormatError(
            "this statement is not what the envelope holds",
            hint="Parse the statement from the envelope's payload.",
        )


def _check_voices(
    policy: TrustPolicy, keys: Collection[VerifierKey], statement: Statement, index: int
) -> tuple[str, ...]:
    predicate = short_predicate(statement.predicate_type)
    about = [subject.name for subject in statement.subjects]
    permitted = find_permitted(policy, find_signers(policy, keys, index), predicate, about)
    if permitted:
        return permitted
    have = "; ".join(
        one.shortfall(keys, index) or f"{one.name} has signed and may not say this"
        for one in policy.principals
        if any(key in keys for key in one.keys)
    )
    said = f"{shown(predicate)} about {shown(', '.join(about))}"
    raise PolicyError(
        f"nobody has signed who may say {said}: {have}",
        have=have,
        need=f"a principal that may say {said}",
        hint="Let such a principal sign, or widen `may` in the trust policy.",
    )
