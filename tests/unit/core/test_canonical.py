from __future__ import annotations

import json

import pytest

from counterfoil.core.canonical import (
    MAX_INTEGER,
    check_integer,
    format_json,
    parse_canonical,
    parse_json,
)
from counterfoil.errors import FormatError

DEEP = 10**6


def test_the_canonical_form_is_that_of_rfc_8785():
    """Members are sorted by UTF-16, numbers shortest, strings escaped only where they must be."""
    value = {"\u20ac": 1, "\r": 2, "\U0001f600": 3, "\ufb33": 4, "1": [1e21, 0.000001, 1e-7, -0.0]}
    assert format_json(value) == (
        '{"\\r":2,"1":[1e+21,0.000001,1e-7,0],"€":1,"\U0001f600":3,"\ufb33":4}'.encode()
    )


@pytest.mark.parametrize(
    "text", ["null", "true", "0", "-1", '"é"', "[]", "{}", '{"a":[1.5,"\\n"]}']
)
def test_canonical_json_reads_back_as_it_was_written(text):
    """Reading and writing are inverses."""
    assert format_json(parse_canonical(text.encode())) == text.encode()


@pytest.mark.parametrize(
    "text",
    [
        *(" 1", "1 ", "1.0", "1e0", "-0", "0.10", "[1, 2]", '{"b":1,"a":2}'),
        *('"\\u0041"', '"\\/"', '"\\u000a"', '"\\u00e9"'),
    ],
)
def test_another_spelling_of_the_same_value_is_not_canonical(text):
    """One value has one form, so that two readers hash the same bytes."""
    parse_json(text.encode())
    with pytest.raises(FormatError, match="canonical"):
        parse_canonical(text.encode())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1,]", "not JSON"),
        (b"01", "not JSON"),
        (b"+1", "not JSON"),
        (b"1_0", "not JSON"),
        (b"\xd9\xa1", "not JSON"),
        (b"'a'", "not JSON"),
        (b'"\n"', "not JSON"),
        (b"1 2", "not JSON"),
        (b"\xa01", "UTF-8"),
        (b"\xef\xbb\xbf1", "not JSON"),
        (b"\xff\xfe1\x00", "UTF-8"),
        (b'"\xed\xa0\x80"', "UTF-8"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udc00":1}', "surrogate"),
        (b'["\\ude00\\ud83d"]', "surrogate"),
        (b'{"a":1,"b":2,"a":1}', "'a' twice"),
        (b'{"a":1,"\\u0061":1}', "'a' twice"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"1e400", "double"),
        (b"9007199254740992", "2\\*\\*53"),
        (b"-9007199254740992", "2\\*\\*53"),
        (b"1" * DEEP, "2\\*\\*53"),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(data, why):
    """No duplicate keys, no numbers beyond a double, no broken text; the error says what it is."""
    with pytest.raises(FormatError, match=why) as caught:
        parse_json(data)
    assert caught.value.hint


@pytest.mark.parametrize(
    "data",
    [
        b"[" * DEEP,
        b'{"a":' * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b"[" * 65 + b"]" * 65,
        b'["]]]]]]",' * 65 + b"1" + b"]" * 65,
        b'["\\"]]",' * 65 + b"1" + b"]" * 65,
    ],
)
def test_depth_is_measured_before_anything_recurses(data):
    """A million brackets are refused as quickly as 65; those in strings do not count."""
    with pytest.raises(FormatError, match="64 levels"):
        parse_json(data)


def test_brackets_in_strings_are_not_levels():
    """Text may hold any number of brackets."""
    text = "[{" * 100 + '"\\'
    assert parse_json(json.dumps([text]).encode()) == [text]


def test_the_largest_of_everything_is_read():
    """Limits are the last values allowed, not the first refused."""
    for value in (MAX_INTEGER, -MAX_INTEGER, 9007199254740991.0):
        assert parse_canonical(format_json(value)) == value
    assert parse_json(b"[" * 64 + b"]" * 64)
    assert parse_json(b"[" + b"[" * 63 + b"]" * 63 + b",[]]")


def test_limits_are_the_callers_choice():
    """A reader that knows its format allows no more than that."""
    assert parse_json(b"[[1]]", max_bytes=5, max_depth=2) == [[1]]
    with pytest.raises(FormatError, match="4 are read"):
        parse_json(b"[[1]]", max_bytes=4)
    with pytest.raises(FormatError, match="ticket is nested more than 1"):
        parse_json(b"[[1]]", what="ticket", max_depth=1)


def test_an_unfinished_string_takes_no_longer_than_a_finished_one():
    """Hostile text is read in one pass: no quadratic search for the end of a string."""
    for data in (b'"' + b'\\"' * DEEP, b"[" * 65 + b'"' * DEEP, b'"' + b"\\" * DEEP):
        with pytest.raises(FormatError):
            parse_json(data)


@pytest.mark.parametrize(
    "value",
    [
        2**53,
        -(2**53),
        float("nan"),
        float("inf"),
        1e20,
        -9007199254740992.0,
        "\ud800",
        {"\ud800": 1},
        {1: 2},
        {"a": b"bytes"},
        {"a": {"b": 1e20}},
        {1, 2},
    ],
)
def test_a_value_that_would_not_read_back_is_not_written(value):
    """Whatever is written can be read by everyone, and is the same value again."""
    with pytest.raises(FormatError) as caught:
        format_json([value])
    assert caught.value.hint


def test_deep_values_are_refused_without_recursion():
    """A value that contains itself, or a million levels, is an error and no crash."""
    circle: list = []
    circle.append(circle)
    deep: list = []
    for _ in range(DEEP):
        deep = [deep]
    for value in (circle, deep, {"a": circle}):
        with pytest.raises(FormatError, match="levels deep"):
            format_json(value)
    while deep:  # taken apart one by one: Python would recurse to free it
        deep = deep.pop()


def test_an_integer_of_a_format_has_a_range():
    """A number below a format's least, or beyond what JSON holds, is an error with its name."""
    check_integer(1, "size", 1)
    check_integer(MAX_INTEGER, "size")
    for value, least in ((0, 1), (-1, 0), (MAX_INTEGER + 1, 0)):
        with pytest.raises(FormatError, match="size is"):
            check_integer(value, "size", least)
