from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import counterfoil as cf
from counterfoil.ledger.disk import Disk

ROWS = pd.DataFrame({"income": [1800, 2600]})
NUMBERS = pd.Series([4711, 4712])


def score(rows):
    return [0.1 if income < 2000 else 0.9 for income in rows["income"]]


class Moody(Disk):
    """A disk that refuses to sync while it is told to."""

    refuses = False

    def sync(self, fd):
        if self.refuses:
            raise OSError(5, "no")
        super().sync(fd)


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
            terms = cf.Terms(threshold=0.5, outcomes=("refused", "granted"))
            model = ledger.models.add(score, name="loans", terms=terms)
            batch = model.decide(ROWS, data_subjects=["anna", "ben"])
            yield SimpleNamespace(ledger=ledger, model=model, batch=batch)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda b: b.model.decide(ROWS, data_subjects=NUMBERS), "int 4711 for row 0, not a text"),
        (lambda b: b.model.decide(ROWS, data_subjects=["a", 4711]), "int 4711 for row 1"),
        (lambda b: b.model.decide(ROWS, data_subjects=["a", float("nan")]), "float nan for row 1"),
        (lambda b: b.model.decide(ROWS, data_subjects="ab"), "data_subjects came as a str"),
        (lambda b: b.model.decide(ROWS, data_subjects=4711), "data_subjects came as a int"),
        (lambda b: b.model.decide(ROWS, data_subjects={"a", "b"}), "came as a set"),
        (lambda b: b.model.decide(ROWS, data_subjects=ROWS), "came as a DataFrame"),
        (lambda b: b.model.decide(ROWS, references=NUMBERS), "references has the int 4711"),
        (lambda b: b.ledger.people.export(4711), "a text, not by the int 4711"),
        (lambda b: b.ledger.people.holds(4711), "a text, not by the int 4711"),
        (lambda b: b.ledger.decisions.list("loans", data_subject=4711), "by the int 4711"),
        (
            lambda b: b.ledger.people.hold("anna", basis="suit", by="law", until="2099-01-01"),
            "a day was asked for, not the str '2099-01-01'",
        ),
        (lambda b: b.ledger.people.hold("anna", basis=1, by="law"), "the basis of a hold"),
        (lambda b: b.ledger.decisions.show("loans", "0"), "the number of a record was asked for"),
        (lambda b: b.ledger.decisions.replay(0, b.model), "a decision was asked for, not the int"),
        (lambda b: b.ledger.decisions.replay(b.batch[0], "loans"), "a model was asked for"),
        (lambda b: b.ledger.decisions.override(0, "granted", "r", reviewer="v"), "a decision was"),
        (lambda b: b.ledger.decisions.serve("loans"), "a model was asked for, not the str"),
        (lambda b: b.ledger.evidence.make(0), "a decision was asked for, not the int 0"),
        (lambda b: b.ledger.models.add(score, name=5), "a text as the name of a model"),
        (lambda b: b.ledger.models.add(score, name="x", terms={"threshold": 1}), "terms was asked"),
        (lambda _: cf.verify(None), "a path was asked for, not the NoneType None"),
        (lambda b: cf.verify(b.batch[0].evidence(), trust=5), "a path was asked for"),
        (lambda b: b.batch[0].evidence().save(5), "a path was asked for"),
        (lambda _: cf.open(None), "a path was asked for"),
    ],
)
def test_a_value_of_a_wrong_type_is_a_bad_input(bank, act, says):
    """Whatever is handed over by mistake ends in one sentence and a hint, and records nothing."""
    with pytest.raises(cf.FormatError, match=says) as caught:
        act(bank)
    assert caught.value.hint
    assert bank.ledger.decisions.list("loans")[:2] == [0, 1]
    assert len(bank.ledger.decisions.list("loans", data_subject="anna")) >= 1


def test_texts_of_other_libraries_name_people(bank):
    """A column of customer numbers names people once it is text; numpy's integers count."""
    before = len(bank.ledger.decisions.list("loans"))
    batch = bank.model.decide(ROWS, data_subjects=NUMBERS.astype(str), references=["1", None])
    assert bank.ledger.decisions.list("loans", data_subject="4711") == [before]
    assert bank.ledger.decisions.show("loans", np.int64(before)).leaf == batch[0].leaf
    day = datetime(2099, 1, 1, tzinfo=UTC)
    assert bank.ledger.people.hold("4712", basis="suit", by="law", until=day).until


def test_an_outcome_that_nobody_ever_had_is_taken_for_a_slip(bank):
    """A letter about a misspelt outcome would hold; another outcome has to be said to be one."""
    decisions, refused = bank.ledger.decisions, bank.batch[0]
    with pytest.raises(cf.FormatError, match=r"no decision of late has .* 'grantd'") as caught:
        decisions.override(refused, "grantd", "misread", reviewer="r4")
    assert "'refused'" in str(caught.value)
    assert "'granted'" in str(caught.value)
    assert "--new-outcome" in caught.value.hint
    first = decisions.override(refused, "granted", "misread", reviewer="r4")
    second = decisions.override(refused, "half of it", "agreed", reviewer="r5", new_outcome=True)
    assert decisions.overrides(refused) == [first.index, second.index]
    assert decisions.overrides(bank.batch[1]) == []


def test_overrides_of_a_decision_about_nobody_are_found(bank):
    """Where the record names nobody, the newest records are looked through."""
    nobody = bank.model.decide(ROWS)[0]
    made = bank.ledger.decisions.override(nobody, "granted", "misread", reviewer="r4")
    assert bank.ledger.decisions.overrides(nobody) == [made.index]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"outcome": "grantd"}, "'grantd' is none of those that the terms name"),
        ({"outcome": True}, "True is none of those"),
        ({"score": "0.9"}, "the score is the str '0.9', not a number"),
        ({"score": True}, "the score is the bool True"),
        ({"score": float("nan")}, "the score is the float nan, not a number"),
        ({"score": float("inf")}, "the score is the float inf"),
        ({"score": 0.9}, "is 'refused', and by the terms a score of 0.9 gives 'granted'"),
        ({"score": 0.5}, "a score of 0.5 gives 'granted': the threshold is 0.5"),
        ({"reasons": "granted"}, "reasons by their parts was asked for, not the str"),
        ({"reasons": []}, "reasons by their parts was asked for, not the list"),
        ({"data_subject": 4711}, "a text, not by the int 4711"),
        ({"reference": 4711}, "a text as the reference was asked for"),
        ({"inputs": [1800]}, "the inputs are a list, not values by name"),
        ({"inputs": None}, "the inputs are a NoneType"),
    ],
)
def test_a_server_is_told_what_cannot_be_meant(serving, given, says):
    """What the terms do not know, or no letter could show, is refused before it is recorded."""
    row = {"inputs": {"income": 1800}, "outcome": "refused", "score": 0.1} | given
    with pytest.raises(cf.FormatError, match=says) as caught:
        serving.record(**row)
    assert caught.value.hint
    if "outcome" in given:
        assert caught.value.hint == "They are 'refused' and 'granted'."
    serving.record({"income": 1800}, "refused", np.float64(0.1), reference="4711").wait(30)
    serving.record({"income": 2600}, "granted", 0.5, reasons={"method": "ours"}).wait(30)


@pytest.fixture(scope="module")
def serving(bank):
    """The same model in service, under a name of its own."""
    model = bank.ledger.models.add(score, name="served", terms=bank.model.terms)
    with bank.ledger.decisions.serve(model) as serving:
        yield serving


def test_a_record_whose_batch_could_not_be_appended_is_in_the_next(tmp_path):
    """The disk refuses the batch: the record is kept, and goes along with the next decision."""
    disk = Moody()
    cf.init(tmp_path / "ledger").close()
    with cf.Ledger(tmp_path / "ledger", disk=disk) as ledger:
        model = ledger.models.add(score, name="loans")
        with pytest.raises(cf.FormatError):
            ledger.append_many([None])
        model.decide(ROWS[:1])
        disk.refuses = True
        with pytest.raises(cf.UnavailableError):
            model.decide(ROWS[:1])
        disk.refuses = False
        with pytest.raises(cf.FormatError, match="in no batch yet"):
            ledger.decisions.show("loans", 1).evidence()
        model.decide(ROWS[:1])
        verdict = cf.verify(ledger.decisions.show("loans", 1).evidence().save(tmp_path / "1.html"))
        assert verdict.facts["inputs"] == {"income": 1800}
        assert ledger.decisions.list("loans") == [0, 1, 2]
