from __future__ import annotations

import pytest

from counterfoil.errors import FormatError
from counterfoil.models.recourse import Action
from counterfoil.models.terms import Terms, parse_terms
from counterfoil.models.version import predictor_on

WHOLE = """
threshold = 0.5
outcomes = ["refused", "granted"]
positive = 1
adverse = "low"
allow_missing = false

[labels]
income = "Your yearly income"

[notice]
organisation = "Example Bank"
contact = "credit@bank.example"
contest = "Write to us within 30 days."

[[action]]
feature = "months"
values = [6, 12, 24]
direction = "down"
"""


def test_a_file_says_what_the_terms_say():
    """Every key of the file is a field of `Terms`, and an empty file is no terms of one's own."""
    assert parse_terms(WHOLE) == Terms(
        threshold=0.5,
        outcomes=("refused", "granted"),
        positive=1,
        labels={"income": "Your yearly income"},
        actions=(Action("months", (6, 12, 24), "down"),),
        notice={
            "organisation": "Example Bank",
            "contact": "credit@bank.example",
            "contest": "Write to us within 30 days.",
        },
        allow_missing=False,
    )
    assert parse_terms("") == Terms()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("threshold", "treshold", "line 2.*unknown key 'treshold'"),
        ("0.5", '"0.5"', '"threshold" must be a number'),
        ("0.5", "nan", '"threshold" must be a number'),
        ("0.5", "9" * 400, '"threshold" must be a number'),
        ("[6, 12, 24]", f"[{'9' * 400}]", '"values" must be a list'),
        ("0.5", "true", '"threshold" must be a number'),
        ('["refused", "granted"]', '["refused"]', "outcomes are two"),
        ('["refused", "granted"]', '["granted", "granted"]', "both outcomes are the same"),
        ('"low"', '"bad"', '"adverse" must be "low" or "high"'),
        ("[6, 12, 24]", "[]", '"values" must be a list'),
        ("[6, 12, 24]", "[[6]]", '"values" must be a list'),
        ("[6, 12, 24]", "[inf]", '"values" must be a list'),
        ('"down"', '"left"', '"direction" must be "up", "down" or "either"'),
        ("contest =", "appeal =", "unknown key 'appeal'"),
        ('contact = "credit@bank.example"', "", '"contact" is missing'),
        ("[notice]", "[notice", "is not TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(old, new, says):
    """A misspelt key is no term that is silently left out of a letter."""
    with pytest.raises(FormatError, match=says):
        parse_terms(WHOLE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        (Terms(labels={"incone": "Your income"}), "given for incone, which the model does not"),
        (Terms(actions=(Action("age", (1, 2)),)), "given for age, which the model does not"),
        (Terms(threshold=50), "threshold 50 is not a probability"),
        (Terms(threshold=-0.1), "threshold -0.1 is not a probability"),
    ],
)
def test_terms_fit_the_model(terms, says, ebm):
    """Terms about columns or scores that the model does not have are refused."""
    with pytest.raises(FormatError, match=says):
        predictor_on(ebm.model, terms)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"threshold": "0.5"}, "the threshold is '0.5', not a number"),
        ({"threshold": True}, "the threshold is True"),
        ({"threshold": float("nan")}, "the threshold is nan"),
        ({"outcomes": ("a", "a")}, "both outcomes are the same"),
        ({"outcomes": ("a", "b", "c")}, "outcomes are two"),
        ({"outcomes": "ab"}, "outcomes are two"),
        ({"adverse": "lo"}, "low or high scores are adverse, not 'lo'"),
        ({"notice": {"organisation": "Example Bank"}}, "organisation, contact, contest"),
    ],
)
def test_terms_that_cannot_be_meant_are_not_made(given, says):
    """In Python as in a file: what a letter or a threshold could not be made of is refused."""
    with pytest.raises(FormatError, match=says):
        Terms(**given)
