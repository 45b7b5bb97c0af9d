"""Forking the process of a test, which has had threads."""

from __future__ import annotations

import os
import threading
import time
import warnings
from pathlib import Path

STRANGERS: set[str] = set()  # threads of libraries that Python never knows of, and that stay


def fork() -> int:
    """Fork this process; as `os.fork`, but for what happens to be ending.

    Threads that Python has joined may not be gone from the system yet, and while they end they hold
    locks of OpenSSL, which a process forked then waits for without end.
    """
    until = time.monotonic() + 0.5
    while ending := _ending():
        if time.monotonic() > until:
            STRANGERS.update(ending)  # waited for once, and not at every fork from here on
            break
        time.sleep(0.001)
    with warnings.catch_warnings():
        # Threads of numerical libraries may be around; the child calls none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _ending() -> set[str]:
    known = {str(thread.native_id) for thread in threading.enumerate()}
    return {task.name for task in Path("/proc/self/task").glob("*")} - known - STRANGERS
