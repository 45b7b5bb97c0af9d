"""Anchoring again and again: at a cadence, or as soon as so many entries wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from counterfoil.chain.anchoring import Anchoring
from counterfoil.errors import UnavailableError
from counterfoil.ledger.log import Attested

LOOK_EVERY_S = 1.0
"""Seconds between two looks at the log: what a bound on entries may be late by."""

RETRY_AFTER_S = 30.0
"""Seconds after an outage before the next try."""

Report = Callable[[Sequence[Attested], UnavailableError | None], None]


def keep_anchoring(
    anchoring: Anchoring,
    *,
    every_s: float,
    max_entries: int | None = None,
    report: Report,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Anchor until interrupted.

    Outages do not end it: they are reported, and it tries again after a pause.
    After days off, the first run anchors all that has gathered, as one checkpoint.

    Args:
        anchoring: The log.
        every_s: Seconds between two anchors, if there is something new.
        max_entries: So many entries that are not anchored do not wait for that; None for any.
        report: Called after each run, with the statements made or the outage.
        clock: Seconds that only grow.
        sleep: Waits that many seconds.

    Raises:
        As `Anchoring.run`, but for UnavailableError.
    """
    due = clock()
    while True:
        try:
            if clock() >= due or (max_entries and anchoring.waiting() >= max_entries):
                report(anchoring.run(), None)
                due = clock() + every_s
            sleep(min(LOOK_EVERY_S, every_s))
        except UnavailableError as error:
            report((), error)
            sleep(min(RETRY_AFTER_S, every_s))
