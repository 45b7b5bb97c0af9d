"""How good a model is, and for whom: the figures an evaluation statement holds.

Everything is computed from outcomes and scores alone, so that anybody with the same rows gets the
same figures; fractions are kept as decimal texts with four digits, as statements hold no floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from counterfoil.core.arguments import require_each
from counterfoil.errors import FormatError
from counterfoil.models.optional import import_optional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterfoil.core.canonical import JsonValue

CALIBRATION_BINS = 10
"""Equal steps of score; fewer hide where a model is too sure, more leave bins nearly empty."""

CONFIDENCE = 0.95
"""Level of the intervals."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with an interval for the true share (Wilson score, 95 %)."""

    count: int
    of: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """The observed share; zero of zero is zero, with an interval from 0 to 1."""
        return self.count / self.of if self.of else 0.0

    def as_metrics(self, name: str) -> dict[str, JsonValue]:
        """The share and its interval as metrics of a statement: `name`, `name_low`, `name_high`."""
        return {
            name: decimal(self.rate),
            f"{name}_low": decimal(self.low),
            f"{name}_high": decimal(self.high),
        }


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Rows whose score fell between `low` and `high`, and what became of them."""

    low: float
    high: float
    mean_score: float
    observed: Share

    def as_json(self) -> dict[str, JsonValue]:
        """The bin as a statement holds it."""
        return {
            "from": decimal(self.low),
            "to": decimal(self.high),
            "n": self.observed.of,
            "predicted": decimal(self.mean_score),
            **self.observed.as_metrics("observed"),
        }


@dataclass(frozen=True, slots=True)
class GroupErrors:
    """Errors within one group: all of them, and good cases that were turned down."""

    group: str
    errors: Share
    good_turned_down: Share

    def as_json(self) -> dict[str, JsonValue]:
        """The group as a statement holds it."""
        return {
            "group": self.group,
            "n": self.errors.of,
            "metrics": {
                "errors": self.errors.count,
                **self.errors.as_metrics("error"),
                "good": self.good_turned_down.of,
                "good_turned_down": self.good_turned_down.count,
                **self.good_turned_down.as_metrics("good_turned_down_rate"),
            },
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one evaluation.

    `auc` is the chance that a good case scores higher than a bad one, `brier` the mean squared
    difference between score and outcome (0 is perfect). Empty calibration bins are left out.
    """

    rows: int
    good: int
    threshold: float
    auc: float
    brier: float
    errors: Share
    calibration: tuple[CalibrationBin, ...]
    groups: tuple[GroupErrors, ...]

    def as_json(self) -> dict[str, JsonValue]:
        """The figures as the predicate `evaluation` holds them, all but the data they are of."""
        return {
            "metrics": {
                "n": self.rows,
                "good": self.good,
                "threshold": decimal(self.threshold),
                "auc": decimal(self.auc),
                "brier": decimal(self.brier),
                "errors": self.errors.count,
                **self.errors.as_metrics("error"),
            },
            "groups": [entry.as_json() for entry in self.groups],
            "calibration": [entry.as_json() for entry in self.calibration],
        }


def evaluate(
    outcomes: Sequence[int],
    scores: Sequence[float],
    *,
    threshold: float,
    groups: Sequence[str] = (),
) -> Evaluation:
    """Compare scores with what came true.

    Args:
        outcomes: 1 for a good case and 0 for a bad one, one for each row.
        scores: The predicted probability of a good case, from 0 to 1, one for each row.
        threshold: From which score on a case is taken for good.
        groups: The group each row belongs to, reported in alphabetical order; empty for no groups.

    Raises:
        FormatError: Lengths differ, an outcome is neither 0 nor 1, score or threshold is not a
            probability, or all cases had the same outcome (nothing can then be told apart).
    """
    if not 0 <= threshold <= 1:
        raise FormatError(
            f"the threshold {threshold} is not a probability", hint="Scores lie between 0 and 1."
        )
    require_each(groups, object, "a list of groups", "Give one for each row.")
    np = import_optional("numpy", "numpy")
    metrics = import_optional("sklearn.metrics", "scikit-learn")
    actual, score = np.asarray(outcomes), np.asarray(scores, dtype=float)
    _check(actual, score, len(groups))
    good = actual == 1
    taken = score >= threshold
    wrong = taken != good
    group_of = np.asarray(groups, dtype=object)
    return Evaluation(
        rows=len(actual),
        good=int(good.sum()),
        threshold=threshold,
        auc=float(metrics.roc_auc_score(actual, score)),
        brier=float(metrics.brier_score_loss(actual, score)),
        errors=share(wrong),
        calibration=_calibration(good, score),
        groups=tuple(
            GroupErrors(
                name,
                errors=share(wrong[group_of == name]),
                good_turned_down=share(~taken[(group_of == name) & good]),
            )
            for name in sorted(set(groups))
        ),
    )


def share(hits: Any) -> Share:
    """How many of `hits` are true, with a Wilson score interval.

    Source:
        Wilson (1927), as in scipy.stats.binomtest.
    """
    count, of = int(sum(hits)), len(hits)
    if of == 0:
        return Share(0, 0, 0.0, 1.0)
    stats = import_optional("scipy.stats", "scipy")
    interval = stats.binomtest(count, of).proportion_ci(CONFIDENCE, method="wilson")
    return Share(count, of, float(interval.low), float(interval.high))


def decimal(value: float) -> str:
    """A fraction as text with four digits."""
    return f"{value:.4f}"


def _calibration(good: Any, score: Any) -> tuple[CalibrationBin, ...]:
    places = (score * CALIBRATION_BINS).astype(int).clip(max=CALIBRATION_BINS - 1)
    return tuple(
        CalibrationBin(
            low=place / CALIBRATION_BINS,
            high=(place + 1) / CALIBRATION_BINS,
            mean_score=float(score[places == place].mean()),
            observed=share(good[places == place]),
        )
        for place in range(CALIBRATION_BINS)
        if (places == place).any()
    )


def _check(actual: Any, score: Any, groups: int) -> None:
    if actual.ndim != 1 or actual.shape != score.shape or groups not in {0, len(actual)}:
        raise FormatError(
            f"there are {actual.size} outcomes, {score.size} scores and {groups} groups",
            hint="pass one of each for every row",
        )
    if not ((score >= 0) & (score <= 1)).all():  # a NaN is neither
        raise FormatError("a score is not a probability", hint="scores lie between 0 and 1")
    if {*actual.tolist()} != {0, 1}:
        raise FormatError(
            "outcomes must be 0 and 1, and both must occur",
            hint="with one outcome only, nothing can be told apart",
        )
