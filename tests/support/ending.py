"""Ending a process at a step of what it does, as a SIGKILL there would."""

from __future__ import annotations

import itertools
import os


def end_at(at, steps):
    """End this process before or after a step, with exit code 9.

    Args:
        at: Which one: each step counts twice, before it is taken and after.
        steps: Owner and name of every function that is a step.
    """
    counter = itertools.count(1)
    for owner, name in steps:
        real = getattr(owner, name)

        def step(*given, _real=real, **named):
            if next(counter) == at:
                os._exit(9)
            done = _real(*given, **named)
            if next(counter) == at:
                os._exit(9)
            return done

        setattr(owner, name, step)
