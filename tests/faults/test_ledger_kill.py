from __future__ import annotations

import base64
import itertools
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from counterfoil.core.receipt import format_receipt
from counterfoil.errors import ConflictError, FormatError, UnavailableError
from counterfoil.ledger.keyfiles import load_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places

ORIGIN = "example.com/kill"
BATCHES = {"a": 1, "b": 260, "c": 2}
SOAK = int(os.environ.get("COUNTERFOIL_SOAK", "1"))
SOON_S = 30.0  # nothing here waits that long unless it is broken


def again(act):
    """Do something, and once more if it was refused."""
    try:
        return act()
    except UnavailableError:
        return act()


def entries_of(name):
    return [f"{name} {i} ".encode() * 20 for i in range(BATCHES[name])]


def append_all(folder, disk, tell):
    """Append all batches, telling of the first and last entry of each."""
    disk.install()  # the witness's steps are counted too
    log = Log(folder, disk=disk)
    for name in BATCHES:
        entries = entries_of(name)
        receipts = again(lambda entries=entries: log.append_many(entries))
        tell(entries[0], receipts[0])
        tell(entries[-1], receipts[-1])


def batches_in(log, start):
    """Names of the batches from `start` on, each found whole."""
    names = []
    entries = list(log.entries(start, log.size))
    while entries:
        name = entries[0].decode()[0]
        whole = entries_of(name)
        assert entries[: len(whole)] == whole, f"half of batch {name}"
        del entries[: len(whole)]
        names.append(name)
    return names


@pytest.fixture
def logged(world, make_keys):
    """A world whose ledger holds five entries, and has a witness."""
    signer = make_keys(ORIGIN, witness=True)
    folder = world.use(world.template)
    Log.create(folder, signer, disk=world.quiet)
    with Log(folder, disk=world.quiet) as log:
        log.append_many([b"x"] * 5)
    return world


@pytest.mark.usefixtures("small_journal", "near_witness", "unsynced")
def test_every_step_of_appending(logged, outside, every_step):
    """Whatever step of a commit breaks, no promise does: old state or new, and one history."""
    key = load_key(Places(ORIGIN).keys / "log.pem").key

    def check(folder, told):
        seen = outside(key)
        for entry, receipt in told:
            seen.acknowledge(entry, receipt)
        published = seen.look(folder)
        with Log(folder, disk=logged.quiet) as log:
            log.append(entries_of("a")[0])
            assert log.size > published
            seen.check(log)
            names = batches_in(log, 5)
            assert sorted(set(names)) == [*BATCHES][: len(set(names))]
        seen.look(folder)

    every_step(logged, append_all, check, least=40)


@pytest.fixture
def interrupted(logged, in_child, step_disk):
    """A world killed when a batch was durable in the journal, and nobody had been told."""
    clean = logged.template
    for at in itertools.count(1):
        folder = logged.copy(f"killed-{at}")

        def child(tell, folder=folder, at=at):
            disk = step_disk("", 0)
            log = Log(folder, disk=disk)
            log.append(entries_of("a")[0])
            disk.arm("killed-after", at)
            receipts = log.append_many(entries_of("b"))
            tell(b"", receipts[0])

        code, _ = in_child(child)
        logged.template = folder.parent
        trial = logged.copy(f"trial-{at}")
        with Log(folder) as reader, Log(trial, disk=logged.quiet) as log:
            log.append(b"look")
            if (code, reader.size, log.size) == (-9, 6, 267):
                break
        logged.template = clean
    logged.copy("interrupted")
    return logged


@pytest.mark.usefixtures("small_journal", "near_witness", "unsynced")
def test_every_step_of_recovery(interrupted, outside, every_step):
    """Recovery that breaks is taken up again: the batch that was durable is there, once."""
    key = load_key(Places(ORIGIN).keys / "log.pem").key

    def act(folder, disk, tell):
        log = Log(folder, disk=disk)
        entry = entries_of("a")[0]
        tell(entry, again(lambda: log.append(entry)))

    def check(folder, told):
        seen = outside(key)
        for entry, receipt in told:
            seen.acknowledge(entry, receipt)
        seen.look(folder)
        with Log(folder, disk=interrupted.quiet) as log:
            log.append(entries_of("a")[0])
            seen.check(log)
            first, second, *rest = batches_in(log, 5)
            assert (first, second, {*rest}) == ("a", "b", {"a"})
        seen.look(folder)

    every_step(interrupted, act, check, least=10)


@pytest.mark.usefixtures("small_journal", "unsynced")
def test_every_step_of_creating(world, make_keys, outside, every_step):
    """A creation that breaks left no ledger, or a whole one; making it again always works."""
    make_keys(ORIGIN)

    def create(folder, disk):
        try:
            Log.create(folder, load_key(Places(ORIGIN).keys / "log.pem"), disk=disk)
        except ConflictError:
            return  # it had been made

    def act(folder, disk, tell):
        again(lambda: create(folder, disk))
        log = Log(folder, disk=disk)
        tell(b"first", again(lambda: log.append(b"first")))

    def check(folder, told):
        seen = outside(load_key(Places(ORIGIN).keys / "log.pem").key)
        for entry, receipt in told:
            seen.acknowledge(entry, receipt)
        try:
            seen.look(folder)
        except FormatError:
            assert not told
        create(folder, world.quiet)
        with Log(folder, disk=world.quiet) as log:
            log.append(b"first")
            assert {*log.entries(0, log.size)} == {b"first"}
            seen.check(log)

    (world.template / "ledger").mkdir()
    every_step(world, act, check, least=20)


# Appends without end, with two threads, and says of each receipt after it has it.
APPENDER = """
import sys, threading
from base64 import b64encode
from pathlib import Path
from counterfoil.core.receipt import format_receipt
from counterfoil.ledger import journal
from counterfoil.ledger.log import Log

journal.JOURNAL_BYTES = 1 << 14
log = Log(Path(sys.argv[1]))
lock = threading.Lock()

def work(name):
    number = 0
    while True:
        number += 1
        entries = [b"%s %d %d" % (name, number, i) for i in range(1 + number % 40)]
        receipts = log.append_many(entries)
        for place in {0, len(entries) - 1}:
            line = b64encode(entries[place]) + b" " + b64encode(format_receipt(receipts[place]))
            with lock:
                sys.stdout.buffer.write(line + b"\\n")
                sys.stdout.buffer.flush()

for name in (b"x", b"y"):
    threading.Thread(target=work, args=(name,)).start()
"""


def test_killed_at_arbitrary_moments_it_keeps_every_promise(world, make_keys, outside):
    """However often a writing process is killed, what it acknowledged is there, in one history."""
    chance = random.Random(11)  # noqa: S311 moments, not secrets
    signer = make_keys(ORIGIN, witness=True)
    folder = world.template / "ledger"
    Log.create(folder, signer, disk=world.quiet)
    seen = outside(signer.key)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(4 * SOAK):
        with (
            subprocess.Popen(
                [sys.executable, "-P", "-c", APPENDER, folder],
                env=environment,
                stdout=subprocess.PIPE,
            ) as writer,
            Log(folder) as reader,
        ):
            lines = [writer.stdout.readline()]
            end = time.monotonic() + chance.uniform(0.0, 0.15)
            while time.monotonic() < end:
                reader.refresh()
                seen.see(reader.checkpoint)
            os.kill(writer.pid, signal.SIGKILL)
            lines += writer.stdout
        for line in lines:
            if line.endswith(b"\n"):  # else it was cut off, and nobody was told
                seen.acknowledge(*map(base64.b64decode, line.split()))
        seen.look(folder)
    assert len(seen.told) > 4
    with Log(folder, disk=world.quiet) as log:
        seen.acknowledge(b"after", format_receipt(log.append(b"after")))
        seen.check(log)
