"""Where the keys lie that everything else in the vault hangs on: one per stream and epoch."""

from __future__ import annotations

import os
import re
import stat
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from counterfoil.core.text import format_base64, parse_base64
from counterfoil.errors import ConflictError, FormatError, RefusedError, UnavailableError
from counterfoil.ledger.disk import Disk, reported
from counterfoil.vault.seal import KEY_BYTES, Random
from counterfoil.vault.wipe import wipe

_FIRST_LINE = "counterfoil vault key v1"
_CHECK_BYTES = 8  # of SHA-256, hexadecimal: tells a damaged key from a wrong one
_MAX_FILE_BYTES = 256
_STREAM_ID = re.compile(r"[0-9a-f]{64}")
_SUFFIX_BYTES = 8
_OTHERS = 0o077  # what group and others may do: nothing


class KeyStore(Protocol):
    """Holds 32-byte keys, each named by a stream id (32 bytes) and an epoch (0 to 2**32 - 1).

    When `key(..., create=True)` returns, the key is durable, and every later call returns the
    same one until it is destroyed; a key that exists is never replaced. When `destroy` returns,
    the store cannot give the key back to anyone, after a crash or a restart neither; destroying
    what is not there is no error, and a destruction that was interrupted is completed by asking
    again. Keys must not lie where the ledger lies, nor in its backups: a backup of a key undoes
    its destruction. One stream's keys say nothing about another's.
    """

    def key(self, stream: bytes, epoch: int, *, create: bool = False) -> bytes:
        """Get a key.

        Args:
            stream: Stream id.
            epoch: Number of the epoch.
            create: Draw a new random key if there is none.

        Raises:
            UnavailableError: there is no such key, or the store does not answer.
        """
        ...

    def destroy(self, stream: bytes, epoch: int) -> None:
        """Forget a key for ever."""
        ...


class FileKeyStore:
    """Keys as files `<stream id, hex>-<epoch>.key` in one folder that only the owner can enter.

    Args:
        folder: Made if missing; outside every ledger.
        random: Gives that many unpredictable bytes.
        disk: How to write and sync.

    Raises:
        RefusedError: others may enter the folder.
        UnavailableError: the folder can be neither made nor read.
    """

    def __init__(
        self, folder: Path, *, random: Random = os.urandom, disk: Disk | None = None
    ) -> None:
        self.folder = folder
        self._random = random
        self._disk = disk or Disk()
        with reported(f"cannot use the key store {folder}"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _refuse_others(folder, folder.stat())

    def key(self, stream: bytes, epoch: int, *, create: bool = False) -> bytes:
        """Get a key; see `KeyStore`.

        Raises:
            FormatError: the file is no key, or not the one its name says.
            RefusedError: others may read the file.
            UnavailableError: there is no such key, or the disk refuses.
        """
        path = self._path(stream, epoch)
        with reported(f"cannot read the vault key {path}"):
            if not path.exists():
                if not create:
                    raise UnavailableError(
                        f"there is no key {path}",
                        hint="What it wrapped does not open: its epoch has ended, the file was "
                        "deleted, or the key store is not mounted, or not the one this ledger was "
                        "written with. Machines that record into one log on PostgreSQL share it.",
                    )
                self._create(path, stream, epoch)
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                _refuse_others(path, os.fstat(fd))
                data = os.read(fd, _MAX_FILE_BYTES)
            finally:
                os.close(fd)
        return _parse_key(data, stream, epoch, path)

    def destroy(self, stream: bytes, epoch: int) -> None:
        """Overwrite a key and remove its file; see `KeyStore`.

        Raises:
            UnavailableError: the disk refuses; the key may still be there, so ask again.
        """
        path = self._path(stream, epoch)
        with reported(f"cannot destroy the vault key {path}"):
            for unfinished in self.folder.glob(f".{path.name}.*"):
                wipe(unfinished, self._disk, self._random)
            wipe(path, self._disk, self._random)

    def _path(self, stream: bytes, epoch: int) -> Path:
        return self.folder / f"{stream.hex()}-{epoch}.key"

    def _create(self, path: Path, stream: bytes, epoch: int) -> None:
        # A name that no other maker has: the loser must not write into the winner's key.
        new = path.with_name(f".{path.name}.{self._random(_SUFFIX_BYTES).hex()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(new, flags, 0o600)
        try:
            self._disk.write(fd, _format_key(self._random(KEY_BYTES), stream, epoch), 0)
            self._disk.sync(fd)
        finally:
            os.close(fd)
        # If we stop here, the unfinished file holds a key that nothing was wrapped with;
        # `destroy` removes it too.
        try:
            os.link(new, path)  # unlike a rename, this never replaces a key
        except FileExistsError:
            raise ConflictError(
                f"somebody else is making the key {path}", hint="Only one process may write."
            ) from None
        finally:
            new.unlink()
        self._disk.sync_folder(self.folder)


def streams_with_keys(folder: Path) -> set[bytes]:
    """List the streams that keys in a folder open: they are, or once were, kept on this machine.

    Args:
        folder: A `FileKeyStore`'s; there may be none.
    """
    # Not epoch 0: that key opens the intent of an erasure, and no record.
    names = (path.name.partition("-")[0] for path in folder.glob("*-[1-9]*.key"))
    return {bytes.fromhex(name) for name in names if _STREAM_ID.fullmatch(name)}


def has_key(folder: Path, stream: bytes, epoch: int) -> bool:
    """Tell whether a key is in a folder, which is not made for that, and whoever may read it."""
    return any(folder.glob(f"{stream.hex()}-{epoch}.key"))


def _format_key(key: bytes, stream: bytes, epoch: int) -> bytes:
    lines = (_FIRST_LINE, f"{stream.hex()} {epoch}", format_base64(key), _check(key, stream, epoch))
    return "".join(f"{line}\n" for line in lines).encode()


def _parse_key(data: bytes, stream: bytes, epoch: int, path: Path) -> bytes:
    """Read a key file; only what `_format_key` writes for this stream and epoch is accepted."""
    lines = data.decode("ascii", "replace").split("\n")
    if len(lines) == 5 and lines[0] == _FIRST_LINE:
        if lines[1] != f"{stream.hex()} {epoch}":
            raise FormatError(f"{path} is the key of another stream or epoch", hint=_RESTORE)
        key = parse_base64(lines[2], str(path), size=KEY_BYTES)
        if _format_key(key, stream, epoch) == data:
            return key
    raise FormatError(f"{path} is not a vault key, or is damaged", hint=_RESTORE)


def _check(key: bytes, stream: bytes, epoch: int) -> str:
    named = stream + epoch.to_bytes(4, "big") + key
    return sha256(b"counterfoil/vault/key-check/v1" + named).hexdigest()[: 2 * _CHECK_BYTES]


def _refuse_others(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    reasons = []
    if mode & _OTHERS:
        reasons.append(f"its mode is {mode:04o}, so others than its owner may use it")
    if status.st_uid != os.geteuid():
        reasons.append(f"it belongs to user {status.st_uid}, not to {os.geteuid()}")
    if reasons:
        raise RefusedError(
            f"{path} is not private", reasons=tuple(reasons), hint=f"chmod go-rwx {path}"
        )


_RESTORE = "Put the right file back; without it, what it wrapped opens no more."
