"""A process that appends: it queues entries, and waits until a leader has published them.

Four threads: one queues what all callers bring, in one transaction; one listens for what is
published, wherever the leader is; one is that leader, or stands by (see `leader`); and one has the
index follow the log (see `index`).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from psycopg import sql

from counterfoil.cluster import state
from counterfoil.cluster.blobs import ObjectBlobs
from counterfoil.cluster.database import Connection, Database
from counterfoil.cluster.index import Follower, SharedIndex
from counterfoil.cluster.leader import ASK_AGAIN_S, BEAT_S, Leader
from counterfoil.cluster.objects import Objects
from counterfoil.cluster.queue import is_published_to, join_entries, newest, places_of, stage
from counterfoil.cluster.tiletree import Head, TileTree
from counterfoil.cluster.waiting import Pending, Waiting
from counterfoil.core.checkpoint import Checkpoint, LogKeys, sign_checkpoint
from counterfoil.core.keys import Signer, VerifierKey
from counterfoil.core.merkle import leaf_hash
from counterfoil.errors import (
    ConflictError,
    CounterfoilError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.blobs import resolve
from counterfoil.ledger.countersign import Witnesses
from counterfoil.ledger.moved import require_here
from counterfoil.ledger.waits import waiting_for

PATIENCE_S = 30.0
"""How long a call of append waits until its entries are published."""

ASKED_WITHIN_S = 15.0
"""How long a call of ask_witnesses waits for the leader: it may have to become one first."""

_ALONE_WITHIN_S = 30.0  # for a leader to publish what it has committed
_POLL_S = 0.05  # between looks into the queue
_LOOK_S = 1.0  # until one looks what is published without having been told
_RETRY_S = 0.25  # until one connects again


class ClusterWriter:
    """A writer of a log, one of any number.

    Args:
        database: Of the log; closed with this.
        objects: Where tiles are.
        tree: What this process shows of the log.
        find_signer: Finds the private key that a log signs with: a process that appends must be
            able to lead.
        witnesses: Who is asked when it does.

    Raises:
        As `find_signer`.
    """

    def __init__(
        self,
        database: Database,
        objects: Objects,
        tree: TileTree,
        find_signer: Callable[[LogKeys], Signer],
        witnesses: Witnesses,
    ) -> None:
        self.tree = tree
        self._database, self._witnesses = database, witnesses
        self._waiting = Waiting()
        self._stopped = threading.Event()
        self._moved_to = ""  # as of the last look
        self._pid = os.getpid()
        self._leader = Leader(
            database,
            objects,
            tree,
            find_signer=find_signer,
            witnesses=witnesses,
            waiting=self._waiting,
        )
        self._follower = Follower(
            SharedIndex(
                Database(database.address),
                tree.checked,
                lambda entry: resolve(entry, ObjectBlobs(objects)),
                tree.root_seen,
            ),
            tree,
        )
        self._threads = [
            threading.Thread(target=self._queue, name="counterfoil-queue", daemon=True),
            threading.Thread(target=self._listen, name="counterfoil-listen", daemon=True),
            threading.Thread(target=self._beat, name="counterfoil-beat", daemon=True),
            self._leader,
            self._follower,
        ]
        for thread in self._threads:
            thread.start()

    def append(self, entries: Sequence[bytes], since: int | None = None) -> Sequence[int]:
        """Append entries; return their indices once they are published."""
        if os.getpid() != self._pid:
            raise ConflictError(
                f"{self.tree.name} was opened for writing before this process was forked",
                hint="Open it after the fork, in each process that is to write.",
            )
        self._leader.warn_of_lack()
        data = join_entries(entries)
        if not entries:
            self._find_out()
            return range(self.tree.size, self.tree.size)
        pending = Pending(len(entries), data, since)
        self._waiting.add(pending)
        with waiting_for(f"whoever leads {self.tree.name} to publish this"):
            indices = self._waiting.wait(pending, PATIENCE_S)
        if since is not None:
            self._require_there(entries, indices)
        self._witnesses.warn_of_silence()
        return indices

    def require_writable(self) -> None:
        """Refuse where the log was moved, as of a second ago."""
        require_here(self._database.address.url, self._moved_to)

    def _require_there(self, entries: Sequence[bytes], indices: Sequence[int]) -> None:
        """Check that entries stand where the leader, or the database, says that they do already.

        Raises:
            VerificationError: one does not.
        """
        for entry, index in zip(entries, indices, strict=True):
            if self.tree.leaf(index) != leaf_hash(entry):
                raise VerificationError(
                    f"{self.tree.name}: an entry was said to be in already as number {index}, and "
                    "another one is there",
                    hint="Somebody changed the database or the store: `counterfoil log audit`.",
                )

    def _find_out(self) -> None:
        """Wait until all that is in the queue now is published, so that one can look it up.

        Raises:
            MovedError: the log was moved away.
            UnavailableError: it is not, in time.
        """
        until = time.monotonic() + PATIENCE_S
        with self._database.transaction("looking into the queue") as connection:
            # A queue that is empty because the log is elsewhere tells nothing of its entries.
            require_here(self._database.address.url, state.read_moved(connection))
            number = newest(connection)
        while True:
            with self._database.transaction("looking into the queue") as connection:
                if is_published_to(connection, number):
                    break
            if self._stopped.wait(_POLL_S) or time.monotonic() > until:
                raise UnavailableError(
                    "entries of before are queued durably, and not published yet",
                    hint="A leader publishes them as soon as it can; ask again then.",
                )
        self.tree.refresh()

    @contextlib.contextmanager
    def alone(self) -> Iterator[tuple[Connection, Head]]:
        """Keep callers of every process out, once all that they have queued is published.

        Whoever leads goes on, and finds nothing to do.

        Returns:
            A connection that ends with this, and what is published.

        Raises:
            UnavailableError: something does not get published.
        """
        until = time.monotonic() + _ALONE_WITHIN_S
        with self._database.session("keeping callers out") as connection:
            state.keep_callers_out(connection, self._database)
            while (head := state.read_settled(connection)) is None:
                if time.monotonic() > until:
                    raise UnavailableError(
                        f"{self.tree.name}: what is committed does not get published",
                        hint="Append an entry there to see why; then try again.",
                    )
                time.sleep(_POLL_S)
            self.tree.take(head)
            yield connection, head

    def append_alone(
        self, make: Callable[[int], bytes | None], ends: VerifierKey | None = None
    ) -> None:
        """Queue an entry while nobody else does, and wait until it is published."""
        with self.alone() as (connection, head):
            state.require_open(connection, self._database)
            entry = make(head.size)
            if entry is None:
                return
            with connection.transaction():
                stage(connection, self._database, [(1, join_entries([entry]), None)])
                if ends is not None:
                    state.mark_ended(connection, ends)
            # If we stop here, whoever leads next appends it, and nothing before it.
        self._find_out()

    def hand_over(self, new: Signer) -> None:
        """Publish the present checkpoint under both keys, and make the next one the log's."""
        with self.alone() as (connection, head):
            self._stop()  # witnesses are asked by one thread at a time
            keys, signer = state.read_keys(self._database, connection), self._leader.signer
            if signer.key != keys.key:
                raise ConflictError(
                    f"{self.tree.name} was handed over to another key just now",
                    hint="Look at `counterfoil log status`; then hand it over again, if need be.",
                )
            checkpoint = Checkpoint(keys.name, head.size, head.root)
            both = sign_checkpoint(checkpoint, signer, new)
            try:
                note = self._witnesses.countersign(self.tree, both)
            finally:
                self._witnesses.close()
            last, begun = head._replace(checkpoint=note), sign_checkpoint(checkpoint, new)
            with connection.transaction():
                following = keys.followed_by(new.key, head.size)
                state.hand_over(connection, self._database, following, last, begun)

    def ask_witnesses(self) -> None:
        """Have the leader ask again, if it is in this process.

        Raises:
            UnavailableError: another process leads; it asks by itself.
        """
        try:
            self._leader.ask_witnesses().result(ASKED_WITHIN_S)
        except TimeoutError as error:
            raise UnavailableError(
                f"no witness was asked about {self.tree.name} from here: another process leads, or "
                "none can",
                hint=f"Whoever leads asks silent witnesses by itself, every {ASK_AGAIN_S:g} s in "
                "which nothing is appended.",
            ) from error

    def close(self) -> None:
        """Stop leading, and let go of the database."""
        if os.getpid() != self._pid:
            return  # the threads and connections are those of another process
        self._stop()
        self.tree.close()

    def _stop(self) -> None:
        """Stop leading, and whatever else goes on; again does nothing more."""
        self._stopped.set()
        self._leader.stop()
        self._follower.stop()
        self._waiting.close()
        with contextlib.suppress(CounterfoilError), self._database.transaction("leaving") as leave:
            for about in (state.QUEUED, state.PUBLISHED):
                channel = state.channel(self._database, about)
                leave.execute("SELECT pg_notify(%s, '')", (channel,))
        for thread in self._threads:
            thread.join()

    def _queue(self) -> None:
        """Queue what callers bring."""
        is_over = False
        while not is_over:
            try:
                with self._database.session("queueing entries") as connection:
                    while pendings := self._waiting.take_unsent():
                        self._queue_some(connection, pendings)
                    is_over = True
            except UnavailableError as error:
                self._waiting.note_trouble(str(error))
                is_over = self._stopped.wait(_RETRY_S)

    def _queue_some(self, connection: Connection, pendings: list[Pending]) -> None:
        """Queue calls in one transaction; each gets its number, or an error."""
        size = self.tree.size
        sent: list[Pending] | None = None
        try:
            with self._database.reported("queueing entries"), connection.transaction():
                state.hold_here(connection, self._database)
                sent = self._waiting.send(pendings)
                calls = [(pending.count, pending.data, pending.since) for pending in sent]
                ids = stage(connection, self._database, calls) if calls else []
        except UnavailableError as error:
            if sent is None:  # most likely the connection had ended long before
                self._waiting.put_back(pendings)
                raise
            unknown = UnavailableError(
                f"it is not known if the entries are queued: {error}",
                hint="Look whether the entries are in, then append again.",
            )
            self._waiting.give_up(sent, unknown)
            raise
        except CounterfoilError as error:
            self._waiting.give_up(pendings, error)
            return
        self._waiting.enter(sent, ids)
        for pending in sent:
            pending.data = b""
        if self.tree.size != size:
            # They may have been published before we knew their numbers.
            with self._database.reported("looking entries up"):
                places = places_of(connection, ids, self.tree.size)
            self._waiting.resolve(places)

    def _listen(self) -> None:
        """Take over what is published."""
        channel = sql.Identifier(state.channel(self._database, state.PUBLISHED))
        while not self._stopped.is_set():
            try:
                with self._database.session("listening") as connection:
                    connection.execute(sql.SQL("LISTEN {}").format(channel))
                    while not self._stopped.is_set():
                        news = state.read_news(connection, self._database)
                        self._moved_to = news.moved_to
                        self.tree.take(news.head)
                        self._waiting.note_trouble(news.trouble or self._leader.lack)
                        ids = [pending.id for pending in self._waiting.queued()]
                        if ids:
                            self._waiting.resolve(places_of(connection, ids, news.head.size))
                        for _ in connection.notifies(timeout=_LOOK_S, stop_after=1):
                            pass
            except CounterfoilError as error:
                self._waiting.note_trouble(str(error))
                self._stopped.wait(_RETRY_S)

    def _beat(self) -> None:
        """Say that our leader is alive, as long as it is."""
        while not self._stopped.wait(BEAT_S):
            epoch = self._leader.epoch
            if epoch:
                with (
                    contextlib.suppress(CounterfoilError),
                    self._database.transaction("saying that we lead") as connection,
                ):
                    state.beat(connection, epoch)
