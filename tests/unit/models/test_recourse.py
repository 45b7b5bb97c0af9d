from __future__ import annotations

import pytest

from counterfoil.errors import FormatError
from counterfoil.models.predict import as_predictor
from counterfoil.models.recourse import MAX_CHANGES, Action, find_changes

LABELS = {"months": "Duration in months"}
ACTIONS = (
    Action("months", tuple(range(6, 60, 3)), "down"),
    Action("home", ("rented", "owned"), "up"),
    Action("income", (20, 40, 60, 80, 100), "up"),
)


@pytest.fixture
def predictor(ebm):
    return as_predictor(ebm.model, threshold=0.5, labels=("refused", "granted"))


def search(predictor, rows, index, actions=ACTIONS, **options):
    decided = predictor.predict(rows)
    return find_changes(
        predictor, rows, decided, index, actions=actions, labels=LABELS, wanted="granted", **options
    )


def test_every_change_flips_the_model(ebm, predictor):
    """Each change that is told, made by hand in the row, makes the model itself say yes."""
    decided = predictor.predict(ebm.rows)
    refused = [i for i in range(len(ebm.rows)) if decided.outcome(i) == "refused"][:25]
    told = 0
    for index in refused:
        for change in search(predictor, ebm.rows, index):
            row = ebm.rows.iloc[[index]].copy()
            assert row[change.feature].item() == change.before
            row[change.feature] = change.after
            assert ebm.model.predict_proba(row)[0, 1] == change.score >= 0.5
            assert change.outcome == "granted"
            told += 1
    assert told > 20


def test_smallest_first_and_one_for_each_feature(ebm, predictor):
    """Changes come smallest first, at most one for a feature, and it is the smallest that works."""
    decided = predictor.predict(ebm.rows)
    for index in range(40):
        if decided.outcome(index) != "refused":
            continue
        changes = search(predictor, ebm.rows, index)
        assert [c.size for c in changes] == sorted(c.size for c in changes)
        assert len({c.feature for c in changes}) == len(changes) <= MAX_CHANGES
        for change in changes:
            if change.feature == "months":
                between = [v for v in ACTIONS[0].values if change.after < v < change.before]
                for months in between:
                    row = ebm.rows.iloc[[index]].assign(months=months)
                    assert ebm.model.predict_proba(row)[0, 1] < 0.5


def test_arrays_and_tables_agree(ebm, predictor):
    """The same row as an array has the same changes."""
    decided = predictor.predict(ebm.rows)
    index = next(i for i in range(300) if decided.outcome(i) == "refused")
    assert search(predictor, ebm.rows.to_numpy(), index) == search(predictor, ebm.rows, index)


@pytest.fixture
def total():
    return as_predictor(
        lambda rows: [float(row["n"]) + (row["c"] == "high") * 5 for row in rows],
        threshold=10,
        labels=("refused", "granted"),
    )


def test_directions_hold(total):
    """Nobody is told to go where a declared direction does not lead."""
    rows = [{"n": 8, "c": "mid"}]
    values = (0, 9, 11, 12)
    assert search(total, rows, 0, (Action("n", values, "down"),)) == []
    found = search(total, rows, 0, (Action("n", values, "up"), Action("c", ("low", "mid", "high"))))
    assert [(c.feature, c.before, c.after) for c in found] == [("n", 8, 11), ("c", "mid", "high")]
    assert search(total, rows, 0, (Action("c", ("high", "mid", "low"), "up"),)) == []


def test_a_category_outside_the_order_stays(total):
    """From a category that is not declared there is no way that could be told."""
    assert search(total, [{"n": 8, "c": "unknown"}], 0, (Action("c", ("low", "high")),)) == []


def test_a_limit(total):
    """No more changes are told than asked for."""
    actions = (Action("n", (8, 11)), Action("c", ("mid", "high")))
    assert len(search(total, [{"n": 8, "c": "mid"}], 0, actions, limit=1)) == 1


def test_a_change_as_a_record_holds_it(total):
    """In a record a change says from, to, and what the model then said."""
    (change,) = search(total, [{"n": 8, "c": "mid"}], 0, (Action("n", (8, 11)),))
    assert change.as_json() == {
        "feature": "n",
        "label": "n",
        "from": 8,
        "to": 11,
        "score": 11.0,
        "outcome": "granted",
    }


def test_wrong_declarations_are_named(total, ebm, predictor):
    """An action on an unknown column, or with values it cannot take, is refused."""
    with pytest.raises(FormatError, match="'z' is declared as changeable"):
        search(total, [{"n": 8, "c": "mid"}], 0, (Action("z", (1,)),))
    with pytest.raises(FormatError, match="holds numbers"):
        search(total, [{"n": 8, "c": "mid"}], 0, (Action("n", ("many",)),))
    with pytest.raises(FormatError, match="does not fit the column 'months'"):
        search(predictor, ebm.rows, 0, (Action("months", (6.5,)),))
