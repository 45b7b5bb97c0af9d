"""The statements of an evidence file: each shown to be in the log, none contradicting another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from counterfoil.core.canonical import JsonValue
from counterfoil.core.checkpoint import Checkpoint, LogKeys, check_same_history
from counterfoil.core.envelope import Envelope, parse_envelope
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.receipt import check_receipt, parse_receipt
from counterfoil.core.statement import Statement, parse_statement
from counterfoil.core.testimony import short_predicate
from counterfoil.core.text import parse_base64
from counterfoil.errors import FormatError, VerificationError
from counterfoil.evidence.cosigned import check_cosigned
from counterfoil.evidence.finding import Finding
from counterfoil.ledger.blobs import is_reference

MAX_STATEMENTS = 256  # of one decision; each costs a signature check


@dataclass(frozen=True, slots=True)
class Logged:
    """A statement of the file, shown to be in the log."""

    role: str
    index: int
    envelope: Envelope
    statement: Statement
    checkpoint: Checkpoint
    note: bytes
    cosigned: Finding


def read_logged(
    evidence: Mapping[str, JsonValue], log_keys: LogKeys, policy: TrustPolicy | None
) -> list[Logged]:
    """Show that each statement is in the log, and that its checkpoints agree."""
    entries = evidence.get("statements")
    if not isinstance(entries, list) or len(entries) > MAX_STATEMENTS:
        raise malformed("statements")
    logged = [_logged(entry, log_keys, policy) for entry in entries]
    by_size: dict[int, bytes] = {}
    for one in logged:
        check_same_history(by_size.setdefault(one.checkpoint.size, one.note), one.note, log_keys)
    if len({one.index for one in logged}) != len(logged):
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


def _logged(entry: JsonValue, log_keys: LogKeys, policy: TrustPolicy | None) -> Logged:
    match entry:
        case {"role": str(role), "entry": str(encoded), "receipt": str(text), **rest} if (
            not rest or (rest.keys() == {"beside"} and isinstance(rest["beside"], str))
        ):
            large = rest.get("beside")
        case _:
            raise malformed("statements")
    data = parse_base64(encoded, f"entry of the {role} statement")
    receipt = parse_receipt(text.encode())
    checkpoint = check_receipt(data, receipt, log_keys)
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
    cosigned = check_cosigned(receipt.checkpoint, policy)
    return Logged(
        role, receipt.index, envelope, statement, checkpoint, receipt.checkpoint, cosigned
    )


def malformed(part: str) -> FormatError:
    """Make the error for a part of the evidence that is not what it should be."""
    return FormatError(
        f"the part `{part}` of the evidence is missing or malformed",
        hint="See docs/reference/evidence.md; ask for the file again.",
    )
