"""A witness's two keys, each signing for the other: so neither can be put beside a stranger's.

The witness's own key signs a line of text (`core.anchoring`); the anchor key signs typed data,
which any signer of accounts can show and sign.
"""

from __future__ import annotations

from counterfoil.chain.account import Account
from counterfoil.chain.typed import Message, Signature, digest
from counterfoil.core.anchoring import AnchorKey, binding_of
from counterfoil.core.keys import Signer, VerifierKey, format_vkey
from counterfoil.core.quorum import Witness
from counterfoil.core.text import format_base64
from counterfoil.errors import PolicyError


def bind(witness: Signer, account: Account) -> AnchorKey:
    """Let a witness's two keys sign for each other.

    Args:
        witness: Its cosignature key.
        account: Its key on chains.
    """
    address = account.address.lower()
    by_witness = witness.sign(binding_of(witness.key, address).encode())
    by_address = account.sign_typed(_message(witness.key, address))
    return AnchorKey(address, format_base64(by_witness), f"0x{bytes(by_address).hex()}")


def check_binding(witness: Witness) -> AnchorKey:
    """Check that a witness's anchor key has signed for the witness's key, and return it.

    The other direction was checked when the policy was read.

    Raises:
        FormatError: This is no signature.
        PolicyError: It has not, or the witness has no anchor key.
        SignatureError: The signature is nobody's.
    """
    anchor = witness.anchor
    if anchor is None:
        raise PolicyError(
            f"the witness {witness.name} has no anchor key", hint="Add it to the trust policy."
        )
    signature = Signature.parse(bytes.fromhex(anchor.by_address.removeprefix("0x")))
    signer = signature.recover(digest(_message(witness.key, anchor.address))).lower()
    if signer != anchor.address:
        raise PolicyError(
            f"{anchor.address} has not signed for the witness {witness.name}",
            have=signer,
            need=anchor.address,
            hint="Copy the block that `counterfoil chain member` prints.",
        )
    return anchor


def _message(key: VerifierKey, address: str) -> Message:
    """Make the typed data; its domain names no chain, as the key is good on any."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
            ],
            "AnchorKey": [
                {"name": "witness", "type": "string"},
                {"name": "anchor", "type": "address"},
            ],
        },
        "primaryType": "AnchorKey",
        "domain": {"name": "counterfoil", "version": "1"},
        "message": {"witness": format_vkey(key), "anchor": address},
    }
