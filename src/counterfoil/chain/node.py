"""A chain, reached through one node whose answers are held against each other.

    chain = connect("http://127.0.0.1:8545")       the chain id decides the profile
    chain.final()                                  the newest block that is final by the profile
    chain.call(address, data, at=block)            a call that changes nothing

What is checked: the chain id, and block 0 where the profile names it; that an answer is about what
was asked; that a block and a receipt name each other. What is not: that the node tells the truth.
Whoever runs it can show a chain that does not exist. Run your own node, or have the proof of an
anchor checked offline.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from counterfoil.chain.answers import (
    HASH_BYTES,
    MAX_NUMBER,
    Block,
    TxReceipt,
    read_block,
    read_data,
    read_quantity,
    read_tx_receipt,
)
from counterfoil.chain.profile import MAX_CHAIN_ID, ChainProfile, known_profile
from counterfoil.chain.reverts import revert_reason
from counterfoil.chain.rpc import NodeError, Rpc
from counterfoil.core.anchoring import Finality
from counterfoil.core.canonical import JsonValue
from counterfoil.errors import RefusedError, UnavailableError, VerificationError
from counterfoil.ledger.web import ANSWER_WITHIN_S

if TYPE_CHECKING:
    from web3 import Web3

_NODE_HINT = "Do not rely on this node; ask another one of this chain, best your own."


def connect(
    url: str, profile: ChainProfile | None = None, *, answer_within_s: float = ANSWER_WITHIN_S
) -> Chain:
    """Reach a chain and check that it is the one that is meant.

    Args:
        url: Address of a node, `http://…` or `https://…`.
        profile: What is believed about the chain; without it, the chain id finds a known one.
        answer_within_s: The deadline of each request, in seconds.

    Raises:
        FormatError: the address is none, or nothing is known about the chain.
        VerificationError: it is another chain than the profile's.
        UnavailableError: no answer.
    """
    rpc = Rpc(url, answer_within_s=answer_within_s)
    if profile is None:
        profile = known_profile(_chain_id(rpc))
    chain = Chain(rpc, profile)
    chain.check_identity()
    return chain


class Chain:
    """A chain; made by `connect`.

    Args:
        rpc: The node.
        profile: What is believed about the chain.
    """

    def __init__(self, rpc: Rpc, profile: ChainProfile) -> None:
        self.rpc = rpc
        self.profile = profile

    @property
    def chain_id(self) -> int:
        """The id that the profile gives, and the node confirmed."""
        return self.profile.chain_id

    @cached_property
    def genesis(self) -> bytes:
        """Hash of block 0, as the node tells it: what tells chains of one id apart."""
        return self.block(0).hash

    @cached_property
    def web3(self) -> Web3:
        """The same node for everything else that web3.py can do; errors there are web3's own."""
        from counterfoil.chain.provider import make_web3  # noqa: PLC0415 a second to import

        return make_web3(self.rpc)

    def check_identity(self) -> None:
        """Check that the node still serves the chain of the profile.

        Raises:
            VerificationError: it serves another.
            UnavailableError: no answer.
        """
        found = _chain_id(self.rpc)
        if found != self.chain_id:
            raise VerificationError(
                f"the node at {self.rpc.name} serves the chain {found}, and not {self.chain_id}"
                f" ({self.profile.name})",
                hint="Check the address; nothing was sent.",
            )
        if self.profile.genesis is not None and self.block(0).hash != self.profile.genesis:
            raise VerificationError(
                f"the node at {self.rpc.name} serves another chain that has the id {found} too:"
                " its block 0 is not the profile's",
                hint="Check the address; nothing was sent.",
            )

    def head(self) -> Block:
        """Give the newest block."""
        return self._block("latest")

    def final(self) -> Block | None:
        """Give the newest block that is final by the profile's rule; None where none is yet.

        Raises:
            UnavailableError: no answer.
        """
        if self.profile.finality is Finality.FINALIZED:
            try:
                value = self.rpc.call("eth_getBlockByNumber", "finalized", False)
            except NodeError:  # how some nodes say that there is none
                return None
            return None if value is None else read_block(value)
        head, on_top = self.head(), self.profile.confirmations
        if head.number < on_top:
            return None
        return self.block(head.number - on_top) if on_top else head

    def block(self, number: int) -> Block:
        """Give the block at a height, of the chain that the node holds for the right one.

        Raises:
            UnavailableError: there is none, or no answer.
            VerificationError: it is another one than was asked for.
        """
        block = self._block(hex(number))
        if block.number != number:
            raise self._lie(f"was asked for block {number} and gives block {block.number}")
        return block

    def tx_receipt(self, tx_hash: bytes) -> TxReceipt | None:
        """Say what became of a transaction; None while it is in no block.

        Raises:
            VerificationError: the answer is about another transaction.
            UnavailableError: no answer.
        """
        value = self.rpc.call("eth_getTransactionReceipt", _hex(tx_hash))
        if value is None:
            return None
        receipt = read_tx_receipt(value)
        if receipt.tx_hash != tx_hash:
            raise self._lie("answers with the receipt of another transaction than was asked for")
        return receipt

    def tx_data(self, tx_hash: bytes) -> bytes:
        """Give what a transaction carries: a call, or the creation code of a contract.

        Raises:
            VerificationError: the answer is about another transaction.
            UnavailableError: it is not known, or no answer.
        """
        match self.rpc.call("eth_getTransactionByHash", _hex(tx_hash)):
            case {"hash": named, "input": data}:
                if read_data(named, "transaction hash", HASH_BYTES) != tx_hash:
                    raise self._lie("answers with another transaction than was asked for")
                return read_data(data, "data of a transaction")
        raise UnavailableError(
            f"the node at {self.rpc.name} does not know the transaction {_hex(tx_hash)}",
            hint="Check it, or ask a node that keeps old transactions.",
        )

    def contains(self, receipt: TxReceipt) -> bool:
        """Tell whether the block that a receipt names is in the chain now, as far as nodes tell.

        Raises:
            VerificationError: the block is there, and the transaction is not in it.
            UnavailableError: no answer.
        """
        block = self.block(receipt.block_number)
        if block.hash != receipt.block_hash:
            return False
        if receipt.tx_hash not in block.transactions:
            raise self._lie("has a receipt for a transaction that is not in the block it names")
        return True

    def nonce(self, address: str, at: int | None = None) -> int:
        """Count the transactions of an account in the blocks up to `at`, by default the newest."""
        value = self.rpc.call("eth_getTransactionCount", address, _at(at))
        return read_quantity(value, "count of transactions", MAX_NUMBER)

    def balance_wei(self, address: str) -> int:
        """Give what an account has, as of the newest block."""
        return read_quantity(self.rpc.call("eth_getBalance", address, "latest"), "balance")

    def code(self, address: str, at: int | None = None) -> bytes:
        """Give the code at an address; empty where there is no contract."""
        return read_data(self.rpc.call("eth_getCode", address, _at(at)), "code")

    def call(self, to: str, data: bytes, *, at: int | None = None, sender: str = "") -> bytes:
        """Ask a contract, changing nothing.

        Args:
            to: The contract.
            data: The call, ABI-encoded.
            at: The block as of which, by default the newest.
            sender: Who asks, where the contract cares.

        Raises:
            RefusedError: the contract says no; its reason is in `reasons`.
            UnavailableError: no answer.
        """
        what: dict[str, JsonValue] = {"to": to, "data": _hex(data)}
        if sender:
            what["from"] = sender
        with self._reverting(f"the contract {to}"):
            return read_data(self.rpc.call("eth_call", what, _at(at)), "return value")

    def estimate_gas(self, sender: str, to: str | None, data: bytes, value_wei: int = 0) -> int:
        """Ask how much gas a transaction would use, on the newest block.

        Raises:
            RefusedError: it would be reverted; the contract's reason is in `reasons`.
            UnavailableError: no answer.
        """
        what: dict[str, JsonValue] = {"from": sender, "data": _hex(data), "value": hex(value_wei)}
        if to is not None:
            what["to"] = to
        with self._reverting(f"the contract {to}" if to else "the new contract"):
            return read_quantity(self.rpc.call("eth_estimateGas", what), "gas needed", MAX_NUMBER)

    def tip_wei(self) -> int:
        """Ask what to offer on top of the base fee; 0 where the node gives no advice."""
        try:
            return read_quantity(self.rpc.call("eth_maxPriorityFeePerGas"), "advised tip")
        except NodeError:
            return 0

    def send_raw(self, raw: bytes, tx_hash: bytes) -> None:
        """Hand in a signed transaction; handing it in again changes nothing.

        Raises:
            NodeError: the node does not take it, for instance because it has it already.
            VerificationError: the node confirms another transaction.
            UnavailableError: no answer; it may have been taken.
        """
        answer = self.rpc.call("eth_sendRawTransaction", _hex(raw))
        if read_data(answer, "transaction hash", HASH_BYTES) != tx_hash:
            raise self._lie("confirms another transaction than it was given")

    @contextlib.contextmanager
    def _reverting(self, what: str) -> Iterator[None]:
        try:
            yield
        except NodeError as error:
            reason = revert_reason(error)
            if reason is None:
                raise
            raise RefusedError(
                f"{what} refuses",
                reasons=(reason,),
                hint="docs/reference/contracts.md says what each reason means.",
            ) from error

    def _block(self, which: str) -> Block:
        value = self.rpc.call("eth_getBlockByNumber", which, False)
        if value is None:
            raise UnavailableError(
                f"the node at {self.rpc.name} has no block {which}",
                hint="It may still be catching up; try again later.",
            )
        return read_block(value)

    def _lie(self, what: str) -> VerificationError:
        return VerificationError(f"the node at {self.rpc.name} {what}", hint=_NODE_HINT)


def _chain_id(rpc: Rpc) -> int:
    return read_quantity(rpc.call("eth_chainId"), "chain id", MAX_CHAIN_ID)


def _at(number: int | None) -> str:
    return "latest" if number is None else hex(number)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
