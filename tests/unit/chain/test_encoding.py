from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chain.encoding import check_size, format_rlp, format_uint, parse_rlp, parse_uint
from counterfoil.errors import FormatError

ITEMS = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5))


@given(ITEMS)
def test_items_read_back(item):
    """Every nesting of byte strings is read as it was written."""
    assert parse_rlp(format_rlp(item), "item", 10_000) == item


@given(ITEMS, st.integers(0, 10_000), st.integers(0, 255))
def test_there_is_one_form(item, at, byte):
    """Whatever is done to an encoding, it is the one form of some item, or refused."""
    data = bytearray(format_rlp(item))
    data[at % len(data)] = byte
    with contextlib.suppress(FormatError):
        assert format_rlp(parse_rlp(bytes(data), "item", 10_000)) == data


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8100",  # one byte below 0x80 stands for itself
        "817f",
        "b80100",  # a length below 56 is written in short
        "b8378100",
        "b900" + "38" + "00" * 56,  # a length without leading zeros
        "f80180",
        "c2",
        "c18180",
        "8080",
        "bf" + "ff" * 8,
        "c1" * 2000,
    ],
)
def test_other_spellings_are_refused(text):
    """Lengths written in two ways, things cut or left over, and bottomless nesting are refused."""
    with pytest.raises(FormatError):
        parse_rlp(bytes.fromhex(text), "item", 10_000)


def test_length_is_bounded():
    """What is longer than the caller expects is not looked at."""
    assert parse_rlp(b"\x82ab", "item", 3) == b"ab"
    with pytest.raises(FormatError, match="at most 2"):
        parse_rlp(b"\x82ab", "item", 2)


@pytest.mark.parametrize("number", [0, 1, 255, 256, 2**31 - 1, 2**64 - 1])
def test_numbers_read_back(number):
    """A number is read as it was written, and in no fewer bits than it has."""
    assert parse_uint(format_uint(number), "number", 64) == number
    with pytest.raises(FormatError):
        parse_uint(b"\0" + format_uint(number), "number", 80)
    if number:
        with pytest.raises(FormatError):
            parse_uint(format_uint(number), "number", number.bit_length() - 1)


@pytest.mark.parametrize("item", [b"", b"abc", [b"a", b"b"]])
def test_sizes_are_exact(item):
    """A byte string of another size, or a list of that many items, is not taken."""
    assert check_size(b"ab", "thing", 2) == b"ab"
    with pytest.raises(FormatError, match="thing"):
        check_size(item, "thing", 2)
