"""The ledger as its routes see it: opened once, read in threads, closed when all is done.

The event loop waits for no disk: whatever touches the ledger runs in a thread. Appending has a
thread of its own (see `intake`), so that readers and searchers cannot keep it waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from starlette.requests import Request

import counterfoil
from counterfoil import ledger as ledgers
from counterfoil.http.callers import Callers, Who, unauthenticated
from counterfoil.http.intake import Intake
from counterfoil.http.limits import Limits
from counterfoil.http.metrics import Metrics
from counterfoil.http.problems import busy
from counterfoil.http.settings import Settings

READ_THREADS = 8
"""Threads that read: a disk that is slow for one caller is not slow for all."""

MAX_SEARCHES = 64
"""Searches that wait for each other."""

POLICY_EVERY_S = 1.0
"""How often it is seen whether another trust policy was adopted."""

ASK_AGAIN_S = 30.0
"""How often witnesses that were silent are asked; on PostgreSQL the leader does."""

TRY_AGAIN_S = 5.0
"""How often what is left of a commit that failed, or becoming the writer, is tried again."""

_TEND_S = 1.0  # between looks at what is to be tried or said
_LOG = logging.getLogger("counterfoil.http")

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Service:
    """A ledger that is served.

    Args:
        settings: Who may come in, and how much.
        log: The ledger.
    """

    def __init__(self, settings: Settings, log: counterfoil.Ledger) -> None:
        self.settings, self.log = settings, log
        self.metrics = Metrics(lambda: log.size)
        self.admission = ledgers.Admission(log)
        self.callers = Callers(settings, self.admission, lambda: log.size, log.clock)
        self.limits = Limits(settings.rate, settings.concurrency)
        self.intake = Intake(log, self.metrics)
        self.is_ending = False
        self._readers = ThreadPoolExecutor(READ_THREADS, "reading")
        self._searcher = ThreadPoolExecutor(1, "searching")
        self._searches = 0
        self._silences: dict[str, str] = {}  # those that were logged
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Become the writer, unless nothing is to be taken in; then bring the index up to date.

        Where what was appended before still lacks witnesses, it is read meanwhile.
        """
        self.callers.reload()
        if not self.settings.read_only:
            with contextlib.suppress(ledgers.UnpublishedError):  # the intake tries again
                await self.read(self.log.require_writer)
            self.intake.start()
            self._tasks.append(asyncio.create_task(self._tend()))
        self._tasks.append(asyncio.create_task(self._watch()))

    def give_notice(self) -> None:
        """Say from now on that it is not ready, as it will end."""
        self.is_ending = True

    async def close(self) -> None:
        """Append what was taken in, and settle."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.intake.close()
        self._readers.shutdown()
        self._searcher.shutdown()
        await asyncio.to_thread(self.log.close)

    async def read(
        self, function: Callable[Given, Result], *args: Given.args, **named: Given.kwargs
    ) -> Result:
        """Run something that reads, in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: function(*args, **named))

    async def search(self, function: Callable[[], Result]) -> Result:
        """Run something that searches: one after another, as they share an index with appending.

        Raises:
            Problem: 503, as too many wait.
        """
        if self._searches >= MAX_SEARCHES:
            raise busy(503, "too many searches are under way")
        self._searches += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._searcher, function)
        finally:
            self._searches -= 1

    def require_reader(self, request: Request) -> None:
        """Let a request read.

        Raises:
            Problem: 401.
        """
        who: Who = request.scope["who"]
        if not (self.settings.public_read or who.is_known):
            raise unauthenticated(
                "only callers that the trust policy names may read here",
                "Sign the request with a principal's key (RFC 9421).",
            )

    async def _tend(self) -> None:
        """Say who is silent, ask them again, and try again what failed."""
        tried = asked = time.monotonic()
        while True:
            await asyncio.sleep(_TEND_S)
            now = time.monotonic()
            self._tell_silences()
            if self.intake.trouble:
                if now - tried >= TRY_AGAIN_S:
                    self.intake.look()
                    tried = now
            elif self._silences and not self.log.engine.is_shared and now - asked >= ASK_AGAIN_S:
                asked = now
                try:
                    await self.intake.ask_witnesses()
                except Exception as error:  # noqa: BLE001 they are asked again
                    _LOG.error("witnesses could not be asked: %s", error)

    def _tell_silences(self) -> None:
        """Log who is silent, and who no longer is: once, whoever appends."""
        silences = self.log.engine.witnesses.silences
        for name in silences.keys() - self._silences.keys():
            _LOG.warning("%s", ledgers.tell_silence(name, silences[name]))
        for name in self._silences.keys() - silences.keys():
            _LOG.info("the witness %s is not silent any more", name)
        self._silences = silences

    async def _watch(self) -> None:
        """Go by a trust policy soon after it was adopted."""
        while True:
            await asyncio.sleep(POLICY_EVERY_S)
            try:
                await self.read(self.callers.reload)
            except Exception:  # noqa: BLE001 a watch that ended would see nothing any more
                _LOG.exception("the trust policy cannot be read")  # and is looked at again
