"""Anchors, as a policy has them: on which chain, in which contract, believed by whose word.

The chain's side is checked in `counterfoil.chain`; here is only what a policy says of it, so that
a policy can be read, written and compared where nothing of a chain is installed. Addresses are
written in lower case: the mixed case of EIP-55 is a checksum, and two spellings would be two
policies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from counterfoil.core.canonical import JsonValue
from counterfoil.core.keys import VerifierKey, format_vkey
from counterfoil.core.principals import check_distinct, check_text
from counterfoil.core.text import parse_base64, parse_hex, shown
from counterfoil.core.toml import Table
from counterfoil.errors import FormatError, SignatureError

MAX_VALIDATORS = 128
"""Validators or blocks that a policy pins at most: each is compared with every seal."""

MAX_CONFIRMATIONS = 10_000
"""More blocks than that nobody waits for."""

DEVELOPMENT_CHAIN_ID = 31337
"""What development chains call themselves. Anybody has one, so no anchor there lifts a verdict."""

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_BINDING = "counterfoil/anchor-key/v1"


class Finality(StrEnum):
    """When a block of the chain counts as final."""

    FINALIZED = "finalized"  # the chain says so, by its `finalized` tag
    CONFIRMATIONS = "confirmations"  # so many blocks stand on it
    IMMEDIATE = "immediate"  # every block is, as on QBFT


@dataclass(frozen=True, slots=True)
class ChainRules:
    """Where anchors of the log count.

    Args:
        id: Chain id (EIP-155).
        contract: Address of the `CheckpointAnchor`.
        code_hash: Keccak-256 of the code that must stand there, hex.
        slot: Storage slot of its `roots`.
        log: The log's id in that contract, hex; it commits to the first committee.
        threshold: How many members sign an anchor, when the log is opened there.
        operators: The organisations that run the chain. An anchor on a chain that only the log's
            own operator runs lifts no verdict.
        finality: When a block counts as final.
        confirmations: How many blocks stand on it then, for `Finality.CONFIRMATIONS`.
        validators: Addresses whose seals make a header believed offline (QBFT).
        blocks: Hashes of single blocks that are believed offline, hex.
    """

    id: int
    contract: str
    code_hash: str
    slot: int
    log: str
    threshold: int
    operators: tuple[str, ...]
    finality: Finality = Finality.FINALIZED
    confirmations: int = 0
    validators: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_address(self.contract, "contract")
        parse_hex(self.code_hash, "code_hash", size=32)
        parse_hex(self.log, "log", size=32)
        if not self.id or not self.threshold or not self.operators:
            raise FormatError(
                "a chain has an id, a threshold and somebody who runs it",
                hint="Write id = …, threshold = … and operators = [ … ].",
            )
        check_distinct(self.operators, "operator of the chain")
        for operator in self.operators:
            check_text(operator, "operator of the chain")
        if (self.finality is Finality.CONFIRMATIONS) != (self.confirmations > 0) or (
            self.confirmations > MAX_CONFIRMATIONS
        ):
            raise FormatError(
                f"finality {self.finality} and {self.confirmations} confirmations do not fit",
                hint='Count them only with finality = "confirmations", '
                f"from 1 to {MAX_CONFIRMATIONS}.",
            )
        for pinned in (self.validators, self.blocks):
            check_distinct(pinned, "validator or block")
            if len(pinned) > MAX_VALIDATORS:
                raise FormatError(
                    f"{len(pinned)} validators or blocks are pinned, {MAX_VALIDATORS} at most",
                    hint="Pin those that matter.",
                )
        for validator in self.validators:
            check_address(validator, "validator")
        for block in self.blocks:
            parse_hex(block, "block", size=32)

    @classmethod
    def from_table(cls, table: Table) -> ChainRules:
        """Read `[chain]`."""
        table.only(
            "id", "contract", "code_hash", "slot", "log", "threshold", "operators",
            "finality", "confirmations", "validators", "blocks",
        )  # fmt: skip
        return cls(
            id=table.integer("id"),
            contract=table.text("contract"),
            code_hash=table.text("code_hash"),
            slot=table.integer("slot"),
            log=table.text("log"),
            threshold=table.integer("threshold"),
            operators=table.texts("operators"),
            finality=_parse_finality(table.text("finality", Finality.FINALIZED)),
            confirmations=table.integer("confirmations", 0),
            validators=table.texts("validators"),
            blocks=table.texts("blocks"),
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads, defaults included."""
        return {
            "id": self.id,
            "contract": self.contract,
            "code_hash": self.code_hash,
            "slot": self.slot,
            "log": self.log,
            "threshold": self.threshold,
            "operators": list(self.operators),
            "finality": self.finality.value,
            "confirmations": self.confirmations,
            "validators": list(self.validators),
            "blocks": list(self.blocks),
        }


@dataclass(frozen=True, slots=True)
class AnchorKey:
    """A witness's second key, which signs anchors; each of the two has signed for the other.

    Args:
        address: Of the secp256k1 key.
        by_witness: The witness key's signature over `binding_of`, base64.
        by_address: The anchor key's over the same, as EIP-191 signs a text, 65 bytes in hex. It is
            checked where a chain can be (`counterfoil.chain`), not here.
    """

    address: str
    by_witness: str
    by_address: str

    def check(self, key: VerifierKey) -> None:
        """Check that the witness with this key has signed for the address.

        Raises:
            FormatError: It has not, or this is no address.
        """
        check_address(self.address, "anchor key")
        if not re.fullmatch(r"0x[0-9a-f]{130}", self.by_address):
            raise FormatError(
                f"{shown(self.by_address)} is no signature of an anchor key",
                hint="Copy the block that `counterfoil chain member` prints.",
            )
        try:
            signature = parse_base64(self.by_witness, "by_witness")
            key.verify(binding_of(key, self.address).encode(), signature)
        except SignatureError as error:
            raise FormatError(
                f"the witness key {key.label} has not signed for the anchor key {self.address}",
                hint="Copy the block that `counterfoil chain member` prints.",
            ) from error

    @classmethod
    def from_table(cls, table: Table) -> AnchorKey:
        """Read `anchor` of one `[[witness]]`."""
        table.only("address", "by_witness", "by_address")
        return cls(table.text("address"), table.text("by_witness"), table.text("by_address"))

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads."""
        return {
            "address": self.address,
            "by_witness": self.by_witness,
            "by_address": self.by_address,
        }


def binding_of(key: VerifierKey, address: str) -> str:
    """Write the text that a witness's two keys both sign.

    It begins like no cosignature does, so neither can be passed off as the other.
    """
    return f"{_BINDING}\n{format_vkey(key)}\n{address}\n"


def check_address(text: str, what: str) -> None:
    """Refuse what is not `0x` and 40 hex digits in lower case.

    Raises:
        FormatError: It is not.
    """
    if not _ADDRESS.fullmatch(text):
        raise FormatError(
            f"{what} {shown(text)} is no address",
            hint="Write 0x and 40 hex digits, in lower case.",
        )


def _parse_finality(text: str) -> Finality:
    try:
        return Finality(text)
    except ValueError as error:
        raise FormatError(
            f"unknown finality {shown(text)}", hint=f"Known are {', '.join(Finality)}."
        ) from error
