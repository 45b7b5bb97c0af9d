from __future__ import annotations

import numpy as np
import pytest

from counterfoil.data.rows import Table, read_rows
from counterfoil.errors import FormatError
from counterfoil.models.explain import (
    MAX_PRINCIPAL_REASONS,
    Explanation,
    Reference,
    explainer_for,
    principal_reasons,
    rank_reasons,
)

LABELS = {"income": "Monthly income", "home": "Housing"}


def logits(model, rows):
    chances = model.predict_proba(rows)
    return np.log(chances[:, 1] / chances[:, 0])


def explanation(contributions, baseline=0.5, names=("a", "b")):
    return Explanation(baseline, np.array(contributions), names, "ebm-terms", "none")


def test_terms_add_up(ebm):
    """Baseline and contributions add up to the model's own log-odds, to 1e-9, in every row."""
    told = explainer_for(ebm.model).explain(ebm.rows)
    np.testing.assert_allclose(
        told.baseline + told.contributions.sum(axis=1), logits(ebm.model, ebm.rows), atol=1e-9
    )
    assert told.method == "ebm-terms"
    assert told.library.startswith("interpret-core ")


def test_terms_add_up_against_a_reference(ebm):
    """Measuring against another reference moves the baseline and keeps every score."""
    some = explainer_for(ebm.model).explain(ebm.rows.iloc[:50])
    told = some.against(some.mean("the mean of 50 rows"))
    np.testing.assert_allclose(
        told.baseline + told.contributions.sum(axis=1),
        logits(ebm.model, ebm.rows.iloc[:50]),
        atol=1e-9,
    )
    np.testing.assert_allclose(told.contributions.mean(axis=0), 0, atol=1e-9)
    assert told.reference == "the mean of 50 rows"


def test_arrays_are_explained_like_tables(ebm):
    """The same rows as a data frame and as an array have the same reasons."""
    explainer = explainer_for(ebm.model)
    np.testing.assert_array_equal(
        explainer.explain(ebm.rows).contributions,
        explainer.explain(ebm.rows.to_numpy()).contributions,
    )


def test_a_reordered_table_keeps_its_values(ebm):
    """Each reason shows the value of its own attribute, whatever the order of the columns."""
    rows = ebm.rows[["home", "months", "income"]]
    ranked = rank_reasons(explainer_for(ebm.model).explain(rows), read_rows(rows), LABELS)
    shown = {reason.feature: reason.value for reason in ranked[3]}
    assert shown == read_rows(ebm.rows).as_dict(3)


def test_no_explainer_for_others():
    """A model without exact terms gets no explanation rather than an estimate."""
    assert explainer_for(lambda rows: [0] * len(rows)) is None


def test_no_explainer_with_interactions(ebm):
    """A term of two attributes is not a reason of one, so such a model gives none."""
    glassbox = pytest.importorskip("interpret.glassbox")
    rows = ebm.rows[["income", "months"]]
    model = glassbox.ExplainableBoostingClassifier(
        interactions=[(0, 1)], outer_bags=1, max_rounds=20, n_jobs=1
    ).fit(rows, (rows["income"] > 50).astype(int))
    assert explainer_for(model) is None


def test_worst_first():
    """Reasons are ranked by how far they moved the score towards the adverse outcome."""
    table = Table(("b", "a"), ((2, "x"),))
    ranked = rank_reasons(explanation([[-1.0, 0.4]]), table, {"a": "The a"})[0]
    assert [(reason.feature, reason.contribution) for reason in ranked] == [("a", -1.0), ("b", 0.4)]
    ranked = rank_reasons(explanation([[-1.0, 0.4]]), table, {}, adverse="high")[0]
    assert [reason.feature for reason in ranked] == ["b", "a"]


def test_reasons_read_like_a_letter():
    """A reason is the plain-language label and the person's own value."""
    told = explanation([[-1.0]], names=("checking_account",))
    table = Table(("checking_account",), (("below 0 DM",),))
    labels = {"checking_account": "Status of the checking account"}
    assert principal_reasons(rank_reasons(told, table, labels)[0]) == [
        "Status of the checking account: below 0 DM"
    ]
    assert principal_reasons(rank_reasons(told, table, {})[0]) == ["checking account: below 0 DM"]


def test_at_most_four_and_none_in_favour():
    """A person is told at most four reasons, and nothing that counted for them."""
    names = tuple("abcdef")
    table = Table(names, ((1, 2, 3, 4, 5, None),))
    many = rank_reasons(explanation([[-1, -2, -3, -4, -5, -6.0]], names=names), table, {})[0]
    assert principal_reasons(many) == ["f: not given", "e: 5", "d: 4", "c: 3"]
    assert len(principal_reasons(many)) == MAX_PRINCIPAL_REASONS
    few = rank_reasons(explanation([[1, -2, 3, 0, 5, 6.0]], names=names), table, {})[0]
    assert principal_reasons(few) == ["b: 2"]


def test_what_does_not_belong_together_is_refused():
    """A reference of another model, other rows or unnamed columns cannot be told as reasons."""
    told = explanation([[-1.0, 0.4]])
    with pytest.raises(FormatError, match="3 terms"):
        told.against(Reference("another", (0.0, 0.0, 0.0)))
    with pytest.raises(FormatError, match="already"):
        told.against(told.mean("m")).against(told.mean("m"))
    with pytest.raises(FormatError, match="2 rows were decided and 1 explained"):
        rank_reasons(told, Table(("a", "b"), ((1, 2), (3, 4))), {})
    with pytest.raises(FormatError, match="uses b"):
        rank_reasons(told, Table(("a", "c"), ((1, 2),)), {})


def test_a_linear_models_reasons_are_its_own_sum():
    """Coefficient times value, added to the intercept, is the model's score, exactly."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 slow to import

    rows = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0], [-2.0, 1.0]])
    model = LogisticRegression().fit(rows, [1, 0, 1, 0])
    explanation = explainer_for(model).explain(rows)
    sums = explanation.baseline + explanation.contributions.sum(axis=1)
    assert np.allclose(sums, model.decision_function(rows), atol=1e-12)
    assert explanation.names == ("column_0", "column_1")
    three = LogisticRegression().fit(rows, [0, 1, 2, 0])
    assert explainer_for(three) is None
