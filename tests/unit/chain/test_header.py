from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chain.header import (
    MAX_HEADER_BYTES,
    Header,
    format_header,
    parse_header,
    read_header,
)
from counterfoil.errors import FormatError, UnavailableError

BLOCKS = json.loads((Path(__file__).parent / "mainnet-headers.json").read_text("utf-8"))


@pytest.mark.parametrize("block", BLOCKS, ids=[block["number"] for block in BLOCKS])
def test_blocks_of_ethereum_hash_to_what_they_are_called(block):
    """A header of the public chain, made from what nodes answer, has the hash everybody knows."""
    header = read_header(block)
    assert header.hash().hex() == block["hash"].removeprefix("0x")
    assert (header.number, header.time) == (int(block["number"], 16), int(block["timestamp"], 16))
    assert header.state_root.hex() == block["stateRoot"].removeprefix("0x")
    assert parse_header(format_header(header)) == header


def test_every_byte_of_a_header_counts(header):
    """A header with any bit of it changed is another header, with another hash, or none."""
    data = format_header(header)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        try:
            other = parse_header(bytes(changed))
        except FormatError:
            continue
        assert format_header(other) == bytes(changed)
        assert other.hash() != header.hash()


@pytest.mark.parametrize("count", [0, 14, 18, 19, 22, 23])
def test_a_header_of_an_unknown_fork_is_refused(count, header):
    """A number of fields that no known fork has is refused: it is not guessed what they mean."""
    fields = [*header.fields, *[bytes(32)] * 10][:count]
    with pytest.raises(FormatError, match="fields"):
        parse_header(rlp.encode(fields))


@pytest.mark.parametrize(
    ("place", "value"),
    [(3, bytes(31)), (3, b""), (8, b"\0\1"), (8, bytes([1] * 9)), (14, bytes(7)), (6, bytes(255))],
)
def test_a_field_has_one_size(place, value, header):
    """Hashes have 32 bytes, numbers no leading zeros, and no field is longer than it may be."""
    fields = list(header.fields)
    fields[place] = value
    with pytest.raises(FormatError):
        parse_header(rlp.encode(fields))


def test_extra_data_and_headers_are_bounded(header):
    """Neither extra data nor a header can be made long enough to keep a verifier busy."""
    with pytest.raises(FormatError, match="at most"):
        header.with_extra(bytes(MAX_HEADER_BYTES))
    with pytest.raises(FormatError, match="at most"):
        parse_header(bytes(MAX_HEADER_BYTES + 1))


@given(st.binary(max_size=700))
def test_arbitrary_bytes_are_a_header_or_an_error_of_ours(data):
    """Whatever bytes come in, they are a header in its one form, or a FormatError."""
    with contextlib.suppress(FormatError):
        assert format_header(parse_header(data)) == data


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\xc0", b"\xc1" * 3000, b"\xf8\x10" + b"\x80" * 16]
)
def test_what_is_no_list_of_strings_is_refused(data):
    """Nothing at all, nested lists and lengths written in two ways are no headers."""
    with pytest.raises(FormatError):
        parse_header(data)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("number", "0x01"),
        ("number", "1"),
        ("number", 1),
        ("number", "0x" + "f" * 1_000_000),
        ("timestamp", None),
        ("stateRoot", "0x00"),
        ("stateRoot", None),
        ("extraData", "0x" + "00" * 40_000),
        ("parentHash", "00" * 32),
        ("withdrawalsRoot", None),
    ],
)
def test_a_node_answers_in_one_form(name, value):
    """What a node answers is a block in the form of the specification, or refused."""
    with pytest.raises((FormatError, UnavailableError)):
        read_header(BLOCKS[-1] | {name: value})


@pytest.mark.parametrize("block", [None, [], "0x", 7, {}])
def test_no_block_is_no_header(block):
    """A node that answers with something else than a block is not believed to have one."""
    with pytest.raises((FormatError, UnavailableError)):
        read_header(block)


def test_a_list_among_the_fields_is_refused(header):
    """A list between the fields, which a lenient reader would step over, is no field."""
    for at in range(len(header.fields) + 1):
        fields = [*header.fields]
        fields.insert(at, [])
        with pytest.raises(FormatError, match="list of byte strings"):
            parse_header(rlp.encode(fields))


def test_a_header_is_made_of_known_fields_only():
    """A header cannot be held in any other form than one that a chain could have."""
    with pytest.raises(FormatError):
        Header((b"",) * 15)
