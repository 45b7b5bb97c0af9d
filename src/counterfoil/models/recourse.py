"""What would have had to be different: single changes that turn a refusal into a yes.

Only what a person can act on is searched, and only values declared beforehand; each candidate is
scored by the model itself, so a change that is told has really been tried. One change at a time,
all else equal: that is how the letter says it, and all that it claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from counterfoil.data.rows import plain, vary
from counterfoil.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterfoil.core.canonical import JsonValue
    from counterfoil.models.predict import Prediction, Predictor

Value: TypeAlias = "str | int | float"

MAX_CHANGES = 5
"""Changes told to a person: enough to choose from, few enough to read."""


@dataclass(frozen=True, slots=True)
class Action:
    """A feature that a person can change, and the values it could take.

    `values` are in their natural order: numbers ascending, categories from one end to the other.
    A category that is not among them cannot be moved from, as there is no order to move along.
    """

    feature: str
    values: tuple[Value, ...]
    direction: Literal["up", "down", "either"] = "either"


@dataclass(frozen=True, slots=True)
class Change:
    """One change that would have led to another outcome.

    `size` is how far it goes, as a share of the range that the declared values span.
    """

    feature: str
    label: str
    before: JsonValue
    after: JsonValue
    score: float | None
    outcome: JsonValue
    size: float

    def as_json(self) -> dict[str, JsonValue]:
        """The change as a record holds it."""
        return {
            "feature": self.feature,
            "label": self.label,
            "from": self.before,
            "to": self.after,
            "score": self.score,
            "outcome": self.outcome,
        }


def find_changes(
    predictor: Predictor,
    rows: Any,
    decided: Prediction,
    index: int,
    *,
    actions: Sequence[Action],
    labels: Mapping[str, str],
    wanted: JsonValue,
    limit: int = MAX_CHANGES,
) -> list[Change]:
    """Find single changes to row `index` after which the model says `wanted`.

    The smallest change of each feature is told, smallest first.

    Args:
        predictor: The model that decided.
        rows: The batch, as it was decided on.
        decided: What the model said about it.
        index: The row, counted from zero.
        actions: What can be changed.
        labels: Plain-language names of features.
        wanted: The outcome that is hoped for.
        limit: How many changes to tell at most.

    Raises:
        FormatError: An action names a feature that the rows do not have, or a value that its
            column cannot take.
    """
    table = decided.table
    candidates: list[tuple[float, int, Value]] = []
    for action in actions:
        if action.feature not in table.names:
            raise FormatError(
                f"{action.feature!r} is declared as changeable and is no column",
                hint=f"the columns are {', '.join(table.names)}",
            )
        column = table.names.index(action.feature)
        present = table.rows[index][column]
        candidates += [(size, column, value) for size, value in _steps(action, present)]
    if not candidates:
        return []
    tried = predictor.predict(vary(rows, index, [edit[1:] for edit in candidates]))
    found: dict[int, Change] = {}
    order = sorted(range(len(candidates)), key=lambda number: (candidates[number][0], number))
    for number in order:
        size, column, value = candidates[number]
        outcome = tried.outcome(number)
        if outcome == wanted and column not in found:
            name = table.names[column]
            found[column] = Change(
                feature=name,
                label=labels.get(name, name.replace("_", " ")),
                before=table.rows[index][column],
                after=plain(value),
                score=tried.score(number),
                outcome=outcome,
                size=size,
            )
    return list(found.values())[:limit]


def _steps(action: Action, present: JsonValue) -> list[tuple[float, Value]]:
    """The allowed values other than the present one, each with the size of the step to it."""
    values = action.values
    moves: list[tuple[float, Value]]
    if not isinstance(present, bool) and isinstance(present, int | float):
        numbers = [value for value in values if not isinstance(value, str)]
        if len(numbers) != len(values):
            raise FormatError(f"{action.feature!r} holds numbers and is declared with texts")
        span = max((present, *numbers)) - min((present, *numbers)) or 1
        moves = [((value - present) / span, value) for value in numbers]
    elif present in values:
        start, span = values.index(present), max(1, len(values) - 1)
        moves = [((place - start) / span, value) for place, value in enumerate(values)]
    else:
        return []
    sign = {"up": 1, "down": -1}.get(action.direction)
    return [
        (abs(move), value)
        for move, value in moves
        if move != 0 and (sign is None or move * sign > 0)
    ]
