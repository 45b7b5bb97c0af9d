from __future__ import annotations

import contextlib
import itertools
import os
import random
from pathlib import Path

import pytest

from counterfoil.core.receipt import format_receipt
from counterfoil.ledger.log import Log

ORIGIN = "example.com/power"
SOAK = int(os.environ.get("COUNTERFOIL_SOAK", "1"))

pytestmark = pytest.mark.usefixtures("small_journal", "near_witness", "unsynced")


needs_linux = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="asks Linux which file it is"
)


@pytest.fixture
def powered(world, make_keys, mortal_disk):
    """A world whose ledger has a witness, and the one disk that everything there is written to."""
    disk = mortal_disk(random.Random(3))  # noqa: S311 faults, not secrets
    disk.install(world.monkeypatch.setattr)
    Log.create(world.template / "ledger", make_keys(ORIGIN, witness=True))
    return world, disk


def broken(disk, log, act, fault, at):
    """Act on a log whose process is killed at a step; tell whether it came so far."""
    disk.arm(fault, at)
    with contextlib.suppress(disk.killed_error):
        act()
    disk.release(log)
    return disk.has_failed


@needs_linux
@pytest.mark.parametrize("first", range(1, 5))  # its entries, their sync, the rest, and that sync
def test_a_power_cut_in_recovery_leaves_the_old_state_or_the_new(powered, outside, first):
    """A commit that was killed before its sync is no reason for a folder to be of two times."""
    world, disk = powered
    batch = [b"%d" % number for number in range(40)]
    for second in itertools.count(1):
        folder = world.copy(str(second))
        log = Log(folder)
        log.append(b"before")
        assert broken(disk, log, lambda log=log: log.append_many(batch), "killed-before", first)
        log = Log(folder)
        is_done = not broken(disk, log, log._require_writer, "killed-after", second)
        disk.cut()
        disk.arm()
        with Log(folder) as log:
            seen = outside(log.key)
            seen.acknowledge(b"after", format_receipt(log.append(b"after")))
            seen.check(log)
            entries = list(log.entries(0, log.size))
            assert entries in ([b"before", b"after"], [b"before", *batch, b"after"])
        if is_done:
            break
    assert second > 8


@needs_linux
def test_a_power_cut_while_closing_takes_nothing(powered, outside):
    """Closing empties the journal only when the other files hold what was in it."""
    world, disk = powered
    for at in itertools.count(1):
        folder = world.copy(str(at))
        log = Log(folder)
        seen = outside(log.key)
        for number in range(5):
            seen.acknowledge(b"%d" % number, format_receipt(log.append(b"%d" % number)))
        is_done = not broken(disk, log, log.close, "killed-before", at)
        disk.cut()
        disk.arm()
        with Log(folder) as log:
            seen.acknowledge(b"after", format_receipt(log.append(b"after")))
            seen.check(log)
        if is_done:
            break
    assert at > 4


@needs_linux
def test_a_power_cut_takes_nothing_that_was_acknowledged(world, make_keys, outside, mortal_disk):
    """Whatever part of the unsynced writes is lost, each acknowledged entry is there, in order."""
    for seed in range(12 * SOAK):
        chance = random.Random(seed)  # noqa: S311 faults, not secrets
        folder = world.template / f"ledger-{seed}"
        folder.mkdir(parents=True)
        world.monkeypatch.setenv("COUNTERFOIL_HOME", str(folder / "home"))
        signer = make_keys(ORIGIN, witness=chance.random() < 0.5)
        Log.create(folder, signer, disk=world.quiet)
        seen = outside(signer.key)
        for life in range(8):
            disk = mortal_disk(chance, "killed-before", chance.randrange(2, 41))
            log = None
            try:
                log = Log(folder, disk=disk)
                for number in range(10):
                    count = chance.choice([1, 2, 30])
                    entries = [b"%d %d %d" % (life, number, i) for i in range(count)]
                    receipts = log.append_many(entries)
                    for place in {0, count - 1}:
                        seen.acknowledge(entries[place], format_receipt(receipts[place]))
            except mortal_disk.killed_error:
                pass
            if log is not None:
                disk.release(log)
            disk.cut()
        with Log(folder, disk=world.quiet) as log:
            seen.acknowledge(b"after", format_receipt(log.append(b"after")))
            seen.check(log)
            assert len(seen.told) > 5
