from __future__ import annotations

import hashlib

import pytest

from counterfoil.core.record import (
    MAX_FIELDS,
    SALT_BYTES,
    check_disclosures,
    check_fields,
    field_digest,
    format_disclosure,
    format_record,
    pad_row,
    parse_disclosure,
    parse_record,
    record_leaf,
    seal_rows,
)
from counterfoil.core.text import format_base64url
from counterfoil.errors import FormatError, ProofError

STREAM = hashlib.sha256(b"stream").digest()
FIELDS = ("kind", "inputs", "output")
ROWS = [
    ["decision", {"income": 1200.5, "housing": "own"}, {"outcome": "refused"}],
    ["decision", {"income": float("nan")}, None],
]
SALTS = bytes(range(192))
SEALED = seal_rows(STREAM, FIELDS, ROWS, SALTS)


def test_a_disclosure_is_that_of_rfc_9901():
    """Salt, name and value, as a JSON array in base64url, hashed as characters."""
    text = format_disclosure(bytes(32), "kind", "decision")
    assert text == format_base64url(b'["' + b"A" * 43 + b'","kind","decision"]')
    assert field_digest(text) == hashlib.sha256(text.encode()).digest()
    parsed = parse_disclosure(text)
    assert (parsed.salt, parsed.name, parsed.value) == (bytes(32), "kind", "decision")
    assert parsed.encoded == text


def test_sealing_a_row_commits_to_every_field():
    """Record, leaf and disclosures of each row fit together, each with salts of its own."""
    for at, (row, sealed) in enumerate(zip(ROWS, SEALED, strict=True)):
        salts = [SALTS[96 * at + 32 * i :][:32] for i in range(3)]
        expected = tuple(map(format_disclosure, salts, FIELDS, row))
        assert sealed.disclosures == expected
        assert sealed.record == format_record(STREAM, [field_digest(d) for d in expected])
        assert sealed.leaf == hashlib.sha256(b"\0" + sealed.record).digest()
        assert sealed.leaf == record_leaf(sealed.record)


def test_a_record_reads_back_as_it_was_written():
    """54 bytes and 32 for each field: prefix, stream, digests."""
    stream, digests = parse_record(SEALED[0].record, 3)
    assert (stream, format_record(stream, digests)) == (STREAM, SEALED[0].record)
    assert len(SEALED[0].record) == 54 + 32 * 3
    assert SEALED[0].record.startswith(b"counterfoil/record/v1\n" + STREAM)


def test_any_part_of_a_record_can_be_shown():
    """What is shown comes in the order of the fields; the rest stays hidden."""
    kind, inputs, output = SEALED[0].disclosures
    record = SEALED[0].record
    assert check_disclosures(record, FIELDS, []) == {}
    assert check_disclosures(record, FIELDS, [output]) == {"output": {"outcome": "refused"}}
    assert list(check_disclosures(record, FIELDS, [output, inputs, kind])) == list(FIELDS)


def test_a_value_that_is_no_number_is_shown_as_such():
    """NaN is on record as "NaN", not as nothing."""
    shown = check_disclosures(SEALED[1].record, FIELDS, SEALED[1].disclosures)
    assert shown == {"kind": "decision", "inputs": {"income": "NaN"}, "output": None}


def test_nothing_else_can_be_shown():
    """A disclosure of another record, or with any character changed, is not committed to."""
    record = SEALED[0].record
    with pytest.raises(ProofError, match="does not commit"):
        check_disclosures(record, FIELDS, [SEALED[1].disclosures[0]])
    text = SEALED[0].disclosures[0]
    for at in range(len(text)):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(ProofError, match="does not commit"):
            check_disclosures(record, FIELDS, [changed])


def test_a_field_is_shown_in_its_own_place_and_once():
    """A record whose writer mixed up the fields shows nothing, and neither does repetition."""
    kind, inputs, _ = SEALED[0].disclosures
    swapped = format_record(STREAM, [field_digest(inputs), field_digest(kind), bytes(32)])
    with pytest.raises(ProofError, match="in the place of"):
        check_disclosures(swapped, FIELDS, [kind])
    with pytest.raises(ProofError, match="twice"):
        check_disclosures(SEALED[0].record, FIELDS, [kind, kind])


def test_a_disclosure_is_read_only_after_its_hash_was_found():
    """Bytes that nobody committed to never reach the JSON reader."""
    for text in ("", "é", "!" * 100_000, format_base64url(b"[" * 1_000_000)):
        with pytest.raises((ProofError, FormatError)) as caught:
            check_disclosures(SEALED[0].record, FIELDS, [text])
        assert "JSON" not in str(caught.value)


@pytest.mark.parametrize(
    "record", [b"", SEALED[0].record[:-1], SEALED[0].record + bytes(32), bytes(150), bytes(54)]
)
def test_other_bytes_are_no_record(record):
    """Length and prefix are fixed by the number of fields."""
    with pytest.raises(FormatError):
        parse_record(record, 3)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_widths_are_checked_when_writing(size):
    """A short salt, stream id or digest is a mistake that cannot be mended later."""
    with pytest.raises(FormatError):
        format_disclosure(bytes(size), "kind", 1)
    with pytest.raises(FormatError):
        format_record(bytes(size), [bytes(32)])
    with pytest.raises(FormatError):
        format_record(STREAM, [bytes(size)])
    with pytest.raises(FormatError):
        seal_rows(bytes(size), FIELDS, ROWS, SALTS)


@pytest.mark.parametrize("change", [-32, -1, 1, 32])
def test_every_field_gets_a_whole_salt(change):
    """Salts are counted: none is used twice, cut or left over."""
    with pytest.raises(FormatError, match="bytes of salt"):
        seal_rows(STREAM, FIELDS, ROWS, bytes(len(SALTS) + change))


def test_rows_fit_the_fields():
    """A value too many or too few is an error that names the row."""
    for row in ([1, 2], [1, 2, 3, 4]):
        with pytest.raises(FormatError, match="row 1 has"):
            seal_rows(STREAM, FIELDS, [ROWS[0], row], SALTS)


def test_fields_have_a_largest_size():
    """65,536 characters can be sealed and read; one value larger is refused when it is written."""
    overhead = len(b'["","a",""]') + 43
    longest = "x" * (48 * 1024 - overhead)
    text = format_disclosure(bytes(32), "a", longest)
    assert len(text) == 65_536
    assert parse_disclosure(text).value == longest
    with pytest.raises(FormatError, match="49152"):
        format_disclosure(bytes(32), "a", longest + "x")
    with pytest.raises(FormatError, match="65537"):
        parse_disclosure(text + "A")


def test_fields_have_a_largest_depth():
    """Sixteen levels with the disclosure's own array; what is sealed can be read."""
    value: list = []
    for _ in range(14):
        value = [value]
    assert parse_disclosure(format_disclosure(bytes(32), "a", value)).value == value
    with pytest.raises(FormatError, match="deep"):
        format_disclosure(bytes(32), "a", [value])


@pytest.mark.parametrize(
    "fields",
    [(), ("a", "a"), ("",), ("x" * 129,), tuple(f"f{i}" for i in range(MAX_FIELDS + 1))],
)
def test_fields_have_names_of_their_own(fields):
    """Names are given, short and distinct, and not without number."""
    with pytest.raises(FormatError):
        check_fields(fields)
    with pytest.raises(FormatError):
        seal_rows(STREAM, fields, [], b"")


@pytest.mark.parametrize("name", ["", "x" * 129, "\ud800"])
def test_a_disclosure_has_a_name_that_a_field_can_have(name):
    """What no stream could declare is not written."""
    with pytest.raises(FormatError):
        format_disclosure(bytes(32), name, 1)


def test_names_may_hold_anything_json_can():
    """Quotes, brackets and other alphabets in a name survive."""
    fields = ('a"b', "[{", "Größe", "x" * 128)
    (sealed,) = seal_rows(STREAM, fields, [[1, 2, 3, 4]], bytes(SALT_BYTES * 4))
    shown = check_disclosures(sealed.record, fields, sealed.disclosures)
    assert shown == dict(zip(fields, (1, 2, 3, 4), strict=True))
    with pytest.raises(FormatError):
        seal_rows(STREAM, ("\ud800",), [[1]], bytes(SALT_BYTES))


def test_a_pad_looks_like_any_record():
    """Same length, same number of fields; only who sees its disclosures knows."""
    assert pad_row(FIELDS) == ("pad", None, None)
    (pad,) = seal_rows(STREAM, FIELDS, [pad_row(FIELDS)], bytes(96))
    assert len(pad.record) == len(SEALED[0].record)
    with pytest.raises(FormatError, match="kind"):
        pad_row(("inputs", "output"))
