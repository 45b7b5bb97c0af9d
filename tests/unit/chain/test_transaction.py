from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account import Account as Reference
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chain.account import LocalAccount
from counterfoil.chain.transaction import (
    MAX_CALL_BYTES,
    Call,
    Transaction,
    check_signed,
    made_contract,
    parse_signed,
)
from counterfoil.errors import CounterfoilError, FormatError, SignatureError, VerificationError

ACCOUNT = LocalAccount(b"\x07" * 32)
CALL = Call("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", b"data", 5)
TRANSACTION = Transaction(31337, 3, CALL, 21_000, 10**9, 10**8)
numbers = st.integers(0, 2**64 - 1)


@given(st.tuples(numbers, numbers, numbers, numbers), st.binary(max_size=64), st.booleans())
def test_a_signed_transaction_reads_back(some, data, makes):
    """Whatever was signed is read from its bytes, with its sender and the hash that nodes give."""
    nonce, gas, fee, value = some
    call = Call(None if makes else CALL.to, data, value)
    transaction = Transaction(1, nonce, call, gas, fee, min(fee, 7))
    signed = ACCOUNT.sign_transaction(transaction)
    assert parse_signed(signed.raw) == signed
    assert (signed.transaction, signed.sender) == (transaction, ACCOUNT.address)
    assert Reference.recover_transaction(signed.raw) == ACCOUNT.address


def test_every_flipped_bit_is_another_transaction_or_none():
    """No bit of a signed transaction can be changed and leave it what it was."""
    raw = ACCOUNT.sign_transaction(TRANSACTION).raw
    for place in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(CounterfoilError):
            check_signed(bytes(changed), TRANSACTION, ACCOUNT.address)


@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": 4},
        {"chain_id": 1},
        {"gas": 1},
        {"max_fee_wei": 1},
        {"tip_wei": 1},
        {"call": replace(CALL, data=b"other")},
        {"call": replace(CALL, to=None)},
        {"call": replace(CALL, value_wei=6)},
    ],
)
def test_a_signer_that_signs_something_else_is_caught(changed):
    """A signature of another transaction than was asked for is refused, whatever differs."""
    raw = ACCOUNT.sign_transaction(replace(TRANSACTION, **changed)).raw
    with pytest.raises(VerificationError, match="another transaction"):
        check_signed(raw, TRANSACTION, ACCOUNT.address)


def test_a_signer_with_another_key_is_caught():
    """The right transaction under another key's signature is refused."""
    raw = LocalAccount(b"\x08" * 32).sign_transaction(TRANSACTION).raw
    with pytest.raises(SignatureError, match="with the key of"):
        check_signed(raw, TRANSACTION, ACCOUNT.address)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(data):
    """Bytes are a signed transaction or one of our errors."""
    with pytest.raises(CounterfoilError):
        parse_signed(b"\x02" + data)
    with pytest.raises(FormatError):
        parse_signed(data if data[:1] != b"\x02" else b"")


def test_deep_lists_are_refused():
    """Lists in lists without an end cost no stack."""
    with pytest.raises(FormatError):
        parse_signed(b"\x02" + b"\xf9\xff\xff" * 30_000)
    nested = b"\xc0"
    for _ in range(3000):
        head = (
            bytes([0xC0 + len(nested)])
            if len(nested) < 56
            else b"\xf9" + len(nested).to_bytes(2, "big")
        )
        nested = head + nested
    with pytest.raises(FormatError):
        parse_signed(b"\x02" + nested)


def test_calls_have_a_size():
    """A call that no node would take does not exist."""
    with pytest.raises(FormatError):
        Call(None, bytes(MAX_CALL_BYTES + 1))
    with pytest.raises(FormatError):
        Call(None, b"", -1)


def test_address_of_a_contract_is_known_before_it_is_made():
    """The address follows from sender and nonce: here of a transaction on Ethereum's first day."""
    assert (
        made_contract("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", 0)
        == "0xcd234A471b72ba2F1Ccf0A70FCABA648a5eeCD8d"
    )
    assert (
        made_contract("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", 1)
        == "0x343c43A37D37dfF08AE8C4A11544c718AbB4fCF8"
    )
