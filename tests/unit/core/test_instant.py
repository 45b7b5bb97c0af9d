from __future__ import annotations

import datetime as dt

import pytest

from counterfoil.core.instant import format_instant, parse_instant
from counterfoil.errors import FormatError


@pytest.mark.parametrize(
    "text", ["1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "9999-12-31T23:59:59Z"]
)
def test_a_time_is_its_unix_seconds(text):
    """Times mean what Python's own calendar says they mean."""
    assert parse_instant(text, "x") == int(dt.datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-22",
        "2026-11-22T00:00:00",
        "2026-11-22T00:00:00z",
        "2026-11-22 00:00:00Z",
        "2026-11-22T00:00:00.0Z",
        "2026-11-22T00:00:00+00:00",
        "2026-11-22T00:00:00Z\n",
        "2025-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2016-12-31T23:59:60Z",
        "1969-12-31T23:59:59Z",
        "\u0662026-01-01T00:00:00Z",
    ],
)
def test_a_time_has_one_spelling(text):
    """Anything but UTC to the second, on a day that exists, is refused."""
    with pytest.raises(FormatError, match="not a time"):
        parse_instant(text, "x")


@pytest.mark.parametrize("seconds", [-1, 253_402_300_800])
def test_only_what_can_be_read_is_written(seconds):
    """A time before 1970 or beyond the year 9999 is refused."""
    with pytest.raises(FormatError, match="can be written"):
        format_instant(seconds)
