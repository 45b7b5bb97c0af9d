"""Auditing a log against its chain: each anchor that the contract holds, against the tree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from counterfoil.chain.anchor import Anchor
from counterfoil.chain.anchoring import compare
from counterfoil.chain.node import Chain
from counterfoil.chain.place import open_contract
from counterfoil.core.anchoring import ChainRules
from counterfoil.ledger.log import Log


@dataclass(frozen=True, slots=True)
class AnchorAudit:
    """What the comparison found in order.

    Args:
        anchors: How many were compared.
        newest: The last of them; None if nothing is anchored.
        is_stopped: Whether a split view of the log is on record at the contract.
    """

    anchors: int
    newest: Anchor | None
    is_stopped: bool


def audit_anchors(
    log: Log, chain: Chain, rules: ChainRules, progress: Callable[[int, int], None] | None = None
) -> AnchorAudit:
    """Compare a log with all its final anchors, oldest first.

    That the stored tree is that of the entries is for `ledger.audit` to find out; that the node
    tells the truth is not checked.

    Args:
        log: As of its last refresh.
        chain: The policy's chain.
        rules: The policy's.
        progress: Called with anchors done and anchors in all.

    Raises:
        ConflictError: the log is behind an anchor.
        VerificationError: the log has another root at an anchored size.
        UnavailableError: the chain does not answer.
    """
    contract, log_id = open_contract(chain, rules), bytes.fromhex(rules.log)
    count = contract.anchors(log_id)
    newest = None
    for number in range(count):
        newest = contract.anchor_at(log_id, number)
        compare(log, newest)
        if progress is not None:
            progress(number + 1, count)
    return AnchorAudit(count, newest, count > 0 and contract.is_stopped(log_id))
