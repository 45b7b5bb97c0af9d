"""One face for every model: rows in, one plain output per row and the number behind it.

A scikit-learn classifier, a regressor, an ONNX session and a function that asks a service far away
answer in different shapes. `as_predictor` settles once what is asked of a model, and
`Predictor.predict` checks what goes in and what comes out, so that a decision is never recorded
with a missing number or under the wrong row.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from counterfoil.core.text import shown
from counterfoil.data.rows import Table, plain, read_rows
from counterfoil.errors import FormatError
from counterfoil.models.optional import import_optional

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from counterfoil.core.canonical import JsonValue

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model said about a batch.

    `table` holds the inputs as they go into a record, `output` one answer for each row as the
    model's user wants it, and `scores` the number behind each answer, or None where the model
    gives none. The score of a binary classifier is the probability of its positive class.
    """

    table: Table
    output: NDArray[Any]
    scores: NDArray[np.float64] | None

    def outcome(self, index: int) -> JsonValue:
        """The answer for row `index` as a record holds it."""
        answer = self.output[index]
        return answer.tolist() if getattr(answer, "ndim", 0) else _plain_answer(answer, index)

    def score(self, index: int) -> float | None:
        """The number behind that answer."""
        return None if self.scores is None else float(self.scores[index])


@dataclass(frozen=True, slots=True)
class Predictor:
    """A model together with what is asked of it; made by `as_predictor`."""

    model: Any
    names: tuple[str, ...] = ()
    threshold: float | None = None
    positive: Any = None
    labels: tuple[Any, Any] | None = None
    allow_missing: bool = False

    def predict(self, rows: Any) -> Prediction:
        """Ask the model about every row at once.

        Args:
            rows: A batch, as for `rows.read_rows`; it reaches the model unchanged.

        Raises:
            FormatError: The rows are empty, ragged or have missing values, a text stands where
                the model is known to take numbers, or the model answers with another number of
                rows, or with no number where it owes one.
        """
        table = read_rows(rows, names=self.names, allow_missing=self.allow_missing)
        _require_numbers(self.model, table)
        try:
            output, scores = self._ask(rows, len(table.rows))
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise FormatError(
                f"the model does not take these rows: {type(error).__name__}: {error}",
                hint="Give it the columns it was trained with; nothing was recorded.",
            ) from error
        return Prediction(table, output, scores)

    def _ask(self, rows: Any, count: int) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        if hasattr(self.model, "predict_proba"):
            return self._ask_classifier(rows, count)
        ask = self.model.predict if hasattr(self.model, "predict") else self.model
        output = _as_array(ask(rows), count)
        scores = _as_scores(output)
        if self.threshold is not None:
            output = self._decide(scores, (False, True))
        return output, scores

    def _ask_classifier(
        self, rows: Any, count: int
    ) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        np = import_optional("numpy", "numpy")
        chances = _as_array(self.model.predict_proba(rows), count)
        if chances.ndim != 2 or _as_scores(chances.ravel()) is None:
            raise FormatError(
                f"predict_proba gave an array of shape {chances.shape} and type {chances.dtype}",
                hint="it owes one row of probabilities, one for each class, for every input row",
            )
        chances = chances.astype(np.float64)
        classes = np.asarray(getattr(self.model, "classes_", np.arange(chances.shape[1])))
        if len(classes) != 2 or chances.shape[1] != 2:
            self._refuse_threshold(len(classes))
            output = self._own_answer(rows, classes, chances, count)
            return output, chances.max(axis=1)
        positive = 1 if self.positive is None else _position(classes, self.positive)
        scores = chances[:, positive]
        if self.threshold is None:
            return self._own_answer(rows, classes, chances, count), scores
        return self._decide(scores, (classes[1 - positive], classes[positive])), scores

    def _own_answer(self, rows: Any, classes: Any, chances: Any, count: int) -> NDArray[Any]:
        if hasattr(self.model, "predict"):
            return _as_array(self.model.predict(rows), count)
        likeliest: NDArray[Any] = classes[chances.argmax(axis=1)]
        return likeliest

    def _decide(self, scores: Any, outcomes: tuple[Any, Any]) -> NDArray[Any]:
        if scores is None or scores.ndim != 1:
            raise FormatError(
                f"a threshold of {self.threshold} is set, and the model gives no single number",
                hint="leave the threshold out, or return one number for each row",
            )
        np = import_optional("numpy", "numpy")
        below, at_or_above = self.labels or outcomes
        decided: NDArray[Any] = np.where(scores >= self.threshold, at_or_above, below)
        return decided

    def _refuse_threshold(self, classes: int) -> None:
        if self.threshold is not None or self.positive is not None:
            raise FormatError(
                f"a threshold or positive class is set for a model of {classes} classes",
                hint="both belong to models with two classes",
            )


def as_predictor(
    model: Any,
    *,
    threshold: float | None = None,
    positive: Any = None,
    labels: tuple[Any, Any] | None = None,
    names: tuple[str, ...] = (),
    allow_missing: bool = False,
) -> Predictor:
    """Make any model answer in one way.

    Args:
        model: Something with `predict_proba` or `predict`, or a function from a batch of rows to
            one answer for each row.
        threshold: Scores at or above it count as a yes. None leaves the decision to the model.
        positive: The class whose probability is the score; by default the second of `classes_`.
        labels: What to answer below and from the threshold on; by default the model's classes,
            or False and True.
        names: Column names for arrays; by default those the model was trained with, if it knows.
        allow_missing: Whether rows may have missing values.

    Raises:
        FormatError: This cannot be asked, or the settings do not fit together.
    """
    if isinstance(model, dict):
        raise FormatError(
            "these are weights without the function that applies them",
            hint="wrap them: lambda rows: your_network(weights, rows)",
        )
    if not (hasattr(model, "predict_proba") or hasattr(model, "predict") or callable(model)):
        raise FormatError(
            f"a {type(model).__name__} has neither predict_proba nor predict and is no function",
            hint="pass a trained model, or a function from rows to answers",
        )
    if isinstance(model, type):
        raise FormatError(
            f"{model.__name__} is a class, not a trained model", hint="train it first"
        )
    if labels is not None and threshold is None:
        raise FormatError("labels are given without a threshold", hint="say from which score on")
    if threshold is not None and hasattr(model, "predict_proba") and not 0 <= threshold <= 1:
        raise FormatError(
            f"the threshold {threshold} is not a probability, as the model's scores are",
            hint="They lie between 0 and 1.",
        )
    known = names or tuple(map(str, getattr(model, "feature_names_in_", ())))
    return Predictor(model, known, threshold, positive, labels, allow_missing)


def _require_numbers(model: Any, table: Table) -> None:
    """Refuse texts in columns of numbers, where a model says which those are or takes only such.

    An EBM decides on what it cannot read as if nothing stood there, and Python reads `1_0` as ten:
    the record would show a value that the model never saw.
    """
    if hasattr(model, "feature_types_in_"):
        kinds = dict(zip(map(str, model.feature_names_in_), model.feature_types_in_, strict=True))
        numeric = {name for name in table.names if kinds.get(name) == "continuous"}
    elif type(model).__module__.startswith("sklearn.linear_model."):
        numeric = {*table.names}
    else:
        return
    for place, name in enumerate(table.names):
        for number, row in enumerate(table.rows if name in numeric else ()):
            value = row[place]
            if isinstance(value, str) and not _is_number(value):
                raise FormatError(
                    f"the value of {name!r} in row {number} is the text {shown(value)}, and the "
                    "model takes a number there",
                    hint="Write numbers as 1234.5, and leave the cell empty where one is missing.",
                )


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


def _as_array(answers: Any, count: int) -> NDArray[Any]:
    np = import_optional("numpy", "numpy")
    if isinstance(answers, str | bytes) or not hasattr(answers, "__len__"):
        raise _no_list(answers, count)
    if len(answers) != count:
        raise FormatError(f"the model gave {len(answers)} answers for {count} rows")
    try:
        array = np.asarray(answers)
    except ValueError:  # answers of different lengths, such as lists of words: kept as they are
        array = np.empty(count, dtype=object)
        array[:] = list(answers)
    if array.ndim == 0:  # a set, or a dictionary: nobody knows which row an answer is for
        raise _no_list(answers, count)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    settled: NDArray[Any] = array
    return settled


def _no_list(answers: Any, count: int) -> FormatError:
    return FormatError(
        f"the model answered with one {type(answers).__name__} for {count} rows",
        hint="a function gets the whole batch and returns a list with one answer for each row",
    )


def _as_scores(output: NDArray[Any]) -> NDArray[np.float64] | None:
    """The answers as numbers, where they are numbers: one for each row, none of them missing."""
    if output.ndim != 1 or output.dtype.kind not in "fiub":
        return None
    scores: NDArray[np.float64] = output.astype("float64")
    finite = import_optional("numpy", "numpy").isfinite(scores)
    if not finite.all():
        row = int(finite.argmin())
        raise FormatError(
            f"the model's answer number {row} is {scores[row]}, which is no number",
            hint="look at what the model was given there; nothing was recorded",
        )
    return scores


def _position(classes: Any, positive: Any) -> int:
    known = classes.tolist()
    if positive not in known:
        raise FormatError(
            f"{positive!r} is none of the model's classes", hint=f"they are {known!r}"
        )
    return int(known.index(positive))


def _plain_answer(answer: Any, index: int) -> JsonValue:
    if isinstance(answer, list | dict):
        return answer
    try:
        return plain(answer)
    except FormatError as error:
        raise FormatError(
            f"answer number {index} is {error}", hint="return texts, numbers or dictionaries"
        ) from error
