"""Retention: what a law or a contract wants kept for some time, as the trust policy states it.

    [[retention]]
    basis = "Regulation B, 12 CFR 1002.12(b)(1): 25 months after the decision"
    months = 25
    system = "credit*"
    kind = "decision"
    since = ["output", "decided"]

A rule counts from a date in the record, and reads no clock.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass

from counterfoil.core.canonical import JsonValue
from counterfoil.core.instant import format_instant, parse_instant
from counterfoil.core.principals import check_pattern, check_text, matches
from counterfoil.core.text import shown
from counterfoil.core.toml import Table
from counterfoil.errors import FormatError

MAX_RETENTION_MONTHS = 1200
"""A century; a rule beyond it is a typing error."""

MAX_SINCE = 15
"""Names on the way to a date: a field's JSON is nested 16 deep at most."""

_LAST_YEAR = 9999  # of a date as it is written


@dataclass(frozen=True, slots=True)
class Hold:
    """A duty to keep a record.

    Args:
        basis: The law, order or contract, as a person should read it.
        until: Unix seconds; from then on the record may be erased. None: until it is released.
    """

    basis: str
    until: int | None

    @property
    def ends(self) -> str:
        """The day on which it ends, as YYYY-MM-DD in UTC."""
        if self.until is None:
            return "the day it is released"
        return format_instant(self.until).partition("T")[0]

    def runs(self, now: float) -> bool:
        """Tell whether it binds at `now`, Unix seconds."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Keep records of one kind for so many months after a date that they carry.

    Args:
        basis: The law, as a person should read it.
        months: Calendar months; the 31st becomes the last day of a shorter month.
        kind: Which records, by their field `kind`.
        since: Where the date stands: names of a field and of members inside it.
        system: Whose records, by the system's name; `*` stands for any characters.
    """

    basis: str
    months: int
    kind: str = "decision"
    since: tuple[str, ...] = ("output", "decided")
    system: str = "*"

    def __post_init__(self) -> None:
        for text, what in ((self.basis, "basis"), (self.kind, "kind")):
            check_text(text, f"{what} of a retention rule")
        check_pattern(self.system)
        if not 0 <= self.months <= MAX_RETENTION_MONTHS:
            raise FormatError(
                f"the retention rule {shown(self.basis)} is for {self.months} months",
                hint=f"Write 0 to {MAX_RETENTION_MONTHS} months.",
            )
        if not 0 < len(self.since) <= MAX_SINCE:
            raise FormatError(
                f"the retention rule {shown(self.basis)} does not say what it counts from",
                hint=f'Name the field and the members in it, as ["output", "decided"]; at most '
                f"{MAX_SINCE}.",
            )

    def covers(self, system: str) -> bool:
        """Tell whether the rule is about the records of a system."""
        return matches(self.system, system)

    def hold(self, record: Mapping[str, JsonValue]) -> Hold | None:
        """Give the hold on a record, also one that has ended; None if the rule is not about it.

        Args:
            record: Names and values of all its fields.

        Raises:
            FormatError: the rule is about this record, and the date it counts from is missing.
        """
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
        parse_instant(value, where)
        return Hold(self.basis, parse_instant(_months_after(value, self.months), where))

    @classmethod
    def from_table(cls, table: Table) -> RetentionRule:
        """Read one `[[retention]]`."""
        table.only("basis", "months", "system", "kind", "since")
        return cls(
            basis=table.text("basis"),
            months=table.integer("months"),
            kind=table.text("kind", "decision"),
            since=table.texts("since") if "since" in table.values else ("output", "decided"),
            system=table.text("system", "*"),
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads, defaults included."""
        return {
            "basis": self.basis,
            "months": self.months,
            "system": self.system,
            "kind": self.kind,
            "since": list(self.since),
        }


REG_B = RetentionRule("Regulation B, 12 CFR 1002.12(b)(1): 25 months after the decision", 25)
"""United States, consumer credit: applications and what was decided, whatever it was."""

DEFAULT_RETENTION = (REG_B,)
"""Where a policy says nothing about retention: what is kept too long can still be erased."""


def _months_after(instant: str, months: int) -> str:
    """Add calendar months to a time, keeping the day where there is one."""
    date, mark, clock = instant.partition("T")
    year, month, day = map(int, date.split("-"))
    years, month = divmod(month - 1 + months, 12)
    year = min(year + years, _LAST_YEAR)
    day = min(day, calendar.monthrange(year, month + 1)[1])
    return f"{year:04}-{month + 1:02}-{day:02}{mark}{clock}"
