"""The write path of a log that several processes append to, as a model that is searched whole.

Two processes may lead, calls come in, and at every step a process may die before it, die after it
without learning what became of it, or be taken for dead and go on. `explore` visits every state
that so many faults can lead to, checks what must be true of each, and gives the shortest way to
every kind of step. `test_writepath.py` sends the real engine down these ways.

    enqueue   a call is durable in the queue
    lead      the lock is had, the epoch raised, what the last leader left is read
    take      the oldest calls in the queue are read
    swap      compare-and-swap: epoch and head; the new head, signed, is durable with its calls
    store     tiles and bundles are put into the store
    witness   the witness is asked
    publish   readers see the head, and callers are told; a leader that has been at it commits
              what has come meanwhile in the same transaction: it is a take and a swap, too
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

Log = tuple[int, ...]  # the calls in it, by number, in order: what a root stands for

PROCESSES = 2
IDLE, READY, TAKEN, SWAPPED, STORED, WITNESSED = range(6)


class Step(NamedTuple):
    """Something that happens.

    Args:
        what: The name of a step above; `cut` takes the lock from a leader that goes on all the
            same, `die` ends a process between steps.
        who: Number of the process, or of the call for `enqueue`.
        how: `done`; `before`, as it died on the way; `after`, as it died having done it.
    """

    what: str
    who: int
    how: str = "done"


@dataclass(frozen=True, slots=True)
class Process:
    """What one process knows."""

    at: int = IDLE
    epoch: int = 0
    head: Log = ()  # what it takes for committed
    taken: Log = ()
    is_lasting: bool = False  # it has finished what the last leader left


@dataclass(frozen=True, slots=True)
class State:
    """Everything there is."""

    processes: tuple[Process, ...] = (Process(),) * PROCESSES
    holder: int | None = None  # of the lock
    queue: Log = ()  # every call that is durable, oldest first
    epoch: int = 0
    committed: Log = ()
    published: Log = ()
    stored: Log = ()
    witnessed: Log = ()
    told: frozenset[int] = frozenset()  # calls whose callers were told that they are in
    seen: frozenset[Log] = frozenset()  # heads that left a process
    faults: int = 0

    def check(self) -> None:
        """What must be true whatever happens."""
        heads = [*self.seen, self.committed, self.published, self.witnessed]
        for head in heads:
            assert head == self.committed[: len(head)], "two roots for one size, or a set-back"
        assert len(set(self.committed)) == len(self.committed), "a call is in twice"
        assert self.told <= set(self.published), "a caller was told what is not so"
        assert self.stored[: len(self.published)] == self.published, "published, and not stored"


def steps(state: State, calls: int, faults: int) -> Iterator[Step]:
    """Everything that can happen next."""
    hows = ("done", "before", "after") if state.faults < faults else ("done",)
    if len(state.queue) < calls:
        yield Step("enqueue", len(state.queue))
    for who, process in enumerate(state.processes):
        what = _next(state, who)
        if what:
            yield from (Step(what, who, how) for how in hows)
        if state.faults < faults and state.holder == who and process.at > IDLE:
            yield Step("cut", who)
    return


def _next(state: State, who: int) -> str:
    """Name the step that a process takes next; empty if it waits."""
    process = state.processes[who]
    match process.at:
        case at if at == IDLE:
            return "lead" if state.holder is None else ""
        case at if at == READY:
            return "take" if len(state.queue) > len(process.head) else ""
        case at if at == TAKEN:
            return "swap"
        case at if at == SWAPPED:
            return "store"
        case at if at == STORED:
            return "witness"
        case _:
            return "publish"


def apply(state: State, step: Step) -> State:
    """What is so after a step."""
    if step.what == "enqueue":
        return replace(state, queue=(*state.queue, step.who))
    if step.what == "cut":
        return replace(state, holder=None, faults=state.faults + 1)
    after = state if step.how == "before" else _done(state, step.what, step.who)
    if step.how == "done":
        return after
    holder = None if after.holder == step.who else after.holder
    return replace(_with(after, step.who, Process()), holder=holder, faults=after.faults + 1)


def _done(state: State, what: str, who: int) -> State:
    process = state.processes[who]
    head = process.head
    match what:
        case "lead":
            epoch = state.epoch + 1
            at = READY if state.published == state.committed else SWAPPED
            leading = Process(at, epoch, state.committed, is_lasting=at == READY)
            return replace(_with(state, who, leading), holder=who, epoch=epoch)
        case "take":
            taken = _waiting(state)
            return _with(state, who, replace(process, at=TAKEN if taken else READY, taken=taken))
        case "swap":
            if (state.epoch, state.committed) != (process.epoch, head):
                return _fenced(state, who)
            head = head + process.taken
            swapped = replace(process, at=SWAPPED, head=head, taken=())
            return replace(_with(state, who, swapped), committed=head)
        case "store":
            stored = head if len(head) > len(state.stored) else state.stored
            return replace(_with(state, who, replace(process, at=STORED)), stored=stored)
        case "witness":
            witnessed = head if len(head) > len(state.witnessed) else state.witnessed
            asked = _with(state, who, replace(process, at=WITNESSED))
            return replace(asked, witnessed=witnessed, seen=state.seen | {head})
        case _:
            if state.epoch != process.epoch:
                return _fenced(state, who)
            taken = _waiting(state) if process.is_lasting else ()
            upcoming = replace(
                process, at=SWAPPED if taken else READY, head=head + taken, is_lasting=True
            )
            return replace(
                _with(state, who, upcoming),
                published=head,
                committed=head + taken,
                told=state.told | set(head),
                seen=state.seen | {head},
            )


def _waiting(state: State) -> Log:
    """The calls in the queue that have no place yet."""
    return tuple(call for call in state.queue if call not in state.committed)


def _fenced(state: State, who: int) -> State:
    """It finds out that another one leads, and stands by."""
    holder = None if state.holder == who else state.holder
    return replace(_with(state, who, Process()), holder=holder)


def _with(state: State, who: int, process: Process) -> State:
    processes = list(state.processes)
    processes[who] = process
    return replace(state, processes=tuple(processes))


def explore(calls: int, faults: int) -> tuple[int, list[tuple[Step, ...]]]:
    """Visit every state; give how many there are, and a shortest way to every kind of step.

    Two steps are of one kind if they are the same and find both processes, the fence and what is
    finished alike.
    """
    start = State()
    ways: dict[State, tuple[Step, ...]] = {start: ()}
    kinds: dict[object, tuple[Step, ...]] = {}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        state.check()
        for step in steps(state, calls, faults):
            after = apply(state, step)
            kind = (
                step.what,
                step.how,
                tuple(process.at for process in state.processes),
                tuple(process.epoch == state.epoch for process in state.processes),
                state.published == state.committed,
            )
            kinds.setdefault(kind, (*ways[state], step))
            if after not in ways:
                ways[after] = (*ways[state], step)
                waiting.append(after)
    return len(ways), list(kinds.values())
