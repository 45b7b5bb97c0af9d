"""What an evidence file shows of shards: by which policies, and what was said in those before.

Each log is judged by its own policies. Of the newest, the verifier brought one; of a log that has
ended, its hand-over names by digest the one that was in force at the end, and the file carries it.
What was said in shards before the record's is told, and counts for nothing at a gate: a gate looks
at its own log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from counterfoil.core.canonical import JsonValue
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.shard import Shard
from counterfoil.core.succession import (
    POLICY,
    PolicyHistory,
    policies_by_digest,
    policy_history,
)
from counterfoil.core.testimony import hear
from counterfoil.core.text import named, shown
from counterfoil.errors import PolicyError
from counterfoil.evidence.finding import Finding
from counterfoil.evidence.logged import Logged
from counterfoil.evidence.logs import Logs


def find_policies(
    logs: Logs, shard: Shard, logged: Iterable[Logged], brought: TrustPolicy | None
) -> PolicyHistory | None:
    """Find the policies by which a shard's statements are judged; None if none was brought.

    Raises:
        PolicyError: Nobody says which was in force at a log's end, or it is not in the file, or
            the file shows that another one was.
    """
    if brought is None:
        return None
    carried = [
        (one.index, one.envelope) for one in logged if one.shard == shard and one.role == POLICY
    ]
    if shard is logs.newest:
        return policy_history(brought, carried)
    ended = shown(shard.keys.name)
    if shard.policy is None:
        raise PolicyError(
            f"the hand-over of {ended} does not say which trust policy was in force at its end",
            have="a hand-over as they were first written",
            need="one that names the policy by its digest",
            hint="What that log holds is judged by its own policy only: ask for evidence of it "
            "alone, and for its trust.toml.",
        )
    last = policies_by_digest(carried).get(shard.policy)
    if last is None:
        raise PolicyError(
            f"the trust policy with which {ended} ended is not in the file",
            have="its digest, in the hand-over",
            need="its statement in that log",
            hint="Evidence carries it; ask whoever made this for a whole one.",
        )
    if last.log.key not in shard.keys.all:
        raise PolicyError(
            f"the policy that the hand-over of {ended} names is of another log",
            have=last.log.key.label,
            need=shard.keys.label,
            hint="Nothing in that log can be judged by it; ask its operator how that came.",
        )
    history = policy_history(last, carried)
    if history.steps[-1][1] != last:
        raise PolicyError(
            f"the hand-over of {ended} names version {last.version} of its trust policy as the "
            "last one, and a later one is in the file",
            have=f"version {last.version}",
            need="the one that was in force at the end",
            hint="That log contradicts itself; ask its operator how that came.",
        )
    return history


def tell_shards(
    logs: Logs,
    logged: Sequence[Logged],
    policies: Mapping[Shard, PolicyHistory | None],
    facts: Mapping[str, JsonValue],
) -> Finding:
    """Say what ties the shards together, and what was said in those before the record's.

    Args:
        logs: Of the file; several.
        logged: All of its statements.
        policies: By which the statements of a shard are judged, of each that has any.
        facts: The disclosed fields.
    """
    own, newest = logs.own.keys.name, logs.newest.keys.name
    ended = [shard for shard in logs.shards if shard is not logs.newest]
    proved = [
        "The log went on in shards, each by the signature of the one before and of its own: "
        + ", ".join(f"{one.keys.name} ended with {_size(one)} entries" for one in ended)
        + f"; the last of them went on as {newest}, so that what confirms this one confirms all."
    ]
    names = _listed(ended)
    not_checked = [f"Who had cosigned {names} meanwhile: only what confirms {newest} is looked at."]
    trust = []
    judged = [shard for shard in ended if policies.get(shard) is not None]
    proved += [
        f"What {shard.keys.name} holds is judged by its own trust policy: the one with the SHA-256 "
        f"{shard.policy}, which its hand-over names, and those that this one names."
        for shard in judged
    ]
    if judged:
        not_checked.append(
            f"Whether a key with which somebody spoke in {_listed(judged)} was stolen, and found "
            "to be so after its end: a later shard's policy says nothing about that."
        )
        trust.append(
            f"Whoever ran {_listed(judged)}, that its hand-over names the trust policy that was in "
            "force: by this word alone its principals are believed."
        )
    said = [one for one in logged if one.shard in logs.earlier and one.role != POLICY]
    about = _digests_behind(facts, logged)
    told = [one for one in said if about & _digests_of(one)]
    for one in told:
        is_proved, sentence = _tell(one, policies[one.shard])
        (proved if is_proved else not_checked).append(sentence)
    if len(told) < len(said):
        more = len(said) - len(told)
        not_checked.append(
            f"What {more} of the statements of earlier shards have to do with this: they are not "
            "about what is shown of the model that decided, or of its data."
        )
    if told:
        not_checked.append(
            f"What else was said in {_listed(logs.earlier)} of the model and its data, such as a "
            f"revocation: a file cannot show that nothing was, and a gate of {own} looks at its "
            "own log alone."
        )
    return Finding(proved=tuple(proved), not_checked=tuple(not_checked), trust=tuple(trust))


def data_digests(trained_on: JsonValue) -> list[str]:
    """Read the digests of data sets out of what a `model` statement says it was trained on."""
    digests = [
        one.get("digest")
        for one in (trained_on if isinstance(trained_on, list) else [])
        if isinstance(one, dict)
    ]
    return [digest for digest in digests if isinstance(digest, str)]


def model_digest(facts: Mapping[str, JsonValue]) -> str | None:
    """Read which model decided out of the fields of a record; None where that is not there."""
    match facts.get("output"):
        case {"model": {"digest": str(digest)}}:
            return digest
    return None


def _tell(one: Logged, policies: PolicyHistory | None) -> tuple[bool, str]:
    """Say what stands in an earlier shard, and whether somebody who may has said it."""
    about = ", ".join(named(subject.name) for subject in one.statement.subjects)
    where = f"at entry {one.index} of {one.shard.keys.name}"
    if policies is None:
        return True, f"`{one.role}` about {about} stands {where}."
    heard = hear(policies.at(one.index), one.envelope, one.index)
    if heard.principals:
        return True, f"{', '.join(heard.principals)} said `{one.role}` about {about}, {where}."
    return False, f"What `{one.role}` about {about} says, {where}: {heard.objection}."


def _digests_behind(facts: Mapping[str, JsonValue], logged: Iterable[Logged]) -> set[str]:
    """Give the digests of the model that decided, and of the data that it was trained on."""
    model = model_digest(facts)
    if model is None:
        return set()
    said = [one for one in logged if one.role == "model" and model in _digests_of(one)]
    data = [data_digests(one.statement.predicate.get("trained_on")) for one in said]
    return {model, *(digest for digests in data for digest in digests)}


def _digests_of(one: Logged) -> set[str]:
    return {digest for subject in one.statement.subjects for digest in subject.digest.values()}


def _listed(shards: Iterable[Shard]) -> str:
    return ", ".join(shard.keys.name for shard in shards)


def _size(shard: Shard) -> int:
    assert shard.checkpoint is not None  # noqa: S101 every log among several has its own
    return shard.checkpoint.size
