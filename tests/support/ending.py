"""Ending a process at a step of what it does, as a SIGKILL there would."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pkgutil import resolve_name
from types import ModuleType

ENDED = 9  # what a process exits with that was ended


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
                os._exit(ENDED)
            done = _real(*given, **named)
            if next(counter) == at:
                os._exit(ENDED)
            return done

        setattr(owner, name, step)


def run_ending_at(at, steps, program, *given):
    """Run a program in a process of its own that ends at a step; whether it was ended.

    A fork of a test's process would have what other tests left in it: threads, locks, connections.

    Args:
        at: As `end_at` takes it.
        steps: Likewise.
        program: Text of a module.
        given: What it finds in `sys.argv`, from 1 on.
    """
    command = [sys.executable, "-W", "ignore", __file__, str(at), program]
    places = [f"{_place(owner)}/{name}" for owner, name in steps]
    done = subprocess.run(
        [*command, ",".join(places), *given], capture_output=True, text=True, check=False
    )
    assert done.returncode in {0, ENDED}, f"at step {at}: {done.stderr}"
    return done.returncode == ENDED


def _place(owner):
    if isinstance(owner, ModuleType):
        return owner.__name__
    return f"{owner.__module__}:{owner.__qualname__}"


def main(at, program, places, *given):
    """Be that process."""
    steps = [place.split("/") for place in places.split(",")]
    end_at(int(at), [(resolve_name(owner), name) for owner, name in steps])
    sys.argv = ["program", *given]
    exec(program, {})  # noqa: S102 the test's own


if __name__ == "__main__":
    main(*sys.argv[1:])
