"""Times as text: UTC, to the second, in one form.

    2027-11-22T00:00:00Z

The core reads no clock. It compares times that others hand in with times that statements and
policies carry, and the text of both has a single spelling.
"""

from __future__ import annotations

import calendar
import re

from counterfoil.core.text import shown
from counterfoil.errors import FormatError

_LAST = calendar.timegm((9999, 12, 31, 23, 59, 59))
_INSTANT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")


def parse_instant(text: str, what: str) -> int:
    """Read a time and return Unix seconds.

    Args:
        text: `YYYY-MM-DDTHH:MM:SSZ`, from 1970 on; no fractions, offsets or leap seconds.
        what: What the time is, for the error message.

    Raises:
        FormatError: Another form, or no such day.

    Source:
        RFC 3339, section 5.6, with `Z` and no fraction.
    """
    if match := _INSTANT.fullmatch(text):
        year, month, day, hour, minute, second = (int(group) for group in match.groups())
        if (
            year >= 1970
            and 1 <= month <= 12
            and 1 <= day <= calendar.monthrange(year, month)[1]
            and hour <= 23
            and minute <= 59
            and second <= 59
        ):
            return calendar.timegm((year, month, day, hour, minute, second))
    raise FormatError(
        f"{what}: {shown(text)} is not a time",
        hint='Write UTC to the second, like "2027-11-22T00:00:00Z".',
    )


def format_instant(seconds: int) -> str:
    """Write Unix seconds as a time; the inverse of `parse_instant`.

    Raises:
        FormatError: Before 1970, or beyond the year 9999.
    """
    if not 0 <= seconds <= _LAST:
        raise FormatError(
            f"{seconds} is not a time that can be written", hint="Give Unix seconds, up to 9999."
        )
    day, second = divmod(seconds, 86_400)
    year, month = 1970, 1
    while day >= (length := 365 + calendar.isleap(year)):
        day -= length
        year += 1
    while day >= (length := calendar.monthrange(year, month)[1]):
        day -= length
        month += 1
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{year:04}-{month:02}-{day + 1:02}T{clock}Z"
