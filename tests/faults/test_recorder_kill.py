from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from counterfoil.core.record import parse_disclosure
from counterfoil.decisions.recorder import Recorder
from counterfoil.errors import ConflictError, UnavailableError
from counterfoil.vault.keystore import FileKeyStore
from counterfoil.vault.store import StreamStore

FIELDS = ("number", "text")
SOON_S = 30.0  # a busy machine is slow; nothing here waits that long unless it is broken

# Serves until it is killed. Says of each row when it was taken, and of some when they are durable.
SERVER = """
import sys
from pathlib import Path
from counterfoil.decisions.recorder import Recorder
from counterfoil.vault.keystore import FileKeyStore

recorder = Recorder(Path(sys.argv[1]), FileKeyStore(Path(sys.argv[2])), ("number", "text"))
print("pid", recorder.pid, flush=True)
number = 0
while True:
    handle = recorder.record((number, "x" * (number % 1000)))
    print("taken", number, flush=True)
    if number % 50 == 49:
        print("durable", handle.wait(30), flush=True)
    number += 1
"""


@pytest.fixture
def place(tmp_path):
    keys = FileKeyStore(tmp_path / "keys")
    StreamStore.create(tmp_path / "stream", bytes(32), keys).close()
    return tmp_path / "stream", keys


def stored(place):
    """Read the number of every record, once the recording process has ended."""
    folder, keys = place
    deadline = time.monotonic() + SOON_S
    while True:
        try:
            with StreamStore.open(folder, keys, write=True) as store:
                return [parse_disclosure(store.disclosures(n)[0]).value for n in range(store.size)]
        except ConflictError:  # it is still draining the ring
            assert time.monotonic() < deadline
            time.sleep(0.01)


def serve(place):
    folder, keys = place
    return subprocess.Popen(
        [sys.executable, "-P", "-c", SERVER, folder, keys.folder],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_after(server, lines, *also):
    """Kill a server, and `also` these, after it printed so many lines; tell all that it said."""
    _, pid = server.stdout.readline().split()
    said = [server.stdout.readline().split() for _ in range(lines)]
    for process in also:
        os.kill({"recording": int(pid)}[process], signal.SIGKILL)
    server.kill()
    with server:
        # The last line may be cut off: then nobody was told.
        said += [line.split() for line in server.stdout if line.endswith("\n")]
        assert "resource_tracker" not in server.stderr.read()
    taken = [int(number) for what, number in said if what == "taken"]
    durable = [int(number) for what, number in said if what == "durable"]
    return taken, durable


@pytest.mark.parametrize("lines", [1, 17, 50, 51, 333])
def test_a_killed_server_leaves_all_it_took(place, lines):
    """Every row that `record` returned for is recorded once, though its process was killed."""
    taken, _ = kill_after(serve(place), lines)
    numbers = stored(place)
    assert numbers == list(range(len(numbers)))
    # One more may have been taken, whose line never came.
    assert len(numbers) in (len(taken), len(taken) + 1)


@pytest.mark.parametrize("lines", [51, 103, 240])
def test_what_was_reported_durable_outlives_both(place, lines):
    """Both processes are killed: what `wait` returned for is there, once, at its index."""
    taken, durable = kill_after(serve(place), lines, "recording")
    numbers = stored(place)
    assert durable
    assert numbers == list(range(len(numbers)))
    assert max(durable) < len(numbers) <= len(taken) + 1


def test_a_killed_recording_process_is_replaced_again_and_again(place):
    """Killed at five arbitrary moments, the recorder ends with each row once and in order."""
    chance = random.Random(7)  # noqa: S311 moments, not secrets
    durable = {}
    with Recorder(*place, FIELDS) as recorder:
        done = threading.Event()

        def kill():
            for _ in range(5):
                time.sleep(chance.uniform(0.0, 0.1))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(recorder.pid, signal.SIGKILL)
                recorder._watcher.join(SOON_S)
                while not recorder._ended:  # the one that was killed may have been replaced
                    time.sleep(0.001)
                recorder.restart()
            done.set()

        killer = threading.Thread(target=kill)
        killer.start()
        number, waiting = 0, []
        while not done.is_set() or waiting:
            with contextlib.suppress(UnavailableError):
                if not done.is_set():
                    waiting.append((number, recorder.record((number, "x" * (number % 500)))))
                    number += 1
                if number % 20 == 0 or done.is_set():
                    given, handle = waiting[0]
                    durable[given] = handle.wait(SOON_S)
                    waiting.pop(0)
            time.sleep(0.0002)
        killer.join()
    assert number > 50
    assert stored(place) == list(range(number))
    assert all(given == index for given, index in durable.items())


FORKING = """
import os, sys, time
from pathlib import Path
from counterfoil.decisions.recorder import Recorder
from counterfoil.vault.keystore import FileKeyStore

recorder = Recorder(Path(sys.argv[1]), FileKeyStore(Path(sys.argv[2])), ("number", "text"))
recorder.record((0, ""))
wake = os.dup(recorder._wake)  # as a library that forks without Python's knowledge would leave it
if os.fork() == 0:
    os.close(1)
    time.sleep(float(sys.argv[3]))
    os._exit(0)
time.sleep(0.2)  # so that the recording process sleeps
print("ready", flush=True)
time.sleep(60)
"""


def test_the_recording_process_ends_though_a_child_of_the_server_lives(place):
    """A forked child that holds the pipe open does not keep the recording process alive."""
    folder, keys = place
    server = subprocess.Popen(
        [sys.executable, "-P", "-c", FORKING, folder, keys.folder, "10"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout.readline() == "ready\n"
    server.kill()
    server.communicate()
    begin = time.monotonic()
    assert stored(place) == [0]
    assert time.monotonic() - begin < 8
