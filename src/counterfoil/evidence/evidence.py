"""Evidence files: everything one decision rests on, in one file that stands by itself."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from counterfoil.core.arguments import require, require_each
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
from counterfoil.evidence.logged import MAX_STATEMENTS
from counterfoil.evidence.logs import shards_to_json
from counterfoil.evidence.page import format_page
from counterfoil.evidence.shards import data_digests, model_digest
from counterfoil.evidence.stamp import collect_stamps
from counterfoil.ledger.disk import Disk, as_path, reported
from counterfoil.ledger.log import Log
from counterfoil.ledger.reading import Found
from counterfoil.ledger.sharding import link_shards, read_handover
from counterfoil.ledger.trust import Trust, heard_in

EVIDENCE_FORMAT = "evidence/v1"
ANCHORED_FORMAT = "evidence/v2"
"""The same with an anchor: who knows version 1 only must not pass over one."""
STAMPED_FORMAT = "evidence/v3"
"""The same with time-stamps, and perhaps an anchor."""
SHARDED_FORMAT = "evidence/v4"
"""Of several shards of a log, perhaps with an anchor or time-stamps of the newest."""

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


DATA_ROLES = ("dataset", "clearance", "refusal", "revocation")


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

    def make(
        self,
        decision: Decision,
        *,
        withhold: Sequence[str] = (),
        earlier: Sequence[Log] = (),
        later: Sequence[Log] = (),
    ) -> EvidenceFile:
        """Collect what a decision rests on.

        Args:
            decision: As recorded.
            withhold: Fields not to disclose; they are listed as withheld.
            earlier: Shards before this log, oldest first, from which to take what was said of the
                model and its data.
            later: Shards since this log ended, oldest first, by the policy of whose last the file
                is to hold.

        Raises:
            ConflictError: these shards do not follow each other, or one of them with parts of the
                file does not say by which policy it is judged.
            FormatError: `withhold` names no field, the decision is in no batch yet, or there is too
                much for one file.
            UnavailableError: it was erased.
            VerificationError: what is stored is not what the log has a batch of.
        """
        require(decision, Decision, "a decision", DECISIONS)
        require_each(withhold, str, "a list of fields", 'Write ["inputs"].')
        for logs in (earlier, later):
            require_each(logs, Log, "a list of ledgers", "Open them: `[cf.open(path)]`.")
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
        logs = (*earlier, log, *later)
        links = link_shards(logs)
        behind = _behind((*earlier, log), decision)
        behind[-1] = [("stream", declared), ("batch", covering[0]), *behind[-1]]
        statements: list[JsonValue] = []
        # Those of the log itself come first, as they do where it is alone.
        for one, parts in reversed(list(zip(logs, behind, strict=False))):
            # What came after the decision is judged by nobody.
            judged = [f.index for _, f in parts if one is not log or f.index <= covering[0].index]
            ended = one is not logs[-1]
            parts += [(POLICY, found) for found in _policies(one, judged, ended=ended)]
            where: dict[str, JsonValue] = {} if one is log else {"log": one.origin}
            statements += [_statement(one, role, found) | where for role, found in parts]
        if len(statements) > MAX_STATEMENTS:
            raise FormatError(
                f"this rests on {len(statements)} statements, and a file holds {MAX_STATEMENTS}",
                hint="Leave earlier shards out.",
            )
        newest = logs[-1]
        policy = Trust(newest).show()
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
            "statements": statements,
        }
        # What covers the beginning of the newest log covers the ends of those before it.
        place = 0 if later else covering[0].index
        anchor = collect_anchor(newest, policy.chain, place)
        if anchor is not None:
            body |= {"counterfoil": ANCHORED_FORMAT, "anchor": anchor}
        stamps = collect_stamps(newest, policy, place)
        if stamps:
            body |= {"counterfoil": STAMPED_FORMAT, "stamps": stamps}
        if links:
            body |= {"counterfoil": SHARDED_FORMAT, **shards_to_json(links, newest.keys)}
        facts = {name: decision.values[name] for name in shown}
        return EvidenceFile(body, facts)


def _behind(logs: Sequence[Log], decision: Decision) -> list[list[tuple[str, Found]]]:
    """Collect, from each log, what was said of the model that decided and its data."""
    digest = model_digest(decision.values)
    if digest is None:
        return [[] for _ in logs]
    said = [_said(log, digest, MODEL_ROLES) for log in logs]
    models = [found for one in said for role, found in one if role == "model"]
    data = [data_digests(found.statement.predicate.get("trained_on")) for found in models]
    names = dict.fromkeys(name for digests in data for name in digests)
    return [
        one + [each for name in names for each in _said(log, name, DATA_ROLES)]
        for log, one in zip(logs, said, strict=True)
    ]


def _said(log: Log, digest: str, roles: Collection[str]) -> list[tuple[str, Found]]:
    found = log.find(subject=digest)
    said = [(short_predicate(one.statement.predicate_type), one) for one in found]
    return [(role, one) for role, one in said if role in roles]


def _policies(log: Log, indices: Sequence[int], *, ended: bool) -> list[Found]:
    """Find the policies that judge statements at these indices, and those in between.

    Args:
        log: Where they stand.
        indices: Of the statements.
        ended: Whether the log is judged by the policy that its hand-over names: that one, too.

    Raises:
        ConflictError: it names none, or one that is not in the log.
    """
    if not indices:
        return []
    steps = Trust(log).history().steps
    ends = [start for start, _ in steps[1:]] + [max(indices)]
    digests = [
        policy.digest.hex()
        for (start, policy), end in zip(steps, ends, strict=True)
        if policy is not None and start < max(indices) and min(indices) <= end
    ]
    if ended:
        handover = read_handover(log)
        last = None if handover is None else handover.policy
        if last is None or not log.find(predicate=POLICY, subject=last):
            raise ConflictError(
                f"{log.origin} ended without a word in it by which trust policy it is judged",
                hint="What it holds is judged by its own policy alone: leave later shards out, and "
                "hand out its trust.toml; or leave this one out.",
            )
        digests = list(dict.fromkeys([*digests, last]))
    found = [log.find(predicate=POLICY, subject=digest) for digest in digests]
    return [stated[0] for stated in found if stated]


def _statement(log: Log, role: str, found: Found) -> dict[str, JsonValue]:
    entry = log.entry(found.index)
    statement: dict[str, JsonValue] = {
        "role": role,
        "entry": format_base64(entry),
        "receipt": format_receipt(log.receipt(found.index)).decode(),
    }
    beside = log.resolve(entry)
    if beside != entry:
        statement["beside"] = format_base64(beside)
    return statement
