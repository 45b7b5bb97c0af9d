"""The one written form of numbers and bytes.

Every format here writes a number or a byte string in exactly one way, and the parsers accept
only that way: `parse_x(format_x(v)) == v`, and everything else is a `FormatError`. Python's own
parsers are lenient (`int(" 4_2 ")` is 42, `base64.b64decode` skips what it does not know), so
two readers could disagree on what a signed line says; these cannot.
"""

from __future__ import annotations

import base64
import binascii
import re

from counterfoil.errors import FormatError

MAX_INTEGER = 2**63 - 1
"""Largest number that is read (C2SP tlog-checkpoint fits sizes into a signed 64-bit integer)."""

_SHOWN_CHARACTERS = 40
"""How much of a refused text an error message repeats; hostile input may be megabytes long."""

_DECIMAL = re.compile(r"0|[1-9][0-9]*")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")


def parse_decimal(text: str, what: str, maximum: int = MAX_INTEGER) -> int:
    """Read a non-negative decimal number without sign, space, underscore or leading zero.

    Args:
        text: The digits.
        what: What the number is, for the error message.
        maximum: The largest value that is accepted.

    Raises:
        FormatError: `text` is not the form that `str(int)` writes, or is above `maximum`.
    """
    # The length is compared first: converting a million digits would take quadratic time.
    if len(text) > len(str(maximum)) or not _DECIMAL.fullmatch(text) or int(text) > maximum:
        raise FormatError(
            f"{what}: {shown(text)} is not a decimal number from 0 to {maximum}",
            hint="Write ASCII digits only, without sign, spaces or leading zeros.",
        )
    return int(text)


def format_base64(data: bytes) -> str:
    """Write bytes in standard base64 with padding (RFC 4648, section 4)."""
    return base64.b64encode(data).decode("ascii")


def parse_base64(text: str, what: str, *, size: int | None = None) -> bytes:
    """Read standard base64 with padding, canonical only (RFC 4648, sections 3.5 and 4).

    Args:
        text: The characters.
        what: What the bytes are, for the error message.
        size: How many bytes there must be, where that is known.

    Raises:
        FormatError: `text` is not what `format_base64` writes, or has another size.
    """
    data = _decode_base64(text, what, altchars=None)
    if format_base64(data) != text:
        raise _not_canonical(text, what, "standard base64 with padding")
    return _sized(data, what, size)


def format_base64url(data: bytes) -> str:
    """Write bytes in URL-safe base64 without padding (RFC 4648, section 5; RFC 7515)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def parse_base64url(text: str, what: str, *, size: int | None = None) -> bytes:
    """Read URL-safe base64 without padding, canonical only (RFC 4648, section 5).

    Args:
        text: The characters.
        what: What the bytes are, for the error message.
        size: How many bytes there must be, where that is known.

    Raises:
        FormatError: `text` is not what `format_base64url` writes, or has another size.
    """
    data = _decode_base64(text + "=" * (-len(text) % 4), what, altchars=b"-_")
    if format_base64url(data) != text:
        raise _not_canonical(text, what, "URL-safe base64 without padding")
    return _sized(data, what, size)


def parse_hex(text: str, what: str, *, size: int | None = None) -> bytes:
    """Read lower-case hexadecimal, the form `bytes.hex()` writes.

    Args:
        text: The characters.
        what: What the bytes are, for the error message.
        size: How many bytes there must be, where that is known.

    Raises:
        FormatError: `text` is not what `bytes.hex()` writes, or has another size.
    """
    if not _HEX.fullmatch(text):
        raise _not_canonical(text, what, "lower-case hexadecimal")
    return _sized(bytes.fromhex(text), what, size)


def shown(text: str) -> str:
    """Quote the beginning of a refused text, escaped, short enough for an error message."""
    return ascii(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "...")


def named(name: str) -> str:
    """Write a name into a sentence: a word as it is, anything else quoted.

    A name of several words, with a full stop among them, could pass for what we say ourselves.
    """
    return name if _WORD.fullmatch(name) else shown(name)


def _decode_base64(text: str, what: str, *, altchars: bytes | None) -> bytes:
    try:
        return base64.b64decode(text, altchars=altchars, validate=True)
    except (ValueError, binascii.Error) as error:
        raise _not_canonical(text, what, "base64") from error


def _not_canonical(text: str, what: str, form: str) -> FormatError:
    return FormatError(
        f"{what}: {shown(text)} is not {form}",
        hint="Only the one canonical form is accepted; copy the text again from its source.",
    )


def _sized(data: bytes, what: str, size: int | None) -> bytes:
    if size is not None and len(data) != size:
        raise FormatError(
            f"{what}: {len(data)} bytes where there must be {size}",
            hint="The text was cut or stands in the wrong place; copy it again from its source.",
        )
    return data
