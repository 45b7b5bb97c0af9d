"""What this machine remembers of a ledger elsewhere, in a folder of its own under `home()`.

    ledger.json     address and key: whose ledger was opened here
    checkpoint      the newest checkpoint that was found true; no older one is believed again
    set-back/       signed checkpoints of fewer entries than had been seen
    tiles/          hashes read before (see `tilecache`)

What is private to whoever works with the ledger from here (`private/`) lies beside them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from counterfoil.core.canonical import format_json, parse_canonical
from counterfoil.core.checkpoint import LogKeys
from counterfoil.core.keys import VerifierKey, format_vkey, parse_vkey
from counterfoil.core.note import MAX_NOTE_BYTES
from counterfoil.errors import FormatError
from counterfoil.ledger.disk import Disk, read_file, reported
from counterfoil.ledger.keyfiles import make_private
from counterfoil.ledger.splitview import keep_checkpoint

MAX_SET_BACK = 64
"""Checkpoints of fewer entries than had been seen that are kept: the first ones, so that whoever
signs many cannot have one of them forgotten."""

_FORMAT = "counterfoil remote v1"
_MAX_BYTES = 8 << 10  # an address, a vkey and little else


class Memory:
    """The memory of one ledger elsewhere. May be used by several threads and processes.

    Args:
        folder: Where it lies; made when something is first remembered.
        disk: How to write and sync.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.folder, self._disk = folder, disk

    def key(self) -> VerifierKey | None:
        """Give the key of the ledger that was opened here; None before the first time.

        Raises:
            FormatError: the file is damaged.
        """
        found = self._opened()
        return None if found is None else found[0]

    @property
    def address(self) -> str:
        """Where that ledger is; empty before the first time."""
        found = self._opened()
        return "" if found is None else found[1]

    def _opened(self) -> tuple[VerifierKey, str] | None:
        path = self.folder / "ledger.json"
        if not path.exists():
            return None
        match parse_canonical(read_file(path, _MAX_BYTES), what=str(path)):
            case {"format": "counterfoil remote v1", "key": str(vkey), "url": str(url)}:
                return parse_vkey(vkey), url
        raise FormatError(
            f"{path} is not of the format {_FORMAT!r}",
            hint="Remove it, and the ledger is opened as if for the first time.",
        )

    def keep_key(self, key: VerifierKey, url: str) -> None:
        """Remember whose ledger was opened; it is durable on return."""
        if self.key() != key:
            body = format_json({"format": _FORMAT, "key": format_vkey(key), "url": url})
            with reported(f"cannot write in {self.folder}"):
                make_private(self.folder)
                self._disk.replace(self.folder, "ledger.json", body)

    def elsewhere(self, keys: LogKeys) -> Iterator[Memory]:
        """Give what is remembered of the same log at other addresses, as far as it was seen."""
        for path in sorted(self.folder.parent.glob("*/ledger.json")):
            other = Memory(path.parent, self._disk)
            if other.folder != self.folder and other.key() in keys.all and other.seen():
                yield other

    def seen(self) -> bytes:
        """Give the newest checkpoint that was found true; empty before the first."""
        path = self.folder / "checkpoint"
        return read_file(path, MAX_NOTE_BYTES) if path.exists() else b""

    def keep(self, note: bytes, *, instead_of: bytes) -> bool:
        """Remember a checkpoint that extends the one that was seen; it is durable on return.

        Args:
            note: The newer one.
            instead_of: What `seen` gave when it was compared.

        Returns:
            Whether that still is what is remembered; if not, nothing was written: compare again.
        """
        with reported(f"cannot write in {self.folder}"):
            make_private(self.folder)
            with self._locked():
                if self.seen() != instead_of:
                    return False
                if note != instead_of:
                    self._disk.replace(self.folder, "checkpoint", note)
        return True

    def keep_set_back(self, note: bytes) -> Path:
        """Keep a signed checkpoint of fewer entries than were seen; give the folder."""
        folder = self.folder / "set-back"
        if not folder.exists() or len([*folder.iterdir()]) < MAX_SET_BACK:
            keep_checkpoint(folder, note, self._disk)
        return folder

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(
            self.folder / "checkpoint.lock",
            os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
        )
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)  # held for one write
            yield
        finally:
            os.close(fd)
