"""Chain profiles: which chain it is, what it can run, and when a block of it is final.

    finality      a block is final once                            fits
    finalized     it is not above the node's `finalized` block     public chains, `chain dev`
    immediate     it is in the chain                               QBFT and IBFT networks
    n             n blocks are on top of it                        chains without finality

A profile is what the operator believes about a chain, and nothing that a node says. `n` blocks on
top are a bet against a reorganisation, and no proof that there will be none.
"""

from __future__ import annotations

from dataclasses import dataclass

from counterfoil.core.anchoring import DEVELOPMENT_CHAIN_ID, MAX_CONFIRMATIONS, Finality
from counterfoil.core.text import parse_decimal
from counterfoil.errors import FormatError

MAX_CHAIN_ID = 2**53 - 1
"""Largest chain id: what JSON holds exactly; EIP-2294 allows somewhat more."""

_EVM_VERSIONS = ("paris", "shanghai", "cancun", "prague", "osaka")
_GWEI = 10**9
_HASH_BYTES = 32


def parse_finality(text: str) -> tuple[Finality, int]:
    """Read a rule as a person writes it: `finalized`, `immediate`, or a number of blocks on top.

    Returns:
        The rule, and the number, which is 0 where the rule does not count.

    Raises:
        FormatError: it is no rule.
    """
    if text in {Finality.FINALIZED, Finality.IMMEDIATE}:
        return Finality(text), 0
    return Finality.CONFIRMATIONS, parse_decimal(text, "finality", MAX_CONFIRMATIONS)


@dataclass(frozen=True, slots=True)
class ChainProfile:
    """What is believed about a chain, before any node of it is asked.

    Args:
        name: For people.
        chain_id: As in EIP-155; every transaction and every signature names it.
        finality: When a block is final.
        evm_version: The newest instructions that its contracts may use.
        genesis: Hash of block 0, 32 bytes, where another chain could have the same id.
        poll_s: Seconds between two looks.
        bump_after_s: Seconds after which a transaction that nobody took offers more.
        max_fee_wei: The most that is offered for a unit of gas, whatever a node advises.
    """

    name: str
    chain_id: int
    finality: Finality
    confirmations: int = 0
    evm_version: str = "paris"
    genesis: bytes | None = None
    poll_s: float = 4.0
    bump_after_s: float = 90.0
    max_fee_wei: int = 500 * _GWEI

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            FormatError: one is out of its range.
        """
        if not 1 <= self.chain_id <= MAX_CHAIN_ID:
            raise FormatError(
                f"{self.chain_id} is no chain id", hint=f"It is from 1 to {MAX_CHAIN_ID}."
            )
        counted = self.finality is Finality.CONFIRMATIONS
        if not (
            1 <= self.confirmations <= MAX_CONFIRMATIONS if counted else self.confirmations == 0
        ):
            raise FormatError(
                f"finality {self.finality} and {self.confirmations} confirmations do not fit",
                hint=f"Count from 1 to {MAX_CONFIRMATIONS}, and only where finality counts them.",
            )
        if self.evm_version not in _EVM_VERSIONS:
            raise FormatError(
                f"contracts here cannot run on the EVM of {self.evm_version!r}",
                hint=f"Known versions: {', '.join(_EVM_VERSIONS)}.",
            )
        if self.genesis is not None and len(self.genesis) != _HASH_BYTES:
            raise FormatError("a genesis hash has 32 bytes", hint="Take the hash of block 0.")
        if not (self.poll_s > 0 and self.bump_after_s > 0 and self.max_fee_wei >= 0):
            raise FormatError(
                f"the profile {self.name!r} has a time or a fee below zero",
                hint="poll_s and bump_after_s are above 0, max_fee_wei is 0 or more.",
            )

    @property
    def rule(self) -> str:
        """The rule in a person's words."""
        counted = f"{self.confirmations} blocks on top"
        return counted if self.confirmations else self.finality.value

    def runs(self, evm_version: str) -> bool:
        """Whether code compiled for that version of the EVM runs here, by what is believed."""
        return evm_version in _EVM_VERSIONS[: _EVM_VERSIONS.index(self.evm_version) + 1]


DEV = ChainProfile(
    "dev",
    DEVELOPMENT_CHAIN_ID,
    Finality.FINALIZED,
    evm_version="prague",
    poll_s=0.2,
    bump_after_s=20.0,
)
"""What `counterfoil chain dev` runs. A block is final there once it is on the disk."""

PROFILES = (
    DEV,
    ChainProfile("ethereum", 1, Finality.FINALIZED, evm_version="prague", poll_s=12.0),
    ChainProfile("sepolia", 11155111, Finality.FINALIZED, evm_version="prague", poll_s=12.0),
    ChainProfile("base", 8453, Finality.FINALIZED, evm_version="prague"),
    ChainProfile("gnosis", 100, Finality.FINALIZED, evm_version="prague"),
)
"""Chains that are known by their ids. Others are given as a `ChainProfile` of your own."""


def known_profile(chain_id: int) -> ChainProfile:
    """Find the profile of a chain.

    Raises:
        FormatError: nothing is known about it.
    """
    for profile in PROFILES:
        if profile.chain_id == chain_id:
            return profile
    raise FormatError(
        f"nothing is known about the chain {chain_id}",
        hint="Give its profile: name, chain_id, and when a block of it is final.",
    )
