from __future__ import annotations

import json
import math
from collections import OrderedDict, namedtuple
from enum import StrEnum

import pytest

from counterfoil.core.canonical import MAX_INTEGER
from counterfoil.core.portable import encode_value
from counterfoil.errors import FormatError


class Outcome(StrEnum):
    REFUSED = "refused"


class Real(float):
    """Stands for the floats of numeric libraries."""


Point = namedtuple("Point", "x y")  # noqa: PYI024 - the untyped kind is what users have


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 0, -7, MAX_INTEGER, 0.1, 5e-324, 1.7976931348623157e308, "", "null", "é😀"),
        *([], {}, [None], {"null": "null"}, {"a": [1, {"b": None}]}, "{[" * 20, ["},{"] * 20),
    ],
)
def test_ordinary_values_are_written_as_they_are(value):
    """What JSON can hold reads back equal, floats to the last bit."""
    assert json.loads(encode_value(value, 15)) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        ([None, 1.5, math.nan], [None, 1.5, "NaN"]),
        ({"a": {"b": [math.inf]}, "c": None}, {"a": {"b": ["Infinity"]}, "c": None}),
        ((1, (math.nan,)), [1, ["NaN"]]),
        (2**53, "9007199254740992"),
        ([MAX_INTEGER, math.nan], [MAX_INTEGER, "NaN"]),
        ([-(10**30)], ["-1000000000000000000000000000000"]),
        (Real("nan"), "NaN"),
        ([Real(0.5)], [0.5]),
        (OrderedDict(a=math.nan), {"a": "NaN"}),
        (Point(1, math.nan), [1, "NaN"]),
        ([Outcome.REFUSED, math.nan], ["refused", "NaN"]),
    ],
)
def test_numbers_that_readers_disagree_on_become_strings(value, expected):
    """A missing score is "NaN" and never null, wherever it hides."""
    assert json.loads(encode_value(value, 15)) == expected


def nested(levels):
    value = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def test_depth_has_a_limit_that_width_does_not_touch():
    """A table of a hundred rows is not deep; one level too many is refused."""
    rows = [{"feature": "a", "value": [1, {}]}] * 100
    assert json.loads(encode_value(rows, 4)) == rows
    with pytest.raises(FormatError, match="too deep"):
        encode_value(rows, 3)
    assert json.loads(encode_value(nested(15), 15)) == nested(15)
    for levels in (16, 17, 300):
        with pytest.raises(FormatError, match="too deep"):
            encode_value(nested(levels), 15)


def test_deep_values_among_siblings_are_noticed():
    """However many siblings stand beside it, a deep value is deep."""
    for levels in range(10, 20):
        value = [{}, {}, {}, nested(levels), {}, {}]
        if levels < 15:
            assert json.loads(encode_value(value, 15)) == value
        else:
            with pytest.raises(FormatError):
                encode_value(value, 15)


@pytest.mark.parametrize(
    "value",
    [b"bytes", {1, 2}, object(), {1: 2}, {None: 1}, "\ud800", {"\udc00": 1}, [10**5000], 1j],
)
def test_what_is_not_json_is_refused(value):
    """The error is ours and says what to do, whether the value stands alone or inside."""
    for wrapped in (value, [value], {"a": [math.nan, value]}):
        with pytest.raises(FormatError) as caught:
            encode_value(wrapped, 15)
        assert caught.value.hint
