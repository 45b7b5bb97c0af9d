from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from counterfoil.core.checkpoint import Checkpoint, format_checkpoint
from counterfoil.core.cosignature import check_cosignature, cosign, find_cosignatures
from counterfoil.core.keys import Algorithm, PrivateKey, VerifierKey
from counterfoil.core.merkle import Hash
from counterfoil.core.note import Note, NoteSignature, sign_note
from counterfoil.errors import FormatError, SignatureError

ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(32))
ML_DSA = MLDSA44PrivateKey.from_seed_bytes(bytes(32))
LOG = PrivateKey.from_private("example.com/log", Algorithm.ED25519, ED25519)
W4 = PrivateKey.from_private("w.example/4", Algorithm.COSIGNATURE_ED25519, ED25519)
W6 = PrivateKey.from_private("w.example/6", Algorithm.COSIGNATURE_ML_DSA_44, ML_DSA)
TEXT = format_checkpoint(Checkpoint("example.com/log", 5, Hash(bytes(32))))
TIME = 1_795_305_600


@pytest.mark.parametrize("witness", [W4, W6])
def test_a_cosignature_tells_its_time(witness):
    """What was cosigned is checked, and the time comes out as it went in."""
    for time in (1, TIME, 2**63 - 1):
        assert check_cosignature(TEXT, cosign(TEXT, time, witness), witness.key) == time


def test_type_04_signs_the_text_under_a_header_and_the_time():
    """The message is the one of tlog-cosignature, byte for byte."""
    line = cosign(TEXT, TIME, W4)
    W4.key.verify(f"cosignature/v1\ntime {TIME}\n{TEXT}".encode(), line.signature[8:])


def test_type_06_signs_the_structure_with_both_names():
    """The message is the `cosigned_message` of tlog-cosignature, byte for byte."""
    line = cosign(TEXT, TIME, W6)
    message = (
        b"subtree/v1\n\0\x0bw.example/6"
        + TIME.to_bytes(8, "big")
        + b"\x0fexample.com/log"
        + bytes(8)
        + bytes([0] * 7 + [5])
        + bytes(32)
    )
    W6.key.verify(message, line.signature[8:])


@pytest.mark.parametrize("witness", [W4, W6])
def test_a_cosignature_holds_for_one_checkpoint_time_and_key(witness):
    """Another size, another time or another witness makes it false."""
    line = cosign(TEXT, TIME, witness)
    other_text = format_checkpoint(Checkpoint("example.com/log", 6, Hash(bytes(32))))
    with pytest.raises(SignatureError):
        check_cosignature(other_text, line, witness.key)
    later = (TIME + 1).to_bytes(8, "big") + line.signature[8:]
    with pytest.raises(SignatureError):
        check_cosignature(TEXT, NoteSignature(line.name, line.key_id, later), witness.key)
    with pytest.raises(SignatureError):
        check_cosignature(TEXT, line, (W6 if witness is W4 else W4).key)


def test_a_line_in_another_name_is_no_cosignature_of_this_key():
    """Type 04 does not sign the witness's name, so the line itself has to bear it."""
    line = cosign(TEXT, TIME, W4)
    for name, key_id in (("w.example/5", line.key_id), (line.name, bytes(4))):
        with pytest.raises(SignatureError, match=r"no cosignature of w\.example/4"):
            check_cosignature(TEXT, NoteSignature(name, key_id, line.signature), W4.key)


def test_a_type_06_cosignature_names_its_witness_inside():
    """The same key bytes under another name did not cosign."""
    renamed = VerifierKey("w.example/7", W6.key.algorithm, W6.key.public)
    line = cosign(TEXT, TIME, W6)
    with pytest.raises(SignatureError):
        check_cosignature(
            TEXT, NoteSignature(renamed.name, renamed.key_id, line.signature), renamed
        )


@pytest.mark.parametrize("signature", [b"x", bytes(8), bytes(72), b"\xff" * 72, b"\x01" * 8])
def test_a_cosignature_without_a_time_or_a_signature_is_refused(signature):
    """Cut lines, the time 0 and times beyond 2**63 - 1 do not count."""
    for key in (W4.key, W6.key):
        with pytest.raises(SignatureError):
            check_cosignature(TEXT, NoteSignature(key.name, key.key_id, signature), key)


def test_a_valid_cosignature_that_says_1970_is_refused():
    """Time 0 means no time was stated; counted, it would make anything look old."""
    for witness in (W4, W6):
        # Signed as a witness would that leaves the time out.
        message = (
            f"cosignature/v1\ntime 0\n{TEXT}".encode()
            if witness is W4
            else b"subtree/v1\n\0\x0bw.example/6"
            + bytes(8)
            + b"\x0fexample.com/log"
            + bytes(15)
            + b"\x05"
            + bytes(32)
        )
        line = NoteSignature(witness.key.name, witness.key.key_id, bytes(8) + witness.sign(message))
        witness.key.verify(message, line.signature[8:])
        with pytest.raises(SignatureError, match="with a time"):
            check_cosignature(TEXT, line, witness.key)
        with pytest.raises(FormatError, match="time of a cosignature"):
            cosign(TEXT, 0, witness)


def test_a_log_key_neither_cosigns_nor_counts_as_a_witness():
    """A log cannot lift its own grade with the key it signs with."""
    with pytest.raises(FormatError, match="not a key for cosignatures"):
        cosign(TEXT, TIME, LOG)
    line = sign_note(TEXT, LOG).signatures[0]
    with pytest.raises(FormatError, match="not a key for cosignatures"):
        check_cosignature(TEXT, line, LOG.key)


@pytest.mark.parametrize("witness", [W4, W6])
def test_only_checkpoints_are_cosigned(witness):
    """A witness puts its name under nothing else, with either algorithm."""
    with pytest.raises(FormatError):
        cosign("good morning\n", TIME, witness)
    with pytest.raises(FormatError):
        check_cosignature("good morning\n", cosign(TEXT, TIME, witness), witness.key)


def test_the_witnesses_of_a_checkpoint_are_found():
    """Known witnesses come in the note's order with their times; everyone else is ignored."""
    signatures = (
        *sign_note(TEXT, LOG).signatures,
        cosign(TEXT, TIME + 1, W6),
        cosign(TEXT, TIME, W4),
        NoteSignature("grease", bytes(4), b"x"),
    )
    note = Note(TEXT, signatures)
    assert find_cosignatures(note, [W4.key, W6.key]) == ((W6.key, TIME + 1), (W4.key, TIME))
    assert find_cosignatures(note, [W4.key]) == ((W4.key, TIME),)
    assert find_cosignatures(note, []) == ()


def test_a_witness_that_signed_twice_counts_once_from_its_earliest_time():
    """Two lines of one witness are one witness, who had seen the tree at the earlier time."""
    lines = [cosign(TEXT, time, W4) for time in (TIME + 9, TIME, TIME + 5)]
    assert find_cosignatures(Note(TEXT, tuple(lines)), [W4.key]) == ((W4.key, TIME),)


def test_one_false_cosignature_of_a_known_witness_rejects_the_note():
    """A line in a trusted name that does not hold is tampering, not absence."""
    good = cosign(TEXT, TIME, W4)
    bad = NoteSignature(good.name, good.key_id, good.signature[:-1] + b"\x00")
    with pytest.raises(SignatureError):
        find_cosignatures(Note(TEXT, (good, bad)), [W4.key])
