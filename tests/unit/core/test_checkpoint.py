from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.core.checkpoint import (
    Checkpoint,
    check_same_history,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from counterfoil.core.keys import Algorithm, PrivateKey
from counterfoil.core.merkle import EMPTY_ROOT, MAX_SIZE, Hash
from counterfoil.core.note import format_note, sign_note
from counterfoil.errors import FormatError, SignatureError, SplitViewError

ORIGIN = "example.com/log"
LOG = PrivateKey.from_private(
    ORIGIN, Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(bytes(32))
)
CHECKPOINT = Checkpoint(ORIGIN, 7, Hash(bytes(range(32))))
TEXT = format_checkpoint(CHECKPOINT)


@pytest.mark.parametrize(
    "checkpoint",
    [
        CHECKPOINT,
        Checkpoint(ORIGIN, 0, EMPTY_ROOT),
        Checkpoint("go.sum database tree", MAX_SIZE, EMPTY_ROOT),
    ],
)
def test_a_checkpoint_reads_back_as_it_was_written(checkpoint):
    """Origin, size and root survive; an origin need not look like a URL."""
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        TEXT[:-1],
        "\n" + TEXT,
        TEXT + "\n",
        TEXT + "extension line\n",
        TEXT.replace("\n7\n", "\n07\n"),
        TEXT.replace("\n7\n", "\n-7\n"),
        TEXT.replace("\n7\n", "\n 7\n"),
        TEXT.replace("\n7\n", f"\n{MAX_SIZE + 1}\n"),
        TEXT.replace("\n7\n", "\n\n"),
        TEXT.replace("Hh8=", "Hh9="),
        TEXT.replace("Hh8=", ""),
        TEXT.replace("example.com", "example\t"),
        TEXT.replace("example.com", "x" * 252),
    ],
)
def test_what_is_not_exactly_a_checkpoint_is_refused(text):
    """Three lines in one form; leading zeros, extension lines and other hashes are refused."""
    with pytest.raises(FormatError):
        parse_checkpoint(text)


def test_an_extension_line_is_named_as_the_reason():
    """The reader is told why a checkpoint that others accept is refused here."""
    with pytest.raises(FormatError, match="goes on after its root with 'timestamp 1'") as caught:
        parse_checkpoint(TEXT + "timestamp 1\n")
    assert "Extension lines are refused" in caught.value.hint


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [("", 1, bytes(32)), ("a\nb", 1, bytes(32)), (ORIGIN, -1, bytes(32)), (ORIGIN, 1, bytes(31))],
)
def test_an_impossible_checkpoint_cannot_be_made(origin, size, root):
    """Whoever holds a `Checkpoint` need not check its shape again."""
    with pytest.raises(FormatError):
        Checkpoint(origin, size, root)


def test_a_signed_checkpoint_opens_under_its_log_key():
    """What the log signed is what its reader gets."""
    assert open_checkpoint(sign_checkpoint(CHECKPOINT, LOG), LOG.key) == CHECKPOINT


def test_a_key_signs_and_vouches_for_the_log_of_its_name_only():
    """A key of one log can neither write nor be believed for another."""
    other = Checkpoint("example.com/other", 7, CHECKPOINT.root)
    with pytest.raises(FormatError, match=r"cannot sign for 'example.com/other'"):
        sign_checkpoint(other, LOG)
    with pytest.raises(SignatureError, match=r"a checkpoint of 'example.com/other', another log"):
        open_checkpoint(format_note(sign_note(format_checkpoint(other), LOG)), LOG.key)


def test_a_signed_note_that_is_no_checkpoint_is_refused():
    """A log's signature under another text does not make it a checkpoint."""
    with pytest.raises(FormatError):
        open_checkpoint(format_note(sign_note("good morning\n", LOG)), LOG.key)


def test_two_roots_for_one_size_are_a_split_view_and_both_notes_its_proof():
    """The error carries both signed checkpoints, byte for byte."""
    a = sign_checkpoint(CHECKPOINT, LOG)
    b = sign_checkpoint(Checkpoint(ORIGIN, 7, Hash(bytes(32))), LOG)
    with pytest.raises(SplitViewError, match="two different trees of size 7") as caught:
        check_same_history(a, b, LOG.key)
    assert (caught.value.a, caught.value.b) == (a, b)


def test_honest_checkpoints_are_no_split_view():
    """The same tree twice, and trees of two sizes, do not contradict each other."""
    a = sign_checkpoint(CHECKPOINT, LOG)
    check_same_history(a, a, LOG.key)
    check_same_history(a, sign_checkpoint(Checkpoint(ORIGIN, 8, Hash(bytes(32))), LOG), LOG.key)


def test_nobody_is_accused_by_what_they_did_not_sign():
    """A forged second checkpoint is a false signature, not a split view."""
    mallory = PrivateKey.from_private(
        ORIGIN, Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(bytes([9] * 32))
    )
    forged = sign_checkpoint(Checkpoint(ORIGIN, 7, Hash(bytes(32))), mallory)
    for pair in ((sign_checkpoint(CHECKPOINT, LOG), forged), (forged, forged)):
        with pytest.raises(SignatureError):
            check_same_history(*pair, LOG.key)
