"""Whom this process waits for, for a face to name while it does; nothing is decided by it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

_waits: dict[object, tuple[str, float]] = {}
_lock = threading.Lock()


@contextlib.contextmanager
def waiting_for(whom: str) -> Iterator[None]:
    """Have it known whom one waits for meanwhile."""
    wait = object()
    with _lock:
        _waits[wait] = (whom, time.monotonic())
    try:
        yield
    finally:
        with _lock:
            del _waits[wait]


def waited_for(than_s: float) -> set[str]:
    """Name whom some thread has waited for longer than that by now."""
    until = time.monotonic() - than_s
    with _lock:
        return {whom for whom, since in _waits.values() if since < until}
