"""Arguments of public calls: one of a wrong type is a bad input, and is said as one."""

from __future__ import annotations

from typing import TypeVar

from counterfoil.errors import FormatError

T = TypeVar("T")

_SHOWN_CHARACTERS = 40


def require(value: object, kind: type[T], what: str, hint: str) -> T:
    """Give a value that has to be of a type.

    Args:
        value: As it was given.
        kind: What it has to be.
        what: What it is given for (`a decision`).
        hint: How to get one.

    Raises:
        FormatError: it is of another type.
    """
    if isinstance(value, kind):
        return value
    raise FormatError(
        f"{what} was asked for, not the {type(value).__name__} {value!a:.{_SHOWN_CHARACTERS}}",
        hint=hint,
    )
