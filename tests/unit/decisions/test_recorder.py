from __future__ import annotations

import errno
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from forking import fork

from counterfoil.core.record import SALT_BYTES, parse_disclosure, seal_rows
from counterfoil.decisions.channel import Board
from counterfoil.decisions.recorder import Recorder
from counterfoil.decisions.ring import DATA_OFFSET, Ring, allocate
from counterfoil.decisions.rowcodec import RowCodec
from counterfoil.decisions.worker import Worker
from counterfoil.errors import (
    ConflictError,
    CounterfoilError,
    FormatError,
    RefusedError,
    UnavailableError,
    VerificationError,
)
from counterfoil.vault.keystore import FileKeyStore
from counterfoil.vault.store import StreamStore

STREAM = bytes(range(32))
FIELDS = ("number", "text")
SOON_S = 20.0  # a busy machine is slow; nothing here waits that long unless it is broken


@pytest.fixture
def place(tmp_path):
    """Where a stream's store is, and its keys."""
    keys = FileKeyStore(tmp_path / "keys")
    StreamStore.create(tmp_path / "stream", STREAM, keys).close()
    return tmp_path / "stream", keys


@pytest.fixture
def recorder(place):
    with Recorder(*place, FIELDS) as recorder:
        yield recorder


def stored(place):
    """Read every record: its values, and whom it is about."""
    folder, keys = place
    with StreamStore.open(folder, keys, write=False) as store:
        return [
            (*[parse_disclosure(text).value for text in store.disclosures(n)], store.subject(n))
            for n in range(store.size)
        ]


def stop(recorder):
    """Halt the recording process where it is, and see that it has."""
    os.kill(recorder.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, recorder.pid, os.WSTOPPED | os.WNOWAIT)


def proceed(recorder):
    os.kill(recorder.pid, signal.SIGCONT)


def kill(recorder):
    """End the recording process, and see that its recorder knows."""
    os.kill(recorder.pid, signal.SIGKILL)
    recorder._watcher.join(SOON_S)


def test_what_was_recorded_is_in_the_store_when_wait_returns(place, recorder):
    """The index that `wait` returns is where the record is, with its values and subject."""
    handles = [recorder.record((n, "text"), f"person {n % 3}") for n in range(20)]
    handles.append(recorder.record((math.nan, None)))
    assert handles[7].wait(SOON_S) == 7
    assert [handle.wait(SOON_S) for handle in handles] == list(range(21))
    expected = [(n, "text", f"person {n % 3}") for n in range(20)]
    assert stored(place) == [*expected, ("NaN", None, None)]
    recorder.record((21, "waits in the ring"))
    assert recorder.record((22, None)).wait(SOON_S) == 22


def test_indices_go_on_where_the_stream_was(place):
    """A second recorder appends behind the records of the first."""
    for first in (0, 3):
        with Recorder(*place, FIELDS) as recorder:
            handles = [recorder.record((first + n, "")) for n in range(3)]
        assert [handle.wait(0) for handle in handles] == [first, first + 1, first + 2]
    assert [row[0] for row in stored(place)] == list(range(6))


def test_closing_makes_everything_durable(place):
    """Nothing that was taken is left behind, though nobody waited for it."""
    recorder = Recorder(*place, FIELDS)
    handles = [recorder.record((n, "x" * 500)) for n in range(2000)]
    recorder.close()
    recorder.close()
    assert handles[-1].wait(0) == 1999
    assert [row[0] for row in stored(place)] == list(range(2000))
    with pytest.raises(UnavailableError, match="is closed"):
        recorder.record((0, ""))
    with pytest.raises(UnavailableError, match="is closed"):
        recorder.restart()


def test_flush_returns_when_everything_is_durable(place, recorder):
    """After a flush the store holds every row that was taken before it."""
    recorder.flush(SOON_S)
    for n in range(100):
        recorder.record((n, ""))
    recorder.flush(SOON_S)
    assert len(stored(place)) == 100


def test_threads_share_a_recorder(place, recorder):
    """Rows of several threads are all recorded, each thread's in its own order."""

    def serve(thread):
        handles = [recorder.record((thread, str(n))) for n in range(200)]
        assert handles[-1].wait(SOON_S) >= 199

    threads = [threading.Thread(target=serve, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = stored(place)
    assert len(rows) == 800
    for thread in range(4):
        assert [row[1] for row in rows if row[0] == thread] == [str(n) for n in range(200)]


def test_waiting_ends_when_it_was_told_to(recorder):
    """A wait that takes too long says so, and the record arrives later all the same."""
    stop(recorder)
    handle = recorder.record((0, ""))
    with pytest.raises(UnavailableError, match=r"record 0 .* not durable after 0.05 s"):
        handle.wait(0.05)
    with pytest.raises(UnavailableError, match="not durable after"):
        recorder.flush(0.01)
    proceed(recorder)
    assert handle.wait(SOON_S) == 0


def test_a_refused_row_disturbs_nobody(place, recorder):
    """Values that cannot be recorded are refused by `record`, and the others are recorded."""
    recorder.record((0, ""))
    for row in ((1,), (1, object()), (1, "x" * 50_000)):
        with pytest.raises(FormatError):
            recorder.record(row)
    assert recorder.record((2, "")).wait(SOON_S) == 1
    assert [row[0] for row in stored(place)] == [0, 2]


def test_a_full_ring_refuses_after_a_while(place):
    """When the recording process does not keep up, a row is refused, and none is overwritten."""
    with Recorder(*place, FIELDS, ring_bytes=4096, full_wait_s=0.05) as recorder:
        stop(recorder)
        taken, refusal = 0, ""
        while not refusal:
            try:
                recorder.record((taken, "x" * 100))
                taken += 1
            except UnavailableError as error:
                refusal = str(error)
        proceed(recorder)
        recorder.flush(SOON_S)
        recorder.record((taken, "x" * 100))
    assert "does not keep up" in refusal
    assert taken == 4096 // 122
    assert [row[0] for row in stored(place)] == list(range(taken + 1))


def test_a_full_ring_is_waited_for(place):
    """Rows that come faster than the disk takes them wait for room and are all recorded."""
    with Recorder(*place, FIELDS, ring_bytes=4096, full_wait_s=SOON_S) as recorder:
        for n in range(500):
            recorder.record((n, "x" * 100))
    assert [row[0] for row in stored(place)] == list(range(500))


def test_a_dead_recording_process_is_noticed(place):
    """Who waits is told what is not recorded; nothing is taken that nobody would record."""
    recorder = Recorder(*place, FIELDS)
    first = recorder.record((0, ""))
    assert first.wait(SOON_S) == 0
    stop(recorder)
    handles = [recorder.record((n, "")) for n in (1, 2, 3)]
    told = []

    def wait():
        with pytest.raises(UnavailableError) as caught:
            handles[1].wait()
        told.append(str(caught.value))

    waiter = threading.Thread(target=wait)
    waiter.start()
    kill(recorder)
    waiter.join(SOON_S)
    assert len(told) == 1
    assert told[0].startswith("record 2 of this recorder is not durable")
    assert told[0].endswith("from 1 to 3: the recorder lost its recording process to signal 9")
    assert first.wait(0) == 0
    with pytest.raises(UnavailableError, match="signal 9; the row is refused"):
        recorder.record((4, ""))
    with pytest.raises(UnavailableError, match="from 1 to 3"):
        recorder.flush()
    with pytest.raises(UnavailableError, match="from 1 to 3") as caught:
        recorder.close()
    assert "lost" in caught.value.hint


def test_a_restart_records_what_was_left(place, recorder):
    """After a restart every row is there once, in order, and handles tell its index."""
    recorder.restart()  # nothing to do
    recorder.record((0, "")).wait(SOON_S)
    stop(recorder)
    handles = [recorder.record((n, "")) for n in range(1, 50)]
    kill(recorder)
    recorder.restart()
    assert handles[-1].wait(SOON_S) == 49
    assert recorder.record((50, "")).wait(SOON_S) == 50
    assert [row[0] for row in stored(place)] == list(range(51))


def test_indices_are_right_after_somebody_else_wrote(place, recorder):
    """Records that another writer appended while there was no recording process are counted."""
    folder, keys = place
    before = recorder.record((0, ""))
    assert before.wait(SOON_S) == 0
    stop(recorder)
    after = recorder.record((1, ""))
    kill(recorder)
    with StreamStore.open(folder, keys, write=True) as store:
        store.append(seal_rows(STREAM, FIELDS, [("else", "")], bytes(SALT_BYTES * 2)), [None])
    recorder.restart()
    assert after.wait(SOON_S) == 2
    assert before.wait(0) == 0
    assert [row[0] for row in stored(place)] == [0, "else", 1]


def test_why_recording_cannot_start_is_told(place, tmp_path):
    """What the store says against it arrives as the error it is, and nothing is left behind."""
    folder, keys = place
    with (
        StreamStore.open(folder, keys, write=True),
        pytest.raises(ConflictError, match=f"process {os.getpid()}"),
    ):
        Recorder(folder, keys, FIELDS)
    with pytest.raises(CounterfoilError):
        Recorder(tmp_path / "nothing", keys, FIELDS)
    with pytest.raises(FormatError):
        Recorder(folder, keys, ("twice", "twice"))
    with pytest.raises(FormatError):
        Recorder(folder, keys, FIELDS, ring_bytes=5000)
    with pytest.raises(UnavailableError, match="key"):
        Recorder(folder, FileKeyStore(tmp_path / "other"), FIELDS)
    (path,) = keys.folder.iterdir()
    path.chmod(0o644)
    with pytest.raises(CounterfoilError, match="not private"):
        Recorder(folder, keys, FIELDS)


def test_no_python_to_start(place, monkeypatch):
    """A recording process that cannot be started is our error, and leaves no file open."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208 one line says it
    with pytest.raises(UnavailableError, match="cannot start a recording process"):
        Recorder(*place, FIELDS)
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208 as above


def test_a_recorder_leaves_no_file_open(place):
    """Opening and closing recorders, some of them after a restart, uses up nothing."""
    Recorder(*place, FIELDS).close()
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208 one line says it
    with Recorder(*place, FIELDS) as recorder:
        recorder.record((0, ""))
        kill(recorder)
        recorder.restart()
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208 as above


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads times from /proc")
def test_idle_costs_nothing_and_wakes_by_itself(recorder):
    """A recording process without rows uses no processor, and a row wakes it."""

    def used_s():
        stat = Path(f"/proc/{recorder.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    recorder.record((0, "")).wait(SOON_S)
    deadline = time.monotonic() + SOON_S
    while not recorder._board.is_asleep:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    before = used_s()
    time.sleep(0.6)
    assert used_s() - before <= 0.02
    # Nobody waits, so nobody else sends a byte; on its own it looks once a second.
    begin = time.monotonic()
    for taken in range(2, 7):
        recorder.record((taken, ""))
        while recorder._board.durable < taken or not recorder._board.is_asleep:
            time.sleep(0.001)
    assert time.monotonic() - begin < 3


def test_signals_for_a_whole_group_do_not_end_recording(place, recorder):
    """Ctrl-C and a service manager's signals are for the serving process; recording goes on."""
    assert os.getpgid(recorder.pid) != os.getpgid(0)
    recorder.record((0, "")).wait(SOON_S)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(recorder.pid, number)
    assert recorder.record((1, "")).wait(SOON_S) == 1
    assert [row[0] for row in stored(place)] == [0, 1]


@pytest.mark.parametrize("ending", [Recorder.flush, Recorder.close])
def test_a_row_whose_recording_was_interrupted_is_not_left_behind(place, recorder, ending):
    """Ctrl-C in the last line of a push hides a row only until the next flush, or the end."""
    stop(recorder)
    before = recorder._ring.tail
    recorder.record((0, ""))
    recorder._ring.words[0] = before  # as if this store had not happened
    proceed(recorder)
    ending(recorder)
    assert [row[0] for row in stored(place)] == [0]


def test_a_forked_process_is_refused_and_breaks_nothing(place, recorder):
    """In a child of `fork` the recorder refuses, also to close; the parent's goes on."""
    handle = recorder.record((0, ""))
    pid = fork()
    if pid == 0:
        status = 1
        try:
            for call in (lambda: recorder.record((9, "")), handle.wait, recorder.flush):
                try:
                    call()
                except UnavailableError as error:
                    status = 0 if f"process {os.getppid()}" in str(error) else 2
                else:
                    status = 3
                if status:
                    break
            recorder.close()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert recorder.record((1, "")).wait(SOON_S) == 1
    assert [row[0] for row in stored(place)] == [0, 1]


SCRIPT = """
from pathlib import Path
from counterfoil.decisions.recorder import Recorder
from counterfoil.vault.keystore import FileKeyStore

recorder = Recorder(Path({folder!r}), FileKeyStore(Path({keys!r})), {fields!r})
for n in range(3000):
    recorder.record((n, "no main guard, no close"))
"""


def test_an_ordinary_script_needs_no_ceremony(place, tmp_path):
    """A script without a main guard that just ends has recorded everything, without a warning."""
    folder, keys = place
    script = tmp_path / "orjson.py"  # a name that must not be mistaken for the library
    script.write_text(SCRIPT.format(folder=str(folder), keys=str(keys.folder), fields=FIELDS))
    with (tmp_path / "errors").open("w") as errors:  # a pipe would wait for both processes
        done = subprocess.run(
            [sys.executable, "-P", "-W", "error", "-X", "dev", script],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=tmp_path,
            stderr=errors,
            timeout=60,
            check=False,
        )
    # Nobody writes any more when the script has ended.
    StreamStore.open(folder, keys, write=True).close()
    assert (done.returncode, (tmp_path / "errors").read_text()) == (0, "")
    assert [row[0] for row in stored(place)] == list(range(3000))


# The recording process, one step at a time


class DiesError(Exception):
    """Stands for the end of the process."""


class Bench:
    """A recording process of which every step can be broken: it runs in this one."""

    def __init__(self, folder, keys):
        self.folder, self.keys = folder, keys
        self.ring = Ring(allocate(4096))
        self.codec = RowCodec(FIELDS)

    def push(self, *numbers):
        for number in numbers:
            assert self.ring.push(self.codec.format_row((number, ""), None)) is not None

    def run(self, breaking=None):
        """Start a recording process whose parent has ended; it drains the ring."""
        ring = Ring(os.dup(self.ring.fd))
        wake, wake_end = os.pipe()
        notified, notify = os.pipe()
        os.close(wake_end)
        try:
            with StreamStore.open(self.folder, self.keys, write=True) as store:
                worker = Worker(ring, store, FIELDS, wake=wake, notify=notify, parent=os.getppid())
                if breaking is not None:
                    breaking(worker)
                worker.run()
        finally:
            for fd in (wake, notified, notify):
                os.close(fd)
            ring.close()

    def numbers(self):
        return [row[0] for row in stored((self.folder, self.keys))]


@pytest.fixture
def bench(place):
    bench = Bench(*place)
    yield bench
    bench.ring.close()


def dies_before(target, name):
    def step(*_):
        raise DiesError

    return lambda worker: setattr(target(worker), name, step)


def dies_after(target, name):
    def breaking(worker):
        real = getattr(target(worker), name)

        def step(*arguments):
            real(*arguments)
            raise DiesError

        setattr(target(worker), name, step)

    return breaking


STEPS = {
    "reading": (lambda w: w._ring, "read"),
    "noting": (lambda w: w._board, "stage"),
    "committing": (lambda w: w._store, "append"),
    "releasing": (lambda w: w._ring, "release"),
}


@pytest.mark.parametrize("dies", [dies_before, dies_after])
@pytest.mark.parametrize("step", STEPS)
def test_a_death_at_any_step_loses_and_doubles_nothing(bench, step, dies):
    """Wherever a recording process dies, the next one records each row exactly once."""
    bench.push(0, 1)
    bench.run()
    bench.push(2, 3, 4)
    for _ in range(2):
        with pytest.raises(DiesError):
            bench.run(dies(*STEPS[step]))
        reported = Board(bench.ring).durable
        assert bench.numbers()[:reported] == list(range(reported))
        bench.push(bench.ring.pushed)
    bench.run()
    assert bench.numbers() == list(range(bench.ring.pushed))
    assert Board(bench.ring).durable == bench.ring.pushed


def test_a_batch_is_told_from_what_somebody_else_wrote(bench):
    """Records of another writer, where a dead process was about to write, count for nothing."""
    bench.push(0, 1)
    with pytest.raises(DiesError):
        bench.run(dies_before(*STEPS["committing"]))
    with StreamStore.open(bench.folder, bench.keys, write=True) as store:
        store.append(seal_rows(STREAM, FIELDS, [("else", "")], bytes(SALT_BYTES * 2)), [None])
    bench.run()
    assert bench.numbers() == ["else", 0, 1]


def test_a_note_half_made_says_nothing(bench):
    """A process killed while it notes a batch leaves no note, whatever the old words say."""
    bench.push(0)
    bench.run()
    board = Board(bench.ring)
    with StreamStore.open(bench.folder, bench.keys, write=False) as store:
        leaf = store.leaf(0)

        class Killed:
            """Words of which the process lives to store only so many."""

            def __init__(self, words, lives):
                self.words, self.lives = words, lives

            def __setitem__(self, at, word):
                if self.lives == 0:
                    raise DiesError
                self.lives -= 1
                self.words[at] = word

        for lives in range(1, 8):
            board._words = Killed(bench.ring.words, lives)
            with pytest.raises(DiesError):
                board.stage(5, 1, 0, leaf)
            board._words = bench.ring.words
            assert board.settle(store.size, store.leaf) == 1


def test_a_disk_that_refuses_ends_recording_and_a_restart_mends_it(bench):
    """A commit reported as refused, done or not, leaves each row recorded once in the end."""
    bench.push(0, 1)

    def refuse_after_doing(worker):
        disk = worker._store._opened._disk
        real = disk.sync

        def sync(fd):
            real(fd)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        disk.sync = sync

    with pytest.raises(UnavailableError):
        bench.run(refuse_after_doing)
    bench.run()
    assert bench.numbers() == [0, 1]


def test_a_row_damaged_in_memory_is_named(bench, monkeypatch):
    """A stray write into the ring is noticed: recording stops, saying which record it was."""
    monkeypatch.setattr("counterfoil.decisions.worker.DAMAGED_S", 0.01)
    bench.push(0, 1, 2)
    bench.ring._memory[DATA_OFFSET + bench.ring.tail - 1] ^= 1
    with pytest.raises(VerificationError, match="record 2 of this recorder was damaged"):
        bench.run()
    assert bench.numbers() == [0, 1]


def test_a_row_with_too_few_values_is_named(bench):
    """It is refused, and so is the whole batch, in which it would shift the values of others."""
    bench.push(0)
    assert bench.ring.push(b'"a value"' + bytes(1)) is not None
    bench.push(2)
    with pytest.raises(VerificationError, match="record 1 of this recorder was damaged"):
        bench.run()
    assert bench.numbers() == []


def test_a_recording_process_says_why_it_ends():
    """An error keeps its class, message and hint on the way; one of many parts is an outage."""
    ring = Ring(allocate(4096))
    board = Board(ring)
    assert board.failure() is None
    board.fail(FormatError("wörld " * 500, hint="do this"))
    error = board.failure()
    assert type(error) is FormatError
    assert str(error) == ("wörld " * 500)[:1000]
    assert error.hint == "do this"
    assert board.failure() is None
    board.fail(RefusedError("no", reasons=("a", "b")))
    error = board.failure()
    assert type(error) is UnavailableError
    assert str(error) == "no; a; b"
    ring.close()
