from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.core.canonical import format_json
from counterfoil.core.declaration import (
    Replaced,
    StreamDeclaration,
    format_stream,
    parse_stream,
)
from counterfoil.core.keys import Algorithm, PrivateKey
from counterfoil.core.merkle import Hash
from counterfoil.errors import FormatError


def key(seed):
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed + 1] * 32))
    return PrivateKey.from_private(f"tickets-{seed}", Algorithm.ED25519, private).key


PLAIN = StreamDeclaration("log.example", "credit", bytes(32), ("kind", "output"), 60)
FULL = StreamDeclaration(
    log="log.example",
    system="credit scoring",
    nonce=bytes(range(32)),
    fields=("kind", "about", "inputs"),
    max_delay_s=0,
    cadence_s=60,
    pad_to=256,
    ticket_keys=(key(1), key(2)),
    replaces=Replaced(Hash(bytes(32)), 7, Hash(bytes(32))),
)


@pytest.mark.parametrize("declaration", [PLAIN, FULL])
def test_a_declaration_reads_back_as_it_was_written(declaration):
    """Every promise survives, in one spelling."""
    payload = format_stream(declaration)
    assert parse_stream(payload) == declaration
    assert format_stream(parse_stream(payload)) == payload


def test_a_streams_id_is_the_hash_of_its_statement():
    """Whoever holds the id can tell whether promises were changed."""
    assert PLAIN.stream_id == hashlib.sha256(format_stream(PLAIN)).digest()
    for other in (
        replace(PLAIN, nonce=bytes([1] * 32)),
        replace(PLAIN, max_delay_s=61),
        replace(PLAIN, fields=("output", "kind")),
    ):
        assert other.stream_id != PLAIN.stream_id


def test_a_stream_promises_no_rhythm_and_hides_nothing_unless_asked():
    """A system that runs now and then is not silent, and not padded."""
    assert (PLAIN.cadence_s, PLAIN.pad_to, PLAIN.ticket_keys, PLAIN.replaces) == (None, 1, (), None)
    assert json.loads(format_stream(PLAIN))["predicate"]["cadence_s"] is None


def test_the_subject_is_the_system():
    """A policy says by name who may declare streams for which systems."""
    (subject,) = PLAIN.statement.subjects
    assert (subject.name, subject.digest) == (
        "credit",
        {"sha256": hashlib.sha256(b"credit").hexdigest()},
    )


@pytest.mark.parametrize(
    "change",
    [
        {"fields": ("output",)},
        {"system": "x"},
        {"system": "x" * 128},
        {"ticket_keys": tuple(key(i) for i in range(16))},
        {"max_delay_s": 0, "cadence_s": 1},
    ],
)
def test_limits_are_the_last_values_allowed(change):
    """A stream that hides nothing needs no kind; small and large promises are promises."""
    declaration = replace(PLAIN, **change)
    assert parse_stream(format_stream(declaration)) == declaration


@pytest.mark.parametrize(
    "change",
    [
        {"log": ""},
        {"log": "two words"},
        {"system": ""},
        {"system": "two\nlines"},
        {"system": "\ud800"},
        {"system": "x" * 129},
        {"nonce": bytes(31)},
        {"fields": ()},
        {"fields": ("kind", "kind")},
        {"max_delay_s": -1},
        {"max_delay_s": 2**53},
        {"cadence_s": 0},
        {"pad_to": 0},
        {"pad_to": 2, "fields": ("output",)},
        {"ticket_keys": (key(1), key(1))},
        {"ticket_keys": tuple(key(i) for i in range(17))},
    ],
)
def test_promises_that_cannot_be_kept_are_not_made(change):
    """Empty names, two fields of one name, no time between batches, pads without a kind."""
    with pytest.raises(FormatError):
        replace(PLAIN, **change)


@pytest.mark.parametrize("change", [{"stream": bytes(31)}, {"size": -1}, {"root": b""}])
def test_a_replaced_stream_is_named_in_full(change):
    """Its id, its size and its root: so that nothing is lost between the two."""
    with pytest.raises(FormatError):
        replace(FULL.replaces, **change)


def changed(**members):
    value = json.loads(format_stream(FULL))
    for name, member in members.items():
        if member is ...:
            del value["predicate"][name]
        else:
            value["predicate"][name] = member
    return format_json(value)


@pytest.mark.parametrize(
    "members",
    [
        *({name: ...} for name in json.loads(format_stream(FULL))["predicate"]),
        {"note": "more"},
        {"cadence_s": "60"},
        {"cadence_s": True},
        {"max_delay_s": None},
        {"fields": "kind"},
        {"fields": ["kind", 1]},
        {"nonce": "AB" * 32},
        {"nonce": "ab" * 31},
        {"ticket_keys": ["no key"]},
        {"ticket_keys": None},
        {"system": "another"},
        {"replaces": {}},
        {"replaces": {"stream": "00" * 32, "size": 7, "root": "00" * 32, "more": 1}},
    ],
)
def test_other_members_are_no_declaration(members):
    """A member missing, added or of another type is refused: it might be a promise unread."""
    with pytest.raises(FormatError):
        parse_stream(changed(**members))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"predicate:stream:v1", b"predicate:batch:v1"),
        (b"predicate:stream:v1", b"predicate:stream:v2"),
        (b'"name":"credit scoring"', b'"name":"other"'),
        (b'"digest":{"sha256"', b'"digest":{"sha512"'),
    ],
)
def test_another_type_or_subject_is_no_declaration(old, new):
    """What the policy judged by must be what the stream says."""
    payload = format_stream(FULL)
    assert old in payload
    with pytest.raises(FormatError):
        parse_stream(payload.replace(old, new))
