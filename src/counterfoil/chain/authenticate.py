"""Who vouches for the block of an anchor: the policy's validators, its pinned blocks, or a node.

    proof ─► contract and root, under some header          `check_anchor_proof`
    header ─► sealed by two thirds of the policy's validators, or pinned by it      offline
           ─► the hash of a final block, says the node that the verifier names      with --rpc

Anyone can make a header; without one of these an anchor is unauthenticated and counts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from counterfoil.chain.anchorproof import (
    AnchorProof,
    Authority,
    PinnedBlocks,
    anchor_proof_from_json,
    check_anchor_proof,
)
from counterfoil.chain.node import Chain
from counterfoil.chain.place import address_bytes, connect_to, expected
from counterfoil.chain.qbft import QbftValidators
from counterfoil.core.anchoring import ChainRules
from counterfoil.core.canonical import JsonValue
from counterfoil.core.merkle import Hash
from counterfoil.errors import FormatError, PolicyError


@dataclass(frozen=True, slots=True)
class Authenticated:
    """An anchor, and who vouches for its block.

    Args:
        number: Of the block.
        time: Of the block, POSIX seconds: the root existed by then.
        block_hash: 32 bytes.
        by: Who vouches, in words; empty if nobody does, and then the rest is a claim.
        why_not: Why nobody does, in words.
    """

    number: int
    time: int
    block_hash: bytes
    by: str = ""
    why_not: str = ""


def authenticate_json(
    value: JsonValue, rules: ChainRules, size: int, root: Hash, rpc: str | None
) -> Authenticated:
    """Do as `authenticate`, and ask the node at `rpc`, if there is one and nobody else vouches.

    Raises:
        As `authenticate` and `ask_chain`; VerificationError also where it is another chain.
    """
    found = authenticate(anchor_proof_from_json(value), rules, size, root)
    if found.by or rpc is None:
        return found
    return ask_chain(connect_to(rules, rpc), found)


def authenticate(proof: AnchorProof, rules: ChainRules, size: int, root: Hash) -> Authenticated:
    """Check an anchor's proof, offline, and find out whether the policy vouches for its block.

    Args:
        proof: As parsed.
        rules: The verifier's own.
        size: Entries under `root`, by the log's checkpoint.
        root: 32 bytes.

    Raises:
        FormatError: A part is malformed.
        VerificationError: The proof does not hold, or a seal is false.
    """
    sought, reasons = expected(rules, size, root), []
    for by, authority in _authorities(rules):
        try:
            found = check_anchor_proof(proof, sought, authority=authority)
        except (PolicyError, FormatError) as error:
            # A proof that is malformed itself is refused below.
            reasons.append(str(error))
        else:
            return Authenticated(found.number, found.time, found.block_hash, by)
    claimed = check_anchor_proof(proof, sought, authority=None)
    why_not = "; ".join(reasons) or "the trust policy names no validators and pins no block"
    return Authenticated(claimed.number, claimed.time, claimed.block_hash, why_not=why_not)


def ask_chain(chain: Chain, found: Authenticated) -> Authenticated:
    """Ask a node whether the block of an unauthenticated anchor is on its chain, and final.

    Args:
        chain: The node, and when a block is final by the verifier's own rules.
        found: What `authenticate` gave.

    Returns:
        The same anchor; `by` says that the node vouches, or `why_not` why it does not.

    Raises:
        VerificationError: It contradicts itself.
        UnavailableError: It does not answer.
    """
    name = f"the node at {chain.rpc.name}"
    final = chain.final()
    if final is None or found.number > final.number:
        return replace(found, why_not=f"block {found.number} is not final yet, says {name}")
    on_chain = chain.block(found.number).hash
    if on_chain != found.block_hash:
        other = f"{name} has another block {found.number}, 0x{on_chain.hex()}"
        return replace(found, why_not=other)
    return replace(found, by=name, why_not="")


def validators_of(rules: ChainRules) -> QbftValidators | None:
    """Give the validators whom the policy names, if it names any."""
    if not rules.validators:
        return None
    return QbftValidators(frozenset(map(address_bytes, rules.validators)))


def _authorities(rules: ChainRules) -> list[tuple[str, Authority]]:
    found: list[tuple[str, Authority]] = []
    if rules.blocks:
        pinned = PinnedBlocks(frozenset(bytes.fromhex(block) for block in rules.blocks))
        found.append(("whoever wrote the trust policy, which pins the block", pinned))
    if (validators := validators_of(rules)) is not None:
        found.append(
            (f"{validators.quorum} of the policy's {len(rules.validators)} validators", validators)
        )
    return found
