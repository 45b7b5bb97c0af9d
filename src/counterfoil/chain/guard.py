"""Runs a program that ends when whoever started this ends, however that ends.

    python guard.py PROGRAM ARGUMENTS…      prints the program's process number, then waits

Standard input is a pipe that the starter holds: when it is gone, so is the other end, and the
program is killed. On Linux the kernel also kills the program when this process is killed. Imports
nothing of counterfoil, so that it starts at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main(command: list[str]) -> int:
    """Run the program; returns its exit code."""
    us = os.getpid()

    def die_with_us() -> None:
        # Between fork and exec, while this process has one thread.
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != us:  # killed before the kernel was told
                os._exit(1)

    child = subprocess.Popen(  # noqa: S603 what we were started for
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=die_with_us,  # noqa: PLW1509 there is one thread yet
    )
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()

    def watch() -> None:
        while os.read(0, 1024):  # nothing is ever sent: this waits for the end
            pass
        child.kill()

    threading.Thread(target=watch, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
