"""Write docs/reference/stream-vectors.json from fixed salts, nonces, keys and times.

    python tests/golden/make_stream_vectors.py

The file is part of the format: it changes only when the format gets a new version or new cases.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.core.envelope import (
    IN_TOTO,
    Envelope,
    EnvelopeSignature,
    format_envelope,
    sign_envelope,
)
from counterfoil.core.keys import Algorithm, PrivateKey, format_vkey
from counterfoil.core.merkle import EMPTY_ROOT, Hash, node_hash, prove_consistency, prove_inclusion
from counterfoil.core.record import (
    field_digest,
    format_disclosure,
    format_record,
    pad_row,
    parse_disclosure,
    seal_rows,
)
from counterfoil.core.stream import (
    Batch,
    Replaced,
    StreamDeclaration,
    Ticket,
    format_batch,
    format_stream,
    format_ticket,
    sign_ticket,
)

VECTORS = Path(__file__).parents[2] / "docs" / "reference" / "stream-vectors.json"
LOG = "log.example.org/credit"
START = 1_800_000_000
FIELDS = ("kind", "about", "output")


def fixed(what: str, size: int = 32) -> bytes:
    """Make bytes that look random and never change."""
    return b"".join(sha256(f"{what} {i}".encode()).digest() for i in range(-(-size // 32)))[:size]


def signer(name: str) -> PrivateKey:
    """Make the key of this name."""
    private = Ed25519PrivateKey.from_private_bytes(fixed(name))
    return PrivateKey.from_private(name, Algorithm.ED25519, private)


WRITER = signer("example.org/credit/writer")
TICKETS = signer("example.org/credit/tickets")
STRANGER = signer("example.org/stranger")

STREAM = StreamDeclaration(
    log=LOG,
    system="credit",
    nonce=fixed("nonce"),
    fields=FIELDS,
    max_delay_s=90,
    cadence_s=60,
    pad_to=4,
    ticket_keys=(TICKETS.key,),
)
SUCCESSOR = StreamDeclaration(
    log=LOG,
    system="credit",
    nonce=fixed("another nonce"),
    fields=(*FIELDS, "reasons"),
    max_delay_s=0,
    replaces=Replaced(STREAM.stream_id, 8, Hash(fixed("some root"))),
)


class Tree:
    """The leaves of a stream, and proofs about them."""

    def __init__(self, leaves: list[Hash]) -> None:
        self.leaves = leaves

    def node(self, level: int, index: int) -> Hash:
        """Return the root of a complete subtree."""
        if level == 0:
            return self.leaves[index]
        return node_hash(self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))

    def root(self, size: int) -> Hash:
        """Return the root over the first `size` leaves; powers of two are all we need."""
        return self.node(size.bit_length() - 1, 0) if size else EMPTY_ROOT

    def step(self, size_before: int, size: int, closed: int) -> Batch:
        """Make the batch from one size to another."""
        return Batch(
            stream=STREAM.stream_id,
            log=LOG,
            size_before=size_before,
            root_before=self.root(size_before),
            size=size,
            root=self.root(size),
            consistency=prove_consistency(size_before, size, self.node),
            closed=closed,
        )


def raw(text: str | bytes) -> str:
    """Encode any text as a disclosure, however wrong it is."""
    data = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def disclosures() -> dict[str, Any]:
    """Make single disclosures, good and bad."""
    salt = raw(fixed("salt"))
    deep = "[" * 15 + "]" * 15
    values = [
        ("kind", "decision"),
        ("about", None),
        ("output", {"outcome": "refused", "score": 0.31, "threshold": 0.5, "count": 17}),
        ("output", [float("nan"), float("inf"), float("-inf"), 1e300, -0.0]),
        ("output", [2**53 - 1, -(2**53) + 1, 2**53, 10**30]),
        ("Größe", "naïve ≤ 😀 ~?>"),
    ]
    good = [
        {"comment": f"as written: {name}", "encoded": format_disclosure(fixed(name), name, value)}
        for name, value in values
    ]
    good += [
        {"comment": "other spelling, same rules", "encoded": raw(f'[ "{salt}" , "a" , 1.50e1 ]\n')},
        {"comment": "escapes", "encoded": raw(f'["{salt}","a","\\u0041\\ud83d\\ude00"]')},
        {"comment": "16 levels", "encoded": raw(f'["{salt}","a",{deep}]')},
    ]
    for case in good:
        parsed = parse_disclosure(case["encoded"])
        case |= {
            "salt": parsed.salt.hex(),
            "name": parsed.name,
            "value": parsed.value,
            "digest": field_digest(case["encoded"]).hex(),
        }
    fine = raw(f'["{salt}","a",1]')
    texts = {
        "two elements": f'["{salt}",1]',
        "four elements": f'["{salt}","a",1,2]',
        "an object": f'{{"salt":"{salt}","name":"a","value":1}}',
        "name is not a string": f'["{salt}",7,1]',
        "salt is not a string": '[7,"a",1]',
        "salt of 31 bytes": f'["{raw(fixed("salt", 31))}","a",1]',
        "salt of 33 bytes": f'["{raw(fixed("salt", 33))}","a",1]',
        "salt with padding": f'["{salt}=","a",1]',
        "salt with unused bits set": f'["{salt[:-1]}{chr(ord(salt[-1]) + 1)}","a",1]',
        "key twice in one object": f'["{salt}","a",{{"x":1,"x":2}}]',
        "key twice, one of them escaped": f'["{salt}","a",{{"x":1,"\\u0078":2}}]',
        "NaN": f'["{salt}","a",NaN]',
        "infinity by overflow": f'["{salt}","a",1e999]',
        "integer 2**53": f'["{salt}","a",9007199254740992]',
        "17 levels": f'["{salt}","a",[{deep}]]',
        "half a surrogate pair": f'["{salt}","a","\\ud83d"]',
        "leading zero": f'["{salt}","a",01]',
        "more after the array": f'["{salt}","a",1]]',
        "cut off": f'["{salt}","a",1',
        "nothing": "",
    }
    bad = [{"comment": comment, "encoded": raw(text)} for comment, text in texts.items()]
    bad += [
        {
            "comment": "byte order mark",
            "encoded": raw(b"\xef\xbb\xbf" + b'["%b","a",1]' % salt.encode()),
        },
        {"comment": "not UTF-8", "encoded": raw(b'["%b","a","\xff"]' % salt.encode())},
        {"comment": "base64 padding", "encoded": raw(f'["{salt}","a",12]') + "="},
        {"comment": "line feed after it", "encoded": fine + "\n"},
        {
            "comment": "standard alphabet",
            "encoded": raw(f'["{salt}","a","??>~"]').replace("_", "/"),
        },
        {"comment": "not ASCII", "encoded": fine + "é"},
    ]
    return {"good": good, "bad": bad}


def records() -> list[Any]:
    """Make the eight records of the stream, the last three of them pads."""
    rows: list[Any] = [
        ["decision", None, {"outcome": "refused", "score": 0.31}],
        ["decision", None, {"outcome": "granted", "score": 0.75}],
        ["decision", None, {"outcome": "granted", "score": float("nan")}],
    ]
    sealed = seal_rows(STREAM.stream_id, FIELDS, rows, fixed("salts", 96 * 3))
    rows = [
        ["override", sealed[0].leaf.hex(), {"outcome": "granted", "by": "senior underwriter"}],
        ["decision", None, {"outcome": "refused", "score": 0.44}],
        *[pad_row(FIELDS)] * 3,
    ]
    return sealed + seal_rows(STREAM.stream_id, FIELDS, rows, fixed("more salts", 96 * 5))


def shown(sealed: list[Any]) -> dict[str, Any]:
    """Make disclosures of records, good and bad."""
    first, second = sealed[0], sealed[1]
    d = first.disclosures
    good = [
        {"comment": "all", "index": 0, "disclosures": list(d)},
        {"comment": "one", "index": 0, "disclosures": [d[2]]},
        {"comment": "any order", "index": 0, "disclosures": [d[2], d[0]]},
        {"comment": "none", "index": 0, "disclosures": []},
        {"comment": "a pad", "index": 7, "disclosures": list(sealed[7].disclosures)},
    ]
    for case in good:
        case["record"] = sealed[case.pop("index")].record.hex()
        case["shows"] = {p.name: p.value for p in map(parse_disclosure, case["disclosures"])}
        case["shows"] = {name: case["shows"][name] for name in FIELDS if name in case["shows"]}
    swapped = format_record(STREAM.stream_id, [field_digest(d[i]) for i in (1, 0, 2)])
    record = first.record
    not_disclosure = raw('["not a salt","kind","decision"]')
    committed = format_record(
        STREAM.stream_id, [field_digest(x) for x in (not_disclosure, d[1], d[2])]
    )
    bad = [
        ("of another record", record, [second.disclosures[0]]),
        ("one character changed", record, [d[2][:-1] + ("A" if d[2][-1] != "A" else "B")]),
        ("twice", record, [d[0], d[0]]),
        ("fields in each other's place", swapped, [d[0]]),
        ("committed to, and no disclosure", committed, [not_disclosure]),
        ("record one byte short", record[:-1], [d[0]]),
        ("record with a fourth field", record + fixed("more"), [d[0]]),
        ("record of another version", record.replace(b"/v1", b"/v2"), [d[0]]),
    ]
    return {
        "good": good,
        "bad": [
            {"comment": comment, "record": record.hex(), "disclosures": shown}
            for comment, record, shown in bad
        ],
    }


def steps(tree: Tree) -> tuple[list[Batch], list[Any]]:
    """Make a chain of three batches, and steps that may not follow in it."""
    chain = [
        tree.step(0, 4, START),
        tree.step(4, 8, START + 60),
        tree.step(8, 8, START + 120),
    ]
    first, second, third = chain
    other = Hash(fixed("another root"))
    unpadded = replace(first, size=2, root=tree.root(2))
    bad = [
        ("first batch not from nothing", -1, second),
        ("first batch from nothing with another root", -1, replace(first, root_before=other)),
        ("proof where nothing was before", -1, replace(first, consistency=(other,))),
        ("not padded", -1, unpadded),
        ("another stream", -1, replace(first, stream=SUCCESSOR.stream_id)),
        ("another log", -1, replace(first, log="log.example.org/other")),
        ("closed between two periods", -1, replace(first, closed=START + 1)),
        ("the same step again", 0, first),
        ("one left out", 0, third),
        ("a period left out", 0, replace(second, closed=START + 120)),
        ("not later", 0, replace(second, closed=START)),
        ("from another root", 0, replace(second, root_before=other)),
        ("proof missing", 0, replace(second, consistency=())),
        ("proof false", 0, replace(second, consistency=(other,))),
        ("proof too long", 0, replace(second, consistency=(*second.consistency, other))),
        ("to another root", 0, replace(second, root=other)),
        ("shrunk", 1, replace(third, size=4, root=first.root)),
        ("same size, another root", 1, replace(third, root=other)),
        ("same size with a proof", 1, replace(third, consistency=(other,))),
    ]
    return chain, [
        {"comment": comment, "after": after, "payload": format_batch(batch).decode()}
        for comment, after, batch in bad
    ]


def malformed(first: Batch) -> list[Any]:
    """Make payloads that are no batch statement at all."""
    text = format_batch(first).decode()
    root = first.root.hex()
    return [
        {"comment": "upper-case root", "payload": text.replace(root, root.upper())},
        {"comment": "white space", "payload": text.replace(",", ", ", 1)},
        {"comment": "a member more", "payload": text.replace('"closed"', '"by":"me","closed"')},
        {"comment": "a member missing", "payload": text.replace('"consistency":[],', "")},
        {"comment": "a number as text", "payload": text.replace('"size":4', '"size":"4"')},
        {"comment": "a number as truth", "payload": text.replace('"size":4', '"size":true')},
        {"comment": "a fraction", "payload": text.replace('"size":4', '"size":4.5')},
        {"comment": "negative", "payload": text.replace('"size_before":0', '"size_before":-1')},
        {"comment": "another type", "payload": text.replace("batch:v1", "ticket:v1")},
        {"comment": "another digest", "payload": text.replace("rfc9162_sha256", "sha256")},
    ]


def equivocations(chain: list[Batch]) -> list[Any]:
    """Make pairs of signed batches that prove their signer a liar, and pairs that do not."""
    first, second, third = chain
    other = Hash(fixed("another root"))
    pairs = [
        ("equal size, different roots", True, second, replace(second, root=other, closed=START)),
        ("same step, different sizes", True, first, replace(first, size=8, root=second.root)),
        ("root now against root before", True, first, replace(second, root_before=other)),
        ("two roots before", True, second, replace(second, root_before=other, closed=START)),
        ("the same batch twice", False, first, first),
        ("one after the other", False, first, second),
        ("an empty period", False, second, third),
        ("two streams", False, first, replace(first, stream=SUCCESSOR.stream_id, root=other)),
        (
            "same start, other time and size: invalid as a step, no proof by itself",
            False,
            first,
            replace(first, size=8, root=second.root, closed=START + 60),
        ),
    ]
    return [
        {"comment": comment, "proves": proves, "a": signed(a), "b": signed(b)}
        for comment, proves, a, b in pairs
    ]


def signed(batch: Batch) -> str:
    """Sign a batch as the stream's writer."""
    return format_envelope(sign_envelope(format_batch(batch), WRITER)).decode()


def receipts(sealed: list[Any], tree: Tree, chain: list[Batch]) -> dict[str, Any]:
    """Make record receipts, good and bad; `batch` is an index into the chain."""

    def receipt(comment: str, index: int, batch: int, /, **changes: Any) -> dict[str, Any]:
        size = chain[batch].size
        case = {
            "comment": comment,
            "batch": batch,
            "index": index,
            "size": size,
            "root": chain[batch].root.hex(),
            "path": [value.hex() for value in prove_inclusion(index, size, tree.node)],
            "record": sealed[index].record.hex(),
        }
        return case | changes

    record = sealed[1].record
    foreign = format_record(SUCCESSOR.stream_id, [fixed("x")] * 3)
    good = receipt("", 1, 0)
    return {
        "good": [receipt(f"record {i}", i, b) for i, b in ((0, 0), (3, 0), (1, 1), (7, 1), (7, 2))],
        "bad": [
            receipt("another index", 1, 0, index=2),
            receipt("index outside", 1, 0, index=4),
            receipt("negative index", 1, 0, index=-1),
            receipt("path too short", 1, 0, path=good["path"][1:]),
            receipt("path too long", 1, 0, path=[*good["path"], good["path"][0]]),
            receipt("path in the wrong order", 1, 0, path=good["path"][::-1]),
            receipt("path of another size", 1, 1, path=good["path"]),
            receipt("another batch", 1, 0, batch=1),
            receipt("root not of the batch", 1, 0, root=fixed("another root").hex()),
            receipt("record changed", 1, 0, record=(record[:-1] + b"\0").hex()),
            receipt("record of another stream", 1, 0, record=foreign.hex()),
            receipt("record with a field less", 1, 0, record=record[:-32].hex()),
        ],
    }


def tickets(sealed: list[Any], tree: Tree, chain: list[Batch]) -> dict[str, Any]:
    """Make tickets, and what keeps or breaks them."""
    ticket = Ticket(STREAM.stream_id, 4, sealed[4].leaf, START + 60)
    elsewhere = replace(ticket, stream=SUCCESSOR.stream_id)
    envelope = sign_ticket(ticket, TICKETS)
    broken = replace(ticket, leaf=sealed[5].leaf)
    payload = format_ticket(ticket)
    other_type = sign_envelope(payload, TICKETS, payload_type="text/plain")
    forged = EnvelopeSignature(TICKETS.key.label, TICKETS.sign(payload))
    false = Envelope(payload, IN_TOTO, (forged,))
    path = [value.hex() for value in prove_inclusion(4, 8, tree.node)]
    return {
        "good": envelope.decode(),
        "bad": [
            {"comment": comment, "envelope": data.decode()}
            for comment, data in (
                ("by another key", sign_ticket(ticket, STRANGER)),
                ("by the batch writer", sign_ticket(ticket, WRITER)),
                ("for another stream", sign_ticket(elsewhere, TICKETS)),
                ("signature over the bare payload", format_envelope(false)),
                (
                    "a batch in its place",
                    format_envelope(sign_envelope(format_batch(chain[0]), TICKETS)),
                ),
                ("signed as other bytes", format_envelope(other_type)),
            )
        ],
        "leaf": [
            {
                "comment": comment,
                "verdict": verdict,
                "ticket": sign_ticket(promise, TICKETS).decode(),
                "batch": 1,
                "leaf": leaf.hex(),
                "path": path,
            }
            for comment, verdict, promise, leaf in (
                ("kept", "kept", ticket, sealed[4].leaf),
                ("another record lies there", "breach", broken, sealed[4].leaf),
                ("not what lies there", "nothing proven", ticket, sealed[5].leaf),
            )
        ],
        "time": [
            {
                "comment": comment,
                "verdict": verdict,
                "as_of": as_of,
                "logged": [{"batch": batch, "time": time} for batch, time in logged],
            }
            for comment, verdict, as_of, logged in (
                ("in time", "kept", START + 500, [(0, START + 10), (1, START + 70)]),
                ("in the last second", "kept", START + 500, [(0, START + 10), (1, START + 150)]),
                ("a second late", "breach", START + 500, [(0, START + 10), (1, START + 151)]),
                ("never", "breach", START + 151, [(0, START + 10)]),
                ("no batch at all", "breach", START + 151, []),
                ("not yet up", "open", START + 150, [(0, START + 10)]),
            )
        ],
    }


def build() -> dict[str, Any]:
    """Make the whole file."""
    sealed = records()
    tree = Tree([one.leaf for one in sealed])
    chain, bad_steps = steps(tree)
    return {
        "about": "Test vectors of docs/reference/streams.md, version 1. Hashes are hexadecimal "
        "where no format says otherwise; payloads and envelopes are the bytes as UTF-8 text.",
        "keys": {
            "writer": {"vkey": format_vkey(WRITER.key), "private": fixed(WRITER.key.name).hex()},
            "ticket": {"vkey": format_vkey(TICKETS.key), "private": fixed(TICKETS.key.name).hex()},
        },
        "streams": [
            {"payload": format_stream(one).decode(), "id": one.stream_id.hex()}
            for one in (STREAM, SUCCESSOR)
        ],
        "disclosures": disclosures(),
        "records": [
            {
                "record": one.record.hex(),
                "leaf": one.leaf.hex(),
                "disclosures": list(one.disclosures),
            }
            for one in sealed
        ],
        "shown": shown(sealed),
        "batches": {
            "chain": [signed(batch) for batch in chain],
            "bad": bad_steps,
            "malformed": malformed(chain[0]),
        },
        "equivocations": equivocations(chain),
        "receipts": receipts(sealed, tree, chain),
        "tickets": tickets(sealed, tree, chain),
    }


def write(vectors: dict[str, Any]) -> str:
    """Write the file's text."""
    return json.dumps(vectors, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    VECTORS.write_text(write(build()), encoding="utf-8")
