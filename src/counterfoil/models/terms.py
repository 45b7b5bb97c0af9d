"""What is asked of a model, and how its answers are told to the people they are about."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

from counterfoil.core.toml import Table, parse_toml
from counterfoil.errors import FormatError
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

    Raises:
        FormatError: One of these cannot be meant.
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

    def __post_init__(self) -> None:
        if self.threshold is not None and not is_number(self.threshold):
            raise FormatError(
                f"the threshold is {self.threshold!a:.40}, not a number", hint="Write 0.5."
            )
        if self.outcomes is not None:
            _check_outcomes(self.outcomes)
        if self.adverse not in {"low", "high"}:
            raise FormatError(
                f"low or high scores are adverse, not {self.adverse!a:.40}",
                hint='Write "low" where low scores are bad for the person.',
            )
        if self.notice and not (
            set(self.notice) == set(_NOTICE)
            and all(isinstance(text, str) for text in self.notice.values())
        ):
            raise FormatError(
                f"a notice has the texts {', '.join(_NOTICE)}, and nothing else",
                hint="A letter has to give all of them.",
            )


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


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number that a double holds; TOML writes integers of any length."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


_NOTICE = ("organisation", "contact", "contest")
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
    try:
        if outcomes:
            _check_outcomes(outcomes)
    except FormatError as error:
        raise table.error(str(error), key="outcomes", hint=error.hint) from error
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


def _check_outcomes(outcomes: object) -> None:
    if isinstance(outcomes, str) or not isinstance(outcomes, Sequence) or len(outcomes) != 2:
        raise FormatError(
            "outcomes are two: below the threshold, and from it on",
            hint='Write ["refused", "granted"].',
        )
    if outcomes[0] == outcomes[1]:
        raise FormatError(
            "both outcomes are the same", hint="Name them so that a yes can be told from a no."
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
    table.only(*_NOTICE)
    return {key: table.text(key) for key in _NOTICE}


def _read_texts(table: Table) -> dict[str, str]:
    return {key: table.text(key) for key in table.values}


def _number(table: Table, key: str) -> float | None:
    value = table.values.get(key)
    if value is None:
        return None
    if is_number(value):
        return float(value)
    raise table.error(f'"{key}" must be a number', key=key, hint=f"Write {key} = 0.5.")


def _is_value(value: object) -> bool:
    return isinstance(value, str) or is_number(value)
