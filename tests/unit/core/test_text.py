from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core import text
from counterfoil.errors import FormatError


@given(st.integers(0, text.MAX_INTEGER))
def test_a_number_reads_back_as_it_was_written(number):
    """What `str` writes is what is read."""
    assert text.parse_decimal(str(number), "size") == number


@pytest.mark.parametrize(
    "lenient",
    [
        "",
        " 42",
        "42 ",
        "42\n",
        "4_2",
        "+42",
        "-42",
        "-0",
        "00",
        "042",
        "4.2",
        "1e3",
        "0x2",
        "\u0664",
    ],
)
def test_a_number_has_one_written_form(lenient):
    """Whatever else Python reads as a number is refused."""
    with pytest.raises(FormatError, match=r"size: .* is not a decimal number"):
        text.parse_decimal(lenient, "size")


def test_a_number_above_its_maximum_is_refused():
    """The maximum itself is read, one more is not, and a million digits cost nothing."""
    assert text.parse_decimal("255", "width", 255) == 255
    for beyond in ("256", "1000", "9" * 10**6):
        with pytest.raises(FormatError):
            text.parse_decimal(beyond, "width", 255)


@given(st.binary(max_size=70))
def test_bytes_read_back_as_they_were_written(data):
    """Base64, its URL-safe form and hexadecimal are inverses of their parsers."""
    size = len(data)
    assert text.parse_base64(text.format_base64(data), "root", size=size) == data
    assert text.parse_base64url(text.format_base64url(data), "salt", size=size) == data
    assert text.parse_hex(data.hex(), "digest", size=size) == data


@pytest.mark.parametrize(
    "other",
    [
        "QQ",
        "QQ=",
        "QR==",
        "QQ==\n",
        " QQ==",
        "Q Q==",
        "QQ===",
        "====",
        "_-__",
        "QQ==QQ==",
        "Q\u00e9==",
    ],
)
def test_base64_has_one_written_form(other):
    """Missing padding, set spare bits, spaces and the other alphabet are refused."""
    with pytest.raises(FormatError, match=r"root: .* is not .*base64"):
        text.parse_base64(other, "root")


@pytest.mark.parametrize("other", ["QQ==", "QR", "Q", "QQ\n", " QQ", "+/+/", "Q.Q", "Q\u00e9"])
def test_base64url_has_one_written_form(other):
    """Padding, set spare bits, spaces and the other alphabet are refused."""
    with pytest.raises(FormatError, match=r"salt: .* is not .*base64"):
        text.parse_base64url(other, "salt")


@pytest.mark.parametrize("other", ["0", "0G", "AB", "ab cd", "ab\n", "0xab", "\u0661\u0661"])
def test_hexadecimal_has_one_written_form(other):
    """Upper case, spaces and half bytes are refused."""
    with pytest.raises(FormatError, match=r"digest: .* is not lower-case hexadecimal"):
        text.parse_hex(other, "digest")


@pytest.mark.parametrize(
    ("parse", "written"),
    [(text.parse_base64, "QUI="), (text.parse_base64url, "QUI"), (text.parse_hex, "4142")],
)
def test_bytes_of_another_size_are_refused(parse, written):
    """Where the size is known, more and fewer bytes are refused, and both sizes are told."""
    for size in (1, 3):
        with pytest.raises(FormatError, match=f"2 bytes where there must be {size}"):
            parse(written, "root", size=size)


def test_an_error_repeats_only_the_beginning_of_hostile_text():
    """Megabytes of control characters do not reach a terminal or a log file."""
    with pytest.raises(FormatError) as caught:
        text.parse_hex("\x1b" * 10**6, "digest")
    assert len(str(caught.value)) < 300
    assert "\x1b" not in str(caught.value)


def test_a_name_passes_for_no_sentence():
    """A word is written as it is; a name that could pass for a sentence stands in quotes."""
    assert text.named("credit-v1.2_b") == "credit-v1.2_b"
    assert text.named("credit. It is lawful") == "'credit. It is lawful'"
    assert text.named("\u202ecredit") == "'\\u202ecredit'"
