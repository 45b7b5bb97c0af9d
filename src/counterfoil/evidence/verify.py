"""Verifying an evidence file: offline, from the file and a trust policy got elsewhere.

In order, each step resting on those before it:

    1. the file is read strictly; a page's evidence is taken out of it
    2. the log: origin and key are those of the trust policy
    3. every statement is in the log: its receipt's path leads to a checkpoint the log signed, and
       enough witnesses cosigned that
    4. no two of these checkpoints contradict each other
    5. the stream was declared, and the batch stated, by who may do so
    6. the record is in the batch; what is disclosed is what the record commits to
    7. the model named in the record is the one that statements are about; what the policy asks
       for at its stage was said, by who had to say it, judged as of the decision
    8. the page, if it is one, shows what is proven and nothing else

Without a policy, steps 2 and 7 cannot be done and 3 to 5 rest on the file's own word: what holds
together is shown, and the verdict is *untrusted*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from counterfoil.core.canonical import JsonValue, parse_json
from counterfoil.core.checkpoint import Checkpoint, check_same_history
from counterfoil.core.cosignature import find_cosignatures
from counterfoil.core.envelope import Envelope, parse_envelope
from counterfoil.core.instant import parse_instant
from counterfoil.core.judgement import evaluate_stage
from counterfoil.core.keys import VerifierKey, parse_vkey
from counterfoil.core.merkle import Hash
from counterfoil.core.note import parse_note
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import Grade, check_quorum
from counterfoil.core.receipt import check_receipt, parse_receipt
from counterfoil.core.record import check_disclosures
from counterfoil.core.requirements import Mode
from counterfoil.core.statement import Statement, Subject, parse_statement
from counterfoil.core.stream import RecordReceipt, check_record, parse_batch, parse_stream
from counterfoil.core.succession import PolicyHistory, policy_history
from counterfoil.core.testimony import check_attestation, hear, short_predicate
from counterfoil.core.text import parse_base64
from counterfoil.errors import FormatError, PolicyError, VerificationError
from counterfoil.evidence.page import check_page, parse_page
from counterfoil.evidence.verdict import Verdict
from counterfoil.ledger.trust import PRODUCTION

MAX_EVIDENCE_BYTES = 16 << 20
_MEMBERS = {"counterfoil", "kind", "log", "policy", "record", "disclosures", "statements"}
MAX_STATEMENTS = 256  # of one decision; each costs a signature check


@dataclass(frozen=True, slots=True)
class _Logged:
    """A statement of the file, shown to be in the log."""

    role: str
    index: int
    envelope: Envelope
    statement: Statement
    checkpoint: Checkpoint
    note: bytes
    grade: Grade


def verify_evidence(data: bytes, policy: TrustPolicy | None) -> Verdict:
    """Verify an evidence file.

    Args:
        data: The file: a page, or its JSON alone.
        policy: From elsewhere than the file; None leaves the verdict untrusted.

    Returns:
        What is proven, what was not checked, and whom one still has to trust.

    Raises:
        FormatError: it is no evidence file.
        VerificationError: something in it is not true; the most specific kind of it.
    """
    evidence, is_page = _read(data)  # 1
    log_key = _log_key(evidence, policy)  # 2
    logged = _logged_statements(evidence, log_key, policy)  # 3, 4
    declared, stated = _one(logged, "stream"), _one(logged, "batch")
    policies = _policies(logged, policy)
    if policies is not None:
        for said in (declared, stated):  # 5
            judge = policies.at(said.index)
            check_attestation(judge, said.envelope, said.statement, said.index)
    declaration = parse_stream(declared.envelope.in_toto)
    batch = parse_batch(stated.envelope.in_toto)
    if declaration.log != log_key.name or batch.log != log_key.name:
        raise VerificationError(
            f"the stream belongs to the log {declaration.log}, and this is {log_key.name}",
            hint="A statement counts only in the log that it names.",
        )
    receipt = _record_receipt(evidence)
    check_record(receipt, declaration, batch)  # 6
    facts = check_disclosures(receipt.record, declaration.fields, _disclosures(evidence))
    said_of_model = _check_model(facts, logged, policy, policies)  # 7
    if is_page:
        check_page(data, evidence, facts)  # 8
    grade = min((one.grade for one in logged), default=Grade.SELF_WITNESSED)
    withheld = [name for name in declaration.fields if name not in facts]
    size = max(one.checkpoint.size for one in logged)
    return Verdict(
        what=f"decision {receipt.index} of {declaration.system}",
        grade=grade.label,
        trusted=policy is not None,
        policy=policy.digest.hex() if policy is not None else None,
        proved=(
            (
                f"The log {log_key.name} holds the batch with this record, and cannot drop or "
                "change it without contradicting its own signature."
            ),
            (
                f"Every value shown is what was recorded, as number {receipt.index} of "
                f"{declaration.system}; none was added or altered afterwards."
            ),
            *(("Every word and figure of the letter is what is recorded.",) if is_page else ()),
            *said_of_model,
        ),
        not_checked=(
            "Whether what was recorded is true: a record shows what was said, and by whom.",
            "Whether other decisions were made and never recorded.",
            f"Whether anything was revoked after entry {size} of the log.",
            *((f"Withheld and not seen here: {', '.join(withheld)}.",) if withheld else ()),
            *(("Which model decided: that is withheld.",) if "output" in withheld else ()),
            *(
                ()
                if policy is not None
                else ("Whose log this is: no trust policy was given, so the keys are the file's.",)
            ),
        ),
        trust=_whom(policy, grade, log_key),
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
    evidence = parse_page(data) if is_page else parse_json(data, what="the evidence file")
    if isinstance(evidence, dict) and (evidence.get("counterfoil"), evidence.get("kind")) == (
        "evidence/v1",
        "decision",
    ):
        if set(evidence) != _MEMBERS:
            raise FormatError(
                f"the evidence has the members {', '.join(sorted(evidence))}",
                hint=f"It must have exactly {', '.join(sorted(_MEMBERS))}.",
            )
        return evidence, is_page
    raise FormatError(
        "this is not an evidence file of version 1",
        hint='Expected `"counterfoil": "evidence/v1"` and `"kind": "decision"`.',
    )


def _log_key(evidence: Mapping[str, JsonValue], policy: TrustPolicy | None) -> VerifierKey:
    """Take the log's key from the policy, and refuse a file of another log."""
    match evidence.get("log"):
        case {"origin": str(origin), "key": str(vkey)}:
            claimed = parse_vkey(vkey)
        case _:
            raise _malformed("log")
    if claimed.name != origin:
        raise _malformed("log")
    if policy is None:
        return claimed
    if claimed != policy.log.key:
        raise PolicyError(
            f"this evidence is of the log {origin} with the key {claimed.label}; the trust policy "
            f"knows {policy.log.key.label}",
            have=claimed.label,
            need=policy.log.key.label,
            hint="It proves nothing to you: anybody can make a log of their own.",
        )
    return policy.log.key


def _logged_statements(
    evidence: Mapping[str, JsonValue], log_key: VerifierKey, policy: TrustPolicy | None
) -> list[_Logged]:
    """Show that each statement is in the log, and that its checkpoints agree."""
    entries = evidence.get("statements")
    if not isinstance(entries, list) or len(entries) > MAX_STATEMENTS:
        raise _malformed("statements")
    logged = [_logged(entry, log_key, policy) for entry in entries]
    notes = {one.note: one for one in logged}
    first = next(iter(notes), b"")
    for note in notes:
        check_same_history(first, note, log_key)
    return logged


def _logged(entry: JsonValue, log_key: VerifierKey, policy: TrustPolicy | None) -> _Logged:
    match entry:
        case {"role": str(role), "entry": str(encoded), "receipt": str(text)}:
            data = parse_base64(encoded, f"entry of the {role} statement")
        case _:
            raise _malformed("statements")
    receipt = parse_receipt(text.encode())
    checkpoint = check_receipt(data, receipt, log_key)
    envelope = parse_envelope(data)
    statement = parse_statement(envelope.in_toto)
    if short_predicate(statement.predicate_type) != role:
        raise VerificationError(
            f"a statement listed as {role} is of the type {statement.predicate_type}",
            hint="The list was put together wrongly, or changed.",
        )
    grade = Grade.SELF_WITNESSED
    if policy is not None:
        keys = [witness.key for witness in policy.witnesses]
        grade = check_quorum(policy, find_cosignatures(parse_note(receipt.checkpoint), keys))
    return _Logged(role, receipt.index, envelope, statement, checkpoint, receipt.checkpoint, grade)


def _one(logged: Sequence[_Logged], role: str) -> _Logged:
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
    raise _malformed("record")


def _disclosures(evidence: Mapping[str, JsonValue]) -> list[str]:
    given = evidence.get("disclosures")
    texts = [text for text in given if isinstance(text, str)] if isinstance(given, list) else []
    if not isinstance(given, list) or len(texts) != len(given):
        raise _malformed("disclosures")
    return texts


def _check_model(
    facts: Mapping[str, Any],
    logged: Sequence[_Logged],
    policy: TrustPolicy | None,
    policies: PolicyHistory | None,
) -> tuple[str, ...]:
    """Check what is said about the model that decided; return it in words."""
    match facts.get("output"):
        case {
            "model": {"name": str(name), "digest": str(digest)},
            "decided": str(decided),
        }:
            subject = Subject(name, {"sha256": digest})
        case _ if facts.get("kind", "decision") != "decision" or "output" not in facts:
            return ()  # no decision is shown, and so no model
        case _:
            raise FormatError(
                "the record does not say which model decided, or when",
                hint="A decision without that cannot be judged; ask for its whole output.",
            )
    about = [one for one in logged if subject in one.statement.subjects]
    stated = [one for one in about if one.role == "model"]
    if not stated:
        raise VerificationError(
            f"no statement in the evidence is about the model {name} with SHA-256 {digest[:12]}…",
            hint="The record names a model that the log does not know under this name.",
        )
    if policy is None or policies is None:
        return (f"The model is stated to be {name}, SHA-256 {digest[:12]}….",)
    heard = [hear(policies.at(one.index), one.envelope, one.index) for one in about]
    judgement = evaluate_stage(
        policy,
        PRODUCTION,
        subject,
        heard,
        model_format=str(stated[-1].statement.predicate.get("format")),
        now=parse_instant(decided, "time of the decision"),
    )
    if judgement.reasons and judgement.mode is Mode.ENFORCE:
        raise PolicyError(
            f"the model {name} was not cleared for {PRODUCTION}: {'; '.join(judgement.reasons)}",
            have=", ".join(str(ground) for ground in judgement.grounds) or "nothing",
            need=f"what the policy asks for at {PRODUCTION}",
            hint="The decision was made by a model that the policy does not let decide.",
        )
    voices = [f"{ground.principal} said `{ground.predicate}`" for ground in judgement.grounds]
    if judgement.reasons:
        missing = "; ".join(judgement.reasons)
        return (
            (
                f"The model is {name}, SHA-256 {digest[:12]}…. The policy does not enforce yet; "
                f"if it did, it would refuse this model: {missing}."
            ),
        )
    return (
        (
            f"The model is {name}, SHA-256 {digest[:12]}…, and the policy was met when it decided: "
            f"{', '.join(voices)}."
        ),
    )


def _policies(logged: Sequence[_Logged], policy: TrustPolicy | None) -> PolicyHistory | None:
    """Find the policies in the file that the trusted one leads to; others are not believed."""
    if policy is None:
        return None
    stated = [(one.index, one.envelope) for one in logged if one.role == "policy"]
    return policy_history(policy, stated)


def _whom(policy: TrustPolicy | None, grade: Grade, log_key: VerifierKey) -> tuple[str, ...]:
    if policy is None:
        return (f"Everybody: nothing here says that {log_key.name} is who it seems to be.",)
    about_time = (
        "The witnesses the policy names, that you were shown the same log as everybody else."
        if grade >= Grade.WITNESSED
        else f"{policy.log.operator}, that you were shown the same log as everybody else, and "
        "about every time: no witness outside of it has signed."
    )
    return (
        "Whoever gave you the trust policy, for the keys in it and who may say what.",
        f"{policy.log.operator}, that what it recorded is what happened.",
        about_time,
    )


def _malformed(part: str) -> FormatError:
    return FormatError(
        f"the part `{part}` of the evidence is missing or malformed",
        hint="See docs/reference/evidence.md; ask for the file again.",
    )
