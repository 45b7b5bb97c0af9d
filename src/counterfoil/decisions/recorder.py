"""Recording decisions from a serving process without slowing it.

`Recorder.record` encodes a row and copies it into memory shared with a process of its own, which
hashes, encrypts and writes (see `worker`). Hashing in a thread of the serving process would hold
the interpreter lock while requests wait for it.

What a handle promises, and when, is told in docs/explanation/serving.md.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import orjson

from counterfoil.core.canonical import JsonValue
from counterfoil.decisions.channel import PLACE_VARIABLE, READY, ROWS, WAITING, Board
from counterfoil.decisions.ring import Ring, allocate
from counterfoil.decisions.rowcodec import RowCodec
from counterfoil.errors import CounterfoilError, UnavailableError
from counterfoil.ledger.disk import reported, require_posix
from counterfoil.ledger.keeping import StreamPlace
from counterfoil.vault.keystore import FileKeyStore

RING_BYTES: Final = 1 << 24  # a second and a half of 10,000 rows of 1 KiB a second
FULL_WAIT_S: Final = 1.0  # longer than any sync takes on a disk that works
START_S: Final = 60.0  # for a new process to start and open the store, recovery included
_RETRY_S: Final = 0.001


class RecorderEndedError(UnavailableError):
    """There is no recording process: a row is refused, or one that was taken is not durable."""


@dataclass(slots=True, eq=False)
class Handle:
    """A record that is on its way to the disk; not frozen, which would cost half a microsecond.

    Args:
        recorder: The one that took it.
        sequence: Its number there, counted from 0.
    """

    recorder: Recorder
    sequence: int

    def wait(self, timeout_s: float | None = None) -> int:
        """Return the record's index in its stream once it is durable.

        Args:
            timeout_s: How long to wait; None waits as long as the recording process lives.

        Raises:
            UnavailableError: it is not durable yet, or the recording process has ended first. The
                record may be recorded nevertheless: later, or by `Recorder.restart`.
        """
        return self.recorder.wait(self.sequence, timeout_s)


class Recorder:
    """Records rows into the store of one stream, which it alone writes while it is open.

    Any number of threads may use it. It belongs to the process that made it: a process forked
    from that one is refused, and makes its own for another stream.

    Args:
        where: The place of the stream's store, or its folder; it exists.
        keys: Where the store's keys are.
        fields: Names of the stream's fields, in order.
        ring_bytes: Memory for rows that are not durable yet, a power of two.
        full_wait_s: How long `record` waits when that memory is full, before it refuses.

    Raises:
        ConflictError: somebody else writes to the store.
        FormatError: `fields` or `ring_bytes` cannot be used.
        UnavailableError: the recording process did not start, or the store refuses.
        VerificationError: the store is damaged.
    """

    def __init__(
        self,
        where: Path | StreamPlace,
        keys: FileKeyStore,
        fields: Sequence[str],
        *,
        ring_bytes: int = RING_BYTES,
        full_wait_s: float = FULL_WAIT_S,
    ) -> None:
        require_posix()
        self._address = str(where.absolute()) if isinstance(where, Path) else where.address
        self._keys = keys
        self._full_wait_s = full_wait_s
        self._codec = RowCodec(fields)
        self._ring = Ring(allocate(ring_bytes))
        self._board = Board(self._ring)
        # Open as long as the recorder is, at both ends, across recording processes: a thread may
        # be about to write.
        self._wake_end, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._producing = threading.Lock()
        self._changed = threading.Condition()  # guards all below; taken after `_producing`
        self._refusal = self._ended = _STARTING  # why no rows are taken, why none are recorded
        self._was_killed = False  # the last recording process, by a signal
        self._durable = 0
        self._bases: list[tuple[int, int]] = []  # from each sequence on, indices are consecutive
        self._is_open = True
        self._failure: CounterfoilError | None = None
        self._watcher: threading.Thread | None = None
        _OPEN.add(self)
        atexit.register(self.close)
        try:
            self._start()
        except BaseException:
            with contextlib.suppress(CounterfoilError):  # what went wrong is on its way already
                self.close()
            raise

    @property
    def pid(self) -> int:
        """Number of the recording process."""
        return self._process.pid

    @property
    def is_open(self) -> bool:
        """Whether it was not closed, and belongs to this process."""
        return self._is_open

    def record(
        self, values: Sequence[JsonValue | orjson.Fragment], subject: str | None = None
    ) -> Handle:
        """Take a row; some microseconds.

        When this returns, the row survives the end of this process, but not that of the recording
        process or the machine; see `Handle.wait`.

        Args:
            values: One for each field; None where there is none. For a value that many rows
                share, give what `rowcodec.encode` made of it.
            subject: Whom the record is about.

        Raises:
            FormatError: another number of values, or one that is not JSON, too large or too deep,
                or no name for a data subject.
            UnavailableError: the recording process has ended, or does not keep up; this row is
                not recorded.
        """
        row = self._codec.format_row(values, subject)
        with self._producing:
            sequence = None if self._refusal else self._ring.push(row)
            if sequence is None:
                sequence = self._push_later(row)
            if self._board.is_asleep:
                self._board.is_asleep = False
                self._send(ROWS)
        return Handle(self, sequence)

    def wait(self, sequence: int, timeout_s: float | None = None) -> int:
        """Wait for a record by its number; see `Handle.wait`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            self._look()
            if self._durable <= sequence and not self._ended:
                self._send(WAITING)
            while self._durable <= sequence:
                if self._ended:
                    raise self._not_durable(sequence)
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise UnavailableError(
                        f"record {sequence} of this recorder is not durable after {timeout_s} s",
                        hint="It is still on its way; wait again.",
                    )
                self._changed.wait(left)
            return next(
                index + sequence - first
                for first, index in reversed(self._bases)
                if first <= sequence
            )

    def flush(self, timeout_s: float | None = None) -> None:
        """Return once everything recorded so far is durable; raises as `Handle.wait` does."""
        with self._producing:
            if not self._refusal:
                self._ring.publish()
        if self._ring.pushed:
            self.wait(self._ring.pushed - 1, timeout_s)

    def restart(self) -> None:
        """Start a new recording process if the last one has ended.

        It begins with what was recorded and is not durable, in order and each row once.

        Raises:
            As for a new recorder; restart again once the cause is gone.
        """
        with self._producing:
            with self._changed:
                if not self._is_open:
                    raise UnavailableError(f"this recorder {self._refusal}", hint=_MAKE_ANOTHER)
                if not self._ended:
                    return
            self._start()

    def revive(self) -> None:
        """Restart if the recording process was killed, and not if it ended by an error of its own.

        Raises:
            UnavailableError: why it ended, or why it does not start; as for a new recorder.
        """
        with self._changed:
            if self._ended and self._is_open and not self._was_killed:
                raise self._failure or RecorderEndedError(
                    f"this recorder {self._ended}", hint=_RESTART
                )
        self.restart()

    def close(self) -> None:
        """Make everything durable and end the recording process; again is harmless.

        Raises:
            UnavailableError: some of it could not be recorded, and never will be.
        """
        with self._producing, self._changed:
            if not self._is_open:
                return
            self._is_open = False
            self._refusal = "is closed"
            self._ring.publish()
            os.close(self._wake)  # the recording process drains the ring when it sees this
            os.close(self._wake_end)
        _OPEN.discard(self)
        atexit.unregister(self.close)
        if self._watcher is not None:
            self._watcher.join()
        self._ring.close()
        if self._durable < self._ring.pushed:
            raise self._not_durable(self._durable)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Rows

    def _push_later(self, row: bytes) -> int:
        """Push once there is room; the caller holds the producers' lock."""
        deadline = time.monotonic() + self._full_wait_s
        self._send(ROWS)
        while not self._refusal:
            sequence = self._ring.push(row)
            if sequence is not None:
                return sequence
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"no room for a row after {self._full_wait_s} s: the recording process does "
                    "not keep up",
                    hint="Ask for a larger ring if this was a peak, and for a faster disk if not.",
                )
            time.sleep(_RETRY_S)
        hint = _MAKE_ANOTHER if not self._is_open else _RESTART
        raise RecorderEndedError(f"this recorder {self._refusal}; the row is refused", hint=hint)

    def _send(self, what: bytes) -> None:
        """Send a byte to the recording process; the caller holds one of the locks."""
        if self._is_open:
            # A full pipe is as good as a byte in it: the other side has not looked yet.
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake, what)

    # The recording process

    def _start(self) -> None:
        """Start a recording process and wait until it records."""
        if self._watcher is not None:
            self._watcher.join()
        # It finds the package where we found it, whatever the main program is.
        path = os.pathsep.join(map(os.path.abspath, sys.path))
        notify_end, notify = os.pipe()
        with reported("cannot start a recording process"):
            try:
                self._process = subprocess.Popen(  # noqa: S603 our own program
                    [
                        *(sys.executable, "-P", "-m", "counterfoil.decisions.worker"),
                        *map(str, (self._ring.fd, self._wake_end, notify, os.getpid())),
                        self._keys.folder.absolute(),
                        orjson.dumps(self._codec.fields).decode(),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(self._ring.fd, self._wake_end, notify),
                    # Not an argument: everybody can read these, and it may hold a password.
                    env=os.environ | {"PYTHONPATH": path, PLACE_VARIABLE: self._address},
                    # A Ctrl-C in the terminal is for the serving process.
                    start_new_session=True,
                )
            except OSError:
                os.close(notify_end)
                raise
            finally:
                os.close(notify)  # so that its end is the end of the pipe
        with self._changed:
            self._refusal = self._ended = _STARTING
            self._watcher = threading.Thread(
                target=self._watch,
                args=(self._process, notify_end),
                name="counterfoil-recorder",
                daemon=True,
            )
            self._watcher.start()
            self._changed.wait_for(lambda: self._ended != _STARTING, START_S)
        if self._ended == _STARTING:
            self._process.kill()
            raise UnavailableError(
                f"the recording process was not ready after {START_S} s",
                hint="The machine is very busy, or the store's disk does not answer.",
            )
        if self._ended:
            raise self._failure or UnavailableError(f"this recorder {self._ended}", hint=_RESTART)

    def _watch(self, process: subprocess.Popen[bytes], notify_end: int) -> None:
        """Take what a recording process sends, until it ends; runs in a thread."""
        while sent := os.read(notify_end, 4096):
            with self._changed:
                if READY in sent:
                    self._bases.append(self._board.base)
                    self._refusal = self._ended = ""
                self._look()
                self._changed.notify_all()
        os.close(notify_end)
        status = process.wait()
        with self._changed:
            self._look()
            self._failure = self._board.failure()
            self._was_killed = status < 0 and self._failure is None
            self._ended = _explain(status, self._failure)
            if self._is_open:
                self._refusal = self._ended
            self._changed.notify_all()

    def _look(self) -> None:
        """See how far the recording process is, unless we do not know its indices yet."""
        if not self._ended:
            self._durable = self._board.durable

    def _not_durable(self, sequence: int) -> RecorderEndedError:
        last = self._ring.pushed - 1
        return RecorderEndedError(
            f"record {sequence} of this recorder is not durable, nor is any other from "
            f"{self._durable} to {last}: the recorder {self._ended}",
            hint=_RESTART if self._is_open else "They are lost; record them again.",
        )

    def _disown(self) -> None:
        """Let go of the recorder in a process forked from the one it belongs to."""
        if not self._is_open:
            return
        # Threads that held a lock when we were forked do not exist here.
        self._producing = threading.Lock()
        self._changed = threading.Condition()
        self._is_open = False
        self._refusal = self._ended = f"belongs to process {os.getppid()}"
        os.close(self._wake)  # or its end would not be seen while this process runs
        os.close(self._wake_end)


def _explain(status: int, failure: CounterfoilError | None) -> str:
    if failure is not None:
        return f"stopped recording: {failure}"
    if status < 0:
        return f"lost its recording process to signal {-status}"
    return f"has no recording process any more (exit status {status})"


_STARTING: Final = "is starting its recording process"
_RESTART: Final = "Rows taken before are kept: mend the cause, then call `restart`."
_MAKE_ANOTHER: Final = "Make another recorder, in the process that uses it."

_OPEN: Final[weakref.WeakSet[Recorder]] = weakref.WeakSet()


def _disown_all() -> None:
    for recorder in list(_OPEN):
        recorder._disown()  # noqa: SLF001 the module's own class
    _OPEN.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where `Recorder` says so
    os.register_at_fork(after_in_child=_disown_all)
