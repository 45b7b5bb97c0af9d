"""The statements of an evidence file: each shown to be in the log, none contradicting another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from counterfoil.core.canonical import JsonValue
from counterfoil.core.checkpoint import Checkpoint, check_same_history
from counterfoil.core.envelope import Envelope, parse_envelope
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.receipt import check_receipt, parse_receipt
from counterfoil.core.shard import Shard
from counterfoil.core.statement import Statement, parse_statement
from counterfoil.core.testimony import short_predicate
from counterfoil.core.text import parse_base64, shown
from counterfoil.errors import FormatError, ProofError, VerificationError
from counterfoil.evidence.cosigned import check_cosigned
from counterfoil.evidence.finding import Finding
from counterfoil.evidence.logs import Logs, malformed
from counterfoil.ledger.blobs import is_reference

MAX_STATEMENTS = 256  # of one decision; each costs a signature check

_OF_THE_RECORD = ("stream", "batch")


@dataclass(frozen=True, slots=True)
class Logged:
    """A statement of the file, shown to be in its log."""

    shard: Shard
    role: str
    index: int
    envelope: Envelope
    statement: Statement
    checkpoint: Checkpoint
    note: bytes
    cosigned: Finding


def read_logged(
    evidence: Mapping[str, JsonValue], logs: Logs, policy: TrustPolicy | None
) -> list[Logged]:
    """Show that each statement is in its log, and that a log's checkpoints agree."""
    entries = evidence.get("statements")
    if not isinstance(entries, list) or len(entries) > MAX_STATEMENTS:
        raise malformed("statements")
    logged = [_logged(entry, logs, policy) for entry in entries]
    notes: dict[tuple[Shard, int], bytes] = {}
    for one in logged:
        known = notes.setdefault((one.shard, one.checkpoint.size), one.note)
        check_same_history(known, one.note, one.shard.keys)
    if len({(one.shard, one.index) for one in logged}) != len(logged):
        raise FormatError(
            "the evidence has one entry of the log twice", hint="Ask for the file again."
        )
    return logged


def common_checkpoint(logged: Sequence[Logged]) -> Checkpoint:
    """Give the one checkpoint that all of them are under.

    Raises:
        FormatError: there are several.
    """
    (first, *others) = {one.checkpoint for one in logged}
    if others:
        raise FormatError(
            "the statements beside an anchor or a time-stamp are under several checkpoints",
            hint="Ask for the evidence again.",
        )
    return first


def _logged(entry: JsonValue, logs: Logs, policy: TrustPolicy | None) -> Logged:
    match entry:
        case {"role": str(role), "entry": str(encoded), "receipt": str(text), **rest} if (
            rest.keys() <= {"beside", "log"} and all(isinstance(one, str) for one in rest.values())
        ):
            large, log = rest.get("beside"), rest.get("log")
        case _:
            raise malformed("statements")
    shard = logs.own if log is None else _earlier(logs, str(log), role)
    data = parse_base64(encoded, f"entry of the {role} statement")
    receipt = parse_receipt(text.encode())
    checkpoint = check_receipt(data, receipt, shard.keys)
    if shard.checkpoint not in {None, checkpoint}:
        raise ProofError(
            f"the receipt of the {role} statement leads to {checkpoint.size} entries of "
            f"{shown(checkpoint.origin)}, and the shards are tied together at another root of it",
            hint="Ask for the file again, with all receipts of a log at one checkpoint.",
        )
    if large is not None:
        beside = parse_base64(str(large), f"bytes beside the {role} statement")
        if not is_reference(data, beside):
            raise VerificationError(
                f"the bytes beside the {role} statement are not those that its entry stands for",
                hint="They were changed, or belong to another statement; ask for the file again.",
            )
        data = beside
    envelope = parse_envelope(data)
    statement = parse_statement(envelope.in_toto)
    if short_predicate(statement.predicate_type) != role:
        raise VerificationError(
            f"a statement listed as {role} is of the type {statement.predicate_type}",
            hint="The list was put together wrongly, or changed.",
        )
    # What stands in a log that ended is confirmed by who confirms the newest, which is built on it.
    note = receipt.checkpoint if shard is logs.newest else logs.note
    return Logged(
        shard,
        role,
        receipt.index,
        envelope,
        statement,
        checkpoint,
        receipt.checkpoint,
        check_cosigned(note, policy),
    )


def _earlier(logs: Logs, origin: str, role: str) -> Shard:
    found = [shard for shard in logs.earlier if shard.keys.name == origin]
    if not found or role in _OF_THE_RECORD:
        raise VerificationError(
            f"the {role} statement is listed as one of {shown(origin)}, where it cannot lie",
            hint="Parts of other logs are of shards before the record's; its stream is in its own.",
        )
    return found[0]
