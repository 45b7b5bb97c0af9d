"""Where a policy says that its log is anchored, as the rest of this package needs it."""

from __future__ import annotations

from dataclasses import replace

from counterfoil.chain.anchor import CheckpointAnchor
from counterfoil.chain.anchorproof import ExpectedAnchor
from counterfoil.chain.node import Chain, connect
from counterfoil.chain.profile import ChainProfile, known_profile
from counterfoil.core.anchoring import ChainRules
from counterfoil.core.merkle import Hash
from counterfoil.core.policy import TrustPolicy
from counterfoil.errors import FormatError, PolicyError


def require_chain(policy: TrustPolicy) -> ChainRules:
    """Give the policy's chain.

    Raises:
        PolicyError: it names none.
    """
    if policy.chain is None:
        raise PolicyError(
            "the trust policy says nothing of a chain",
            need="a [chain] section",
            hint="`counterfoil chain join` writes one.",
        )
    return policy.chain


def connect_to(rules: ChainRules, url: str) -> Chain:
    """Reach the policy's chain through a node; the policy says when a block is final.

    Raises:
        FormatError: that is no address.
        VerificationError: it is another chain.
        UnavailableError: no answer.
    """
    return connect(url, profile_of(rules))


def profile_of(rules: ChainRules) -> ChainProfile:
    """Make the profile of the policy's chain; fees and pace are those known for it, if any are."""
    try:
        profile = known_profile(rules.id)
    except FormatError:
        return ChainProfile(f"chain {rules.id}", rules.id, rules.finality, rules.confirmations)
    return replace(profile, finality=rules.finality, confirmations=rules.confirmations)


def open_contract(chain: Chain, rules: ChainRules) -> CheckpointAnchor:
    """Take the policy's contract, if its code is that of this release and of the policy.

    Raises:
        PolicyError: the policy is about another chain, or the contract of another release.
        VerificationError: on the chain is another contract, or none.
        UnavailableError: no answer.
    """
    # A contract may stand at one address on many chains, and signatures name the policy's.
    if chain.chain_id != rules.id:
        raise PolicyError(
            f"the node serves chain {chain.chain_id}, and the trust policy anchors on {rules.id}",
            have=f"chain {chain.chain_id}",
            need=f"chain {rules.id}",
            hint="Connect to a node of the policy's chain; nothing was sent.",
        )
    contract = CheckpointAnchor.open(chain, rules.contract)
    have = (contract.artifact.code_hash.hex(), contract.artifact.slots["roots"])
    if have != (rules.code_hash, rules.slot):
        raise PolicyError(
            f"the contract {rules.contract} is not the one that the policy means",
            have=f"code hash {have[0]}, roots at slot {have[1]}",
            need=f"code hash {rules.code_hash}, roots at slot {rules.slot}",
            hint="Use the release of counterfoil that deployed it, or adopt a new policy.",
        )
    return contract


def expected(rules: ChainRules, size: int, root: Hash) -> ExpectedAnchor:
    """Say where the policy's chain should hold a checkpoint of the log."""
    return ExpectedAnchor(
        chain_id=rules.id,
        contract=address_bytes(rules.contract),
        code_hash=bytes.fromhex(rules.code_hash),
        slot=rules.slot,
        log=bytes.fromhex(rules.log),
        size=size,
        root=root,
    )


def address_bytes(text: str) -> bytes:
    """Read an address as a policy has it: 20 bytes."""
    return bytes.fromhex(text.removeprefix("0x"))
