"""Making a file's content unreadable before its name goes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from counterfoil.ledger.disk import Disk


def overwrite(path: Path, disk: Disk) -> None:
    """Fill a file with zeros, durably; its length stays."""
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        disk.write(fd, bytes(os.fstat(fd).st_size), 0)
        disk.sync(fd)
    finally:
        os.close(fd)


def wipe(path: Path, disk: Disk, random: Callable[[int], bytes]) -> None:
    """Overwrite a file with noise, then with zeros, then remove it, each step durable.

    Nothing is wrong with a file that is missing already, or half overwritten: doing it again
    completes it. What a drive keeps of overwritten blocks is out of reach of any program.
    """
    if path.exists():
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            disk.write(fd, random(size), 0)
            disk.sync(fd)
            # If we stop here, the content is gone and the name is left; wiping again removes it.
            disk.write(fd, bytes(size), 0)
            disk.sync(fd)
        finally:
            os.close(fd)
        path.unlink()
    disk.sync_folder(path.parent)
