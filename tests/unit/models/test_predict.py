from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from counterfoil.errors import FormatError
from counterfoil.models.predict import as_predictor


class Classifier:
    """Gives back what it was made with."""

    def __init__(self, chances, classes=("no", "yes")):
        self.chances, self.classes_ = np.array(chances), np.array(classes)

    def predict_proba(self, _):
        return self.chances

    def predict(self, _):
        return self.classes_[self.chances.argmax(axis=1)]


ROWS = [[1.0], [2.0], [3.0]]
CHANCES = [[0.7, 0.3], [0.5, 0.5], [0.2, 0.8]]


def test_a_binary_classifier_decides_itself():
    """Without a threshold the output is exactly what the model's predict gives."""
    said = as_predictor(Classifier(CHANCES)).predict(ROWS)
    assert said.output.tolist() == ["no", "no", "yes"]
    assert said.scores.tolist() == [0.3, 0.5, 0.8]


def test_a_threshold_is_reached_from_it_on():
    """A score equal to the threshold counts as a yes."""
    said = as_predictor(Classifier(CHANCES), threshold=0.5).predict(ROWS)
    assert said.output.tolist() == ["no", "yes", "yes"]


def test_labels_name_the_outcomes():
    """Outcomes can be told in words of one's own."""
    predictor = as_predictor(Classifier(CHANCES), threshold=0.8, labels=("refused", "granted"))
    said = predictor.predict(ROWS)
    assert [said.outcome(i) for i in range(3)] == ["refused", "refused", "granted"]
    assert said.score(2) == 0.8


def test_the_other_class_can_be_positive():
    """The score is the probability of the class that is named as positive."""
    said = as_predictor(Classifier(CHANCES), positive="no", threshold=0.6).predict(ROWS)
    assert said.scores.tolist() == [0.7, 0.5, 0.2]
    assert said.output.tolist() == ["no", "yes", "yes"]


def test_more_than_two_classes():
    """With more classes the model decides, and the score is the chance of what it chose."""
    chances = [[0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3]]
    said = as_predictor(Classifier(chances, list("abc"))).predict(ROWS)
    assert said.output.tolist() == ["c", "a", "b"]
    assert said.scores.tolist() == [0.7, 0.6, 0.5]
    with pytest.raises(FormatError, match="3 classes"):
        as_predictor(Classifier(chances, list("abc")), threshold=0.5).predict(ROWS)


def test_plain_functions():
    """A function from rows to answers is a model: numbers, texts or dictionaries."""
    said = as_predictor(lambda rows: [row[0] / 4 for row in rows], threshold=0.5).predict(ROWS)
    assert said.output.tolist() == [False, True, True]
    assert said.scores.tolist() == [0.25, 0.5, 0.75]
    said = as_predictor(lambda rows: ["fine" for _ in rows]).predict(ROWS)
    assert (said.outcome(0), said.score(0), said.scores) == ("fine", None, None)
    said = as_predictor(lambda rows: [{"tool": "search"} for _ in rows]).predict(ROWS)
    assert said.outcome(1) == {"tool": "search"}
    said = as_predictor(lambda _: [["a"], ["b", "c"], []]).predict(ROWS)
    assert said.outcome(1) == ["b", "c"]


def test_columns_of_one_are_flat():
    """One column of answers is one answer per row."""
    said = as_predictor(lambda rows: np.array(rows) * 2).predict(ROWS)
    assert said.output.tolist() == [2.0, 4.0, 6.0]


def test_vectors_are_answers_too():
    """A model with several outputs answers with a list for each row, without a score."""
    said = as_predictor(lambda rows: np.ones((len(rows), 2))).predict(ROWS)
    assert (said.outcome(0), said.scores) == ([1.0, 1.0], None)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda _: 1.0, "one float for 3 rows"),
        (lambda _: "yes", "one str for 3 rows"),
        (lambda _: [1.0, 2.0], "2 answers for 3 rows"),
        (lambda _: [0.1, math.nan, 0.3], "answer number 1 is nan"),
        (lambda _: [0.1, 0.2, -math.inf], "answer number 2 is -inf"),
    ],
)
def test_wrong_answers_are_refused(function, words):
    """An answer that is missing, not a number or of another row is never recorded."""
    with pytest.raises(FormatError, match=words):
        as_predictor(function).predict(ROWS)


def test_wrong_probabilities_are_refused():
    """Probabilities must be numbers, one row for each row."""
    with pytest.raises(FormatError, match="which is no number"):
        as_predictor(Classifier([[0.5, math.nan]] * 3)).predict(ROWS)
    with pytest.raises(FormatError, match="shape"):
        as_predictor(Classifier([0.1, 0.2, 0.3])).predict(ROWS)
    with pytest.raises(FormatError, match="none of the model's classes"):
        as_predictor(Classifier(CHANCES), positive="maybe").predict(ROWS)
    with pytest.raises(FormatError, match="gives no single number"):
        as_predictor(lambda _: ["x"] * 3, threshold=0.5).predict(ROWS)


def test_an_answer_that_json_cannot_hold_is_refused():
    """An outcome that cannot stand in a record is named."""
    said = as_predictor(lambda _: [object(), object(), object()]).predict(ROWS)
    with pytest.raises(FormatError, match="answer number 0 is a object"):
        said.outcome(0)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"w": [1]}, "weights without the function"),
        (7, "neither predict_proba nor predict"),
        (Classifier, "a class, not a trained model"),
    ],
)
def test_what_is_no_model(model, words):
    """What cannot be asked is refused at once, with what to pass instead."""
    with pytest.raises(FormatError, match=words):
        as_predictor(model)


def test_labels_need_a_threshold():
    """Outcomes in words make no sense without the score that separates them."""
    with pytest.raises(FormatError, match="without a threshold"):
        as_predictor(Classifier(CHANCES), labels=("a", "b"))


def test_bad_rows_never_reach_the_model():
    """Empty, ragged and missing input is refused before the model is asked."""
    asked = []
    predictor = as_predictor(lambda rows: asked.append(rows) or [0] * len(rows))
    for rows in ([], [[1], [2, 3]], [[math.nan]]):
        with pytest.raises(FormatError):
            predictor.predict(rows)
    assert asked == []
    as_predictor(predictor.model, allow_missing=True).predict([[math.nan]])
    assert len(asked) == 1


def test_a_model_names_the_columns_of_an_array(ebm):
    """An array gets the column names that the model was trained with."""
    said = as_predictor(ebm.model).predict(ebm.rows.to_numpy()[:2])
    assert said.table.names == ("income", "months", "home")
    assert said.output.tolist() == ebm.model.predict(ebm.rows.iloc[:2]).tolist()


@pytest.mark.parametrize("text", ["hello", "1,5", "0x10", "1_0", " 1", "inf", "1e999", "٣"])
def test_a_text_is_no_number(text, ebm):
    """Where a model takes numbers, a text is refused with row and column, not taken for missing."""
    rows = ebm.rows[:3].astype({"months": object})
    rows.loc[1, "months"] = text
    with pytest.raises(FormatError, match=r"'months' in row 1 is the text"):
        as_predictor(ebm.model).predict(rows)
    linear = LogisticRegression().fit(np.array([[1.0], [2.0]]), [0, 1])
    with pytest.raises(FormatError, match=r"'column_0' in row 1 is the text"):
        as_predictor(linear).predict(np.array([["1"], [text]]))


def test_a_number_may_be_written_as_text(ebm):
    """Decimals that came as texts are the numbers they write, and categories stay texts."""
    asked = as_predictor(ebm.model)
    written = ebm.rows[:3].astype({"months": str, "income": str})
    assert asked.predict(written).scores.tolist() == asked.predict(ebm.rows[:3]).scores.tolist()
