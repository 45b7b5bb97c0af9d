"""A second, independent reading of docs/reference/streams.md, run against its test vectors.

Nothing of counterfoil is imported: only hashing, base64, JSON, the recursive definitions of
RFC 9162, and Ed25519 from `cryptography`. Slow and plain on purpose. If this file and the package
ever disagree, the page is not clear enough.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

VECTORS = json.loads(
    (Path(__file__).parents[2] / "docs" / "reference" / "stream-vectors.json").read_text("utf-8")
)
LARGEST = 2**53 - 1


class Refused(Exception):  # noqa: N818  # reads as a verdict, not as a fault
    """What the page says must be refused."""


def demand(holds, why):
    """Refuse unless the condition holds."""
    if not holds:
        raise Refused(why)


# --- bytes and JSON


def sha(data):
    return hashlib.sha256(data).digest()


def from_base64(text, *, url):
    alphabet = "A-Za-z0-9_-" if url else "A-Za-z0-9+/"
    demand(re.fullmatch(f"[{alphabet}]*={{0,2}}", text), "alphabet")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), b"-_" if url else b"+/")
    except ValueError as error:
        raise Refused("base64") from error
    again = (base64.urlsafe_b64encode if url else base64.standard_b64encode)(data).decode()
    demand(text == (again.rstrip("=") if url else again), "base64 is not canonical")
    return data


def from_json(data):
    def members(pairs):
        demand(len({name for name, _ in pairs}) == len(pairs), "a key twice")
        return dict(pairs)

    def integer(text):
        demand(len(text) < 20 and abs(int(text)) <= LARGEST, "integer too large")
        return int(text)

    def fraction(text):
        demand(abs(float(text)) != float("inf"), "number too large")
        return float(text)

    def constant(text):
        raise Refused(text)

    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=members,
            parse_int=integer,
            parse_float=fraction,
            parse_constant=constant,
        )
    except ValueError as error:
        raise Refused("JSON") from error
    for text in texts(value):
        demand(not any("\ud800" <= c <= "\udfff" for c in text), "half a surrogate pair")
    return value


def texts(value):
    if isinstance(value, str):
        yield value
    for item in value if isinstance(value, list) else ():
        yield from texts(item)
    for name, item in value.items() if isinstance(value, dict) else ():
        yield name
        yield from texts(item)


def depth(value):
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def canonical(value):
    """RFC 8785 for what occurs in statements: no fractions, keys in ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


# --- RFC 9162, section 2.1, as defined there


def mth(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else sha(b"")
    k = split(len(leaves))
    return sha(b"\1" + mth(leaves[:k]) + mth(leaves[k:]))


def path(m, leaves):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def proof(m, leaves):
    return subproof(m, leaves, whole=True)


def subproof(m, leaves, *, whole):
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole=whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], whole=False), mth(leaves[:k])]


def split(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


# --- the page, section by section


def read_disclosure(encoded):
    demand(len(encoded) <= 65_536, "too long")
    value = from_json(from_base64(encoded, url=True))
    demand(isinstance(value, list) and len(value) == 3, "not salt, name, value")
    demand(depth(value) <= 16, "too deep")
    salt, name, shown = value
    demand(isinstance(salt, str) and isinstance(name, str), "salt or name is not a string")
    demand(len(from_base64(salt, url=True)) == 32, "salt is not 32 bytes")
    return from_base64(salt, url=True), name, shown


def digest_of(encoded):
    demand(encoded.isascii(), "not ASCII")
    return sha(encoded.encode())


def read_record(record, n):
    demand(len(record) == 54 + 32 * n, "length")
    demand(record[:22] == b"counterfoil/record/v1\n", "prefix")
    return record[22:54], [record[at : at + 32] for at in range(54, len(record), 32)]


def open_disclosures(record, fields, disclosures):
    _, digests = read_record(record, len(fields))
    shown = {}
    for encoded in disclosures:
        demand(digest_of(encoded) in digests, "not committed to")
        at = digests.index(digest_of(encoded))
        _, name, value = read_disclosure(encoded)
        demand(name == fields[at], "another field")
        demand(name not in shown, "twice")
        shown[name] = value
    return shown


def read_statement(payload, kind, names):
    data = payload.encode()
    value = from_json(data)
    demand(canonical(value) == data, "not canonical")
    demand(set(value) == {"_type", "predicate", "predicateType", "subject"}, "members")
    demand(value["_type"] == "https://in-toto.io/Statement/v1", "type")
    demand(value["predicateType"] == f"urn:counterfoil:predicate:{kind}:v1", "predicate type")
    (subject,) = value["subject"]
    demand(set(subject) == {"digest", "name"} and len(subject["digest"]) == 1, "subject")
    body = value["predicate"]
    demand(set(body) == set(names.split()), "members of the predicate")
    return subject["name"], subject["digest"], body


def number(value, least=0):
    demand(type(value) is int and least <= value <= LARGEST, "not a whole number in range")
    return value


def hash_from_hex(text):
    demand(isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text), "not a hash in hex")
    return bytes.fromhex(text)


def read_stream(payload):
    names = "log system nonce fields cadence_s max_delay_s pad_to ticket_keys replaces"
    name, digest, body = read_statement(payload, "stream", names)
    demand(name == body["system"], "subject")
    demand(digest == {"sha256": sha(name.encode()).hex()}, "subject digest")
    hash_from_hex(body["nonce"])
    fields = body["fields"]
    demand(1 <= len(fields) <= 256 and len(set(fields)) == len(fields), "fields")
    number(body["max_delay_s"])
    number(body["pad_to"], 1)
    demand(body["pad_to"] == 1 or "kind" in fields, "pads need kind")
    if body["cadence_s"] is not None:
        number(body["cadence_s"], 1)
    if body["replaces"] is not None:
        demand(set(body["replaces"]) == {"stream", "size", "root"}, "replaces")
    return {**body, "id": sha(payload.encode())}


def read_batch(payload):
    names = "log size_before root_before size consistency closed"
    name, digest, body = read_statement(payload, "batch", names)
    demand(set(digest) == {"rfc9162_sha256"}, "subject digest")
    return {
        "stream": hash_from_hex(name),
        "root": hash_from_hex(digest["rfc9162_sha256"]),
        "root_before": hash_from_hex(body["root_before"]),
        "size": number(body["size"]),
        "size_before": number(body["size_before"]),
        "closed": number(body["closed"]),
        "log": body["log"],
        "consistency": [from_base64(text, url=False) for text in body["consistency"]],
    }


def follow(before, batch, stream, leaves):
    """Check a step of the chain; the leaves are known here, so proofs are made and compared."""
    demand(batch["stream"] == stream["id"] and batch["log"] == stream["log"], "stream, log")
    size, root = (before["size"], before["root"]) if before else (0, sha(b""))
    demand((batch["size_before"], batch["root_before"]) == (size, root), "starts elsewhere")
    demand(batch["size"] % stream["pad_to"] == 0, "not padded")
    if before:
        demand(batch["closed"] > before["closed"], "not later")
    if cadence := stream["cadence_s"]:
        demand(batch["closed"] % cadence == 0, "not on time")
        demand(not before or batch["closed"] == before["closed"] + cadence, "a period left out")
    demand(size <= batch["size"] <= len(leaves), "shrunk")
    demand(batch["root"] == mth(leaves[: batch["size"]]), "another root")
    expected = proof(size, leaves[: batch["size"]]) if size else []
    demand(batch["consistency"] == expected, "proof")


def verify(envelope, vkeys):
    """Check a DSSE envelope; every signature by a known key must hold, and there must be one."""
    value = from_json(envelope.encode())
    demand(canonical(value) == envelope.encode(), "not canonical")
    demand(set(value) == {"payload", "payloadType", "signatures"}, "members")
    payload = from_base64(value["payload"], url=False)
    kind = value["payloadType"].encode()
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    parts = [vkey.split("+", 2) for vkey in vkeys]  # base64 may hold a + too
    known = {f"{name}+{key_id}": encoded for name, key_id, encoded in parts}
    found = 0
    for one in value["signatures"]:
        demand(set(one) == {"keyid", "sig"}, "members of a signature")
        if one["keyid"] in known:
            material = from_base64(known[one["keyid"]], url=False)
            name, key_id = one["keyid"].split("+")
            demand(sha(name.encode() + b"\n" + material)[:4].hex() == key_id, "key ID")
            demand(material[0] == 1, "not Ed25519")
            try:
                key = Ed25519PublicKey.from_public_bytes(material[1:])
                key.verify(from_base64(one["sig"], url=False), message)
            except InvalidSignature as error:
                raise Refused("false signature") from error
            found += 1
    demand(found, "nobody known signed")
    demand(value["payloadType"] == "application/vnd.in-toto+json", "signed as something else")
    return payload.decode()


def equivocates(a, b):
    if a["stream"] != b["stream"]:
        return False
    states = [[(x["size_before"], x["root_before"]), (x["size"], x["root"])] for x in (a, b)]
    if any(m == n and r != s for m, r in states[0] for n, s in states[1]):
        return True
    same_step = (a["size_before"], a["closed"]) == (b["size_before"], b["closed"])
    return same_step and (a["size"], a["root"]) != (b["size"], b["root"])


def open_receipt(case, stream, batch, leaves):
    record = bytes.fromhex(case["record"])
    demand(record[22:54] == stream["id"], "another stream")
    read_record(record, len(stream["fields"]))
    demand((case["size"], bytes.fromhex(case["root"])) == (batch["size"], batch["root"]), "state")
    demand(0 <= case["index"] < batch["size"], "index")
    check_leaf(sha(b"\0" + record), case["index"], case["path"], batch, leaves)


def check_leaf(leaf, index, hashes, batch, leaves):
    """The leaves are known here: a path that holds is the one that the RFC defines."""
    tree = leaves[: batch["size"]]
    demand([bytes.fromhex(one) for one in hashes] == path(index, tree), "path")
    demand(leaf == tree[index], "another leaf")


def open_ticket(envelope, stream):
    name, digest, body = read_statement(
        verify(envelope, stream["ticket_keys"]), "ticket", "index leaf due"
    )
    demand(hash_from_hex(name) == stream["id"] and digest == {"sha256": name}, "another stream")
    return {
        "index": number(body["index"]),
        "leaf": hash_from_hex(body["leaf"]),
        "due": number(body["due"]),
    }


# --- the vectors

STREAM = read_stream(VECTORS["streams"][0]["payload"])
LEAVES = [bytes.fromhex(one["leaf"]) for one in VECTORS["records"]]
WRITER = VECTORS["keys"]["writer"]["vkey"]
CHAIN = [read_batch(verify(one, [WRITER])) for one in VECTORS["batches"]["chain"]]


def cases(*names):
    """Make a test case of each vector, named by its comment."""
    found = VECTORS
    for name in names:
        found = found[name]
    return pytest.mark.parametrize("case", found, ids=lambda case: case.get("comment", "case"))


@pytest.mark.parametrize("name", ["writer", "ticket"])
def test_keys(name):
    """The private keys in the file belong to its verifier keys, so anyone can sign alike."""
    key = VECTORS["keys"][name]
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["private"]))
    material = b"\1" + private.public_key().public_bytes_raw()
    assert key["vkey"].endswith("+" + base64.b64encode(material).decode())


@cases("streams")
def test_stream(case):
    """A stream's id is the hash of its statement's payload."""
    assert read_stream(case["payload"])["id"].hex() == case["id"]


@cases("disclosures", "good")
def test_good_disclosure(case):
    """A disclosure gives its salt, name and value, and hashes to its digest."""
    salt, name, value = read_disclosure(case["encoded"])
    assert (salt.hex(), name, value) == (case["salt"], case["name"], case["value"])
    assert digest_of(case["encoded"]).hex() == case["digest"]


@cases("disclosures", "bad")
def test_bad_disclosure(case):
    """What two readers could understand differently is no disclosure."""
    with pytest.raises(Refused):
        read_disclosure(case["encoded"])


@pytest.mark.parametrize("at", range(len(LEAVES)))
def test_record(at):
    """A record is prefix, stream and digests; its leaf is its handle."""
    case = VECTORS["records"][at]
    record = b"counterfoil/record/v1\n" + STREAM["id"]
    record += b"".join(map(digest_of, case["disclosures"]))
    assert record.hex() == case["record"]
    assert sha(b"\0" + record).hex() == case["leaf"]
    assert list(open_disclosures(record, STREAM["fields"], case["disclosures"])) == STREAM["fields"]


def test_pads():
    """A pad has kind "pad", and null for the rest."""
    for case in VECTORS["records"][5:]:
        values = [read_disclosure(encoded)[2] for encoded in case["disclosures"]]
        assert values == ["pad", None, None]


@cases("shown", "good")
def test_shown(case):
    """Any part of a record can be shown, in any order."""
    record = bytes.fromhex(case["record"])
    assert open_disclosures(record, STREAM["fields"], case["disclosures"]) == case["shows"]


@cases("shown", "bad")
def test_not_shown(case):
    """What a record does not commit to, or not there, is not shown by it."""
    with pytest.raises(Refused):
        open_disclosures(bytes.fromhex(case["record"]), STREAM["fields"], case["disclosures"])


def test_chain():
    """Each batch follows from the one before."""
    before = None
    for batch in CHAIN:
        follow(before, batch, STREAM, LEAVES)
        before = batch


@cases("batches", "bad")
def test_bad_step(case):
    """A stream cannot take a step that its statement or its tree forbids."""
    before = None if case["after"] < 0 else CHAIN[case["after"]]
    batch = read_batch(case["payload"])
    with pytest.raises(Refused):
        follow(before, batch, STREAM, LEAVES)


@cases("batches", "malformed")
def test_malformed_batch(case):
    """A batch has one form."""
    with pytest.raises(Refused):
        read_batch(case["payload"])


@cases("equivocations")
def test_equivocation(case):
    """Two signed batches prove their signer a liar exactly where the page says so."""
    a, b = (read_batch(verify(case[side], [WRITER])) for side in "ab")
    assert equivocates(a, b) == equivocates(b, a) == case["proves"]


@cases("receipts", "good")
def test_good_receipt(case):
    """A record's path leads to its batch's root."""
    open_receipt(case, STREAM, CHAIN[case["batch"]], LEAVES)


@cases("receipts", "bad")
def test_bad_receipt(case):
    """A changed receipt does not hold."""
    with pytest.raises(Refused):
        open_receipt(case, STREAM, CHAIN[case["batch"]], LEAVES)


@cases("tickets", "bad")
def test_bad_ticket(case):
    """A ticket counts only under a ticket key of its stream."""
    with pytest.raises(Refused):
        open_ticket(case["envelope"], STREAM)


@cases("tickets", "leaf")
def test_ticket_leaf(case):
    """Another leaf at the ticket's index is breach, if a path shows it."""
    ticket = open_ticket(case["ticket"], STREAM)
    leaf = bytes.fromhex(case["leaf"])
    try:
        check_leaf(leaf, ticket["index"], case["path"], CHAIN[case["batch"]], LEAVES)
        verdict = "kept" if leaf == ticket["leaf"] else "breach"
    except Refused:
        verdict = "nothing proven"
    assert verdict == case["verdict"]


@cases("tickets", "time")
def test_ticket_time(case):
    """A ticket is broken when its time is up and no batch in the log reached its index."""
    ticket = open_ticket(VECTORS["tickets"]["good"], STREAM)
    deadline = ticket["due"] + STREAM["max_delay_s"]
    reached = [
        one
        for one in case["logged"]
        if one["time"] <= deadline and CHAIN[one["batch"]]["size"] > ticket["index"]
    ]
    verdict = "kept" if reached else "open" if case["as_of"] <= deadline else "breach"
    assert verdict == case["verdict"]
