from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core import text
from counterfoil.core.checkpoint import (
    Checkpoint,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from counterfoil.core.cosignature import cosign, find_cosignatures
from counterfoil.core.keys import (
    Algorithm,
    PrivateKey,
    VerifierKey,
    check_key_name,
    format_vkey,
    parse_vkey,
)
from counterfoil.core.merkle import MAX_SIZE, leaf_hash, prove_inclusion, root_of
from counterfoil.core.note import (
    Note,
    NoteSignature,
    format_note,
    open_note,
    parse_note,
    parse_signature_line,
    sign_note,
)
from counterfoil.core.receipt import Receipt, check_receipt, format_receipt, parse_receipt
from counterfoil.core.tile import parse_bundle, parse_tile_path
from counterfoil.errors import CounterfoilError, FormatError

ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOG = PrivateKey.from_private("example.com/log", Algorithm.ED25519, ED25519)
W4 = PrivateKey.from_private("w.example/4", Algorithm.COSIGNATURE_ED25519, ED25519)
W6 = PrivateKey.from_private(
    "w.example/6", Algorithm.COSIGNATURE_ML_DSA_44, MLDSA44PrivateKey.from_seed_bytes(bytes(32))
)

ENTRIES = [b"", b"one", b"two", b"three", b"four"]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def node(level, index):
    return root_of(LEAVES[index << level : (index + 1) << level])


TREE = Checkpoint("example.com/log", len(LEAVES), root_of(LEAVES))
SIGNED = sign_checkpoint(TREE, LOG)
RECEIPT = Receipt(2, prove_inclusion(2, len(LEAVES), node), SIGNED)


def is_key_name(name):
    with contextlib.suppress(FormatError):
        check_key_name(name)
        return True
    return False


NAMES = st.text(min_size=1, max_size=20).filter(is_key_name)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=80).map(
    lambda body: body + "\n"
)
NOTES = st.builds(
    Note,
    TEXTS,
    st.lists(
        st.builds(
            NoteSignature,
            NAMES,
            st.binary(min_size=4, max_size=4),
            st.binary(min_size=1, max_size=80),
        ),
        min_size=1,
        max_size=5,
    ).map(tuple),
)
ORIGINS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60)
CHECKPOINTS = st.builds(
    Checkpoint, ORIGINS, st.integers(0, MAX_SIZE), st.binary(min_size=32, max_size=32)
)
HASHES = st.binary(min_size=32, max_size=32)


@given(NOTES)
def test_every_note_reads_back_as_it_was_written(note):
    """Any text and any signatures survive, texts with empty lines and dashes included."""
    assert parse_note(format_note(note)) == note


@given(CHECKPOINTS)
def test_every_checkpoint_reads_back_as_it_was_written(checkpoint):
    """Any origin, size and root survive."""
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


@given(NAMES, st.sampled_from([1, 4]), st.binary(min_size=32, max_size=32))
def test_every_key_reads_back_as_it_was_written(name, algorithm, public):
    """Any name and any bytes survive."""
    key = VerifierKey(name, Algorithm(algorithm), public)
    assert parse_vkey(format_vkey(key)) == key


@given(st.integers(0, MAX_SIZE - 1), st.lists(HASHES, max_size=63), st.binary(max_size=60))
def test_every_receipt_reads_back_as_it_was_written(index, path, extra):
    """Any index, path and extra data survive."""
    receipt = Receipt(index, tuple(path), SIGNED, extra)
    assert parse_receipt(format_receipt(receipt)) == receipt


@given(TEXTS)
def test_what_is_signed_opens(note_text):
    """Any text that can be signed is the text that its reader gets."""
    assert open_note(format_note(sign_note(note_text, LOG)), LOG.key).note.text == note_text


def flips(data):
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            yield bytes(changed)


def test_every_flipped_bit_of_a_signed_checkpoint_fails():
    """No single bit of text, name, key ID or signature can change unnoticed."""
    assert open_checkpoint(SIGNED, LOG.key) == TREE
    for changed in flips(SIGNED):
        with pytest.raises(CounterfoilError):
            open_checkpoint(changed, LOG.key)


def test_every_flipped_bit_of_a_receipt_fails():
    """No single bit of index, path or checkpoint can change unnoticed."""
    data = format_receipt(RECEIPT)
    assert check_receipt(b"two", parse_receipt(data), LOG.key) == TREE
    for changed in flips(data):
        with pytest.raises(CounterfoilError):
            check_receipt(b"two", parse_receipt(changed), LOG.key)


def found(data, witness):
    """The cosignatures in `data`, or None where it is refused."""
    with contextlib.suppress(CounterfoilError):
        return find_cosignatures(parse_note(data), [witness.key])
    return None


def test_every_flipped_bit_of_a_cosignature_costs_the_witness():
    """A changed time, name or signature never counts, not even with another time."""
    line = cosign(format_checkpoint(TREE), 1_795_305_600, W4)
    data = format_note(Note(format_checkpoint(TREE), (line,)))
    assert found(data, W4) == ((W4.key, 1_795_305_600),)
    assert {found(changed, W4) for changed in flips(data)} == {None, ()}


@given(st.data())
def test_a_flipped_bit_of_a_post_quantum_cosignature_costs_the_witness(data):
    """The same holds for ML-DSA-44, at places drawn at random as there are 26,000 bits."""
    line = cosign(format_checkpoint(TREE), 1_795_305_600, W6)
    signed = bytearray(format_note(Note(format_checkpoint(TREE), (line,))))
    bit = data.draw(st.integers(0, len(signed) * 8 - 1))
    signed[bit // 8] ^= 1 << bit % 8
    assert not found(bytes(signed), W6)


BYTE_PARSERS = {
    "note": parse_note,
    "checkpoint": lambda data: open_checkpoint(data, LOG.key),
    "receipt": lambda data: check_receipt(b"two", parse_receipt(data), LOG.key),
    "bundle": lambda data: parse_bundle(data, max(1, len(data) % 257)),
}
TEXT_PARSERS = {
    "vkey": parse_vkey,
    "key name": check_key_name,
    "signature line": parse_signature_line,
    "note text": lambda data: sign_note(data, LOG),
    "checkpoint text": parse_checkpoint,
    "origin": lambda data: Checkpoint(data, 0, TREE.root),
    "tile path": parse_tile_path,
    "base64": lambda data: text.parse_base64(data, "x"),
    "base64url": lambda data: text.parse_base64url(data, "x"),
    "hex": lambda data: text.parse_hex(data, "x"),
    "decimal": lambda data: text.parse_decimal(data, "x"),
}
STARTS = [format_note(sign_note("a\n", LOG)), SIGNED, format_receipt(RECEIPT), b"tile/0/000", b""]


@st.composite
def hostile(draw):
    """Random bytes, or something well formed with a random piece exchanged."""
    start = draw(st.sampled_from(STARTS))
    low = draw(st.integers(0, len(start)))
    high = draw(st.integers(low, len(start)))
    pieces = [b"\n", b"\n\n", b" ", b"=", b"\xe2\x80\x94 ", b"\x00", b"-1", b"\xed\xa0\x80"]
    piece = draw(st.binary(max_size=20) | st.sampled_from(pieces))
    return start[:low] + piece + start[high:]


@pytest.mark.parametrize("kind", BYTE_PARSERS)
@given(data=hostile())
def test_arbitrary_bytes_raise_only_our_errors(kind, data):
    """A parser reads or refuses; nothing of Python's own comes through."""
    with contextlib.suppress(CounterfoilError):
        BYTE_PARSERS[kind](data)


@pytest.mark.parametrize("kind", TEXT_PARSERS)
@given(data=hostile().map(lambda data: data.decode("latin-1")) | st.text(st.characters()))
def test_arbitrary_text_raises_only_our_errors(kind, data):
    """The same for text, lone surrogates included."""
    with contextlib.suppress(CounterfoilError):
        TEXT_PARSERS[kind](data)


@given(hostile())
def test_whatever_is_accepted_has_one_written_form(data):
    """If bytes are read as a note or receipt, writing it gives the same bytes."""
    for parse, write in ((parse_note, format_note), (parse_receipt, format_receipt)):
        try:
            value = parse(data)
        except FormatError:
            continue
        assert write(value) == data
