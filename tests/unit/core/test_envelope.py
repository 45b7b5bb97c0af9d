from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.core.envelope import (
    IN_TOTO,
    MAX_ENVELOPE_BYTES,
    MAX_SIGNATURES,
    Envelope,
    EnvelopeSignature,
    check_envelope,
    format_envelope,
    pae,
    parse_envelope,
    sign_envelope,
)
from counterfoil.core.keys import Algorithm, PrivateKey
from counterfoil.errors import FormatError, SignatureError


def signer(name, seed=1):
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
    return PrivateKey.from_private(name, Algorithm.ED25519, private)


RISK_A, RISK_B, STRANGER = signer("risk-a"), signer("risk-b", 2), signer("stranger", 3)
ENVELOPE = sign_envelope(b'{"a":1}', RISK_A, RISK_B)
DATA = format_envelope(ENVELOPE)


def test_what_is_signed_is_the_encoding_of_dsse():
    """The protocol's own example: type and length are under the signature."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_an_envelope_reads_back_as_it_was_written():
    """Payload, type and signatures survive, in one spelling."""
    assert parse_envelope(DATA) == ENVELOPE
    assert format_envelope(parse_envelope(DATA)) == DATA
    assert set(json.loads(DATA)) == {"payload", "payloadType", "signatures"}


def test_an_envelope_is_counted_by_its_payload():
    """Signing the same words again makes no new statement."""
    assert ENVELOPE.digest == hashlib.sha256(b'{"a":1}').digest()
    assert ENVELOPE.digest == sign_envelope(b'{"a":1}', STRANGER).digest


def test_the_keys_that_signed_come_back():
    """Only keys that the verifier trusts count, in the order of the signatures."""
    a, b = RISK_A.key, RISK_B.key
    assert check_envelope(ENVELOPE, [b, a]) == (a, b)
    assert check_envelope(ENVELOPE, [b]) == (b,)
    assert check_envelope(ENVELOPE, [STRANGER.key, b, b]) == (b,)


def test_nobodys_word_proves_nothing():
    """Without a trusted signature an envelope is refused, and says whose it names."""
    for keys in ([], [STRANGER.key]):
        with pytest.raises(SignatureError, match="risk-a\\+"):
            check_envelope(ENVELOPE, keys)


def test_a_false_signature_of_a_known_key_rejects_the_envelope():
    """One good signature does not excuse a false one beside it."""
    first, second = ENVELOPE.signatures
    false = replace(ENVELOPE, signatures=(first, replace(second, signature=first.signature)))
    with pytest.raises(SignatureError, match="risk-b"):
        check_envelope(false, [RISK_A.key, RISK_B.key])
    assert check_envelope(false, [RISK_A.key]) == (RISK_A.key,)


def test_a_signature_holds_for_its_payload_and_type_only():
    """Nothing signed as one thing can be shown as another."""
    for other in (
        replace(ENVELOPE, payload=b'{"a":2}'),
        replace(ENVELOPE, payload_type="text/plain"),
    ):
        with pytest.raises(SignatureError):
            check_envelope(other, [RISK_A.key])


def test_a_key_of_the_same_name_is_another_key():
    """A name proves nothing: another pair of keys under it has another label."""
    with pytest.raises(SignatureError, match="no trusted key"):
        check_envelope(ENVELOPE, [signer("risk-a", 9).key])


def test_a_statement_is_what_was_signed_as_one():
    """The same bytes signed under another type are no statement."""
    assert ENVELOPE.in_toto == ENVELOPE.payload
    with pytest.raises(FormatError, match="text/plain"):
        _ = replace(ENVELOPE, payload_type="text/plain").in_toto


def open_by_both(data):
    """What a verifier does who needs both signatures."""
    if len(check_envelope(parse_envelope(data), [RISK_A.key, RISK_B.key])) != 2:
        raise SignatureError("one of the two did not sign")


def test_every_flipped_bit_is_noticed():
    """A changed byte anywhere is no envelope any more, or none that holds."""
    open_by_both(DATA)
    for at in range(len(DATA)):
        changed = bytearray(DATA)
        changed[at] ^= 1
        with pytest.raises((FormatError, SignatureError)):
            open_by_both(bytes(changed))


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e | {"more": 1},
        lambda e: {k: v for k, v in e.items() if k != "payloadType"},
        lambda e: e | {"payload": 1},
        lambda e: e | {"payload": e["payload"].rstrip("=")},
        lambda e: e | {"payload": "\n" + e["payload"]},
        lambda e: e | {"signatures": {}},
        lambda e: e | {"signatures": []},
        lambda e: e | {"signatures": e["signatures"] * 2},
        lambda e: e | {"signatures": [{"sig": "AAAA"}]},
        lambda e: e | {"signatures": [e["signatures"][0] | {"cert": ""}]},
        lambda e: e | {"signatures": [{"keyid": 1, "sig": "AAAA"}]},
        lambda e: [e],
    ],
)
def test_other_json_is_no_envelope(change):
    """Members are exactly those of an envelope; an envelope another tool extended is refused."""
    value = change(json.loads(DATA))
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(FormatError):
        parse_envelope(data)


def test_an_envelope_fits_into_an_entry():
    """What would not fit into the log is refused before it is sent, and unread when it comes."""
    with pytest.raises(FormatError, match="65535"):
        format_envelope(sign_envelope(bytes(49_152), RISK_A))
    with pytest.raises(FormatError):
        parse_envelope(DATA + b" " * MAX_ENVELOPE_BYTES)


def test_an_envelope_has_a_signature_and_not_hundreds():
    """Empty ones prove nothing, and a verifier is not made to check without end."""
    many = tuple(EnvelopeSignature(str(i), b"") for i in range(MAX_SIGNATURES + 1))
    assert Envelope(b"", IN_TOTO, many[1:])
    for signatures in ((), many, (many[0], many[0])):
        with pytest.raises(FormatError):
            Envelope(b"", IN_TOTO, signatures)
