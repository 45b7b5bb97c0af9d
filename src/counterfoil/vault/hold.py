"""Retention holds: what the law, or a court, wants kept although somebody asks for its erasure."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from counterfoil.core.canonical import JsonValue
from counterfoil.core.instant import parse_instant
from counterfoil.errors import FormatError, RefusedError

_LAST_YEAR = 9999  # of a date as it is written; an indefinite hold ends then


@dataclass(frozen=True, slots=True)
class Hold:
    """A duty to keep a record.

    Args:
        basis: The law, order or contract, as a person should read it.
        until: Unix seconds; from then on the record may be erased.
    """

    basis: str
    until: int

    @property
    def ends(self) -> str:
        """The day on which it ends, as YYYY-MM-DD in UTC."""
        return datetime.fromtimestamp(self.until, tz=UTC).strftime("%Y-%m-%d")


class HoldRule(Protocol):
    """Tells from a record alone whether and until when it must be kept.

    A rule decides by the record's own fields, so that anyone who sees them comes to the same end;
    it reads no clock. If it applies and cannot tell the date, it raises: erasing what had to be
    kept cannot be undone, refusing can.
    """

    def hold(self, record: Mapping[str, JsonValue]) -> Hold | None:
        """Give the hold on a record, also one that has ended; None if the rule is not about it.

        Args:
            record: Names and values of all its fields.

        Raises:
            FormatError: the rule is about this record, and the date it counts from is missing.
        """
        ...


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Keep records of one kind for so many months after a date that they carry.

    Args:
        basis: The law, as a person should read it.
        months: Calendar months; the 31st becomes the last day of a shorter month.
        kind: Which records, by their field `kind`.
        since: Where the date stands: names of a field and of members inside it.
    """

    basis: str
    months: int
    kind: str = "decision"
    since: tuple[str, ...] = ("output", "decided")

    def hold(self, record: Mapping[str, JsonValue]) -> Hold | None:
        """Give the hold on a record; see `HoldRule`."""
        if record.get("kind") != self.kind:
            return None
        value: JsonValue | Mapping[str, JsonValue] = record
        for name in self.since:
            value = value.get(name) if isinstance(value, Mapping) else None
        where = ".".join(self.since)
        if not isinstance(value, str):
            raise FormatError(
                f"{self.basis} counts from {where}, and the record has no such date",
                hint="Settle by hand until when it must be kept.",
            )
        return Hold(self.basis, _months_after(parse_instant(value, where), self.months))


REG_B = RetentionRule("Regulation B, 12 CFR 1002.12(b)(1): 25 months after the decision", 25)
"""United States, consumer credit: applications and what was decided, whatever it was."""

DEFAULT_RULES: tuple[HoldRule, ...] = (REG_B,)


def check_hold(
    records: Iterable[Mapping[str, JsonValue]],
    now: float,
    *,
    rules: Sequence[HoldRule] = DEFAULT_RULES,
    placed: Sequence[Hold] = (),
) -> tuple[Hold, ...]:
    """Check that nothing obliges anyone to keep these records any longer.

    Args:
        records: Names and values of all fields of each.
        now: Unix seconds.
        rules: What applies by itself.
        placed: Holds that somebody placed on these records, such as a court.

    Returns:
        The holds that have ended, each once, the last to end first.

    Raises:
        RefusedError: a hold is running, or a rule cannot tell; with every reason.
    """
    holds = set(placed)
    unclear: set[str] = set()
    for record in records:
        for rule in rules:
            try:
                hold = rule.hold(record)
            except FormatError as error:
                unclear.add(str(error))
            else:
                if hold is not None:
                    holds.add(hold)
    ordered = sorted(holds, key=lambda hold: (-hold.until, hold.basis))
    running = [hold for hold in ordered if now < hold.until]
    reasons = tuple(f"{hold.basis}; it ends on {hold.ends}" for hold in running)
    if reasons or unclear:
        hint = f"Ask again from {running[0].ends} on." if running else ""
        raise RefusedError(
            "the records must be kept", reasons=(*reasons, *sorted(unclear)), hint=hint
        )
    return tuple(ordered)


def _months_after(instant: int, months: int) -> int:
    """Add calendar months to a time, keeping the day where there is one."""
    start = datetime.fromtimestamp(instant, tz=UTC)
    years, month = divmod(start.month - 1 + months, 12)
    year = min(start.year + years, _LAST_YEAR)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())
