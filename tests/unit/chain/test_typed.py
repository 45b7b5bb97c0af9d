from __future__ import annotations

import contextlib

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chain.account import LocalAccount
from counterfoil.chain.contracts import CONTRACTS, load_artifact
from counterfoil.chain.typed import (
    CHECKPOINT,
    ROTATION,
    Signature,
    checkpoint_message,
    digest,
    rotation_message,
    text_digest,
    typed_message,
)
from counterfoil.errors import FormatError, SignatureError

ACCOUNT = LocalAccount(b"\x07" * 32)
PLACE = (31337, "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def message(**changed):
    fields = {"log": b"\x01" * 32, "epoch": 1, "size": 5, "root": b"\x02" * 32} | changed
    return checkpoint_message(*PLACE, **fields)


def test_messages_are_those_that_the_contracts_sign():
    """The fields that are signed here are those that each artifact lists."""
    assert load_artifact("CheckpointAnchor").signed_types["Checkpoint"] == CHECKPOINT
    for name in CONTRACTS:
        types = load_artifact(name).signed_types
        assert types.get("Rotation", ROTATION) == ROTATION


def test_every_value_is_under_the_signature():
    """No two different messages have one digest: chain, contract and every field count."""
    others = [
        message(),
        message(log=b"\x03" * 32),
        message(epoch=2),
        message(size=6),
        message(root=b"\x03" * 32),
        checkpoint_message(1, PLACE[1], log=b"\1" * 32, epoch=1, size=5, root=b"\2" * 32),
        checkpoint_message(
            31337, ACCOUNT.address, log=b"\1" * 32, epoch=1, size=5, root=b"\2" * 32
        ),
        rotation_message(*PLACE, committee=b"\1" * 32, epoch=1, threshold=1, members=[PLACE[1]]),
    ]
    assert len({digest(one) for one in others}) == len(others)


def test_a_signature_is_recovered_and_only_for_its_message():
    """Whoever signed is found from the signature, and from no other message."""
    signature = ACCOUNT.sign_typed(message())
    assert signature.recover(digest(message())) == ACCOUNT.address
    try:
        other = signature.recover(digest(message(size=6)))
    except SignatureError:
        other = ""
    assert other != ACCOUNT.address


def test_a_text_is_signed_as_wallets_sign_it():
    """A signed text is recovered by another implementation, and only from that text."""
    signature = ACCOUNT.sign_text("counterfoil: ü")
    signable = encode_defunct(text="counterfoil: ü")
    assert Account.recover_message(signable, signature=signature.long()) == ACCOUNT.address
    assert signature.recover(text_digest("counterfoil: ü")) == ACCOUNT.address
    assert text_digest("a") != text_digest("b")


def test_a_signature_reads_back_in_both_forms():
    """64 bytes, and 65 with the parity in either way of writing it, are the same signature."""
    signature = ACCOUNT.sign_typed(message())
    assert Signature.parse(bytes(signature)) == signature
    s = int.from_bytes(signature.vs, "big")
    parity = s >> 255
    long = signature.r + (s & (2**255 - 1)).to_bytes(32, "big")
    for last in (parity, parity + 27):
        assert Signature.parse(long + bytes([last])) == signature
    assert signature.long() == long + bytes([parity + 27])


def test_the_other_form_of_a_valid_signature_is_refused():
    """The same signature with s in the upper half, which others could make, does not exist."""
    signature = ACCOUNT.sign_typed(message())
    s = int.from_bytes(signature.vs, "big") & (2**255 - 1)
    high = (ORDER - s).to_bytes(32, "big")
    with pytest.raises(FormatError):
        Signature.parse(signature.r + high + bytes([1]))
    with pytest.raises(FormatError):
        Signature(signature.r, bytes(32))


@given(st.binary(max_size=70))
def test_arbitrary_bytes_are_a_signature_or_refused(data: bytes):
    """Bytes are a signature of 64 or 65 bytes, or a FormatError."""
    try:
        signature = Signature.parse(data)
    except FormatError:
        return
    assert len(data) in {64, 65}
    assert Signature.parse(bytes(signature)) == signature
    with contextlib.suppress(SignatureError):
        assert signature.recover(bytes(32)).startswith("0x")


@pytest.mark.parametrize("changed", [{"log": b"short"}, {"root": b"\x02" * 33}])
def test_hashes_have_32_bytes(changed):
    """A hash of another length is refused, and not filled up."""
    with pytest.raises(FormatError, match="takes 32"):
        message(**changed)


def test_values_that_do_not_fit_the_fields_are_refused():
    """A message with a field missing, or in another order, is not made."""
    with pytest.raises(FormatError, match="has the fields"):
        typed_message(*PLACE, "Key", "uint64 a,uint64 b", {"a": 1})
    with pytest.raises(FormatError, match="in this order"):
        typed_message(*PLACE, "Key", "uint64 a,uint64 b", {"b": 1, "a": 1})
