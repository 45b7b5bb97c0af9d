"""Two organisations witness each other after one file each way."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import counterfoil
from counterfoil.core.canonical import format_json
from counterfoil.core.keys import Algorithm, format_vkey
from counterfoil.errors import ConflictError, CounterfoilError, FormatError, SignatureError
from counterfoil.ledger.keyfiles import generate_key
from counterfoil.ledger.ownwitness import OwnWitness
from counterfoil.ledger.swap import make_offer, parse_offer, take_offer

URL = "https://witness.south.example"


@pytest.fixture
def south(tmp_path):
    with counterfoil.init(tmp_path / "south", organisation="South") as ledger:
        yield ledger


@pytest.fixture
def north(tmp_path):
    with counterfoil.init(tmp_path / "north", organisation="North") as ledger:
        yield ledger


@pytest.fixture
def offered(south):
    return make_offer(south, OwnWitness.make("south.example/w", post_quantum=True), "South", URL)


def test_what_is_taken_is_what_was_offered(north, south, offered):
    """Our witness knows their log then, and theirs is listed as they wrote it, with both keys."""
    own = OwnWitness.make("north.example/w")
    theirs = take_offer(parse_offer(offered), own, north.key)
    assert own.known() == (south.key,)
    assert (theirs.name, theirs.operator, theirs.url) == ("south.example/w", "South", URL)
    assert theirs.post_quantum is not None
    again = take_offer(parse_offer(offered), own, north.key)
    assert again == theirs


def test_an_offer_changed_anywhere_is_refused(offered):
    """No byte of it is anybody's but its makers'."""
    for at in range(0, len(offered), 7):
        for bit in (1, 32):
            changed = offered[:at] + bytes([offered[at] ^ bit]) + offered[at + 1 :]
            with pytest.raises(CounterfoilError):
                parse_offer(changed)
    for other in (b"", b"[]", b"{}", offered[:-1], offered + b"\n", b" " + offered, b"x" * 40_000):
        with pytest.raises(FormatError):
            parse_offer(other)


def test_parts_of_two_offers_do_not_make_one(north, offered):
    """A log, a witness or an address that its keys have not signed together is no offer."""
    other = json.loads(make_offer(north, OwnWitness.make("north.example/w"), "North", URL))
    whole = json.loads(offered)
    for changed in (
        {**whole, "log": other["log"]},
        {**whole, "witness": {**whole["witness"], "url": "https://elsewhere.example"}},
        {**whole, "witness": other["witness"], "signatures": other["signatures"]},
        {**whole, "signatures": whole["signatures"][:-1]},
        {**whole, "signatures": list(reversed(whole["signatures"]))},
    ):
        with pytest.raises(SignatureError):
            parse_offer(format_json(changed))
    with pytest.raises(FormatError, match="unknown key"):
        parse_offer(format_json({**whole, "more": 1}))


def test_an_offer_of_our_own_is_not_taken(north, south, offered):
    """Whoever takes the wrong file witnesses nobody by it."""
    with pytest.raises(FormatError, match="our own"):
        take_offer(parse_offer(offered), OwnWitness.open("south.example/w"), north.key)
    own = OwnWitness.make("north.example/w")
    with pytest.raises(FormatError, match="our own"):
        take_offer(parse_offer(offered), own, south.key)
    assert own.known() == ()


def test_a_log_that_is_known_keeps_its_key(south, offered):
    """Another key under its name would make what is remembered worthless."""
    own = OwnWitness.make("north.example/w")
    own.know(generate_key(south.origin, Algorithm.ED25519).key)
    stranger = generate_key("other.example/log", Algorithm.ED25519).key
    with pytest.raises(ConflictError, match="by another key"):
        take_offer(parse_offer(offered), own, stranger)


def test_an_offer_has_an_address_and_keys_of_its_own(south):
    """A witness that cannot be asked, or is the log itself, is none."""
    own = OwnWitness.make("w")
    with pytest.raises(FormatError, match="asked"):
        make_offer(south, own, "South", "")
    with pytest.raises(FormatError, match="address"):
        make_offer(south, own, "South", "https://A/")


def test_a_witness_is_found_by_name_or_because_it_is_the_only_one():
    """Among several one has to be named; made again, it is the same one."""
    with pytest.raises(FormatError, match="which witness"):
        OwnWitness.open()
    first = OwnWitness.make("a.example/w")
    assert OwnWitness.open().name == "a.example/w"
    assert OwnWitness.make("a.example/w").signers[0].key == first.signers[0].key
    OwnWitness.make("b.example/w")
    with pytest.raises(FormatError, match="which witness"):
        OwnWitness.open()
    with pytest.raises(FormatError, match="no witness 'c'"):
        OwnWitness.open("c")


def test_a_second_key_can_come_later():
    """The first one stays, and the policy is told of both."""
    first = OwnWitness.make("a.example/w").listed("A")
    both = OwnWitness.make("a.example/w", post_quantum=True).listed("A")
    assert replace(both, post_quantum=None) == first
    assert format_vkey(both.keys[1]).startswith("a.example/w+")
