"""How often, how many at once, how much and how long: bounds on what one caller can take up.

Rates are token buckets: a caller may send some at once, and then as many a second as it is allowed.
What is remembered of callers is bounded too; whoever was forgotten starts with a full bucket.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator

from starlette.requests import ClientDisconnect, Request

from counterfoil.http.problems import Problem, busy

BODY_WITHIN_S = 10.0
"""How long the body of a request may take to arrive, also where it does so byte by byte."""

MAX_BODIES_BYTES = 256 << 20
"""Bodies of all requests that are in memory at one time."""

MAX_CALLERS = 1 << 16
"""Callers that are remembered."""

BURST_S = 2
"""Seconds of its rate that a caller may send at once."""


class Rates:
    """A token bucket for each caller.

    Args:
        rate: Requests in a second.
        burst: Requests at once.
        clock: Seconds, from any moment on.
    """

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Say for how many seconds to wait until a token is there; 0 if one is."""
        return max(0.0, (1 - self._left(caller, self._clock())) / self._rate)

    def take(self, caller: str) -> float:
        """Take a token out, if one is there; else say for how many seconds to wait."""
        now = self._clock()
        left = self._left(caller, now)
        if left < 1:
            return (1 - left) / self._rate
        self._buckets[caller] = (left - 1, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        return 0.0

    def _left(self, caller: str, now: float) -> float:
        left, then = self._buckets.get(caller, (self._burst, now))
        return min(self._burst, left + (now - then) * self._rate)


class Limits:
    """What is asked of every caller, before anything is done for it.

    Args:
        rate: Requests of one caller in a second.
        concurrency: Requests of one caller at the same time.
    """

    def __init__(self, rate: int, concurrency: int) -> None:
        self._rates = Rates(rate, rate * BURST_S)
        self._concurrency = concurrency
        self._running: dict[str, int] = {}
        self._bodies = 0

    @contextlib.contextmanager
    def admit(self, caller: str) -> Iterator[None]:
        """Let a request of a caller through, or not.

        Raises:
            Problem: 429, with the time after which it may come back.
        """
        if wait := self._rates.take(caller):
            raise busy(429, "more requests in a second than one caller may send", after_s=wait)
        running = self._running.get(caller, 0)
        if running >= self._concurrency:
            raise busy(429, f"{running} requests of this caller are under way; the most there are")
        self._running[caller] = running + 1
        try:
            yield
        finally:
            if self._running[caller] == 1:
                del self._running[caller]
            else:
                self._running[caller] -= 1

    @contextlib.asynccontextmanager
    async def body(self, request: Request, most: int) -> AsyncIterator[bytes]:
        """Read a body; the memory it takes is counted until this is left.

        Raises:
            Problem: 413 as soon as it is longer than `most`, 408 if it is not there in time, 503
                if bodies take up all the memory that they may.
        """
        held = 0
        parts = []
        try:
            said = request.headers.get("content-length", "")
            if said.isdigit() and int(said[:20]) > most:
                raise _too_long(most)
            try:
                async with asyncio.timeout(BODY_WITHIN_S):
                    async for part in request.stream():
                        held += len(part)
                        self._bodies += len(part)
                        if held > most:
                            raise _too_long(most)
                        if self._bodies > MAX_BODIES_BYTES:
                            raise busy(503, "too many large requests are under way")
                        parts.append(part)
            except TimeoutError:
                said = f"the body did not arrive within {BODY_WITHIN_S:g} s"
                raise Problem(408, said, headers={"Connection": "close"}) from None
            except ClientDisconnect:
                raise Problem(400, "the request was cut short") from None
            yield b"".join(parts)
        finally:
            self._bodies -= held


def _too_long(most: int) -> Problem:
    return Problem(
        413,
        f"a body has at most {most} bytes",
        hint="Send the entries in several requests.",
        headers={"Connection": "close"},
    )
