"""Streams in folders of this machine: `private/streams/<stream id, hex>` of a ledger's.

index.sqlite     which records are about whom (see `subjects`); may be behind, never ahead
tree.json, …     the tree: `entries` holds the encrypted rows, `slots` their wrapped keys
vault.json       notes (see `epoch`, `intent`, `plan` and `erased`); what was in a destroyed
erasing          one is overwritten
erasing-person
erased
erased-from
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from counterfoil.errors import ConflictError
from counterfoil.ledger.disk import Disk, read_file, reported
from counterfoil.ledger.treestore import TreeStore
from counterfoil.vault.seal import SLOT_BYTES, Random
from counterfoil.vault.subjects import SubjectIndex
from counterfoil.vault.wipe import wipe

_INDEX_FILE = "index.sqlite"
_MAX_NOTE_BYTES = 256 * 1024


class FolderPlace:
    """A stream in a folder, which only its owner can enter.

    Args:
        folder: Where it is or will be.
        disk: How to write and sync.
        random: What to overwrite with.
    """

    keeps_copies = False

    def __init__(self, folder: Path, disk: Disk | None = None, random: Random = os.urandom) -> None:
        self.folder = folder
        self.name = str(folder)
        self.address = str(folder.absolute())
        self._disk = disk or Disk()
        self._random = random

    def exists(self) -> bool:
        """Whether a tree is there."""
        return (self.folder / "tree.json").exists()

    def create(self, note: str, data: bytes) -> OpenFolder:
        """Make the folder; a tree in it makes it a stream."""
        folder, disk = self.folder, self._disk
        with reported(f"cannot make a vault in {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            if self.exists():
                raise ConflictError(f"{folder} holds a tree already", hint="Open it instead.")
            disk.replace(folder, note, data, mode=0o600)
        # If we stop here, there is no tree, and so no record: creating again starts over.
        tree = TreeStore.create(folder, slot_bytes=SLOT_BYTES, disk=disk)
        return OpenFolder(tree, disk, self._random, write=True)

    def remove(self) -> None:
        """Give the folder a name that is no stream's, and remove it."""
        gone = self.folder.with_name(f".{self.folder.name}.moved")
        with reported(f"cannot remove {self.folder}"):
            if gone.exists():
                shutil.rmtree(gone)
            if self.folder.exists():
                self.folder.replace(gone)
                self._disk.sync_folder(gone.parent)
                # If we stop here, the stream is gone; whoever removes it again tidies up.
                shutil.rmtree(gone)

    def open(self, *, write: bool) -> OpenFolder:
        """Open the tree; a writer finishes a commit that was interrupted."""
        tree = TreeStore.open(self.folder, write=write, disk=self._disk)
        return OpenFolder(tree, self._disk, self._random, write=write)


class OpenFolder:
    """A stream in a folder, opened."""

    def __init__(self, tree: TreeStore, disk: Disk, random: Random, *, write: bool) -> None:
        self.tree = tree
        self._folder = tree.folder
        self._disk = disk
        self._random = random
        self._write = write

    def note(self, name: str) -> bytes | None:
        """Read the file of this name."""
        path = self._folder / name
        with reported(f"cannot read {path}"):
            return read_file(path, _MAX_NOTE_BYTES) if path.exists() else None

    def put_note(self, name: str, data: bytes) -> None:
        """Put the file in place."""
        with reported(f"cannot write {self._folder / name}"):
            self._disk.replace(self._folder, name, data, mode=0o600)

    def destroy_note(self, name: str) -> None:
        """Take the file away, and overwrite what was in it."""
        path, done = self._folder / name, self._folder / f"{name}.done"
        with reported(f"cannot remove {path}"):
            if path.exists():
                # Renamed first: were it overwritten in place, a stop half-way would leave a file
                # that is neither a note nor none.
                path.rename(done)
                self._disk.sync_folder(self._folder)
            # If we stop here, there is no note; the next call overwrites what is left of it.
            wipe(done, self._disk, self._random)

    def subjects(self, epoch: int) -> SubjectIndex:
        """Open the SQLite file."""
        return SubjectIndex(
            self._folder / _INDEX_FILE,
            epoch,
            write=self._write,
            disk=self._disk,
            random=self._random,
        )

    def find_out(self) -> None:
        """Open the tree anew, which finds out."""
        self.tree.close()
        self.tree = TreeStore.open(self._folder, write=self._write, disk=self._disk)

    def close(self) -> None:
        """Close the tree."""
        self.tree.close()


class FolderStreams:
    """All streams in a folder of a ledger.

    Args:
        folder: That one; there may be no stream in it.
        random: What to overwrite with.
    """

    def __init__(self, folder: Path, random: Random = os.urandom) -> None:
        self._folder = folder / "private" / "streams"
        self._random = random

    def ids(self) -> list[bytes]:
        """Look which folders hold a tree."""
        return self._holding("tree.json")

    def with_note(self, *names: str) -> list[bytes]:
        """Look which folders hold such a file."""
        return self._holding(*names)

    def place(self, stream: bytes) -> FolderPlace:
        """Name the folder."""
        return FolderPlace(self._folder / stream.hex(), random=self._random)

    def _holding(self, *files: str) -> list[bytes]:
        with reported(f"cannot look into {self._folder}"):
            found = (path for file in files for path in self._folder.glob(f"*/{file}"))
            names = {path.parent.name for path in found}
            return [bytes.fromhex(name) for name in sorted(names) if not name.startswith(".")]
