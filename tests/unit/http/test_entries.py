"""Writing to a server process: who may, what comes back, and that nothing is in twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from counterfoil.core.receipt import check_receipt, parse_receipt
from counterfoil.http.entries import MAX_BODY_BYTES
from counterfoil.ledger.blobs import MAX_INLINE_BYTES


def size_of(served):
    return int(served.ask("GET", "/checkpoint", by="auditor").body.split(b"\n")[1])


def checked(served, entry, said):
    """The index of an entry, after its receipt was checked under the log's key."""
    with served.open() as ledger:
        key = ledger.key
    receipt = parse_receipt(said["receipt"].encode())
    check_receipt(entry, receipt, key)
    assert receipt.index == said["index"]
    assert said["digest"] == hashlib.sha256(entry).hexdigest()
    return receipt.index


def test_an_envelope_is_answered_with_a_receipt_that_holds(shared):
    """Published when the answer is there, and shown by a receipt under the log's key."""
    before = size_of(shared)
    envelope = shared.envelope("one")
    reply = shared.post(envelope)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    (said,) = reply.json["entries"]
    assert checked(shared, envelope, said) == before
    assert size_of(shared) == before + 1


def test_many_are_answered_in_the_order_given(shared):
    """Lines of one request, also where one of them stands there twice."""
    envelopes = [shared.envelope(f"many {number}") for number in range(20)]
    envelopes.insert(7, envelopes[3])
    reply = shared.post(*envelopes)
    indices = [
        checked(shared, envelope, said)
        for envelope, said in zip(envelopes, reply.json["entries"], strict=True)
    ]
    assert indices[7] == indices[3]
    del indices[7]
    assert indices == list(range(indices[0], indices[0] + 20))


def test_the_same_again_is_the_same_entry(shared):
    """Alone, among others, and signed as a request by somebody else."""
    envelope = shared.envelope("again")
    (first,) = shared.post(envelope).json["entries"]
    size = size_of(shared)
    for by in ("risk", "auditor"):
        (second,) = shared.post(envelope, by=by).json["entries"]
        assert checked(shared, envelope, second) == first["index"]
    assert size_of(shared) == size
    new = shared.envelope("new beside it")
    found = [said["index"] for said in shared.post(new, envelope).json["entries"]]
    assert found == [size, first["index"]]


def test_a_herd_of_one_envelope_is_one_entry(shared):
    """64 threads send it at the same time; all get the receipt of the one entry."""
    before = size_of(shared)
    envelope = shared.envelope("herd")
    together = threading.Barrier(64)

    def send(_):
        together.wait()
        return shared.post(envelope)

    with ThreadPoolExecutor(64) as pool:
        replies = list(pool.map(send, range(64)))
    assert {reply.status for reply in replies} == {200}
    (index,) = {reply.json["entries"][0]["index"] for reply in replies}
    assert index == before
    assert size_of(shared) == before + 1
    checked(shared, envelope, replies[0].json["entries"][0])


def test_requests_that_mix_old_new_and_each_others_entries(shared):
    """Whatever overlaps, whoever is first: each envelope is in once, each receipt holds."""
    before = size_of(shared)
    envelopes = [shared.envelope(f"mixed {number}") for number in range(40)]
    wanted = [random.Random(n).sample(range(40), 7) for n in range(24)]  # noqa: S311 no secret

    def send(picked):
        return shared.post(*[envelopes[number] for number in picked])

    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(send, wanted))
    places = {}
    for picked, reply in zip(wanted, replies, strict=True):
        assert reply.status == 200, reply.body
        for number, said in zip(picked, reply.json["entries"], strict=True):
            assert places.setdefault(number, said["index"]) == said["index"]
    assert sorted(places.values()) == list(range(before, before + len(places)))
    assert size_of(shared) == before + len(places)


def test_a_large_envelope_lies_beside_the_log(shared):
    """The entry names its digest; the same one sent again is the same, and readers get it."""
    subject = "x" * 36_000
    envelope = shared.envelope("large", by="operator", name=f"credit {subject}")
    assert len(envelope) > MAX_INLINE_BYTES
    (said,) = shared.post(envelope).json["entries"]
    digest = hashlib.sha256(envelope).hexdigest()
    entry = json.dumps(
        {"counterfoil": "blob/v1", "sha256": digest, "size": len(envelope)}, separators=(",", ":")
    ).encode()
    index = checked(shared, entry, said)
    assert shared.post(envelope).json["entries"][0]["index"] == index
    reply = shared.ask("GET", f"/blobs/{digest}", by="auditor")
    assert reply.body == envelope
    assert "immutable" in reply.headers["cache-control"]
    assert shared.ask("GET", f"/blobs/{'0' * 64}", by="auditor").status == 404
    assert shared.ask("GET", f"/blobs/{digest.upper()}", by="auditor").status == 404


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"by": "stranger"}, "no trusted key signed"),
        ({"by": "auditor"}, "may not say this"),
        ({"predicate": "evaluation"}, "may not say this"),
        ({"name": "fraud"}, "may not say this"),
        ({"by": "data"}, "may not say this"),
    ],
)
def test_what_the_policy_does_not_let_be_said_is_refused(shared, said, reason):
    """By another issuer, of another kind or about another subject; the request may be signed."""
    before = size_of(shared)
    reply = shared.post(shared.envelope("refused", **said), by="operator")
    assert reply.status == 403
    assert reply.headers["content-type"] == "application/problem+json"
    assert reason in " ".join(reply.json["reasons"])
    assert reply.json["hint"]
    assert size_of(shared) == before


def test_of_many_all_are_let_in_or_none_and_each_reason_is_said(shared):
    """One refused envelope refuses the request; all that are refused are named by their place."""
    before = size_of(shared)
    reply = shared.post(
        shared.envelope("good"),
        shared.envelope("bad", by="stranger"),
        shared.envelope("good too"),
        shared.envelope("bad too", name="fraud"),
    )
    assert reply.status == 403
    assert [text.split(":")[0] for text in reply.json["reasons"]] == ["envelope 2", "envelope 4"]
    reply = shared.post(shared.envelope("good"), b"{}", shared.envelope("bad", by="stranger"))
    assert reply.status == 400
    assert len(reply.json["reasons"]) == 2
    assert size_of(shared) == before


def test_a_false_signature_on_an_envelope_is_refused(shared):
    """Not one byte of what was signed can be another."""
    envelope = json.loads(shared.envelope("false"))
    signature = envelope["signatures"][0]["sig"]
    envelope["signatures"][0]["sig"] = ("B" if signature[0] == "A" else "A") + signature[1:]
    data = json.dumps(envelope, separators=(",", ":")).encode()
    reply = shared.post(data)
    assert reply.status == 403
    assert "is false" in reply.json["reasons"][0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{" * 10_000,
        b"[" * 60_000,
        b'{"payload":"","payloadType":"","signatures":[]}',
        b'{"payload":"AA==","payloadType":"text/plain","signatures":[{"keyid":"a","sig":""}]}',
        b"{}\n{}",
        b'{"a":1,"a":2}',
        b"x" * 70_000,
    ],
)
def test_what_is_no_envelope_is_named(shared, body):
    """Malformed, duplicated, nested without end or merely too long: one problem each."""
    reply = shared.post(body)
    assert reply.status == 400
    assert reply.json["reasons"]
    many = {"Content-Type": "application/x-ndjson"}
    reply = shared.ask("POST", "/entries", body + b"\n\n", headers=many, by="risk")
    assert reply.status == 400


def test_another_spelling_of_an_envelope_is_none(shared):
    """An entry has one form, or two readers could see two of them."""
    data = shared.envelope("spelt")
    for body in (data + b"\n", b" " + data, data.replace(b'","', b'", "')):
        headers = {"Content-Type": "application/json"}
        assert shared.ask("POST", "/entries", body, headers=headers, by="risk").status == 400


def test_only_envelopes_are_taken_in(shared):
    """A reference to a blob is no statement that anybody signed."""
    reference = b'{"counterfoil":"blob/v1","sha256":"' + b"0" * 64 + b'","size":50000}'
    assert shared.post(reference).status == 400


def test_kinds_of_body(shared):
    """What a body is, is said; compressed ones are not taken."""
    envelope = shared.envelope("kind")
    for headers in (
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ):
        assert shared.ask("POST", "/entries", envelope, headers=headers, by="risk").status == 415
    kind = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert shared.ask("POST", "/entries", envelope, headers=kind, by="risk").status == 200


def test_no_more_than_is_allowed_in_one_request(shared):
    """Too many lines, or too many bytes, said as soon as that is seen."""
    many = {"Content-Type": "application/x-ndjson"}
    reply = shared.ask("POST", "/entries", b"{}\n" * 1001, headers=many, by="risk")
    assert reply.status == 413
    with begun(shared, f"Content-Length: {1 << 40}") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = 0
    with begun(shared, "Transfer-Encoding: chunked") as connection:
        with contextlib.suppress(OSError):  # it hangs up on those who go on
            while sent < 64 << 20:
                connection.sendall(piece)
                sent += len(piece)
        with contextlib.suppress(OSError):
            assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert MAX_BODY_BYTES < sent < 32 << 20


def begun(served, length):
    """A connection on which the head of a request for appending was sent."""
    headers = {"Content-Type": "application/x-ndjson", "Host": f"127.0.0.1:{served.port}"}
    headers = served.signed("POST", "/entries", b"x", headers=headers)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=30)
    connection.sendall(f"POST /entries HTTP/1.1\r\n{head}{length}\r\n\r\n".encode())
    return connection


def test_methods_and_paths_that_there_are_not(shared):
    """Another method is 405 and says which there are; another path is 404."""
    reply = shared.ask("GET", "/entries", by="risk")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert shared.ask("DELETE", "/checkpoint", by="risk").status == 405
    for path in ("/", "/entries/", "/nothing", "/tile", "/../etc/passwd", "/entries%00"):
        assert shared.ask("POST", path, b"x", by="risk").status in {404, 405}
