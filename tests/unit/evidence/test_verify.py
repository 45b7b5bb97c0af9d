"""A letter under policies that came after it, before it, or that somebody made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

import counterfoil as cf
from counterfoil.core.canonical import format_json
from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.keys import Algorithm
from counterfoil.core.merkle import Hash
from counterfoil.core.note import parse_note
from counterfoil.core.policy import Predecessor, Succession, parse_policy
from counterfoil.core.principals import Compromise, Permission, Principal
from counterfoil.core.receipt import format_receipt
from counterfoil.core.requirements import Mode
from counterfoil.core.succession import policy_history, policy_statement
from counterfoil.core.text import format_base64
from counterfoil.ledger.keyfiles import generate_key, home_path, load_key
from counterfoil.ledger.ownwitness import OwnWitness
from counterfoil.ledger.splitview import keep_split_view
from counterfoil.ledger.trust import Trust


def say_no(rows):
    return ["no" for _ in rows]


@pytest.fixture
def ledger(tmp_path):
    with cf.init(tmp_path / "ledger") as ledger:
        yield ledger


@pytest.fixture
def letter(ledger):
    """The letter of a decision that only version 1, which observes, lets pass; handed out."""
    return ledger.models.add(say_no, name="credit").decide([[1]])[0].evidence().page()


@pytest.fixture
def entry_file(ledger, letter):
    """An entry, and its receipt."""
    assert letter
    return ledger.entry(0), format_receipt(ledger.receipt(0))


def adopt(ledger, *, by=("operator",), **changes):
    policy = ledger.policy.show()
    draft = replace(policy, version=policy.version + 1, previous=policy.digest.hex(), **changes)
    ledger.policy.adopt(draft, by=by)
    return ledger.policy.show()


def carried(ledger, index, role="policy"):
    return {
        "role": role,
        "entry": format_base64(ledger.entry(index)),
        "receipt": format_receipt(ledger.receipt(index)).decode(),
    }


def exchanging_policies(ledger, evidence, *indices):
    kept = [one for one in evidence.body["statements"] if one["role"] != "policy"]
    statements = [*kept, *(carried(ledger, index) for index in indices)]
    return format_json({**evidence.body, "statements": statements})


@pytest.mark.parametrize("later", [1, 2, 5])
def test_a_letter_outlives_the_policies_that_follow(ledger, letter, tmp_path, monkeypatch, later):
    """Who brings only the newest policy checks a letter made under the first, and is told so."""
    ledger.policy.enforce()
    for number in range(later - 1):
        adopt(ledger, name=f"renamed {number}")
    trust = ledger.folder / "trust.toml"
    assert parse_policy(trust.read_bytes()).version == later + 1
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "elsewhere"))
    verdict = cf.verify(letter, trust=trust)
    assert verdict.trusted
    assert "Version 1 of the trust policy was in force then" in str(verdict.proved)
    assert f"version {later + 1}, which you brought" in str(verdict.proved)
    assert "does not enforce at stage 'production'" in str(verdict.proved)


def test_a_letter_made_later_says_the_same(ledger, letter):
    """Evidence that is made anew under a later policy carries the one of its time, and no more."""
    ledger.policy.enforce()
    adopt(ledger, name="renamed")
    again = ledger.decisions.show("credit", 0).evidence()
    roles = [one["role"] for one in again.body["statements"]]
    assert roles.count("policy") == 1
    assert cf.verify(again).proved == cf.verify(letter).proved


def test_the_policy_of_the_time_has_to_be_there(ledger, letter):
    """A letter without the policy that judges it is refused, not judged by another one."""
    assert letter
    ledger.policy.enforce()
    evidence = ledger.decisions.show("credit", 0).evidence()
    with pytest.raises(cf.PolicyError, match="not at hand"):
        cf.verify(exchanging_policies(ledger, evidence))


def test_a_policy_that_the_trusted_one_does_not_name_judges_nothing(ledger, letter):
    """A lax policy that the operator put into the log and into the letter is not believed."""
    assert letter
    ledger.policy.enforce()
    first = parse_policy((ledger.folder / "trust.toml").read_bytes())
    lax = replace(
        first,
        version=1,
        previous="",
        predecessors=(),
        stages=tuple(replace(one, mode=Mode.OBSERVE) for one in first.stages),
        name="forged",
    )
    statement = policy_statement(lax)
    made = ledger.attest(statement.subjects, "policy", dict(statement.predicate))
    evidence = ledger.decisions.show("credit", 0).evidence()
    with pytest.raises(cf.PolicyError, match="not at hand"):
        cf.verify(exchanging_policies(ledger, evidence, made.index))


def test_an_operator_that_goes_by_the_old_policy_convinces_nobody(ledger, letter, monkeypatch):
    """What was logged after a stricter policy is judged by it, though the file has the old one."""
    assert letter
    old = ledger.places.trust.read_bytes()
    stated = ledger.policy.enforce()
    strict = ledger.policy.show()
    ledger.places.trust.write_bytes(old)
    model = ledger.models.add(say_no, name="credit")
    with monkeypatch.context() as changed:  # our own gate would see the newer one, and refuse
        changed.setattr(Trust, "history", lambda trust, **_: policy_history(trust.show(), []))
        (decision,) = model.decide([[2]])
    evidence = decision.evidence()
    for indices in ([], [0], [0, stated]):
        with pytest.raises(cf.PolicyError, match=r"not cleared|not at hand"):
            cf.verify(exchanging_policies(ledger, evidence, *indices), trust=strict)
    # Put into the log once more, the strict policy still begins where it says.
    statement = policy_statement(strict)
    made = ledger.attest(statement.subjects, "policy", dict(statement.predicate))
    with pytest.raises(cf.PolicyError, match="not cleared"):
        cf.verify(exchanging_policies(ledger, evidence, 0, made.index), trust=strict)


def test_who_brings_an_old_policy_follows_the_signatures(ledger):
    """A verifier with version 1 accepts version 3, which 2 and 3 signed, and no forged one."""
    first = ledger.policy.show()
    vendor = ledger.add_principal("vendor")
    speaks = Principal("vendor", "Vendor", (vendor,), may=(Permission("*", "*"),))
    adopt(ledger, principals=(*first.principals, speaks))
    adopt(ledger, name="renamed")
    model = ledger.models.add(say_no, name="credit", by=("vendor",))
    evidence = model.decide([[1]])[0].evidence()
    indices = [found.index for found in ledger.find(predicate="policy")]
    whole = exchanging_policies(ledger, evidence, *indices)
    verdict = cf.verify(whole, trust=first)
    assert "it follows version 1, which you brought" in str(verdict.proved)
    # Version 3 follows version 2, and not version 1: without the one between, it is nobody's.
    for missing in ([indices[0]], [indices[0], indices[2]]):
        with pytest.raises(cf.VerificationError, match="nobody who may"):
            cf.verify(exchanging_policies(ledger, evidence, *missing), trust=first)
    forged = replace(
        first, version=2, previous=first.digest.hex(), principals=(*first.principals, speaks)
    )
    statement = policy_statement(forged)
    made = ledger.attest(statement.subjects, "policy", dict(statement.predicate), by=("vendor",))
    with pytest.raises(cf.VerificationError, match="nobody who may"):
        cf.verify(exchanging_policies(ledger, evidence, indices[0], made.index), trust=first)


@pytest.mark.parametrize(("from_index", "is_void"), [(0, True), (1_000, False)])
def test_a_theft_found_out_later_voids_older_letters(ledger, from_index, is_void):
    """A key that a later policy calls stolen is void in letters made before anybody knew."""
    root = ledger.add_principal("root")
    boss = Principal("root", "Acme", (root,), may=(Permission("policy", "*"),))
    principals = (*ledger.policy.show().principals, boss)
    both = ("operator", "root")
    adopt(ledger, principals=principals, succession=Succession(1, ("root",)), by=both)
    letter = ledger.models.add(say_no, name="credit").decide([[1]])[0].evidence().page()
    operator = principals[0]
    stolen = replace(operator, compromised=(Compromise(operator.keys[0].label, from_index),))
    newest = adopt(ledger, principals=(stolen, boss), by=("root",))
    if is_void:
        with pytest.raises(cf.VerificationError, match="void"):
            cf.verify(letter, trust=newest)
    else:
        assert cf.verify(letter, trust=newest).trusted


def test_a_predecessor_cannot_be_claimed_to_have_lasted_longer(ledger, letter):
    """A successor that lets its predecessor judge what comes after it is none."""
    assert letter
    first = ledger.policy.show()
    lasting = replace(
        first,
        version=2,
        previous=first.digest.hex(),
        predecessors=(Predecessor(first.digest.hex(), 10_000),),
    )
    with pytest.raises(cf.FormatError, match="other predecessors"):
        ledger.policy.adopt(lasting)
    statement = policy_statement(lasting)
    ledger.attest(statement.subjects, "policy", dict(statement.predicate))
    assert [policy for _, policy in ledger.policy.history().steps] == [first]


@pytest.mark.parametrize("has_policy", [True, False])
def test_a_letter_of_a_log_that_showed_two_histories_is_refused(
    ledger, letter, has_policy, tmp_path, monkeypatch
):
    """Nobody can tell which of them the letter is of; another log of that name is not concerned."""
    signer = load_key(ledger.places.keys / "log.pem")
    trust = ledger.folder / "trust.toml" if has_policy else None
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "elsewhere"))
    other = generate_key(ledger.origin, Algorithm.ED25519)
    for key in (other, signer):
        assert cf.verify(letter, trust=trust).trusted is has_policy
        roots = (Hash(bytes(32)), Hash(b"x" * 32))
        notes = [sign_checkpoint(Checkpoint(ledger.origin, 2, root), key) for root in roots]
        folder = keep_split_view(ledger.origin, *notes)
    with pytest.raises(cf.SplitViewError, match="two histories") as split:
        cf.verify(letter, trust=trust)
    assert [split.value.a, split.value.b] == notes
    folder.rename(tmp_path / "settled")
    assert cf.verify(letter, trust=trust)


def test_what_our_own_witness_proves_counts_for_every_file(
    ledger, letter, entry_file, tmp_path, monkeypatch
):
    """On the machine of a witness that refused the log's fork nothing of that log holds."""
    entry, receipt = entry_file
    signer = load_key(ledger.places.keys / "log.pem")
    trust = ledger.folder / "trust.toml"
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "elsewhere"))
    own = OwnWitness.make("south.example/w")
    own.know(ledger.key)
    own.add_checkpoint(0, (), ledger.checkpoint)
    assert cf.verify(letter, trust=trust).trusted
    fork = sign_checkpoint(Checkpoint(ledger.origin, ledger.size, Hash(b"x" * 32)), signer)
    with pytest.raises(cf.ConflictError):
        own.add_checkpoint(0, (), fork)
    (refused,) = own.folder.glob("*.refused")
    for what, more in ((letter, {}), (receipt, {"entry": entry}), (ledger.folder, {})):
        with pytest.raises(cf.SplitViewError, match="two histories") as split:
            cf.verify(what, trust=trust, **more)
        assert str(refused) in split.value.hint
        assert {parse_note(one).text for one in (split.value.a, split.value.b)} == {
            parse_note(one).text for one in (ledger.checkpoint, fork)
        }
    with pytest.raises(cf.SplitViewError):
        ledger.audit()


def test_who_has_no_home_verifies_all_the_same(ledger, letter, monkeypatch):
    """A letter and a policy are enough: nothing has to be remembered, or written."""
    monkeypatch.setenv("COUNTERFOIL_HOME", "~nobody-of-that-name/home")
    with pytest.raises(cf.UnavailableError, match="no home directory"):
        home_path()
    assert cf.verify(letter, trust=ledger.folder / "trust.toml").trusted
    assert not cf.verify(letter).trusted
    monkeypatch.setenv("COUNTERFOIL_HOME", "/dev/null/home")  # nor can one be made
    assert not cf.verify(letter).trusted
