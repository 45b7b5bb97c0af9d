"""Targets of the core: texts, notes, statements, streams and policies."""

from __future__ import annotations

import contextlib

from counterfoil.core.batch import format_batch, parse_batch
from counterfoil.core.canonical import format_json, parse_canonical, parse_json
from counterfoil.core.checkpoint import (
    LogKeys,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
)
from counterfoil.core.cosignature import check_subtree_cosignature, find_cosignatures
from counterfoil.core.declaration import format_stream, parse_stream
from counterfoil.core.envelope import check_envelope, format_envelope, parse_envelope
from counterfoil.core.instant import format_instant, parse_instant
from counterfoil.core.keys import format_vkey, parse_vkey
from counterfoil.core.merkle import root_of
from counterfoil.core.note import (
    format_note,
    format_signature_line,
    open_note,
    parse_note,
    parse_signature_line,
)
from counterfoil.core.policy import format_policy, parse_policy, policy_from_json, policy_to_json
from counterfoil.core.receipt import check_receipt, format_receipt, parse_receipt
from counterfoil.core.record import (
    check_disclosures,
    field_digest,
    format_record,
    parse_disclosure,
    parse_record,
)
from counterfoil.core.requirements import parse_number
from counterfoil.core.shard import Carried, check_carried, format_carried, parse_carried
from counterfoil.core.statement import format_statement, parse_statement
from counterfoil.core.subtree import Subtree
from counterfoil.core.text import (
    format_base64,
    format_base64url,
    parse_base64,
    parse_base64url,
    parse_decimal,
    parse_hex,
)
from counterfoil.core.ticket import format_ticket, open_ticket, parse_ticket
from counterfoil.core.tile import format_bundle, parse_bundle, parse_tile_path
from counterfoil.core.toml import parse_toml
from counterfoil.errors import CounterfoilError, FormatError
from counterfoil.ledger.policyfile import format_adopted
from fuzz import seeds
from fuzz.seeds import LOG, OUTSIDE, QUANTUM, policy, streams
from fuzz.targets import Target, bytes_of, text_of

VECTORS = streams()
DECLARATION = parse_stream(VECTORS["streams"][0]["payload"].encode())
FIELDS = DECLARATION.fields


def take_decimal(data: bytes) -> None:
    assert bytes_of(str(parse_decimal(text_of(data), "number"))) == data


def take_carried(data: bytes) -> None:
    carried = parse_carried(data)
    assert format_carried(carried) == data
    with contextlib.suppress(CounterfoilError):  # no log of the seeds has ended
        check_carried(seeds.entries()[0], carried, LogKeys(LOG.key))


def take_number(data: bytes) -> None:
    assert str(parse_number(text_of(data), "number")).lstrip("-0.") in text_of(data)


def take_base64(data: bytes) -> None:
    assert bytes_of(format_base64(parse_base64(text_of(data), "bytes"))) == data


def take_base64url(data: bytes) -> None:
    assert bytes_of(format_base64url(parse_base64url(text_of(data), "bytes"))) == data


def take_hex(data: bytes) -> None:
    assert bytes_of(parse_hex(text_of(data), "bytes").hex()) == data


def take_instant(data: bytes) -> None:
    assert bytes_of(format_instant(parse_instant(text_of(data), "time"))) == data


def take_json(data: bytes) -> None:
    value = parse_json(data)
    try:
        written = format_json(value)
    except FormatError:
        return  # a float that would read back as a large integer
    assert parse_json(written) == value


def take_canonical(data: bytes) -> None:
    assert format_json(parse_canonical(data)) == data


def take_toml(data: bytes) -> None:
    table = parse_toml(data, "file.toml")
    for name in table.values:
        str(table.error("wrong", key=name))


def take_vkey(data: bytes) -> None:
    assert bytes_of(format_vkey(parse_vkey(text_of(data)))) == data


def take_note(data: bytes) -> None:
    assert format_note(parse_note(data)) == data
    open_note(data, LOG.key)


def take_signature_line(data: bytes) -> None:
    assert bytes_of(format_signature_line(parse_signature_line(text_of(data)))) == data


def take_checkpoint(data: bytes) -> None:
    assert bytes_of(format_checkpoint(parse_checkpoint(text_of(data)))) == data


def take_signed_checkpoint(data: bytes) -> None:
    open_checkpoint(data, LOG.key)


def take_cosignatures(data: bytes) -> None:
    find_cosignatures(parse_note(data), (OUTSIDE.key, QUANTUM.key))


def take_subtree_cosignature(data: bytes) -> None:
    line = parse_signature_line(text_of(data))
    part, root = Subtree(4, 8), root_of(seeds.LEAVES[4:8])
    check_subtree_cosignature(seeds.ORIGIN, part, root, line, QUANTUM.key)


def take_receipt(data: bytes) -> None:
    receipt = parse_receipt(data)
    assert format_receipt(receipt) == data
    check_receipt(seeds.entries()[0], receipt, LOG.key)


def take_envelope(data: bytes) -> None:
    envelope = parse_envelope(data)
    assert format_envelope(envelope) == data
    check_envelope(envelope, policy().keys)


def take_statement(data: bytes) -> None:
    assert format_statement(parse_statement(data)) == data


def take_stream(data: bytes) -> None:
    assert format_stream(parse_stream(data)) == data


def take_batch(data: bytes) -> None:
    assert format_batch(parse_batch(data)) == data


def take_ticket(data: bytes) -> None:
    assert format_ticket(parse_ticket(data)) == data


def take_signed_ticket(data: bytes) -> None:
    open_ticket(data, DECLARATION)


def take_disclosure(data: bytes) -> None:
    disclosure = parse_disclosure(text_of(data))
    assert bytes_of(disclosure.encoded) == data
    field_digest(disclosure.encoded)


def take_disclosures(data: bytes) -> None:
    """Disclosures of a record, one on each line; the record commits to whatever they are."""
    lines = [text_of(one) for one in data.split(b"\n")]
    record = format_record(bytes(32), [field_digest(one) for one in lines])
    names = FIELDS[: len(lines)] + tuple(map(str, range(len(lines) - len(FIELDS))))
    check_disclosures(record, names, lines)


def take_record(data: bytes) -> None:
    assert format_record(*parse_record(data, len(FIELDS))) == data


def take_bundle(data: bytes) -> None:
    assert format_bundle(parse_bundle(data[1:], data[0] + 1 if data else 0)) == data[1:]


def take_tile_path(data: bytes) -> None:
    assert bytes_of(parse_tile_path(text_of(data)).path) == data


def take_policy(data: bytes) -> None:
    policy = parse_policy(data)
    assert parse_policy(format_policy(policy)) == policy
    assert policy_from_json(parse_canonical(format_json(policy_to_json(policy)))) == policy


def take_policy_json(data: bytes) -> None:
    assert format_json(policy_to_json(policy_from_json(parse_canonical(data)))) == data


def _given(*path: str) -> list[bytes]:
    """Texts of the vectors of streams, by their place there."""
    found = VECTORS
    for name in path:
        found = found[name]
    return [one["payload"].encode() for one in found]


TARGETS = (
    Target("decimal", take_decimal, lambda: (b"0", b"1048576"), covers=(parse_decimal,)),
    Target("number", take_number, lambda: (b"0.75", b"-12"), covers=(parse_number,)),
    Target("base64", take_base64, lambda: (b"", b"AQI=", b"+/8="), covers=(parse_base64,)),
    Target("base64url", take_base64url, lambda: (b"", b"AQI", b"-_8"), covers=(parse_base64url,)),
    Target("hex", take_hex, lambda: (b"", b"00ff"), covers=(parse_hex,)),
    Target(
        "instant",
        take_instant,
        lambda: (b"2027-11-22T00:00:00Z", b"1970-01-01T00:00:00Z", b"2000-02-29T23:59:59Z"),
        covers=(parse_instant,),
    ),
    Target(
        "json",
        take_json,
        lambda: (
            b' {"a": [1, 2.5, -0.0, 1e300, "\\u00e9\\ud83d\\ude00"], "b": null} ',
            *seeds.STATEMENTS[:2],
            *seeds.made_by_others("tlog/*.json"),
        ),
        "json",
        covers=(parse_json,),
    ),
    Target(
        "canonical",
        take_canonical,
        lambda: (b'{"a":[1,2.5,true],"b":"\xc3\xa9"}', *seeds.STATEMENTS[:2]),
        "json",
        covers=(parse_canonical,),
    ),
    Target(
        "toml",
        take_toml,
        lambda: (
            format_policy(policy()).encode(),
            b'a.b = [1, {c = "d"}]\n[[e]]\nf = 2026-01-01\n',
        ),
        covers=(parse_toml,),
        tries=400,
    ),
    Target(
        "vkey",
        take_vkey,
        lambda: [format_vkey(one.key).encode() for one in (LOG, OUTSIDE, QUANTUM)],
        covers=(parse_vkey,),
    ),
    Target(
        "note",
        take_note,
        lambda: (seeds.checkpoint(3), seeds.checkpoint(11)),
        more=lambda: seeds.made_by_others("tessera-log/checkpoint*"),
        covers=(parse_note, open_note),
    ),
    Target(
        "signature-line",
        take_signature_line,
        lambda: [line.encode() for line in seeds.checkpoint(3).decode().splitlines()[4:]],
        covers=(parse_signature_line,),
    ),
    Target(
        "checkpoint",
        take_checkpoint,
        lambda: (parse_note(seeds.checkpoint(3)).text.encode(),),
        covers=(parse_checkpoint,),
    ),
    Target(
        "signed-checkpoint",
        take_signed_checkpoint,
        lambda: (seeds.checkpoint(3), seeds.checkpoint(11)),
        covers=(open_checkpoint,),
    ),
    Target(
        "cosignatures",
        take_cosignatures,
        lambda: (seeds.checkpoint(3), seeds.checkpoint(3, QUANTUM)),
    ),
    Target(
        "subtree-cosignature",
        take_subtree_cosignature,
        lambda: [seeds.replies()[1][1:].rstrip(b"\n")],
    ),
    Target(
        "carried",
        take_carried,
        lambda: [
            format_carried(Carried(seeds.receipts()[0], ((entry, receipt),)))
            for entry, receipt in zip(seeds.entries(), seeds.receipts(), strict=False)
        ],
        "json",
        covers=(parse_carried,),
    ),
    Target(
        "receipt",
        take_receipt,
        lambda: seeds.receipts()[:1],
        more=lambda: seeds.receipts()[1:],
        covers=(parse_receipt,),
    ),
    Target(
        "envelope",
        take_envelope,
        lambda: seeds.entries()[:4],
        "json",
        more=lambda: [text.encode() for text in VECTORS["batches"]["chain"]],
        covers=(parse_envelope,),
    ),
    Target(
        "statement",
        take_statement,
        lambda: (*seeds.STATEMENTS, *_given("streams")),
        "json",
        covers=(parse_statement,),
    ),
    Target(
        "stream",
        take_stream,
        lambda: _given("streams"),
        "json",
        covers=(parse_stream,),
    ),
    Target(
        "batch",
        take_batch,
        lambda: [parse_envelope(text.encode()).payload for text in VECTORS["batches"]["chain"]],
        "json",
        more=lambda: _given("batches", "malformed"),
        covers=(parse_batch,),
    ),
    Target(
        "ticket",
        take_ticket,
        lambda: [parse_envelope(VECTORS["tickets"]["good"].encode()).payload],
        "json",
        covers=(parse_ticket,),
    ),
    Target(
        "signed-ticket",
        take_signed_ticket,
        lambda: [VECTORS["tickets"]["good"].encode()],
        "json",
        more=lambda: [one["envelope"].encode() for one in VECTORS["tickets"]["bad"]],
        covers=(open_ticket,),
    ),
    Target(
        "disclosure",
        take_disclosure,
        lambda: [one["encoded"].encode() for one in VECTORS["disclosures"]["good"]],
        more=lambda: [one["encoded"].encode() for one in VECTORS["disclosures"]["bad"]],
        covers=(parse_disclosure,),
    ),
    Target(
        "disclosures",
        take_disclosures,
        lambda: ["\n".join(one["disclosures"]).encode() for one in VECTORS["records"]],
    ),
    Target(
        "record",
        take_record,
        lambda: [bytes.fromhex(one["record"]) for one in VECTORS["records"]],
        covers=(parse_record,),
    ),
    Target(
        "bundle",
        take_bundle,
        lambda: [bytes([len(some) - 1]) + format_bundle(some) for some in (seeds.entries(), [b""])],
        covers=(parse_bundle,),
    ),
    Target(
        "tile-path",
        take_tile_path,
        lambda: (b"tile/0/x001/x234/067", b"tile/63/000.p/17", b"tile/entries/x001/067.p/5"),
        covers=(parse_tile_path,),
    ),
    Target(
        "policy",
        take_policy,
        lambda: (
            format_policy(policy()).encode(),
            format_adopted(policy()),
            seeds.stamped("trust.toml"),
        ),
        covers=(parse_policy,),
        tries=200,
    ),
    Target(
        "policy-json",
        take_policy_json,
        lambda: [
            format_json(policy_to_json(one))
            for one in (policy(), parse_policy(seeds.stamped("trust.toml")))
        ],
        "json",
        covers=(policy_from_json,),
        tries=200,
    ),
)
