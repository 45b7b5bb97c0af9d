from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from counterfoil.core.canonical import format_json
from counterfoil.errors import FormatError
from counterfoil.models.evaluate import decimal, evaluate, share

OUTCOMES = [1, 1, 0, 1, 0, 0]
SCORES = [0.9, 0.8, 0.7, 0.4, 0.2, 1.0]
GROUPS = ["b", "b", "a", "a", "a", "b"]


def test_figures_by_hand():
    """The figures are those one gets on paper."""
    found = evaluate(OUTCOMES, SCORES, threshold=0.5, groups=GROUPS)
    assert (found.rows, found.good) == (6, 3)
    assert found.auc == pytest.approx(5 / 9)
    assert found.brier == pytest.approx((0.01 + 0.04 + 0.49 + 0.36 + 0.04 + 1) / 6)
    assert (found.errors.count, found.errors.of) == (3, 6)
    first, second = found.groups
    assert (first.group, first.errors.count, first.errors.of) == ("a", 2, 3)
    assert (first.good_turned_down.count, first.good_turned_down.of) == (1, 1)
    assert (second.group, second.errors.count, second.good_turned_down.count) == ("b", 1, 0)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_in_order(rows):
    """The area under the curve is the share of (good, bad) pairs that the scores put in order."""
    outcomes, scores = [outcome for outcome, _ in rows], [step / 20 for _, step in rows]
    assume(len(set(outcomes)) == 2)
    pairs = [(g / 20, b / 20) for one, g in rows if one for other, b in rows if not other]
    ordered = sum((g > b) + (g == b) / 2 for g, b in pairs)
    found = evaluate(outcomes, scores, threshold=0.5)
    assert found.auc == pytest.approx(ordered / len(pairs))
    assert sum(entry.observed.of for entry in found.calibration) == len(rows)
    assert sum(entry.observed.count for entry in found.calibration) == sum(outcomes)


def test_calibration_bins():
    """A score of one falls into the last bin, and empty bins are left out."""
    found = evaluate([1, 0, 1], [1.0, 0.05, 0.95], threshold=0.5).calibration
    assert [(entry.low, entry.high, entry.observed.of) for entry in found] == [
        (0, 0.1, 1),
        (0.9, 1, 2),
    ]
    assert found[1].mean_score == pytest.approx(0.975)


def test_wilson_interval():
    """Shares carry a Wilson interval, also for none of few and none of none."""
    z, n = 1.959963984540054, 10
    found = share([True] * 2 + [False] * 8)
    centre = (0.2 + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * (0.2 * 0.8 / n + z * z / (4 * n * n)) ** 0.5
    assert (found.low, found.high) == pytest.approx((centre - reach, centre + reach))
    assert share([False] * 3).low == 0 < share([False] * 3).high < 1
    assert (share([]).low, share([]).high, share([]).rate) == (0, 1, 0)


def test_the_body_of_a_statement():
    """An evaluation with its data fits the predicate's schema and its canonical form."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = resources.files("counterfoil.core") / "schemas" / "evaluation.json"
    body = evaluate(OUTCOMES, SCORES, threshold=0.5, groups=GROUPS).as_json()
    body["data"] = {"name": "held out", "digest": "ab" * 32}
    jsonschema.validate(body, json.loads(schema.read_text()))
    format_json(body)
    assert body["metrics"]["auc"] == "0.5556"
    assert body["metrics"]["error"] == "0.5000"


def test_decimals_have_four_digits():
    """Fractions are texts with four digits."""
    assert [decimal(value) for value in (0, 0.79031, np.float64(1))] == [
        "0.0000",
        "0.7903",
        "1.0000",
    ]


@pytest.mark.parametrize(
    ("outcomes", "scores", "groups", "words"),
    [
        ([1, 0], [0.5], (), "2 outcomes, 1 scores"),
        ([1, 0], [0.5, 0.5], ("a",), "1 groups"),
        ([1, 0], [0.5, 1.5], (), "not a probability"),
        ([1, 0], [0.5, float("nan")], (), "not a probability"),
        ([1, 1], [0.5, 0.5], (), "both must occur"),
        ([1, 2], [0.5, 0.5], (), "0 and 1"),
        ([], [], (), "both must occur"),
    ],
)
def test_what_cannot_be_evaluated(outcomes, scores, groups, words):
    """Input that has no such figures is refused instead of giving a figure that means nothing."""
    with pytest.raises(FormatError, match=words):
        evaluate(outcomes, scores, threshold=0.5, groups=groups)
