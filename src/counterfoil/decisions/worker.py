"""The recording process: takes rows from the ring, seals them, and makes them durable.

    python -m counterfoil.decisions.worker RING WAKE NOTIFY PARENT KEYS FIELDS

RING, WAKE and NOTIFY are inherited file descriptors, PARENT a process number, FIELDS a JSON list,
and COUNTERFOIL_STREAM in the environment is the address of the stream's place. `Recorder` starts
it. A batch goes in this order:

    1. it is noted on the board       (before: nothing happened; the rows are in the ring)
    2. it is committed to the store   (between 2 and 3: a successor finds the noted leaf there)
    3. it is reported durable         (before 4: a successor skips it)
    4. its room in the ring is released

Any number of records wait for one sync, so the batches grow with the load by themselves.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson

from counterfoil import cluster
from counterfoil.core.record import SALT_BYTES, seal_texts
from counterfoil.decisions.channel import PLACE_VARIABLE, PROGRESS, READY, WAITING, Board
from counterfoil.decisions.ring import Ring
from counterfoil.decisions.rowcodec import RowCodec
from counterfoil.errors import CounterfoilError, VerificationError
from counterfoil.ledger.disk import is_url
from counterfoil.ledger.keeping import StreamPlace
from counterfoil.vault.keystore import FileKeyStore
from counterfoil.vault.store import StreamStore

MAX_BATCH_ROWS: Final = 4096  # of one commit: what a waiting caller waits for at most
MAX_BATCH_BYTES: Final = 2 << 20  # as written to the ring; about 4 MiB in the store
NAP_S: Final = 0.005  # between two looks at the ring while rows keep coming
LINGER_S: Final = 0.05  # without rows, after which naps end and sleep begins
SLEEP_S: Final = 1.0  # longest sleep; see `_listen`
DAMAGED_S: Final = 1.0  # how long a message may take to become visible whole


class Worker:
    """Moves rows from one ring into one store.

    Args:
        ring: Attached.
        store: Open for writing; its stream's fields are `fields`.
        fields: Names, in order.
        wake: Where bytes from the serving process arrive.
        notify: Where bytes to it go.
        parent: Its process number.
    """

    def __init__(
        self,
        ring: Ring,
        store: StreamStore,
        fields: Sequence[str],
        *,
        wake: int,
        notify: int,
        parent: int,
    ) -> None:
        self._ring = ring
        self._board = Board(ring)
        self._store = store
        self._codec = RowCodec(fields)
        self._wake = wake
        self._notify = notify
        self._parent = parent
        self._poll = select.poll()
        self._poll.register(wake, select.POLLIN)
        self._is_wanted = True  # False once the serving process has ended or closed the recorder
        self._awaited: int | None = None  # place in the ring that somebody waits for

    def run(self) -> None:
        """Record until the serving process wants no more, then what is left.

        Raises:
            CounterfoilError: the store refuses; what is not durable stays in the ring.
        """
        durable = self._board.settle(self._store.size, self._store.leaf)
        self._board.base = (durable, self._store.size)
        self._board.is_asleep = False
        self._tell(READY)
        last_row = time.monotonic()
        while True:
            if not self._ring.is_empty:
                self._listen(0)
                self._record()
                last_row = time.monotonic()
            elif not self._is_wanted:
                return
            elif time.monotonic() < last_row + LINGER_S:
                # A nap costs a serving process nothing; waking somebody does.
                self._listen(NAP_S)
            else:
                self._sleep()
            self._store.rotate_if_due()
            self._answer()

    def _record(self) -> None:
        """Make the next batch durable."""
        messages = self._ring.read(MAX_BATCH_ROWS, MAX_BATCH_BYTES) or self._read_again()
        durable = self._board.durable
        texts: list[bytes] = []
        subjects: list[str | None] = []
        for sequence, payload in messages:
            if sequence < durable:
                continue  # our predecessor was killed between steps 3 and 4
            values, subject = self._codec.parse_row(payload)
            # A value too few would shift those of every row behind it.
            if sequence > durable + len(subjects) or len(values) < len(self._codec.fields):
                raise _damaged(durable + len(subjects))
            texts += values
            subjects.append(subject)
        if subjects:
            salts = os.urandom(SALT_BYTES * len(texts))
            sealed = seal_texts(self._store.stream, self._codec.fields, texts, salts)
            self._board.stage(len(sealed), durable, self._store.size, sealed[0].leaf)  # 1
            self._store.append(sealed, subjects)  # 2
            self._board.durable = durable + len(sealed)  # 3
        self._ring.release()  # 4

    def _read_again(self) -> list[tuple[int, bytes]]:
        """Wait for a message that is there and not yet visible whole."""
        deadline = time.monotonic() + DAMAGED_S
        while time.monotonic() < deadline:
            time.sleep(NAP_S)
            messages = self._ring.read(MAX_BATCH_ROWS, MAX_BATCH_BYTES)
            if messages:
                return messages
        raise _damaged(self._board.durable)

    def _sleep(self) -> None:
        """Wait for a byte, having said so."""
        self._board.is_asleep = True
        if self._ring.is_empty:
            self._listen(SLEEP_S)
        self._board.is_asleep = False

    def _listen(self, timeout_s: float) -> None:
        """Take what the serving process sent, waiting for it so long at most.

        The longest sleep is finite for two cases: without fences a row may come in while both
        sides look the other way, and a process forked from the serving one may hold our pipe open
        beyond its end. Whoever waits for a record sends a byte, and is not kept waiting by either.
        """
        if not self._poll.poll(timeout_s * 1000):
            self._is_wanted = self._is_wanted and os.getppid() == self._parent
            return
        received = os.read(self._wake, 4096)
        if not received:
            self._is_wanted = False
            # A closed pipe is always readable, and says nothing more.
            self._poll.unregister(self._wake)
        elif WAITING in received:
            self._awaited = self._ring.tail

    def _answer(self) -> None:
        """Tell the serving process how far we are, if somebody there waits."""
        if self._awaited is not None:
            if self._ring.released >= self._awaited:
                self._awaited = None
            self._tell(PROGRESS)

    def _tell(self, what: bytes) -> None:
        # It may be gone; then there is nobody to tell, and what it left is still recorded.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._notify, what)


def _damaged(sequence: int) -> VerificationError:
    return VerificationError(
        f"record {sequence} of this recorder was damaged in memory before it was recorded",
        hint="Something in the serving process wrote where it must not; record it again.",
    )


def _find_place(address: str) -> Path | StreamPlace:
    if not is_url(address):
        return Path(address)
    url, _, stream = address.rpartition("#")
    return cluster.DatabaseKeeping(url).streams.place(bytes.fromhex(stream))


def main(arguments: list[str]) -> int:
    """Run as a process of its own; tells the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever stops a whole group of processes stops us through the serving process: when it
        # ends, so do we, with everything recorded.
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "SCHED_BATCH"):
        # Waking up, we do not interrupt a request; a sandbox that forbids this costs only that.
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    ring_fd, wake, notify, parent = map(int, arguments[:4])
    keys, fields = arguments[4:]
    ring = Ring(ring_fd)
    try:
        where = _find_place(os.environ.pop(PLACE_VARIABLE))
        with StreamStore.open(where, FileKeyStore(Path(keys)), write=True) as store:
            Worker(ring, store, orjson.loads(fields), wake=wake, notify=notify, parent=parent).run()
    except CounterfoilError as error:
        Board(ring).fail(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
