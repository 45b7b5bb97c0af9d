"""Exact reasons from models that are a sum of terms.

An explainable boosting machine without interactions adds one number for each attribute to an
intercept; the sum *is* the score (on the log-odds scale), so what each attribute contributed is not
an estimate but the model itself, and anybody who has the model can recompute it. Models that give
nothing exact give None here: no reason is better than an invented one.

A contribution means something only against a declared reference. `Explanation.against` moves the
reference from the model's intercept to, say, the average applicant in the training data; the sum
stays the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from counterfoil.data.rows import read_rows
from counterfoil.errors import FormatError
from counterfoil.models.optional import import_optional

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from counterfoil.core.canonical import JsonValue
    from counterfoil.data.rows import Table

MAX_PRINCIPAL_REASONS = 4
"""Reasons told to a person: more than four are not likely to help (Regulation B, 12 CFR part 1002,
official interpretation of section 1002.9(b)(2))."""

INTERCEPT = "the model's intercept"


@dataclass(frozen=True, slots=True)
class Reference:
    """What contributions are measured against: a mean for each term, and whose mean it is."""

    description: str
    means: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """The terms behind a batch of scores.

    For every row, `baseline` plus the sum of its `contributions` is the model's score on the scale
    on which the terms add up (log-odds for a classifier). `names` are the columns, in order.
    """

    baseline: float
    contributions: NDArray[np.float64]
    names: tuple[str, ...]
    method: str
    library: str
    reference: str = INTERCEPT

    def mean(self, description: str) -> Reference:
        """The average contributions of these rows, to measure others against.

        Args:
            description: Whose average it is, for instance "the mean of 700 training rows".
        """
        return Reference(description, tuple(map(float, self.contributions.mean(axis=0))))

    def against(self, reference: Reference) -> Explanation:
        """The same scores, told as differences from `reference`.

        Raises:
            FormatError: The reference has another number of terms, or there already is one.
        """
        if self.reference != INTERCEPT:
            raise FormatError(f"these contributions are already measured against {self.reference}")
        if len(reference.means) != len(self.names):
            raise FormatError(
                f"the reference has {len(reference.means)} terms, the model {len(self.names)}",
                hint="compute the reference with the same model",
            )
        return replace(
            self,
            baseline=self.baseline + sum(reference.means),
            contributions=self.contributions - list(reference.means),
            reference=reference.description,
        )


class Explainer(Protocol):
    """A model's own account of its scores.

    `explain` guarantees that baseline and contributions of a row add up to the score that the
    model computes from that row, to within rounding; an estimate does not qualify. It draws no
    randomness: the same rows give the same account. `method` names how it is done.
    """

    method: ClassVar[str]

    def explain(self, rows: Any) -> Explanation:
        """Break the score of every row into terms."""


@dataclass(frozen=True, slots=True)
class EbmExplainer:
    """The terms of an explainable boosting machine of `interpret-core`."""

    model: Any
    method: ClassVar[str] = "ebm-terms"

    def explain(self, rows: Any) -> Explanation:
        """Break the score of every row into one term for each attribute.

        Source:
            Lou, Caruana, Gehrke (2012), Intelligible Models for Classification and Regression.
        """
        return Explanation(
            baseline=float(self.model.intercept_.item()),
            contributions=self.model.eval_terms(rows),
            names=tuple(map(str, self.model.term_names_)),
            method=self.method,
            library=_library_version("interpret-core"),
        )


@dataclass(frozen=True, slots=True)
class LinearExplainer:
    """The terms of a linear model of scikit-learn: coefficient times value."""

    model: Any
    method: ClassVar[str] = "linear-terms"

    def explain(self, rows: Any) -> Explanation:
        """Break the score of every row into one term for each attribute."""
        np = import_optional("numpy", "numpy")
        values = np.asarray(rows, dtype=float)
        coefficients = np.asarray(self.model.coef_, dtype=float).ravel()
        known = getattr(self.model, "feature_names_in_", None)
        names = read_rows(rows, allow_missing=True).names if known is None else known
        return Explanation(
            baseline=float(np.ravel(self.model.intercept_)[0]),
            contributions=values * coefficients,
            names=tuple(map(str, names)),
            method=self.method,
            library=_library_version("scikit-learn"),
        )


def explainer_for(model: Any) -> Explainer | None:
    """The exact explainer of `model`, or None where there is none.

    An EBM with interactions, or a model with more than two classes, has none: a term is then not
    the contribution of one attribute to one outcome.
    """
    if type(model).__module__.startswith("sklearn.linear_model.") and hasattr(model, "intercept_"):
        is_single = model.coef_.size == model.coef_.shape[-1]
        return LinearExplainer(model) if is_single else None
    if type(model).__module__.partition(".")[0] != "interpret" or not hasattr(model, "eval_terms"):
        return None
    single = all(len(features) == 1 for features in model.term_features_)
    return EbmExplainer(model) if single and model.intercept_.size == 1 else None


@dataclass(frozen=True, slots=True)
class Reason:
    """What one attribute did to one score."""

    feature: str
    label: str
    value: JsonValue
    contribution: float

    def __str__(self) -> str:
        """The reason as a letter says it: "Status of the checking account: below 0 DM"."""
        return f"{self.label}: {'not given' if self.value is None else self.value}"


def rank_reasons(
    explanation: Explanation,
    table: Table,
    labels: Mapping[str, str],
    *,
    adverse: Literal["low", "high"] = "low",
) -> list[tuple[Reason, ...]]:
    """Rank the terms of every row, the one that did most towards an adverse outcome first.

    Args:
        explanation: The terms, against the reference that the ranking should use.
        table: The same rows, for the values.
        labels: Plain-language names of features; a feature without one keeps its own.
        adverse: Whether low or high scores are bad for the person.

    Raises:
        FormatError: Table and explanation do not belong together.
    """
    if len(table.rows) != len(explanation.contributions):
        raise FormatError(
            f"{len(table.rows)} rows were decided and {len(explanation.contributions)} explained"
        )
    unknown = sorted(set(explanation.names) - set(table.names))
    if unknown:
        raise FormatError(
            f"the model uses {', '.join(unknown)}, which the rows do not name",
            hint="pass a data frame, or name the columns",
        )
    positions = [table.names.index(name) for name in explanation.names]
    shown = [labels.get(name, name.replace("_", " ")) for name in explanation.names]
    contributions = explanation.contributions
    signed = contributions if adverse == "low" else -contributions
    return [
        tuple(
            Reason(
                explanation.names[term],
                shown[term],
                row[positions[term]],
                float(contributions[number, term]),
            )
            for term in order
        )
        for number, (row, order) in enumerate(
            zip(table.rows, signed.argsort(axis=1, kind="stable").tolist(), strict=True)
        )
    ]


def principal_reasons(
    ranked: Sequence[Reason],
    *,
    adverse: Literal["low", "high"] = "low",
    limit: int = MAX_PRINCIPAL_REASONS,
) -> list[str]:
    """The reasons to tell a person: those that counted against them, most important first.

    Args:
        ranked: One row of `rank_reasons`, ranked with the same `adverse`.
        adverse: Whether low or high scores are bad for the person.
        limit: How many to tell at most.
    """
    sign = -1 if adverse == "low" else 1
    return [str(reason) for reason in ranked if sign * reason.contribution > 0][:limit]


def _library_version(distribution: str) -> str:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:  # vendored or installed under another name
        return distribution
