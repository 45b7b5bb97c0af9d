"""Targets in what a node of a chain answers, and in what is asked of a node of ours."""

from __future__ import annotations

import itertools
import json
from functools import cache

from eth_abi.abi import encode

from counterfoil.chain.anchor import CheckpointAnchor
from counterfoil.chain.anchorproof import (
    format_anchor_proof,
    parse_anchor_proof,
)
from counterfoil.chain.answers import (
    read_address,
    read_block,
    read_data,
    read_quantity,
    read_tx_receipt,
)
from counterfoil.chain.fetchproof import fetch_anchor_proof
from counterfoil.chain.header import parse_header, read_header
from counterfoil.chain.node import Chain
from counterfoil.chain.profile import ChainProfile
from counterfoil.chain.proxy import Proxy
from counterfoil.chain.qbft import (
    block_hash,
)
from counterfoil.chain.reverts import decode_reason, revert_reason
from counterfoil.chain.rpc import NodeError, Rpc
from counterfoil.core.anchoring import Finality
from counterfoil.core.canonical import parse_json
from counterfoil.errors import FormatError
from fuzz import chains
from fuzz.chain_targets import AUTHORITY, EXPECTED, PROOF, ROOT, SIZE
from fuzz.chains import CHAIN_ID
from fuzz.targets import Target, text_of

BLOCK = {
    "number": hex(chains.NUMBER),
    "hash": "0x" + "11" * 32,
    "timestamp": "0x6ab13b00",
    "transactions": ["0x" + "22" * 32],
    "size": "0x1",
}


@cache
def block() -> dict[str, object]:
    """The sealed block as a node answers it."""
    header = parse_header(PROOF.header)
    names = (
        *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot"),
        *("logsBloom", "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData"),
        *("mixHash", "nonce", "baseFeePerGas"),
    )
    numbers = {"difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas"}
    fields = {
        name: hex(int.from_bytes(header[name], "big"))
        if name in numbers
        else f"0x{header[name].hex()}"
        for name in names
    }
    return {**BLOCK, **fields, "hash": f"0x{block_hash(header).hex()}"}


RECEIPT = {
    "transactionHash": "0x" + "22" * 32,
    "blockNumber": "0x10",
    "blockHash": "0x" + "11" * 32,
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x7",
    "contractAddress": chains.CALL.to,
}


def take_block(data: bytes) -> None:
    value = parse_json(data)
    read_header(value)
    read_block(value)


def take_tx_receipt(data: bytes) -> None:
    read_tx_receipt(parse_json(data))


def take_values(data: bytes) -> None:
    """A list of a quantity, bytes and an address."""
    match parse_json(data):
        case [number, some, address]:
            assert hex(read_quantity(number, "number")) == number
            assert read_data(some, "bytes").hex() == str(some)[2:].lower()
            assert read_address(address, "address").lower() == str(address).lower()
            return
    raise FormatError("not three")


class _Node(Rpc):
    """A node whose answers are known beforehand."""

    answers: dict[str, object]

    def post(self, body: bytes, doing: str) -> tuple[int, bytes]:
        """Answer as the script has it."""
        answer = self.answers.get(doing)
        if isinstance(answer, bytes):
            return 200, answer
        number = json.loads(body)["id"]
        return 200, json.dumps({"jsonrpc": "2.0", "id": number, "result": answer}).encode()


NODE = _Node("http://node.example")  # to make one for each case takes longer than to ask it


def answering(answers: dict[str, object]) -> _Node:
    """The node, with these answers, as if it had never been asked."""
    NODE.answers = answers
    NODE._numbers = itertools.count(1)
    return NODE


def take_rpc(data: bytes) -> None:
    try:
        answering({"eth_call": data}).call("eth_call")
    except NodeError as error:
        revert_reason(error)
        raise


PROFILE = ChainProfile("test", CHAIN_ID, Finality.IMMEDIATE)


def take_fetched(data: bytes) -> None:
    """All that a node says when it is asked for a proof."""
    said = parse_json(data)
    if not isinstance(said, dict):
        raise FormatError("no object")
    chain = Chain(answering(dict(said)), PROFILE)
    chain.head()
    chain.final()
    proof = fetch_anchor_proof(chain, EXPECTED, authority=AUTHORITY)
    assert parse_anchor_proof(format_anchor_proof(proof)) == proof
    chain.balance_wei("0x" + "12" * 20)
    chain.code("0x" + "12" * 20)
    chain.tx_receipt(b"\x22" * 32)


def answers() -> bytes:
    """An honest node's."""
    proof = {
        "accountProof": [f"0x{one.hex()}" for one in PROOF.account],
        "storageProof": [{"proof": [f"0x{one.hex()}" for one in PROOF.storage]}],
    }
    said = {
        "eth_chainId": hex(CHAIN_ID),
        "eth_getBlockByNumber": block(),
        "eth_getProof": proof,
        "eth_getBalance": "0x0",
        "eth_getCode": "0x6000",
        "eth_getTransactionReceipt": RECEIPT,
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


READERS = (
    *("latest", "committee_of", "is_stopped", "anchors"),
    *("root_at", "anchor_at", "as_of", "split_of"),  # these take a number more
)


ANCHOR = CheckpointAnchor(Chain(NODE, PROFILE), str(chains.CALL.to))


def take_contract(data: bytes) -> None:
    """The first byte chooses what a contract is asked, the rest is what it gives."""
    at = data[0] % len(READERS) if data else 0
    answering({"eth_call": f"0x{data[1:].hex()}"})
    more = (SIZE,) if at >= len(READERS) // 2 else ()
    getattr(ANCHOR, READERS[at])(chains.LOG_ID, *more, final=False)


def given() -> tuple[bytes, ...]:
    """What a contract gives when it is asked honestly."""
    types = {
        0: (["(uint64,bytes32,uint64,uint64)"], [(SIZE, ROOT, 1, 2)]),
        1: (["uint64", "uint64", "address[]"], [1, 1, ["0x" + "12" * 20]]),
        2: (["bool"], [True]),
        3: (["uint256"], [3]),
        4: (["bytes32"], [ROOT]),
    }
    return tuple(bytes([at]) + encode(*values) for at, values in types.items())


def take_proxied(data: bytes) -> None:
    """A request to the development chain's front; `Proxy` without the server around it."""
    proxy = Proxy.__new__(Proxy)
    proxy._upstream = lambda: answering({"eth_chainId": "0x1", "eth_call": "0x"})
    proxy._durable = lambda: 7
    answer = proxy.answer(data)
    json.dumps(answer, allow_nan=False).encode()
    if isinstance(answer, dict) and "error" in answer:
        raise FormatError("refused")


def take_reason(data: bytes) -> None:
    said = decode_reason(text_of(data))
    assert len(said) <= 300
    if not said:
        raise FormatError("no reason")


def reasons() -> tuple[bytes, ...]:
    """A reason, and a panic, as a contract gives them."""
    text = b"anchor: no".ljust(32, b"\0")
    error = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (10).to_bytes(32, "big") + text
    panic = bytes.fromhex("4e487b71") + (17).to_bytes(32, "big")
    return (b"0x" + error.hex().encode(), b"0x" + panic.hex().encode())


def take_reason_bytes(data: bytes) -> None:
    take_reason(b"0x08c379a0" + data.hex().encode())


TARGETS = (
    Target("block", take_block, lambda: [json.dumps(block()).encode()], "json"),
    Target("tx-receipt", take_tx_receipt, lambda: [json.dumps(RECEIPT).encode()], "json"),
    Target(
        "node-values",
        take_values,
        lambda: [json.dumps(["0x1f", "0x00ff", chains.CALL.to]).encode()],
        "json",
    ),
    Target(
        "rpc",
        take_rpc,
        lambda: [b'{"id":1,"jsonrpc":"2.0","result":"0x"}'],
        "json",
        more=lambda: [
            (
                b'{"error":{"code":3,"data":"0x08c379a0","message":"execution reverted: no"},'
                b'"id":1,"jsonrpc":"2.0"}'
            ),
        ],
    ),
    Target("fetched-proof", take_fetched, lambda: [answers()], "json", tries=400),
    Target(
        "proxy",
        take_proxied,
        lambda: [
            b'{"id":1,"jsonrpc":"2.0","method":"eth_chainId"}',
            b'[{"id":"a","jsonrpc":"2.0","method":"eth_call","params":[{"to":"0x"},"finalized"]}]',
        ],
        "json",
    ),
    Target("contract", take_contract, given),
    Target("revert", take_reason, reasons),
    Target("revert-abi", take_reason_bytes, lambda: [bytes.fromhex(reasons()[0].decode()[10:])]),
)
