"""A node that lies: caught where it contradicts itself, and never believed to have made final."""

from __future__ import annotations

import pytest

from counterfoil.chain.node import connect
from counterfoil.chain.profile import known_profile
from counterfoil.chain.shelf import Pending
from counterfoil.chain.transaction import Call
from counterfoil.errors import FormatError, UnavailableError, VerificationError

TO = "0x00000000000000000000000000000000000000AA"
OTHER = "0x" + "ab" * 32


def told(method, change):
    """A lie about one method: `change` is given the result and returns another one."""

    def lie(asked, _params, answer):
        if asked == method and answer.get("result") is not None:
            return answer | {"result": change(answer["result"])}
        return answer

    return lie


def paid(node):
    return int(node("eth_getBalance", TO, "latest"), 16)


def test_another_chain_is_refused(liar, profile):
    """A node of another chain than the profile's is not connected to."""
    liar.lie = told("eth_chainId", lambda _: "0x1")
    with pytest.raises(VerificationError, match="serves the chain 1, and not 4711"):
        connect(liar.url, profile())


def test_a_chain_with_the_same_id_is_refused(liar, profile):
    """Where the profile names block 0, a chain that only has the same id is refused."""
    genesis = connect(liar.url, profile()).genesis
    connect(liar.url, profile(genesis=genesis))
    with pytest.raises(VerificationError, match="block 0 is not the profile's"):
        connect(liar.url, profile(genesis=bytes(32)))


def test_an_unknown_chain_needs_a_profile(liar):
    """Without a profile, an id that nothing is known about is refused; a known one is found."""
    liar.lie = told("eth_chainId", lambda _: "0x2f")
    with pytest.raises(FormatError, match="nothing is known about the chain 47"):
        connect(liar.url)
    assert known_profile(1).name == "ethereum"


def test_a_chain_that_changes_under_way_is_noticed(liar, node, open_outbox):
    """A node that serves another chain from one day on is sent nothing more."""
    outbox = open_outbox(liar.url)
    liar.lie = told("eth_chainId", lambda _: "0x1")
    with pytest.raises(VerificationError, match="serves the chain 1"):
        outbox.submit("pay", Call(TO, b"", 1))
    assert outbox.pending() == ()
    assert paid(node) == 0


LIES = {
    "receipt of another transaction": (
        told("eth_getTransactionReceipt", lambda it: it | {"transactionHash": OTHER}),
        "receipt of another transaction",
    ),
    "receipt for a transaction that its block does not hold": (
        told("eth_getBlockByNumber", lambda it: it | {"transactions": [OTHER]}),
        "not in the block it names",
    ),
    "another block than was asked for": (
        told("eth_getBlockByNumber", lambda it: it | {"number": "0x63"}),
        "gives block 99",
    ),
}


@pytest.mark.parametrize("what", LIES)
def test_a_contradiction_is_named_and_settles_nothing(what, liar, node, open_outbox):
    """An answer that cannot be true is an error that says so, and nothing becomes final of it."""
    lie, message = LIES[what]
    outbox = open_outbox(liar.url)
    outbox.submit("pay", Call(TO, b"", 1))
    liar.lie = lie
    with pytest.raises(VerificationError, match=message):
        outbox.wait("pay", 5)
    assert isinstance(outbox.find("pay"), Pending)
    liar.lie = lambda _method, _params, answer: answer
    assert outbox.wait("pay", 5).succeeded
    assert paid(node) == 1


def test_a_confirmation_of_something_else_is_named(liar, node, open_outbox):
    """A node that says it took another transaction is not believed; ours stays under way."""
    outbox = open_outbox(liar.url)
    liar.lie = told("eth_sendRawTransaction", lambda _: OTHER)
    with pytest.raises(VerificationError, match="confirms another transaction"):
        outbox.submit("pay", Call(TO, b"", 1))
    liar.lie = lambda _method, _params, answer: answer
    outbox.submit("pay", Call(TO, b"", 1))
    assert outbox.wait("pay", 5).succeeded
    assert paid(node) == 1


def test_a_receipt_from_a_block_outside_the_chain_is_not_final(liar, open_outbox):
    """A receipt that names another block than the chain has at that height settles nothing."""
    outbox = open_outbox(liar.url)
    outbox.submit("pay", Call(TO, b"", 1))
    liar.lie = told("eth_getTransactionReceipt", lambda it: it | {"blockHash": OTHER})
    with pytest.raises(UnavailableError, match="not final"):
        outbox.wait("pay", 0.3)
    assert isinstance(outbox.find("pay"), Pending)


def test_a_node_that_swallows_is_given_it_again_until_it_is_there(liar, node, open_outbox):
    """A node that confirms and passes nothing on makes nothing final, and is asked again."""
    outbox = open_outbox(liar.url)
    hashes = []

    def swallow(method, _params, answer):
        # The transaction did reach the node behind; take it out of there again.
        if method == "eth_sendRawTransaction" and "result" in answer:
            hashes.append(answer["result"])
            node("anvil_dropTransaction", answer["result"])
        return answer

    node("evm_setAutomine", False)
    liar.lie = swallow
    outbox.submit("pay", Call(TO, b"", 1))
    node("evm_mine")
    outbox.step()
    node("evm_mine")
    assert len(hashes) == 2
    assert len(set(hashes)) == 1
    assert paid(node) == 0
    liar.lie = lambda _method, _params, answer: answer
    outbox.step()
    node("evm_mine")
    assert outbox.wait("pay", 5).succeeded
    assert paid(node) == 1


def test_a_node_that_lags_does_not_make_a_transaction_displaced(liar, node, open_outbox):
    """One look at a nonce that is taken and a receipt that is missing settles nothing."""
    outbox = open_outbox(liar.url)
    outbox.submit("pay", Call(TO, b"", 1))

    def lag(method, _params, answer):
        return answer | {"result": None} if method == "eth_getTransactionReceipt" else answer

    liar.lie = lag
    outbox.step()
    outbox.step()
    assert isinstance(outbox.find("pay"), Pending)
    liar.lie = lambda _method, _params, answer: answer
    assert outbox.wait("pay", 5).succeeded
    assert paid(node) == 1


ABSURD = [
    None,
    5,
    "5",
    "0x",
    "0x05",
    "0xg",
    "-0x1",
    "0x" + "f" * 65,
    [],
    {},
    {"number": "0x1"},
    True,
]
METHODS = [
    "eth_chainId",
    "eth_getBlockByNumber",
    "eth_getTransactionCount",
    "eth_estimateGas",
    "eth_getBalance",
    "eth_maxPriorityFeePerGas",
]


@pytest.mark.parametrize("method", METHODS)
def test_absurd_answers_are_an_outage_and_send_nothing(method, liar, node, open_outbox):
    """Whatever a node answers that is no answer, the error is ours and nothing is sent."""
    outbox = open_outbox(liar.url)
    for absurd in ABSURD:
        liar.lie = lambda asked, _, answer, it=absurd: (
            {"jsonrpc": "2.0", "id": answer["id"], "result": it} if asked == method else answer
        )
        with pytest.raises((UnavailableError, VerificationError)):
            outbox.submit("pay", Call(TO, b"", 1))
    assert outbox.pending() == ()
    assert paid(node) == 0


@pytest.mark.parametrize(
    "field", ["status", "blockNumber", "blockHash", "gasUsed", "transactionHash"]
)
def test_absurd_receipts_settle_nothing(field, liar, open_outbox):
    """A receipt with one absurd member makes nothing final."""
    outbox = open_outbox(liar.url)
    outbox.submit("pay", Call(TO, b"", 1))
    for absurd in ABSURD:
        liar.lie = told(
            "eth_getTransactionReceipt", lambda receipt, it=absurd: receipt | {field: it}
        )
        with pytest.raises((UnavailableError, VerificationError)):
            outbox.step()
        assert isinstance(outbox.find("pay"), Pending)


BODIES = {
    "nothing": None,
    "no JSON": b"hello",
    "an array": b"[]",
    "another id": b'{"jsonrpc":"2.0","id":999999,"result":"0x1"}',
    "no result": b'{"jsonrpc":"2.0","id":1}',
    "a number too large": b'{"jsonrpc":"2.0","id":1,"result":' + b"9" * 400 + b"}",
    "deep nesting": b"[" * 100_000,
    "not UTF-8": b'{"jsonrpc":"2.0","id":1,"result":"\xff"}',
    "an error that is none": b'{"jsonrpc":"2.0","id":1,"error":[[]]}',
}


@pytest.mark.parametrize("what", BODIES)
def test_broken_bodies_are_an_outage(what, liar, profile):
    """A body that answers nothing is an UnavailableError, never another exception."""
    chain = connect(liar.url, profile())
    liar.lie = lambda *_: BODIES[what]
    with pytest.raises(UnavailableError):
        chain.head()
