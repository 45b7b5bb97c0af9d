"""A queue of messages from one process to another, in memory that both have mapped.

    byte 0     tail, u64: bytes ever written; stored by the producer alone
    byte 64    head, u64: bytes ever released; stored by the consumer alone
    byte 128   free for whoever uses the ring, up to 4096
    byte 4096  data: a power of two bytes, used round and round

    message = u32 length ‖ u32 check ‖ u64 sequence ‖ payload, all in the machine's byte order

What is released may be overwritten, nothing else ever is. Reading does not release: a consumer
that dies leaves everything it has not released to the next one.

Memory ordering. Python has no fences, so only this is relied on: an aligned word stored through a
`memoryview` of format "Q" is one 8-byte copy, which compilers for 64-bit machines make one store,
never seen half done. x86 also shows one core's stores to the others in order. ARM does not: a new
tail may be seen before the bytes it covers. So a message proves itself: `check` is the Adler-32
of the payload, combined with the message's place and sequence. Bytes that are not all there yet,
or are those of an earlier round, do not fit, and are read again a little later. (CRC-32 is as
good, and its tables have left the caches whenever a request comes.) In the other direction, a
consumer releases only what it has used: its reads are over.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from multiprocessing.shared_memory import SharedMemory
from typing import Final
from zlib import adler32

from counterfoil.errors import FormatError, UnavailableError
from counterfoil.ledger.disk import reported

DATA_OFFSET: Final = 4096
FREE_OFFSET: Final = 128
MIN_CAPACITY: Final = 4096  # bytes; less than a page saves nothing
MAX_CAPACITY: Final = 1 << 31  # bytes; 32 bits of a message's place are in its check
_TAIL: Final = 0  # in words; far enough apart for the two never to share a cache line
_HEAD: Final = 8
_HEADER: Final = struct.Struct("=IIQ")
_CHECK_BITS: Final = 0xFFFF_FFFF
_MAP_FLAGS: Final = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)


class Ring:
    """A mapped ring; one process pushes, one other reads, each through an object of its own.

    Args:
        fd: From `allocate`, or inherited; closed by `close`.
    """

    def __init__(self, fd: int) -> None:
        if sys.maxsize < 1 << 32:
            raise UnavailableError(
                "a recorder needs a 64-bit Python",
                hint="Here a counter is stored in two steps, and could be seen in between.",
            )
        self.fd = fd
        size = os.fstat(fd).st_size
        # The system may have rounded up to whole pages: the power of two is the largest inside.
        self.capacity = 1 << (size - DATA_OFFSET).bit_length() - 1
        self._mask = self.capacity - 1
        self._end = DATA_OFFSET + self.capacity
        with reported("cannot map the memory of a ring"):
            self._memory = mmap.mmap(fd, size, _MAP_FLAGS)
        self.words = memoryview(self._memory)[:DATA_OFFSET].cast("Q")
        self._pushed = (self.words[_TAIL], 0)  # place and sequence of the next message
        self._head = self._read_to = self.words[_HEAD]

    @property
    def tail(self) -> int:
        """Bytes ever written."""
        return self.words[_TAIL]

    @property
    def released(self) -> int:
        """Bytes ever released."""
        return self.words[_HEAD]

    @property
    def is_empty(self) -> bool:
        """Whether everything written was read by this consumer."""
        return self._read_to == self.words[_TAIL]

    def close(self) -> None:
        """Unmap the memory; it is gone when the last process has done so, or has ended."""
        self.words.release()
        self._memory.close()
        os.close(self.fd)

    # The producer's side

    @property
    def pushed(self) -> int:
        """How many messages this producer pushed: the sequence of the next one."""
        return self._pushed[1]

    def push(self, payload: bytes) -> int | None:
        """Write a message, if there is room now; calls must not overlap.

        Returns:
            The message's sequence, counted from 0; None if there is no room.

        Raises:
            FormatError: the message does not fit into an empty ring.
        """
        place, sequence = self._pushed
        size = _HEADER.size + len(payload)
        if place + size - self._head > self.capacity:
            if size > self.capacity:
                raise FormatError(
                    f"a message of {len(payload)} bytes does not fit a ring of {self.capacity}",
                    hint="Ask for a larger ring, or record a digest of the large part.",
                )
            self._head = self.words[_HEAD]
            if place + size - self._head > self.capacity:
                return None
        check = adler32(payload) ^ (place ^ sequence) & _CHECK_BITS
        message = _HEADER.pack(len(payload), check, sequence) + payload
        start = DATA_OFFSET + (place & self._mask)
        if start + size <= self._end:
            self._memory[start : start + size] = message
        else:
            here = self._end - start
            self._memory[start : self._end] = message[:here]
            self._memory[DATA_OFFSET : DATA_OFFSET + size - here] = message[here:]
        # A signal handler may raise between the next two lines. Then the message is out with the
        # next one, or with `publish`; the other way round, it would be overwritten.
        self._pushed = (place + size, sequence + 1)
        self.words[_TAIL] = place + size
        return sequence

    def publish(self) -> None:
        """Make sure that everything pushed can be seen, even if the last push was interrupted."""
        self.words[_TAIL] = self._pushed[0]

    # The consumer's side

    def read(self, max_messages: int, max_bytes: int) -> list[tuple[int, bytes]]:
        """Read messages that are there and were not read before.

        Args:
            max_messages: Stop at this many.
            max_bytes: Stop at the first message that reaches this many bytes.

        Returns:
            Sequence and payload of each. Empty although `is_empty` is false: the next message is
            not visible whole; read again. If that does not pass, it is damaged.
        """
        found: list[tuple[int, bytes]] = []
        start = self._read_to
        tail = self.words[_TAIL]
        while len(found) < max_messages and self._read_to < tail:
            place = self._read_to
            if place - start >= max_bytes:
                break
            length, check, sequence = _HEADER.unpack(self._read(place, _HEADER.size))
            end = place + _HEADER.size + length
            if end > tail:
                break
            payload = self._read(place + _HEADER.size, length)
            if adler32(payload) ^ (place ^ sequence) & _CHECK_BITS != check:
                break
            found.append((sequence, payload))
            self._read_to = end
        return found

    def release(self) -> None:
        """Give the room of everything read back to the producer."""
        self.words[_HEAD] = self._read_to

    def _read(self, place: int, length: int) -> bytes:
        start = DATA_OFFSET + (place & self._mask)
        data = self._memory[start : min(start + length, self._end)]
        if len(data) < length:
            data += self._memory[DATA_OFFSET : DATA_OFFSET + length - len(data)]
        return data


def allocate(capacity: int) -> int:
    """Get zeroed memory for a ring of that many bytes, as a file descriptor without a name.

    There is nothing to clean up, however the processes end: memory without a name is gone with
    the last process that holds it. It is private to them, and never lies in a file system.

    Raises:
        FormatError: `capacity` is not a power of two, or out of bounds.
        UnavailableError: there is not as much memory.
    """
    if not MIN_CAPACITY <= capacity <= MAX_CAPACITY or capacity & (capacity - 1):
        raise FormatError(
            f"a ring has a power of two bytes from {MIN_CAPACITY} to {MAX_CAPACITY}, "
            f"not {capacity}",
            hint=f"For instance {1 << 24}.",
        )
    size = DATA_OFFSET + capacity
    with reported(f"cannot get {size} bytes of shared memory"):
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("counterfoil-ring", os.MFD_CLOEXEC)
            try:
                os.posix_fallocate(fd, 0, size)  # refused now, not by a signal on first use
            except OSError:
                os.close(fd)
                raise
            return fd
        shared = SharedMemory(create=True, size=size)
        try:
            return os.dup(shared._fd)  # type: ignore[attr-defined]  # noqa: SLF001 the only way to it without a name
        finally:
            shared.unlink()
            shared.close()
