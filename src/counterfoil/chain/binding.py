"""A witness's two keys, each signing for the other: so neither can be put beside a stranger's.

Both sign one text (`core.anchoring.binding_of`); the anchor key does as EIP-191 signs a text.
"""

from __future__ import annotations

from counterfoil.chain.account import Account
from counterfoil.chain.typed import Signature, text_digest
from counterfoil.core.anchoring import AnchorKey, binding_of
from counterfoil.core.keys import Signer
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
    text = binding_of(witness.key, address)
    by_witness = format_base64(witness.sign(text.encode()))
    return AnchorKey(address, by_witness, f"0x{account.sign_text(text).long().hex()}")


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
    signer = signature.recover(text_digest(binding_of(witness.key, anchor.address))).lower()
    if signer != anchor.address:
        raise PolicyError(
            f"{anchor.address} has not signed for the witness {witness.name}",
            have=signer,
            need=anchor.address,
            hint="Copy the block that `counterfoil chain member` prints.",
        )
    return anchor
