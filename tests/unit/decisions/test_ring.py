from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from multiprocessing.shared_memory import SharedMemory

import pytest

from counterfoil.decisions import ring as ring_module
from counterfoil.decisions.ring import DATA_OFFSET, MIN_CAPACITY, Ring, allocate
from counterfoil.errors import FormatError, UnavailableError

ALL = 1 << 30


@pytest.fixture
def ring():
    ring = Ring(allocate(MIN_CAPACITY))
    yield ring
    ring.close()


def second(ring):
    """Attach once more, as the other process does."""
    return Ring(os.dup(ring.fd))


def read(ring):
    return ring.read(ALL, ALL)


def test_messages_come_out_whole_and_in_order(ring):
    """What was pushed is read in the same order, numbered from 0, an empty message included."""
    assert [ring.push(message) for message in (b"one", b"", b"three")] == [0, 1, 2]
    assert read(ring) == [(0, b"one"), (1, b""), (2, b"three")]
    assert read(ring) == []
    assert ring.is_empty


def test_a_reader_takes_no_more_than_asked(ring):
    """A batch ends at so many messages, or at the message that reaches so many bytes."""
    for number in range(6):
        ring.push(bytes([number]) * 100)
    assert len(ring.read(2, ALL)) == 2
    assert len(ring.read(ALL, 1)) == 1
    assert len(ring.read(ALL, 200)) == 2


def test_a_full_ring_refuses_and_overwrites_nothing(ring):
    """Only what was released makes room; what was only read does not."""
    consumer = second(ring)
    pushed = 0
    while ring.push(b"%04d" % pushed * 25) is not None:
        pushed += 1
    messages = read(consumer)
    assert [payload for _, payload in messages] == [b"%04d" % n * 25 for n in range(pushed)]
    assert ring.push(b"more" * 25) is None
    consumer.release()
    assert ring.push(b"more" * 25) == pushed
    assert read(consumer) == [(pushed, b"more" * 25)]
    consumer.close()


def test_messages_wrap_around_the_end(ring):
    """Over many rounds, every message comes out as it went in, also when it is split in two."""
    for number in range(200):
        message = bytes([number]) * (number * 7 % 1500)
        assert ring.push(message) == number
        assert read(ring) == [(number, message)]
        ring.release()
    assert ring.tail > 10 * ring.capacity


def test_a_message_larger_than_the_ring_is_refused_at_once(ring):
    """Waiting for room that can never be there would be no help."""
    ring.push(b"small")
    with pytest.raises(FormatError, match="does not fit"):
        ring.push(bytes(MIN_CAPACITY))
    assert ring.push(bytes(MIN_CAPACITY - 64)) == 1


def test_the_next_consumer_reads_what_was_not_released(ring):
    """A consumer that dies after reading has taken nothing away."""
    for number in range(4):
        ring.push(b"%d" % number)
    first = second(ring)
    first.read(2, ALL)
    first.release()
    assert len(read(first)) == 2
    first.close()
    after = second(ring)
    assert read(after) == [(2, b"2"), (3, b"3")]
    after.close()


def test_a_message_that_is_not_all_there_is_not_handed_out(ring):
    """Whichever byte is not visible yet, the message stays in the ring until it is."""
    ring.push(b"before")
    message = bytes(range(1, 60))
    start = DATA_OFFSET + ring.tail
    ring.push(message)
    end = DATA_OFFSET + ring.tail
    for place in range(start, end):
        whole = ring._memory[place]
        ring._memory[place] = 0
        consumer = second(ring)
        expected = 1 if whole else 2
        assert len(read(consumer)) == expected, place
        ring._memory[place] = whole
        assert len(read(consumer)) == 2 - expected
        assert consumer.is_empty
        consumer.close()


def test_bytes_of_an_earlier_round_are_not_taken_for_new_ones(ring):
    """A tail that runs ahead of its message does not bring back the message that lay there."""
    for _ in range(2):
        ring.push(bytes(MIN_CAPACITY // 2 - 16))
        read(ring)
        ring.release()
    ring.words[0] += MIN_CAPACITY // 2
    assert read(ring) == []
    assert not ring.is_empty


class InterruptedOnce:
    """Words whose next store is interrupted, as by Ctrl-C between two lines of Python."""

    def __init__(self, words):
        self._words = words
        self._is_due = True

    def __getitem__(self, index):
        return self._words[index]

    def __setitem__(self, index, value):
        if self._is_due:
            self._is_due = False
            raise KeyboardInterrupt
        self._words[index] = value

    def release(self):
        self._words.release()


@pytest.mark.parametrize("follow_up", ["publish", "push"])
def test_an_interrupted_push_breaks_nothing(ring, follow_up):
    """Ctrl-C in the middle of a push leaves a message that comes out later, whole."""
    ring.push(b"before")
    ring.words = InterruptedOnce(ring.words)
    with pytest.raises(KeyboardInterrupt):
        ring.push(b"interrupted")
    if follow_up == "push":
        ring.push(b"after")
    else:
        ring.publish()
    found = [payload for _, payload in read(ring)]
    assert found == [b"before", b"interrupted", b"after"][: 3 if follow_up == "push" else 2]


@pytest.mark.parametrize("capacity", [0, -4096, 1, 2048, 5000, 1 << 32])
def test_only_a_power_of_two_makes_a_ring(capacity):
    """Places wrap by a mask, so other sizes are refused, with one that works."""
    with pytest.raises(FormatError, match="power of two"):
        allocate(capacity)


def test_memory_without_memfd(monkeypatch):
    """Where the system has no memory files, POSIX shared memory is used and its name removed."""
    made = []

    def remember(**arguments):
        made.append(SharedMemory(**arguments))
        return made[0]

    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(ring_module, "SharedMemory", remember)
    ring = Ring(allocate(1 << 16))
    with pytest.raises(FileNotFoundError):
        SharedMemory(name=made[0].name)
    assert ring.capacity == 1 << 16
    assert ring.push(b"x") == 0
    other = second(ring)
    assert read(other) == [(0, b"x")]
    other.close()
    ring.close()


def test_too_little_memory_is_our_error(monkeypatch):
    """Memory that is not there is refused when it is asked for, not by a signal later."""
    if not hasattr(os, "memfd_create"):
        pytest.skip("no memfd here")

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(UnavailableError, match="No space left"):
        allocate(1 << 16)


CONSUMER = """
import sys, time
from counterfoil.decisions.ring import Ring
ring, expected = Ring(int(sys.argv[1])), 0
while expected < int(sys.argv[2]):
    for sequence, payload in ring.read(64, 1 << 20):
        assert sequence == expected and payload == b"%d," % expected * (expected % 97), expected
        expected += 1
    ring.release()
    time.sleep(0)
"""


def test_two_processes_at_full_speed():
    """Another process reads 5,000 messages through a small ring while they are written."""
    ring, count = Ring(allocate(MIN_CAPACITY)), 5_000
    consumer = subprocess.Popen(
        [sys.executable, "-c", CONSUMER, str(ring.fd), str(count)],
        pass_fds=(ring.fd,),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    for number in range(count):
        while ring.push(b"%d," % number * (number % 97)) is None:
            assert consumer.poll() is None
            time.sleep(0.0001)
    assert consumer.wait(30) == 0
    assert ring.released == ring.tail
    ring.close()
