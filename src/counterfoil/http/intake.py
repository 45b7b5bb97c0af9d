"""Entries taken in: those of many requests are one commit, and the same one is appended once.

A request hands over its entries and waits. One thread takes all that wait, appends what is not in
the log yet, and makes receipts; meanwhile the next ones gather. Where the same entry is under way
already, the second request waits for the first one's.

If a commit fails, it is not known whether its entries are in: whoever asks again is answered after
that was found out, so that sending again is always safe. Other servers may append to the same log:
what they have appended since one looked here is found by whoever gives entries their place.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import counterfoil
from counterfoil import ledger as ledgers
from counterfoil.errors import CounterfoilError
from counterfoil.http.metrics import Metrics
from counterfoil.http.problems import busy

MAX_WAITING_ENTRIES = 8192
"""Entries that wait for a commit; whoever comes then is asked to come back."""

MAX_WAITING_BYTES = 64 << 20
"""Their bytes."""

MAX_COMMIT_ENTRIES = 1024
"""Entries of several requests in one commit, so that nobody waits long."""

_LOG = logging.getLogger("counterfoil.http")


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry that is in the log.

    Args:
        index: Where.
        receipt: As text.
    """

    index: int
    receipt: bytes


@dataclass(slots=True, eq=False)
class _Unit:
    """The entries of one request that nobody else has under way."""

    entries: list[ledgers.Admitted]
    logged: asyncio.Future[list[Logged]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Intake:
    """Appends, for many callers at the same time. Lives in one event loop.

    Args:
        log: The ledger; nobody else in this process appends to it.
        metrics: What is told of it.
    """

    def __init__(self, log: counterfoil.Ledger, metrics: Metrics) -> None:
        self._log, self._metrics = log, metrics
        self._thread = ThreadPoolExecutor(1, "appending")
        self._queue: list[_Unit] = []
        self._under_way: dict[bytes, tuple[_Unit, int]] = {}
        self._waiting = self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._is_in_doubt = False
        self.trouble: str = "it has not looked yet"

    def start(self) -> None:
        """Begin; at first the index is brought up to date, which for an old log takes a while."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Append what waits, and end."""
        self._is_closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown()

    async def take(self, entries: Sequence[ledgers.Admitted]) -> list[Logged]:
        """Append entries that are not in the log yet; return all of them with their receipts.

        Raises:
            Problem: 429, as too many wait.
            CounterfoilError: as `Log.append_many`.
        """
        unit = _Unit([])
        places: list[tuple[_Unit, int]] = []
        for one in entries:
            digest = one.digest
            if digest not in self._under_way:
                self._under_way[digest] = (unit, len(unit.entries))
                unit.entries.append(one)
            places.append(self._under_way[digest])
        if unit.entries:
            try:
                self._enqueue(unit)
            except BaseException:
                self._forget(unit)
                raise
        # Shielded: one caller who leaves takes nothing away from others who wait for the same.
        waited = {each: await asyncio.shield(each.logged) for each, _ in places}
        return [waited[each][place] for each, place in places]

    def look(self) -> None:
        """After a commit that failed, try what is left of it again; its entries may be in."""
        if self.trouble:
            self._wake.set()

    async def ask_witnesses(self) -> None:
        """Ask those who were silent once more: as long as nothing is appended, nothing else does.

        Raises:
            CounterfoilError: as `Log.ask_witnesses`.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._log.ask_witnesses)

    def _enqueue(self, unit: _Unit) -> None:
        size = sum(len(one.entry) for one in unit.entries)
        if (
            self._waiting + len(unit.entries) > MAX_WAITING_ENTRIES
            or self._waiting_bytes + size > MAX_WAITING_BYTES
        ):
            raise busy(429, "more entries wait than the disk takes")
        self._waiting += len(unit.entries)
        self._waiting_bytes += size
        self._metrics.waiting.set(self._waiting)
        self._queue.append(unit)
        self._wake.set()

    def _forget(self, unit: _Unit) -> None:
        for one in unit.entries:
            del self._under_way[one.digest]

    async def _run(self) -> None:
        await self._settle([])  # brings the index up to date
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._settle(self._next())
            while self._queue:
                await self._settle(self._next())
            if self._is_closing:
                return

    def _next(self) -> list[_Unit]:
        """Take what waits, in order, up to about `MAX_COMMIT_ENTRIES`."""
        units: list[_Unit] = []
        count = 0
        for unit in self._queue:
            if units and count + len(unit.entries) > MAX_COMMIT_ENTRIES:
                break
            units.append(unit)
            count += len(unit.entries)
        del self._queue[: len(units)]
        return units

    async def _settle(self, units: list[_Unit]) -> None:
        """Append what several requests want, and tell each of them."""
        entries = [one.entry for unit in units for one in unit.entries]
        loop = asyncio.get_running_loop()
        try:
            logged = await loop.run_in_executor(self._thread, self._append, entries)
        except Exception as error:
            if units or str(error) != self.trouble:  # trying again is no news
                _LOG.error("entries could not be appended: %s", error, exc_info=_bug(error))
            self.trouble = str(error)
            for unit in units:
                unit.logged.set_exception(error)
                unit.logged.exception()  # seen, also where nobody waits any more
        else:
            self.trouble = ""
            for unit in units:
                unit.logged.set_result(logged[: len(unit.entries)])
                del logged[: len(unit.entries)]
        finally:
            for unit in units:
                self._forget(unit)
                self._waiting -= len(unit.entries)
                self._waiting_bytes -= sum(len(one.entry) for one in unit.entries)
            self._metrics.waiting.set(self._waiting)

    def _append(self, entries: list[bytes]) -> list[Logged]:
        """Append those that are not in, as one commit; give the receipts of all."""
        log = self._log
        log.require_writer()  # which may have been refused so far
        if self._is_in_doubt:
            log.append_many(())
            self._is_in_doubt = False
        log.refresh()
        looked_to = log.size
        places = dict(zip(entries, log.positions_of(entries), strict=True))
        new = [entry for entry, place in places.items() if place is None]
        receipts = {}
        if new:
            self._is_in_doubt = True
            began = time.perf_counter()
            # Another server of the log may have been sent the same at the same time.
            appended = log.append_many(new, since=looked_to)
            self._metrics.committed(len(new), time.perf_counter() - began)
            self._is_in_doubt = False
            receipts = dict(zip(new, appended, strict=True))
        self._metrics.known.inc(len(places) - len(new))
        for entry, place in places.items():
            if place is not None:
                receipts[entry] = log.receipt(place)
        texts = {
            entry: Logged(receipt.index, ledgers.format_receipt(receipt))
            for entry, receipt in receipts.items()
        }
        return [texts[entry] for entry in entries]


def _bug(error: Exception) -> bool:
    """Whether an error is none of those that are raised on purpose, and so needs its traceback."""
    return not isinstance(error, CounterfoilError)
