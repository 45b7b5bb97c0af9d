"""Commands that do something once, or go on at a cadence until they are stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import counterfoil
from counterfoil import ledger as ledgers
from counterfoil.cli import output
from counterfoil.cli.run import until_stopped
from counterfoil.errors import UnavailableError


def confirm(
    once: Callable[[], int],
    ledger: str,
    *,
    every_s: float | None,
    max_entries: int | None = None,
    ended: str,
) -> None:
    """Run `once`; again and again where a cadence is given.

    Args:
        once: Has the log confirmed, and returns its entries. It opens the ledger for each run, so
            that others can write to it in between.
        ledger: The ledger's place.
        every_s: Seconds between two runs; None for one run.
        max_entries: So many new entries do not wait for that.
        ended: What is said when it was stopped.
    """

    def size() -> int:
        with counterfoil.open(ledger) as opened:
            return opened.size

    if every_s is None:
        once()
        return
    until_stopped()
    try:
        ledgers.keep_confirming(
            once,
            size,
            every_s=every_s,
            max_entries=max_entries,
            report=lambda error: output.remark("warning", str(error)),
        )
    except KeyboardInterrupt:
        output.remark("note", ended)


def repeat(once: Callable[[], Any], every: float | None) -> None:
    """Do something once, or until stopped; what is unavailable is tried again.

    Args:
        once: Raises what is not true, and ends it.
        every: Seconds between; None for once.
    """
    if every is None:
        once()
        return
    until_stopped()
    try:
        while True:
            try:
                once()
            except UnavailableError as error:
                output.remark("warning", str(error))
            time.sleep(every)
    except KeyboardInterrupt:
        output.remark("note", "stopped; the next run goes on from here")
