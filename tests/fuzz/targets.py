"""Every parser of what comes from outside, what it takes, and the promise that it keeps.

A target takes bytes. It returns, or raises an error of `counterfoil.errors`; anything else is a
bug of ours, and so is more than `WITHIN_S` seconds for it. Where what was read can be written, it
is what came: a false inverse is an `AssertionError`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from random import Random

from counterfoil.errors import CounterfoilError
from fuzz.mutation import mutate

WITHIN_S = 2.0
"""Seconds of processor time for one case: no input of `MAX_BYTES` is worth more to anybody."""

Take = Callable[[bytes], object]


@dataclass(frozen=True)
class Target:
    """One parser, or one way through several.

    Args:
        name: What it is called on the command line.
        take: Feeds it; raises what it raises.
        make_seeds: Makes inputs that it accepts.
        form: As `mutate` has it.
        more: Makes inputs to begin with as well, accepted or not.
        covers: Public functions that it stands for.
        tries: How many cases a test run has time for.
        flow: It is more than a parser: it goes through several, and through what is done with what
            they read. A case costs much, and few are tried.
    """

    name: str
    take: Take
    make_seeds: Callable[[], Iterable[bytes]]
    form: str = "bytes"
    more: Callable[[], Iterable[bytes]] = tuple
    covers: tuple[Callable[..., object], ...] = ()
    tries: int = 1000
    flow: bool = False

    @property
    def seeds(self) -> tuple[bytes, ...]:
        """Inputs that it accepts."""
        return _seeds(self)

    @property
    def corpus(self) -> tuple[bytes, ...]:
        """All inputs to begin with."""
        return (*self.seeds, *self.more())


@cache
def _seeds(target: Target) -> tuple[bytes, ...]:
    return tuple(target.make_seeds())


def keeps_promise(target: Target, data: bytes) -> bool:
    """Try one input: whether it was accepted. Whatever else than a refusal comes out is a bug."""
    began = time.monotonic()
    accepted = _accepts(target, data)
    if time.monotonic() - began >= WITHIN_S:  # it may have waited for the processor alone
        began = time.process_time()
        _accepts(target, data)
        took = time.process_time() - began
        assert took < WITHIN_S, f"{target.name} took {took:.1f} s for {len(data)} bytes"
    return accepted


def _accepts(target: Target, data: bytes) -> bool:
    try:
        target.take(data)
    except CounterfoilError:
        return False
    return True


def cases(target: Target, count: int, seed: int = 0) -> Iterable[bytes]:
    """Make so many inputs, always the same ones: corpus first, then changes of it."""
    corpus = target.corpus
    yield from corpus[:count]
    random = Random(f"{target.name} {seed}")
    for _ in range(count - len(corpus)):
        yield mutate(random.choice(corpus), random, target.form, corpus)


def text_of(data: bytes) -> str:
    """Give bytes as text of any kind, halves of surrogate pairs included, as arguments may have."""
    return data.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """The inverse of `text_of`, for what is valid."""
    return text.encode("utf-8", "surrogateescape")


def all_targets() -> dict[str, Target]:
    """Every target by its name; made here, as their modules import this one."""
    from fuzz import (  # noqa: PLC0415 they import this module
        chain_targets,
        core_targets,
        file_targets,
        network_targets,
        node_targets,
        proof_targets,
    )

    modules = (
        *(core_targets, file_targets, network_targets, chain_targets, node_targets),
        proof_targets,  # last, as these take longest
    )
    return {one.name: one for module in modules for one in module.TARGETS}
