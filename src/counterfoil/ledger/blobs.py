"""Statements too large for an entry: the entry holds digest and size, the bytes lie beside it.

    blobs/ab/cdef…     bytes, named by their SHA-256

An entry that stands for a larger envelope is the canonical JSON object
`{"counterfoil": "blob/v1", "sha256": hex, "size": bytes}`; hashing the entry binds the bytes.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Protocol

from counterfoil.core.canonical import format_json, parse_canonical
from counterfoil.core.text import parse_hex
from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.disk import Disk, read_file, reported

# Receipts and bundles carry entries whole; larger ones are held by digest.
MAX_INLINE_BYTES = 45 << 10
MAX_BLOB_BYTES = 16 << 20
REFERENCE = b'{"counterfoil":"blob/v1",'


class Blobs(Protocol):
    """Bytes by their SHA-256.

    `put` returns once they are durable. `get` gives what lies under the digest, at most `size`
    bytes of it and believed by nobody, or raises `UnavailableError` where there is nothing, and
    `VerificationError` where it is plainly something else.
    """

    def put(self, digest: str, data: bytes) -> None:
        """Store them; what is there already may be written again."""

    def get(self, digest: str, size: int) -> bytes:
        """Read them."""


class FolderBlobs:
    """Those in a folder.

    Args:
        folder: Made when first needed.
        disk: How to write and sync.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder, self._disk = folder, disk

    def put(self, digest: str, data: bytes) -> None:
        """Write a file."""
        with reported(f"cannot store a statement in {self._folder}"):
            folder = self._folder / digest[:2]
            folder.mkdir(parents=True, exist_ok=True)
            self._disk.replace(folder, digest[2:], data)
            self._disk.sync_folder(self._folder)

    def get(self, digest: str, size: int) -> bytes:
        """Read it."""
        path = self._folder / digest[:2] / digest[2:]
        if not path.exists():
            raise UnavailableError(
                f"the bytes of statement {digest[:12]}… are not beside the log",
                hint="Copy the `blobs` folder with the ledger.",
            )
        try:
            return read_file(path, size)
        except FormatError as error:  # another size, or no plain file
            raise VerificationError(
                f"{path} is not what the log says", hint="Restore the file from a backup."
            ) from error


def shorten(data: bytes, blobs: Blobs) -> bytes:
    """Return the entry for `data`: itself, or a reference after storing it durably.

    Raises:
        FormatError: `data` is larger than 16 MiB.
        UnavailableError: they cannot be stored.
    """
    if len(data) <= MAX_INLINE_BYTES:
        return data
    if len(data) > MAX_BLOB_BYTES:
        raise FormatError(
            f"the statement has {len(data)} bytes; the most is {MAX_BLOB_BYTES}",
            hint="State the digest of a file instead of its contents.",
        )
    digest = sha256(data).hexdigest()
    blobs.put(digest, data)
    return format_json({"counterfoil": "blob/v1", "sha256": digest, "size": len(data)})


def resolve(entry: bytes, blobs: Blobs) -> bytes:
    """Return the bytes that an entry stands for; one that is no reference stands for itself.

    Raises:
        UnavailableError: they are not beside the log.
        VerificationError: what lies there is something else, and never `FormatError`: what was
            stated must not pass for no statement.
    """
    found = _read_reference(entry) if entry.startswith(REFERENCE) else None
    if found is None:
        return entry
    digest, size = found
    data = blobs.get(digest, size)
    if not is_reference(entry, data):
        raise VerificationError(
            f"what lies beside the log as {digest} is not what the log says",
            hint="Restore it from a backup.",
        )
    return data


def read_blob(digest: str, blobs: Blobs) -> bytes:
    """Read bytes beside the log by their SHA-256 in hex.

    Raises:
        FormatError: this is no such digest.
        UnavailableError: nothing lies there.
        VerificationError: something else does.
    """
    parse_hex(digest, "digest of a blob", size=32)
    data = blobs.get(digest, MAX_BLOB_BYTES)
    if sha256(data).hexdigest() != digest:
        raise VerificationError(
            f"what lies beside the log as {digest} is something else",
            hint="Restore it from a backup.",
        )
    return data


def is_reference(entry: bytes, data: bytes) -> bool:
    """Tell whether an entry stands for these bytes, by digest and size."""
    found = _read_reference(entry) if entry.startswith(REFERENCE) else None
    return found == (sha256(data).hexdigest(), len(data))


def _read_reference(entry: bytes) -> tuple[str, int] | None:
    """Read digest and size; None if the entry only begins like a reference."""
    try:
        match parse_canonical(entry, what="blob entry"):
            case {"counterfoil": "blob/v1", "sha256": str(digest), "size": int(size)}:
                parse_hex(digest, "digest of a blob", size=32)
                return digest, size
    except FormatError:
        return None
    return None
