"""Calls of this process that wait: first to be queued, then for their entries to be published."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from counterfoil.errors import CounterfoilError, UnavailableError

TROUBLE_S = 5.0
"""How long a caller goes on waiting when its leader says that it cannot publish."""


@dataclass(slots=True, eq=False)
class Pending:
    """A call that waits.

    Args:
        count: How many entries it has.
        data: These, as the queue holds them.
        since: From where on they may be in the log already; None if they are appended in any case.
    """

    count: int
    data: bytes
    since: int | None = None
    id: int = 0  # in the queue; 0 before it is there
    is_sent: bool = False  # whether it may be in the queue
    is_over: bool = False  # whether its caller no longer waits
    indices: Sequence[int] | None = None  # once they are published
    error: CounterfoilError | None = None


class Waiting:
    """All calls of one process that wait. Used by several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._unsent: list[Pending] = []
        self._queued: dict[int, Pending] = {}
        self._trouble, self._troubled_since = "", 0.0
        self._closed = False

    def add(self, pending: Pending) -> None:
        """Begin to wait.

        Raises:
            UnavailableError: the writer was closed.
        """
        with self._changed:
            if self._closed:
                raise UnavailableError("this writer was closed", hint="Open the ledger again.")
            self._unsent.append(pending)
            self._changed.notify_all()

    def take_unsent(self) -> list[Pending]:
        """Wait for calls that are to be queued; none once the writer is closed."""
        with self._changed:
            while not self._unsent and not self._closed:
                self._changed.wait()
            taken, self._unsent = self._unsent, []
            return taken

    def put_back(self, pendings: Sequence[Pending]) -> None:
        """Have calls queued later, which certainly were not."""
        with self._changed:
            self._unsent[:0] = pendings

    def send(self, pendings: Iterable[Pending]) -> list[Pending]:
        """Give those whose callers still wait; from now on they may be in the queue."""
        with self._changed:
            sent = [pending for pending in pendings if not pending.is_over]
            for pending in sent:
                pending.is_sent = True
            return sent

    def await_call(self, within_s: float) -> bool:
        """Wait until a call waits; returns whether one does."""
        with self._changed:
            return bool(
                self._changed.wait_for(
                    lambda: self._queued or self._unsent or self._closed, within_s
                )
            )

    def give_up(self, pendings: Iterable[Pending], error: CounterfoilError) -> None:
        """Have calls raise."""
        with self._changed:
            for pending in pendings:
                pending.error = error
                self._queued.pop(pending.id, None)
            self._changed.notify_all()

    def give_up_all(self, error: CounterfoilError) -> None:
        """Have all calls raise that are in the queue."""
        self.give_up(self.queued(), error)

    def enter(self, pendings: Sequence[Pending], ids: Sequence[int]) -> None:
        """Note that calls are in the queue."""
        with self._changed:
            for pending, number in zip(pendings, ids, strict=True):
                pending.id = number
                self._queued[number] = pending

    def queued(self) -> list[Pending]:
        """Give those that are in the queue."""
        with self._changed:
            return [*self._queued.values()]

    def resolve(self, places: Mapping[int, Sequence[int]]) -> None:
        """Note where calls came to stand, now that this is published; others are not ours."""
        with self._changed:
            for number, indices in places.items():
                pending = self._queued.pop(number, None)
                if pending is not None:
                    pending.indices = indices
            self._changed.notify_all()

    def note_trouble(self, trouble: str) -> None:
        """Take over what keeps the leader from publishing; empty if nothing does."""
        with self._changed:
            if trouble and not self._trouble:
                self._troubled_since = time.monotonic()
            self._trouble = trouble
            self._changed.notify_all()

    def wait(self, pending: Pending, within_s: float) -> Sequence[int]:
        """Wait until a call's entries are published; return their indices.

        Raises:
            UnavailableError: they are not, in time.
            CounterfoilError: what the leader in this process met.
        """
        begun = time.monotonic()
        with self._changed:
            while pending.indices is None and pending.error is None and not self._closed:
                until = begun + within_s
                if self._trouble:
                    until = min(until, max(begun, self._troubled_since) + TROUBLE_S)
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            if pending.indices is not None:
                return pending.indices
            pending.is_over = True
            self._queued.pop(pending.id, None)
            if pending.error is not None:
                raise pending.error
            raise self._too_late(pending)

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        closed = UnavailableError(
            "the writer was closed before these entries were published",
            hint="They are queued; look whether they are in before you append them again.",
        )
        self.give_up_all(closed)

    def _too_late(self, pending: Pending) -> UnavailableError:
        why = f": {self._trouble}" if self._trouble else ""
        if not pending.is_sent:
            return UnavailableError(
                f"nothing was appended, as the database does not answer{why}",
                hint="Check the database and the way to it, then append these again.",
            )
        if not pending.id:
            return UnavailableError(
                f"it is not known if the entries are queued: the database does not answer{why}",
                hint="Look whether the entries are in, then append again.",
            )
        again = "do not append them a second time"
        if pending.since is not None:
            again = "sent again, each is still appended once"
        return UnavailableError(
            f"the entries are queued durably, and not published yet{why}",
            hint=f"A leader publishes them as soon as it can; {again}.",
        )


def still_queued(error: CounterfoilError) -> CounterfoilError:
    """Say of a call that has its place what keeps it from being published."""
    return _with_hint(
        error,
        "The entries are queued durably and go in once this is mended, or another process leads: "
        "do not append them a second time.",
    )


def in_doubt(error: CounterfoilError) -> CounterfoilError:
    """Say of a call that is not known to be in the queue any more what keeps it from going in."""
    return _with_hint(
        error,
        "It is not known if the entries are in: once this is mended, look whether they are in "
        "before you append them again.",
    )


def _with_hint(error: CounterfoilError, more: str) -> CounterfoilError:
    told = error.__class__.__new__(error.__class__, *error.args)  # other calls raise it as it is
    told.__dict__.update(error.__dict__)
    told.hint = f"{error.hint} {more}"
    return told
