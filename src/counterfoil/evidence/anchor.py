"""The anchor in an evidence file: collected with it, and checked with it.

An anchor shows that a contract on a chain held the root over the first so many entries of the log.
A consistency proof ties that root to the checkpoint that the file's receipts lead to, so that
every statement below the anchor's size is the one that was anchored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from counterfoil.chain.anchored import kept_anchors, read_anchor
from counterfoil.core.anchoring import DEVELOPMENT_CHAIN_ID, ChainRules
from counterfoil.core.canonical import JsonValue
from counterfoil.core.checkpoint import Checkpoint
from counterfoil.core.instant import format_instant
from counterfoil.core.merkle import HASH_BYTES, MAX_PROOF_HASHES, Hash, check_consistency
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import Grade, is_outside
from counterfoil.core.text import format_base64, parse_base64
from counterfoil.core.toml import Table
from counterfoil.evidence.finding import Finding
from counterfoil.evidence.logs import malformed
from counterfoil.ledger.log import Log

if TYPE_CHECKING:
    from counterfoil.chain.authenticate import Authenticated


def collect_anchor(log: Log, rules: ChainRules | None, index: int) -> JsonValue:
    """Give the earliest kept anchor that covers an entry, as evidence carries it.

    Args:
        log: As of its last refresh.
        rules: The place that the policy in force names; None for no place.
        index: The last entry that has to be covered.

    Returns:
        None if no anchor covers it yet.
    """
    if rules is None:
        return None
    size = next((size for size in kept_anchors(log, rules) if size > index), None)
    if size is None:
        return None
    return {
        "size": size,
        "root": format_base64(log.root_at(size)),
        "consistency": [format_base64(value) for value in log.consistency(size)],
        "proof": read_anchor(log, rules, size),
    }


def no_anchor(policy: TrustPolicy | None, rpc: str | None) -> Finding:
    """Say that a file carries no anchor, where one could be expected."""
    if rpc is None and (policy is None or policy.chain is None):
        return Finding()
    return Finding(not_checked=("The chain: this file carries no anchor.",))


def check_anchor(
    value: JsonValue, checkpoint: Checkpoint, policy: TrustPolicy | None, rpc: str | None
) -> Finding:
    """Check the anchor of an evidence file.

    Args:
        value: The member `anchor`.
        checkpoint: What all receipts of the file lead to.
        policy: Says which chain and contract count, and who is believed about headers.
        rpc: A node to ask about the block, if nobody is to be believed offline.

    Raises:
        FormatError: It is malformed.
        VerificationError: It contradicts the log, the chain or itself.
        UnavailableError: The node that was named does not answer.
    """
    if not isinstance(value, dict):
        raise malformed("anchor")
    anchor = Table(value, "anchor").read(_read)
    check_consistency(
        anchor.size, anchor.root, checkpoint.size, checkpoint.root, anchor.consistency
    )
    if policy is None or policy.chain is None:
        return _uncounted(anchor.size, "no trust policy says which chain and contract count")
    try:
        from counterfoil.chain.authenticate import authenticate_json  # noqa: PLC0415 an extra
    except ImportError:
        return _uncounted(anchor.size, "install 'counterfoil[chain]' to have it checked")
    if _place_of(anchor.proof) != (policy.chain.id, policy.chain.contract, policy.chain.log):
        return _uncounted(anchor.size, "it is of another place than the trust policy names")
    found = authenticate_json(anchor.proof, policy.chain, anchor.size, anchor.root, rpc)
    if not found.by:
        return _uncounted(anchor.size, found.why_not)
    return _counted(anchor.size, found, policy, policy.chain)


@dataclass(frozen=True, slots=True)
class _Anchor:
    size: int
    root: Hash
    consistency: tuple[Hash, ...]
    proof: JsonValue


def _read(table: Table) -> _Anchor:
    table.only("size", "root", "consistency", "proof")
    hashes = table.texts("consistency")
    if len(hashes) > MAX_PROOF_HASHES:
        raise table.error(f"more than {MAX_PROOF_HASHES} hashes", key="consistency")
    if not isinstance(table.values.get("proof"), dict):
        raise table.error('"proof" must be an anchor proof', key="proof")
    return _Anchor(
        table.integer("size"),
        _hash(table.text("root")),
        tuple(_hash(text) for text in hashes),
        cast("JsonValue", table.values["proof"]),
    )


def _place_of(proof: JsonValue) -> tuple[JsonValue, ...]:
    """Read where an anchor says that it is; whether it is there is checked by its proof."""
    match proof:
        case {"chain_id": chain_id, "contract": str(contract), "log": log}:
            return chain_id, f"0x{contract}", log
    raise malformed("anchor")


def _hash(text: str) -> Hash:
    return Hash(parse_base64(text, "hash of the anchor", size=HASH_BYTES))


def _uncounted(size: int, why: str) -> Finding:
    return Finding(size, not_checked=(f"anchor: unauthenticated, and counts for nothing: {why}.",))


def _counted(size: int, found: Authenticated, policy: TrustPolicy, chain: ChainRules) -> Finding:
    proved = (
        f"On chain {chain.id}, the contract {chain.contract} held the root over the first {size} "
        f"entries of the log in block {found.number}, of {format_instant(found.time)}, and takes "
        "no other one of that size."
    )
    runs = ", ".join(chain.operators)
    if chain.id == DEVELOPMENT_CHAIN_ID:
        alone = (
            f"Anything against {policy.log.operator}: {chain.id} is a development chain, and "
            "whoever runs one can make another."
        )
        return Finding(size, proved=(proved,), not_checked=(alone,))
    if not is_outside(policy, chain.operators):
        alone = (
            f"Anything against {policy.log.operator}, which alone runs the chain that the log is "
            "anchored on: whoever runs all of a chain can make another."
        )
        return Finding(size, proved=(proved,), not_checked=(alone,))
    return Finding(
        size,
        Grade.ANCHORED,
        (proved,),
        trust=(
            f"{found.by[0].upper()}{found.by[1:]}, that the block is on the chain and final.",
            (
                f"Those who, by the trust policy, run the chain ({runs}), that not all of them "
                "together rewrote it, and about the time of its blocks."
            ),
            (
                f"Whoever wrote the trust policy, that {chain.contract} is a CheckpointAnchor that "
                "began empty: neither its code nor a proof tells that."
            ),
        ),
    )
