"""Proofs of anchors as a real node gives them, of the contract as it is released."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from eth_keys.datatypes import PrivateKey

from counterfoil import chain as chains
from counterfoil.chain.account import LocalAccount
from counterfoil.chain.anchorproof import (
    AnchoredAt,
    AnchorProof,
    Authority,
    ExpectedAnchor,
    PinnedBlocks,
    UnauthenticatedAnchor,
    check_anchor_proof,
    format_anchor_proof,
)
from counterfoil.chain.contracts import load_artifact
from counterfoil.chain.fetchproof import fetch_anchor_proof, fetch_header
from counterfoil.chain.header import format_header, parse_header, read_header
from counterfoil.chain.qbft import MIX_HASH, ExtraData, QbftValidators, format_extra, seal_hash
from counterfoil.chain.storageproof import mapping_slot
from counterfoil.core.merkle import Hash, leaf_hash, prove_consistency, root_of
from counterfoil.errors import (
    CounterfoilError,
    PolicyError,
    ProofError,
    UnavailableError,
    VerificationError,
)

ARTIFACT = load_artifact("CheckpointAnchor")
SLOT = ARTIFACT.slots["roots"]
FORKS = ("frontier", "berlin", "london", "paris", "shanghai", "cancun", "prague", "osaka")
ORIGIN, SIZES = "log.example/1", (4, 9)
LEAVES = [leaf_hash(bytes([n])) for n in range(SIZES[-1])]
ROOTS = {size: root_of(LEAVES[:size]) for size in SIZES}


@dataclass
class Anchored:
    """A log anchored twice in a contract on a real node, and what is known of it."""

    chain: chains.Chain
    contract: bytes
    log: bytes
    before: int

    def expected(self, size: int = 9) -> ExpectedAnchor:
        return ExpectedAnchor(
            chain_id=self.chain.chain_id,
            contract=self.contract,
            code_hash=ARTIFACT.code_hash,
            slot=SLOT,
            log=self.log,
            size=size,
            root=ROOTS[size],
        )

    def check(
        self, proof: AnchorProof, size: int = 9, *, authority: Authority | None = None
    ) -> object:
        return check_anchor_proof(proof, self.expected(size), authority=authority)


def anchor(outbox: chains.Outbox) -> Anchored:
    """Deploy the contract, open a log of one member, and anchor it at each size."""
    made = chains.deploy(outbox, "CheckpointAnchor")
    contract = chains.CheckpointAnchor.open(outbox.chain, made.address)
    member = LocalAccount(b"\x07" * 32)
    log = chains.log_id(ORIGIN, [member.address], 1)
    outbox.submit("open", contract.open_log(ORIGIN, [member.address], 1))
    before = outbox.wait("open", 20).block_number
    for old, new in zip((0, *SIZES), SIZES, strict=False):
        signature = member.sign_typed(contract.checkpoint_message(log, 1, new, ROOTS[new]))
        proof = prove_consistency(old, new, node_of_tree)
        outbox.submit(f"anchor {new}", contract.advance(log, new, ROOTS[new], proof, [signature]))
        outbox.wait(f"anchor {new}", 20)
    return Anchored(outbox.chain, bytes.fromhex(made.address[2:]), log, before)


def node_of_tree(level: int, index: int) -> Hash:
    return root_of(LEAVES[index << level : (index + 1) << level])


@pytest.fixture
def anchored(node, open_outbox) -> Anchored:
    return anchor(open_outbox(node.url))


@pytest.mark.parametrize("fork", FORKS)
def test_headers_of_every_fork_hash_to_what_the_node_says(fork, start_node):
    """A header made from a node's answer has the hash that the node has, at each fork."""
    node = start_node("--hardfork", fork)
    node("anvil_mine", "0x2")
    answer = node("eth_getBlockByNumber", "0x2", False)
    header = read_header(answer)
    assert f"0x{header.hash().hex()}" == answer["hash"]
    assert fetch_header(node.rpc, 2) == header == parse_header(format_header(header))


def test_the_slot_is_where_the_contract_keeps_the_root(anchored):
    """The slot worked out here is the one that the compiled contract reads."""
    for size, root in ROOTS.items():
        place = mapping_slot(SLOT, anchored.log, size.to_bytes(32, "big"))
        stored = anchored.chain.rpc.call(
            "eth_getStorageAt", f"0x{anchored.contract.hex()}", f"0x{place.hex()}", "latest"
        )
        assert stored == f"0x{root.hex()}"


@pytest.mark.parametrize("size", [4, 9])
def test_an_anchor_is_fetched_and_stands_by_itself(size, anchored):
    """What a node gives is checked, written, read, and shows the root without the node."""
    proof = fetch_anchor_proof(anchored.chain, anchored.expected(size))
    proof = chains.parse_anchor_proof(format_anchor_proof(proof))
    claimed = anchored.check(proof, size)
    assert isinstance(claimed, UnauthenticatedAnchor)
    block = anchored.chain.block(claimed.number)
    assert (block.hash, block.time) == (claimed.block_hash, claimed.time)
    found = anchored.check(proof, size, authority=PinnedBlocks(frozenset({block.hash})))
    assert found == AnchoredAt(block.time, block.number, block.hash)
    with pytest.raises(PolicyError):
        anchored.check(proof, size, authority=PinnedBlocks(frozenset({bytes(32)})))


def test_every_flipped_bit_is_noticed(anchored):
    """No byte of a real header or node can be changed, for a verifier who pinned the block."""
    proof = fetch_anchor_proof(anchored.chain, anchored.expected())
    pinned = PinnedBlocks(frozenset({parse_header(proof.header).hash()}))
    assert isinstance(anchored.check(proof, authority=pinned), AnchoredAt)
    changes = [{"header": flipped} for flipped in flip(proof.header)]
    for part in ("account", "storage"):
        nodes = getattr(proof, part)
        for at, node in enumerate(nodes):
            changes += [{part: (*nodes[:at], one, *nodes[at + 1 :])} for one in flip(node)]
    for change in changes:
        with pytest.raises(CounterfoilError):
            anchored.check(replace(proof, **change), authority=pinned)


def flip(data: bytes) -> Iterator[bytes]:
    """The data with one bit of each byte flipped."""
    for at in range(len(data)):
        yield data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


@pytest.mark.parametrize(
    "change",
    [
        {"root": bytes(32)},
        {"size": 8},
        {"chain_id": 1},
        {"log": bytes(32)},
        {"contract": b"\x11" * 20},
        {"code_hash": bytes(32)},
        {"slot": SLOT + 1},
    ],
    ids=str,
)
def test_what_is_not_on_the_chain_has_no_proof(change, anchored):
    """What the chain does not have, or another chain has, is not proven by its node."""
    with pytest.raises(ProofError):
        fetch_anchor_proof(anchored.chain, replace(anchored.expected(), **change))


def test_before_the_anchor_there_is_no_proof(anchored):
    """At a block before the anchor the root is not there, and no proof comes of that."""
    with pytest.raises(ProofError):
        fetch_anchor_proof(anchored.chain, anchored.expected(), block=anchored.before)


def test_the_authority_is_asked_when_fetching(anchored):
    """A proof that the verifier's policy would not accept is not handed out."""
    with pytest.raises(PolicyError):
        fetch_anchor_proof(anchored.chain, anchored.expected(), authority=PinnedBlocks(frozenset()))


LIES = {
    "another chain": ("eth_chainId", lambda _: "0x1"),
    "no block": ("eth_getBlockByNumber", lambda _: None),
    "a block's list": ("eth_getBlockByNumber", lambda _: []),
    "another root": ("eth_getBlockByNumber", lambda it: it | {"stateRoot": "0x" + "11" * 32}),
    "another time": ("eth_getBlockByNumber", lambda it: it | {"timestamp": "0x1"}),
    "another number": ("eth_getBlockByNumber", lambda it: it | {"number": "0x1"}),
    "another hash": ("eth_getBlockByNumber", lambda it: it | {"hash": "0x" + "11" * 32}),
    "no hash": ("eth_getBlockByNumber", lambda it: it | {"hash": None}),
    "a field of the future": ("eth_getBlockByNumber", lambda it: it | {"requestsHash": "0x"}),
    "a field less": ("eth_getBlockByNumber", lambda it: it | {"gasUsed": None}),
    "no proof": ("eth_getProof", lambda _: None),
    "an empty proof": ("eth_getProof", lambda it: it | {"accountProof": []}),
    "too many nodes": ("eth_getProof", lambda it: it | {"accountProof": ["0x80"] * 66}),
    "no node": ("eth_getProof", lambda it: it | {"accountProof": [7]}),
    "another account": (
        "eth_getProof",
        lambda it: it | {"accountProof": it["storageProof"][0]["proof"]},
    ),
    "no storage": ("eth_getProof", lambda it: it | {"storageProof": []}),
    "two storages": ("eth_getProof", lambda it: it | {"storageProof": it["storageProof"] * 2}),
    "a node less": (
        "eth_getProof",
        lambda it: it | {"storageProof": [{"proof": it["storageProof"][0]["proof"][:-1]}]},
    ),
}


def told(method, change):
    """A lie about one method: `change` is given the result and returns another one."""

    def lie(asked, _params, answer):
        return answer | {"result": change(answer["result"])} if asked == method else answer

    return lie


@pytest.mark.parametrize("lie", LIES)
def test_a_node_that_lies_is_not_believed(lie, anchored, liar):
    """Whatever a node changes in its answers, no proof comes of it, and the error is ours."""
    chain = chains.connect(liar.url, anchored.chain.profile)
    fetch_anchor_proof(chain, anchored.expected(), block=chain.head().number)
    block = chain.head().number
    liar.lie = told(*LIES[lie])
    with pytest.raises((VerificationError, UnavailableError)):
        fetch_anchor_proof(chain, anchored.expected(), block=block)


def test_another_block_than_was_asked_for_is_refused(anchored, liar, node):
    """A node that answers with another block, whole and true, is not believed to mean this one."""
    other = node("eth_getBlockByNumber", "0x1", False)
    liar.lie = told("eth_getBlockByNumber", lambda _: other)
    with pytest.raises(ProofError, match="asked for block 2"):
        fetch_header(chains.Rpc(liar.url), 2)
    assert fetch_header(anchored.chain.rpc, 1) == read_header(other)


def test_a_consortium_seals_the_same_state(anchored):
    """A real state under a header that three of four validators sealed is an anchor, offline."""
    proof = fetch_anchor_proof(anchored.chain, anchored.expected())
    keys = [PrivateKey(bytes([n]) * 32) for n in range(1, 5)]
    addresses = [key.public_key.to_canonical_address() for key in keys]
    real = parse_header(proof.header)
    bare = ExtraData(tuple(sorted(addresses)))
    # What Besu would have made of the same state: its mix hash and its extra data.
    at = real.fields.index(real["mixHash"])
    header = replace(real, fields=(*real.fields[:at], MIX_HASH, *real.fields[at + 1 :]))
    header = header.with_extra(format_extra(bare))
    seals = tuple(key.sign_msg_hash(seal_hash(header)).to_bytes() for key in keys[1:])
    header = header.with_extra(format_extra(replace(bare, seals=seals)))
    sealed = replace(proof, header=format_header(header))
    found = anchored.check(sealed, authority=QbftValidators(frozenset(addresses)))
    assert (found.time, found.number) == (real.time, real.number)
    others = QbftValidators(frozenset([*addresses[:3], bytes(20)]))
    with pytest.raises(PolicyError):
        anchored.check(sealed, authority=others)


@pytest.mark.parametrize("is_free", [True, False])
def test_a_network_that_we_write_carries_the_contract(  # noqa: PLR0917 fixtures
    is_free, start_node, open_outbox, account, tmp_path, monkeypatch
):
    """On a chain with our genesis the contract is deployed and anchors, for nothing or for coins.

    The client reads chain id, fees and balances from the file that is written for Besu. It is not
    Besu, and looks at neither validators nor QBFT.
    """
    members, keys = chains.make_trial(4)
    network = chains.Network(members, 31337, funded=() if is_free else (account.address,))
    chains.write_network(tmp_path / "network", network, keys)
    node = start_node(
        "--init",
        tmp_path / "network" / "member1" / "genesis.json",
        *("--accounts", 0, "--hardfork", "london"),
    )
    assert node("eth_getBalance", account.address, "latest") == hex(0 if is_free else 10**24)
    block = node("eth_getBlockByNumber", "0x0", False)
    fee = "0x0" if is_free else hex(10**9)
    assert (block["baseFeePerGas"], block["gasLimit"]) == (fee, hex(30_000_000))
    if is_free:
        # anvil advises a tip of a gwei even then. Besu advises what was paid last: nothing.
        monkeypatch.setattr(chains.Chain, "tip_wei", lambda _: 0)
    anchored = anchor(open_outbox(node.url))
    proof = fetch_anchor_proof(anchored.chain, anchored.expected())
    assert isinstance(anchored.check(proof), UnauthenticatedAnchor)
    spent = int(node("eth_getBalance", account.address, "latest"), 16) - (not is_free) * 10**24
    assert (spent == 0) == is_free
