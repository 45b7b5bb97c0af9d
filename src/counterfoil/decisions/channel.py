"""What the serving process and its recording process tell each other, beside the rows.

The **board** is a page of words in the ring's memory, each stored by one side only:

    durable          records of this recorder that are durable; the handles wait for it
    staged           the batch being committed: count ‖ first sequence ‖ index ‖ leaf of its first
    base             (sequence, index): records from that sequence on have consecutive indices
    is_asleep        the recording process waits for a byte; stored by both
    failure          why the recording process ended, as text

Through one pipe the serving process sends `ROWS` or `WAITING`, and its end by closing it; through
another the recording process sends `READY` and `PROGRESS`, and its end by closing that.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from counterfoil import errors
from counterfoil.core.merkle import HASH_BYTES, Hash
from counterfoil.decisions.ring import FREE_OFFSET, Ring
from counterfoil.errors import CounterfoilError, UnavailableError

PLACE_VARIABLE: Final = "COUNTERFOIL_STREAM"  # of the recording process's environment
ROWS: Final = b"."  # there are rows, and you slept
WAITING: Final = b"!"  # somebody waits: say when what is in the ring now is durable
READY: Final = b"r"  # the store is open, and the board says from which index on
PROGRESS: Final = b"d"  # look at the board

# In words. The two sides' words lie on cache lines of their own.
_DURABLE: Final = FREE_OFFSET // 8
_BASE: Final = _DURABLE + 1
_STAGED: Final = _BASE + 2
_ASLEEP: Final = _DURABLE + 16
_FAILURE: Final = _DURABLE + 24
_FAILURE_BYTES: Final = 2048
_LEAF_WORDS: Final = struct.Struct(f"={HASH_BYTES // 8}Q")


class Board:
    """The words beside a ring. See `ring` for what is relied on when two processes share one."""

    def __init__(self, ring: Ring) -> None:
        self._words = ring.words

    @property
    def durable(self) -> int:
        """Records of this recorder that are durable."""
        return self._words[_DURABLE]

    @durable.setter
    def durable(self, count: int) -> None:
        self._words[_DURABLE] = count

    @property
    def base(self) -> tuple[int, int]:
        """Sequence and index of a record; those behind it follow one by one."""
        return self._words[_BASE], self._words[_BASE + 1]

    @base.setter
    def base(self, base: tuple[int, int]) -> None:
        self._words[_BASE], self._words[_BASE + 1] = base

    @property
    def is_asleep(self) -> bool:
        """Whether the recording process waits for a byte."""
        return self._words[_ASLEEP] == 1

    @is_asleep.setter
    def is_asleep(self, value: bool) -> None:
        self._words[_ASLEEP] = value

    def stage(self, count: int, first: int, index: int, leaf: Hash) -> None:
        """Note a batch before it is committed, so that a successor can tell whether it was."""
        words, at = self._words, _STAGED
        # A process that is killed has done the stores before some instruction and none behind it.
        # So while the rest changes, the count is 0: a note that is half made says nothing.
        words[at] = 0
        for offset, word in enumerate((first, index, *_LEAF_WORDS.unpack(leaf)), 1):
            words[at + offset] = word
        words[at] = count

    def settle(self, size: int, leaf: Callable[[int], Hash]) -> int:
        """Find out how many records are durable, after a process that may have died anywhere.

        Args:
            size: Records in the store.
            leaf: Reads the leaf at an index of it.
        """
        at = _STAGED
        count, first, index = self._words[at : at + 3]
        noted = _LEAF_WORDS.pack(*self._words[at + 3 : at + 3 + HASH_BYTES // 8])
        # Leaves are salted, so this one is nobody else's.
        if count and index < size and leaf(index) == noted:
            self.durable = max(self.durable, first + count)
        return self.durable

    def fail(self, error: CounterfoilError) -> None:
        """Leave word why the recording process ends."""
        text = "\0".join((type(error).__name__, str(error)[:1000], error.hint))
        data = text.encode(errors="replace")[:_FAILURE_BYTES].ljust(_FAILURE_BYTES, b"\0")
        self._failure[:] = data

    def failure(self) -> CounterfoilError | None:
        """Take what `fail` left; None if there is nothing."""
        kind, _, rest = bytes(self._failure).rstrip(b"\0").decode(errors="replace").partition("\0")
        message, _, hint = rest.partition("\0")
        self._failure[:] = bytes(_FAILURE_BYTES)
        if not kind:
            return None
        found = getattr(errors, kind, UnavailableError)
        # Some classes carry more than a text; their text alone is an outage.
        simple = found.__init__ is CounterfoilError.__init__
        error: CounterfoilError = (found if simple else UnavailableError)(message, hint=hint)
        return error

    @property
    def _failure(self) -> memoryview[int]:
        return self._words.cast("B")[_FAILURE * 8 : _FAILURE * 8 + _FAILURE_BYTES]
