"""in-toto statements: what is said about which things.

    {"_type":"https://in-toto.io/Statement/v1",
     "predicate":{...},
     "predicateType":"urn:counterfoil:predicate:approval:v1",
     "subject":[{"digest":{"sha256":"<hex>"},"name":"credit"}]}

in canonical JSON. A statement says something (the predicate) about things known by their digests
(the subjects); who says it is the envelope's matter. Numbers are integers or strings, so that no
two readers round them differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.core.text import parse_hex, shown
from counterfoil.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
"""Marks the first version of the statement layer (in-toto attestation framework v1)."""

MAX_STATEMENT_BYTES = 48 * 1024
"""In base64 this fits into an entry of the log, which has at most 65,535 bytes."""

MAX_SUBJECTS = 256
"""Things one statement speaks of: a folder's files belong into its predicate, not here."""

SHA256 = "sha256"
"""Digest of bytes."""

RFC9162_SHA256 = "rfc9162_sha256"
"""Root of a Merkle tree."""

_DIGEST_BYTES = {SHA256: 32, RFC9162_SHA256: 32}
_OURS = re.compile(r"urn:counterfoil:predicate:([a-z][a-z0-9-]*):v1")


@dataclass(frozen=True, slots=True)
class Subject:
    """A thing that a statement is about.

    Args:
        name: What it is called; unique within the statement.
        digest: Algorithm to lower-case hex; any of them identifies the thing.
    """

    name: str
    digest: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.name or not self.digest:
            raise FormatError(
                "a subject has a name and at least one digest",
                hint="A statement about bytes nobody can identify proves nothing.",
            )
        for algorithm, value in self.digest.items():
            what = f"{shown(algorithm)} digest of {shown(self.name)}"
            if not parse_hex(value, what, size=_DIGEST_BYTES.get(algorithm)):
                raise FormatError(f"{what} is empty", hint="Give the digest in hexadecimal.")


@dataclass(frozen=True, slots=True)
class Statement:
    """A claim about subjects.

    Args:
        subjects: One to `MAX_SUBJECTS` things, each with a name of its own.
        predicate_type: URI that says how to read the predicate; see `predicate_type`.
        predicate: What is said; strings, booleans, integers within +-(2**53 - 1), null, and
            lists and objects of these.
    """

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Mapping[str, JsonValue]

    def __post_init__(self) -> None:
        if not 1 <= len(self.subjects) <= MAX_SUBJECTS:
            raise FormatError(
                f"a statement has 1 to {MAX_SUBJECTS} subjects, not {len(self.subjects)}",
                hint="Name one thing, and list its parts in the predicate.",
            )
        if len({subject.name for subject in self.subjects}) != len(self.subjects):
            raise FormatError(
                "two subjects of a statement have the same name",
                hint="Call each by a name of its own.",
            )
        if ":" not in self.predicate_type:
            raise FormatError(
                f"the predicate type {shown(self.predicate_type)} is not a URI",
                hint="Ours are made by predicate_type(name).",
            )


def predicate_type(name: str) -> str:
    """Make the URI of one of our predicates from its short name.

    Raises:
        FormatError: The name is not lower-case letters, digits and hyphens.
    """
    uri = f"urn:counterfoil:predicate:{name}:v1"
    if not _OURS.fullmatch(uri):
        raise FormatError(
            f"{shown(name)} cannot be the name of a predicate",
            hint="Use lower-case letters, digits and hyphens, beginning with a letter.",
        )
    return uri


def predicate_name(uri: str) -> str:
    """Return the short name of one of our predicates.

    Raises:
        FormatError: It is not one of ours, or of another version.
    """
    if match := _OURS.fullmatch(uri):
        return match[1]
    raise FormatError(
        f"{shown(uri)} is not a predicate type of counterfoil",
        hint="Ours look like urn:counterfoil:predicate:approval:v1.",
    )


def format_statement(statement: Statement) -> bytes:
    """Write a statement as canonical JSON: the payload of an envelope.

    Raises:
        FormatError: It holds a float or something that is not JSON, or is too long.
    """
    predicate = dict(statement.predicate)
    data = format_json(
        {
            "_type": STATEMENT_TYPE,
            "predicate": predicate,
            "predicateType": statement.predicate_type,
            "subject": [
                {"digest": {**subject.digest}, "name": subject.name}
                for subject in statement.subjects
            ],
        }
    )
    _refuse_floats(predicate)
    if len(data) > MAX_STATEMENT_BYTES:
        raise FormatError(
            f"this statement has {len(data)} bytes, at most {MAX_STATEMENT_BYTES} fit into the log",
            hint="Keep the large part beside the log and state its digest and size.",
        )
    return data


def parse_statement(data: bytes) -> Statement:
    """Read a statement; `format_statement` of the result is `data`.

    Raises:
        FormatError: Anything but canonical JSON of exactly the members of a statement, without
            floats.
    """
    value = parse_canonical(data, what="statement", max_bytes=MAX_STATEMENT_BYTES)
    match value:
        case {
            "_type": str(kind),
            "predicate": dict(predicate),
            "predicateType": str(uri),
            "subject": list(subjects),
            **rest,
        } if kind == STATEMENT_TYPE and not rest:
            _refuse_floats(predicate)
            return Statement(tuple(_parse_subject(one) for one in subjects), uri, predicate)
    raise FormatError(
        "this is not an in-toto statement of version 1",
        hint=f"It is an object of exactly _type ({STATEMENT_TYPE}), predicate, predicateType "
        "and subject.",
    )


def check_form(statement: Statement, payload: bytes, what: str) -> None:
    """Check that `payload` is what `statement` is written as, and says nothing else.

    Whoever reads a value out of a statement ends with this, so that no member is overlooked.

    Raises:
        FormatError: The payload has other subjects, another type or other members.
    """
    if format_statement(statement) != payload:
        raise FormatError(
            f"this is not a {what} in its one form",
            hint=f"Its subject, type or members are not those of a {what}; see "
            "docs/reference/statements.md.",
        )


def _parse_subject(value: JsonValue) -> Subject:
    match value:
        case {"name": str(name), "digest": dict(digest), **rest} if not rest:
            values = {key: text for key, text in digest.items() if isinstance(text, str)}
            if len(values) == len(digest):
                return Subject(name, values)
    raise FormatError(
        "a subject of a statement is an object of exactly a name and digests in hexadecimal",
        hint="Other members of in-toto's resource descriptors are not used here.",
    )


def _refuse_floats(predicate: Mapping[str, JsonValue]) -> None:
    level: list[JsonValue] = list(predicate.values())
    while level:
        value = level.pop()
        if isinstance(value, float):
            raise FormatError(
                f"a statement holds the number {value!r}",
                hint="Write decimals as strings; a statement's numbers are integers.",
            )
        if isinstance(value, dict):
            level.extend(value.values())
        elif isinstance(value, list | tuple):
            level.extend(value)
