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
