"""Private files of a log: plain in a folder of this machine, encrypted in a database.

    part = nonce[12] ‖ AES-256-GCM(key of the files, bytes)
           associated data: u32 number of the part ‖ u8 is the last ‖ name, UTF-8

The key store keeps the key of the files as that of a stream, epoch 1; it is never changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.disk import Disk, read_file, reported
from counterfoil.ledger.keeping import Files, Parts
from counterfoil.ledger.log import Log
from counterfoil.vault.keystore import FileKeyStore, KeyStore
from counterfoil.vault.seal import NONCE_BYTES, Random

_PART_BYTES = 4 << 20
_EPOCH = 1


class FolderFiles:
    """Files below `private` in a ledger's folder, where only their owner can enter.

    Args:
        folder: The ledger's.
        disk: How to write and sync.
    """

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder = folder / "private"
        self._disk = disk or Disk()

    def where(self, name: str) -> str:
        """Give the path."""
        return str(self._folder / name)

    def names(self) -> list[str]:
        """List the files of the two folders."""
        found = (path for kind in ("data", "models") for path in self._folder.glob(f"{kind}/*"))
        return sorted(str(path.relative_to(self._folder)) for path in found if path.name[0] != ".")

    def has(self, name: str) -> bool:
        """Whether the file is there."""
        return (self._folder / name).exists()

    def get(self, name: str, most: int) -> bytes:
        """Read it."""
        return read_file(self._folder / name, most)

    def put(self, name: str, data: bytes) -> None:
        """Put it in place."""
        path = self._folder / name
        with reported(f"cannot keep {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.parent.chmod(0o700)
            self._disk.replace(path.parent, path.name, data, 0o600)

    def remove(self, name: str) -> None:
        """Unlink it."""
        path = self._folder / name
        with reported(f"cannot remove {path}"):
            path.unlink(missing_ok=True)


class SealedFiles:
    """Files in a database, encrypted.

    Args:
        parts: Where they are.
        keys: Where their key is.
        origin: The log they belong to.
        random: Gives that many unpredictable bytes.
    """

    def __init__(
        self, parts: Parts, keys: KeyStore, origin: str, random: Random = os.urandom
    ) -> None:
        self._parts = parts
        self._keys = keys
        self._id = sha256(b"counterfoil/vault/files/v1 " + origin.encode()).digest()
        self._random = random

    def where(self, name: str) -> str:
        """Give place and name."""
        return f"{self._parts.name}, private file {name}"

    def names(self) -> list[str]:
        """List them."""
        return self._parts.names()

    def has(self, name: str) -> bool:
        """Ask for it."""
        return self._parts.has(name)

    def get(self, name: str, most: int) -> bytes:
        """Decrypt it.

        Raises:
            FormatError: it is larger.
            UnavailableError: it is not there, or its key is not on this machine.
            VerificationError: it was changed, or cut short.
        """
        data = bytearray()
        for part in self._open(name):
            data += part
            if len(data) <= most:
                continue
            raise FormatError(
                f"{self.where(name)} has more than {most} bytes",
                hint="It is not what belongs there.",
            )
        return bytes(data)

    def put(self, name: str, data: bytes) -> None:
        """Encrypt it."""
        self._parts.write(name, self._seal(name, data))

    def remove(self, name: str) -> None:
        """Remove its rows."""
        self._parts.remove(name)

    def _seal(self, name: str, data: bytes) -> Iterator[bytes]:
        # A machine without the key that others have must not make a second one.
        is_first = not self._parts.names()
        cipher = AESGCM(self._keys.key(self._id, _EPOCH, create=is_first))
        starts = range(0, max(len(data), 1), _PART_BYTES)
        for number, start in enumerate(starts):
            nonce = self._random(NONCE_BYTES)
            bound = _associated(name, number, is_last=start == starts[-1])
            yield nonce + cipher.encrypt(nonce, data[start : start + _PART_BYTES], bound)

    def _open(self, name: str) -> Iterator[bytes]:
        parts = self._parts.read(name)
        part = next(parts, None)
        if part is None:
            raise UnavailableError(
                f"{self.where(name)} is not there", hint="Restore the database from a backup."
            )
        cipher = AESGCM(self._keys.key(self._id, _EPOCH))
        for number in count():
            following = next(parts, None)
            yield self._decrypt(cipher, name, number, part, is_last=following is None)
            if following is None:
                return
            part = following

    def _decrypt(
        self, cipher: AESGCM, name: str, number: int, part: bytes, *, is_last: bool
    ) -> bytes:
        try:
            bound = _associated(name, number, is_last=is_last)
            return cipher.decrypt(part[:NONCE_BYTES], part[NONCE_BYTES:], bound)
        except (InvalidTag, ValueError):  # ValueError: cut so short that there is no whole nonce
            raise VerificationError(
                f"{self.where(name)} does not open under the key of the private files",
                hint="It was changed or cut short; restore the database from a backup.",
            ) from None


def files_of(log: Log) -> Files:
    """Tell where the private files of a log are."""
    keeping = log.engine.keeping
    if keeping is None:
        return FolderFiles(log.folder, log.disk)
    return SealedFiles(keeping.files, FileKeyStore(log.places.vault_keys), log.origin, log.random)


def _associated(name: str, number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(4, "big") + bytes([is_last]) + name.encode()
