from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
import rlp
from eth_keys.datatypes import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chain.header import format_header, parse_header
from counterfoil.chain.qbft import (
    MAX_VALIDATORS,
    ExtraData,
    QbftValidators,
    block_hash,
    format_extra,
    parse_extra,
    recover_signers,
    seal_hash,
)
from counterfoil.errors import FormatError, PolicyError, SignatureError

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture
def pinned(consortium):
    return QbftValidators(frozenset(consortium.validators))


def test_extra_data_is_written_as_besu_writes_it():
    """The values in Besu 26.3's own tests are read and written as the bytes that stand there."""
    one, ten = (1).to_bytes(32, "big"), (10).to_bytes(32, "big")
    data = bytes.fromhex(
        "f8f0a0"
        + bytes(range(1, 33)).hex()
        + "ea94"
        + "00" * 19
        + "01"
        + "94"
        + "00" * 19
        + "02"
        + "d794"
        + "00" * 19
        + "01"
        + "81ff"
        + "83fedcba"
        + "f886b841"
        + (one + ten).hex()
        + "00"
        + "b841"
        + (ten + one).hex()
        + "00"
    )
    extra = ExtraData(
        validators=(bytes(19) + b"\x01", bytes(19) + b"\x02"),
        seals=(one + ten + b"\0", ten + one + b"\0"),
        round=0xFEDCBA,
        vote=(bytes(19) + b"\x01", True),
        vanity=bytes(range(1, 33)),
    )
    assert format_extra(extra) == data
    assert parse_extra(data) == extra


@pytest.mark.parametrize("vote", [None, (b"\x07" * 20, True), (b"\x07" * 20, False)])
@pytest.mark.parametrize("number", [0, 1, 127, 128, 2**31 - 1])
def test_extra_data_reads_back(vote, number, consortium):
    """Every vote and every round is read as it was written."""
    extra = ExtraData(consortium.validators, (bytes(65),), number, vote)
    assert parse_extra(format_extra(extra)) == extra


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_extra_data_or_an_error_of_ours(data):
    """Whatever bytes come in, they are extra data in its one form, or a FormatError."""
    with contextlib.suppress(FormatError):
        assert format_extra(parse_extra(data)) == data


def test_extra_data_of_others_is_refused(consortium):
    """IBFT 2.0, Clique, and what is cut or too long are not taken for QBFT."""
    who = [*consortium.validators]
    for items in (
        [bytes(32), who, b"", bytes(4), []],  # IBFT 2.0: no vote is a string, a round four bytes
        [bytes(32), who, [], bytes(4), []],
        [bytes(31), who, [], b"", []],
        [bytes(32), who, [], b"", [bytes(64)]],
        [bytes(32), [b"short"], [], b"", []],
        [bytes(32), who, [b"\x07" * 20, b"\x01"], b"", []],
        [bytes(32), who, [b"\x07" * 20], b"", []],
        [bytes(32), who, [], b"", [], b""],
        [bytes(32), who, [], b"\xff" * 4, []],
        [bytes(32), [bytes(20)] * (MAX_VALIDATORS + 1), [], b"", []],
    ):
        with pytest.raises(FormatError):
            parse_extra(rlp.encode(items))
    with pytest.raises(FormatError):
        parse_extra(bytes(32) + bytes(65))


def test_seals_tell_who_signed(consortium, header):
    """From a header alone it can be told which validators sealed it."""
    signers = [key.public_key.to_canonical_address() for key in consortium.keys[:3]]
    assert recover_signers(header) == tuple(signers)


def test_the_hash_of_a_block_is_that_of_no_seals_and_round_0(consortium, header):
    """Nodes that saw other seals, or another round, call the block the same."""
    bare = header.with_extra(format_extra(ExtraData(consortium.validators)))
    assert block_hash(header) == bare.hash()
    assert block_hash(consortium.seal(header, consortium.keys[1:], round=9)) == bare.hash()
    assert seal_hash(header) != seal_hash(bare)
    first = consortium.header(number=b"", extraData=header.extra)
    assert block_hash(first) == first.hash()
    foreign = consortium.header(mixHash=bytes(32), extraData=b"anything")
    assert block_hash(foreign) == foreign.hash()


def test_a_quorum_of_pinned_validators_authenticates(consortium, pinned, header):
    """Three of four, or all four, vouch for a header, and say what its block is called."""
    assert pinned.authenticate(header) == block_hash(header)
    for keys in (consortium.keys, consortium.keys[1:], consortium.keys[::-1][:3]):
        assert pinned.authenticate(consortium.seal(header, keys)) == block_hash(header)


@pytest.mark.parametrize(
    ("count", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (100, 67)]
)
def test_a_quorum_is_two_thirds_rounded_up(count, quorum):
    """How many must sign is what the consensus itself asks for."""
    assert QbftValidators(frozenset(bytes([n]) * 20 for n in range(count))).quorum == quorum


def test_too_few_seals_do_not_count(consortium, pinned, header):
    """With one seal less than two thirds nothing is shown, and none at all are too few."""
    for keys in (consortium.keys[:2], ()):
        with pytest.raises(PolicyError, match="too few"):
            pinned.authenticate(consortium.seal(header, keys))


def test_one_validator_counts_once(consortium, pinned, header):
    """A copied seal, or a second one by the same validator, makes no quorum."""
    first, second, third = parse_extra(header.extra).seals
    for seals in ((first, second, second), (first, second, third, third)):
        with pytest.raises(SignatureError, match="twice"):
            pinned.authenticate(consortium.with_seals(header, seals))


def test_outsiders_do_not_count(consortium, pinned, header):
    """A seal by somebody else is refused, beside a quorum too."""
    outsider = PrivateKey(b"\x09" * 32)
    for keys in ((*consortium.keys[:2], outsider), (*consortium.keys, outsider)):
        with pytest.raises(SignatureError, match="no validator"):
            pinned.authenticate(consortium.seal(header, keys))


def test_a_seal_is_of_one_header_and_one_round(consortium, pinned, header):
    """Seals cannot be carried to another header, nor to another round of the same."""
    seals = parse_extra(header.extra).seals
    later = consortium.header(stateRoot=header.state_root, timestamp=b"\x7f" * 4)
    other_round = header.with_extra(
        format_extra(replace(parse_extra(header.extra), round=3, seals=seals))
    )
    for other in (consortium.with_seals(later, seals), other_round):
        with pytest.raises(SignatureError):
            pinned.authenticate(other)


def test_a_seal_has_one_form(consortium, pinned, header):
    """The other s of a signature, another parity, and numbers that are none are refused."""
    seals = list(parse_extra(header.extra).seals)
    seal = seals[0]
    s = int.from_bytes(seal[32:64], "big")
    high = seal[:32] + (ORDER - s).to_bytes(32, "big") + bytes([seal[64] ^ 1])
    for bad in (
        high,
        seal[:64] + b"\x1b",
        bytes(65),
        b"\xff" * 32 + seal[32:],
        seal[:32] + bytes(33),
    ):
        with pytest.raises((FormatError, SignatureError)):
            pinned.authenticate(consortium.with_seals(header, [bad, *seals[1:]]))


def test_other_validators_than_pinned_are_refused(consortium, pinned, header):
    """After validators were voted in or out, or swapped, a pinned set vouches for nothing."""
    ours, stranger = consortium.validators, b"\x07" * 20
    for listed in ((), ours[:3], (*ours, stranger), (*ours[:3], stranger), (*ours, ours[0])):
        sealed = consortium.seal(header, consortium.keys, validators=listed)
        with pytest.raises(PolicyError, match="other validators"):
            pinned.authenticate(sealed)


def test_a_chain_of_another_kind_has_no_seals(consortium, pinned, header):
    """A header that no QBFT made is refused, whatever its extra data says."""
    with pytest.raises(FormatError, match="not made by QBFT"):
        pinned.authenticate(consortium.header(mixHash=bytes(32), extraData=header.extra))


@pytest.mark.parametrize("addresses", [[], [b"short"], [bytes([n]) * 20 for n in range(129)]])
def test_validators_are_pinned_in_one_form(addresses):
    """No validators, too many, or what is no address cannot be pinned."""
    with pytest.raises(FormatError):
        QbftValidators(frozenset(addresses))


def test_every_flipped_bit_of_a_sealed_header_is_noticed(pinned, header):
    """No bit of a header can be changed without anybody noticing."""
    data = format_header(header)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        with pytest.raises((FormatError, PolicyError, SignatureError)):
            pinned.authenticate(parse_header(bytes(changed)))
