"""Transactions: what is to be called, what is signed, and signed bytes checked against that.

Source:
    EIP-1559; EIP-2718; EIP-2.
"""

from __future__ import annotations

from dataclasses import dataclass

import rlp  # type: ignore[import-untyped]
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

from counterfoil.chain.answers import MAX_NUMBER, MAX_WORD, parse_address
from counterfoil.chain.profile import MAX_CHAIN_ID
from counterfoil.chain.typed import Signature
from counterfoil.errors import FormatError, SignatureError, VerificationError

MAX_CALL_BYTES = 96 * 1024
"""Longest call or creation code: nodes take transactions of up to 128 KiB into their pools."""

MAX_RAW_BYTES = 128 * 1024
"""Longest signed transaction, likewise."""

_TYPE = 2  # EIP-1559
_UNSIGNED_FIELDS = 9
_FIELDS = 12
_WORD = 32


@dataclass(frozen=True, slots=True)
class Call:
    """Something to be done on a chain.

    Args:
        to: The contract; None makes a new one of `data`.
        data: The call, ABI-encoded, or the creation code.
        value_wei: What is sent along.
    """

    to: str | None
    data: bytes
    value_wei: int = 0

    def __post_init__(self) -> None:
        """Check sizes, and give the address its checksum.

        Raises:
            FormatError: the call is too long, the value no amount, or the address none.
        """
        if self.to is not None:
            object.__setattr__(self, "to", parse_address(self.to))
        if len(self.data) > MAX_CALL_BYTES or not 0 <= self.value_wei <= MAX_WORD:
            raise FormatError(
                f"a call of {len(self.data)} bytes that sends {self.value_wei} wei is none",
                hint=f"Nodes take at most {MAX_CALL_BYTES} bytes.",
            )


@dataclass(frozen=True, slots=True)
class Transaction:
    """A call with all that is signed along with it (EIP-1559).

    Args:
        chain_id: The one chain on which it counts.
        nonce: Its place among the account's transactions; only one takes it.
        call: What is done.
        gas: The most that it may use.
        max_fee_wei: The most that is paid for a unit of gas.
        tip_wei: What of it goes to whoever makes the block.
    """

    chain_id: int
    nonce: int
    call: Call
    gas: int
    max_fee_wei: int
    tip_wei: int

    def items(self) -> list[object]:
        """List what is signed, in order."""
        to = b"" if self.call.to is None else to_canonical_address(self.call.to)
        fees = (self.tip_wei, self.max_fee_wei, self.gas)
        head = [self.chain_id, self.nonce, *fees]
        return [*head, to, self.call.value_wei, self.call.data, []]

    def digest(self) -> bytes:
        """Hash what is signed; 32 bytes."""
        return _keccak(bytes([_TYPE]) + rlp.encode(self.items()))


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction.

    Args:
        transaction: What was signed.
        sender: Whose signature it is.
        raw: The bytes that are handed to a node.
    """

    transaction: Transaction
    sender: str
    raw: bytes

    @property
    def hash(self) -> bytes:
        """What the transaction is called on the chain; 32 bytes."""
        return _keccak(self.raw)


def parse_signed(raw: bytes) -> Signed:
    """Read a signed transaction of the one form that is made here, and find its sender.

    Raises:
        FormatError: it is none, or has another form: another type, an access list.
        SignatureError: its signature is nobody's.
    """
    if len(raw) > MAX_RAW_BYTES or raw[:1] != bytes([_TYPE]):
        raise _no_transaction()
    try:
        items = rlp.decode(raw[1:], strict=True)
    except (rlp.exceptions.RLPException, RecursionError) as error:  # lists in lists in lists
        raise _no_transaction() from error
    if not isinstance(items, list) or len(items) != _FIELDS or items[8] != []:
        raise _no_transaction()
    if not all(isinstance(item, bytes) for place, item in enumerate(items) if place != 8):
        raise _no_transaction()
    chain_id = _integer(items[0], MAX_CHAIN_ID)
    nonce, gas = _integer(items[1], MAX_NUMBER), _integer(items[4], MAX_NUMBER)
    tip_wei, max_fee_wei = _integer(items[2]), _integer(items[3])
    if len(items[5]) not in {0, 20}:
        raise _no_transaction()
    to = str(to_checksum_address(items[5])) if items[5] else None
    call = Call(to, items[7], _integer(items[6]))
    transaction = Transaction(chain_id, nonce, call, gas, max_fee_wei, tip_wei)
    parity, r, s = (_integer(item) for item in items[_UNSIGNED_FIELDS:])
    if parity > 1:
        raise _no_transaction()
    rs = r.to_bytes(_WORD, "big") + s.to_bytes(_WORD, "big")
    signature = Signature.parse(rs + bytes([parity]))
    if rlp.encode([*transaction.items(), parity, r, s]) != raw[1:]:
        raise SignatureError("a signed transaction is not in the one form that is signed")
    return Signed(transaction, signature.recover(transaction.digest()), raw)


def check_signed(raw: bytes, transaction: Transaction, sender: str) -> Signed:
    """Check that whoever was asked to sign a transaction signed that one, with that key.

    Raises:
        FormatError: the bytes are no transaction.
        VerificationError: it is another transaction.
        SignatureError: it is somebody else's signature.
    """
    signed = parse_signed(raw)
    if signed.transaction != transaction:
        raise VerificationError(
            "the signer signed another transaction than it was asked to",
            hint="Nothing was sent. Do not use this signer.",
        )
    if signed.sender != sender:
        raise SignatureError(
            f"the signer signed with the key of {signed.sender}, not of {sender}",
            hint="Nothing was sent. Name the account whose key the signer holds.",
        )
    return signed


def made_contract(sender: str, nonce: int) -> str:
    """Compute the address of the contract that a transaction makes, before it is sent."""
    return str(to_checksum_address(_keccak(rlp.encode([to_canonical_address(sender), nonce]))[12:]))


def _integer(item: bytes, most: int = MAX_WORD) -> int:
    number = int.from_bytes(item, "big")
    if len(item) > _WORD or item[:1] == b"\0" or number > most:
        raise _no_transaction()
    return number


def _keccak(data: bytes) -> bytes:
    return bytes(keccak(data))


def _no_transaction() -> FormatError:
    return FormatError(
        "these bytes are no signed transaction of EIP-1559 without an access list",
        hint="Have it signed again; older kinds of transactions are not used here.",
    )
