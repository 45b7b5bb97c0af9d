"""Checkpoints anchored on a real chain, by members who do not trust each other."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from dataclasses import replace
from importlib import resources

import jsonschema
import pytest

import counterfoil as cf
from counterfoil.chain.account import LocalAccount
from counterfoil.chain.anchor import CheckpointAnchor
from counterfoil.chain.anchored import kept_anchors
from counterfoil.chain.anchoring import Anchoring
from counterfoil.chain.audit import audit_anchors
from counterfoil.chain.contracts import deploy
from counterfoil.chain.join import rules_for
from counterfoil.chain.member import FileMember, LocalMember, request_path, write_answer
from counterfoil.chain.node import connect
from counterfoil.chain.outbox import Outbox
from counterfoil.chain.profile import ChainProfile
from counterfoil.chain.request import parse_request
from counterfoil.core.anchoring import Finality
from counterfoil.core.principals import Permission
from counterfoil.errors import (
    ConflictError,
    FormatError,
    PolicyError,
    RefusedError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.export import export_site

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")


def test_a_checkpoint_is_anchored_once_and_stated(bank):
    """Three of five sign; the contract holds the log's root; the log says so, in its own form."""
    bank.grow(20)
    size, root = bank.ledger.size, bank.ledger.root
    (made,) = bank.anchoring().run()
    contract = CheckpointAnchor.open(bank.outbox.chain, bank.policy.chain.contract)
    assert contract.root_at(bytes.fromhex(bank.policy.chain.log), size) == root
    text = resources.files("counterfoil.core").joinpath("schemas/anchor.json").read_text()
    jsonschema.validate(dict(made.statement.predicate), json.loads(text))
    assert made.statement.predicate["size"] == size
    before = bank.sent()
    assert bank.anchoring().run() == []
    assert (bank.sent(), bank.stated()) == (before, [size])


def test_a_log_that_only_states_its_anchors_is_not_anchored_again(bank):
    """Nothing new happened, so nothing is paid for; a new entry is news, and the costs add up."""
    bank.anchoring().run()
    assert bank.anchoring().run() == []
    bank.grow()
    assert len(bank.anchoring().run()) == 1
    standing = bank.anchoring().standing()
    assert standing.anchors == len(bank.stated()) == 2
    assert standing.cost_wei > 0
    assert not standing.is_stopped


def test_too_few_members_anchor_nothing(bank):
    """Two of the three that it takes have signed: nothing is sent, and what lacks is named."""
    before = bank.sent()
    with pytest.raises(UnavailableError, match="2 of the 3 members") as caught:
        bank.anchoring("alpha", "beta").run()
    assert "nobody here knows how to ask" in str(caught.value)
    assert bank.sent() == before + 1  # the log was opened
    bank.anchoring("gamma").run()  # the two answers were kept
    assert len(bank.stated()) == 1


def test_where_validators_are_named_a_block_that_they_did_not_seal_is_stated_nowhere(bank):
    """A node that makes up a chain is found out by who anchors, not only by who verifies later."""
    named = replace(bank.policy.chain, validators=("0x" + "11" * 20,))
    bank.ledger.policy.adopt(bank.policy.followed_by(chain=named))
    bank.policy = bank.ledger.policy.show()
    with pytest.raises(FormatError, match="was not made by QBFT"):
        bank.anchoring().run()
    assert bank.stated() == []


def test_files_are_handed_around(bank, tmp_path):
    """A member elsewhere signs a file with its own keys, and the next run takes its answer."""
    folder = tmp_path / "exchange"
    far = bank.member("gamma")
    by_file = [FileMember(far.address, folder)]
    with pytest.raises(UnavailableError, match="has not signed"):
        bank.anchoring("alpha", "beta", others=by_file).run()
    size = bank.ledger.size
    bank.grow(5)  # it goes on; what was asked stays
    asked = request_path(folder, size)
    write_answer(asked, far.sign(parse_request(asked.read_bytes())))
    bank.anchoring("alpha", "beta", others=by_file).run()
    assert bank.stated() == [size]


def test_another_request_of_the_same_size_takes_the_place_of_the_first(bank, tmp_path):
    """After a rotation members are handed what the new epoch asks, not what the old one did."""
    folder = tmp_path / "exchange"
    far = FileMember(bank.member("gamma").address, folder)
    with pytest.raises(UnavailableError):
        bank.anchoring("alpha", others=[far]).run()
    asked = request_path(folder, bank.ledger.size)
    later = replace(parse_request(asked.read_bytes()), epoch=2)
    with pytest.raises(UnavailableError, match="has not signed"):
        far.sign(later)
    assert parse_request(asked.read_bytes()) == later


def test_a_forged_answer_counts_for_nobody(bank, tmp_path):
    """An outsider's signature in a member's name is refused, and keeps nobody else from signing."""
    folder = tmp_path / "exchange"
    real, outsider = bank.member("gamma"), LocalAccount(b"\7" * 32)
    by_file = FileMember(real.address, folder)
    with pytest.raises(UnavailableError):
        bank.anchoring("alpha", "beta", others=[by_file]).run()
    asked = request_path(folder, bank.ledger.size)
    request = parse_request(asked.read_bytes())
    theirs = LocalMember(bank.policy, bank.clients["gamma"], outsider).sign(request)
    write_answer(asked, replace(theirs, address=real.address))
    with pytest.raises(UnavailableError, match="is false"):
        bank.anchoring("alpha", "beta", others=[by_file]).run()
    bank.anchoring("alpha", "beta", "delta", others=[by_file]).run()
    assert len(bank.stated()) == 1


@pytest.mark.parametrize("part", ["chain_id", "contract", "log"])
def test_a_member_signs_only_for_the_place_it_agreed_to(bank, tmp_path, part):
    """A request for another chain, contract or log is refused, and leaves no trace with it."""
    folder = tmp_path / "exchange"
    with pytest.raises(UnavailableError):
        bank.anchoring("alpha", others=[FileMember(bank.member("beta").address, folder)]).run()
    request = parse_request(request_path(folder, bank.ledger.size).read_bytes())
    other = {"chain_id": 1, "contract": "0x" + "11" * 20, "log": bytes(32)}
    with pytest.raises(PolicyError, match="another place"):
        bank.member("beta").sign(replace(request, **{part: other[part]}))
    assert not list(bank.clients["beta"].folder.glob("*.checkpoint"))


def test_a_member_never_goes_back(bank, tmp_path):
    """Who remembers a larger size does not sign a smaller one; a newer request is made instead."""
    folder = tmp_path / "exchange"
    far = FileMember(bank.member("gamma").address, folder)
    with pytest.raises(UnavailableError):
        bank.anchoring("alpha", others=[far]).run()
    old = parse_request(request_path(folder, bank.ledger.size).read_bytes())
    bank.grow(3)
    bank.clients["beta"].add_checkpoint(0, (), bank.ledger.checkpoint)
    with pytest.raises(ConflictError, match="last witnessed"):
        bank.member("beta").sign(old)
    newer = bank.ledger.size
    bank.anchoring("alpha", "beta", "delta").run()
    assert bank.stated() == [newer]


def test_members_follow_from_whatever_size_they_remember(bank):
    """A witness cosigns in between what the log publishes: the next request proves from there."""
    for name in NAMES:
        bank.grow()
        bank.clients[name].add_checkpoint(0, (), bank.ledger.checkpoint)
    bank.grow()
    newest = bank.ledger.size
    bank.anchoring().run()
    assert bank.stated() == [newest]


def test_a_request_made_anew_keeps_the_answers_to_the_same_checkpoint(bank):
    """From where it is proven is not what they signed, so nobody's word undoes their work."""
    with pytest.raises(UnavailableError, match="2 of the 3 members"):
        bank.anchoring("alpha", "beta").run()
    bank.anchoring()._renew(1)
    assert len(bank.anchoring("gamma").run()) == 1


def test_answers_to_an_older_checkpoint_are_not_taken_for_a_newer_one(bank):
    """What was signed was another size."""
    with pytest.raises(UnavailableError, match="2 of the 3 members"):
        bank.anchoring("alpha", "beta").run()
    bank.grow()
    bank.anchoring()._renew(1)
    with pytest.raises(UnavailableError, match="1 of the 3 members"):
        bank.anchoring("gamma").run()


STEPS = {
    "asked": ("counterfoil.chain.desk.Desk.ask", "after"),
    "answered": ("counterfoil.chain.desk.Desk.keep", "after"),
    "before it is sent": ("counterfoil.chain.outbox.Outbox.submit", "before"),
    "sent": ("counterfoil.chain.outbox.Outbox.submit", "after"),
    "final": ("counterfoil.chain.outbox.Outbox.wait", "after"),
    "proof kept": ("counterfoil.chain.anchoring.keep_anchor", "after"),
    "before it is stated": ("counterfoil.ledger.log.Log.attest", "before"),
    "stated": ("counterfoil.ledger.log.Log.attest", "after"),
    "cleared": ("counterfoil.chain.desk.Desk.clear", "before"),
}


class Stopped(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", STEPS)
def test_a_stop_at_any_step_anchors_once(bank, monkeypatch, step):
    """Whatever step we stop at, the next run finishes it: one transaction, one statement."""
    bank.anchoring().run()
    bank.grow(10)
    size, sent = bank.ledger.size, bank.sent()
    where, when = STEPS[step]
    module, _, name = where.rpartition(".")
    owner = _resolve(module)
    real = getattr(owner, name)

    def stop(*args, **more):
        if when == "after":
            real(*args, **more)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stop)
        with pytest.raises(Stopped):
            bank.anchoring().run()
    bank.anchoring().run()
    assert bank.sent() == sent + 1
    assert bank.stated()[-1] == size
    assert len(bank.stated()) == 2
    assert kept_anchors(bank.ledger, bank.policy.chain)[-1] == size


def _resolve(path):
    module, _, name = path.rpartition(".")
    try:
        return __import__(path, fromlist=["_"])
    except ModuleNotFoundError:
        return getattr(__import__(module, fromlist=["_"]), name)


def test_what_somebody_else_submitted_is_stated_too(bank):
    """Anyone may submit what a quorum signed; after days off, the log catches up and says so."""
    bank.anchoring().run()
    for _ in range(3):
        bank.grow(4)
        request = bank.anchoring()._renew()
        answers = [bank.member(name).sign(request) for name in NAMES[:3]]
        anchored = bank.anchoring().standing().anchored.size
        call = bank.anchoring().contract.advance(
            bytes.fromhex(bank.policy.chain.log),
            request.checkpoint.size,
            request.checkpoint.root,
            bank.ledger.consistency(anchored, request.checkpoint.size),
            [answer.signature for answer in answers],
        )
        bank.outbox.submit(f"somebody {request.checkpoint.size}", call)
        bank.outbox.wait(f"somebody {request.checkpoint.size}")
    made = bank.anchoring().run()
    assert [one.statement.predicate["transaction"] for one in made] == [None] * 3
    assert len(bank.stated()) == 4


def test_a_restored_snapshot_is_told_that_it_is_behind(bank, tmp_path):
    """A folder from before the newest anchor is refused: nobody is asked to sign."""
    bank.grow(3)
    bank.ledger.close()
    shutil.copytree(tmp_path / "ledger", tmp_path / "snapshot")
    bank.ledger = cf.open(tmp_path / "ledger")
    bank.grow(3)
    bank.anchoring().run()
    with cf.open(tmp_path / "snapshot") as behind:
        members = [bank.member(name) for name in NAMES]
        with pytest.raises(ConflictError, match="are anchored in block"):
            Anchoring(behind, bank.outbox, members).run()
        with pytest.raises(ConflictError, match="are anchored in block"):
            audit_anchors(behind, bank.outbox.chain, bank.policy.chain)


def test_a_mirror_that_is_behind_is_told_to_be_updated(bank, tmp_path):
    """A copy that was not updated since is named as it was given, and nobody starts a new log."""
    bank.grow(3)
    export_site(bank.ledger, tmp_path / "site")
    bank.grow(3)
    bank.anchoring().run()
    with cf.open(tmp_path / "site", trust=bank.ledger.places.trust) as copy:
        with pytest.raises(ConflictError, match="this copy may be behind the log") as caught:
            audit_anchors(copy, bank.outbox.chain, bank.policy.chain)
        assert str(caught.value).startswith(f"{tmp_path / 'site'} has ")
        assert "Update the copy" in caught.value.hint


def test_a_rewritten_log_is_told_by_its_anchors(consortium, tmp_path):
    """Who rewrites the log with its own keys, witnesses and all, is caught by the chain."""
    bank = consortium()
    bank.ledger.close()
    shutil.copytree(tmp_path / "ledger", tmp_path / "forked")
    bank.ledger = cf.open(tmp_path / "ledger")
    bank.grow(3)
    bank.anchoring().run()
    shutil.rmtree(bank.ledger.places.witness)
    with cf.open(tmp_path / "forked") as forked:
        forked.append_many([b"another"] * 9)
        with pytest.raises(VerificationError, match="holds another root"):
            Anchoring(forked, bank.outbox).run()
        with pytest.raises(VerificationError, match="holds another root"):
            audit_anchors(forked, bank.outbox.chain, bank.policy.chain)


def test_every_anchor_is_compared(bank):
    """An audit compares the log with all anchors, not with the newest alone."""
    for _ in range(3):
        bank.grow(2)
        bank.anchoring().run()
    seen = []
    found = audit_anchors(
        bank.ledger, bank.outbox.chain, bank.policy.chain, lambda *done: seen.append(done)
    )
    assert (found.anchors, seen) == (3, [(1, 3), (2, 3), (3, 3)])
    assert not found.is_stopped


def test_another_contract_is_not_taken_for_the_policys(bank):
    """A policy that means other code than stands there is refused before anything is asked."""
    wrong = replace(bank.policy.chain, code_hash="00" * 32)
    with pytest.raises(PolicyError, match="not the one that the policy means"):
        audit_anchors(bank.ledger, bank.outbox.chain, wrong)
    nobody = replace(bank.policy.chain, contract="0x" + "22" * 20)
    with pytest.raises(VerificationError, match="no contract"):
        audit_anchors(bank.ledger, bank.outbox.chain, nobody)


def test_an_outbox_on_another_chain_is_refused_at_the_start(bank, start_node):
    """Both chains are named, and nobody there is paid for what would not count."""
    other = start_node("--chain-id", "9999")
    chain = connect(other.url, ChainProfile("other", 9999, Finality.IMMEDIATE))
    with Outbox(chain, bank.outbox.account) as outbox:
        # The same contract at the same address: only the chain is another one.
        deployed = deploy(outbox, "CheckpointAnchor")
        assert deployed.address.lower() == bank.policy.chain.contract
        with pytest.raises(PolicyError, match="9999") as refused:
            Anchoring(bank.ledger, outbox, [bank.member(name) for name in NAMES])
    assert "4711" in str(refused.value)
    assert chain.nonce(outbox.account.address) == 1
    assert not list(bank.clients["alpha"].folder.glob("*.checkpoint"))


def test_a_split_view_stops_the_log(bank):
    """Two roots of one size, signed by a quorum: shown by anyone, and nothing more is anchored."""
    anchoring = bank.anchoring()
    anchoring.run()
    log_id = bytes.fromhex(bank.policy.chain.log)
    roots = (b"\1" * 32, b"\2" * 32)
    signed = [
        [
            bank.accounts[name].sign_typed(
                anchoring.contract.checkpoint_message(log_id, 1, 1000, root)
            )
            for name in NAMES[:3]
        ]
        for root in roots
    ]
    report = anchoring.contract.report_split(
        log_id, epoch=1, size=1000,
        root_a=roots[0], signatures_a=signed[0], root_b=roots[1], signatures_b=signed[1],
    )  # fmt: skip
    bank.outbox.submit("split", report)
    bank.outbox.wait("split")
    bank.grow()
    with pytest.raises(RefusedError) as refused:
        bank.anchoring().run()
    assert "split view" in refused.value.reasons[0]
    assert bank.anchoring().standing().is_stopped


@contextlib.contextmanager
def mining(node):
    """Blocks go on being made, as on a chain that others use."""
    is_over = threading.Event()

    def mine():
        while not is_over.wait(0.02):
            node("evm_mine")

    thread = threading.Thread(target=mine)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_an_anchor_in_a_block_that_goes_is_anchored_again(node, consortium, profile):
    """A reorganisation takes its block away: it is not stated before, and is sent again."""
    with mining(node):
        bank = consortium(profile("confirmations", 3))
        bank.anchoring().run()
    stated = bank.stated()
    bank.grow(2)
    with pytest.raises(UnavailableError, match="not final"):
        bank.anchoring().run(timeout_s=0.2)
    assert bank.stated() == stated
    node("anvil_reorg", 1, [])
    with mining(node):
        (made,) = bank.anchoring().run()
    block = made.statement.predicate["block"]
    assert bank.outbox.chain.block(block["number"]).hash.hex() == block["hash"]
    assert len(bank.stated()) == len(stated) + 1


def test_clocks_that_disagree_anchor_all_the_same(bank, node):
    """A chain years ahead, a clock of ours that runs backwards: one transaction, at its time."""
    node("evm_setNextBlockTimestamp", 2_500_000_000)
    bank.anchoring().run()
    (stated,) = [one.statement.predicate["block"] for one in bank.ledger.find(predicate="anchor")]
    # A busy machine may come to it a block later, which is a second by the chain's clock.
    assert 0 <= stated["time"] - 2_500_000_000 < 60
    now = [bank.ledger.clock()]

    def backwards():
        now[0] -= 3600
        return now[0]

    bank.ledger.clock = backwards
    bank.outbox._clock = backwards
    bank.grow()
    sent = bank.sent()
    assert len(bank.anchoring().run()) == 1
    assert bank.sent() == sent + 1


def test_an_operator_who_may_not_state_anchors_pays_for_none(bank):
    """A policy that does not let it say so is met before anything is sent or appended."""
    may = (Permission("stream", "*"), Permission("batch", "*"))
    operator, *others = bank.policy.principals
    narrow = bank.ledger.policy.show().followed_by(principals=(replace(operator, may=may), *others))
    bank.ledger.policy.adopt(narrow)
    sent, size = bank.sent(), bank.ledger.size
    for _ in range(2):
        with pytest.raises(PolicyError, match="may not say `anchor`"):
            bank.anchoring().run()
    assert (bank.sent(), bank.ledger.size) == (sent, size)


def test_a_ledger_that_changes_its_place_anchors_there(bank):
    """What was asked at the old place is dropped, and the new one gets its own anchors."""
    with pytest.raises(UnavailableError):
        bank.anchoring("alpha").run()
    drafted = bank.ledger.policy.show()
    rules = rules_for(
        drafted, bank.outbox.chain, bank.anchoring().contract, threshold=1, operators=("Others",)
    )
    bank.ledger.policy.adopt(drafted.followed_by(chain=rules))
    bank.policy = bank.ledger.policy.show()
    (made,) = bank.anchoring().run()
    assert made.statement.predicate["log"] == rules.log
    assert bank.anchoring().run() == []


def test_what_was_said_and_did_not_count_is_not_said_again_and_again(bank):
    """A statement counts once, where it stood first; repeating it would only fill the log."""
    bank.anchoring().run()
    (found,) = bank.ledger.find(predicate="anchor")
    size = bank.ledger.size
    anchoring = bank.anchoring()
    assert anchoring._attest(anchoring.standing().anchored) is None
    assert bank.ledger.size == size
    assert found.index < size
