"""Values as JSON text that every reader understands in the same way, written fast.

This is the value's part of a disclosure, on the path that every decision takes. It is I-JSON
(RFC 7493) but not canonical: what is hashed is the text as written. Numbers that readers do not
agree on become strings: integers beyond 2**53 - 1, `"NaN"`, `"Infinity"` and `"-Infinity"`.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import orjson

from counterfoil.core.canonical import MAX_INTEGER
from counterfoil.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterfoil.core.canonical import JsonValue

_find_nulls = re.compile(b"null").findall  # in half the time of `bytes.count`
_NOT_OPENING = bytes(byte for byte in range(256) if byte not in b"{[\0")
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
# Subclasses are left to the slow path, so that exact type comparisons tell the whole truth.
STRICT = (
    orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)


def encode_value(value: JsonValue, max_depth: int) -> bytes:
    """Write a value as I-JSON.

    Args:
        value: JSON with string keys; tuples are written as arrays.
        max_depth: Most nested arrays and objects.

    Raises:
        FormatError: The value is not JSON, or too deep.
    """
    try:
        text = orjson.dumps(value, None, STRICT)
    except orjson.JSONEncodeError:
        return _encode_portable(value, max_depth)
    # orjson writes null for a float that is not finite, and nests deeper than is allowed here.
    # Only texts in which either could have happened are looked at again.
    if (b"null" in text and value is not None) or _may_be_deep(text, max_depth):
        return text if _is_plain(value, max_depth) else _encode_portable(value, max_depth)
    return text


def encode_values(values: Sequence[JsonValue], max_depth: int) -> list[bytes]:
    """Write many values, each as `encode_value` does, in less time.

    Raises:
        FormatError: A value is not JSON, or too deep.
    """
    try:
        texts = [orjson.dumps(value, None, STRICT) for value in values]
    except orjson.JSONEncodeError:
        return [encode_value(value, max_depth) for value in values]
    # The reasons for a second look are looked for in all texts at once; none holds a zero byte.
    joined = b"\0".join(texts)
    opened = joined.translate(None, _NOT_OPENING).split(b"\0")
    if len(_find_nulls(joined)) == values.count(None) and len(max(opened, key=len)) <= max_depth:
        return texts
    return [
        encode_value(value, max_depth) if b"null" in text or len(brackets) > max_depth else text
        for value, text, brackets in zip(values, texts, opened, strict=True)
    ]


def _may_be_deep(text: bytes, max_depth: int) -> bool:
    """Bound the nesting from above without reading the text as JSON."""
    opened = text.count(b"{") + text.count(b"[")
    # In a list of objects all but the first are siblings, not levels: the common wide value.
    return opened > max_depth and opened - text.count(b"},{") > max_depth


def _is_plain(value: Any, room: int) -> bool:
    """Tell whether all floats are finite and nothing is nested deeper than `room` levels."""
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is not dict and kind is not list and kind is not tuple:
        return True
    if room == 0:
        return False
    for member in value.values() if kind is dict else value:
        kind = type(member)
        if kind is float:
            if not math.isfinite(member):
                return False
        elif (kind is dict or kind is list or kind is tuple) and not _is_plain(member, room - 1):
            return False
    return True


def _encode_portable(value: JsonValue, max_depth: int) -> bytes:
    try:
        return orjson.dumps(_portable(value, max_depth), None, orjson.OPT_STRICT_INTEGER)
    except (orjson.JSONEncodeError, ValueError) as error:
        raise FormatError(
            f"a field's value is not JSON: {error}",
            hint="Keys must be strings, text valid Unicode, and integers at most 4300 digits long.",
        ) from error


def _portable(value: Any, room: int) -> JsonValue:
    """Copy a value with every number that JSON readers do not agree on written as a string."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _NOT_FINITE[str(float(value))]
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return str(int(value))
    if value is None or isinstance(value, int | str):
        return value
    if not isinstance(value, dict | list | tuple):
        raise FormatError(
            f"a value of type {type(value).__name__} is not JSON",
            hint="Convert it to text, a number, a list or an object first.",
        )
    if room == 0:
        raise FormatError(
            "a field's value is nested too deep",
            hint="Flatten it, or record the inner part's digest.",
        )
    if isinstance(value, dict):
        return {key: _portable(member, room - 1) for key, member in value.items()}
    return [_portable(item, room - 1) for item in value]
