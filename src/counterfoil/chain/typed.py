"""What members of a committee sign for a contract, and their signatures: EIP-712 and EIP-2098.

A message names chain, contract, log and epoch, so it counts in one place only, once. The contract
recovers the signer itself; `recover` does the same here, before gas is spent.

Source:
    EIP-191; EIP-712; EIP-2098; contracts/committee.vy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from eth_keys.datatypes import Signature as CurveSignature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from counterfoil.chain.keystore import encode_defunct, encode_typed_data
from counterfoil.errors import FormatError, SignatureError

if TYPE_CHECKING:
    from eth_account.messages import SignableMessage

Message: TypeAlias = "Mapping[str, Any]"
"""Typed data as eth_signTypedData_v4 takes it: JSON, with bytes in hexadecimal."""

SIGNATURE_BYTES = 64

CHECKPOINT = "bytes32 log,uint64 epoch,uint64 size,bytes32 root"
ROTATION = "bytes32 committee,uint64 epoch,uint64 threshold,address[] members"

_WORD = 32
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_PARITY_BIT = 1 << 255
_LEGACY_V = 27  # 27 and 28 were the parities 0 and 1 once, and still are in 65-byte signatures
_DOMAIN_TYPE = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature by a key on secp256k1, in 64 bytes.

    Args:
        r: 32 bytes.
        vs: s, at most half of the curve's order, with the parity of y in its highest bit.
    """

    r: bytes
    vs: bytes

    def __post_init__(self) -> None:
        """Check sizes and the range of s: of two forms of one signature, one counts.

        Raises:
            FormatError: it is none.
        """
        if len(self.r) != _WORD or len(self.vs) != _WORD or not 0 < self._s() <= _HALF_ORDER:
            raise FormatError(
                "a signature is 64 bytes, with s from 1 to half of the curve's order (EIP-2098)",
                hint="Have it made again by a signer that follows EIP-2.",
            )

    @classmethod
    def parse(cls, data: bytes) -> Signature:
        """Read 64 bytes (EIP-2098), or 65 that end in the parity or in 27 and the parity.

        Raises:
            FormatError: they are no signature.
        """
        if len(data) == SIGNATURE_BYTES:
            return cls(data[:_WORD], data[_WORD:])
        if len(data) == SIGNATURE_BYTES + 1 and data[-1] in {0, 1, _LEGACY_V, _LEGACY_V + 1}:
            s = int.from_bytes(data[_WORD:SIGNATURE_BYTES], "big")
            parity = data[-1] % _LEGACY_V
            if s < _PARITY_BIT:
                vs = s | parity << 255
                return cls(data[:_WORD], vs.to_bytes(_WORD, "big"))
        raise FormatError(
            f"these {len(data)} bytes are no signature by an account",
            hint="It has 64 bytes (EIP-2098), or 65 with the parity at the end.",
        )

    def __bytes__(self) -> bytes:
        return self.r + self.vs

    def long(self) -> bytes:
        """Write it in 65 bytes, as wallets do: r, s, and 27 or 28."""
        return self.r + self._s().to_bytes(_WORD, "big") + bytes([_LEGACY_V + (self.vs[0] >> 7)])

    def recover(self, digest: bytes) -> str:
        """Find whose signature of a 32-byte digest this is.

        Raises:
            SignatureError: it is nobody's.
        """
        parity = self.vs[0] >> 7
        try:
            curve = CurveSignature(vrs=(parity, int.from_bytes(self.r, "big"), self._s()))
            return str(curve.recover_public_key_from_msg_hash(digest).to_checksum_address())
        except (BadSignature, ValidationError, ValueError) as error:
            raise SignatureError(
                "this signature is nobody's", hint="Have it made again; its bytes were changed."
            ) from error

    def _s(self) -> int:
        return int.from_bytes(self.vs, "big") & (_PARITY_BIT - 1)


def typed_message(
    chain_id: int, contract: str, kind: str, fields: str, values: Mapping[str, object]
) -> Message:
    """Make what is signed for a contract of ours.

    Args:
        chain_id: The chain.
        contract: Address of the contract.
        kind: What is signed, for instance `Checkpoint`.
        fields: Its fields as the artifact lists them: `bytes32 log,uint64 epoch`.
        values: A value for each; 32 bytes for `bytes32`.

    Raises:
        FormatError: values and fields do not fit.
    """
    types = [
        dict(zip(("type", "name"), field.split(" "), strict=True)) for field in fields.split(",")
    ]
    if [one["name"] for one in types] != list(values):
        raise FormatError(
            f"a {kind} has the fields {fields}, in this order",
            hint="Sign for the contract that this version of counterfoil deploys.",
        )
    return {
        "types": {"EIP712Domain": _DOMAIN_TYPE, kind: types},
        "primaryType": kind,
        "domain": {
            "name": "counterfoil",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": contract,
        },
        "message": {name: _json(value) for name, value in values.items()},
    }


def checkpoint_message(
    chain_id: int, contract: str, *, log: bytes, epoch: int, size: int, root: bytes
) -> Message:
    """Make what a member signs so that a checkpoint can be anchored.

    Args:
        chain_id: The chain.
        contract: Address of the CheckpointAnchor.
        log: The log's id there, 32 bytes.
        epoch: The committee's, from 1.
        size: Leaves.
        root: Root hash, 32 bytes.
    """
    values = {"log": log, "epoch": epoch, "size": size, "root": root}
    return typed_message(chain_id, contract, "Checkpoint", CHECKPOINT, values)


def rotation_message(
    chain_id: int,
    contract: str,
    *,
    committee: bytes,
    epoch: int,
    threshold: int,
    members: Sequence[str],
) -> Message:
    """Make what a quorum of the old members and one of the new sign to change the committee.

    Args:
        chain_id: The chain.
        contract: Address of the contract.
        committee: Its id there, 32 bytes; of a log, the log's.
        epoch: The one that begins.
        threshold: How many of the new members have to sign.
        members: The new members, ascending.
    """
    values = {
        "committee": committee,
        "epoch": epoch,
        "threshold": threshold,
        "members": list(members),
    }
    return typed_message(chain_id, contract, "Rotation", ROTATION, values)


def digest(message: Message) -> bytes:
    """Hash what is signed, as the contract does; 32 bytes."""
    return _hash(encode_typed_data(full_message=dict(message)))


def text_digest(text: str) -> bytes:
    """Hash a text for an account to sign, so that it can be no transaction (EIP-191); 32 bytes."""
    return _hash(encode_defunct(text=text))


def _hash(signable: SignableMessage) -> bytes:
    return bytes(keccak(b"\x19" + signable.version + signable.header + signable.body))


def _json(value: object) -> object:
    if not isinstance(value, bytes):
        return value
    if len(value) != _WORD:
        raise FormatError(
            f"{len(value)} bytes where a contract takes 32", hint="Give the whole hash or id."
        )
    return "0x" + value.hex()
