"""JSON in one form: strict to read, RFC 8785 to write.

Whatever is hashed or signed as JSON passes through here. `parse_json` refuses what two readers
could understand differently (duplicate keys, numbers outside the exact range, lone surrogates,
NaN); `parse_canonical` also refuses every spelling but the canonical one.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from itertools import accumulate
from typing import NoReturn, TypeAlias

import rfc8785

from counterfoil.core.text import shown
from counterfoil.errors import FormatError

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

MAX_INTEGER = 2**53 - 1
"""Largest integer that every JSON reader holds exactly (RFC 7493, section 2.2)."""

MAX_JSON_BYTES = 16 * 1024 * 1024
"""Bytes of JSON read at once: an evidence file is the largest there is."""

MAX_JSON_DEPTH = 64
"""Nested arrays and objects: far more than any format of ours, far less than the stack holds."""

_BARE_FLOATS = 1e21
"""RFC 8785 writes whole floats below this as bare digits, which read back as integers."""

# Possessive and open-ended, so that no input makes it back up: one pass, however hostile.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKETS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[{]}")


def format_json(value: JsonValue) -> bytes:
    """Write `value` in the canonical form of RFC 8785.

    Args:
        value: JSON with string keys, integers within +-(2**53 - 1), finite floats and at most
            `MAX_JSON_DEPTH` levels; tuples are written as arrays.

    Raises:
        FormatError: The value has no canonical form that reads back as the same value.

    Source:
        RFC 8785, section 3.2.
    """
    _check_writable(value)
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise FormatError(
            f"this value has no canonical JSON form: {error}",
            hint="Write large integers, NaN and infinities as strings; keys must be strings.",
        ) from error


def parse_json(
    data: bytes,
    *,
    what: str = "JSON",
    max_bytes: int = MAX_JSON_BYTES,
    max_depth: int = MAX_JSON_DEPTH,
) -> JsonValue:
    """Read JSON that every reader understands in the same way (I-JSON).

    Args:
        data: UTF-8 without a byte order mark; white space between tokens is allowed.
        what: The thing read, for the error message.
        max_bytes: Longest input, in bytes.
        max_depth: Most nested arrays and objects.

    Raises:
        FormatError: Not JSON, or not I-JSON: a duplicate key, a number that a double does not
            hold, a lone surrogate; or larger or deeper than allowed.

    Source:
        RFC 8259; RFC 7493, section 2.
    """
    if len(data) > max_bytes:
        raise FormatError(
            f"{what} has {len(data)} bytes, at most {max_bytes} are read",
            hint="Split it, or look whether it is the file you meant.",
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{what} is not UTF-8 at byte {error.start}",
            hint="Save it as UTF-8 without a byte order mark.",
        ) from error
    _check_depth(data, what, max_depth)
    try:
        value: JsonValue = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
        if "\\u" in text:  # only an escape can smuggle in half a surrogate pair
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{what} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            hint="Look at that place; a file cut short or edited by hand often looks like this.",
        ) from error
    except UnicodeEncodeError as error:
        raise FormatError(
            f"{what} holds half a surrogate pair",
            hint="Text must be valid Unicode; repair the program that wrote it.",
        ) from error
    except _NotIJsonError as error:
        raise FormatError(f"{what} {error}", hint=error.hint) from error
    return value


def parse_canonical(
    data: bytes,
    *,
    what: str = "JSON",
    max_bytes: int = MAX_JSON_BYTES,
    max_depth: int = MAX_JSON_DEPTH,
) -> JsonValue:
    """Read JSON in canonical form; `format_json` of the result is `data`.

    Args:
        data: RFC 8785 bytes.
        what: The thing read, for the error message.
        max_bytes: Longest input, in bytes.
        max_depth: Most nested arrays and objects, at most `MAX_JSON_DEPTH`.

    Raises:
        FormatError: As `parse_json`, or the bytes are another spelling of the same value.

    Source:
        RFC 8785, section 3.2.
    """
    value = parse_json(data, what=what, max_bytes=max_bytes, max_depth=max_depth)
    canonical = format_json(value)
    if canonical != data:
        at = next(
            (i for i, (a, b) in enumerate(zip(canonical, data, strict=False)) if a != b),
            min(len(canonical), len(data)),
        )
        raise FormatError(
            f"{what} is not in canonical form from byte {at} on",
            hint="It was reformatted or edited; use the bytes as they were written (RFC 8785).",
        )
    return value


def check_integer(value: int, what: str, minimum: int = 0) -> None:
    """Check that an integer is in the range that a format and JSON allow.

    Raises:
        FormatError: It is below `minimum` or above 2**53 - 1.
    """
    if not minimum <= value <= MAX_INTEGER:
        raise FormatError(
            f"{what} is {value}, not from {minimum} to 2**53 - 1",
            hint="Give a whole number in that range.",
        )


class _NotIJsonError(Exception):
    """Raised inside the JSON reader, where the name of what is read is not known."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _NotIJsonError(
            f"has the key {shown(twice)} twice in one object",
            "Two readers could take different values; keep one.",
        )
    return members


def _integer(text: str) -> int:
    # The length first: converting a million digits takes quadratic time.
    if len(text) > len(str(-MAX_INTEGER)) or abs(int(text)) > MAX_INTEGER:
        raise _NotIJsonError(
            f"holds the integer {shown(text)}, beyond 2**53 - 1",
            "Write large integers as strings.",
        )
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NotIJsonError(
            f"holds the number {shown(text)}, larger than a double",
            "Write such numbers as strings.",
        )
    return value


def _constant(text: str) -> NoReturn:
    raise _NotIJsonError(f"holds {text}, which is not JSON", "Write it as a string.")


def _check_depth(data: bytes, what: str, max_depth: int) -> None:
    """Measure the nesting before any recursive reader sees it."""
    if data.count(b"[") + data.count(b"{") <= max_depth:
        return
    brackets = _STRING.sub(b"", data).translate(_BRACKETS, _NOT_BRACKETS)
    # Signed bytes: an opening bracket counts +1, a closing one -1.
    if max(accumulate(memoryview(brackets).cast("b")), default=0) > max_depth:
        raise FormatError(
            f"{what} is nested more than {max_depth} levels deep",
            hint="No format here needs this; look where the bytes come from.",
        )


def _check_writable(value: JsonValue) -> None:
    """Refuse what `rfc8785` would write and `parse_json` would not read back."""
    level: list[JsonValue] = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        inner: list[JsonValue] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list | tuple):
                inner.extend(item)
            elif isinstance(item, float) and MAX_INTEGER < abs(item) < _BARE_FLOATS:
                raise FormatError(
                    f"the number {item!r} would read back as an integer beyond 2**53 - 1",
                    hint="Write such numbers as strings.",
                )
        if not inner:
            return
        level = inner
    raise FormatError(
        f"this value is nested more than {MAX_JSON_DEPTH} levels deep",
        hint="Flatten it, or refer to the inner part by its digest.",
    )
