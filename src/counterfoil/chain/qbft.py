"""QBFT: who sealed a block of a consortium's chain, told from its header alone.

    extra data = RLP [vanity, [validators], vote or [], round, [seals]]
    sealed     = Keccak-256 of the header with no seals            (what each validator signs)
    block hash = Keccak-256 of the header with no seals, round 0   (what the chain calls the block)

A block is final once ⌈2N/3⌉ of its N validators sealed it, and no other block of that number can
be, as long as fewer than a third of them are dishonest. So a header with that many seals of
validators whom a policy names stands by itself, years later and without any node.

The set of validators is the one that was pinned, and is not followed: QBFT lets validators vote
others in and out, and a header says who they are, but believing it would mean following every
block since the pinned set. A header that lists other validators is refused; whoever changes
validators writes a new policy. Networks that keep their validators in a contract list none, and
are refused as well.

Source:
    EIP-650 and the QBFT specification of the Enterprise Ethereum Alliance; what exactly is hashed
    is as Hyperledger Besu 26.3 does it (`QbftExtraDataCodec`, `BftBlockHashing`, `BftHelpers`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from counterfoil.chain.answers import ADDRESS_BYTES
from counterfoil.chain.encoding import (
    RlpItem,
    check_size,
    format_rlp,
    format_uint,
    parse_rlp,
    parse_uint,
)
from counterfoil.chain.header import MAX_EXTRA_BYTES, Header
from counterfoil.errors import FormatError, PolicyError, SignatureError

MIX_HASH = bytes.fromhex("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365")
"""Stands in the mix hash of every block that a Byzantine fault tolerant consensus made."""

MAX_VALIDATORS = 128
"""Most validators of a network, as many as a policy pins: each costs a signature check."""

VANITY_BYTES = 32
"""Bytes at the beginning of the extra data that mean nothing."""

_SEAL_BYTES = 65  # r and s of 32 bytes, and the parity of r's point
_ROUND_BITS = 31
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_ADD, _DROP = b"\xff", b""


@dataclass(frozen=True, slots=True)
class ExtraData:
    """What QBFT keeps in a header.

    Args:
        validators: Addresses of those who may seal this block, 20 bytes each.
        seals: Signatures of some of them, 65 bytes each.
        round: Which try it was that made the block.
        vote: Whom the block's proposer wants in (True) or out (False), if anyone.
        vanity: 32 bytes that mean nothing.
    """

    validators: tuple[bytes, ...]
    seals: tuple[bytes, ...] = ()
    round: int = 0
    vote: tuple[bytes, bool] | None = None
    vanity: bytes = bytes(VANITY_BYTES)


@dataclass(frozen=True, slots=True)
class QbftValidators:
    """The validators whom a policy names; a header counts if enough of them sealed it.

    Args:
        addresses: Their addresses, 20 bytes each, in any order.
    """

    addresses: frozenset[bytes]

    def __post_init__(self) -> None:
        if not 1 <= len(self.addresses) <= MAX_VALIDATORS:
            raise FormatError(
                f"a network has 1 to {MAX_VALIDATORS} validators, not {len(self.addresses)}",
                hint="Name every validator once.",
            )
        for address in self.addresses:
            check_size(address, "address of a validator", ADDRESS_BYTES)

    @property
    def quorum(self) -> int:
        """How many must have sealed: two thirds of them, rounded up."""
        return -(-2 * len(self.addresses) // 3)

    def authenticate(self, header: Header) -> bytes:
        """Check that these validators, and enough of them, sealed the block.

        Args:
            header: As parsed; only what was sealed is believed.

        Returns:
            The block's hash, 32 bytes.

        Raises:
            FormatError: The header is not one of QBFT, or a seal is malformed.
            PolicyError: The block had other validators, or too few of them sealed it.
            SignatureError: A seal is not by one of them, or one sealed twice.
        """
        if header["mixHash"] != MIX_HASH:
            raise FormatError(
                f"block {header.number} was not made by QBFT",
                hint="Seals are for chains between members; elsewhere pin the block's hash.",
            )
        listed = parse_extra(header.extra).validators
        if set(listed) != self.addresses or len(listed) != len(self.addresses):
            raise PolicyError(
                f"block {header.number} had other validators than the policy names",
                have=f"{len(set(listed) & self.addresses)} of them among {len(listed)}",
                need=f"exactly the {len(self.addresses)} named",
                hint="Their set changed: get a policy that names the new one.",
            )
        signers = recover_signers(header)
        if strangers := [one for one in signers if one not in self.addresses]:
            raise SignatureError(
                f"a seal of block {header.number} is by 0x{strangers[0].hex()}, no validator",
                hint="The header or the seal was changed.",
            )
        if len(set(signers)) != len(signers):
            raise SignatureError(
                f"a validator sealed block {header.number} twice",
                hint="A seal was copied to reach the number that is needed.",
            )
        if len(signers) < self.quorum:
            raise PolicyError(
                f"too few validators sealed block {header.number}",
                have=f"{len(signers)} seals",
                need=f"{self.quorum} of {len(self.addresses)}",
                hint="Seals were left out, or the block never was final.",
            )
        return block_hash(header)


def parse_extra(data: bytes) -> ExtraData:
    """Read the extra data of a header; `format_extra` of the result is `data`.

    Raises:
        FormatError: It is not that of QBFT. (IBFT 2.0 writes the round in four bytes.)
    """
    items = parse_rlp(data, "extra data of a QBFT header", MAX_EXTRA_BYTES)
    match items:
        case [
            bytes() as vanity,
            list() as validators,
            list() as vote,
            bytes() as number,
            list() as seals,
        ]:
            if max(len(validators), len(seals)) > MAX_VALIDATORS:
                raise _no_extra(f"it has more than {MAX_VALIDATORS} validators or seals")
            return ExtraData(
                tuple(check_size(one, "a validator", ADDRESS_BYTES) for one in validators),
                tuple(check_size(one, "a seal", _SEAL_BYTES) for one in seals),
                parse_uint(number, "round of a QBFT header", _ROUND_BITS),
                _parse_vote(vote),
                check_size(vanity, "vanity of a QBFT header", VANITY_BYTES),
            )
        case _:
            raise _no_extra("it is not a list of vanity, validators, vote, round and seals")


def format_extra(extra: ExtraData) -> bytes:
    """Write the extra data of a QBFT header."""
    vote: list[RlpItem] = []
    if extra.vote is not None:
        whom, is_add = extra.vote
        vote = [whom, _ADD if is_add else _DROP]
    return format_rlp(
        [extra.vanity, [*extra.validators], vote, format_uint(extra.round), [*extra.seals]]
    )


def seal_hash(header: Header) -> bytes:
    """Hash what validators sign: the header without seals, 32 bytes.

    Raises:
        FormatError: The header is not one of QBFT.
    """
    extra = replace(parse_extra(header.extra), seals=())
    return header.with_extra(format_extra(extra)).hash()


def block_hash(header: Header) -> bytes:
    """Hash a header to what its chain calls the block, whatever the chain, 32 bytes.

    With QBFT neither seals nor round count, since they differ from node to node; elsewhere
    everything does. The first block has no seals, and is hashed as it is.

    Raises:
        FormatError: It says that it is of QBFT or its like, and has not its extra data.
    """
    if header["mixHash"] != MIX_HASH or header.number == 0:
        return header.hash()
    extra = replace(parse_extra(header.extra), seals=(), round=0)
    return header.with_extra(format_extra(extra)).hash()


def recover_signers(header: Header) -> tuple[bytes, ...]:
    """Recover who made each seal of a QBFT header, in order: addresses of 20 bytes.

    A seal that was made for something else gives an address that nobody has: compare.

    Raises:
        FormatError: A seal is not in its one form; high values of s, for example.
        SignatureError: A seal is no signature of anybody's.
    """
    digest = seal_hash(header)
    return tuple(_recover(seal, digest) for seal in parse_extra(header.extra).seals)


def _recover(seal: bytes, digest: bytes) -> bytes:
    r, s, parity = int.from_bytes(seal[:32], "big"), int.from_bytes(seal[32:64], "big"), seal[64]
    if parity > 1 or s > _HALF_ORDER:
        raise FormatError(
            "a seal is not in its one form",
            hint="Its last byte is 0 or 1, and its s is the lower of two (EIP-2).",
        )
    try:
        signature = Signature(vrs=(parity, r, s))
        return signature.recover_public_key_from_msg_hash(digest).to_canonical_address()
    except (BadSignature, ValidationError) as error:
        raise SignatureError(
            f"a seal is no signature: {error}", hint="The header or the seal was changed."
        ) from error


def _parse_vote(items: list[RlpItem]) -> tuple[bytes, bool] | None:
    match items:
        case []:
            return None
        case [bytes() as whom, (b"\xff" | b"") as what]:
            return check_size(whom, "whom a vote is about", ADDRESS_BYTES), what == _ADD
        case _:
            raise _no_extra("its vote is neither for nor against an address")


def _no_extra(why: str) -> FormatError:
    return FormatError(
        f"this is not the extra data of a QBFT header: {why}",
        hint="Another consensus made the block, or its header was changed.",
    )
