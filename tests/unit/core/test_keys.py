from __future__ import annotations

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from counterfoil.core.keys import (
    Algorithm,
    PrivateKey,
    VerifierKey,
    format_vkey,
    parse_vkey,
)
from counterfoil.core.text import format_base64
from counterfoil.errors import FormatError, SignatureError, UnavailableError

ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ML_DSA = MLDSA44PrivateKey.from_seed_bytes(bytes(range(32)))
SIGNERS = [
    PrivateKey.from_private("example.com/log", Algorithm.ED25519, ED25519),
    PrivateKey.from_private("witness.example/1", Algorithm.COSIGNATURE_ED25519, ED25519),
    PrivateKey.from_private("witness.example/2", Algorithm.COSIGNATURE_ML_DSA_44, ML_DSA),
]
KEY = SIGNERS[0].key
VKEY = format_vkey(KEY)


@pytest.mark.parametrize("signer", SIGNERS)
def test_a_key_survives_its_written_form(signer):
    """A verifier key holds name, algorithm and public bytes, and reads back equal."""
    assert parse_vkey(format_vkey(signer.key)) == signer.key


@pytest.mark.parametrize("signer", SIGNERS)
def test_a_signature_holds_for_its_message_alone(signer):
    """What a key signed verifies under it, and no other message does."""
    signature = signer.sign(b"message")
    signer.key.verify(b"message", signature)
    with pytest.raises(SignatureError):
        signer.key.verify(b"massage", signature)


@pytest.mark.parametrize("signer", SIGNERS)
def test_a_signature_of_another_length_is_false(signer):
    """Cut, prolonged and empty signatures raise as any false one does."""
    signature = signer.sign(b"message")
    for other in (b"", signature[:-1], signature + b"\x00"):
        with pytest.raises(SignatureError):
            signer.key.verify(b"message", other)


def test_one_pair_of_key_bytes_for_two_purposes_is_two_keys():
    """Name and algorithm are part of a key's identity, so nobody can relabel it."""
    ids = {
        VerifierKey(name, algorithm, KEY.public).key_id
        for name in ("a", "b")
        for algorithm in (Algorithm.ED25519, Algorithm.COSIGNATURE_ED25519)
    }
    assert len(ids) == 4


def test_every_changed_character_of_a_verifier_key_is_refused():
    """The key ID is computed again, so a typing error cannot make another key."""
    for position in range(len(VKEY)):
        for other in "Az9+/ =":
            changed = VKEY[:position] + other + VKEY[position + 1 :]
            if changed != VKEY:
                with pytest.raises(FormatError):
                    parse_vkey(changed)


def test_every_part_of_a_verifier_key_is_refused():
    """A key that was not copied whole is not read."""
    for start in range(len(VKEY)):
        for end in range(start, len(VKEY) + 1):
            if VKEY[start:end] != VKEY:
                with pytest.raises(FormatError):
                    parse_vkey(VKEY[start:end])


@pytest.mark.parametrize("material", [b"", b"\x00" * 33, b"\x02" * 33, b"\xff" * 33, b"\x01" * 32])
def test_a_key_of_another_type_or_size_is_refused(material):
    """Only the three known types are read, each with its own number of bytes."""
    with pytest.raises(FormatError):
        parse_vkey(f"example.com/log+00000000+{format_base64(material)}")


@pytest.mark.parametrize(("algorithm", "size"), [(1, 31), (1, 33), (4, 1312), (6, 32), (6, 1313)])
def test_a_key_of_another_size_cannot_be_made(algorithm, size):
    """Whoever holds a `VerifierKey` holds as many bytes as its algorithm has."""
    with pytest.raises(FormatError, match=f"has {size} bytes"):
        VerifierKey("example.com/log", Algorithm(algorithm), bytes(size))


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a+b", "a\nb", "a\x00b", "a\u00a0b", "a\u2028b", "a\u3000b", "\ud800", "a" * 256],
)
def test_a_name_that_no_note_could_carry_is_refused(name):
    """Names are not empty, at most 255 bytes, without spaces, controls, `+` and surrogates."""
    with pytest.raises(FormatError):
        VerifierKey(name, Algorithm.ED25519, bytes(32))


def test_the_longest_name_is_counted_in_bytes():
    """255 bytes of UTF-8 are a name, whatever the number of characters."""
    VerifierKey("\u00e9" * 127 + "a", Algorithm.ED25519, bytes(32))
    with pytest.raises(FormatError):
        VerifierKey("\u00e9" * 128, Algorithm.ED25519, bytes(32))


def test_a_private_key_must_be_the_one_of_its_public_half():
    """A key file that was exchanged for another is noticed before anything is signed."""
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    for private in (other, ML_DSA):
        with pytest.raises(FormatError, match=r"not the one of example.com/log"):
            PrivateKey(KEY, private)


def test_a_private_key_does_not_show_itself():
    """The private half is in no representation and takes no part in comparison."""
    assert "Ed25519PrivateKey" not in repr(SIGNERS[0])
    assert PrivateKey(KEY, ED25519) == SIGNERS[0]


def test_a_library_without_ml_dsa_is_said_to_be_one(monkeypatch):
    """Where ML-DSA-44 cannot be checked, that is an outage and not a false signature."""

    def refuse(_):
        raise UnsupportedAlgorithm("no")

    monkeypatch.setattr(MLDSA44PublicKey, "from_public_bytes", refuse)
    with pytest.raises(UnavailableError, match="without ML-DSA-44"):
        SIGNERS[2].key.verify(b"", b"")
