"""Signed notes against the values of golang.org/x/mod/sumdb/note and of C2SP."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.core.keys import Algorithm, PrivateKey, VerifierKey, format_vkey, parse_vkey
from counterfoil.core.note import (
    Note,
    format_note,
    format_signature_line,
    open_note,
    parse_note,
    parse_signature_line,
    sign_note,
)
from counterfoil.errors import FormatError, SignatureError


@pytest.fixture
def cases(vectors):
    return json.loads((vectors / "tlog" / "signed_note.json").read_text())


def test_our_signature_is_the_one_that_go_makes(cases):
    """Key, key ID and signature line come out byte for byte."""
    for case in cases["sign"]:
        # PRIVATE+KEY+<name>+<key ID>+base64(algorithm ‖ seed): Go's form of a private key.
        name, _, encoded = case["skey"].removeprefix("PRIVATE+KEY+").split("+", 2)
        private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(encoded)[1:])
        signer = PrivateKey.from_private(name, Algorithm.ED25519, private)
        assert format_vkey(signer.key) == case["vkey"]
        note = sign_note(case["text"], signer)
        assert format_signature_line(note.signatures[0]) + "\n" == case["sigline"]


def test_a_note_of_two_signers_opens_under_either_key(cases):
    """Both of Go's keys verify, together and alone, in any order."""
    first, second = cases["sign"][0], cases["second_key"]
    lines = [case["sigline"].removesuffix("\n") for case in (first, second)]
    data = format_note(Note(first["text"], tuple(map(parse_signature_line, lines))))
    a, b = (parse_vkey(case["vkey"]) for case in (first, second))
    assert open_note(data, b, a).verified == (a, b)
    assert open_note(data, a).verified == (a,)
    assert open_note(data, b).verified == (b,)


def test_keys_that_go_refuses_are_refused(cases):
    """A key with bytes to spare or of an unknown type is no key."""
    assert cases["bad_vkeys"]
    for vkey in cases["bad_vkeys"]:
        with pytest.raises(FormatError):
            parse_vkey(vkey)


def test_the_example_of_the_specification_opens(cases):
    """C2SP's own key opens C2SP's own note."""
    example = cases["spec_example"]
    key = parse_vkey(example["vkey"])
    data = example["note"].encode()
    assert open_note(data, key).note.text == "This is an example message.\n"
    assert format_note(parse_note(data)) == data
    with pytest.raises(SignatureError):
        open_note(data.replace(b"example message", b"example massage"), key)


def test_a_checkpoint_of_sigsum_opens(cases):
    """A log of another implementation is read under the key that its ID is made of."""
    case = cases["sigsum_checkpoint_issue99"]
    data = case["note"].encode()
    origin = case["note"].split("\n", 1)[0]
    key = VerifierKey(origin, Algorithm.ED25519, bytes.fromhex(case["pub_hex"]))
    checkpoint = open_checkpoint(data, key)
    assert (checkpoint.origin, checkpoint.size) == (origin, 10)
