"""Rows of inputs, seen alike whether they come as a table, an array or lists.

A user hands a model what it was trained on: a pandas or polars data frame, a NumPy array, lists,
dictionaries, or one text per row. A record needs the same rows as names and plain JSON values.
`read_rows` is that step, and the place where bad input is refused before a model sees it.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from counterfoil.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from counterfoil.core.canonical import JsonValue

MAX_EXACT_INTEGER = 2**53 - 1
"""Largest integer JSON readers agree on; a larger one is kept as text."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as they go into a record.

    `rows[i][j]` is the value of `names[j]` in row `i`: None, a bool, an integer, a finite float
    or a text.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[JsonValue, ...], ...]

    def as_dict(self, index: int) -> dict[str, JsonValue]:
        """Row `index` as names and values."""
        return dict(zip(self.names, self.rows[index], strict=True))


def read_rows(data: Any, *, names: Sequence[str] = (), allow_missing: bool = False) -> Table:
    """Read a batch of inputs.

    Args:
        data: A data frame with named columns, an array of one or two dimensions, or a sequence
            of rows (sequences, dictionaries with the same keys, or single values).
        names: Column names for data that carries none; by default `input` for single values and
            `column_0`, `column_1`, ... otherwise.
        allow_missing: Whether a missing value (None, NaN) may pass; it becomes None.

    Raises:
        FormatError: There is no row or no column, rows differ in length, two columns share a
            name, or a value is missing, infinite or of a kind that JSON cannot hold. The message
            names row and column, counted from zero.
    """
    columns, values = _columns_and_rows(data, names)
    if not values or not columns:
        raise FormatError(
            "there is nothing to decide on: the input has no rows or no columns",
            hint="pass at least one row",
        )
    for name in columns:
        try:
            plain(name)
        except FormatError as error:
            raise FormatError(f"the name of a column is {error}", hint=error.hint) from error
    if len(set(columns)) != len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise FormatError(
            f"two columns are named {twice!r}", hint="a record holds each name once; rename one"
        )
    read = []
    for number, row in enumerate(values):
        if len(row) != len(columns):
            raise FormatError(
                f"row {number} has {len(row)} values where {len(columns)} are expected",
                hint="every row needs one value for each column",
            )
        read.append(_read_row(number, columns, row))
        if not allow_missing and None in read[-1]:
            raise FormatError(
                f"the value of {columns[read[-1].index(None)]!r} in row {number} is missing",
                hint="fill it in, drop the row, or declare that missing values are allowed",
            )
    return Table(columns, tuple(read))


def _read_row(number: int, columns: tuple[str, ...], row: Iterable[Any]) -> tuple[JsonValue, ...]:
    read: list[JsonValue] = []
    for name, value in zip(columns, row, strict=True):
        try:
            read.append(plain(value))
        except FormatError as error:
            raise FormatError(
                f"the value of {name!r} in row {number} is {error}", hint=error.hint
            ) from error
    return tuple(read)


def plain(value: Any) -> JsonValue:
    """One value as JSON holds it; a missing one becomes None.

    Dates become ISO 8601 text; decimals and integers beyond 2**53 become their digits.

    Raises:
        FormatError: The value is infinite, or of a kind that JSON cannot hold.
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= MAX_EXACT_INTEGER else _digits(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _not_finite(math.isnan(value))
    if _is_missing(value):
        return None
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else _not_finite(value.is_nan())
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        inner = value.item()  # a NumPy scalar
        if not hasattr(inner, "item"):
            return plain(inner)
    raise FormatError(
        f"a {type(value).__name__}", hint="pass numbers, texts, booleans or dates, one per column"
    )


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise FormatError(
            f"a text with half a character at place {error.start}",
            hint="read the source with its own encoding, for instance UTF-8",
        ) from error
    return str(value)


def _digits(value: int) -> str:
    try:
        return str(int(value))
    except ValueError as error:
        raise FormatError("an integer of thousands of digits", hint="pass it as text") from error


def _not_finite(is_nan: bool) -> JsonValue:
    if is_nan:
        return None
    raise FormatError("an infinite number", hint="cap it, or mark it as missing")


def vary(data: Any, index: int, edits: Sequence[tuple[int, Any]]) -> Any:
    """Copies of row `index`, each with one value replaced, in the kind of container they came in.

    Args:
        data: The batch, as for `read_rows`.
        index: The row to copy.
        edits: For each copy, the position of the column and its new value.

    Raises:
        FormatError: A value does not fit the type of its column.
    """
    if _is_frame(data):
        return _vary_frame(data, index, edits)
    if hasattr(data, "ndim"):
        copies = data[[index] * len(edits)]  # an array of positions copies the rows
        for number, (column, value) in enumerate(edits):
            _set(copies, (number, column) if data.ndim > 1 else number, value)
        return copies
    row = data[index]
    if isinstance(row, Mapping):
        names = list(row)
        return [{**row, names[column]: value} for column, value in edits]
    if isinstance(row, Sequence) and not isinstance(row, str):
        return [[*row[:column], value, *row[column + 1 :]] for column, value in edits]
    return [value for _, value in edits]


def _vary_frame(data: Any, index: int, edits: Sequence[tuple[int, Any]]) -> Any:
    copies = data.iloc[[index] * len(edits)].reset_index(drop=True)
    for column in {column for column, _ in edits}:
        name = data.columns[column]
        values = copies[name].tolist()
        for number, (edited, value) in enumerate(edits):
            if edited == column:
                values[number] = value
        try:
            copies[name] = type(copies[name])(values, dtype=copies[name].dtype)
        except (TypeError, ValueError) as error:
            raise FormatError(f"a value does not fit the column {name!r}: {error}") from error
    return copies


def _set(array: Any, place: Any, value: Any) -> None:
    try:
        array[place] = value
    except (TypeError, ValueError) as error:
        raise FormatError(f"{value!r} does not fit an array of {array.dtype}") from error


def _is_frame(data: Any) -> bool:
    return hasattr(data, "columns") and hasattr(data, "iloc")


def _columns_and_rows(data: Any, names: Sequence[str]) -> tuple[tuple[str, ...], list[Any]]:
    if hasattr(data, "columns"):
        columns = tuple(map(str, data.columns))
        if len(set(columns)) != len(columns):
            return columns, [()]  # refused by name; a doubled name cannot be read out
        return columns, list(zip(*(data[name] for name in data.columns), strict=True))
    if hasattr(data, "toarray"):
        raise FormatError("the input is a sparse matrix", hint="pass data.toarray()")
    if hasattr(data, "tolist"):
        if getattr(data, "ndim", 1) not in {1, 2}:
            raise FormatError(
                f"the input is an array of {data.ndim} dimensions", hint="pass rows and columns"
            )
        data = data.tolist()
    if isinstance(data, str | bytes | Mapping) or not hasattr(data, "__iter__"):
        raise FormatError(
            f"a {type(data).__name__} is not a batch of rows", hint="wrap a single row in a list"
        )
    return _named(list(data), names)


def _named(rows: list[Any], names: Sequence[str]) -> tuple[tuple[str, ...], list[Any]]:
    if rows and isinstance(rows[0], Mapping):
        keys = list(rows[0])
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping) or list(row) != keys:
                raise FormatError(
                    f"row {number} does not have the keys of row 0, in their order",
                    hint="give every row the same keys; None stands for a missing value",
                )
        return tuple(map(str, keys)), [tuple(row.values()) for row in rows]
    nested = [_is_row(row) for row in rows]
    if nested and not nested[0]:
        if any(nested):
            raise FormatError(f"row {nested.index(True)} is a list and row 0 is a single value")
        return tuple(names) if len(names) == 1 else ("input",), [(row,) for row in rows]
    if not all(nested):
        raise FormatError(f"row {nested.index(False)} is not a list of values as row 0 is")
    width = len(rows[0]) if rows else 0
    return tuple(names) or tuple(f"column_{j}" for j in range(width)), rows


def _is_row(value: Any) -> bool:
    if isinstance(value, str | bytes):
        return False
    return isinstance(value, Sequence) or getattr(value, "ndim", None) == 1


def _is_missing(value: Any) -> bool:
    return type(value).__name__ in {"NAType", "NaTType"}  # pandas' marks, without importing pandas
