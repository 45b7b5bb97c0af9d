"""How one trust policy follows another, as roots do in TUF.

A successor has the next version, names its predecessor's digest, and is signed by enough of those
whom the old *and* the new policy let replace it. It stands in the log as a statement; the first
valid one wins, and it is in force for what comes after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from counterfoil.core.envelope import IN_TOTO, Envelope, check_envelope
from counterfoil.core.policy import Predecessor, TrustPolicy, policy_from_json, policy_to_json
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
        PolicyError: Wrong version, predecessors or log; nobody may replace one of them; or too
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
    _check_next(old, new)
    _check_equal("log origin", new.log.origin, old.log.origin)
    # The keys before are history: a new policy adds the one that was in force, or leaves all as is.
    if new.log.key == old.log.key:
        _check_equal("list of the log's earlier keys", new.log.earlier, old.log.earlier)
    else:
        _check_equal("list of older keys of the log", new.log.earlier[:-1], old.log.earlier)
        _check_equal("log key before", [one.key for one in new.log.earlier[-1:]], [old.log.key])
    if new.predecessors:
        # Those who sign could rewrite what judged the past; nobody has to accept it from them.
        *earlier, last = new.predecessors
        _check_equal("list of older predecessors", tuple(earlier), old.predecessors)
        _check_equal("last predecessor", last.digest, old.digest.hex())
        if last.until_index > index + 1:
            raise PolicyError(
                f"the policy before would judge up to entry {last.until_index}, and this one "
                f"stands at {index}",
                hint="A policy is in force for what comes after it; adopt it anew.",
            )
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
        steps: Index from behind which each is in force, ascending, and the policy; None where its
            digest is known and it is not at hand.
    """

    steps: tuple[tuple[int, TrustPolicy | None], ...]
    _judges: tuple[TrustPolicy | None, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        policies = [policy for _, policy in self.steps]
        newest = policies[-1]
        judges = tuple(one and newest and with_compromises(one, newest) for one in policies)
        object.__setattr__(self, "_judges", judges)

    def at(self, index: int) -> TrustPolicy:
        """Return the policy by which a statement at `index` is judged.

        It has learnt what the newest one knows of stolen keys.

        Raises:
            PolicyError: It is not at hand.
        """
        policy = self._judges[0]
        for (start, _), following in zip(self.steps, self._judges, strict=True):
            if start < index:
                policy = following
        if policy is None:
            raise PolicyError(
                f"entry {index} is judged by an earlier trust policy, which is not at hand",
                have="its digest, in the newer policy",
                need="its statement",
                hint="Evidence carries it; ask whoever made this for a whole one.",
            )
        return policy


def policy_history(trusted: TrustPolicy, stated: Iterable[tuple[int, Envelope]]) -> PolicyHistory:
    """Find the policies of a log from one that is trusted, in its statements or some of them.

    What came before is for the trusted policy to say: it names its predecessors by digest, so a
    copy of one needs no signature to be believed, and says itself up to which entry each judges,
    so nobody chooses by leaving statements out. After it, the first valid successor wins
    (`policy_in_force`).

    Args:
        trusted: The policy that the verifier brought along, old or new.
        stated: Index and envelope of `policy` statements of the log.
    """
    known = sorted(stated, key=lambda statement: statement[0])
    policies = policies_by_digest(known)
    starts = [-1, *(one.until_index - 1 for one in trusted.predecessors)]
    steps: list[tuple[int, TrustPolicy | None]] = [
        (start, policies.get(one.digest))
        for start, one in zip(starts, trusted.predecessors, strict=False)
    ]
    newest = trusted
    steps.append((starts[-1], trusted))
    for at, envelope in known:
        if at > starts[-1]:
            following = policy_in_force(newest, [(at, envelope)], MAX_INTEGER)
            if following != newest:
                newest = following
                steps.append((at, newest))
    return PolicyHistory(tuple(steps))


def policies_by_digest(stated: Iterable[tuple[int, Envelope]]) -> dict[str, TrustPolicy]:
    """Read the policies in statements, by their SHA-256 in hex; what is no policy is left out."""
    policies: dict[str, TrustPolicy] = {}
    for _, envelope in stated:
        with suppress(FormatError):
            found = policy_of(parse_statement(envelope.in_toto))
            policies.setdefault(found.digest.hex(), found)
    return policies


def follow(old: TrustPolicy, new: TrustPolicy, index: int) -> TrustPolicy:
    """Complete a draft of the next policy: it names the policies before it.

    Args:
        old: In force.
        new: The draft; written from `old`, it may name the predecessors of that, or none.
        index: Where in the log its statement will stand, or an index not behind that.

    Raises:
        FormatError: It names other predecessors.
        PolicyError: Wrong version or predecessor.
    """
    _check_next(old, new)
    if new.predecessors not in {(), old.predecessors}:
        raise FormatError(
            "this policy names other predecessors than the one before it",
            hint="Leave [[predecessor]] out; it is written when the policy is adopted.",
        )
    return replace(new, predecessors=(*old.predecessors, Predecessor(old.digest.hex(), index + 1)))


def _check_next(old: TrustPolicy, new: TrustPolicy) -> None:
    _check_equal("version", new.version, old.version + 1)
    _check_equal("previous", new.previous, old.digest.hex())


def _check_equal(what: str, have: object, need: object) -> None:
    if have != need:
        raise PolicyError(
            f"the new policy's {what} is {have}, to follow it must be {need}",
            have=str(have),
            need=str(need),
            hint="Write the successor from the policy that is in force.",
        )
