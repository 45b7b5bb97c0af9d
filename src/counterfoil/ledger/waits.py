"""Whom this process waits for, for a face to name while it does; nothing is decided by it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

# Without a lock, which a fork might copy while it is held: each use is one step of the interpreter.
_waits: dict[object, tuple[str, float]] = {}


@contextlib.contextmanager
def waiting_for(whom: str) -> Iterator[None]:
    """Have it known whom one waits for meanwhile."""
    wait = object()
    _waits[wait] = (whom, time.monotonic())
    try:
        yield
    finally:
        del _waits[wait]


def waited_for(than_s: float) -> set[str]:
    """Name whom some thread has waited for longer than that by now."""
    until = time.monotonic() - than_s
    return {whom for whom, since in list(_waits.values()) if since < until}
