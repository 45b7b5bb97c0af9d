"""Members of committees, and what they sign: typed data, encoded and signed by eth-account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data

Signature = tuple[bytes, bytes]

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
# Written down a second time, so that no type changes unnoticed: a test compares the artifacts.
TYPES = {
    "Authorisation": (
        "bytes32 use,bytes32 model,bytes32 statement,uint64 expires,bytes32 revocation,uint64 epoch"
    ),
    "Checkpoint": "bytes32 log,uint64 epoch,uint64 size,bytes32 root",
    "Key": (
        "bytes32 organisation,uint8 kind,bytes32 key,"
        "uint64 not_before,uint64 not_after,uint64 epoch"
    ),
    "KeyRevocation": "uint8 kind,bytes32 key,uint64 revoked_from,uint64 epoch",
    "Revocation": "bytes32 use,bytes32 model,bytes32 statement,uint64 epoch",
    "Rotation": "bytes32 committee,uint64 epoch,uint64 threshold,address[] members",
}


class Member:
    """An organisation's secp256k1 key."""

    def __init__(self, secret: int) -> None:
        self._account = Account.from_key(secret.to_bytes(32, "big"))
        self.address: str = self._account.address

    def sign(self, domain: dict[str, Any], kind: str, message: dict[str, Any]) -> Signature:
        """Sign typed data; EIP-2098 form."""
        pairs = [field.split() for field in TYPES[kind].split(",")]
        fields = [{"type": type_, "name": name} for type_, name in pairs]
        signed = self._account.sign_message(encode_typed_data(domain, {kind: fields}, message))
        return compact(signed.r, signed.s, signed.v)


def compact(r: int, s: int, v: int) -> Signature:
    """Write a signature as `r`, `vs` (EIP-2098)."""
    return r.to_bytes(32, "big"), (s | (v - 27) << 255).to_bytes(32, "big")


def other_form(signature: Signature) -> Signature:
    """The same key's other signature, s above half of the order, as far as 255 bits hold it."""
    r, vs = (int.from_bytes(part, "big") for part in signature)
    s, parity = vs & (1 << 255) - 1, vs >> 255
    high = (ORDER - s) & (1 << 255) - 1
    return r.to_bytes(32, "big"), (high | (1 - parity) << 255).to_bytes(32, "big")


def members(first: int, count: int) -> list[Member]:
    """Different members for different `first`; ascending addresses, as contracts want them."""
    made = [Member(secret) for secret in range(first, first + count)]
    return sorted(made, key=lambda member: int(member.address, 16))


def addresses(committee: Sequence[Member]) -> list[str]:
    """What the contracts know the members by."""
    return [member.address for member in committee]


def domain_of(contract: str, chain_id: int = 1) -> dict[str, Any]:
    """What signatures are bound to; titanoboa's chain is number 1."""
    return {
        "name": "counterfoil",
        "version": "1",
        "chainId": chain_id,
        "verifyingContract": contract,
    }
