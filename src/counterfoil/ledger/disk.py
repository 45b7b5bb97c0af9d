"""What counterfoil asks of a disk, in one place, so that tests can break each step of it.

Durable means: survives a kill of the process and a loss of power, as far as the operating system
and the drive keep their word. On macOS a plain fsync leaves data in the drive's cache, so the
full sync is used there.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from counterfoil.errors import ConflictError, FormatError, UnavailableError

if sys.platform != "win32":
    import fcntl

_LOCK_PID_BYTES = 20  # decimal digits of any process number, and a newline
_LOCK_TRIES = 5  # whoever looks if there is a writer (see `status`) holds the lock for microseconds
_LOCK_PAUSE_S = 0.01


class Disk:
    """The disk as it is. Fault tests pass one that refuses, or does the work and then fails."""

    def write(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`; nothing is promised about durability yet."""
        view = memoryview(data)
        while view:
            written = os.pwrite(fd, view, offset)
            view = view[written:]
            offset += written

    def sync(self, fd: int) -> None:
        """Return once everything written to `fd` is durable."""
        if sys.platform == "darwin":
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fdatasync(fd)

    def sync_all(self, fds: Sequence[int]) -> None:
        """Do as `sync` for several files, asking for all at once.

        File systems write what they note about files, such as their lengths, for all files that
        wait at a time: five files then take little longer than one.
        """
        refused: list[BaseException] = []

        def sync(fd: int) -> None:
            try:
                self.sync(fd)
            except BaseException as error:  # noqa: BLE001 whatever it was, this file is not durable
                refused.append(error)

        started: list[threading.Thread] = []
        for fd in fds:
            thread = threading.Thread(target=sync, args=(fd,))
            try:
                thread.start()
            except RuntimeError:  # this process may have no more of them
                sync(fd)
            else:
                started.append(thread)
        for thread in started:
            thread.join()
        if refused:
            raise refused[0]

    def sync_folder(self, folder: Path) -> None:
        """Return once the names in `folder` are durable."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def replace(self, folder: Path, name: str, data: bytes, mode: int = 0o644) -> None:
        """Put a whole file in place, durably: readers see the old bytes or the new, no mix."""
        temporary = folder / f".{name}.new"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        try:
            self.write(fd, data, 0)
            self.sync(fd)
        except OSError:
            temporary.unlink(missing_ok=True)  # a full disk needs the room
            raise
        finally:
            os.close(fd)
        temporary.replace(folder / name)
        self.sync_folder(folder)


def read_file(path: Path, most: int) -> bytes:
    """Read a plain file whole. A pipe or a device in its place is refused, not waited for.

    Args:
        path: The file.
        most: Bytes it has at most.

    Raises:
        FormatError: it is no plain file, or larger.
        UnavailableError: it cannot be read.
    """
    with reported(f"cannot read {path}"), open(path, "rb", opener=_open_at_once) as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise FormatError(f"{path} is no plain file", hint="Put the file itself there.")
        # One that is larger is not read; one that grows meanwhile is read so far.
        data: bytes = file.read(most + 1) if state.st_size <= most else b""
    if max(len(data), state.st_size) > most:
        raise FormatError(f"{path} has more than {most} bytes", hint="It is not what belongs here.")
    return data


def is_url(given: object) -> bool:
    """Whether what a user gave names something that is on no disk of this machine."""
    return isinstance(given, str) and "://" in given


def as_path(given: str | Path) -> Path:
    """Make a path of what a user gave; an empty text is none, though Python takes it for `.`.

    Raises:
        FormatError: it is empty, or no path.
    """
    if not isinstance(given, str | os.PathLike):
        raise FormatError(
            f"a path was asked for, not the {type(given).__name__} {given!a:.40}",
            hint="Give a text, or a pathlib.Path.",
        )
    if given == "":
        raise FormatError("the path is empty", hint="Is a variable not set? Write . for here.")
    return Path(given)


def require_there(path: Path) -> None:
    """Refuse a path that a user named and where nothing is: that is theirs to correct.

    Raises:
        FormatError: there is nothing.
        UnavailableError: the disk does not say.
    """
    with reported(f"cannot look at {path}"):
        if not path.exists():
            raise FormatError(f"there is no file {path}", hint="Check the path.")


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


@contextlib.contextmanager
def reported(doing: str) -> Iterator[None]:
    """Turn the operating system's refusal into ours, saying what was being done.

    Raises:
        UnavailableError: in place of any `OSError`.
    """
    try:
        yield
    except OSError as error:
        check = "the path" if isinstance(error, FileNotFoundError) else "free space and permissions"
        raise UnavailableError(
            f"{doing}: {error.strerror or error}"
            + (f" ({error.filename})" if error.filename else ""),
            hint=f"Check {check}, then try again; nothing was half-done.",
        ) from error


def require_posix() -> None:
    """Say clearly that Windows cannot keep the promises made here.

    Raises:
        UnavailableError: on Windows, where there is neither flock nor a folder sync.
    """
    if sys.platform == "win32":
        raise UnavailableError(
            "the embedded ledger does not run on Windows: it has no folder sync and no flock",
            hint="Use the Windows Subsystem for Linux; evidence files verify anywhere.",
        )


class WriterLock:
    """The exclusive right to write in a folder, held until closed or until the process ends.

    Args:
        path: The lock file; created if missing, never removed.
        what: What is locked, for the message.

    Raises:
        ConflictError: another process, or another object in this one, holds it.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            self._take(what)
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def is_ours(self) -> bool:
        """Whether this process took it: a fork shares it, and must not write."""
        return os.getpid() == self._pid

    def close(self) -> None:
        """Let the next writer in, although a process forked from ours may hold the file open."""
        if self.is_ours:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)

    def _take(self, what: str) -> None:
        for left in reversed(range(_LOCK_TRIES)):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if left:
                    time.sleep(_LOCK_PAUSE_S)
                    continue
                holder = os.pread(self._fd, _LOCK_PID_BYTES, 0).decode("ascii", "replace").strip()
                raise ConflictError(
                    f"{what} already has a writer"
                    + (f", process {holder}" if holder.isdigit() else ""),
                    hint="Close the other writer first; any number of readers may stay.",
                ) from None
        self._pid = os.getpid()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{self._pid}\n".encode(), 0)
