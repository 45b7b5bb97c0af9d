from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from counterfoil.chain import guard

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def start(*command):
    """A guard over a program, and the program's process number."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    return process, int(process.stdout.readline())


def finish(process):
    for pipe in (process.stdin, process.stdout):
        pipe.close()
    return process.wait(10)


def test_the_program_ends_when_the_pipe_does():
    """Whoever holds the pipe ends, or closes it: the program is killed at once."""
    process, pid = start(*SLEEP)
    finish(process)  # waits 10 seconds for what sleeps 60
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_programs_end_is_told():
    """When the program ends by itself, so does the guard, with its exit code."""
    process, _ = start(sys.executable, "-c", "raise SystemExit(7)")
    assert process.wait(10) == 7
    finish(process)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the child")
def test_the_program_ends_with_a_guard_that_is_killed():
    """SIGKILL of the guard takes the program along."""
    process, pid = start(*SLEEP)
    process.kill()
    finish(process)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
