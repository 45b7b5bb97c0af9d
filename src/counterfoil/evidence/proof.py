"""What stands behind a record, read from a checked evidence file for a person to see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterfoil.core.envelope import parse_envelope
from counterfoil.core.merkle import HASH_BYTES
from counterfoil.core.receipt import parse_receipt
from counterfoil.core.record import parse_record, record_leaf
from counterfoil.core.statement import parse_statement
from counterfoil.core.stream import parse_stream
from counterfoil.core.text import parse_base64
from counterfoil.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from counterfoil.core.canonical import JsonValue


@dataclass(frozen=True, slots=True)
class ProvenStatement:
    """One statement of an evidence file.

    Args:
        role: What it is there for, such as `approval`.
        about: The names of its subjects, and the log that has it, if that is not the record's.
        index: Its position in that log.
        digest: SHA-256 of its payload, 32 bytes.
    """

    role: str
    about: str
    index: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """Where a record lies, and which statements stand behind it.

    Args:
        origin: The log's name.
        system: The AI system the stream belongs to.
        stream: Stream id, 32 bytes.
        fields: Names of all fields of a record, disclosed or not.
        index: Position of the record in its stream, zero-based.
        size: Records in the stream when it was proven.
        root: Root of the stream at that size, 32 bytes.
        leaf: The record's handle, 32 bytes.
        statements: As the evidence lists them.
    """

    origin: str
    system: str
    stream: bytes
    fields: tuple[str, ...]
    index: int
    size: int
    root: bytes
    leaf: bytes
    statements: tuple[ProvenStatement, ...]


def read_proof(evidence: Mapping[str, JsonValue]) -> Proof:
    """Pick what a page shows out of an evidence file. Nothing is checked against keys here.

    Args:
        evidence: The parsed JSON of docs/reference/evidence.md.

    Raises:
        FormatError: It is not the evidence of a record, or its `stream` statement is missing.
    """
    match evidence:
        case {
            "log": {"origin": str(origin)},
            "record": {
                "record": str(encoded),
                "index": int(index),
                "size": int(size),
                "root": str(root),
            },
            "statements": list(entries),
        }:
            read = [_read_statement(entry) for entry in entries]
        case _:
            raise _not_of_a_record()
    declared = [payload for one, payload in read if one.role == "stream"]
    if len(declared) != 1:
        raise _not_of_a_record()
    declaration = parse_stream(declared[0])
    record = parse_base64(encoded, "record")
    stream, _ = parse_record(record, len(declaration.fields))
    return Proof(
        origin=origin,
        system=declaration.system,
        stream=stream,
        fields=declaration.fields,
        index=index,
        size=size,
        root=parse_base64(root, "root of the stream", size=HASH_BYTES),
        leaf=record_leaf(record),
        statements=tuple(one for one, _ in read),
    )


def _read_statement(entry: JsonValue) -> tuple[ProvenStatement, bytes]:
    """Read one item of `statements`; return also its payload."""
    match entry:
        case {"role": str(role), "entry": str(encoded), "receipt": str(receipt), **rest}:
            large = rest.get("beside", encoded)
            envelope = parse_envelope(parse_base64(str(large), "envelope"))
            subjects = parse_statement(envelope.in_toto).subjects
            about = ", ".join(subject.name for subject in subjects)
            if "log" in rest:
                about += f" (in {rest['log']})"
            index = parse_receipt(receipt.encode("utf-8")).index
            return ProvenStatement(role, about, index, envelope.digest), envelope.payload
    raise _not_of_a_record()


def _not_of_a_record() -> FormatError:
    return FormatError(
        "this evidence lacks the log, the record, or exactly one statement of its stream",
        hint="Only evidence about a record becomes a page; see docs/reference/evidence.md.",
    )
