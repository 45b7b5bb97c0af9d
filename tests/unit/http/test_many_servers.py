"""Several servers of one log: whichever of them an envelope is sent to, it is in once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from counterfoil.core.receipt import check_receipt, parse_receipt
from counterfoil.ledger.audit import audit

from .conftest import make_place, start

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
