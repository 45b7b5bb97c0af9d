"""What a node answers, read strictly: quantities, bytes, blocks, receipts of transactions.

Ethereum writes numbers as `0x1f`, without leading zeros, and bytes as `0x` and pairs of digits. An
answer in any other form is an `UnavailableError`: whoever speaks like that is no node that works.
A receipt of a transaction is called `TxReceipt`, as a receipt without more is the log's.

Source:
    Ethereum execution APIs, `Block` and `Receipt info`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from counterfoil.core.canonical import JsonValue
from counterfoil.core.text import shown
from counterfoil.errors import FormatError, UnavailableError

HASH_BYTES = 32
ADDRESS_BYTES = 20

MAX_WORD = 2**256 - 1
"""Largest quantity: a word of the EVM."""

MAX_NUMBER = 2**64 - 1
"""Largest block number, nonce, time or amount of gas (EIP-1681, EIP-2681)."""

_QUANTITY = re.compile(r"0x(?:0|[1-9a-f][0-9a-f]{0,63})")
_DATA = re.compile(r"0x(?:[0-9a-f]{2})*", re.IGNORECASE)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class Block:
    """A block, as far as it is looked at. That its hash is that of its header is not checked.

    Args:
        number: Its height.
        hash: 32 bytes.
        parent: The hash of the block below.
        time: Seconds since 1970, as whoever made the block says.
        base_fee_wei: For each unit of gas (EIP-1559).
        gas_limit: The most that its transactions may use.
        transactions: Their hashes, in order.
    """

    number: int
    hash: bytes
    parent: bytes
    time: int
    base_fee_wei: int
    gas_limit: int
    transactions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TxReceipt:
    """What became of a transaction.

    Args:
        tx_hash: Of the transaction.
        block_number: The block it is in.
        block_hash: Its hash.
        succeeded: Whether it did what it was to do, or was reverted.
        gas_used: Units of gas.
        gas_price_wei: What each cost.
        contract: Address of the contract that it made, if it made one.
    """

    tx_hash: bytes
    block_number: int
    block_hash: bytes
    succeeded: bool
    gas_used: int
    gas_price_wei: int
    contract: str | None


def read_quantity(value: JsonValue, what: str, most: int = MAX_WORD) -> int:
    """Read a number.

    Raises:
        UnavailableError: it is none, or larger than `most`.
    """
    if isinstance(value, str) and _QUANTITY.fullmatch(value) and int(value, 16) <= most:
        return int(value, 16)
    raise _nonsense(what, value)


def read_data(value: JsonValue, what: str, size: int | None = None) -> bytes:
    """Read bytes, of which there have to be `size` if that is given.

    Raises:
        UnavailableError: they are none, or not so many.
    """
    if isinstance(value, str) and _DATA.fullmatch(value):
        data = bytes.fromhex(value[2:])
        if size is None or len(data) == size:
            return data
    raise _nonsense(what, value)


def read_address(value: JsonValue, what: str) -> str:
    """Read an address, in any case of letters, and write it with its checksum (EIP-55).

    Raises:
        UnavailableError: it is none.
    """
    if isinstance(value, str) and _ADDRESS.fullmatch(value):
        return str(to_checksum_address(value))
    raise _nonsense(what, value)


def parse_address(text: str, what: str = "address") -> str:
    """Read an address that a person typed: its checksum holds, or it has none.

    Raises:
        FormatError: it is no address, or one with a letter wrong.
    """
    if _ADDRESS.fullmatch(text):
        checked = str(to_checksum_address(text))
        if text in {checked, text.lower()}:
            return checked
    raise FormatError(
        f"{what}: {shown(text)} is no address, or its checksum is wrong",
        hint="An address is 0x and 40 hexadecimal digits; copy it again from its source.",
    )


def read_block(value: JsonValue) -> Block:
    """Read a block with the hashes of its transactions.

    Raises:
        UnavailableError: it is none.
    """
    hashes = value.get("transactions") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(hashes, list):
        raise _nonsense("block", value)
    return Block(
        number=read_quantity(value.get("number"), "block number", MAX_NUMBER),
        hash=read_data(value.get("hash"), "block hash", HASH_BYTES),
        parent=read_data(value.get("parentHash"), "parent hash", HASH_BYTES),
        time=read_quantity(value.get("timestamp"), "block time", MAX_NUMBER),
        base_fee_wei=read_quantity(value.get("baseFeePerGas"), "base fee"),
        gas_limit=read_quantity(value.get("gasLimit"), "gas limit", MAX_NUMBER),
        transactions=tuple(read_data(one, "transaction hash", HASH_BYTES) for one in hashes),
    )


def read_tx_receipt(value: JsonValue) -> TxReceipt:
    """Read what became of a transaction.

    Raises:
        UnavailableError: it is nothing of the kind.
    """
    status = value.get("status") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(status, str) or status not in {"0x0", "0x1"}:
        raise _nonsense("receipt of a transaction", value)
    contract = value.get("contractAddress")
    return TxReceipt(
        tx_hash=read_data(value.get("transactionHash"), "transaction hash", HASH_BYTES),
        block_number=read_quantity(value.get("blockNumber"), "number of its block", MAX_NUMBER),
        block_hash=read_data(value.get("blockHash"), "hash of its block", HASH_BYTES),
        succeeded=status == "0x1",
        gas_used=read_quantity(value.get("gasUsed"), "gas used", MAX_NUMBER),
        gas_price_wei=read_quantity(value.get("effectiveGasPrice"), "gas price"),
        contract=None if contract is None else read_address(contract, "contract"),
    )


def _nonsense(what: str, value: JsonValue) -> UnavailableError:
    return UnavailableError(
        f"the node's {what} is nonsense: {shown(str(value))}",
        hint="Ask another node of this chain; contracts need one from London (EIP-1559) on.",
    )
