"""Commands that do something once, or go on at a cadence until they are stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import counterfoil
from counterfoil import ledger as ledgers
from counterfoil.cli import output
from counterfoil.cli.run import until_stopped
from counterfoil.errors import CounterfoilError, UnavailableError


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
    output.one_object_a_line()
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


def _is_outage(error: CounterfoilError) -> bool:
    return isinstance(error, UnavailableError)


def repeat(
    once: Callable[[], Any],
    every: float | None,
    passes: Callable[[CounterfoilError], bool] = _is_outage,
) -> None:
    """Do something once, or until stopped; what may pass is told once, and tried again.

    Args:
        once: Raises what is wrong.
        every: Seconds between; None for once.
        passes: Whether an error is of the kind that may have passed by the next time. Any other
            ends it.
    """
    if every is None:
        once()
        return
    until_stopped()
    output.one_object_a_line()
    wrong: type[CounterfoilError] | None = None
    try:
        while True:
            try:
                once()
            except CounterfoilError as error:
                if not passes(error):
                    raise
                # Its words may differ each time, in sizes or in seconds; what is wrong does not.
                if type(error) is not wrong:
                    output.remark("warning", f"{error}; it is tried again every {every:g} s")
                wrong = type(error)
            else:
                if wrong is not None:
                    output.remark("note", "that has passed")
                wrong = None
            time.sleep(every)
    except KeyboardInterrupt:
        output.remark("note", "stopped; the next run goes on from here")
