from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.keys import Algorithm, PrivateKey
from counterfoil.core.merkle import Hash, leaf_hash, node_hash
from counterfoil.core.note import format_note, sign_note
from counterfoil.core.receipt import (
    MAX_EXTRA_BYTES,
    MAX_RECEIPT_BYTES,
    Receipt,
    check_receipt,
    format_receipt,
    parse_receipt,
)
from counterfoil.errors import FormatError, ProofError, SignatureError


def signer(seed):
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
    return PrivateKey.from_private("example.com/log", Algorithm.ED25519, private)


LOG = signer(1)
A, B, C = (leaf_hash(entry) for entry in (b"a", b"b", b"c"))
TREE = Checkpoint("example.com/log", 3, node_hash(node_hash(A, B), C))
SIGNED = sign_checkpoint(TREE, LOG)
RECEIPT = Receipt(1, (A, C), SIGNED)
DATA = format_receipt(RECEIPT)


@pytest.mark.parametrize(
    "receipt",
    [
        RECEIPT,
        Receipt(0, (), SIGNED),
        Receipt(2**63 - 2, (A,) * 63, SIGNED, b"extra"),
        Receipt(1, (A, C), SIGNED, bytes(MAX_EXTRA_BYTES)),
    ],
)
def test_a_receipt_reads_back_as_it_was_written(receipt):
    """Index, path, checkpoint and extra data survive, with no hashes and with all 63."""
    assert parse_receipt(format_receipt(receipt)) == receipt


def test_a_receipt_shows_that_an_entry_is_in_the_log():
    """Entry, receipt and log key are enough; the checkpoint that covers it comes back."""
    assert check_receipt(b"b", parse_receipt(DATA), LOG.key) == TREE


def test_a_receipt_shows_nothing_about_another_entry():
    """The verifier hashes what lies before it, so a receipt cannot be lent out."""
    for other in (b"", b"a", b"c", b"b\n", bytes(A + B)):
        with pytest.raises(ProofError):
            check_receipt(other, RECEIPT, LOG.key)


def test_a_receipt_holds_at_its_own_index_only():
    """Neither a neighbour nor a place beyond the tree is shown by it."""
    for index in (0, 2, 3, 2**63 - 2):
        with pytest.raises(ProofError):
            check_receipt(b"b", Receipt(index, (A, C), SIGNED), LOG.key)


def test_a_receipt_of_a_parallel_log_is_rejected():
    """The same tree under a sham key of the same name proves nothing."""
    sham = Receipt(1, (A, C), sign_checkpoint(TREE, signer(2)))
    check_receipt(b"b", sham, signer(2).key)
    with pytest.raises(SignatureError):
        check_receipt(b"b", sham, LOG.key)


def test_a_path_too_short_or_too_long_is_rejected():
    """Hashes to spare are as wrong as hashes that miss."""
    for path in ((), (A,), (C,), (C, A), (A, C, C)):
        with pytest.raises(ProofError):
            check_receipt(b"b", Receipt(1, path, SIGNED), LOG.key)


def test_extra_data_changes_nothing_about_the_proof():
    """Nobody signs it, and the check does not look at it."""
    check_receipt(b"b", Receipt(1, (A, C), SIGNED, b"anything"), LOG.key)


@pytest.mark.parametrize(
    "receipt",
    [
        {"index": -1},
        {"index": 2**63 - 1},
        {"path": (Hash(bytes(31)),)},
        {"path": (A,) * 64},
        {"extra": bytes(MAX_EXTRA_BYTES + 1)},
    ],
)
def test_an_impossible_receipt_cannot_be_made(receipt):
    """Indexes, hashes and sizes outside the format raise at once."""
    with pytest.raises(FormatError):
        Receipt(**({"index": 1, "path": (A, C), "checkpoint": SIGNED} | receipt))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"tlog-proof@v1", b"tlog-proof@v2"),
        (b"c2sp.org", b"\xef\xbb\xbfc2sp.org"),
        (b"c2sp.org", b"\nc2sp.org"),
        (b"index 1\n", b""),
        (b"index 1\n", b"index 01\n"),
        (b"index 1\n", b"index  1\n"),
        (b"index 1\n", b"index 1\r\n"),
        (b"index 1\n", b"index 9223372036854775807\n"),
        (b"index 1\n", b"index 1\nindex 1\n"),
        (b"index 1\n", b"extra \nindex 1\n"),
        (b"index 1\n", b"extra QQ\nindex 1\n"),
        (b"index 1\n", b"extra QQ==\nextra QQ==\nindex 1\n"),
        (b"index 1\n", b"index 1\nextra QQ==\n"),
        (b"index 1\n", b"index 1\n\n"),
        (b"index 1\n", b"index 1\nAAAA\n"),
        (b"index 1\n", b"index 1\n" + b"A" * 43 + b"=\n" * 64),
        (b"index 1\n", b"index 1\n" + (b"A" * 43 + b"=\n") * 62),
        (b"index 1\n", b"index 1\n\xff\n"),
        (b"\n\nexample.com/log\n3\n", b"\nexample.com/log\n3\n"),
        (b"\n\nexample.com/log\n3\n", b"\n\nexample.com/log\n03\n"),
        (b"\n\nexample.com/log\n3\n", b"\n\n\nexample.com/log\n3\n"),
        (SIGNED, b""),
        (SIGNED, SIGNED[:-1]),
        (SIGNED, format_note(sign_note("good morning\n", LOG))),
    ],
)
def test_what_is_not_exactly_a_receipt_is_refused(old, new):
    """Lines, numbers, base64 and the checkpoint have one form and one order."""
    assert old in DATA
    with pytest.raises(FormatError):
        parse_receipt(DATA.replace(old, new, 1))


def test_a_receipt_has_a_largest_size():
    """Megabytes are refused before anything in them is read."""
    with pytest.raises(FormatError, match=f"at most {MAX_RECEIPT_BYTES}"):
        parse_receipt(DATA + b"\n" * MAX_RECEIPT_BYTES)
