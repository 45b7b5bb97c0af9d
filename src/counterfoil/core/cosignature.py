"""Cosignatures: a witness's word that a checkpoint extends all it saw of a log before.

A cosignature is a signature line under a checkpoint. Its signature is the time in 8 bytes,
followed by Ed25519 (type 04) or ML-DSA-44 (type 06) over a message that begins with its own
prefix, so that it can never pass as a log's signature:

    cosignature/v1
    time 1679315147
    example.com/log
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

for type 04, and for type 06 a binary structure that also names the witness, and a range: a
checkpoint is the subtree from 0 to its size. Other subtrees can be cosigned as well, without a
time.

Source:
    C2SP tlog-cosignature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.core.checkpoint import parse_checkpoint
from counterfoil.core.keys import Algorithm
from counterfoil.core.note import NoteSignature
from counterfoil.core.subtree import Subtree
from counterfoil.core.text import MAX_INTEGER
from counterfoil.errors import FormatError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterfoil.core.keys import Signer, VerifierKey
    from counterfoil.core.merkle import Hash
    from counterfoil.core.note import Note

_TIME_BYTES = 8
_ED25519_HEADER = "cosignature/v1\n"
_ML_DSA_LABEL = b"subtree/v1\n\x00"


def cosign(text: str, time: int, signer: Signer) -> NoteSignature:
    """Cosign a checkpoint.

    Whoever calls this has checked the log's signature and that the checkpoint extends the last
    one that was cosigned, and has stored it durably: this is the last step.

    Args:
        text: The note text of the checkpoint.
        time: POSIX seconds, 1 to 2**63 - 1.
        signer: A witness's key, of type 04 or 06.

    Raises:
        FormatError: `text` is no checkpoint, `time` is out of range, or the key is for another
            purpose.
    """
    if not 1 <= time <= MAX_INTEGER:
        raise FormatError(
            f"{time} cannot be the time of a cosignature",
            hint="Give the POSIX time in whole seconds.",
        )
    key = _cosigner(signer.key)
    signature = signer.sign(_message(text, time, key))
    return NoteSignature(key.name, key.key_id, time.to_bytes(_TIME_BYTES) + signature)


def check_cosignature(text: str, signature: NoteSignature, key: VerifierKey) -> int:
    """Check that `key` cosigned a checkpoint, and return when it says it did.

    Args:
        text: The note text of the checkpoint.
        signature: The signature line.
        key: A witness's key, of type 04 or 06.

    Returns:
        POSIX seconds, at least 1. It is the witness's word, by the witness's clock.

    Raises:
        FormatError: `text` is no checkpoint, or the key is for another purpose.
        SignatureError: The line is by another key, or false, or states no time.
    """
    _cosigner(key)
    time = int.from_bytes(signature.signature[:_TIME_BYTES])
    # A time of 0 means "no time stated" in type 06. No witness may leave it out, and 1970 would
    # make everything look old.
    if not signature.is_named_by(key) or not 1 <= time <= MAX_INTEGER:
        raise SignatureError(
            f"this is no cosignature of {key.label} with a time",
            hint="Fetch the checkpoint and its cosignatures again.",
        )
    key.verify(_message(text, time, key), signature.signature[_TIME_BYTES:])
    return time


def cosign_subtree(origin: str, subtree: Subtree, root: Hash, signer: Signer) -> NoteSignature:
    """Sign that a subtree is consistent with all that was seen of a log; it states no time.

    Whoever calls this has checked a proof that a checkpoint of its own has this subtree.

    Args:
        origin: The log.
        subtree: The range.
        root: Its root.
        signer: A witness's key of type 06, the only one that can sign subtrees.

    Raises:
        FormatError: the key is of another type.
    """
    key = signer.key
    signature = signer.sign(_subtree_message(origin, subtree, root, 0, _subtree_cosigner(key)))
    return NoteSignature(key.name, key.key_id, bytes(_TIME_BYTES) + signature)


def check_subtree_cosignature(
    origin: str, subtree: Subtree, root: Hash, signature: NoteSignature, key: VerifierKey
) -> None:
    """Check that `key` signed a subtree by `cosign_subtree`.

    Raises:
        FormatError: the key is of another type.
        SignatureError: the line is by another key, or false, or states a time.
    """
    _subtree_cosigner(key)
    stated, signed = signature.signature[:_TIME_BYTES], signature.signature[_TIME_BYTES:]
    if not signature.is_named_by(key) or stated != bytes(_TIME_BYTES):
        raise SignatureError(
            f"this is no cosignature of {key.label} of a subtree", hint="Ask the witness again."
        )
    key.verify(_subtree_message(origin, subtree, root, 0, key), signed)


def find_cosignatures(
    note: Note, keys: Sequence[VerifierKey]
) -> tuple[tuple[VerifierKey, int], ...]:
    """Find which of `keys` cosigned the checkpoint in `note`, and when.

    Whether they are enough is for the trust policy to say. The log's own signature is not looked
    at here; see `open_checkpoint`.

    Args:
        note: A signed checkpoint.
        keys: Keys of witnesses that this reader trusts, of type 04 or 06.

    Returns:
        Each key once, in the order of the note, with POSIX seconds: the earliest time where one
        signed more than once. Empty if none did.

    Raises:
        FormatError: The note is no checkpoint, or a key is for another purpose.
        SignatureError: A line in the name of one of `keys` is false.
    """
    times: dict[VerifierKey, int] = {}
    for signature in note.signatures:
        for key in keys:
            if signature.is_named_by(key):
                time = check_cosignature(note.text, signature, key)
                times[key] = min(time, times.get(key, time))
    return tuple(times.items())


def _message(text: str, time: int, key: VerifierKey) -> bytes:
    checkpoint = parse_checkpoint(text)
    if key.algorithm is Algorithm.COSIGNATURE_ED25519:
        return f"{_ED25519_HEADER}time {time}\n{text}".encode()
    everything = Subtree(0, checkpoint.size)
    return _subtree_message(checkpoint.origin, everything, checkpoint.root, time, key)


def _subtree_message(
    origin: str, subtree: Subtree, root: Hash, time: int, key: VerifierKey
) -> bytes:
    # opaque cosigner_name<1..2^8-1> ‖ u64 timestamp ‖ opaque log_origin<1..2^8-1> ‖ u64 start ‖
    # u64 end ‖ hash.
    return b"".join(
        (
            _ML_DSA_LABEL,
            _counted(key.name),
            time.to_bytes(8),
            _counted(origin),
            subtree.start.to_bytes(8),
            subtree.end.to_bytes(8),
            root,
        )
    )


def _cosigner(key: VerifierKey) -> VerifierKey:
    if key.algorithm is Algorithm.ED25519:
        raise FormatError(
            f"{key.label} is not a key for cosignatures",
            hint="A witness's key is of type 04 (Ed25519) or 06 (ML-DSA-44).",
        )
    return key


def _subtree_cosigner(key: VerifierKey) -> VerifierKey:
    if key.algorithm is not Algorithm.COSIGNATURE_ML_DSA_44:
        raise FormatError(
            f"{key.label} cannot sign subtrees", hint="That takes a key of type 06 (ML-DSA-44)."
        )
    return key


def _counted(text: str) -> bytes:
    """Write a string of at most 255 bytes (names and origins are) after its length."""
    data = text.encode()
    return bytes([len(data)]) + data
