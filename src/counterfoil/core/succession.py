"""How one trust policy follows another, as roots do in TUF.

A successor has the next version, names its predecessor's digest, and is signed by enough of those
whom the old *and* the new policy let replace it. It stands in the log as a statement; the first
valid one wins, and it is in force for what comes after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from counterfoil.core.envelope import IN_TOTO, Envelope, check_envelope
from counterfoil.core.policy import TrustPolicy, policy_from_json, policy_to_json
from counterfoil.core.statement import (
    SHA256,
    Statement,
    Subject,
    format_statement,
    parse_statement,
    predicate_type,
)
from counterfoil.core.testimony import find_signers, with_compromises
from counterfoil.core.text import MAX_INTEGER
from counterfoil.errors import FormatError, PolicyError, VerificationError

POLICY = "policy"
"""Short name of the predicate that carries a policy."""


def policy_statement(policy: TrustPolicy) -> Statement:
    """Return the statement that puts a policy into the log; `policy_of` is the inverse."""
    subject = Subject(policy.name, {SHA256: policy.digest.hex()})
    return Statement((subject,), predicate_type(POLICY), {"policy": policy_to_json(policy)})


def policy_of(statement: Statement) -> TrustPolicy:
    """Read the policy in a statement.

    Raises:
        FormatError: There is none, or the statement says anything else.
    """
    policy = policy_from_json(statement.predicate.get("policy"))
    if policy_statement(policy) != statement:
        raise FormatError(
            "this statement is not the one that carries its policy",
            hint="Make it with policy_statement.",
        )
    return policy


def check_successor(old: TrustPolicy, new: TrustPolicy, envelope: Envelope, index: int) -> None:
    """Check that `new` may replace `old`.

    Args:
        old: In force at `index`.
        new: The policy that wants to be next.
        envelope: Holds the statement of `new`, and the signatures.
        index: Where in the log it stands; keys void there do not count.

    Raises:
        FormatError: The envelope holds something else.
        SignatureError: Nobody of either policy signed, or one of their signatures is false.
        PolicyError: Wrong version, predecessor or log; nobody may replace one of them; or too
            few of those who may have signed.

    Source:
        The Update Framework 1.0, section 5.3.4 and 5.3.5 (root rotation).
    """
    if envelope.payload_type != IN_TOTO or envelope.payload != format_statement(
        policy_statement(new)
    ):
        raise FormatError(
            "this envelope does not hold the policy's statement",
            hint="Sign format_statement(policy_statement(new)).",
        )
    _check_equal("version", new.version, old.version + 1)
    _check_equal("previous", new.previous, old.digest.hex())
    _check_equal("log origin", new.log.origin, old.log.origin)
    for which, policy in (("old", old), ("new", new)):
        if policy.succession is None:
            raise PolicyError(
                f"the {which} policy lets nobody replace it",
                need="a [policy] section",
                hint="Hand the new policy to every verifier as their own trust.toml.",
            )
        keys = check_envelope(envelope, policy.keys)
        signers = [
            name for name in find_signers(policy, keys, index) if name in policy.succession.among
        ]
        if len(signers) < policy.succession.threshold:
            raise PolicyError(
                f"too few of the {which} policy's principals signed its replacement",
                have=", ".join(signers) or "nobody",
                need=f"{policy.succession.threshold} of {', '.join(policy.succession.among)}",
                hint="Both policies' thresholds must be met in one envelope.",
            )


def policy_in_force(
    root: TrustPolicy, successors: Iterable[tuple[int, Envelope]], index: int
) -> TrustPolicy:
    """Return the policy by which a statement at `index` is judged.

    Envelopes that hold no valid successor change nothing: anybody may have put them there.

    Args:
        root: The policy that the verifier brought along.
        successors: Index and envelope of every `policy` statement of the log.
        index: Where the judged statement stands; a policy is in force for what comes after it.
    """
    policy = root
    for at, envelope in sorted(successors, key=lambda successor: successor[0]):
        if at >= index:
            break
        try:
            new = policy_of(parse_statement(envelope.in_toto))
            check_successor(policy, new, envelope, at)
        except (FormatError, VerificationError):
            continue  # not a successor: the one before stays in force
        policy = new
    return policy


@dataclass(frozen=True, slots=True)
class PolicyHistory:
    """The policies of a log, one after another; made by `policy_history`.

    Args:
        steps: Index from behind which each is in force, ascending, and the policy.
    """

    steps: tuple[tuple[int, TrustPolicy], ...]

    def at(self, index: int) -> TrustPolicy:
        """Return the policy by which a statement at `index` is judged."""
        policy = self.steps[0][1]
        for start, following in self.steps:
            if start < index:
                policy = following
        return policy


def policy_history(trusted: TrustPolicy, stated: Iterable[tuple[int, Envelope]]) -> PolicyHistory:
    """Find the policies of a log from one that is trusted.

    Forward of the trusted policy, the first valid successor wins (`policy_in_force`). Before it,
    each policy names its predecessor by digest, so the log's copies need no signature to be
    believed. Where the log does not hold a predecessor, the oldest known policy judges what came
    before it. All have learnt what the newest one knows of stolen keys.

    Args:
        trusted: The policy that the verifier brought along, old or new.
        stated: Index and envelope of every `policy` statement of the log.
    """
    known = sorted(stated, key=lambda statement: statement[0])
    places: dict[str, tuple[int, TrustPolicy]] = {}
    for at, envelope in known:
        with suppress(FormatError):
            found = policy_of(parse_statement(envelope.in_toto))
            places.setdefault(found.digest.hex(), (at, found))
    own, _ = places.get(trusted.digest.hex(), (-1, trusted))
    steps = [(own, trusted)]
    while (earlier := places.get(steps[0][1].previous)) and earlier[0] < steps[0][0]:
        steps.insert(0, earlier)
    for at, envelope in known:
        if at > own:
            following = policy_in_force(steps[-1][1], [(at, envelope)], MAX_INTEGER)
            if following != steps[-1][1]:
                steps.append((at, following))
    newest = steps[-1][1]
    return PolicyHistory(tuple((at, with_compromises(policy, newest)) for at, policy in steps))


def _check_equal(what: str, have: object, need: object) -> None:
    if have != need:
        raise PolicyError(
            f"the new policy's {what} is {have}, to follow it must be {need}",
            have=str(have),
            need=str(need),
            hint="Write the successor from the policy that is in force.",
        )
