from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from counterfoil.chain.anchorproof import (
    MAX_ANCHOR_PROOF_BYTES,
    AnchoredAt,
    PinnedBlocks,
    UnauthenticatedAnchor,
    anchor_proof_from_json,
    anchor_proof_to_json,
    format_anchor_proof,
    parse_anchor_proof,
)
from counterfoil.chain.header import MAX_HEADER_BYTES, parse_header
from counterfoil.chain.qbft import QbftValidators, block_hash
from counterfoil.chain.storageproof import MAX_NODE_BYTES, MAX_NODES
from counterfoil.errors import CounterfoilError, FormatError, PolicyError, ProofError

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs" / "reference" / "anchor-proof.schema.json").read_bytes())


@pytest.fixture
def validators(consortium):
    return QbftValidators(frozenset(consortium.validators))


@pytest.fixture
def pinned(header):
    return PinnedBlocks(frozenset({b"\x55" * 32, block_hash(header)}))


@pytest.mark.parametrize("authority", ["validators", "pinned"])
def test_an_authenticated_proof_tells_since_when(authority, consortium, proof, header, request):
    """With validators or a block hash that a policy names, the root was there by that block."""
    found = consortium.check(proof, authority=request.getfixturevalue(authority))
    assert found == AnchoredAt(consortium.time, consortium.number, block_hash(header))


def test_without_an_authority_nothing_is_shown(consortium, proof, header):
    """A proof whose header nobody vouches for is no anchor, however well it holds together."""
    found = consortium.check(proof)
    assert found == UnauthenticatedAnchor(consortium.time, consortium.number, block_hash(header))
    assert not isinstance(found, AnchoredAt)


def test_a_state_that_somebody_made_up_is_not_authenticated(consortium, validators, pinned):
    """Whoever makes a chain of their own, with the root in it, gets past no authority."""
    made_up = consortium.seal(consortium.header(stateRoot=consortium.state().root), ())
    proof = consortium.proof(consortium.state(), made_up)
    assert isinstance(consortium.check(proof), UnauthenticatedAnchor)
    for authority in (
        validators,
        PinnedBlocks(frozenset({b"\x55" * 32})),
        PinnedBlocks(frozenset()),
    ):
        with pytest.raises(PolicyError):
            consortium.check(proof, authority=authority)
    elsewhere = consortium.proof(consortium.state(), consortium.header(mixHash=bytes(32)))
    with pytest.raises(CounterfoilError):
        consortium.check(elsewhere, authority=pinned)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chain_id", 1338),
        ("contract", b"\xc1" * 20),
        ("log", b"\x11" * 32),
        ("size", 1_000_001),
        ("size", 1),
    ],
)
def test_a_proof_is_of_one_chain_contract_log_and_size(name, value, consortium, proof, validators):
    """A proof that names another thing than the verifier asks for is refused, whoever is wrong."""
    with pytest.raises(ProofError, match=f"another {name.replace('_', ' ')}"):
        consortium.check(proof, authority=validators, **{name: value})
    with pytest.raises(ProofError):
        consortium.check(replace(proof, **{name: value}), authority=validators)


@pytest.mark.parametrize(
    ("name", "value"), [("contract", b"\xc1" * 20), ("log", b"\x11" * 32), ("size", 1_000_001)]
)
def test_a_proof_cannot_be_renamed(name, value, consortium, proof, validators):
    """A proof that is made to name what the verifier asks for does not lead there."""
    with pytest.raises(ProofError, match="does not hold"):
        consortium.check(replace(proof, **{name: value}), authority=validators, **{name: value})


def test_a_chain_id_is_only_compared(consortium, proof, validators):
    """No header names its chain: what ties a proof to one are the validators pinned for it."""
    renamed = replace(proof, chain_id=1)
    assert isinstance(consortium.check(renamed, chain_id=1, authority=validators), AnchoredAt)


@pytest.mark.parametrize(
    ("name", "value"),
    [("code_hash", b"\xce" * 32), ("slot", 4), ("root", b"\x71" * 32), ("root", bytes(32))],
)
def test_a_proof_is_of_one_code_slot_and_root(name, value, consortium, proof, validators):
    """Another release's code, another slot or another root is not what the proof shows."""
    with pytest.raises(ProofError):
        consortium.check(proof, authority=validators, **{name: value})


def test_every_flipped_bit_is_noticed(consortium, proof, validators, pinned):
    """A byte changed anywhere in header or nodes is noticed, by either authority.

    What a pinned block hash does not cover are the round and the seals of QBFT: with those changed
    the block is still that block.
    """
    for part, data in (("header", proof.header), ("account", None), ("storage", None)):
        blobs = [data] if data is not None else list(getattr(proof, part))
        for which, blob in enumerate(blobs):
            for at in range(len(blob)):
                changed = bytearray(blob)
                changed[at] ^= 1 << at % 8
                new = bytes(changed)
                if part == "header":
                    forged = replace(proof, header=new)
                else:
                    nodes = getattr(proof, part)
                    forged = replace(proof, **{part: (*nodes[:which], new, *nodes[which + 1 :])})
                with pytest.raises(CounterfoilError):
                    consortium.check(forged, authority=validators)
                try:
                    same = consortium.check(forged, authority=pinned)
                except CounterfoilError:
                    continue
                assert part == "header"
                assert same.block_hash == block_hash(parse_header(proof.header))


def test_parts_of_two_proofs_do_not_mix(consortium, proof, validators):
    """Neither a header nor a path of another block's proof can stand in for that of this one."""
    other_state = consortium.state(others=61)
    other_header = consortium.seal(consortium.header(stateRoot=other_state.root))
    other = consortium.proof(other_state, other_header)
    assert isinstance(consortium.check(other, authority=validators), AnchoredAt)
    for part in ("header", "account", "storage"):
        with pytest.raises(ProofError):
            consortium.check(replace(proof, **{part: getattr(other, part)}), authority=validators)
    with pytest.raises(ProofError):
        consortium.check(
            replace(proof, account=proof.storage, storage=proof.account), authority=validators
        )


def test_a_proof_reads_back(proof):
    """A proof is read as it was written, byte for byte, and fits the published schema."""
    data = format_anchor_proof(proof)
    assert parse_anchor_proof(data) == proof
    assert anchor_proof_from_json(anchor_proof_to_json(proof)) == proof
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(json.loads(data))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("counterfoil", "anchor-proof/v2"),
        ("chain_id", 0),
        ("chain_id", "1337"),
        ("chain_id", True),
        ("chain_id", 2**53),
        ("size", 0),
        ("size", 1.5),
        ("contract", "0x" + "c0" * 20),
        ("contract", "C0" * 20),
        ("contract", "c0" * 19),
        ("log", "10" * 31),
        ("header", "not base64"),
        ("header", None),
        ("account", "AAAA"),
        ("account", [1]),
        ("account", ["AA"]),
        ("account", ["gA=="] * (MAX_NODES + 1)),
        ("storage", [["gA=="]]),
        ("other", 1),
    ],
)
def test_a_proof_has_one_form(name, value, proof):
    """Members that are missing, unknown or in another form are refused, and fit no schema."""
    body = anchor_proof_to_json(proof) | {name: value}
    with pytest.raises(FormatError):
        anchor_proof_from_json(body)
    assert not Draft202012Validator(SCHEMA).is_valid(body)


@pytest.mark.parametrize("member", sorted(SCHEMA["properties"]))
def test_every_member_is_needed(member, proof):
    """No member has a default that somebody else could think different of."""
    body = anchor_proof_to_json(proof)
    del body[member]
    assert not Draft202012Validator(SCHEMA).is_valid(body)
    with pytest.raises(FormatError):
        anchor_proof_from_json(body)


def test_other_spellings_are_refused(proof):
    """Spaces, another order of members, or a line feed at the end make it another file."""
    data = format_anchor_proof(proof)
    for other in (data + b"\n", b" " + data, json.dumps(json.loads(data)).encode(), b"[]", b""):
        with pytest.raises(FormatError):
            parse_anchor_proof(other)


def test_proofs_are_bounded(proof):
    """The largest proof that can be made is still read, and one byte more is not."""
    node = bytes(MAX_NODE_BYTES)
    largest = replace(
        proof,
        chain_id=2**53 - 1,
        size=2**53 - 1,
        header=bytes(MAX_HEADER_BYTES),
        account=(node,) * MAX_NODES,
        storage=(node,) * MAX_NODES,
    )
    assert parse_anchor_proof(format_anchor_proof(largest)) == largest
    with pytest.raises(FormatError, match="at most"):
        parse_anchor_proof(bytes(MAX_ANCHOR_PROOF_BYTES + 1))
    for change in (
        {"header": bytes(MAX_HEADER_BYTES + 1)},
        {"account": (node,) * (MAX_NODES + 1)},
        {"storage": (node + b"\0",)},
    ):
        with pytest.raises(FormatError, match="at most"):
            replace(proof, **change)


@pytest.mark.parametrize("value", [None, [], "proof", 1])
def test_what_is_no_object_is_no_proof(value):
    """Any other JSON is refused as such."""
    with pytest.raises(FormatError):
        anchor_proof_from_json(value)


def test_pinned_blocks_have_hashes():
    """What is no hash cannot be pinned."""
    with pytest.raises(FormatError):
        PinnedBlocks(frozenset({b"short"}))


def test_arguments_of_the_wrong_size_are_refused(consortium, proof):
    """What is cut in a policy or a checkpoint never equals anything by accident."""
    for name in ("contract", "code_hash", "log", "root"):
        with pytest.raises(FormatError):
            consortium.check(proof, **{name: b""})


def test_the_format_stays(consortium, proof, validators):
    """A proof that was written once reads, verifies and is written in the same way for ever."""
    data = (ROOT / "tests" / "golden" / "chain" / "anchor.json").read_bytes()
    assert format_anchor_proof(proof) == data
    found = consortium.check(parse_anchor_proof(data), authority=validators)
    assert (
        found.block_hash.hex() == "67531a9767ec28f3a32be24c086e451f0c7210932a8cc072f466daa8d741adba"
    )
