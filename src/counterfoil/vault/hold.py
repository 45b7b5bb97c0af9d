"""Holds: the check, before an erasure, that nothing obliges anyone to keep the records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from counterfoil.core.canonical import JsonValue
from counterfoil.core.retention import DEFAULT_RETENTION, Hold
from counterfoil.errors import FormatError, RefusedError


class HoldRule(Protocol):
    """Tells from a record alone whether and until when it must be kept.

    A rule decides by the record's own fields, so that anyone who sees them comes to the same end;
    it reads no clock. If it applies and cannot tell the date, it raises: erasing what had to be
    kept cannot be undone, refusing can. `core.retention.RetentionRule` is one.
    """

    def hold(self, record: Mapping[str, JsonValue]) -> Hold | None:
        """Give the hold on a record, also one that has ended; None if the rule is not about it.

        Args:
            record: Names and values of all its fields.

        Raises:
            FormatError: the rule is about this record, and the date it counts from is missing.
        """
        ...


def check_hold(
    records: Iterable[Mapping[str, JsonValue]],
    now: float,
    *,
    rules: Sequence[HoldRule] = DEFAULT_RETENTION,
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
    ordered = sorted(holds, key=last_first)
    running = [hold for hold in ordered if hold.runs(now)]
    # Decisions of one day have one reason, though their holds end at different seconds.
    reasons = tuple(dict.fromkeys(f"{hold.basis}; it ends on {hold.ends}" for hold in running))
    if reasons or unclear:
        hint = f"Ask again from {running[0].ends} on." if running else ""
        raise RefusedError(
            "the records must be kept", reasons=(*reasons, *sorted(unclear)), hint=hint
        )
    return tuple(ordered)


def last_first(hold: Hold) -> tuple[float, str]:
    """Order holds: the last to end first."""
    return (-math.inf if hold.until is None else -hold.until, hold.basis)
