"""Arguments of public calls: one of a wrong type is a bad input, and is said as one."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

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


def require_number(value: Any, what: str, hint: str) -> int:
    """Give a whole number, which may be of another library's type.

    Args:
        value: As it was given.
        what: What it is given for (`the index of an entry`).
        hint: How to get one.

    Raises:
        FormatError: it is none.
    """
    # Most arrays have the method, too, and raise when it is called.
    with contextlib.suppress(TypeError):
        return operator.index(value)
    return require(value, int, what, hint)


def require_each(values: object, kind: type[T], what: str, hint: str) -> tuple[T, ...]:
    """Give several values that have to be of a type, in a tuple.

    Args:
        values: Whatever gives them one after another, but no text: that would give its letters.
        kind: What each has to be.
        what: What they are given for (`a list of names`).
        hint: How to write one.

    Raises:
        FormatError: this is no list, or holds something else.
    """
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        values = require(values, list, what, hint)
    given = tuple(values)
    for number, value in enumerate(given):
        if not isinstance(value, kind):  # a call may have a million
            require(value, kind, f"{kind.__name__} as number {number} of {what}", hint)
    return given
