"""What an erasure under way leaves behind for whoever finishes it: the note `erasing`.

    {"format": "counterfoil erasure intent v1", "indices": [17, 42], "sealed": "<base64>"}

In the clear are indices only. What the erasure's record will say is sealed with a key of its own
(AES-256-GCM, associated data: stream id ‖ indices, u64 each), which the key store keeps as the
stream's epoch 0 and destroys once the erasure is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from counterfoil.core.canonical import format_json, parse_canonical
from counterfoil.core.text import format_base64, parse_base64
from counterfoil.errors import FormatError, VerificationError
from counterfoil.vault.seal import NONCE_BYTES, Random

INTENT_EPOCH = 0  # epochs that wrap records count from 1
MAX_ERASED = 512  # records of one erasure: their leaves fit one field of its record, 48 KiB
INTENT_NOTE = "erasing"
_MAX_BYTES = 256 * 1024  # indices and an erasure record with as many leaves
_HINT = "Remove the note `erasing` and erase again; what it listed may be destroyed already."


@dataclass(frozen=True, slots=True)
class Intent:
    """An erasure that was decided and is not finished.

    Args:
        indices: Records to destroy, ascending.
        sealed: What is to be recorded, encrypted.
    """

    indices: tuple[int, ...]
    sealed: bytes


def format_intent(intent: Intent) -> bytes:
    """Write the note's bytes."""
    return format_json(
        {
            "format": "counterfoil erasure intent v1",
            "indices": list(intent.indices),
            "sealed": format_base64(intent.sealed),
        }
    )


def parse_intent(data: bytes, what: str = "erasure intent") -> Intent:
    """Read the note's bytes; the inverse of `format_intent`.

    Raises:
        FormatError: they are not what `format_intent` writes.
    """
    match parse_canonical(data, what=what, max_bytes=_MAX_BYTES):
        case {
            "format": "counterfoil erasure intent v1",
            "indices": list(found),
            "sealed": str(sealed),
            **more,
        } if not more:
            indices = tuple(n for n in found if isinstance(n, int) and not isinstance(n, bool))
            if len(indices) == len(found) and is_ascending(indices):
                return Intent(indices, parse_base64(sealed, f"{what}: sealed"))
    raise FormatError(f"{what} does not list what to erase", hint=_HINT)


def is_ascending(indices: Sequence[int]) -> bool:
    """Tell whether there are 1 to `MAX_ERASED` indices, each larger than the one before."""
    ordered = all(low < high for low, high in pairwise((-1, *indices)))
    return 0 < len(indices) <= MAX_ERASED and ordered


def seal_details(
    key: bytes, stream: bytes, indices: Sequence[int], details: bytes, random: Random
) -> Intent:
    """Make an intent whose details open under `key` alone."""
    return Intent(tuple(indices), seal(key, _associated(stream, indices), details, random))


def open_details(key: bytes, stream: bytes, intent: Intent) -> bytes:
    """Decrypt what is to be recorded; the inverse of `seal_details`.

    Raises:
        VerificationError: the note was changed, or is another stream's.
    """
    return open_sealed(key, _associated(stream, intent.indices), intent.sealed)


def seal(key: bytes, associated: bytes, data: bytes, random: Random) -> bytes:
    """Encrypt what waits for the end of an erasure."""
    nonce = random(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, associated)


def open_sealed(key: bytes, associated: bytes, sealed: bytes) -> bytes:
    """Decrypt it; the inverse of `seal`.

    Raises:
        VerificationError: it was changed, or belongs to something else.
    """
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
    except (InvalidTag, ValueError):  # ValueError: cut so short that there is no whole nonce
        raise VerificationError(
            "the erasure intent does not open under its key", hint=_HINT
        ) from None


def _associated(stream: bytes, indices: Sequence[int]) -> bytes:
    return stream + b"".join(index.to_bytes(8, "big") for index in indices)
