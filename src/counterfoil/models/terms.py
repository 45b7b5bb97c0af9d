"""What is asked of a model, and how its answers are told to the people they are about."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

from counterfoil.core.toml import Table, parse_toml
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


def parse_terms(data: str | bytes, what: str = "terms.toml") -> Terms:
    """Read the terms on which a model decides from TOML.

    What reasons are measured against cannot be written down: it takes rows (`Terms.reference`).

    Args:
        data: The file's text.
        what: Its name, for messages.

    Raises:
        FormatError: Not TOML, an unknown key, or a value that cannot be meant; with the line.
    """
    return parse_toml(data, what).read(_read_terms)


_KEYS = (
    "threshold",
    "outcomes",
    "positive",
    "adverse",
    "allow_missing",
    "labels",
    "action",
    "notice",
)


def _read_terms(table: Table) -> Terms:
    table.only(*_KEYS)
    outcomes = table.texts("outcomes")
    if len(outcomes) not in {0, 2}:
        raise table.error(
            "outcomes are two: below the threshold, and from it on",
            key="outcomes",
            hint='Write outcomes = ["refused", "granted"].',
        )
    if len(set(outcomes)) == 1:
        raise table.error(
            "both outcomes are the same",
            key="outcomes",
            hint="Name them so that a yes can be told from a no.",
        )
    match table.text("adverse", "low"):
        case "low" | "high" as adverse:
            pass
        case _:
            raise table.error('"adverse" must be "low" or "high"', key="adverse")
    return Terms(
        threshold=_number(table, "threshold"),
        outcomes=(outcomes[0], outcomes[1]) if outcomes else None,
        positive=table.values.get("positive"),
        adverse=adverse,
        labels=table.optional("labels", _read_texts, {}),
        actions=table.each("action", _read_action),
        notice=table.optional("notice", _read_notice, {}),
        allow_missing=table.flag("allow_missing", default=True),
    )


def _read_action(table: Table) -> Action:
    table.only("feature", "values", "direction")
    values = table.values.get("values")
    if not isinstance(values, list) or not all(_is_value(one) for one in values) or not values:
        raise table.error('"values" must be a list of numbers or texts', key="values")
    match table.text("direction", "either"):
        case "up" | "down" | "either" as direction:
            return Action(table.text("feature"), tuple(values), direction)
    raise table.error('"direction" must be "up", "down" or "either"', key="direction")


def _read_notice(table: Table) -> dict[str, str]:
    table.only("organisation", "contact", "contest")
    return {key: table.text(key) for key in ("organisation", "contact", "contest")}


def _read_texts(table: Table) -> dict[str, str]:
    return {key: table.text(key) for key in table.values}


def _number(table: Table, key: str) -> float | None:
    value = table.values.get(key)
    if value is None:
        return None
    if _is_number(value):
        return float(value)
    raise table.error(f'"{key}" must be a number', key=key, hint=f"Write {key} = 0.5.")


def _is_value(value: object) -> bool:
    return isinstance(value, str) or _is_number(value)


def _is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number that a double holds; TOML writes integers of any length."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
