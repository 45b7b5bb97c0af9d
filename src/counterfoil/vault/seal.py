"""The crypto envelope of a record: its row under a key of its own, that key under the epoch's.

    payload = slot ‖ body
    slot    = u32 epoch ‖ nonce[12] ‖ AES-256-GCM(wrapping key, record key)            64 bytes
              associated data: stream id[32] ‖ u64 index
    body    = nonce[12] ‖ AES-256-GCM(record key, row)
              associated data: stream id[32] ‖ u64 index ‖ leaf[32]
    row     = subject, UTF-8 ‖ line feed ‖ the record's disclosures, joined by "~"

A record key is 32 random bytes, never derived: once the slot that wraps it is gone, nothing leads
back to it. No two records share one, not even of one person: a record that the law wants kept
would else keep alive the key that opens, in old backups, another that was erased. The wrapping key
and the key of subject tags are derived from the epoch's key (HKDF-SHA256), so that destroying that
one key ends both. Integers are big-endian.

A nonce of 96 random bits may be used 2**32 times under one key (NIST SP 800-38D, section 8.3).
Each index is wrapped once per epoch, and each stream has its own keys: that is `MAX_RECORDS`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from counterfoil.core.merkle import Hash
from counterfoil.errors import FormatError, UnavailableError, VerificationError

KEY_BYTES = 32
NONCE_BYTES = 12
SLOT_BYTES = 64
MAX_RECORDS = 2**32  # per stream; more random nonces under one key would be too many
MAX_SUBJECT_BYTES = 1024  # UTF-8; a name within the organisation's own records, not a document
_EPOCH_BYTES = 4
_WRAPPED = _EPOCH_BYTES + NONCE_BYTES  # where the wrapped key begins
_DRAWN = 2 * NONCE_BYTES + KEY_BYTES  # random bytes a row takes

Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class EpochKeys:
    """What is derived from the key of one epoch of one stream.

    Args:
        epoch: Its number, 1 or more: an erased slot is zeros and reads as 0.
        wrap: Wraps record keys.
        tag: Names subjects in the index, 32 bytes.
    """

    epoch: int
    wrap: AESGCM = field(repr=False)  # a traceback that shows values shows no keys
    tag: bytes = field(repr=False)

    @classmethod
    def derive(cls, epoch: int, key: bytes) -> EpochKeys:
        """Derive both keys from the 32 bytes that the key store holds."""
        wrap, tag = (
            HKDF(SHA256(), KEY_BYTES, salt=None, info=b"counterfoil/vault/v1 " + use).derive(key)
            for use in (b"wrap", b"tag")
        )
        return cls(epoch, AESGCM(wrap), tag)


def format_row(subject: str | None, disclosures: Sequence[str]) -> bytes:
    """Lay out what is encrypted: whom the record is about, and its disclosures."""
    return f"{subject or ''}\n{'~'.join(disclosures)}".encode()


def parse_row(row: bytes) -> tuple[str | None, tuple[str, ...]]:
    """Take a row apart; the inverse of `format_row`.

    Raises:
        FormatError: the row is not text with a line break in it.
    """
    try:
        subject, line_break, disclosures = row.decode().rpartition("\n")
    except UnicodeDecodeError as error:
        raise FormatError("a stored row is not UTF-8", hint=_WRITTEN_BY_ANOTHER) from error
    if not line_break:
        raise FormatError("a stored row names no subject", hint=_WRITTEN_BY_ANOTHER)
    return subject or None, tuple(disclosures.split("~"))


def check_subject(subject: str) -> bytes:
    """Give the bytes of a data subject's name.

    Raises:
        FormatError: it is no text, empty, too long, or has no UTF-8 form.
    """
    if not isinstance(subject, str):
        raise FormatError(
            f"a data subject is named by a text, not by the {type(subject).__name__} "
            f"{subject!a:.40}",
            hint=_NAME_SUBJECTS,
        )
    try:
        name = subject.encode()
    except UnicodeEncodeError as error:
        raise FormatError(
            f"the data subject {subject[:40]!a} has no UTF-8 form", hint=_NAME_SUBJECTS
        ) from error
    if not 0 < len(name) <= MAX_SUBJECT_BYTES:
        raise FormatError(
            f"the data subject's name has {len(name)} bytes, not 1 to {MAX_SUBJECT_BYTES}",
            hint=_NAME_SUBJECTS,
        )
    return name


def subject_tag(keys: EpochKeys, name: bytes) -> bytes:
    """Name a subject in the index: HMAC-SHA256, which says nothing without the epoch's key."""
    return hmac.digest(keys.tag, name, "sha256")


def seal_payloads(
    keys: EpochKeys,
    stream: bytes,
    first: int,
    leaves: Sequence[Hash],
    rows: Sequence[bytes],
    *,
    random: Random,
) -> list[bytes]:
    """Encrypt rows that will have the indices from `first` on.

    Args:
        keys: Those of the current epoch.
        stream: Stream id, 32 bytes.
        first: Index of the first row.
        leaves: Leaf hash of each row's record.
        rows: What to encrypt, from `format_row`.
        random: Gives that many unpredictable bytes.

    Returns:
        Payloads, slot first.
    """
    # The hot path: one draw of randomness for all rows, no attribute looked up twice.
    epoch = keys.epoch.to_bytes(_EPOCH_BYTES, "big")
    wrap = keys.wrap.encrypt
    drawn = random(_DRAWN * len(rows))
    payloads: list[bytes] = []
    add, join, cipher = payloads.append, b"".join, AESGCM
    at = 0
    for index, (leaf, row) in enumerate(zip(leaves, rows, strict=True), first):
        nonce = drawn[at : at + 12]
        body_nonce = drawn[at + 12 : at + 24]
        key = drawn[at + 24 : at + 56]
        at += _DRAWN
        place = stream + index.to_bytes(8, "big")
        body = cipher(key).encrypt(body_nonce, row, place + leaf)
        add(join((epoch, nonce, wrap(nonce, key, place), body_nonce, body)))
    return payloads


def slot_epoch(slot: bytes) -> int:
    """Read under which epoch's key a slot was wrapped; 0 says erased."""
    return int.from_bytes(slot[:_EPOCH_BYTES], "big")


def unwrap(keys: EpochKeys, stream: bytes, index: int, slot: bytes) -> bytes:
    """Open the slot of record `index`: its key.

    Raises:
        UnavailableError: it was wrapped in another epoch, whose key is not at hand.
        VerificationError: the slot was changed, or belongs to another record.
    """
    epoch = slot_epoch(slot)
    if epoch != keys.epoch:
        raise UnavailableError(
            f"record {index} was wrapped in epoch {epoch}; the key at hand is of {keys.epoch}",
            hint="A reader should refresh. Data of an epoch that has ended cannot be restored.",
        )
    nonce, wrapped = slot[_EPOCH_BYTES:_WRAPPED], slot[_WRAPPED:SLOT_BYTES]
    try:
        return keys.wrap.decrypt(nonce, wrapped, stream + index.to_bytes(8, "big"))
    except (InvalidTag, ValueError):  # ValueError: cut so short that there is no whole nonce
        raise VerificationError(
            f"record {index}: its key does not open under the key of epoch {epoch}",
            hint="The slot was changed, or stands in the wrong place; restore this epoch's backup.",
        ) from None


def open_payload(keys: EpochKeys, stream: bytes, index: int, leaf: Hash, payload: bytes) -> bytes:
    """Decrypt the payload of record `index`; the inverse of `seal_payloads`.

    Raises:
        UnavailableError: see `unwrap`.
        VerificationError: the payload was changed, or belongs to another record.
    """
    key = unwrap(keys, stream, index, payload[:SLOT_BYTES])
    nonce, body = payload[SLOT_BYTES : SLOT_BYTES + 12], payload[SLOT_BYTES + 12 :]
    try:
        return AESGCM(key).decrypt(nonce, body, stream + index.to_bytes(8, "big") + leaf)
    except (InvalidTag, ValueError):  # ValueError: cut so short that there is no whole nonce
        raise VerificationError(
            f"record {index}: its payload does not open under its key",
            hint="The payload was changed, or is another record's; restore this epoch's backup.",
        ) from None


def rewrap(
    old: EpochKeys, new: EpochKeys, stream: bytes, index: int, slot: bytes, *, nonce: bytes
) -> bytes:
    """Wrap the key in `slot` under the new epoch's key, with a fresh nonce.

    Raises:
        VerificationError: the slot opens under the old epoch's key no more.
    """
    key = unwrap(old, stream, index, relabel(old, slot))
    wrapped = new.wrap.encrypt(nonce, key, stream + index.to_bytes(8, "big"))
    return new.epoch.to_bytes(_EPOCH_BYTES, "big") + nonce + wrapped


def relabel(keys: EpochKeys, slot: bytes) -> bytes:
    """Give a slot another epoch's number; the wrapped key stays as it is."""
    return keys.epoch.to_bytes(_EPOCH_BYTES, "big") + slot[_EPOCH_BYTES:]


_WRITTEN_BY_ANOTHER = "It decrypts, so a key holder wrote it; another program or version."
_NAME_SUBJECTS = "Name a data subject as your own records do, for instance `customer-4711`."
