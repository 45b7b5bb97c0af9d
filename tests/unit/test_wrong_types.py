from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest

import counterfoil as cf
from counterfoil.ledger import Mode

ROWS = [[1800.0], [2600.0]]
DAY = date(2099, 1, 1)
REASON = {"basis": "consent withdrawn", "approvers": ("dpo", "legal")}


def score(rows):
    return [0.1 if income < 2000 else 0.9 for (income,) in rows]


@pytest.fixture(autouse=True)
def home(home_of_all, monkeypatch):
    """The same for all tests here, as they share a ledger."""
    monkeypatch.setenv("COUNTERFOIL_HOME", str(home_of_all))


@pytest.fixture(scope="module")
def bank(home_of_all, tmp_path_factory):
    """A ledger, its model, and the two decisions that it made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COUNTERFOIL_HOME", str(home_of_all))
        with cf.init(tmp_path_factory.mktemp("bank") / "ledger") as ledger:
            model = ledger.models.add(score, name="loans")
            batch = model.decide(ROWS, data_subjects=["anna", "ben"], tickets=True)
            yield SimpleNamespace(
                ledger=ledger,
                model=model,
                batch=batch,
                models=ledger.models,
                decisions=ledger.decisions,
                people=ledger.people,
                policy=ledger.policy,
            )


def serve(bank, act):
    with bank.decisions.serve(bank.model) as serving:
        act(serving)


def add(bank, answer):
    bank.models.add(answer, name="answers").decide(ROWS)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        # Another thing than the one asked for.
        (lambda b: b.policy.enforce("production", "enforced"), "'enforced' is no mode of a gate"),
        (lambda b: b.policy.enforce("production", None), "None is no mode of a gate"),
        (lambda b: b.policy.adopt("trust.toml"), "a trust policy was asked for, not the str"),
        (lambda b: b.policy.require_successor(b"", by=("x",)), "a trust policy was asked for"),
        (lambda b: b.models.clear(5, "production"), "name or digest of a model was asked for"),
        (lambda b: b.models.attest_evaluation(None, {}), "name or digest of a model was asked"),
        (lambda b: b.models.approve(None, by=["operator"]), "name or digest of a model was"),
        (lambda b: b.models.show(b.model), "name or digest of a model was asked for, not the Mo"),
        (lambda b: b.models.revoke("loans", None), "a reason in words was asked for"),
        (lambda b: b.models.approve("loans", by=["operator"], expires=DAY), "a time as text was"),
        (lambda b: b.models.add(score, name="x", trained_on=5), "data sets was asked for, not"),
        (lambda b: b.models.add(score, name="x", trained_on=[5]), "name or digest of a data set"),
        (lambda b: b.ledger.data.show(None), "name or digest of a data set was asked for"),
        (lambda b: b.model.on({"threshold": 0.5}), "terms was asked for, not the dict"),
        (lambda b: b.decisions.reconcile("loans", ["t.json"]), "bytes as number 0 of a list of t"),
        (lambda b: b.decisions.reconcile("loans", b.batch[0].ticket), "a list of tickets was ask"),
        (lambda b: b.decisions.list(2**70), "the name of a system was asked for, not the int"),
        (lambda b: b.decisions.show(None, 0), "the name of a system was asked for, not the None"),
        (lambda b: serve(b, lambda s: s.ticket(None)), "what `record` returned was asked for"),
        (lambda b: b.people.erase("anna", request="text", **REASON), "the request as bytes was"),
        (lambda b: b.people.erasures("text"), "the request as bytes was asked for, not the str"),
        (lambda _: cf.init("nowhere", organisation=None), "a text as the organisation was asked"),
        (lambda b: b.ledger.attest([b.model], "approval", {}), "Subject as number 0 of a list of"),
        (lambda b: b.ledger.attest(b.model, "approval", {}), "a list of subjects was asked for"),
        (lambda b: b.ledger.attest([b.model.subject], "approval", None), "a predicate was asked"),
        (lambda b: b.ledger.append_envelope(b"{}"), "an envelope was asked for, not the bytes"),
        # Numbers.
        (lambda b: b.ledger.receipt("1"), "the index of an entry was asked for, not the str"),
        (lambda b: b.ledger.entry(0.5), "the index of an entry was asked for, not the float"),
        (lambda b: b.ledger.root_at("1"), "the size of a log was asked for, not the str"),
        (lambda b: b.ledger.consistency("1"), "the size of a log was asked for, not the str"),
        (lambda b: b.ledger.read_entries(-1, 1), "no entries from -1 to 1: .* has [0-9]+, "),
        (lambda b: b.ledger.read_entries(0, 99), "no entries from 0 to 99: .* has [0-9]+, "),
        (lambda b: list(b.ledger.entries(0, 99)), "no entries from 0 to 99"),
        (lambda b: list(b.ledger.checked(-1, 1)), "no entries from -1 to 1"),
        (lambda b: b.ledger.read_run(0, 0), "a run has one entry at least"),
        (lambda b: b.ledger.find(last=-1), "of the newest -1 statements"),
        (lambda b: b.ledger.find(last="1"), "how many of the newest was asked for, not the str"),
        (lambda b: b.ledger.find(subject=2**70), "a text as the subject was asked for, not the"),
        # A text where a list belongs would be taken letter by letter.
        (lambda b: b.models.approve("loans", by="operator"), "a list of principals was asked for"),
        (lambda b: b.models.add(score, name="x", by="operator"), "a list of principals was asked"),
        (lambda b: b.models.add(score, name="x", trust="pickle"), "a list of Python types was ask"),
        (lambda b: b.models.revoke("loans", "bias", by="operator"), "a list of principals was"),
        (lambda b: b.policy.enforce(by="operator"), "a list of principals was asked for"),
        (lambda b: b.ledger.attest([b.model.subject], "x", {}, by="op"), "a list of principals"),
        (lambda b: b.ledger.attest([b.model.subject], "x", {}, by=[5]), "str as number 0 of a li"),
        (lambda b: b.ledger.data.add([[1]], name="d", purposes="training"), "a list of purposes"),
        (lambda b: b.batch[0].evidence(withhold="inputs"), "a list of fields was asked for"),
        (lambda b: b.ledger.evidence.make(b.batch[0], earlier="x"), "a list of ledgers was asked"),
        (lambda b: b.ledger.evidence.make(b.batch[0], later=b.ledger), "a list of ledgers was"),
        (lambda b: b.people.erase("anna", basis="x", approvers="ab"), "two approvers was asked"),
        (
            lambda b: b.people.erase("anna", basis="x", approvers=("a", "b"), without="loans"),
            "a list of systems was asked for, not the str",
        ),
        (lambda b: b.people.export("anna", without="loans"), "a list of systems was asked for"),
        (
            lambda b: b.models.evaluate(
                "loans", ROWS, [0, 1], data="x", groups="ab", predictor=score
            ),
            "a list of groups was asked for, not the str",
        ),
        # Answers that have no order, or no places.
        (lambda b: add(b, lambda _: {"yes", "no"}), "the model answered with one set for 2 rows"),
        (lambda b: add(b, lambda _: {"a": 1, "b": 2}), "the model answered with one dict for 2"),
        (lambda b: add(b, lambda _: {"a": 1, "b": 2}.values()), "with one dict_values for 2 rows"),
    ],
)
def test_what_is_handed_over_by_mistake_is_named(bank, act, says):
    """One sentence names the argument, a hint how to get it right, and nothing is written down."""
    before = bank.decisions.list("loans")
    with pytest.raises(cf.FormatError, match=says) as caught:
        act(bank)
    assert caught.value.hint
    assert bank.decisions.list("loans") == before


def test_what_means_the_same_is_taken(bank):
    """Numbers of other libraries, names of models, words of the command line, an empty range."""
    ledger, size = bank.ledger, bank.ledger.size
    assert ledger.receipt(np.int64(1)) == ledger.receipt(1)
    assert ledger.root_at(np.int64(1)) == ledger.root_at(1)
    assert ledger.read_entries(np.int64(0), np.int64(2)) == [ledger.entry(0), ledger.entry(1)]
    assert ledger.read_entries(0, 0) == ledger.read_entries(size, size) == []
    assert list(ledger.entries(0, 0)) == list(ledger.checked(0, 0)) == []
    assert ledger.find(last=2**70) == ledger.find()
    assert ledger.models.clear("loans", "production").subject == bank.model.subject
    made = ledger.models.attest_evaluation(bank.model.digest, {"data": None, "metrics": {}})
    assert made.statement.subjects == (bank.model.subject,)
    for mode in ("warn", Mode.OBSERVE):
        ledger.policy.enforce("production", mode)
        assert ledger.policy.show().stages[0].mode is Mode(mode)


def test_a_ticket_is_signed_by_the_service_that_recorded(bank):
    """What another service recorded has an index in another stream."""
    other = bank.models.add(score, name="cards")
    with bank.decisions.serve(bank.model) as serving, bank.decisions.serve(other) as another:
        handle = another.record({"income": 1800}, 0.1, 0.1)
        with pytest.raises(cf.FormatError, match="another service") as caught:
            serving.ticket(handle)
        assert caught.value.hint
        assert another.ticket(handle)
