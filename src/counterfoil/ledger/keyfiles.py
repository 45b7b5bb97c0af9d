"""Private keys as files: PKCS#8 PEM that only its owner can read, the public half beside it.

    ~/.counterfoil/keys/<log>/NAME.pem     private, mode 0600, passphrase optional
    ~/.counterfoil/keys/<log>/NAME.vkey    public, one line, to be handed around

Keys lie outside the ledger's folder, so that copying or publishing a ledger gives no key away. A
file that others could have read, or that leads elsewhere, is refused: its key may be known.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from counterfoil.core.keys import Algorithm, PrivateKey, VerifierKey, format_vkey, parse_vkey
from counterfoil.errors import ConflictError, FormatError, RefusedError, UnavailableError
from counterfoil.ledger.disk import Disk, reported, require_posix

if TYPE_CHECKING:
    from collections.abc import Callable

HOME_VARIABLE = "COUNTERFOIL_HOME"
"""Environment variable that moves everything out of `~/.counterfoil`."""

MAX_KEY_FILE_BYTES = 64 * 1024
"""Longest key file that is read: an encrypted ML-DSA-44 key has a few hundred bytes."""

MAX_PASSPHRASE_BYTES = 1023
"""Longest passphrase in UTF-8: what OpenSSL takes."""

_SEED_BYTES = 32  # of both Ed25519 (RFC 8032, section 5.1.5) and ML-DSA (FIPS 204, algorithm 1)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PEM_HEADS = (b"-----BEGIN PRIVATE KEY-----\n", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")


def home() -> Path:
    """Return the user's own folder, made with mode 0700 if it is missing.

    Raises:
        RefusedError: Others may write there; they could swap keys and trust policies.
        UnavailableError: It cannot be made.
    """
    require_posix()
    folder = home_path()
    with reported(f"making {folder}"):
        make_private(folder)
        mode = folder.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RefusedError(
            f"others may write in {folder}", reasons=(), hint=f"Run: chmod go-w {folder}"
        )
    return folder


def home_path() -> Path:
    """Say where the user's own folder is, or would be.

    Raises:
        UnavailableError: This user has no home directory.
    """
    try:
        return Path(os.environ.get(HOME_VARIABLE) or "~/.counterfoil").expanduser().absolute()
    except RuntimeError as error:
        raise UnavailableError(
            "this user has no home directory", hint=f"Set {HOME_VARIABLE} to a folder of yours."
        ) from error


def generate_key(
    name: str, algorithm: Algorithm, random: Callable[[int], bytes] = secrets.token_bytes
) -> PrivateKey:
    """Make a new key; it is nowhere but in memory until `save_key`.

    Args:
        name: Whose key it is, as it will stand in its vkey.
        algorithm: What it signs with and for.
        random: Returns that many unpredictable bytes; anything else than the default is for tests.

    Raises:
        FormatError: The name cannot be a key's name.
    """
    seed = random(_SEED_BYTES)
    private: Ed25519PrivateKey | MLDSA44PrivateKey
    if algorithm is Algorithm.COSIGNATURE_ML_DSA_44:
        private = MLDSA44PrivateKey.from_seed_bytes(seed)
    else:
        private = Ed25519PrivateKey.from_private_bytes(seed)
    return PrivateKey.from_private(name, algorithm, private)


def save_key(path: Path, key: PrivateKey, passphrase: str | None = None) -> None:
    """Write a private key, and its public half beside it; both are durable on return.

    Args:
        path: `NAME.pem`; missing folders are made with mode 0700.
        key: The key.
        passphrase: Encrypts the file; without one, only its mode protects it.

    Raises:
        ConflictError: A key is there already; it is never overwritten.
        FormatError: The path does not end in `.pem`, or the passphrase is empty or too long.
        UnavailableError: The disk did not take it.
    """
    require_posix()
    public_path = _public_path(path)
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, _encryption(passphrase))
    disk = Disk()
    with reported(f"saving the key {path}"):
        make_private(path.parent)
        if os.path.lexists(path):
            raise _there_already(path)
        # If we stop after this, a public half stands alone; nobody has used it, and the next
        # attempt replaces it. A private half alone could not say what it is for.
        disk.replace(path.parent, public_path.name, f"{format_vkey(key.key)}\n".encode())
        write_private(path, pem, disk)


def write_private(path: Path, data: bytes, disk: Disk) -> None:
    """Write a new file that only its owner can read; it is durable on return.

    Raises:
        ConflictError: There is one already; it is never overwritten.
        OSError: The disk did not take it.
    """
    # The file gets its name when it is complete, and a link, unlike a rename, never replaces.
    # If we stop before, the next attempt clears the unfinished file away.
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    fd = os.open(
        unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        disk.write(fd, data, 0)
        disk.sync(fd)
        os.link(unfinished, path, follow_symlinks=False)
    except FileExistsError as error:
        raise _there_already(path) from error
    finally:
        os.close(fd)
        unfinished.unlink()
    disk.sync_folder(path.parent)


def load_key(path: Path, passphrase: str | None = None) -> PrivateKey:
    """Read a private key that nobody else could have read.

    Args:
        path: `NAME.pem`; `NAME.vkey` beside it says whose key it is and what it is for.
        passphrase: The one it was saved with.

    Raises:
        RefusedError: Others may read the file, or it is a link or no plain file.
        FormatError: Not a PKCS#8 PEM of the public half beside it, or the wrong passphrase.
        UnavailableError: One of the two files is not there, or cannot be read.
    """
    require_posix()
    if not os.path.lexists(path):
        raise UnavailableError(
            f"there is no key {path}", hint=f"Look into {path.parent}, or make the key first."
        )
    public = load_vkey(_public_path(path))
    pem = read_private(path)
    if not pem.startswith(_PEM_HEADS):
        raise FormatError(
            f"{path} is not a private key in PKCS#8 PEM",
            hint="Convert it: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW.",
        )
    password = None if passphrase is None else _passphrase_bytes(passphrase)
    try:
        private = load_pem_private_key(pem, password)
    except TypeError as error:  # a passphrase where there is none, or none where one is needed
        needed = pem.startswith(_PEM_HEADS[1])
        raise FormatError(
            f"{path} {'needs a' if needed else 'has no'} passphrase",
            hint="Give the passphrase it was saved with." if needed else "Leave it out.",
        ) from error
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:
        # InternalError: what OpenSSL makes of a key cut inside its innermost part.
        wrong = "or the passphrase is wrong" if password else "it may be cut short"
        raise FormatError(
            f"{path} cannot be read as a key, {wrong}",
            hint="Check the passphrase, or restore the file from a backup.",
        ) from error
    if not isinstance(private, Ed25519PrivateKey | MLDSA44PrivateKey):
        raise FormatError(
            f"{path} holds a key of another algorithm",
            hint="Keys here are Ed25519 or ML-DSA-44; make one with counterfoil.",
        )
    return PrivateKey(public, private)


def load_vkey(path: Path) -> VerifierKey:
    """Read the public half of a key: one line, a vkey.

    Raises:
        FormatError: It is not one.
        UnavailableError: It is not there, or cannot be read.
    """
    if not path.exists():
        raise UnavailableError(
            f"the public half {path} is missing",
            hint="Copy the vkey from your trust.toml into it: one line.",
        )
    with reported(f"reading the public key {path}"), path.open("rb") as file:
        data = file.read(MAX_KEY_FILE_BYTES)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not UTF-8", hint="Copy the vkey again.") from error
    if not text.endswith("\n"):
        raise FormatError(
            f"{path} does not end in a line break", hint="It holds one line, the vkey."
        )
    return parse_vkey(text[:-1])


def read_private(path: Path) -> bytes:
    """Read a file that nobody else could have read, `MAX_KEY_FILE_BYTES` of it at most.

    Raises:
        RefusedError: Others may read it, or it is a link or no plain file.
        UnavailableError: It cannot be read.
    """
    if path.is_symlink():
        raise RefusedError(
            f"{path} is a symbolic link",
            reasons=(),
            hint="Name the file itself, so that nobody can point the link elsewhere.",
        )
    with reported(f"reading the key {path}"):
        # O_NOFOLLOW: it may have become a link since. O_NONBLOCK: a pipe would wait for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            state = os.fstat(fd)
            if not stat.S_ISREG(state.st_mode):
                raise RefusedError(
                    f"{path} is no plain file", reasons=(), hint="Name the key's own file."
                )
            if state.st_mode & _OTHERS:
                raise RefusedError(
                    f"others may use {path}, its mode is {stat.S_IMODE(state.st_mode):04o}",
                    reasons=(),
                    hint=f"If nobody has read it, run: chmod 600 {path}; else replace the key.",
                )
            return os.read(fd, MAX_KEY_FILE_BYTES)
        finally:
            os.close(fd)


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for the owner alone."""
    if not folder.parent.exists():
        make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def _public_path(path: Path) -> Path:
    if path.suffix != ".pem":
        raise FormatError(f"{path} does not end in .pem", hint="Key files are NAME.pem.")
    return path.with_suffix(".vkey")


def _encryption(passphrase: str | None) -> KeySerializationEncryption:
    if passphrase is None:
        return NoEncryption()
    return BestAvailableEncryption(_passphrase_bytes(passphrase))


def _passphrase_bytes(passphrase: str) -> bytes:
    try:
        data = passphrase.encode("utf-8")
    except UnicodeEncodeError as error:
        raise FormatError("this passphrase is not UTF-8", hint="Type it in another way.") from error
    if not 1 <= len(data) <= MAX_PASSPHRASE_BYTES:
        raise FormatError(
            f"a passphrase has 1 to {MAX_PASSPHRASE_BYTES} bytes, this one {len(data)}",
            hint="Leave it out, or choose a sentence.",
        )
    return data


def _there_already(path: Path) -> ConflictError:
    return ConflictError(
        f"{path} exists already", hint="Keys are never overwritten; choose another name."
    )
