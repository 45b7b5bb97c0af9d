"""Statements too large for an entry: the entry holds digest and size, the bytes lie beside it.

    blobs/ab/cdef…     bytes, named by their SHA-256

An entry that stands for a larger envelope is the canonical JSON object
`{"counterfoil": "blob/v1", "sha256": hex, "size": bytes}`; hashing the entry binds the bytes.
"""

from __future__ import annotations

import contextlib
from hashlib import sha256
from pathlib import Path

from counterfoil.core.canonical import format_json, parse_canonical
from counterfoil.core.text import parse_hex
from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.disk import Disk, read_file, reported

# Receipts and bundles carry entries whole; larger ones are held by digest.
MAX_INLINE_BYTES = 45 << 10
MAX_BLOB_BYTES = 16 << 20
REFERENCE = b'{"counterfoil":"blob/v1",'


def shorten(data: bytes, folder: Path, disk: Disk) -> bytes:
    """Return the entry for `data`: itself, or a reference after storing it durably.

    Raises:
        FormatError: `data` is larger than 16 MiB.
        UnavailableError: the disk refuses.
    """
    if len(data) <= MAX_INLINE_BYTES:
        return data
    if len(data) > MAX_BLOB_BYTES:
        raise FormatError(
            f"the statement has {len(data)} bytes; the most is {MAX_BLOB_BYTES}",
            hint="State the digest of a file instead of its contents.",
        )
    digest = sha256(data).hexdigest()
    with reported(f"cannot store a statement in {folder}"):
        (folder / digest[:2]).mkdir(parents=True, exist_ok=True)
        disk.replace(folder / digest[:2], digest[2:], data)
        disk.sync_folder(folder)
    return format_json({"counterfoil": "blob/v1", "sha256": digest, "size": len(data)})


def resolve(entry: bytes, folder: Path) -> bytes:
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
    path = folder / digest[:2] / digest[2:]
    if not path.exists():
        raise UnavailableError(
            f"the {size} bytes of statement {digest[:12]}… are not beside the log",
            hint="Copy the `blobs` folder with the ledger.",
        )
    with contextlib.suppress(FormatError):  # another size, or no plain file
        data = read_file(path, size)
        if is_reference(entry, data):
            return data
    raise VerificationError(
        f"{path} is not what the log says", hint="Restore the file from a backup."
    )


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
