"""Evidence files: everything one decision rests on, in one file that stands by itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from counterfoil.core.arguments import require
from counterfoil.core.canonical import JsonValue, format_json
from counterfoil.core.keys import format_vkey
from counterfoil.core.merkle import check_inclusion
from counterfoil.core.receipt import format_receipt
from counterfoil.core.record import field_digest, format_record, record_leaf
from counterfoil.core.stream import parse_batch, parse_stream
from counterfoil.core.succession import POLICY
from counterfoil.core.testimony import short_predicate
from counterfoil.core.text import format_base64
from counterfoil.decisions.decisions import DECISIONS, Decision
from counterfoil.decisions.stream import DecisionStream
from counterfoil.errors import ConflictError, FormatError
from counterfoil.evidence.anchor import collect_anchor
from counterfoil.evidence.page import format_page
from counterfoil.evidence.stamp import collect_stamps
from counterfoil.ledger.disk import Disk, as_path, reported
from counterfoil.ledger.log import Log
from counterfoil.ledger.reading import Found
from counterfoil.ledger.trust import Trust, heard_in

EVIDENCE_FORMAT = "evidence/v1"
ANCHORED_FORMAT = "evidence/v2"
"""The same with an anchor: who knows version 1 only must not pass over one."""
STAMPED_FORMAT = "evidence/v3"
"""The same with time-stamps, and perhaps an anchor."""

MODEL_ROLES = (
    "model",
    "training",
    "evaluation",
    "approval",
    "clearance",
    "refusal",
    "promotion",
    "revocation",
)


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """The evidence of one decision.

    Args:
        body: As docs/reference/evidence.md has it.
        facts: The disclosed fields.
    """

    body: Mapping[str, JsonValue]
    facts: Mapping[str, JsonValue]

    def page(self) -> bytes:
        """The letter with the evidence embedded, HTML."""
        return format_page(self.body, self.facts)

    def save(self, path: str | Path, *, replace: bool = False) -> Path:
        """Write `.html` (the letter) or `.json` (the evidence alone).

        Args:
            path: Where to.
            replace: Whether a file that is there may be another letter afterwards.

        Raises:
            ConflictError: there is a file already.
            FormatError: another suffix.
            UnavailableError: the disk refuses.
        """
        path = as_path(path)
        match path.suffix.lower():
            case ".html" | ".htm":
                data = self.page()
            case ".json":
                data = format_json(dict(self.body))
            case _:
                raise FormatError(
                    f"{path.name} is neither .html nor .json",
                    hint="Name it `….html` for the letter, `….json` for the proof alone.",
                )
        if not replace and os.path.lexists(path):
            raise ConflictError(
                f"there is a file {path} already",
                hint="It may be a letter that was handed out: name another, or say `replace=True`.",
            )
        with reported(f"cannot write {path}"):
            Disk().replace(path.parent, path.name, data)
        return path


class Evidence:
    """Makes evidence files from one ledger.

    Args:
        log: Where the statements are.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def make(self, decision: Decision, *, withhold: Sequence[str] = ()) -> EvidenceFile:
        """Collect what a decision rests on.

        Args:
            decision: As recorded.
            withhold: Fields not to disclose; they are listed as withheld.

        Raises:
            FormatError: `withhold` names no field, or the decision is in no batch yet.
            UnavailableError: it was erased.
            VerificationError: what is stored is not what the log has a batch of.
        """
        require(decision, Decision, "a decision", DECISIONS)
        log = self._log
        declared = next(
            one
            for one in heard_in(log, predicate="stream", subject=decision.system)
            if sha256(one.envelope.payload).digest() == decision.stream
        )
        stream = DecisionStream.reopen(log, parse_stream(declared.envelope.in_toto), write=False)
        try:
            fields, cadence_s = stream.declaration.fields, stream.declaration.cadence_s
            if unknown := set(withhold) - set(fields):
                raise FormatError(
                    f"there is no field {', '.join(sorted(unknown))} to withhold",
                    hint=f"The fields are {', '.join(fields)}.",
                )
            batches = heard_in(log, predicate="batch", subject=stream.id.hex())
            covering = [f for f in batches if parse_batch(f.envelope.in_toto).size > decision.index]
            if not covering:
                raise FormatError(
                    f"record {decision.index} of {decision.system} is in no batch yet",
                    hint=f"`counterfoil decision publish {decision.system}` closes what is due"
                    + (f"; a batch is, every {cadence_s} s." if cadence_s else "."),
                )
            batch = parse_batch(covering[0].envelope.in_toto)
            texts = stream.store.disclosures(decision.index)
            record = format_record(stream.id, [field_digest(text) for text in texts])
            path = stream.store.inclusion(decision.index, batch.size)
            # Checked before it leaves: a disk that changed must not make us hand out nonsense.
            check_inclusion(record_leaf(record), decision.index, batch.size, path, batch.root)
        finally:
            stream.close()
        behind = [("stream", declared), ("batch", covering[0]), *self._behind(decision)]
        judged = [found.index for _, found in behind if found.index <= covering[0].index]
        behind += [(POLICY, found) for found in self._policies(judged)]
        statements = [self._statement(role, found) for role, found in behind]
        policy = Trust(log).show()
        shown = {
            name: text for name, text in zip(fields, texts, strict=True) if name not in withhold
        }
        disclosures: list[JsonValue] = list(shown.values())
        body: dict[str, JsonValue] = {
            "counterfoil": EVIDENCE_FORMAT,
            "kind": "decision",
            "log": {"origin": log.origin, "key": format_vkey(log.key)},
            "policy": policy.digest.hex(),
            "record": {
                "index": decision.index,
                "record": format_base64(record),
                "path": [format_base64(value) for value in path],
                "size": batch.size,
                "root": format_base64(batch.root),
            },
            "disclosures": disclosures,
            "statements": list(statements),
        }
        anchor = collect_anchor(log, policy.chain, covering[0].index)
        if anchor is not None:
            body |= {"counterfoil": ANCHORED_FORMAT, "anchor": anchor}
        stamps = collect_stamps(log, policy, covering[0].index)
        if stamps:
            body |= {"counterfoil": STAMPED_FORMAT, "stamps": stamps}
        facts = {name: decision.values[name] for name in shown}
        return EvidenceFile(body, facts)

    def _policies(self, indices: Sequence[int]) -> list[Found]:
        """Find the policies that judge statements at these indices, and those in between."""
        steps = Trust(self._log).history().steps
        ends = [start for start, _ in steps[1:]] + [max(indices)]
        digests = [
            policy.digest.hex()
            for (start, policy), end in zip(steps, ends, strict=True)
            if policy is not None and start < max(indices) and min(indices) <= end
        ]
        found = [self._log.find(predicate=POLICY, subject=digest) for digest in digests]
        return [stated[0] for stated in found if stated]

    def _behind(self, decision: Decision) -> list[tuple[str, Found]]:
        """Collect the statements about the model that decided and the data it was trained on."""
        output = decision.values.get("output")
        model = output.get("model") if isinstance(output, dict) else None
        digest = model.get("digest") if isinstance(model, dict) else None
        if not isinstance(digest, str):
            return []
        about_model = self._log.find(subject=digest)
        statements: list[tuple[str, Found]] = []
        data: list[str] = []
        for found in about_model:
            role = short_predicate(found.statement.predicate_type)
            if role in MODEL_ROLES:
                statements.append((role, found))
            if role == "model":
                data += _digests(found.statement.predicate.get("trained_on"))
        for digest in dict.fromkeys(data):
            for found in self._log.find(subject=digest):
                role = short_predicate(found.statement.predicate_type)
                if role in {"dataset", "clearance", "refusal", "revocation"}:
                    statements.append((role, found))
        return statements

    def _statement(self, role: str, found: Found) -> JsonValue:
        entry = self._log.entry(found.index)
        statement: dict[str, JsonValue] = {
            "role": role,
            "entry": format_base64(entry),
            "receipt": format_receipt(self._log.receipt(found.index)).decode(),
        }
        beside = self._log.resolve(entry)
        if beside != entry:
            statement["beside"] = format_base64(beside)
        return statement


def _digests(trained_on: JsonValue) -> list[str]:
    digests = [
        one.get("digest")
        for one in (trained_on if isinstance(trained_on, list) else [])
        if isinstance(one, dict)
    ]
    return [digest for digest in digests if isinstance(digest, str)]
