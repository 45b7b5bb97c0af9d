"""Anchor proofs collected from a node, and checked before anybody gets them.

The node is believed in nothing: the header that it gives must hash to the block that it names, and
the paths must lead from that header to the very root that was asked for. What is left to its word
is that the block is on the chain and final, unless an authority says so.
"""

from __future__ import annotations

from counterfoil.chain.anchorproof import (
    AnchorProof,
    Authority,
    ExpectedAnchor,
    check_anchor_proof,
)
from counterfoil.chain.answers import HASH_BYTES, read_data
from counterfoil.chain.header import Header, format_header, read_header
from counterfoil.chain.node import Chain
from counterfoil.chain.qbft import block_hash
from counterfoil.chain.rpc import Rpc
from counterfoil.chain.storageproof import MAX_NODES
from counterfoil.core.canonical import JsonValue
from counterfoil.errors import ProofError, UnavailableError


def fetch_anchor_proof(
    chain: Chain,
    expected: ExpectedAnchor,
    *,
    block: int | None = None,
    authority: Authority | None = None,
) -> AnchorProof:
    """Get the proof of an anchor from a chain's node.

    Nodes keep the state of recent blocks only (Besu of 512, unless it stores all of them), so ask
    when the anchor has become final, not months later.

    Args:
        chain: The chain.
        expected: What it should hold, and where.
        block: Number of a block by which the root was there; by default the newest final one.
        authority: Who has to vouch for the block's header, where somebody can.

    Raises:
        FormatError: The block is of a fork that is not known.
        ProofError: What the node shows does not hold: it lies, or the root is not there.
        VerificationError: It serves another chain, or the authority does not vouch for the header.
        UnavailableError: It does not answer, has no final block, or does not keep that state.
    """
    chain.check_identity()
    if block is None:
        final = chain.final()
        if final is None:
            raise UnavailableError(
                "the chain has no final block yet", hint="Wait until it has, and ask again."
            )
        block = final.number
    header = fetch_header(chain.rpc, block)
    contract, slot = f"0x{expected.contract.hex()}", f"0x{expected.root_slot.hex()}"
    answer = chain.rpc.call("eth_getProof", contract, [slot], hex(block))
    match answer:
        case {"accountProof": list(account), "storageProof": [{"proof": list(storage)}]}:
            proof = AnchorProof(
                chain_id=chain.chain_id,
                contract=expected.contract,
                log=expected.log,
                size=expected.size,
                header=format_header(header),
                account=_read_nodes(account),
                storage=_read_nodes(storage),
            )
        case _:
            raise UnavailableError(
                f"the node at {chain.rpc.name} gives no proof (EIP-1186) at block {block}",
                hint="It may not keep the state of that block any more; ask an archive node.",
            )
    check_anchor_proof(proof, expected, authority=authority)
    return proof


def fetch_header(rpc: Rpc, block: int) -> Header:
    """Get the header of a block, and check that it hashes to what the node calls the block.

    Args:
        rpc: The node.
        block: Number of the block.

    Raises:
        FormatError: The block is of a fork that is not known.
        ProofError: The header is not that of the block, or of another one.
        UnavailableError: The node does not answer, or not with a block.
    """
    answer = rpc.call("eth_getBlockByNumber", hex(block), False)
    header = read_header(answer)
    named = answer.get("hash") if isinstance(answer, dict) else None
    digest = block_hash(header)
    if read_data(named, "hash of a block", HASH_BYTES) != digest or header.number != block:
        raise ProofError(
            f"the node at {rpc.name} was asked for block {block}, names {named}, and shows "
            f"block {header.number}, which hashes to 0x{digest.hex()}",
            hint="It lies, or its chain hashes headers in another way; ask another node.",
        )
    return header


def _read_nodes(answer: list[JsonValue]) -> tuple[bytes, ...]:
    if len(answer) > MAX_NODES:
        raise ProofError(
            f"the node's proof has {len(answer)} nodes, at most {MAX_NODES} are read",
            hint="No path is as long; ask another node.",
        )
    return tuple(read_data(node, "node of a proof") for node in answer)
