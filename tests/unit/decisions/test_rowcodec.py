from __future__ import annotations

import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core.portable import encode_value
from counterfoil.core.record import (
    MAX_FIELD_DEPTH,
    SALT_BYTES,
    parse_disclosure,
    seal_rows,
    seal_texts,
)
from counterfoil.decisions.rowcodec import RowCodec, encode
from counterfoil.errors import FormatError

FIELDS = ("kind", "inputs", "a name with ünïcode")
CODEC = RowCodec(FIELDS)

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.sampled_from(["null", "{[{[", "},{"]),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def nested(levels, leaf=1):
    value = leaf
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


def seal(row):
    texts, subject = CODEC.parse_row(row)
    (sealed,) = seal_texts(bytes(32), FIELDS, texts, bytes(SALT_BYTES * len(FIELDS)))
    return sealed, subject


def is_writable(value):
    try:
        encode_value(value, MAX_FIELD_DEPTH - 1)
    except FormatError:
        return False
    return True


@given(
    st.tuples(values, values, values).filter(lambda row: all(map(is_writable, row))),
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50),
)
def test_a_row_through_the_ring_is_sealed_like_one_that_was_not(row, subject):
    """Encoding early and sealing elsewhere gives, with the same salts, the same record."""
    through, about = seal(CODEC.format_row(row, subject))
    (direct,) = seal_rows(bytes(32), FIELDS, [row], bytes(SALT_BYTES * len(FIELDS)))
    assert through == direct
    assert about == subject


def test_numbers_that_json_lacks_are_recorded_as_text():
    """NaN, infinities and huge integers are never quietly turned into null."""
    row = (math.nan, {"a": [math.inf, None], "b": -math.inf}, 2**63)
    sealed, _ = seal(CODEC.format_row(row, None))
    shown = [parse_disclosure(text).value for text in sealed.disclosures]
    assert shown == ["NaN", {"a": ["Infinity", None], "b": "-Infinity"}, str(2**63)]


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, b"bytes", {1: 2}, "\ud800", nested(MAX_FIELD_DEPTH), [nested(10**4)]],
    ids=["object", "set", "bytes", "key", "surrogate", "deep", "very deep"],
)
def test_what_cannot_be_recorded_is_refused_when_it_is_given(value):
    """The caller is told at once, in our words."""
    with pytest.raises(FormatError):
        CODEC.format_row(("decision", value, None), None)


def test_as_deep_as_a_disclosure_may_be():
    """A value with one level less than a disclosure's is taken, and shown as it was."""
    value = nested(MAX_FIELD_DEPTH - 1)
    sealed, _ = seal(CODEC.format_row((value, [{"t": n} for n in range(40)], None), None))
    assert parse_disclosure(sealed.disclosures[0]).value == value


@pytest.mark.parametrize("field", range(len(FIELDS)))
def test_the_largest_value_is_the_largest_that_can_be_sealed(field):
    """No row is taken that could not be sealed later, and none refused that could."""
    low, high = 40_000, 50_000
    while low + 1 < high:
        middle = (low + high) // 2
        row = ["", "", ""]
        row[field] = "x" * middle
        try:
            taken = CODEC.format_row(row, None)
        except FormatError as error:
            assert FIELDS[field] in str(error)  # noqa: PT017 which size is refused is the question
            high = middle
            with pytest.raises(FormatError):
                seal_rows(bytes(32), FIELDS, [row], bytes(SALT_BYTES * len(FIELDS)))
        else:
            low = middle
            seal(taken)


def test_a_value_encoded_once_is_recorded_like_any_other():
    """`encode` saves work and changes nothing."""
    fragment = encode({"name": "credit", "missing": None})
    assert isinstance(fragment, orjson.Fragment)
    direct = CODEC.format_row((None, {"name": "credit", "missing": None}, 1), "p")
    assert CODEC.format_row((None, fragment, 1), "p") == direct


@pytest.mark.parametrize("row", [(), (1, 2), (1, 2, 3, 4)])
def test_a_row_has_a_value_for_each_field(row):
    """A missing or extra value is named, not shifted into another field."""
    with pytest.raises(FormatError, match="values, the stream has 3 fields"):
        CODEC.format_row(row, None)


@pytest.mark.parametrize("subject", ["", "\ud800", "x" * 5000])
def test_a_subject_that_cannot_be_named_is_refused_when_it_is_given(subject):
    """Whom a record is about is checked before the row is taken."""
    with pytest.raises(FormatError, match="data subject"):
        CODEC.format_row((1, 2, 3), subject)
