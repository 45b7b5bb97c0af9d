"""The journal: where a commit becomes durable, by one sync.

A commit is one frame: the entries, their leaves and the signed head that covers them. The file is
written with zeros beforehand, so that a sync has data to push and no new blocks to record, and is
used from the start again once the flat files hold, durably, all that its frames say.

    frame = "CFJ1" ‖ u64 size before ‖ u32 count ‖ u32 slots ‖ u32 entries ‖ u32 head (bytes each)
            ‖ SHA-256(all after ‖ checksum of the frame before ‖ all before)
            ‖ slots ‖ entries ‖ leaves ‖ head

Integers are big-endian. A frame counts only if its checksum holds and it begins at the size where
the frame before it ended: what lies behind the last such frame is torn or stale, and was never
acknowledged. Each checksum covers the one before it, and so a signature made later than anything
that still lies behind it: an entry that holds the bytes of a frame never becomes one.
"""

from __future__ import annotations

import contextlib
import os
import struct
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from counterfoil.core.merkle import HASH_BYTES
from counterfoil.errors import VerificationError
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.run import count_entries

# Bytes: long enough that recycling, which syncs every flat file, is rare; replayed in well under
# a second.
JOURNAL_BYTES = 8 << 20
# Bytes of one commit without its head: a frame's lengths have 32 bits, and it is read whole.
MAX_COMMIT_BYTES = 1 << 30
_HEADER = struct.Struct(">4sQIIII")
_MAGIC = b"CFJ1"
_ZEROS = bytes(1 << 16)
_CHECKSUM_BYTES = 32
_PREFIX_BYTES = _HEADER.size + _CHECKSUM_BYTES


@dataclass(frozen=True, slots=True)
class Frame:
    """One commit.

    Args:
        size_before: Leaves in the tree before it.
        leaves: Leaf hashes it adds, one after another.
        slots: Their fixed-width parts, concatenated.
        entries: Their bodies, each with its length before it, concatenated.
        head: What is published with the new size.
    """

    size_before: int
    leaves: bytes
    slots: bytes
    entries: bytes | bytearray
    head: bytes

    @property
    def size_after(self) -> int:
        """Leaves in the tree with it."""
        return self.size_before + len(self.leaves) // HASH_BYTES

    @property
    def length(self) -> int:
        """Bytes it takes in the journal."""
        parts = (self.slots, self.entries, self.leaves, self.head)
        return _PREFIX_BYTES + sum(map(len, parts))


class Journal:
    """The journal file of one tree.

    Args:
        path: The file, created by `create`.
        disk: How to write and sync.
        length_bytes: Width of the length before each entry.
    """

    def __init__(self, path: Path, disk: Disk, length_bytes: int) -> None:
        self._path = path
        self._disk = disk
        self._length_bytes = length_bytes
        self._fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._end = 0
        self._checksum = b""  # of the last frame that counts
        self._used = 0  # no byte behind this is anything but zero

    @staticmethod
    def create(path: Path, disk: Disk) -> None:
        """Write a journal full of zeros, durably, or none."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            disk.write(fd, bytes(JOURNAL_BYTES), 0)
            disk.sync(fd)
        except OSError:
            # Part of one is of no use, and may be all the room that others had left.
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        finally:
            os.close(fd)

    def has_room(self, length: int) -> bool:
        """Tell whether so many bytes fit behind the last frame, or the journal is unused."""
        return self._end == 0 or self._end + length <= JOURNAL_BYTES

    def append(self, frame: Frame) -> None:
        """Make a frame durable: one write, one sync."""
        header = _HEADER.pack(
            _MAGIC,
            frame.size_before,
            frame.size_after - frame.size_before,
            len(frame.slots),
            len(frame.entries),
            len(frame.head),
        )
        parts = (header, bytes(_CHECKSUM_BYTES), frame.slots, frame.entries, frame.leaves)
        data = memoryview(bytearray().join((*parts, frame.head)))
        hashed = sha256(data[_PREFIX_BYTES:])
        hashed.update(self._checksum + header)
        checksum = data[_HEADER.size : _PREFIX_BYTES] = hashed.digest()
        end = self._end + len(data)
        self._used = max(self._used, end)
        self._disk.write(self._fd, data, self._end)
        self._disk.sync(self._fd)
        self._end = end
        self._checksum = checksum

    def read(self) -> list[Frame]:
        """Read the frames that count, make them durable, and place the next one behind them.

        Whoever wrote the last one may not have come to its sync, or been refused it; after that
        a sync alone may push nothing, so they are written again, as they are.

        Raises:
            VerificationError: the file is larger than any commit makes it.
        """
        data = _read(self._fd, self._path)
        frames, self._end, self._checksum = _decode_all(data, self._length_bytes)
        self._used = _used(data)
        if frames:
            self._disk.write(self._fd, data[: self._end], 0)
            self._disk.sync(self._fd)
        return frames

    def rewind(self) -> None:
        """Use the file from the start again; the flat files must be durable by now."""
        self._end = 0
        self._checksum = b""

    def clear(self) -> None:
        """Overwrite everything in the file with zeros, durably, and rewind it."""
        if self._used:
            self._disk.write(self._fd, bytes(self._used), 0)
            self._disk.sync(self._fd)
        self._used = 0
        self.rewind()

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def peek(path: Path, length_bytes: int) -> list[Frame]:
    """Read the frames that count, as somebody who does not write; see `Journal.read`.

    A writer may be about to change them: what is read half-written does not count.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return _decode_all(_read(fd, path), length_bytes)[0]
    finally:
        os.close(fd)


def _read(fd: int, path: Path) -> bytes:
    size = os.fstat(fd).st_size
    if size > JOURNAL_BYTES + MAX_COMMIT_BYTES:
        raise VerificationError(
            f"{path} has {size} bytes, more than any commit makes it",
            hint="It was replaced; restore the folder from a backup.",
        )
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        return file.read()


def _decode_all(data: bytes, length_bytes: int) -> tuple[list[Frame], int, bytes]:
    """Decode the frames that count; give also where they end, and the last one's checksum."""
    frames: list[Frame] = []
    at, checksum = 0, b""
    while (found := _decode(data, at, checksum, length_bytes)) is not None:
        frame, end = found
        if frames and frame.size_before != frames[-1].size_after:
            break
        frames.append(frame)
        at, checksum = end, data[at + _HEADER.size : at + _PREFIX_BYTES]
    return frames, at, checksum


def _decode(data: bytes, offset: int, before: bytes, length_bytes: int) -> tuple[Frame, int] | None:
    """Decode the frame at `offset`, behind one with the checksum `before`; None if none counts."""
    body = offset + _PREFIX_BYTES
    if body > len(data):
        return None
    header = data[offset : offset + _HEADER.size]
    magic, size_before, count, slots, entries, head = _HEADER.unpack(header)
    end = body + count * HASH_BYTES + slots + entries + head
    if magic != _MAGIC or end > len(data):
        return None
    checksum = sha256(memoryview(data)[body:end])
    checksum.update(before + header)
    if checksum.digest() != data[offset + _HEADER.size : body]:
        return None
    at_entries = body + slots
    at_leaves = at_entries + entries
    at_head = at_leaves + count * HASH_BYTES
    if count_entries(data[at_entries:at_leaves], length_bytes) != count:
        return None
    frame = Frame(
        size_before,
        data[at_leaves:at_head],
        data[body:at_entries],
        data[at_entries:at_leaves],
        data[at_head:end],
    )
    return frame, end


def _used(data: bytes) -> int:
    """Find the end of the last block that holds anything but zeros."""
    for start in range((len(data) - 1) // len(_ZEROS) * len(_ZEROS), -1, -len(_ZEROS)):
        block = data[start : start + len(_ZEROS)]
        if block != _ZEROS[: len(block)]:
            return start + len(block)
    return 0
