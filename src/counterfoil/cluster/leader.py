"""Who gives entries their place: one leader among all processes that write, and who stands by.

    1. calls are durable in the queue               (before: nothing happened)
    2. compare-and-swap: size, root, signed checkpoint, and the place of each call
    3. tiles and bundles are put into the store     (before: committed, and recovery finishes)
    4. witnesses are asked                          (refused: it is not published)
    5. the head is published, and callers are told
    6. `checkpoint` in the store follows, and what nobody needs any more goes

A signed checkpoint exists outside this process only once step 2 has made it the one of its size. A
leader that dies, or is taken for dead, leaves a state from which the next one runs the same steps,
from the third on. What steps 3 to 5 write is given by step 2, so that two who run them write the
same bytes.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from psycopg import sql

from counterfoil.cluster import state
from counterfoil.cluster.database import Connection, Database
from counterfoil.cluster.edge import Edge, Growth
from counterfoil.cluster.lost import (
    read_edge,
    read_shown,
    require_kept,
    require_newest,
    require_reached,
)
from counterfoil.cluster.objects import Objects
from counterfoil.cluster.queue import Call, committed_after, places_of, take
from counterfoil.cluster.state import FencedError
from counterfoil.cluster.tidy import Tidier
from counterfoil.cluster.tiletree import Head, TileTree
from counterfoil.cluster.waiting import Waiting, in_doubt, still_queued
from counterfoil.core.callers import callers_level
from counterfoil.core.checkpoint import Checkpoint, LogKeys, open_checkpoint, sign_checkpoint
from counterfoil.core.keys import Signer
from counterfoil.errors import CounterfoilError, UnavailableError, VerificationError
from counterfoil.ledger.countersign import Witnesses
from counterfoil.ledger.once import Wanted, place

STANDBY_S = 0.25
"""How often a process whose entries wait looks whether there is no leader."""

IDLE_STANDBY_S = 2.0
"""How often one does whose entries do not."""

BEAT_S = 2.0
"""How often a leader says that it is alive."""

STUCK_S = 60.0
"""How long a leader may take for one step before it no longer says so."""

ASK_AGAIN_S = 30.0
"""How often a leader that has nothing else to do asks witnesses that were silent."""

_IDLE_S = 1.0  # until a leader looks into the queue without having been told
_RETRY_S = 0.5  # until what failed is tried again


class LostKeyWarning(UserWarning):
    """A process that writes has not the key that the log was handed over to, so it cannot lead."""


@dataclass(slots=True)
class _Unfinished:
    """A commit that is not published yet."""

    head: Head
    growth: Growth
    places: Mapping[int, Sequence[int]]


class Leader(threading.Thread):
    """A thread that leads when nobody else does.

    Args:
        database: Of the log.
        objects: Where tiles go.
        tree: What this process shows of the log.
        find_signer: Finds the private key that a log signs with.
        witnesses: Who is asked about each checkpoint; they have the log's keys as they are now.
        waiting: Whom to tell in this process.

    Raises:
        As `find_signer`.
    """

    def __init__(
        self,
        database: Database,
        objects: Objects,
        tree: TileTree,
        *,
        find_signer: Callable[[LogKeys], Signer],
        witnesses: Witnesses,
        waiting: Waiting,
    ) -> None:
        super().__init__(name="counterfoil-leader", daemon=True)
        self._database, self._objects, self._tree = database, objects, tree
        self._witnesses, self._waiting = witnesses, waiting
        self._find_signer, self.signer = find_signer, find_signer(witnesses.log_keys)
        self.lack = ""  # why this process cannot lead: it has not the log's key
        self._warned = ""
        self._stopped = threading.Event()
        self._epoch = 0
        self._edge = Edge.empty()
        self._committed = tree.published_head
        self._unfinished: _Unfinished | None = None
        self._progress = 0.0
        self._asking: queue.SimpleQueue[Future[None]] = queue.SimpleQueue()
        self._ask_at = 0.0
        self.is_leading = False

    def stop(self) -> None:
        """End soon."""
        self._stopped.set()

    def ask_witnesses(self) -> Future[None]:
        """Ask about the newest checkpoint once more, when this leads; done when it is published."""
        future: Future[None] = Future()
        self._asking.put(future)
        return future

    def warn_of_lack(self) -> None:
        """Say once that this process cannot lead, where others do and its calls are answered."""
        lack = self.lack
        if lack and lack != self._warned:
            warnings.warn(
                f"this process cannot lead the log: {lack}",
                LostKeyWarning,
                stacklevel=callers_level(),
            )
        self._warned = lack

    @property
    def epoch(self) -> int:
        """Of this leader, as long as it leads and gets on; else 0."""
        is_stuck = time.monotonic() - self._progress > STUCK_S
        return 0 if not self.is_leading or is_stuck else self._epoch

    def run(self) -> None:
        """Lead, whenever nobody else does."""
        while not self._stopped.is_set():
            try:
                with self._database.session("leading") as connection:
                    self._stand_by(connection)
            except FencedError:
                self._waiting.note_trouble("")  # another one leads by now
            except UnavailableError as error:
                self._waiting.note_trouble(str(error))
            except CounterfoilError as error:
                self._waiting.give_up_all(in_doubt(error))
            except Exception as bug:
                self._waiting.note_trouble(f"the leader here has a bug: {bug!r}")
                raise
            finally:
                self.is_leading = False
            self._stopped.wait(_RETRY_S)
        self._witnesses.close()

    def _stand_by(self, connection: Connection) -> None:
        """Wait for the lock; then lead."""
        while not self._try_lock(connection):
            state.end_silent_leader(connection, self._database)
            self._waiting.await_call(IDLE_STANDBY_S - STANDBY_S)
            if self._stopped.wait(STANDBY_S):
                return
        channel = sql.Identifier(state.channel(self._database, state.QUEUED))
        connection.execute(sql.SQL("LISTEN {}").format(channel))
        tidier = Tidier(self._database, self._objects)
        try:
            self._take_over(connection, tidier)
            while not self._stopped.is_set():
                self._progress = time.monotonic()
                if self._unfinished is None:
                    self._ask_again(connection, tidier, is_idle=False)
                    calls = take(connection)
                    if not calls:
                        self._ask_again(connection, tidier, is_idle=True)
                        for _ in connection.notifies(timeout=_IDLE_S, stop_after=1):
                            pass
                        continue
                    self._witnesses.refresh()
                    with connection.transaction():
                        upcoming = self._swap(connection, calls)
                    self._go_on_from(upcoming)
                if self._unfinished is not None:
                    self._finish(connection, tidier, is_lasting=True)
        except CounterfoilError as error:
            if connection.broken:
                raise
            self._tell(connection, error)
        finally:
            tidier.close()

    def _tell(self, connection: Connection, error: CounterfoilError) -> None:
        """Tell those who wait why nothing is published.

        Where nothing may be appended, what this process has queued is taken back, and its calls
        raise: whoever leads next may not know why, and would append it.
        """
        state.report_trouble(connection, self._database, self._epoch, str(error))
        if isinstance(error, UnavailableError):
            raise error
        queued = self._waiting.queued()
        ids = [one.id for one in queued]
        withdrawn = state.withdraw(connection, self._epoch, ids)
        placed = places_of(connection, ids, self._committed.size)
        for call in queued:
            told = error
            if call.id in placed:
                told = still_queued(error)
            elif call.id not in withdrawn:  # it went with what the database was
                told = in_doubt(error)
            self._waiting.give_up([call], told)

    def _try_lock(self, connection: Connection) -> bool:
        """Take the lock if nobody leads, and only with the key that the log signs with now."""
        is_taken = state.try_lock(connection, self._database, self.signer.key)
        if is_taken is not None:
            return is_taken
        keys = state.read_keys(self._database, connection)
        try:
            self.signer = self._find_signer(keys)
        except CounterfoilError as error:
            self.lack = str(error)
            return False
        self.lack = ""
        self._witnesses.go_by(keys)
        return False  # the lock is next

    def _take_over(self, connection: Connection, tidier: Tidier) -> None:
        """Begin an epoch, and finish what the last one left."""
        found = state.lead(connection, self._database, f"{socket.gethostname()} {os.getpid()}")
        if found.keys.key != self.signer.key:
            raise FencedError  # it was handed over since the lock was taken
        self._epoch, self._committed = found.epoch, found.committed
        self._progress = time.monotonic()
        self.is_leading = True
        for head in (found.published, found.committed):
            _require_own(head, found.keys)
        # Published beyond what is committed was something before the database was set back.
        require_reached(found.published.checkpoint, found.committed, self._tree.name, found.keys)
        require_reached(self._tree.head, found.published, self._tree.name, found.keys)
        self._tree.take(found.published)
        # Not from memory: what is signed over next must be in the store now.
        self._tree.forget()
        self._tree.stored = found.published.size
        edge = read_edge(connection, self._objects, self._tree)
        self._unfinished = None
        if found.committed.size > edge.size:
            calls = committed_after(connection, edge.size, found.committed.size)
            growth = edge.grow([entry for call in calls for entry in call.entries])
            if growth.edge.frontier.root() != found.committed.root:
                raise VerificationError(
                    f"{self._database.address.name}: the queued entries are not those that were "
                    f"committed at size {found.committed.size}",
                    hint="Somebody changed the database; restore it from a backup.",
                )
            places = {call.id: call.indices for call in calls}
            self._unfinished = _Unfinished(found.committed, growth, places)
            edge = growth.edge
        self._edge = edge
        shown = read_shown(self._objects)
        require_newest(shown, found.committed, self._tree, found.keys)
        size = open_checkpoint(shown, found.keys).size if shown else 0
        for _ in require_kept(self._tree, min(size, self._tree.size)):
            self._progress = time.monotonic()
        if self._unfinished is not None:
            self._finish(connection, tidier, is_lasting=False)
        self._meet(connection)
        if self._tree.head != shown:
            tidier.follow(self._tree.published_head, [])

    def _meet(self, connection: Connection) -> None:
        """Find out what witnesses remember, and publish what they have cosigned since."""
        note = self._witnesses.meet(self._tree)
        if note != self._tree.head:
            head = self._tree.published_head._replace(checkpoint=note)
            with connection.transaction():
                state.publish(connection, self._database, self._epoch, head)
            self._tree.take(head)

    def _ask_again(self, connection: Connection, tidier: Tidier, *, is_idle: bool) -> None:
        """Ask about the newest checkpoint: for who wants it now, or as some have been silent."""
        callers = []
        while not self._asking.empty():
            callers.append(self._asking.get())
        is_due = is_idle and self._witnesses.silences and time.monotonic() >= self._ask_at
        if not callers and not is_due:
            return
        self._ask_at = time.monotonic() + ASK_AGAIN_S
        shown = self._tree.head
        try:
            self._meet(connection)
            if self._tree.head != shown:
                tidier.follow(self._tree.published_head, [])
        except Exception as error:
            for one in callers:
                one.set_exception(error)
            raise
        for one in callers:
            one.set_result(None)

    def _swap(self, connection: Connection, calls: list[Call]) -> _Unfinished:
        """Give calls their place: the second step, durable when the transaction is."""
        # What is committed before is in the store, though perhaps not published: it can be read.
        wanted = [Wanted(call.entries, call.since) for call in calls]
        new, placed = place(wanted, self._edge.size, self._tree)
        places = {call.id: one for call, one in zip(calls, placed, strict=True)}
        head, growth = self._committed, Growth(self._edge, {}, [])
        if new:
            growth = self._edge.grow(new)
            size, root = growth.edge.size, growth.edge.frontier.root()
            checkpoint = Checkpoint(self.signer.key.name, size, root)
            head = Head(size, root, sign_checkpoint(checkpoint, self.signer))
        else:
            state.tell(connection, self._database)
        # If the connection ends in here, it is not known which head is committed. It is read again
        # by whoever leads next, and the one signed here is seen by nobody unless that is it.
        state.swap(connection, self._epoch, self._committed, head, places)
        return _Unfinished(head, growth, {number: one.indices for number, one in places.items()})

    def _go_on_from(self, committed: _Unfinished) -> None:
        """Take over what a transaction has made durable."""
        self._committed, self._edge = committed.head, committed.growth.edge
        if committed.growth.objects:
            self._unfinished = committed
        else:  # all of it was there already, and what was committed before is published
            self._waiting.resolve(committed.places)

    def _finish(self, connection: Connection, tidier: Tidier, *, is_lasting: bool) -> None:
        """Publish what is committed: the steps from the third on.

        Args:
            connection: The leader's.
            tidier: Does what nobody waits for.
            is_lasting: Whether calls that wait are committed in the transaction that publishes:
                one sync of the database's disk less for each commit under load.
        """
        unfinished = self._unfinished
        assert unfinished is not None  # noqa: S101 asked for by our own code only
        head, growth = unfinished.head, unfinished.growth
        self._tree.store(growth.objects, head.size)
        self._progress = time.monotonic()
        head = head._replace(checkpoint=self._witnesses.countersign(self._tree, head.checkpoint))
        upcoming = None
        with connection.transaction():
            state.publish(connection, self._database, self._epoch, head)
            calls = take(connection) if is_lasting else []
            if calls:
                upcoming = self._swap(connection, calls)
        self._unfinished = None
        self._tree.take(head)
        self._waiting.note_trouble("")
        self._waiting.resolve(unfinished.places)
        if upcoming is not None:
            self._go_on_from(upcoming)
        # If we stop here, the next leader shows the checkpoint, the next full bundle has the queue
        # emptied, and some partial tiles stay that nobody needs.
        tidier.follow(head, growth.outgrown)


def _require_own(head: Head, keys: LogKeys) -> None:
    """Refuse a head that this log has not signed.

    Raises:
        VerificationError: so it is.
    """
    checkpoint = open_checkpoint(head.checkpoint, keys)
    if (checkpoint.size, checkpoint.root) != (head.size, head.root):
        raise VerificationError(
            "the database holds a checkpoint beside a size and root that are not its own",
            hint="Somebody changed the database; restore it from a backup.",
        )
