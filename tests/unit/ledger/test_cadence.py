from __future__ import annotations

import pytest

from counterfoil.errors import ConflictError, UnavailableError, VerificationError
from counterfoil.ledger.cadence import RETRY_AFTER_S, keep_confirming


class Over(BaseException):
    """The end of the time that a test looks at."""


def anchored(until, sizes, *, every_s=100.0, max_entries=None, troubles=()):
    """When it anchored, and what was reported, with a log of `sizes(time)` entries."""
    now, times, reports, left = [0.0], [], [], list(troubles)

    def once():
        if left:
            raise left.pop(0)
        times.append(now[0])
        return sizes(now[0])

    def sleep(seconds):
        now[0] += seconds
        if now[0] > until:
            raise Over

    with pytest.raises(Over):
        keep_confirming(
            once,
            lambda: sizes(now[0]),
            every_s=every_s,
            max_entries=max_entries,
            report=lambda error: reports.append(type(error)),
            clock=lambda: now[0],
            sleep=sleep,
        )
    return times, reports


def test_it_anchors_at_once_and_then_at_its_cadence():
    """The first run catches up; later ones come as often as was asked for, and no more often."""
    assert anchored(350, lambda _: 1_000_000) == ([0, 100, 200, 300], [])


def test_many_entries_do_not_wait():
    """As soon as so many are new, they are anchored, and the cadence begins from there."""
    times, _ = anchored(250, lambda now: 7 * int(now), max_entries=300)
    assert times == [0, 43, 86, 129, 172, 215]


def test_an_outage_is_reported_and_tried_again():
    """Neither a node that is down nor a ledger in use ends it; a lie does."""
    times, reports = anchored(
        90, lambda _: 1, troubles=[UnavailableError("down"), ConflictError("in use")]
    )
    assert (times, reports) == ([2 * RETRY_AFTER_S], [UnavailableError, ConflictError])
    with pytest.raises(VerificationError):
        anchored(90, lambda _: 1, troubles=[VerificationError("another history")])
