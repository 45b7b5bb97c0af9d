"""DSSE envelopes: who signed which bytes.

    {"payload":"<base64>","payloadType":"application/vnd.in-toto+json",
     "signatures":[{"keyid":"example.org+1a2b3c4d","sig":"<base64>"}]}

in canonical JSON. A signature covers the payload's type and length together with its bytes
(`pae`), so that nothing signed as one thing can be shown as another. Key ids are hints that name
a key; what counts is which of the verifier's own keys the signature holds under.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.core.text import format_base64, parse_base64, shown
from counterfoil.errors import FormatError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterfoil.core.keys import Signer, VerifierKey

IN_TOTO = "application/vnd.in-toto+json"
"""Payload type of an in-toto statement (in-toto attestation specification, envelope layer)."""

MAX_ENVELOPE_BYTES = 65_535
"""An envelope is an entry of the log, whose length is written in 16 bits (C2SP tlog-tiles)."""

MAX_SIGNATURES = 16
"""Signatures on one envelope: principals and their algorithms, not an amplifier for verifiers."""


@dataclass(frozen=True, slots=True)
class EnvelopeSignature:
    """One signature and the label of the key that made it.

    Args:
        keyid: `VerifierKey.label`: name, `+`, key ID in hex.
        signature: The raw signature over `pae`.
    """

    keyid: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and the signatures over it.

    Args:
        payload: The signed bytes.
        payload_type: What they are; a media type.
        signatures: One to `MAX_SIGNATURES`, each by another key.
    """

    payload: bytes
    payload_type: str
    signatures: tuple[EnvelopeSignature, ...]

    def __post_init__(self) -> None:
        keyids = [signature.keyid for signature in self.signatures]
        if not 1 <= len(keyids) <= MAX_SIGNATURES:
            raise FormatError(
                f"an envelope has 1 to {MAX_SIGNATURES} signatures, this one {len(keyids)}",
                hint="Sign it; where more must agree, they sign statements of their own.",
            )
        if len(set(keyids)) != len(keyids):
            raise FormatError(
                "an envelope names one key twice", hint="Each key signs an envelope once."
            )

    @property
    def digest(self) -> bytes:
        """SHA-256 of the payload, 32 bytes: what a statement is counted by."""
        return hashlib.sha256(self.payload).digest()

    @property
    def in_toto(self) -> bytes:
        """The payload where it is declared, and so signed, as an in-toto statement.

        Raises:
            FormatError: It was signed as something else, whatever it looks like.
        """
        if self.payload_type != IN_TOTO:
            raise FormatError(
                f"the payload was signed as {shown(self.payload_type)}, not as a statement",
                hint=f"The payload type of a statement is {IN_TOTO}.",
            )
        return self.payload


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: the bytes that are signed.

    Source:
        DSSE v1, protocol.md: `"DSSEv1" SP LEN(type) SP type SP LEN(body) SP body`.
    """
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload: bytes, *signers: Signer, payload_type: str = IN_TOTO) -> Envelope:
    """Put `payload` into an envelope signed by every one of `signers`."""
    message = pae(payload_type, payload)
    signatures = tuple(
        EnvelopeSignature(signer.key.label, signer.sign(message)) for signer in signers
    )
    return Envelope(payload, payload_type, signatures)


def format_envelope(envelope: Envelope) -> bytes:
    """Write an envelope as canonical JSON, the bytes of a log entry.

    Raises:
        FormatError: It is longer than an entry may be.
    """
    data = format_json(
        {
            "payload": format_base64(envelope.payload),
            "payloadType": envelope.payload_type,
            "signatures": [
                {"keyid": one.keyid, "sig": format_base64(one.signature)}
                for one in envelope.signatures
            ],
        }
    )
    if len(data) > MAX_ENVELOPE_BYTES:
        raise FormatError(
            f"this envelope has {len(data)} bytes, an entry at most {MAX_ENVELOPE_BYTES}",
            hint="Keep the large part beside the log and state its digest and size.",
        )
    return data


def parse_envelope(data: bytes) -> Envelope:
    """Read an envelope; `format_envelope` of the result is `data`.

    Signatures are not looked at here; see `check_envelope`.

    Raises:
        FormatError: Anything but canonical JSON of exactly the members of an envelope.
    """
    value = parse_canonical(data, what="envelope", max_bytes=MAX_ENVELOPE_BYTES, max_depth=3)
    match value:
        case {
            "payload": str(payload),
            "payloadType": str(payload_type),
            "signatures": list(signatures),
            **rest,
        } if not rest:
            return Envelope(
                parse_base64(payload, "envelope payload"),
                payload_type,
                tuple(_parse_signature(one) for one in signatures),
            )
    raise FormatError(
        "an envelope is an object of exactly payload, payloadType and signatures",
        hint="This is other JSON, or an envelope that another tool extended.",
    )


def _parse_signature(value: JsonValue) -> EnvelopeSignature:
    match value:
        case {"keyid": str(keyid), "sig": str(signature), **rest} if not rest:
            return EnvelopeSignature(keyid, parse_base64(signature, "envelope signature"))
    raise FormatError(
        "a signature of an envelope is an object of exactly keyid and sig",
        hint="DSSE lets keyid be absent; here it must say whose signature it is.",
    )


def check_envelope(envelope: Envelope, keys: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Return those of `keys` that signed the envelope, in the order of its signatures.

    Signatures under keys that are not among `keys` are ignored: they prove nothing to us.

    Args:
        envelope: As parsed.
        keys: Keys the verifier trusts for this purpose, from its own policy.

    Raises:
        SignatureError: None of `keys` signed, or a signature in the name of one of them is false.

    Source:
        DSSE v1, protocol.md, "Verification"; a false signature under a known key rejects the
        whole envelope, as in C2SP signed-note.
    """
    message = pae(envelope.payload_type, envelope.payload)
    signed: list[VerifierKey] = []
    for one in envelope.signatures:
        for key in keys:
            if key.label == one.keyid and key not in signed:
                key.verify(message, one.signature)
                signed.append(key)
    if not signed:
        names = ", ".join(one.keyid for one in envelope.signatures)
        raise SignatureError(
            f"no trusted key signed this envelope; it names {names}",
            hint="If you trust one of these keys for this, put it into your trust policy.",
        )
    return tuple(signed)
