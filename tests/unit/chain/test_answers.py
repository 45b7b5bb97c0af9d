from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chain.answers import (
    parse_address,
    read_address,
    read_block,
    read_data,
    read_quantity,
    read_tx_receipt,
)
from counterfoil.errors import CounterfoilError, FormatError, UnavailableError

CHECKED = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # from EIP-55
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["0x0", "0x1", "0xg"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.integers(0, 2**256 - 1))
def test_a_quantity_reads_back(number: int):
    """Every number that fits a word is read from the form that nodes write."""
    assert read_quantity(hex(number), "number") == number


@pytest.mark.parametrize(
    "value", ["", "0x", "0x00", "0x0a", "1", "0xA", "0x-1", "0x1_0", " 0x1", 1, None, True, ["0x1"]]
)
def test_other_forms_of_a_number_are_refused(value: object):
    """A number in another form is no number."""
    with pytest.raises(UnavailableError, match="number is nonsense"):
        read_quantity(value, "number")


def test_numbers_have_a_bound():
    """A number larger than its kind can be is refused."""
    assert read_quantity("0xff", "number", 255) == 255
    with pytest.raises(UnavailableError):
        read_quantity("0x100", "number", 255)
    with pytest.raises(UnavailableError):
        read_quantity("0x1" + "0" * 64, "number")


@given(st.binary(max_size=100))
def test_bytes_read_back(data: bytes):
    """Bytes are read from pairs of digits, and only of the size that is asked for."""
    assert read_data("0x" + data.hex(), "data") == data
    assert read_data("0x" + data.hex(), "data", len(data)) == data
    with pytest.raises(UnavailableError):
        read_data("0x" + data.hex(), "data", len(data) + 1)


@pytest.mark.parametrize("value", ["", "00", "0x0", "0xzz", 0, None, b"0x00"])
def test_what_is_no_bytes_is_refused(value: object):
    """Odd digits, other characters and other types are no bytes."""
    with pytest.raises(UnavailableError):
        read_data(value, "data")


def test_an_address_gets_its_checksum():
    """A node's address is given with the checksum of EIP-55, whatever its case was."""
    assert read_address(CHECKED.lower(), "address") == CHECKED
    for value in (CHECKED[:-1], CHECKED + "0", CHECKED[2:], None, 5):
        with pytest.raises(UnavailableError):
            read_address(value, "address")


def test_a_typed_address_is_held_against_its_checksum():
    """A person's typing error in an address with a checksum is found."""
    assert parse_address(CHECKED) == parse_address(CHECKED.lower()) == CHECKED
    for text in (
        CHECKED.swapcase().replace("0X", "0x"),
        CHECKED.replace("5a", "5b"),
        "vitalik.eth",
    ):
        with pytest.raises(FormatError):
            parse_address(text)


@given(ANYTHING)
def test_anything_else_is_refused_in_our_words(value: object):
    """No answer, however formed, gives another exception than ours."""
    for read in (read_block, read_tx_receipt):
        with pytest.raises(CounterfoilError):
            read(value)


BLOCK = {
    "number": "0x5",
    "hash": "0x" + "11" * 32,
    "parentHash": "0x" + "22" * 32,
    "timestamp": "0x6",
    "baseFeePerGas": "0x7",
    "gasLimit": "0x8",
    "transactions": ["0x" + "33" * 32],
    "miner": "whatever",
}
RECEIPT = {
    "transactionHash": "0x" + "11" * 32,
    "blockNumber": "0x5",
    "blockHash": "0x" + "22" * 32,
    "status": "0x1",
    "gasUsed": "0x6",
    "effectiveGasPrice": "0x7",
    "contractAddress": None,
}


def test_a_block_and_a_receipt_are_read():
    """Members that are known are read; what else a node adds is not looked at."""
    block = read_block(BLOCK)
    assert (block.number, block.time, block.base_fee_wei, block.gas_limit) == (5, 6, 7, 8)
    assert block.transactions == (b"\x33" * 32,)
    receipt = read_tx_receipt(RECEIPT)
    assert (receipt.succeeded, receipt.gas_used, receipt.contract) == (True, 6, None)
    assert not read_tx_receipt(RECEIPT | {"status": "0x0"}).succeeded


@pytest.mark.parametrize(("read", "good"), [(read_block, BLOCK), (read_tx_receipt, RECEIPT)])
@given(ANYTHING)
def test_one_bad_member_is_enough(read, good, value: object):
    """An answer with one member missing or of another form is no answer."""
    for name in good:
        if name in {"miner", "contractAddress"}:
            continue
        with pytest.raises(UnavailableError):
            read({key: it for key, it in good.items() if key != name})
        if value not in ("0x0", "0x1") and not (name == "transactions" and value == []):
            with pytest.raises(UnavailableError):
                read(good | {name: value})
