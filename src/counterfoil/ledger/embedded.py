"""The embedded engine: a log in a folder of this machine, with one writer at a time.

    ledger.json     whose log it is (see `identity`)
    moved.json      only where it is no more: the place it was moved to (see `moved`)
    log/            the tree (see `treestore`)
    blobs/          statements too large for an entry (see `blobs`)

The log's key and its local witness lie elsewhere: see `places`.
"""

from __future__ import annotations

from pathlib import Path

from counterfoil.core.checkpoint import LogKeys
from counterfoil.errors import ConflictError, UnavailableError, VerificationError
from counterfoil.ledger.blobs import FolderBlobs
from counterfoil.ledger.countersign import Witnesses
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.engine import Writers
from counterfoil.ledger.identity import read_identity
from counterfoil.ledger.index import Read, Resolve, Root
from counterfoil.ledger.moved import read_moved, recall_moved, require_here
from counterfoil.ledger.nextkey import load_log_key
from counterfoil.ledger.places import Places
from counterfoil.ledger.remembered import require_seen
from counterfoil.ledger.sequencer import Sequencer
from counterfoil.ledger.tree import Tree
from counterfoil.ledger.treestore import TreeStore


class Embedded:
    """The log in a folder.

    Args:
        folder: The ledger's.
        disk: How to write and sync.

    Raises:
        FormatError: there is no ledger in the folder.
        UnavailableError: the disk refuses.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.name = str(folder)
        self.is_shared = False
        self.writers = Writers.ONE
        self.blobs = FolderBlobs(folder / "blobs", disk)
        self.keeping = None
        self._ledger = folder
        self._folder = folder / "log"
        self._disk = disk
        keys = self.keys
        self._places = Places(keys.name)
        self.witnesses = Witnesses(keys, self._places)

    @property
    def keys(self) -> LogKeys:
        """The log's, as its folder says now."""
        return read_identity(self._ledger)

    def shared_index(self, read: Read, resolve: Resolve, root: Root) -> None:
        """Have none: the machine's own index is beside it."""

    def moved_to(self) -> str:
        """Read the mark; a restored folder has none, and the machine remembers."""
        return read_moved(self._ledger) or recall_moved(self._places)

    def shown(self) -> bytes:
        """Keep none: the local witness remembers what was shown."""
        return b""

    def reached(self) -> None:
        """Tell nothing besides what `read` gives."""

    def require_writable(self) -> None:
        """Refuse where the log was moved."""
        require_here(self.name, self.moved_to())

    def read(self) -> Tree:
        """Open the tree for reading; a head that a power cut tore is repaired first."""
        try:
            return TreeStore.open(self._folder, write=False, disk=self._disk)
        except VerificationError as damaged:
            # A power cut may have torn the head: its writer finds it in the journal.
            try:
                self._sequencer(self.keys).close()
            except (ConflictError, UnavailableError):
                raise damaged from None
        return TreeStore.open(self._folder, write=False, disk=self._disk)

    def write(self) -> Sequencer:
        """Become the one writer."""
        keys = self.keys
        self.require_writable()
        writer = self._sequencer(keys)
        try:
            self.require_writable()  # it may have been moved while we waited for the lock
            require_seen(writer.tree, keys)
        except BaseException:
            writer.close()
            raise
        return writer

    def _sequencer(self, keys: LogKeys) -> Sequencer:
        """Become the writer; what a crash left is finished."""
        signer = load_log_key(self._places, keys, self._disk)
        self.witnesses.log_keys = keys
        return Sequencer(self._folder, signer, self.witnesses, disk=self._disk)
