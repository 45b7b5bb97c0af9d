"""Verifying an evidence file: offline, from the file and a trust policy got elsewhere.

In order, each step resting on those before it:

    1. the file is read strictly; a page's evidence is taken out of it
    2. the log: origin and key are those of the trust policy; where there are several, it knows the
       newest, and each has ended and handed over to the one after it
    3. every statement is in the log: its receipt's path leads to a checkpoint the log signed, and
       enough witnesses cosigned that
    4. no two of these checkpoints contradict each other; an anchor and time-stamps, if there are
       any, are of roots that they extend, and whom the policy names vouches for them
    5. the stream was declared, and the batch stated, by one who may do both
    6. the record is in the batch; what is disclosed is what the record commits to
    7. the model named in the record is the one that statements are about; what the policy asks
       for at its stage was said, by who had to say it, before the batch was logged, and a gate
       that scanned the log cleared it
    8. the page, if it is one, shows what is proven and nothing else

Each statement is judged by the policy in force at its place in the log, and the model by the one in
force when its decision was logged. The policy that the verifier brought says by digest which ones
were before it, and up to which entry each judges; the file only carries them. A policy after it is
one that follows by the signatures both ask for. The last policy of a log that has ended is the one
that its hand-over names.

Without a policy, steps 2 and 7 cannot be done and 3 to 5 rest on the file's own word: what holds
together is shown, and the verdict is *untrusted*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from counterfoil.core.canonical import JsonValue, parse_canonical
from counterfoil.core.merkle import Hash, check_extension
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import Grade
from counterfoil.core.record import check_disclosures
from counterfoil.core.stream import (
    RecordReceipt,
    check_promises,
    check_record,
    parse_batch,
    parse_stream,
)
from counterfoil.core.succession import PolicyHistory
from counterfoil.core.testimony import check_attestation
from counterfoil.core.text import named, parse_base64
from counterfoil.errors import FormatError, PolicyError, VerificationError
from counterfoil.evidence.anchor import check_anchor, no_anchor
from counterfoil.evidence.clearance import check_model
from counterfoil.evidence.cosigned import check_cosigned
from counterfoil.evidence.finding import Finding, reached, views
from counterfoil.evidence.logged import Logged, common_checkpoint, read_logged
from counterfoil.evidence.logs import Logs, malformed, read_logs
from counterfoil.evidence.page import check_page, parse_page
from counterfoil.evidence.recalled import recall
from counterfoil.evidence.shards import find_policies, tell_shards
from counterfoil.evidence.stamp import check_stamps
from counterfoil.evidence.verdict import Verdict

MAX_EVIDENCE_BYTES = 16 << 20
_V1 = {"counterfoil", "kind", "log", "policy", "record", "disclosures", "statements"}
_MEMBERS: dict[str, tuple[set[str], ...]] = {
    "evidence/v1": (_V1,),
    "evidence/v2": (_V1 | {"anchor"},),
    "evidence/v3": (_V1 | {"stamps"}, _V1 | {"anchor", "stamps"}),
    "evidence/v4": tuple(
        _V1 | {"newest", "shards"} | more
        for more in (set(), {"anchor"}, {"stamps"}, {"anchor", "stamps"})
    ),
}


def verify_evidence(
    data: bytes, policy: TrustPolicy | None, rpc: str | None = None, *, now: float
) -> Verdict:
    """Verify an evidence file.

    Args:
        data: The file: a page, or its JSON alone.
        policy: From elsewhere than the file; None leaves the verdict untrusted.
        rpc: URL of a node to ask about an anchor that nobody vouches for offline.
        now: Unix seconds: certificates of time-stamps are valid for a while only.

    Returns:
        What is proven, what was not checked, and whom one still has to trust.

    Raises:
        FormatError: it is no evidence file.
        VerificationError: something in it is not true; the most specific kind of it.
        UnavailableError: the node does not answer, or what is remembered here cannot be read.
    """
    evidence, is_page = _read(data)  # 1
    logs = read_logs(evidence, policy)  # 2
    everything = read_logged(evidence, logs, policy)  # 3, 4
    logged = [one for one in everything if one.shard == logs.own]
    origin = logs.own.keys.name
    declared, stated = _one(logged, "stream"), _one(logged, "batch")
    declaration = parse_stream(declared.envelope.in_toto)
    batch = parse_batch(stated.envelope.in_toto)
    if declaration.log != origin or batch.log != origin:
        raise VerificationError(
            f"the stream belongs to the log {declaration.log}, and this is {origin}",
            hint="A statement counts only in the log that it names.",
        )
    check_promises(batch, declaration)
    check_extension(batch.size_before, batch.root_before, batch.size, batch.root, batch.consistency)
    receipt = _record_receipt(evidence)
    check_record(receipt, declaration, batch)  # 6
    if receipt.index < batch.size_before:
        raise VerificationError(
            f"the record is number {receipt.index}, and an earlier batch than this one, from "
            f"{batch.size_before} on, brought it into the log",
            hint="Ask for the evidence with the first batch that holds the record.",
        )
    facts = check_disclosures(receipt.record, declaration.fields, _disclosures(evidence))
    judges = {
        shard: find_policies(logs, shard, everything, policy)
        for shard in dict.fromkeys(one.shard for one in everything)
    }
    policies = judges[logs.own]
    then = None if policies is None else policies.at(stated.index)
    speakers = _speakers(declared, stated, policies)  # 5
    proved_of_model, unknown_of_model = check_model(facts, logged, stated.index, policies)  # 7
    if is_page:
        check_page(data, evidence, facts)  # 8
    findings = _findings(evidence, logged, logs, policy, rpc=rpc, now=now)
    # What was said after the decision carries nothing of it, and is not graded.
    cosigned = {one.cosigned for one in logged if one.index <= stated.index}
    signed = {one.note: one.shard.keys for one in everything}
    if logs.note:
        signed[logs.note] = logs.newest.keys
    findings += dict.fromkeys(recall(note, keys) for note, keys in signed.items())
    if logs.note:
        findings.append(tell_shards(logs, everything, judges, facts))
        cosigned.add(check_cosigned(logs.note, policy))
    # What confirms the beginning of the newest log confirms the ends of those before it.
    place = stated.index if logs.own is logs.newest else 0
    grades = reached((one.grade for one in cosigned), place, findings)
    findings += sorted(cosigned, key=lambda one: one.size)
    withheld = [name for name in declaration.fields if name not in facts]
    system = named(declaration.system)
    return Verdict(
        what=f"decision {receipt.index} of {system}",
        grade=grades[-1].label,
        grades=tuple(one.label for one in grades),
        trusted=policy is not None,
        policy=policy.digest.hex() if policy is not None else None,
        proved=(
            (
                f"The log {origin} holds the batch with this record, and cannot drop or "
                "change it without contradicting its own signature."
            ),
            (
                f"Every value shown is what was recorded, as number {receipt.index} of "
                f"{system}; none was added or altered afterwards."
                if facts
                else f"There is a record number {receipt.index} of {system}; nothing of what "
                "it says is shown."
            ),
            *(("Every word and figure of the letter is what is recorded.",) if is_page else ()),
            *speakers,
            *_judges(logs, policy, policies, stated.index),
            *proved_of_model,
            *(said for found in findings for said in found.proved),
        ),
        not_checked=(
            "Whether what was recorded is true: a record shows what was said, and by whom.",
            "Whether other decisions were made and never recorded.",
            "When it was decided: that time, and what had expired by then, is the operator's word.",
            "Whether another batch of the stream contradicts this one: a copy of the log shows it.",
            "Whether a later record of the stream is about this one: a review, or an override.",
            "Whether the stream was ever silent: it promises no rhythm."
            if declaration.cadence_s is None
            else f"Whether a batch came every {declaration.cadence_s} s, as the stream promises: a "
            "copy of the log shows it.",
            *(() if is_page else ("A letter: this is the evidence alone, and no page was read.",)),
            *unknown_of_model,
            *(said for found in findings for said in found.not_checked),
            *((f"Withheld and not seen here: {', '.join(withheld)}.",) if withheld else ()),
            *(
                ()
                if policy is not None
                else ("Whose log this is: no trust policy was given, so the keys are the file's.",)
            ),
        ),
        trust=(
            *_whom(policy, grades, logs, then),
            *(said for found in findings for said in found.trust),
        ),
        facts=facts,
    )


def _read(data: bytes) -> tuple[Mapping[str, JsonValue], bool]:
    """Read the file; tell whether it is a page."""
    if len(data) > MAX_EVIDENCE_BYTES:
        raise FormatError(
            f"the file has {len(data)} bytes; evidence has at most {MAX_EVIDENCE_BYTES}",
            hint="This is not an evidence file.",
        )
    is_page = data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<")
    evidence = parse_page(data) if is_page else _read_alone(data)
    if isinstance(evidence, dict) and evidence.get("kind") == "decision":
        allowed = _MEMBERS.get(str(evidence.get("counterfoil")), ())
        if set(evidence) in allowed:
            return evidence, is_page
        if allowed:
            raise FormatError(
                f"the evidence has the members {', '.join(sorted(evidence))}",
                hint=f"It must have exactly {', '.join(sorted(allowed[0]))}.",
            )
    raise FormatError(
        "this is not an evidence file of version 1, 2, 3 or 4",
        hint='Expected `"counterfoil": "evidence/v1"` and `"kind": "decision"`.',
    )


def _read_alone(data: bytes) -> JsonValue:
    """Read the evidence without a page; whatever opens it must show nothing else.

    A browser that is given JSON by another name makes a page of the first tag in it, and some
    texts in evidence are free.
    """
    if b"<" in data:
        raise FormatError(
            f"this evidence has a < in it, at byte {data.index(b'<')}: a browser could show that "
            "as a page",
            hint="No evidence of ours has one. Do not open it; ask for the letter itself.",
        )
    return parse_canonical(data, what="the evidence file", max_bytes=MAX_EVIDENCE_BYTES)


def _one(logged: Sequence[Logged], role: str) -> Logged:
    found = [one for one in logged if one.role == role]
    if len(found) != 1:
        raise FormatError(
            f"the evidence has {len(found)} {role} statements, not one",
            hint="It was put together wrongly, or changed; ask for it again.",
        )
    return found[0]


def _record_receipt(evidence: Mapping[str, JsonValue]) -> RecordReceipt:
    match evidence.get("record"):
        case {
            "record": str(record),
            "index": int(index),
            "path": list(path),
            "size": int(size),
            "root": str(root),
            **more,
        } if not more and not isinstance(index, bool) and not isinstance(size, bool):
            return RecordReceipt(
                parse_base64(record, "record"),
                index,
                tuple(
                    Hash(parse_base64(str(value), "path of the record", size=32)) for value in path
                ),
                size,
                Hash(parse_base64(root, "root of the stream", size=32)),
            )
    raise malformed("record")


def _disclosures(evidence: Mapping[str, JsonValue]) -> list[str]:
    given = evidence.get("disclosures")
    texts = [text for text in given if isinstance(text, str)] if isinstance(given, list) else []
    if not isinstance(given, list) or len(texts) != len(given):
        raise malformed("disclosures")
    return texts


def _speakers(declared: Logged, stated: Logged, policies: PolicyHistory | None) -> tuple[str, ...]:
    """Check that one principal, who may do both, declared the stream and stated the batch."""
    if policies is None:
        return ()
    may_declare, may_state = (
        check_attestation(policies.at(one.index), one.envelope, one.statement, one.index)
        for one in (declared, stated)
    )
    both = [name for name in may_declare if name in may_state]
    if not both:
        raise PolicyError(
            "the stream was declared by one principal, and the batch is stated by another",
            have="two different principals",
            need="one that may do both",
            hint="Whoever may state batches must not speak for the streams of others.",
        )
    return (f"The stream was declared, and this batch of it stated, by {', '.join(both)}.",)


def _judges(
    logs: Logs, policy: TrustPolicy | None, policies: PolicyHistory | None, index: int
) -> tuple[str, ...]:
    """Say by which policy it was judged, where that is another than the one brought."""
    if policy is None or policies is None:
        return ()
    then = policies.at(index).version
    if logs.own is not logs.newest:
        of = f"the trust policy of {logs.own.keys.name}"
        return (f"Version {then} of {of} was in force then, and judges this.",)
    if then == policy.version:
        return ()
    why = (
        f"version {policy.version}, which you brought, names it by its digest"
        if then < policy.version
        else f"it follows version {policy.version}, which you brought, with the signatures of both"
    )
    return (f"Version {then} of the trust policy was in force then, and judges this: {why}.",)


def _findings(
    evidence: Mapping[str, JsonValue],
    logged: Sequence[Logged],
    logs: Logs,
    policy: TrustPolicy | None,
    *,
    rpc: str | None,
    now: float,
) -> list[Finding]:
    """Find what anchor and time-stamps are worth, and what could be expected and is not there."""
    findings = []
    if "stamps" in evidence:
        checkpoint = logs.newest.checkpoint or common_checkpoint(logged)
        findings += check_stamps(evidence["stamps"], checkpoint, logs.newest.keys, policy, now)
    elif policy is not None and policy.authorities:
        findings.append(Finding(not_checked=("Any time: this file carries no time-stamp.",)))
    if "anchor" in evidence:
        checkpoint = logs.newest.checkpoint or common_checkpoint(logged)
        findings.append(check_anchor(evidence["anchor"], checkpoint, policy, rpc))
    else:
        findings.append(no_anchor(policy, rpc))
    return findings


def _whom(
    policy: TrustPolicy | None, grades: Sequence[Grade], logs: Logs, then: TrustPolicy | None
) -> tuple[str, ...]:
    """Say whom one still has to trust, besides those who vouch for an anchor or a time-stamp."""
    if policy is None or then is None:
        newest = logs.newest.keys.name
        return (f"Everybody: nothing here says that {newest} is who it seems to be.",)
    return (
        "Whoever gave you the trust policy, for the keys in it and who may say what.",
        f"{then.log.operator}, that what it recorded is what happened.",
        *views(policy, grades),
    )
