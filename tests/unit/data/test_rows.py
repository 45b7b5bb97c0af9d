from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core.canonical import format_json, parse_json
from counterfoil.data.rows import Table, plain, read_rows, vary
from counterfoil.errors import FormatError

WANTED = Table(("a", "b"), ((1, "x"), (2, "y")))


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        pd.DataFrame({"a": pd.array([1, 2], dtype="Int64"), "b": pd.Categorical(["x", "y"])}),
        [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
        [[1, "x"], (2, "y")],
        np.array([[1, "x"], [2, "y"]], dtype=object),
        [np.array([1, "x"], dtype=object), np.array([2, "y"], dtype=object)],
    ],
    ids=["frame", "nullable", "dictionaries", "lists", "array", "rows of arrays"],
)
def test_rows_read_alike(data):
    """The same rows read the same, whatever container they come in."""
    assert read_rows(data, names=("a", "b")) == WANTED


def test_one_text_per_row():
    """A model of texts gets one column, named input unless it is named."""
    assert read_rows(["hello", "there"]) == Table(("input",), (("hello",), ("there",)))
    assert read_rows(np.array([1.5]), names=("x",)) == Table(("x",), ((1.5,),))
    assert read_rows(np.eye(2)).names == ("column_0", "column_1")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "nothing to decide on"),
        (pd.DataFrame({"a": []}), "nothing to decide on"),
        ([[], []], "nothing to decide on"),
        ([[1, 2], [3]], "row 1 has 1 values where 2"),
        ([[1, 2], 3], "row 1 is not a list"),
        ([1, [2]], "row 1 is a list"),
        ([{"a": 1}, {"b": 1}], "row 1 does not have the keys"),
        ([[1, math.nan]], "'column_1' in row 0 is missing"),
        (pd.DataFrame({"a": [1, None]}), "'a' in row 1 is missing"),
        (pd.DataFrame({"a": [pd.NaT]}), "'a' in row 0 is missing"),
        ([[1], [math.inf]], "'column_0' in row 1 is an infinite number"),
        ([[object()]], "'column_0' in row 0 is a object"),
        ([[1j]], "a complex"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are named 'a'"),
        (np.zeros((1, 1, 1)), "3 dimensions"),
        (np.float64(1), "0 dimensions"),
        ("text", "a str is not a batch"),
        ({"a": 1}, "a dict is not a batch"),
        (7, "a int is not a batch"),
    ],
)
def test_bad_rows_are_named(data, words):
    """What cannot be decided on is refused with the place where it is wrong."""
    with pytest.raises(FormatError, match=words):
        read_rows(data)


def test_missing_values_on_request():
    """Missing values pass where that is declared, all as None."""
    data = pd.DataFrame(
        {"a": [1.0, math.nan], "b": [None, "x"], "c": [pd.NaT, dt.date(2026, 1, 2)]}
    )
    assert read_rows(data, allow_missing=True).rows == (
        (1.0, None, None),
        (None, "x", "2026-01-02"),
    )


def test_plain_values():
    """Values become JSON without losing a digit."""
    assert plain(np.int64(3)) == 3
    assert type(plain(np.float32(0.5))) is float
    assert plain(np.bool_(True)) is True
    assert type(plain(np.str_("x"))) is str
    assert plain(2**53) == "9007199254740992"
    assert plain(Decimal("0.10")) == "0.10"
    assert plain(pd.Timestamp("2026-01-02 03:04:05")) == "2026-01-02T03:04:05"


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text(), st.none(), st.binary()))
def test_any_value_is_json_or_refused(value):
    """Whatever a column holds is either refused or reads back from a record as it went in."""
    try:
        read = plain(value)
        written = format_json([read])
    except FormatError:
        return
    assert parse_json(written) == [read]


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        pd.DataFrame({"a": [1, 2], "b": pd.Categorical(["x", "z"], ["x", "y", "z"])}),
        np.array([[1, "x"], [2, "y"]], dtype=object),
        [[1, "x"], [2, "y"]],
        [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
    ],
)
def test_vary_changes_one_value_each(data):
    """Each copy differs from the row in one value, in the same kind of container."""
    before = read_rows(data, names=("a", "b"))
    copies = vary(data, 0, [(0, 5), (1, "z"), (0, 6)])
    assert type(copies) is type(data)
    assert read_rows(copies, names=("a", "b")).rows == ((5, "x"), (1, "z"), (6, "x"))
    assert read_rows(data, names=("a", "b")) == before


def test_vary_keeps_column_types():
    """A value that a column cannot hold is refused instead of changing the column's type."""
    frame = pd.DataFrame({"a": [1, 2]})
    assert vary(frame, 0, [(0, 7)]).dtypes.equals(frame.dtypes)
    with pytest.raises(FormatError, match="does not fit"):
        vary(frame, 0, [(0, "many")])
    with pytest.raises(FormatError, match="does not fit"):
        vary(np.eye(2), 0, [(0, "many")])


def test_vary_texts():
    """A row that is one text is replaced by the new text."""
    assert vary(["hello"], 0, [(0, "a"), (0, "b")]) == ["a", "b"]
