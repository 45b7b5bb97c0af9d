from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from eth_keys.datatypes import PrivateKey
from jsonschema import Draft202012Validator

from counterfoil.chain.genesis import (
    Network,
    NetworkMember,
    format_genesis,
    format_member,
    parse_member,
    parse_place,
)
from counterfoil.chain.qbft import QbftValidators, parse_extra
from counterfoil.errors import FormatError

SCHEMA = json.loads((Path(__file__).parent / "besu-genesis.schema.json").read_bytes())
KEYS = [PrivateKey(bytes([n]) * 32) for n in range(1, 8)]
MEMBERS = tuple(
    NetworkMember(name, key.public_key.to_bytes(), f"10.0.0.{at + 1}", 30303)
    for at, (name, key) in enumerate(zip(("ada", "bob", "cid", "dan"), KEYS, strict=False))
)
FUNDED = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@pytest.fixture
def network():
    return Network(MEMBERS)


@pytest.mark.parametrize("funded", [(), (FUNDED,)])
def test_genesis_fits_what_besu_documents(funded):
    """Every member of genesis.json is one that Besu knows, in the form that it reads."""
    Draft202012Validator.check_schema(SCHEMA)
    genesis = json.loads(format_genesis(Network(MEMBERS, funded=funded)))
    Draft202012Validator(SCHEMA).validate(genesis)


def test_the_first_block_names_the_validators(network):
    """The extra data are read back as the members' addresses, ascending, and nothing else."""
    genesis = json.loads(format_genesis(network))
    extra = parse_extra(bytes.fromhex(genesis["extraData"][2:]))
    assert set(extra.validators) == {key.public_key.to_canonical_address() for key in KEYS[:4]}
    assert list(extra.validators) == sorted(extra.validators)
    assert (extra.seals, extra.vote, extra.round, extra.vanity) == ((), None, 0, bytes(32))
    assert QbftValidators(frozenset(extra.validators)).quorum == 3


def test_every_member_makes_the_same_file(network):
    """The order in which a member lists the others changes nothing in genesis.json."""
    assert format_genesis(Network(MEMBERS[::-1])) == format_genesis(network)


def test_two_networks_have_two_chain_ids(network):
    """Without being told, networks of other members have other ids: no replay between them."""
    other = Network(
        (*MEMBERS[:3], NetworkMember("dan", KEYS[5].public_key.to_bytes(), "10.0.0.4", 1))
    )
    assert network.id != other.id
    assert 2**30 <= network.id < 2**31
    assert json.loads(format_genesis(Network(MEMBERS, 20_26)))["config"]["chainId"] == 2026


def test_gas_is_free_or_costs(network):
    """Without funded accounts the base fee is zero for ever; with some it is the usual one."""
    free = json.loads(format_genesis(network))
    assert (free["config"]["zeroBaseFee"], free["baseFeePerGas"], free["alloc"]) == (
        True,
        "0x0",
        {},
    )
    costly = json.loads(format_genesis(Network(MEMBERS, funded=(FUNDED,))))
    assert costly["alloc"] == {FUNDED[2:].lower(): {"balance": hex(10**24)}}
    assert "zeroBaseFee" not in costly["config"]
    assert "baseFeePerGas" not in costly


def test_a_member_is_known_by_its_public_key():
    """Address and enode follow from the key: those that every Ethereum program computes."""
    member = MEMBERS[0]
    assert member.address == KEYS[0].public_key.to_canonical_address()
    assert member.enode == f"enode://{KEYS[0].public_key.to_bytes().hex()}@10.0.0.1:30303"
    assert parse_member(format_member(member)) == member
    six = replace(member, host="fd00::1")
    assert six.enode.endswith("@[fd00::1]:30303")
    assert parse_member(format_member(six)) == six


KEY = "ab" * 64


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        f"enode://{KEY}@10.0.0.1:1",
        f"ada=enode://{KEY}@host.example:1",
        f"ada=enode://{KEY}@10.0.0.1",
        f"ada=enode://{KEY}@10.0.0.1:0",
        f"ada=enode://{KEY}@10.0.0.1:65536",
        f"ada=enode://{KEY}@10.0.0.1:030303",
        f"ada=enode://{KEY}@10.0.0.01:1",
        f"ada=enode://{KEY}@10.0.0.256:1",
        f"ada=enode://{KEY}@fd00::1:1",
        f"ada=enode://{KEY}@[fd00:0::1]:1",
        f"ada=enode://{KEY}@10.0.0.1:1?discport=0",
        f"ada=enode://{KEY.upper()}@10.0.0.1:1",
        f"ada=enode://{KEY[2:]}@10.0.0.1:1",
        f"Ada=enode://{KEY}@10.0.0.1:1",
        f"../ada=enode://{KEY}@10.0.0.1:1",
        f"=enode://{KEY}@10.0.0.1:1",
        f"{'a' * 33}=enode://{KEY}@10.0.0.1:1",
        f"ada=enode://{KEY}@10.0.0.1:1\n",
    ],
)
def test_a_member_is_written_in_one_form(text):
    """What is not name, key and IP address with a port is refused; names leave no folder."""
    with pytest.raises(FormatError):
        parse_member(text)


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.1:", ":1", "a:1", "10.0.0.1:1:1", "1" * 9999])
def test_a_place_is_an_address_and_a_port(text):
    """A place without a port, or with a name, is refused."""
    with pytest.raises(FormatError):
        parse_place(text)


@pytest.mark.parametrize(
    "members",
    [
        (),
        MEMBERS[:3],
        (*MEMBERS[:3], replace(MEMBERS[0], host="10.0.0.9", name="eve")),
        (*MEMBERS[:3], replace(MEMBERS[3], name="ada")),
        (*MEMBERS[:3], replace(MEMBERS[3], host="10.0.0.1")),
        tuple(
            NetworkMember(f"m{n}", n.to_bytes(64, "big"), f"10.0.1.{n}", 30303) for n in range(129)
        ),
    ],
    ids=["none", "three", "one key", "one name", "one place", "too many"],
)
def test_members_are_four_or_more_and_differ(members):
    """A network that one failure stops, or that has a member twice, is not made."""
    with pytest.raises(FormatError):
        Network(members)


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": 0},
        {"chain_id": 2**53},
        {"block_period_s": 0},
        {"block_period_s": 3601},
        {"funded": ("0x00",)},
        {"funded": (FUNDED.replace("F", "f", 1).replace("d", "D", 1),)},
    ],
    ids=str,
)
def test_a_network_has_values_that_work(change):
    """An id of 0, a period of 0 or an address with a letter wrong are refused before anything."""
    with pytest.raises(FormatError):
        Network(MEMBERS, **change)
