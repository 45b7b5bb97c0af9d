"""The contracts, deployed on a real EVM and used through their wrappers."""

from __future__ import annotations

import time
from dataclasses import replace
from hashlib import sha256

import pytest
from web3.exceptions import Web3RPCError

from counterfoil.chain import contracts
from counterfoil.chain.account import LocalAccount, RemoteAccount
from counterfoil.chain.anchor import CheckpointAnchor, log_id
from counterfoil.chain.contracts import CONTRACTS, check_creation, deploy, load_artifact
from counterfoil.chain.node import connect
from counterfoil.chain.registries import (
    ED25519,
    ConsentRegistry,
    IssuerRegistry,
    ModelRegistry,
)
from counterfoil.chain.rpc import Rpc
from counterfoil.chain.storageproof import mapping_slot
from counterfoil.chain.transaction import Call, Transaction
from counterfoil.chain.typed import digest
from counterfoil.core.merkle import leaf_hash
from counterfoil.errors import (
    FormatError,
    RefusedError,
    SignatureError,
    UnavailableError,
    VerificationError,
)

MEMBERS = sorted(
    (LocalAccount(bytes([n]) * 32) for n in (1, 2, 3)), key=lambda one: one.address.lower()
)
ADDRESSES = [one.address for one in MEMBERS]
ORIGIN = "log.example/1"
LOG = log_id(ORIGIN, ADDRESSES, 2)
LEAVES = [leaf_hash(bytes([n])) for n in range(2)]
ROOT2 = sha256(b"\x01" + LEAVES[0] + LEAVES[1]).digest()


@pytest.fixture
def outbox(node, open_outbox):
    """Sends for an account with money, on a chain where every block is final."""
    return open_outbox(node.url)


@pytest.fixture
def send(outbox):
    """Sends calls, one after another, and waits until each is final."""
    count = iter(range(100))

    def send(call):
        key = f"call {next(count)}"
        outbox.submit(key, call)
        return outbox.wait(key, 20)

    return send


@pytest.fixture
def anchor(outbox, send):
    """A CheckpointAnchor with one log open."""
    made = deploy(outbox, "CheckpointAnchor")
    contract = CheckpointAnchor.open(outbox.chain, made.address)
    send(contract.open_log(ORIGIN, ADDRESSES, 2))
    return contract


def signed(message, *who):
    return [one.sign_typed(message) for one in who or MEMBERS[:2]]


def advance(anchor, size, root, proof=(), *, epoch=1, who=()):
    message = anchor.checkpoint_message(LOG, epoch, size, root)
    return anchor.advance(LOG, size, root, proof, signed(message, *who))


def test_a_deployment_is_made_once_and_its_code_is_checked(outbox, node):
    """Deploying again gives the same contract; another contract's code is not taken for it."""
    made = deploy(outbox, "CheckpointAnchor")
    assert deploy(outbox, "CheckpointAnchor") == made
    assert node("eth_blockNumber") == "0x1"
    CheckpointAnchor.open(outbox.chain, made.address.lower())
    with pytest.raises(VerificationError, match="is no ConsentRegistry"):
        ConsentRegistry.open(outbox.chain, made.address)
    with pytest.raises(VerificationError, match="there is no contract"):
        CheckpointAnchor.open(outbox.chain, outbox.account.address)
    with pytest.raises(FormatError, match="constructor does not take this"):
        deploy(outbox, "IssuerRegistry")


def seeded(slots, code):
    """Creation code that writes into the storage first and then leaves `code` behind."""
    writes = b"".join(
        b"\x7f" + value + b"\x7f" + slot + b"\x55" for slot, value in slots.items()
    )  # PUSH32 value, PUSH32 slot, SSTORE
    size, begin = len(code).to_bytes(2, "big"), (len(writes) + 15).to_bytes(2, "big")
    # PUSH2 size, PUSH2 begin, PUSH1 0, CODECOPY; PUSH2 size, PUSH1 0, RETURN
    leave = b"\x61" + size + b"\x61" + begin + b"\x60\x00\x39\x61" + size + b"\x60\x00\xf3"
    return writes + leave + code


def test_a_contract_that_began_with_something_is_found_out(outbox, node):
    """The same code over a storage with a root that nobody signed: only its creation tells."""
    honest = deploy(outbox, "CheckpointAnchor")
    code = bytes.fromhex(node("eth_getCode", honest.address, "latest")[2:])
    roots = load_artifact("CheckpointAnchor").slots["roots"]
    slot = mapping_slot(roots, LOG, (9).to_bytes(32, "big"))
    outbox.submit("seeded", Call(None, seeded({slot: b"\xee" * 32}, code)))
    made = outbox.wait("seeded", 20)
    forged = CheckpointAnchor.open(outbox.chain, made.contract)
    assert forged.root_at(LOG, 9) == b"\xee" * 32
    with pytest.raises(VerificationError, match="was not made by the creation code"):
        check_creation(forged, made.tx_hash)
    with pytest.raises(VerificationError, match="did not make"):
        check_creation(forged, honest.receipt.tx_hash)
    check_creation(CheckpointAnchor.open(outbox.chain, honest.address), honest.receipt.tx_hash)
    with pytest.raises(UnavailableError, match="is in no final block"):
        check_creation(forged, bytes(32))


def test_the_creation_of_a_registry_names_what_it_was_given(outbox):
    """Made with other members is made otherwise, though the code is the same."""
    made = deploy(outbox, "IssuerRegistry", ADDRESSES, 2)
    registry = IssuerRegistry.open(outbox.chain, made.address)
    check_creation(registry, made.receipt.tx_hash, ADDRESSES, 2)
    with pytest.raises(VerificationError, match="other arguments"):
        check_creation(registry, made.receipt.tx_hash, ADDRESSES, 1)


def test_a_creation_that_is_not_final_proves_nothing_yet(node, open_outbox, profile):
    """What can still be taken out of the chain is no ground to rely on a contract."""
    made = deploy(open_outbox(node.url), "CheckpointAnchor")
    waiting = connect(node.url, profile("confirmations", 5))
    with pytest.raises(UnavailableError, match="is in no final block"):
        check_creation(CheckpointAnchor(waiting, made.address), made.receipt.tx_hash)


def test_a_node_that_shows_another_transaction_is_caught(liar, open_outbox):
    """The data has to be that of the transaction that was asked for."""
    outbox = open_outbox(liar.url)
    made = deploy(outbox, "CheckpointAnchor")

    def lie(method, _params, answer):
        if method == "eth_getTransactionByHash":
            answer["result"]["hash"] = "0x" + "77" * 32
        return answer

    liar.lie = lie
    with pytest.raises(VerificationError, match="another transaction"):
        check_creation(CheckpointAnchor.open(outbox.chain, made.address), made.receipt.tx_hash)


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_contract_has_the_code_that_was_compiled(name, outbox):
    """What a constructor is given is not in the code, so one hash holds everywhere."""
    values = {
        "IssuerRegistry": (ADDRESSES, 2),
        "ModelRegistry": (ADDRESSES[0], LOG, ADDRESSES, 2, 1),
    }.get(name, ())
    if name == "ModelRegistry":  # it wants to see its anchor
        anchor = deploy(outbox, "CheckpointAnchor").address
        outbox.submit("open", CheckpointAnchor(outbox.chain, anchor).open_log(ORIGIN, ADDRESSES, 2))
        outbox.wait("open", 20)
        values = (anchor, *values[1:])
    assert deploy(outbox, name, *values).receipt.succeeded


def test_a_node_that_lies_about_where_a_contract_is_is_caught(liar, open_outbox):
    """The address follows from account and nonce; a node that tells another one is not believed."""
    outbox = open_outbox(liar.url)

    def lie(method, _params, answer):
        if method == "eth_getTransactionReceipt" and answer.get("result"):
            answer["result"]["contractAddress"] = ADDRESSES[0]
        return answer

    liar.lie = lie
    with pytest.raises(VerificationError, match="must be at"):
        deploy(outbox, "CheckpointAnchor")


def test_a_chain_that_is_too_old_is_refused(outbox, node, monkeypatch):
    """Code for a newer EVM than the profile's is not sent."""
    newer = replace(load_artifact("ConsentRegistry"), evm_version="osaka")
    monkeypatch.setattr(contracts, "load_artifact", lambda _: newer)
    with pytest.raises(FormatError, match="needs the EVM of osaka"):
        deploy(outbox, "ConsentRegistry")
    assert node("eth_blockNumber") == "0x0"


def test_a_log_grows_and_its_history_is_read(anchor, send):
    """Anchors follow each other, and are found by number, size and time."""
    assert anchor.anchors(LOG) == 0
    with pytest.raises(RefusedError, match="anchor: nothing is anchored"):
        anchor.latest(LOG)
    send(advance(anchor, 1, LEAVES[0]))
    send(advance(anchor, 2, ROOT2, [LEAVES[1]]))
    assert anchor.anchors(LOG) == 2
    first, newest = anchor.anchor_at(LOG, 0), anchor.latest(LOG)
    assert (first.size, first.root) == (1, LEAVES[0])
    assert (newest.size, newest.root) == (2, ROOT2)
    assert anchor.root_at(LOG, 2) == ROOT2
    assert anchor.as_of(LOG, newest.time) == newest
    assert anchor.check_inclusion(LOG, 2, LEAVES[1], 1, [LEAVES[0]]) == ROOT2
    with pytest.raises(RefusedError):
        anchor.check_inclusion(LOG, 2, LEAVES[1], 0, [LEAVES[0]])
    committee = anchor.committee_of(LOG)
    assert (committee.epoch, committee.threshold, list(committee.members)) == (1, 2, ADDRESSES)


def test_what_the_contract_refuses_is_told_before_it_is_sent(anchor, outbox, node, send):
    """Too few signatures, an outsider, a fork and a rollback cost nothing and say why."""
    send(advance(anchor, 1, LEAVES[0]))
    height = node("eth_blockNumber")
    outsider = LocalAccount(b"\x09" * 32)
    refused = {
        "committee: too few signatures": advance(anchor, 2, ROOT2, [LEAVES[1]], who=MEMBERS[:1]),
        "committee: signer is no member": advance(
            anchor, 2, ROOT2, [LEAVES[1]], who=[MEMBERS[0], outsider]
        ),
        "committee: member signed twice": advance(
            anchor, 2, ROOT2, [LEAVES[1]], who=[MEMBERS[0], MEMBERS[0]]
        ),
        "anchor: size does not grow": advance(anchor, 1, LEAVES[1]),
        "rfc9162: ": advance(anchor, 2, b"\x05" * 32, [LEAVES[1]]),
    }
    for number, (reason, call) in enumerate(refused.items()):
        with pytest.raises(RefusedError, match=reason):
            outbox.submit(f"refused {number}", call)
    assert node("eth_blockNumber") == height
    assert outbox.pending() == ()


def test_signatures_are_for_one_epoch_and_committees_rotate(anchor, outbox, send):
    """After a rotation the new committee's signatures count, and the old ones no more."""
    new = sorted(
        (LocalAccount(bytes([n]) * 32) for n in (4, 5)), key=lambda one: one.address.lower()
    )
    addresses = [one.address for one in new]
    message = anchor.rotation_message(LOG, 2, addresses, 2)
    send(anchor.rotate(LOG, addresses, 2, signed(message), signed(message, *new)))
    assert anchor.committee_of(LOG).epoch == 2
    with pytest.raises(RefusedError, match="committee: signer is no member"):
        outbox.submit("old", advance(anchor, 1, LEAVES[0]))
    send(advance(anchor, 1, LEAVES[0], epoch=2, who=new))
    assert anchor.latest(LOG).size == 1


def test_a_split_view_is_put_on_record_and_stops_the_log(anchor, send, outbox):
    """Two roots of one size, signed by a quorum, are recorded; the log goes no further."""
    send(advance(anchor, 1, LEAVES[0]))
    other = b"\x05" * 32
    evidence = signed(anchor.checkpoint_message(LOG, 1, 1, other))
    assert anchor.split_of(LOG, 1) is None
    assert not anchor.is_stopped(LOG)
    send(
        anchor.report_split(
            LOG,
            epoch=1,
            size=1,
            root_a=LEAVES[0],
            signatures_a=[],
            root_b=other,
            signatures_b=evidence,
        )
    )
    split = anchor.split_of(LOG, 1)
    assert (split.size, split.root_a, split.root_b) == (1, LEAVES[0], other)
    assert anchor.is_stopped(LOG)
    with pytest.raises(RefusedError, match="stopped"):
        outbox.submit("on", advance(anchor, 2, ROOT2, [LEAVES[1]]))


def test_reading_is_as_of_final_blocks(start_node, open_outbox, profile):
    """What is in a block that is not final is read only by who asks for that."""
    node = start_node()
    outbox = open_outbox(node.url, profile("confirmations", 2))

    def mine(key, call):
        """Hand in a call and wait for its block: anvil answers before it has made that."""
        before = outbox.chain.nonce(outbox.account.address)
        outbox.submit(key, call)
        deadline = time.monotonic() + 20
        while outbox.chain.nonce(outbox.account.address) == before:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    mine("deploy", Call(None, load_artifact("CheckpointAnchor").encode("")))
    node("anvil_mine", "0x2")
    address = outbox.wait("deploy", 20).contract
    anchor = CheckpointAnchor.open(outbox.chain, address)
    mine("open", anchor.open_log(ORIGIN, ADDRESSES, 2))
    assert anchor.committee_of(LOG, final=False).epoch == 1
    with pytest.raises(RefusedError, match="anchor: log is not open"):
        anchor.committee_of(LOG)
    node("anvil_mine", "0x2")
    assert anchor.committee_of(LOG).epoch == 1


def test_keys_of_issuers_are_added_asked_for_and_revoked(outbox, send):
    """A key speaks for its organisation within its time, until it is revoked."""
    registry = IssuerRegistry.open(
        outbox.chain, deploy(outbox, "IssuerRegistry", ADDRESSES, 2).address
    )
    bank, key = b"\x0b" * 32, b"\x0c" * 32
    times = {"not_before": 100, "not_after": 2**40}
    message = registry.key_message(bank, ED25519, key, **times, epoch=1)
    send(registry.add(bank, ED25519, key, **times, signatures=signed(message)))
    assert registry.check_issuer(bank, ED25519, key, 200) == 2**40
    with pytest.raises(RefusedError, match="issuers: "):
        registry.check_issuer(bank, ED25519, key, 99)
    message = registry.revocation_message(ED25519, key, 150, 1)
    send(registry.revoke(ED25519, key, 150, signed(message)))
    assert registry.key_of(ED25519, key).revoked_from == 150
    with pytest.raises(RefusedError, match="issuers: "):
        registry.check_issuer(bank, ED25519, key, 200)
    assert registry.committee_of().threshold == 2


def test_models_are_authorised_and_revoked_by_anchored_statements(anchor, outbox, send):
    """A model is authorised by a statement that is in the anchored log, and revoked by another."""
    send(advance(anchor, 2, ROOT2))
    registry = ModelRegistry.open(
        outbox.chain,
        deploy(outbox, "ModelRegistry", anchor.address, LOG, ADDRESSES, 2, 1).address,
    )
    use, model, none = b"\x0d" * 32, b"\x0e" * 32, bytes(32)
    with pytest.raises(RefusedError, match="models: model is not authorised"):
        registry.check_model(use, model)
    message = registry.authorisation_message(
        use, model, statement=LEAVES[0], expires=2**40, revocation=none, epoch=1
    )
    proof = {"size": 2, "index": 0, "leaf": LEAVES[0], "path": [LEAVES[1]]}
    send(
        registry.authorise(
            use, model, **proof, expires=2**40, revocation=none, signatures=signed(message)
        )
    )
    assert registry.check_model(use, model) == LEAVES[0]
    assert registry.standing_of(use, model).approvals == 2
    message = registry.revocation_message(use, model, statement=LEAVES[1], epoch=1)
    proof = {"size": 2, "index": 1, "leaf": LEAVES[1], "path": [LEAVES[0]]}
    send(registry.revoke(use, model, **proof, signatures=signed(message, MEMBERS[0])))
    assert registry.standing_of(use, model).revocation == LEAVES[1]
    with pytest.raises(RefusedError, match="models: "):
        registry.check_model(use, model)


def test_consents_are_granted_asked_for_and_withdrawn(outbox, send, account):
    """A grant stands for one grantee, data set and purpose, until it is withdrawn."""
    registry = ConsentRegistry.open(outbox.chain, deploy(outbox, "ConsentRegistry").address)
    dataset, purpose, grantee = b"\x0f" * 32, b"\x10" * 32, ADDRESSES[0]
    send(registry.grant(dataset, purpose, grantee, 2**40))
    what = (account.address, dataset, purpose, grantee)
    assert registry.check_consent(*what) == 2**40
    with pytest.raises(RefusedError, match="consents: "):
        registry.check_consent(account.address, dataset, b"\x11" * 32, grantee)
    send(registry.withdraw(dataset, purpose, grantee))
    assert registry.grant_of(*what).withdrawn > 0
    with pytest.raises(RefusedError, match="consents: "):
        registry.check_consent(*what)


def test_a_signer_elsewhere_signs_transactions_and_typed_data(node, account, anchor):
    """A key that a signer holds signs the same as one in memory; nothing is sent by the signer."""
    remote = RemoteAccount(Rpc(node.url), account.address.lower())
    assert remote.address == account.address
    message = anchor.checkpoint_message(LOG, 1, 1, LEAVES[0])
    assert remote.sign_typed(message) == account.sign_typed(message)
    assert remote.sign_text("a text") == account.sign_text("a text")
    before = node("eth_blockNumber")
    local = _local_transaction(anchor)
    assert remote.sign_transaction(local) == account.sign_transaction(local)
    assert node("eth_blockNumber") == before


@pytest.mark.parametrize("method", ["eth_signTransaction", "eth_signTypedData_v4", "personal_sign"])
def test_a_signer_elsewhere_is_not_believed(method, liar, node, account, anchor):
    """A signature by another key, of something else, or that is none, is refused."""
    other = node("eth_accounts")[1]
    remote = RemoteAccount(Rpc(liar.url), account.address)
    message = anchor.checkpoint_message(LOG, 1, 1, LEAVES[0])
    transaction = _local_transaction(anchor)

    def sign():
        if method == "eth_signTransaction":
            return remote.sign_transaction(transaction)
        if method == "personal_sign":
            return remote.sign_text("a text")
        return remote.sign_typed(message)

    wrong = [
        bytes(remote_sign(node, method, other, transaction, message)),
        b"",
        b"\x02",
        bytes(65),
        b"\xff" * 65,
    ]
    for value in wrong:
        liar.lie = lambda asked, _params, answer, it=value: (
            answer | {"result": "0x" + it.hex()} if asked == method else answer
        )
        with pytest.raises((SignatureError, VerificationError, FormatError, UnavailableError)):
            sign()
    liar.lie = lambda asked, _params, answer: (
        answer | {"result": {"tx": 5}} if asked == method else answer
    )
    with pytest.raises(UnavailableError):
        sign()


def remote_sign(node, method, address, transaction, message):
    """What another account of the node signs."""
    other = RemoteAccount(Rpc(node.url), address)
    if method == "eth_signTransaction":
        return other.sign_transaction(transaction).raw
    if method == "personal_sign":
        return bytes(other.sign_text("a text"))
    return bytes(other.sign_typed(message))


def _local_transaction(anchor):
    return Transaction(4711, 77, advance(anchor, 1, LEAVES[0]), 300_000, 10**10, 10**9)


def test_digests_are_what_the_contract_computes(anchor):
    """What is signed here is the digest of EIP-712 for this chain, contract and log."""
    message = anchor.checkpoint_message(LOG, 1, 1, LEAVES[0])
    assert message["domain"]["verifyingContract"] == anchor.address
    signature = MEMBERS[0].sign_typed(message)
    assert signature.recover(digest(message)) == MEMBERS[0].address


def test_web3_reaches_the_same_node(open_outbox, liar):
    """`chain.web3` is web3.py over our requests; a node that refuses is web3's own error there."""
    chain = open_outbox(liar.url).chain
    assert chain.web3.eth.chain_id == 4711
    assert chain.web3.is_connected()
    with pytest.raises(Web3RPCError):
        chain.web3.manager.request_blocking("eth_nothing", [])
    liar.lie = lambda *_: None
    assert not chain.web3.is_connected()
    with pytest.raises(UnavailableError):
        _ = chain.web3.eth.block_number
