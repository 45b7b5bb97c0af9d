from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from counterfoil.core.canonical import MAX_INTEGER, format_json, parse_canonical, parse_json
from counterfoil.core.envelope import (
    Envelope,
    EnvelopeSignature,
    format_envelope,
    parse_envelope,
)
from counterfoil.core.portable import encode_value, encode_values
from counterfoil.core.statement import Statement, Subject, format_statement, parse_statement
from counterfoil.errors import FormatError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
floats = st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda value: not MAX_INTEGER < abs(value) < 1e21
)


def json_of(scalars):
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=12,
    )


exact = json_of(st.none() | st.booleans() | integers | texts)
values = json_of(st.none() | st.booleans() | integers | floats | texts)
anything = json_of(st.none() | st.booleans() | st.integers() | st.floats() | st.text())


@given(values)
def test_canonical_json_and_values_are_inverses(value):
    """What is written reads back equal, and the same value is always written alike."""
    data = format_json(value)
    assert parse_canonical(data) == value
    assert format_json(parse_canonical(data)) == data
    assert format_json(json.loads(json.dumps(value))) == data


@given(values, st.data())
def test_other_spellings_have_the_same_canonical_form(value, data):
    """White space, escapes and the order of members change nothing but the spelling."""
    text = json.dumps(
        value,
        ensure_ascii=data.draw(st.booleans()),
        indent=data.draw(st.sampled_from([None, 0, 2])),
    )
    assert format_json(parse_json(text.encode())) == format_json(value)


@given(anything)
def test_whatever_is_written_can_be_read(value):
    """A value either has a canonical form that reads back, or is refused with our error."""
    try:
        data = format_json(value)
    except FormatError:
        return
    assert parse_canonical(data) == value


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-16")))
@example(b'{"a":1}' + b"\0")
@example(b"[" * 100_000)
def test_arbitrary_bytes_are_read_or_refused(data):
    """No input raises anything but our own errors."""
    for parse in (parse_json, parse_canonical, parse_envelope, parse_statement):
        try:
            parse(data)
        except FormatError as error:
            assert str(error)  # noqa: PT017 - the point is that no other error escapes


@given(st.text(alphabet='[]{}":,\\u0123456789.eE-+ntrfals \n', max_size=60))
def test_what_we_read_every_reader_reads_alike(text):
    """Where we accept JSON, Python's own reader finds the same value."""
    try:
        value = parse_json(text.encode())
    except FormatError:
        return
    assert json.loads(text) == value


@given(
    st.binary(max_size=100),
    texts,
    st.lists(st.builds(EnvelopeSignature, texts, st.binary(max_size=80)), min_size=1, max_size=4),
)
def test_envelopes_and_their_bytes_are_inverses(payload, payload_type, signatures):
    """Any payload, type and signatures survive."""
    distinct = {one.keyid: one for one in signatures}
    envelope = Envelope(payload, payload_type, tuple(distinct.values()))
    data = format_envelope(envelope)
    assert parse_envelope(data) == envelope
    assert format_envelope(parse_envelope(data)) == data


subjects = st.builds(
    Subject,
    texts.filter(bool),
    st.fixed_dictionaries({"sha256": st.binary(min_size=32, max_size=32).map(bytes.hex)}),
)


@given(
    st.lists(subjects, min_size=1, max_size=3, unique_by=lambda subject: subject.name),
    texts.map("urn:{}".format),
    st.dictionaries(texts, exact, max_size=4),
)
def test_statements_and_their_bytes_are_inverses(about, uri, predicate):
    """Any subjects, type and predicate without fractions survive."""
    statement = Statement(tuple(about), uri, predicate)
    data = format_statement(statement)
    assert parse_statement(data) == statement
    assert format_statement(parse_statement(data)) == data


def portable(value):
    """What a record holds in place of a value."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    if type(value) is int and abs(value) > MAX_INTEGER:
        return str(value)
    if isinstance(value, list):
        return [portable(item) for item in value]
    if isinstance(value, dict):
        return {name: portable(member) for name, member in value.items()}
    return value


@given(anything)
def test_values_of_records_are_exact_or_strings(value):
    """The fast writer agrees with the plain rule, wherever in a value a number hides."""
    try:
        text = encode_value(value, 15)
    except FormatError:
        return
    assert parse_json(text) == portable(value)


deep = st.integers(12, 18).map(lambda levels: json.loads("[" * levels + "]" * levels))


@given(
    st.lists(
        anything | deep | st.sampled_from([None, [None], "null", math.nan, [math.inf]]), max_size=6
    )
)
def test_many_values_are_written_as_each_is_alone(values):
    """Looking at all of them at once notices what looking at each does, and mixes up none."""
    try:
        texts = [encode_value(value, 15) for value in values]
    except FormatError:
        with pytest.raises(FormatError):
            encode_values(values, 15)
    else:
        assert encode_values(values, 15) == texts
