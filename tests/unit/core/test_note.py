from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.core.keys import Algorithm, PrivateKey, VerifierKey
from counterfoil.core.note import (
    MAX_NOTE_BYTES,
    MAX_NOTE_SIGNATURES,
    Note,
    NoteSignature,
    format_note,
    format_signature_line,
    open_note,
    parse_note,
    parse_signature_line,
    sign_note,
)
from counterfoil.errors import FormatError, SignatureError


def signer(name, seed=0, algorithm=Algorithm.ED25519):
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
    return PrivateKey.from_private(name, algorithm, private)


ALICE, BOB = signer("alice", 1), signer("bob", 2)
TEXT = "first\n\nsecond\n"
NOTE = sign_note(TEXT, ALICE, BOB)
DATA = format_note(NOTE)


def test_a_note_reads_back_as_it_was_written():
    """Text with empty lines, and every signature, survive the written form."""
    assert parse_note(DATA) == NOTE
    assert NOTE.text == TEXT


def test_a_text_may_look_like_a_note_itself():
    """The last empty line parts text from signatures, so notes can be quoted in notes."""
    nested = sign_note(DATA.decode(), BOB)
    assert parse_note(format_note(nested)) == nested
    assert sign_note("\n", BOB).text == "\n"


def test_opening_returns_the_known_keys_that_signed():
    """Keys come in the note's order, each once; signatures of others are ignored."""
    assert open_note(DATA, BOB.key, ALICE.key).verified == (ALICE.key, BOB.key)
    assert open_note(DATA, BOB.key).verified == (BOB.key,)
    twice = Note(TEXT, NOTE.signatures * 2)
    assert open_note(format_note(twice), ALICE.key).verified == (ALICE.key,)


def test_a_note_that_no_known_key_signed_is_rejected():
    """Without a trusted signature nothing of a note counts, with no keys at all as well."""
    for keys in ((), (signer("carol", 3).key,), (signer("alice", 3).key,)):
        with pytest.raises(SignatureError, match="no known key signed"):
            open_note(DATA, *keys)


def test_a_key_of_the_same_name_that_is_not_known_may_be_the_next_one():
    """Who has the old policy of a log that has a new key is told where to get the new one."""
    with pytest.raises(SignatureError) as caught:
        open_note(DATA, signer("alice", 3).key)
    assert "handed over" in caught.value.hint
    assert "counterfoil policy trust FILE" in caught.value.hint
    with pytest.raises(SignatureError) as caught:
        open_note(DATA, signer("carol", 3).key)
    assert "handed over" not in caught.value.hint


def test_one_false_signature_of_a_known_key_rejects_the_whole_note():
    """A valid signature beside it does not help: somebody tampered."""
    false = NoteSignature("bob", BOB.key.key_id, bytes(64))
    data = format_note(Note(TEXT, (NOTE.signatures[0], false)))
    assert open_note(data, ALICE.key).verified == (ALICE.key,)
    with pytest.raises(SignatureError, match="in the name of bob"):
        open_note(data, ALICE.key, BOB.key)


def test_a_known_name_with_another_key_id_is_an_unknown_key():
    """Name and key ID together name a key; one of them alone does not."""
    other_id = NoteSignature("bob", b"\x00" * 4, b"grease")
    other_name = NoteSignature("robert", BOB.key.key_id, b"grease")
    data = format_note(Note(TEXT, (other_id, other_name, *NOTE.signatures)))
    assert open_note(data, BOB.key).verified == (BOB.key,)


def test_two_keys_with_one_label_cannot_shadow_each_other():
    """If a known key has the label of another, both are checked, and one is false."""
    shadow = VerifierKey("bob", Algorithm.ED25519, ALICE.key.public)
    object.__setattr__(shadow, "key_id", BOB.key.key_id)
    with pytest.raises(SignatureError):
        open_note(DATA, BOB.key, shadow)


def test_a_key_for_cosignatures_signs_and_opens_no_notes():
    """A witness's key means something else, so it is refused rather than ignored."""
    witness = signer("witness", 3, Algorithm.COSIGNATURE_ED25519)
    with pytest.raises(FormatError, match="is a key for cosignatures"):
        sign_note(TEXT, witness)
    with pytest.raises(FormatError, match="is a key for cosignatures"):
        open_note(DATA, witness.key)


@pytest.mark.parametrize("text", ["", "no line feed", "a\r\n", "a\tb\n", "a\x00\n", "\ud800\n"])
def test_what_cannot_be_a_text_is_not_signed(text):
    """Texts end in a line feed and hold no other control character, before a key is used."""
    with pytest.raises(FormatError, match="text of a note"):
        sign_note(text, ALICE)


def changed(old, new):
    return DATA.replace(old.encode(), new.encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        TEXT.encode(),
        DATA[:-1],
        DATA[:-1] + b"x",
        DATA + b"\n",
        DATA + b"x",
        DATA[: DATA.index(b"\n\n\xe2") + 2],
        DATA.replace(b"\n", b"\r\n"),
        DATA.replace(b"first", b"fir\xff"),
        DATA.replace(b"first", b"fir\x1bt"),
        changed("\u2014 alice", "- alice"),
        changed("\u2014 alice", "\u2014  alice"),
        changed("\u2014 alice ", "\u2014 al+ice "),
        changed("\u2014 alice ", "\u2014 al\u00a0ice "),
        changed("\u2014 alice ", "\u2014 al\u2028ice "),
        changed("\u2014 alice ", "\u2014 "),
        changed("\u2014 alice ", "\u2014 alice x "),
        changed("\u2014 bob ", "\u2014 bob ="),
    ],
)
def test_what_is_not_exactly_a_note_is_refused(data):
    """Line ends, spaces, dashes and base64 have one form; anything else is no note."""
    with pytest.raises(FormatError):
        parse_note(data)


def test_a_signature_line_needs_more_than_a_key_id():
    """Four bytes name a key and sign nothing."""
    with pytest.raises(FormatError, match="too short"):
        parse_signature_line("\u2014 alice AAAAAA==")
    with pytest.raises(FormatError, match="too short"):
        NoteSignature("alice", b"\x00" * 3, b"x")


def test_signature_lines_stand_alone_too():
    """A witness answers with lines only; each reads back as it was written."""
    for signature in NOTE.signatures:
        assert parse_signature_line(format_signature_line(signature)) == signature


def test_a_note_holds_up_to_a_hundred_signatures():
    """Many witnesses fit; a note of more is refused before any key is used."""
    line = NoteSignature("grease", b"\x00" * 4, b"x")
    full = Note(TEXT, (*NOTE.signatures, *[line] * (MAX_NOTE_SIGNATURES - 2)))
    assert open_note(format_note(full), ALICE.key).verified == (ALICE.key,)
    over = format_note(full) + format_signature_line(line).encode() + b"\n"
    with pytest.raises(FormatError, match="1 to 100 signatures, this one 101"):
        parse_note(over)
    for count in (0, MAX_NOTE_SIGNATURES + 1):
        with pytest.raises(FormatError, match="1 to 100 signatures"):
            Note(TEXT, (line,) * count)


def test_a_note_has_a_largest_size():
    """A million bytes are read, one more is not, neither in nor out."""
    room = MAX_NOTE_BYTES - len(format_note(sign_note("\n", ALICE)))
    largest = sign_note("a" * room + "\n", ALICE)
    assert parse_note(format_note(largest)) == largest
    with pytest.raises(FormatError, match="at most 1000000"):
        format_note(sign_note("a" * room + "a\n", ALICE))
    with pytest.raises(FormatError, match="at most 1000000"):
        parse_note(b"a" + format_note(largest))
