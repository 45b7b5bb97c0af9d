"""What is asked of a model, and how its answers are told to the people they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from counterfoil.models.explain import Reference
from counterfoil.models.recourse import Action


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms on which a model decides; everything has a default that suits any predictor.

    Args:
        threshold: Scores at or above it count as a yes; None leaves the decision to the model.
        outcomes: What to answer below the threshold and from it on (`("refused", "granted")`).
        positive: The class whose probability is the score; by default the second.
        adverse: Whether low or high scores are bad for the person.
        labels: Plain-language names of features.
        actions: What a person could change, tried one at a time where the outcome was adverse.
        reference: What reasons are measured against; by default the model's intercept.
        notice: `organisation`, `contact` and `contest`, as a letter gives them.
        allow_missing: Whether rows may have missing values.
    """

    threshold: float | None = None
    outcomes: tuple[Any, Any] | None = None
    positive: Any = None
    adverse: Literal["low", "high"] = "low"
    labels: Mapping[str, str] = field(default_factory=dict)
    actions: Sequence[Action] = ()
    reference: Reference | None = None
    notice: Mapping[str, str] = field(default_factory=dict)
    allow_missing: bool = True
