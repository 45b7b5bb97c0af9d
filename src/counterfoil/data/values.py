"""Values of other libraries as plain JSON values, in one way everywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from counterfoil.core.canonical import MAX_INTEGER, JsonValue
from counterfoil.errors import FormatError


def plain(value: Any) -> JsonValue:
    """Turn a value into what JSON can hold.

    NumPy scalars and arrays become Python's, times become ISO text. Numbers that JSON cannot
    hold become text: `"NaN"`, `"Infinity"`, and integers beyond 2**53.

    Raises:
        FormatError: nothing in JSON stands for this.
    """
    match value:
        case None | bool() | str():
            return value
        case int():
            return int(value) if abs(value) <= MAX_INTEGER else str(value)
        case float():
            if math.isfinite(value):
                return float(value)
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case datetime() | date():
            return "NaT" if str(value) == "NaT" else value.isoformat()
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case _ if hasattr(value, "tolist"):  # NumPy's scalars and arrays
            return plain(value.tolist())
        case Sequence() if not isinstance(value, bytes | bytearray):
            return [plain(item) for item in value]
        case _ if type(value).__name__ in {"NAType", "NaTType"}:  # pandas's own nothing
            return None
    raise FormatError(
        f"a value of type {type(value).__name__} cannot be recorded",
        hint="Give numbers, text, booleans, times, or lists and mappings of them.",
    )


def rows_of(table: Any) -> tuple[list[str], list[list[JsonValue]]]:
    """Read the rows of a table in memory: names of columns, and plain values row by row.

    Args:
        table: A pandas or polars DataFrame, a two-dimensional NumPy array, a list of mappings
            with the same keys, or a list of equally long lists.

    Raises:
        FormatError: it is empty, ragged, or no table.
    """
    if hasattr(table, "columns") and hasattr(table, "to_numpy"):
        names = [str(name) for name in table.columns]
        columns = [[plain(value) for value in table[name].to_list()] for name in table.columns]
        rows = [list(row) for row in zip(*columns, strict=True)]
    else:
        items = list(table.tolist() if hasattr(table, "tolist") else table)
        if items and all(isinstance(item, Mapping) for item in items):
            names = [str(name) for name in items[0]]
            for number, item in enumerate(items):
                if [str(name) for name in item] != names:
                    raise FormatError(
                        f"row {number} has other columns than row 0",
                        hint="Give every row the same columns in the same order.",
                    )
            rows = [[plain(value) for value in item.values()] for item in items]
        elif items and all(isinstance(item, list | tuple) for item in items):
            rows = [[plain(value) for value in item] for item in items]
            names = [f"x{i}" for i in range(len(rows[0]))]
        else:
            raise FormatError(
                f"a {type(table).__name__} is empty or no table",
                hint="Give a data frame, a two-dimensional array, or a list of rows.",
            )
    if not rows:
        raise FormatError("the table has no rows", hint="Give at least one row.")
    _require_even(names, rows)
    return names, rows


def _require_even(names: list[str], rows: list[list[JsonValue]]) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FormatError(f"two columns are called {twice!r}", hint="Rename one of them.")
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise FormatError(
                f"row {number} has {len(row)} values, not {len(names)}",
                hint="Give every row as many values as there are columns.",
            )
