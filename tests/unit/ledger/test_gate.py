from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

import counterfoil as cf
from counterfoil.core.envelope import sign_envelope
from counterfoil.core.requirements import Mode
from counterfoil.core.statement import format_statement
from counterfoil.core.succession import policy_statement


def answer(rows):
    return ["yes" for _ in rows]


@pytest.fixture
def ledger(tmp_path):
    """A new ledger, in observe mode."""
    with cf.init(tmp_path / "ledger") as ledger:
        yield ledger


@pytest.fixture
def model(ledger):
    """A model that decides there."""
    return ledger.models.add(answer, name="loans")


@pytest.fixture
def behind(ledger):
    """Sets a mode by a policy that is then taken back here, as if adopted on another machine."""

    def stay_behind(mode):
        adopted = ledger.places.trust.read_bytes()
        entry = ledger.policy.enforce(mode=mode)
        newest = ledger.places.trust.read_bytes()
        ledger.places.trust.write_bytes(adopted)
        return entry, newest

    return stay_behind


@pytest.mark.parametrize(("here", "there"), [("observe", "enforce"), ("enforce", "observe")])
def test_a_machine_that_is_behind_lets_nothing_through(ledger, model, behind, here, there):
    """Where the adopted policy or the one that follows it enforces, every gate refuses."""
    if here == "enforce":
        ledger.policy.enforce()
    entry, newest = behind(Mode(there))
    ledger.data.add([[1]], name="rows")
    acts = (
        lambda: model.decide([[1]]),
        lambda: ledger.models.promote("loans"),
        lambda: ledger.models.load("loans", predictor=answer),
        lambda: ledger.data.clear("rows", "training"),
    )
    for act in acts:
        with pytest.raises(cf.RefusedError) as caught:
            act()
        assert f"trust policy, entry {entry} of the log, is not adopted" in caught.value.reasons[0]
        assert "counterfoil policy adopt FILE" in caught.value.reasons[0]
    assert ledger.people.systems() == []  # not one decision
    if there == "observe":
        ledger.places.trust.write_bytes(newest)
        assert len(model.decide([[1]])) == 1


def test_where_no_policy_enforces_being_behind_is_said(ledger, model, behind):
    """Refusing is not what either policy asks for: the work goes on, warned of and written down."""
    entry, newest = behind(Mode.WARN)
    with pytest.warns(UserWarning, match="is not adopted on this machine"):
        batch = model.decide([[1]])
    written = ledger.find(predicate="refusal")[-1]
    assert written.index == batch.clearance
    assert f"entry {entry} of the log" in written.statement.predicate["reasons"][0]
    ledger.places.trust.write_bytes(newest)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "'loans' at stage 'production': evaluation")
        assert len(model.decide([[1]])) == 1


def test_what_anybody_may_append_stops_no_gate(ledger, model):
    """A policy counts if it follows the adopted one, signed by those who may replace that."""
    ledger.add_principal("risk")
    policy = ledger.policy.show()
    draft = policy.followed_by(
        stages=tuple(replace(one, mode=Mode.ENFORCE) for one in policy.stages)
    )
    for policy, signer in ((draft, "risk"), (replace(draft, version=3), "operator")):
        data = format_statement(policy_statement(policy))
        ledger.append_envelope(sign_envelope(data, ledger.principal_key(signer)))
    assert ledger.policy.unadopted() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(model.decide([[1]])) == 1


def test_a_refusal_is_in_the_log_once(ledger, model):
    """What was tried in vain stays visible, and trying again and again writes nothing more."""
    ledger.policy.enforce()
    ledger.data.add([[1]], name="rows")
    acts = (
        lambda: model.decide([[1]]),
        lambda: ledger.models.promote("loans"),
        lambda: ledger.models.load("loans", predictor=answer),
        lambda: ledger.models.clear(model, "production"),
        lambda: ledger.data.clear("rows", "resale"),
    )
    said = []
    for act in acts:
        with pytest.raises(cf.RefusedError, match="refused") as caught:
            act()
        said.append(caught.value.index)
        assert f"Entry {caught.value.index} of the log" in caught.value.hint
    written = ledger.find(predicate="refusal")
    assert [one.index for one in written] == sorted(set(said))
    assert [one.statement.predicate["gate"] for one in written] == ["model", "data"]
    assert list(caught.value.reasons) == written[-1].statement.predicate["reasons"]


@pytest.mark.usefixtures("model")
def test_a_refusal_in_the_same_words_counts_where_it_was_first_said(ledger):
    """A yes in between makes the log no longer when the no comes again and again."""
    policy = ledger.policy.show()
    approved = tuple(one for one in policy.stages[0].requirements if one.predicate == "approval")
    stage = replace(policy.stages[0], formats=("callable",), requirements=approved)
    ledger.policy.adopt(policy.followed_by(stages=(stage,)))
    ledger.models.approve("loans", by=("operator",))
    good = ledger.models.show("loans")
    odd = replace(good, format="pickle")
    no, yes = (ledger.models.clear(one, "production").index for one in (odd, good))
    size = ledger.size
    assert [ledger.models.clear(one, "production").index for one in (odd, good)] == [no, yes]
    assert (ledger.size, size) == (size, yes + 1)


@pytest.mark.usefixtures("model")
def test_a_refusal_that_cannot_be_written_stands(ledger):
    """Without the operator's key nothing can be stated, and nothing gets through either."""
    ledger.policy.enforce()
    ledger.places.key("operator").unlink()
    size = ledger.size
    with pytest.raises(cf.RefusedError, match="approval needs") as caught:
        ledger.models.load("loans", predictor=answer)
    assert "does not hold this refusal: the principal 'operator' has no key" in caught.value.hint
    assert (caught.value.index, ledger.size) == (None, size)


def test_what_is_said_of_a_model_names_it(ledger, model):
    """The same function under another name has an answer of its own."""
    other = ledger.models.add(answer, name="other")
    for one in (model, other):
        written = one.decide([[1]]).clearance
        found = ledger.find(subject=one.name, predicate="refusal")
        assert [said.index for said in found] == [written]
