"""An object store, as far as a log needs one: objects that are made once and never change.

A folder is one too (`file://`), written and synced by ourselves: `obstore` does not sync what it
writes into a folder, and an entry must outlive a power cut.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.disk import Disk, read_file, reported

Item = TypeVar("Item")
Result = TypeVar("Result")

CHECKPOINT_PATH = "checkpoint"

MAX_CHECKPOINT_BYTES = 1 << 20
"""Longest checkpoint that is read from the object store."""

_AT_ONCE = 8  # objects that are written, or asked for, at the same time


class Objects(Protocol):
    """Objects by their path. May be used by several threads.

    What `create` and `replace` return from is durable. `create` of an object that is there with
    the same bytes does nothing; with other bytes it is a `VerificationError` that names it. All
    raise `UnavailableError` where the store does not do its part.
    """

    @property
    def name(self) -> str:
        """What messages call it."""

    def create(self, objects: Mapping[str, bytes]) -> None:
        """Make objects, in no particular order."""

    def replace(self, path: str, data: bytes) -> None:
        """Make an object, or put another in its place."""

    def get(self, paths: Iterable[str], most: int) -> list[bytes | None]:
        """Read objects of at most so many bytes each; None for those there are not."""

    def remove_below(self, prefix: str) -> None:
        """Remove all objects whose path begins with `prefix`, which ends in a slash."""


class FolderObjects:
    """Objects in a folder.

    Args:
        folder: Made when first needed.
        disk: How to write and sync.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.name = f"file://{folder}"
        self._folder, self._disk = folder, disk

    def create(self, objects: Mapping[str, bytes]) -> None:
        """Write files: whole ones are linked into place, so that nobody sees half of one."""
        with reported(f"cannot write to {self.name}"):
            # All at once: a sync takes little longer beside others.
            at_once(self._create, objects.items())

    def replace(self, path: str, data: bytes) -> None:
        """Put a file in place."""
        with reported(f"cannot write to {self.name}"):
            target = self._folder / path
            self._make_folder(target.parent)
            self._disk.replace(target.parent, target.name, data)

    def get(self, paths: Iterable[str], most: int) -> list[bytes | None]:
        """Read files."""
        return [self._get(path, most) for path in paths]

    def remove_below(self, prefix: str) -> None:
        """Remove a folder."""
        with reported(f"cannot remove from {self.name}"):
            folder = self._folder / prefix
            if folder.is_dir():
                shutil.rmtree(folder)

    def _get(self, path: str, most: int) -> bytes | None:
        file = self._folder / path
        if not file.exists():
            return None
        try:
            return read_file(file, most)
        except FormatError as error:
            raise not_what_was_logged(self.name, path) from error
        except UnavailableError:
            if file.exists():
                raise
            return None  # somebody removed it just now, as its full tile is there

    def _create(self, made: tuple[str, bytes]) -> None:
        path, data = made
        file = self._folder / path
        self._make_folder(file.parent)
        temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o644)
        try:
            try:
                self._disk.write(fd, data, 0)
                self._disk.sync(fd)
            finally:
                os.close(fd)
            file.hardlink_to(temporary)
        except FileExistsError:
            if self._get(path, len(data)) != data:
                raise not_what_was_logged(self.name, str(file)) from None
        finally:
            temporary.unlink(missing_ok=True)
        self._disk.sync_folder(file.parent)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder durably, with those above it."""
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for one in reversed(missing):
            one.mkdir(exist_ok=True)
            self._disk.sync_folder(one.parent)


def at_once(act: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Do the same with several things at the same time; the threads end with it."""
    waiting = list(items)
    if len(waiting) <= 1:
        return [act(one) for one in waiting]
    with ThreadPoolExecutor(min(_AT_ONCE, len(waiting)), thread_name_prefix="objects") as threads:
        return list(threads.map(act, waiting))


def not_what_was_logged(store: str, path: str) -> VerificationError:
    """Say that an object has other bytes than it must have."""
    return VerificationError(
        f"{path} in {store} is not what was logged",
        hint="Somebody changed it, or the database is behind the object store: it was restored "
        "from a backup. Keep both, and restore them to one time.",
    )


def missing(objects: Objects, path: str) -> VerificationError:
    """Say that an object is not there; and whether anything of a log is."""
    (checkpoint,) = objects.get([CHECKPOINT_PATH], MAX_CHECKPOINT_BYTES)
    if checkpoint is not None:
        return VerificationError(
            f"{path} in {objects.name} is not what was logged: it is not there",
            hint="The store has lost it, or somebody removed it. A mirror of the log has it, or a "
            "backup of the store; put it back, and do not go on from an older database.",
        )
    return VerificationError(
        f"{path} in {objects.name} is not what was logged: there are no tiles of a log",
        hint="Is `tiles=` in the address as it was? If so, the store has lost what it had.",
    )
