"""Several servers of one log: whichever of them an envelope is sent to, it is in once."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from counterfoil.core.receipt import check_receipt, parse_receipt
from counterfoil.ledger.audit import audit
from counterfoil.ledger.rotation import rotate_key

from .conftest import SOON_S, make_place, start

CLIENTS = 8
ROUNDS = 12


@pytest.fixture
def two(tmp_path, postgres):
    """Two servers of a log on PostgreSQL."""
    schema = "many_servers"
    place = make_place(tmp_path, f"{postgres.url}?tiles=file://{tmp_path}/tiles&schema={schema}")
    started = []
    try:
        started += (start(place, "--rate", "100000") for _ in range(2))
        yield started
    finally:
        for one in started:
            one.kill()
            one.process.stdout.close()
        postgres.run(f"DROP SCHEMA {schema} CASCADE")


def test_the_same_envelopes_sent_to_two_servers_at_once_are_in_once(two):
    """Many clients, some with one envelope and some with several: one place for each envelope."""
    envelopes = [two[0].envelope(number) for number in range(ROUNDS * 3)]

    def send(client):
        served = two[client % 2]
        told = []
        for begin in range(0, len(envelopes), 3):
            some = envelopes[begin : begin + 3]
            if client % 4 > 1:
                some = some[::-1]
            calls = [some] if client % 3 else [[one] for one in some]
            for call in calls:
                reply = served.post(*call)
                assert reply.status == 200, reply.body
                told += zip(call, reply.json["entries"], strict=True)
        return told

    with ThreadPoolExecutor(CLIENTS) as pool:
        told = [one for each in pool.map(send, range(CLIENTS)) for one in each]
    assert len(told) == CLIENTS * len(envelopes)
    with two[0].open() as ledger:
        size = ledger.size
        logged = list(ledger.entries(size - len(envelopes), size))
        assert sorted(logged) == sorted(envelopes)
        for envelope, said in told:
            assert ledger.entry(said["index"]) == envelope
            check_receipt(envelope, parse_receipt(said["receipt"].encode()), ledger.key)
        audit(ledger)
    places = {(envelope, said["index"]) for envelope, said in told}
    assert len(places) == len(envelopes), json.dumps(sorted(index for _, index in places))


def test_what_one_server_took_another_one_finds(two):
    """By the index that they share: each hit with its receipt, none twice and none missing."""
    envelopes = [two[0].envelope(number) for number in range(30)]
    for envelope in envelopes:
        two[0].post(envelope)
    found = two[1].ask("GET", "/find?subject=credit&predicate=approval&last=100", by="risk").json
    assert [one["entry"].encode() for one in found["found"]] == envelopes
    with two[0].open() as ledger:
        for one in found["found"]:
            receipt = parse_receipt(one["receipt"].encode())
            check_receipt(one["entry"].encode(), receipt, ledger.key)


def test_servers_go_on_under_a_new_key_and_are_ended_with_their_log(two, tmp_path):
    """Neither is started again for a rotation; of a log that has ended, both say where it goes."""
    told = []

    def send(served, number):
        envelope = served.envelope(number)
        reply = served.post(envelope)
        assert reply.status == 200, reply.body
        told.append((envelope, reply.json["entries"][0]))

    for number, served in enumerate(two):
        send(served, number)
    with two[0].open() as ledger:
        rotate_key(ledger)
        keys = ledger.keys
    for number, served in enumerate(two, len(two)):
        send(served, number)
    for envelope, said in told:
        receipt = parse_receipt(said["receipt"].encode())
        checkpoint = check_receipt(envelope, receipt, keys)
        assert (checkpoint.size > keys.earlier[0].until_size) == (
            receipt.index > told[1][1]["index"]
        )
    with two[0].open() as ledger, ledger.shard(tmp_path / "next") as following:
        origin = following.origin
    for served in two:
        reply = served.post(served.envelope("too late"))
        assert reply.status == 409, reply.body
        assert f"goes on as {origin}" in reply.json["detail"]
        reply = served.post(told[0][0])
        assert reply.json["entries"][0]["index"] == told[0][1]["index"], "it is in already"
        until = time.monotonic() + SOON_S
        while (ready := served.ask("GET", "/readyz")).status == 200:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert ready.json["writer"] == "moved"
