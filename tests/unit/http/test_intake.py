"""Entries of many requests on their way into the log, where disks and witnesses fail meanwhile."""

from __future__ import annotations

import asyncio

import pytest

import counterfoil as cf
from counterfoil.http import intake as taking
from counterfoil.http.intake import Intake
from counterfoil.http.limits import Rates
from counterfoil.http.metrics import Metrics
from counterfoil.http.problems import Problem
from counterfoil.http.tiles import accepts_gzip
from counterfoil.ledger import Admitted
from counterfoil.ledger.disk import Disk

from .conftest import make_place


class Moody(Disk):
    """A disk that refuses to sync while it is told to."""

    refuses = ""

    def sync(self, fd):
        if self.refuses == "before":
            raise OSError(5, "no")
        super().sync(fd)
        if self.refuses == "after":
            raise OSError(5, "done, and reported as not done")


@pytest.fixture
def place(tmp_path, monkeypatch):
    place = make_place(tmp_path)
    monkeypatch.setenv("COUNTERFOIL_HOME", str(place.home))
    return place


def taken(place, disk, script):
    """Run a script against an intake of the ledger; give what is in the log afterwards."""

    async def run():
        with cf.Ledger(place.folder, disk=disk) as ledger:
            intake = Intake(ledger, Metrics(lambda: ledger.size))
            ledger.require_writer()
            intake.start()
            try:
                await script(intake)
            finally:
                disk.refuses = ""
                await intake.close()
            return list(ledger.entries(2, ledger.size))

    return asyncio.run(run())


def envelopes(place, *numbers):
    return [Admitted(place.envelope(number)) for number in numbers]


@pytest.mark.parametrize("refuses", ["before", "after"])
def test_what_failed_and_is_sent_again_is_in_once(place, refuses):
    """Whether the disk had taken it or not: nobody was told that it is in, and then it is, once."""
    disk = Moody()

    async def script(intake):
        await intake.take(envelopes(place, 1))
        disk.refuses = refuses
        for _ in range(3):
            with pytest.raises(cf.UnavailableError):
                await intake.take(envelopes(place, 2, 3))
        assert intake.trouble
        disk.refuses = ""
        said = await intake.take(envelopes(place, 3, 2, 1))
        assert sorted(one.index for one in said) == [2, 3, 4]
        assert not intake.trouble

    entries = taken(place, disk, script)
    assert sorted(entries) == sorted(one.entry for one in envelopes(place, 1, 2, 3))


def test_being_asked_how_it_is_it_tries_again(place):
    """What a failed commit left behind is finished without another request."""
    disk = Moody()

    async def script(intake):
        disk.refuses = "after"
        with pytest.raises(cf.UnavailableError):
            await intake.take(envelopes(place, 1))
        disk.refuses = ""
        while intake.trouble:
            intake.look()
            await asyncio.sleep(0.01)

    assert len(taken(place, disk, script)) == 1


def test_a_caller_who_leaves_takes_nothing_away_from_others(place):
    """Of two that wait for one entry, one is gone: the other gets its receipt."""

    async def script(intake):
        first = asyncio.create_task(intake.take(envelopes(place, 1)))
        await asyncio.sleep(0)
        second = asyncio.create_task(intake.take(envelopes(place, 1, 2)))
        await asyncio.sleep(0)
        first.cancel()
        assert [one.index for one in await second] == [2, 3]
        with pytest.raises(asyncio.CancelledError):
            await first

    assert len(taken(place, Moody(), script)) == 2


def test_no_more_wait_than_may(place, monkeypatch):
    """Beyond that a caller is asked to come back, and what it had sent is not under way."""
    monkeypatch.setattr(taking, "MAX_WAITING_ENTRIES", 10)

    async def script(intake):
        waiting = [asyncio.create_task(intake.take(envelopes(place, n, n + 1))) for n in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as caught:
            await intake.take(envelopes(place, *range(100, 110)))
        assert caught.value.status == 429
        assert caught.value.headers["Retry-After"] == "1"
        # One that is under way already adds nothing that waits.
        assert len(await intake.take(envelopes(place, 0))) == 1
        await asyncio.gather(*waiting)
        assert len(await intake.take(envelopes(place, *range(100, 110)))) == 10

    assert len(taken(place, Moody(), script)) == 16


def test_what_waits_is_one_commit(place):
    """A hundred requests at once cost a few syncs, and each has its own receipt."""
    syncs = []

    class Counting(Moody):
        def sync(self, fd):
            syncs.append(fd)
            super().sync(fd)

    async def script(intake):
        await intake.take(envelopes(place, "first"))
        syncs.clear()
        said = await asyncio.gather(*[intake.take(envelopes(place, n)) for n in range(100)])
        assert sorted(one.index for (one,) in said) == list(range(3, 103))
        assert len(syncs) < 20

    assert len(taken(place, Counting(), script)) == 101


def test_a_bucket_fills_again_at_its_rate():
    """So many at once, then as many as the rate; what is forgotten starts anew."""
    now = [0.0]
    rates = Rates(10, 20, clock=lambda: now[0])
    assert [rates.take("a") for _ in range(20)] == [0.0] * 20
    assert rates.take("a") == pytest.approx(0.1)
    assert rates.wait("a") == pytest.approx(0.1)
    assert rates.take("b") == 0
    now[0] += 0.1
    assert rates.wait("a") == 0
    assert rates.take("a") == 0
    assert rates.take("a") > 0
    now[0] += 1000
    assert [rates.take("a") for _ in range(21)][-1] > 0


@pytest.mark.parametrize(
    ("field", "accepts"),
    [("gzip", True), ("x-gzip", True), ("gzip;q=0.001", True), ("gzip; q=0", False), ("*", False)],
)
def test_gzip_is_sent_where_it_is_named(field, accepts):
    """Not to those who rule it out, nor to those who say anything goes."""
    assert accepts_gzip(field) is accepts
