"""Rows as they travel through the ring: the JSON text of each value, then whom it is about.

    row = text of the first value ‖ 00 ‖ … ‖ text of the last ‖ 00 ‖ subject, UTF-8, or nothing

JSON text never holds a zero byte; a subject may, so it comes last.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from counterfoil.core.canonical import JsonValue
from counterfoil.core.portable import STRICT, encode_value
from counterfoil.core.record import (
    MAX_FIELD_BYTES,
    MAX_FIELD_DEPTH,
    SALT_BYTES,
    check_fields,
    format_disclosure,
)
from counterfoil.errors import FormatError
from counterfoil.vault.seal import check_subject

_SEPARATOR: Final = b"\0"
_find_nulls: Final = re.compile(b"null").findall
_VALUE_DEPTH: Final = MAX_FIELD_DEPTH - 1  # the disclosure's own array is a level


def encode(value: JsonValue) -> orjson.Fragment:
    """Encode a value that will be a field's of many rows, once.

    Raises:
        FormatError: it is not JSON, or too deep.
    """
    return orjson.Fragment(encode_value(value, _VALUE_DEPTH))


class RowCodec:
    """Writes and reads rows of one stream.

    A row that was written can be sealed: every value is JSON, and fits its disclosure.

    Args:
        fields: Names of the stream's fields, in order.

    Raises:
        FormatError: these cannot be the fields of a stream.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        check_fields(fields)
        self.fields = tuple(fields)
        self._rooms = tuple(map(_room, fields))
        self._surely_fits = min(self._rooms)  # no field of a row this short is too large

    def format_row(self, values: Sequence[Any], subject: str | None) -> bytes:
        """Write a row.

        This is most of what recording costs a serving thread, so the usual row takes one call
        for each value, and one look at all of them together.

        Raises:
            FormatError: another number of values, or one that is not JSON, too large or too deep,
                or no name for a data subject.
        """
        if len(values) != len(self.fields):
            raise FormatError(
                f"a row of {len(values)} values, the stream has {len(self.fields)} fields",
                hint="Give None for a field that has no value.",
            )
        about = b"" if subject is None else check_subject(subject)
        try:
            texts = [orjson.dumps(value, None, STRICT) for value in values]
        except orjson.JSONEncodeError:
            texts = [encode_value(value, _VALUE_DEPTH) for value in values]
        row = _SEPARATOR.join((*texts, about))
        # The reasons for which `encode_value` takes a second look, looked for in all at once by
        # what is quickest: counting bytes takes three times as long. In a list of objects all
        # but the first are siblings, not levels: reasons are such a list.
        opened = len(row) - len(row.replace(b"{", b"").replace(b"[", b""))
        is_deep = opened > _VALUE_DEPTH and opened - row.count(b"},{") > _VALUE_DEPTH
        if is_deep or len(_find_nulls(row)) != values.count(None):
            texts = [
                encode_value(value, _VALUE_DEPTH) if is_deep or b"null" in text else text
                for value, text in zip(values, texts, strict=True)
            ]
            row = _SEPARATOR.join((*texts, about))
        if len(row) > self._surely_fits:
            self._check_sizes(row)
        return row

    def parse_row(self, row: bytes) -> tuple[list[bytes], str | None]:
        """Take a row apart: values as `seal_texts` takes them, and whom it is about."""
        *texts, subject = row.split(_SEPARATOR, len(self.fields))
        return texts, subject.decode() or None

    def _check_sizes(self, row: bytes) -> None:
        texts = row.split(_SEPARATOR, len(self.fields))
        for name, text, room in zip(self.fields, texts, self._rooms, strict=False):
            if len(text) > room:
                raise FormatError(
                    f"the value of {name} has {len(text)} bytes of JSON, at most {room}",
                    hint="Keep the large part elsewhere and record its digest.",
                )


def _room(name: str) -> int:
    """Tell how many bytes of JSON the value of a field may have."""
    characters = len(format_disclosure(bytes(SALT_BYTES), name, None))
    return MAX_FIELD_BYTES - (characters * 3 // 4 - len("null"))
