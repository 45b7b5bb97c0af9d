"""The flat files of a tree: opened once, read exactly, written in place, synced together."""

from __future__ import annotations

import os
import struct
from hashlib import sha256
from pathlib import Path

from counterfoil.core.merkle import Hash
from counterfoil.errors import VerificationError
from counterfoil.ledger.disk import Disk, reported

_HEAD = struct.Struct(">32sQ32sI")  # checksum, size, root, length of what follows
_HEAD_TRIES = 1000  # a torn read of the head lasts microseconds
_MAX_HEAD_BYTES = 1 << 20
_MAX_READ_BYTES = 1 << 30  # a sparse file can claim any size


class FlatFiles:
    """Files of one folder by name.

    Args:
        folder: Where they lie.
        disk: How to write and sync.
        write: Whether missing files are created; a reader only reads.
    """

    def __init__(self, folder: Path, disk: Disk, *, write: bool) -> None:
        self._folder = folder
        self._disk = disk
        self._may_write = write
        self._fds: dict[str, int] = {}

    def write(self, name: str, data: bytes | bytearray, offset: int) -> None:
        """Write at `offset`; durable after the next `sync`."""
        self._disk.write(self._fd(name), data, offset)

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Read exactly `length` bytes.

        Raises:
            VerificationError: the file ends before that.
        """
        if length <= 0:
            return b""
        try:
            fd = self._fd(name)
            # Compared first, as a damaged file may ask for more than there is memory.
            if length <= _MAX_READ_BYTES and offset + length <= os.fstat(fd).st_size:
                return os.pread(fd, length, offset)
        except OSError as error:
            with reported(f"cannot read {self._folder / name}"):
                raise error from error
        raise VerificationError(
            f"{self._folder / name} ends before byte {offset + length}, which the size asks for",
            hint="The file was cut or changed; restore the folder from a backup.",
        )

    def length(self, name: str) -> int:
        """Tell how many bytes a file holds; 0 where there is none."""
        path = self._folder / name
        return path.stat().st_size if path.exists() else 0

    def sync(self, *names: str) -> None:
        """Make the named files durable, by default all that were opened."""
        self._disk.sync_all([self._fd(name) for name in names or sorted(self._fds)])

    def replace(self, name: str, data: bytes) -> None:
        """Put a new file in place of `name`, durably."""
        self._disk.replace(self._folder, name, data)
        if name in self._fds:
            os.close(self._fds.pop(name))

    def close(self) -> None:
        """Close all."""
        while self._fds:
            os.close(self._fds.popitem()[1])

    def write_head(self, size: int, root: Hash, head: bytes) -> None:
        """Rewrite the head in place: one write, no sync.

        A rename would be the usual way; it would force the other files out to the disk each
        time. A reader that meets a half-written head sees its checksum fail and reads again.
        """
        self.write("head", encode_head(size, root, head), 0)

    def read_head(self) -> tuple[int, Hash, bytes] | None:
        """Read size, root and head; None where the file is damaged."""
        for _ in range(_HEAD_TRIES):
            with reported(f"cannot read {self._folder / 'head'}"):
                data = os.pread(self._fd("head"), _HEAD.size + _MAX_HEAD_BYTES, 0)
            if len(data) < _HEAD.size:
                return None
            checksum, size, root, length = _HEAD.unpack_from(data)
            head = data[_HEAD.size : _HEAD.size + length]
            if checksum == sha256(data[32 : _HEAD.size] + head).digest() and len(head) == length:
                return size, Hash(root), head
        return None

    def _fd(self, name: str) -> int:
        fd = self._fds.get(name)
        if fd is None:
            path = self._folder / name
            is_new = self._may_write and not path.exists()
            flags = os.O_RDWR | os.O_CREAT if self._may_write else os.O_RDONLY
            # O_NONBLOCK: a pipe in a file's place must not make us wait.
            fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
            self._fds[name] = fd
            if is_new:
                self._disk.sync_folder(self._folder)
        return fd


def encode_head(size: int, root: Hash, head: bytes) -> bytes:
    """Encode the head file: checksum ‖ u64 size ‖ root ‖ u32 length ‖ head."""
    body = _HEAD.pack(b"", size, root, len(head))[32:] + head
    return sha256(body).digest() + body
