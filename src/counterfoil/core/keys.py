"""Public keys as C2SP verifier keys, and what signs under them.

    example.com/log+d7a3f1c2+AY...        name + key ID (hex) + base64(algorithm ‖ public key)

A key is a name, an algorithm and public bytes; the key ID is derived from all three. So one pair
of key bytes under two names or for two purposes is two keys, and a signature made for one
purpose is never mistaken for the other. Names say whom to ask for; only the bytes prove anything.

Source:
    C2SP signed-note, "Signatures" and "Verifier keys"; C2SP tlog-cosignature, "Format".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from counterfoil.core.text import format_base64, parse_base64, parse_hex, shown
from counterfoil.errors import FormatError, SignatureError, UnavailableError

KEY_ID_BYTES = 4

MAX_KEY_NAME_BYTES = 255
"""Longest key name: ML-DSA-44 cosignatures write its length in one byte (tlog-cosignature)."""

MAX_VKEY_CHARACTERS = 4096
"""Longest verifier key that is read: the longest name, an ML-DSA-44 key in base64, and spare."""

# Spaces of any script, control characters, `+`, and halves of UTF-16 pairs, which no UTF-8 carries.
_NOT_IN_A_NAME = re.compile(r"[\s\x00-\x1f+\ud800-\udfff]")


class Algorithm(IntEnum):
    """What a key signs with and for; the signature type byte of C2SP signed-note."""

    ED25519 = 1
    COSIGNATURE_ED25519 = 4
    COSIGNATURE_ML_DSA_44 = 6


PUBLIC_BYTES = {
    Algorithm.ED25519: 32,
    Algorithm.COSIGNATURE_ED25519: 32,
    Algorithm.COSIGNATURE_ML_DSA_44: 1312,
}


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it speaks for.

    Args:
        name: Whose key this is, best a URL without scheme; not empty, no Unicode space, no `+`,
            at most `MAX_KEY_NAME_BYTES` in UTF-8.
        algorithm: What it signs with and for.
        public: The raw public key, 32 or 1312 bytes.

    Attributes:
        key_id: SHA-256(name ‖ LF ‖ algorithm ‖ public key), the first 4 bytes. It is short: it
            says which key is meant, and proves nothing.
    """

    name: str
    algorithm: Algorithm
    public: bytes
    key_id: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.name.encode()) > MAX_KEY_NAME_BYTES:
            raise FormatError(
                f"key name {shown(self.name)} is longer than {MAX_KEY_NAME_BYTES} bytes",
                hint="Choose a shorter name, such as example.org/log.",
            )
        if len(self.public) != PUBLIC_BYTES[self.algorithm]:
            raise FormatError(
                f"the public key of {shown(self.name)} has {len(self.public)} bytes, "
                f"{self.algorithm.name} keys have {PUBLIC_BYTES[self.algorithm]}",
                hint="The key was cut, or belongs to another algorithm.",
            )
        digest = sha256(self.name.encode() + b"\n" + _material(self)).digest()
        object.__setattr__(self, "key_id", digest[:KEY_ID_BYTES])

    @property
    def label(self) -> str:
        """How the key is named where it must be short: name, `+`, key ID in hex."""
        return f"{self.name}+{self.key_id.hex()}"

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check that this key signed exactly `message`.

        Args:
            message: The bytes that were signed.
            signature: The raw signature, 64 or 2420 bytes.

        Raises:
            SignatureError: It did not.
            UnavailableError: The installed `cryptography` cannot check ML-DSA-44.
        """
        try:
            _public_key(self).verify(signature, message)
        except InvalidSignature as error:
            raise SignatureError(
                f"the signature in the name of {self.label} is false",
                hint="What was signed, or the signature, was changed; fetch both from the source.",
            ) from error


def check_key_name(name: str) -> None:
    """Refuse what may not stand as a key's name in a signed note.

    Raises:
        FormatError: `name` is empty, or holds a Unicode space, a control character or `+`.

    Source:
        C2SP signed-note, "Format".
    """
    if not name or _NOT_IN_A_NAME.search(name):
        raise FormatError(
            f"{shown(name)} cannot be a key's name",
            hint="Use a name like example.org/log: not empty, without spaces and `+`.",
        )


def format_vkey(key: VerifierKey) -> str:
    """Write a key as `name+keyid+base64(algorithm ‖ public key)`."""
    return f"{key.label}+{format_base64(_material(key))}"


def parse_vkey(text: str) -> VerifierKey:
    """Read a verifier key; the key ID in it is computed again and compared.

    Raises:
        FormatError: `text` is not what `format_vkey` writes, or is of another algorithm.
    """
    parts = text.split("+", 2) if len(text) <= MAX_VKEY_CHARACTERS else []
    if len(parts) != 3:
        raise FormatError(
            f"{shown(text)} is not a verifier key",
            hint="A verifier key is one line: name+keyid+base64.",
        )
    name, key_id, encoded = parts
    material = parse_base64(encoded, f"verifier key {shown(name)}")
    try:
        algorithm = Algorithm(material[0])
    except (IndexError, ValueError) as error:
        raise FormatError(
            f"verifier key {shown(name)} is of an unknown type",
            hint="Known are 01 Ed25519, 04 Ed25519 cosignatures and 06 ML-DSA-44 cosignatures.",
        ) from error
    key = VerifierKey(name, algorithm, material[1:])
    if parse_hex(key_id, f"key ID of {shown(name)}", size=KEY_ID_BYTES) != key.key_id:
        raise FormatError(
            f"verifier key {shown(name)} has key ID {key_id}, its bytes give {key.key_id.hex()}",
            hint="Name or key were changed after the key was made; copy it again from its source.",
        )
    return key


class Signer(Protocol):
    """Signs in the name of one key, wherever the private half lives.

    `sign` returns a signature that `key.verify` accepts for the same message, or raises an error
    of `counterfoil.errors`. It signs the bytes as they are: prefixes and times that a format
    demands are put in front by the caller.
    """

    @property
    def key(self) -> VerifierKey:
        """The public half."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign `message`; 64 or 2420 bytes."""
        ...


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A signer that holds the private half in memory.

    Ed25519 signs the same message always alike. ML-DSA-44 does not: the library mixes fresh
    randomness into each signature.

    Args:
        key: The public half.
        private: The private half; never shown.
    """

    key: VerifierKey
    private: Ed25519PrivateKey | MLDSA44PrivateKey = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        expected = (
            MLDSA44PrivateKey
            if self.key.algorithm is Algorithm.COSIGNATURE_ML_DSA_44
            else Ed25519PrivateKey
        )
        if not isinstance(self.private, expected) or _public_bytes(self.private) != self.key.public:
            raise FormatError(
                f"this private key is not the one of {self.key.label}",
                hint="Check which file holds which key.",
            )

    @classmethod
    def from_private(
        cls, name: str, algorithm: Algorithm, private: Ed25519PrivateKey | MLDSA44PrivateKey
    ) -> PrivateKey:
        """Give a private key its name and purpose.

        Raises:
            FormatError: The name cannot be a key's name, or the key is of another algorithm.
        """
        return cls(VerifierKey(name, algorithm, _public_bytes(private)), private)

    def sign(self, message: bytes) -> bytes:
        """Sign `message`."""
        return self.private.sign(message)


def _public_bytes(private: Ed25519PrivateKey | MLDSA44PrivateKey) -> bytes:
    return private.public_key().public_bytes_raw()


def _material(key: VerifierKey) -> bytes:
    return bytes([key.algorithm]) + key.public


def _public_key(key: VerifierKey) -> Ed25519PublicKey | MLDSA44PublicKey:
    if key.algorithm is not Algorithm.COSIGNATURE_ML_DSA_44:
        return Ed25519PublicKey.from_public_bytes(key.public)
    try:
        return MLDSA44PublicKey.from_public_bytes(key.public)
    except UnsupportedAlgorithm as error:
        raise UnavailableError(
            "the installed cryptography package was built without ML-DSA-44",
            hint="Install the wheel of cryptography 50 or newer.",
        ) from error
