"""Confirming a log again and again: at a cadence, or as soon as so many entries wait."""

from __future__ import annotations

import time
from collections.abc import Callable

from counterfoil.errors import ConflictError, CounterfoilError, UnavailableError

LOOK_EVERY_S = 1.0
"""Seconds between two looks at the log: what a bound on entries may be late by."""

RETRY_AFTER_S = 30.0
"""Seconds after an outage before the next try."""


def keep_confirming(
    once: Callable[[], int],
    size: Callable[[], int],
    *,
    every_s: float,
    max_entries: int | None = None,
    report: Callable[[CounterfoilError], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Anchor or time-stamp until interrupted.

    Outages, members who have not signed yet and a ledger that somebody writes to just now do not
    end it: they are reported, and it tries again after a pause. After days off, the first run
    takes all that has gathered, as one checkpoint.

    Args:
        once: Has the log confirmed, and returns how many entries it has then. It opens what it
            needs and closes it, so that others can write in between.
        size: Tells how many entries the log has.
        every_s: Seconds between two times, if there is something new.
        max_entries: So many new entries do not wait for that; None for any.
        report: Called with what kept a run from its end.
        clock: Seconds that only grow.
        sleep: Waits that many seconds.

    Raises:
        As `once`, but for UnavailableError, and for ConflictError of a ledger in use.
    """
    due, known = clock(), 0
    while True:
        try:
            if clock() >= due or (max_entries is not None and size() - known >= max_entries):
                known = once()
                due = clock() + every_s
            sleep(min(LOOK_EVERY_S, every_s))
        except (UnavailableError, ConflictError) as error:
            report(error)
            sleep(min(RETRY_AFTER_S, every_s))
