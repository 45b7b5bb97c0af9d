from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from counterfoil.core.merkle import Hash
from counterfoil.errors import CounterfoilError, FormatError, UnavailableError, VerificationError
from counterfoil.vault.seal import (
    MAX_SUBJECT_BYTES,
    SLOT_BYTES,
    EpochKeys,
    check_subject,
    format_row,
    open_payload,
    parse_row,
    rewrap,
    seal_payloads,
    subject_tag,
    unwrap,
)

KEYS = EpochKeys.derive(7, b"K" * 32)
STREAM = b"S" * 32
LEAF = Hash(b"L" * 32)


def seal(row, *, index=5, random=os.urandom):
    (payload,) = seal_payloads(KEYS, STREAM, index, [LEAF], [row], random=random)
    return payload


def test_what_was_sealed_opens():
    """Every row of a batch opens at its own index, under its own leaf."""
    leaves = [Hash(bytes([n]) * 32) for n in range(20)]
    rows = [os.urandom(n * 50) for n in range(20)]
    payloads = seal_payloads(KEYS, STREAM, 100, leaves, rows, random=os.urandom)
    for n, payload in enumerate(payloads):
        assert open_payload(KEYS, STREAM, 100 + n, leaves[n], payload) == rows[n]


def test_the_layout_is_the_documented_one():
    """A reader written from docs/reference/vault.md alone opens a payload."""
    payload = seal(b"the row")
    extract = hmac.digest(bytes(32), b"K" * 32, "sha256")
    info = b"counterfoil/vault/v1 wrap"
    wrapping_key = hmac.digest(extract, info + b"\x01", "sha256")
    assert payload[:4] == b"\0\0\0\x07"
    place = STREAM + b"\0\0\0\0\0\0\0\x05"
    key = AESGCM(wrapping_key).decrypt(payload[4:16], payload[16:64], place)
    assert AESGCM(key).decrypt(payload[64:76], payload[76:], place + LEAF) == b"the row"


def test_nothing_is_used_twice():
    """Keys and nonces of all records of a batch differ, also for equal rows."""
    payloads = seal_payloads(KEYS, STREAM, 0, [LEAF] * 50, [b"same"] * 50, random=os.urandom)
    keys = {unwrap(KEYS, STREAM, n, payload[:SLOT_BYTES]) for n, payload in enumerate(payloads)}
    nonces = {p[4:16] for p in payloads} | {p[64:76] for p in payloads}
    assert len(keys) == 50
    assert len(nonces) == 100


def test_a_key_is_drawn_not_derived():
    """The record's key is made of the randomness handed in and of nothing else."""
    drawn = bytes(range(56))
    payload = seal(b"row", random=lambda n: drawn[:n])
    assert unwrap(KEYS, STREAM, 5, payload[:SLOT_BYTES]) == drawn[24:]


def test_every_changed_byte_is_noticed():
    """A payload with any byte changed does not open."""
    payload = seal(b"row")
    for at in range(len(payload)):
        changed = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
        with pytest.raises((VerificationError, UnavailableError)):
            open_payload(KEYS, STREAM, 5, LEAF, changed)


def test_every_cut_is_noticed():
    """A payload cut anywhere does not open, and raises only our errors."""
    payload = seal(b"row")
    for length in range(len(payload)):
        with pytest.raises(CounterfoilError):
            open_payload(KEYS, STREAM, 5, LEAF, payload[:length])


@pytest.mark.parametrize(
    ("stream", "index", "leaf"),
    [(b"T" * 32, 5, LEAF), (STREAM, 6, LEAF), (STREAM, 5, Hash(b"M" * 32))],
)
def test_a_payload_opens_in_its_place_only(stream, index, leaf):
    """A payload moved to another stream, index or leaf does not open."""
    with pytest.raises(VerificationError):
        open_payload(KEYS, stream, index, leaf, seal(b"row"))


def test_another_epochs_key_is_told_apart():
    """A payload of another epoch is not called forged: its key is not at hand."""
    with pytest.raises(UnavailableError, match="epoch 7"):
        open_payload(EpochKeys.derive(8, b"X" * 32), STREAM, 5, LEAF, seal(b"row"))


def test_rewrapping_keeps_the_body():
    """A new epoch replaces the slot alone; the old key opens it no more."""
    payload, new = seal(b"row"), EpochKeys.derive(8, b"N" * 32)
    slot = rewrap(KEYS, new, STREAM, 5, payload[:SLOT_BYTES], nonce=os.urandom(12))
    assert len(slot) == SLOT_BYTES
    moved = slot + payload[SLOT_BYTES:]
    assert open_payload(new, STREAM, 5, LEAF, moved) == b"row"
    with pytest.raises(UnavailableError):
        open_payload(KEYS, STREAM, 5, LEAF, moved)


@pytest.mark.parametrize("subject", [None, "customer-4711", "Zoë\nO'Néill", "~"])
@pytest.mark.parametrize("disclosures", [("a",), ("abc", "d-_"), ("",)])
def test_a_row_reads_back(subject, disclosures):
    """Subject and disclosures come back as they were, whatever characters a name has."""
    assert parse_row(format_row(subject, disclosures)) == (subject, disclosures)


@pytest.mark.parametrize("row", [b"", b"no line break", b"\xff\n"])
def test_a_row_of_another_shape_is_refused(row):
    """What decrypts and is no row is called that."""
    with pytest.raises(FormatError):
        parse_row(row)


@pytest.mark.parametrize("subject", ["", "x" * (MAX_SUBJECT_BYTES + 1), "é" * 600, "\ud800"])
def test_unusable_subjects_are_refused(subject):
    """A subject without a name, with too long a one, or with half a character is refused."""
    with pytest.raises(FormatError):
        check_subject(subject)


def test_a_tag_needs_the_epochs_key():
    """A tag is an HMAC: the same for one subject in one epoch, and unlike its plain hash."""
    tag = subject_tag(KEYS, b"customer-4711")
    assert tag == subject_tag(EpochKeys.derive(7, b"K" * 32), b"customer-4711")
    assert tag != subject_tag(KEYS, b"customer-4712")
    assert tag != subject_tag(EpochKeys.derive(7, b"J" * 32), b"customer-4711")
    assert tag != hashlib.sha256(b"customer-4711").digest()


def test_the_vector_is_the_documented_one():
    """docs/reference/vault.md prints what is written for fixed keys, byte for byte."""
    keys = EpochKeys.derive(1, bytes(range(32)))
    row = format_row("customer-4711", ["WyJ4Il0", "WyJ5Il0"])
    leaf = Hash(bytes(range(64, 96)))
    (payload,) = seal_payloads(
        keys, bytes(range(32, 64)), 5, [leaf], [row], random=lambda n: bytes(range(96, 96 + n))
    )
    page = (Path(__file__).parents[3] / "docs/reference/vault.md").read_text("utf-8")
    assert f"slot  {payload[:SLOT_BYTES].hex()}\n" in page
    assert f"body  {payload[SLOT_BYTES:].hex()}\n" in page
    assert f"tag   {subject_tag(keys, b'customer-4711').hex()}\n" in page
