"""Joining a chain: a witness gets its second key, and the log's policy a place for its anchors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from counterfoil.chain.account import Account
from counterfoil.chain.anchor import CheckpointAnchor, log_id
from counterfoil.chain.binding import bind
from counterfoil.chain.contracts import deploy
from counterfoil.chain.member import committee_of
from counterfoil.chain.node import Chain
from counterfoil.chain.outbox import Outbox
from counterfoil.core.anchoring import ChainRules
from counterfoil.core.keys import Algorithm, Signer, VerifierKey
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.principals import Permission, Principal
from counterfoil.core.quorum import Witness
from counterfoil.errors import ConflictError, FormatError
from counterfoil.ledger.keyfiles import generate_key, load_key, save_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places
from counterfoil.ledger.trust import Trust
from counterfoil.ledger.witness import Witness as LocalMemory

OPERATOR = "operator"


def join_chain(
    log: Log,
    outbox: Outbox,
    *,
    contract: str | None = None,
    threshold: int | None = None,
    operators: Sequence[str] = (),
    validators: Sequence[str] = (),
    replaces: bool = False,
    by: tuple[str, ...] = ("operator",),
) -> TrustPolicy:
    """Give a log a place on a chain: a contract, an anchor key, and a policy that names both.

    Safe to repeat: what is deployed is deployed once, and a policy that says it already stays.

    Args:
        log: The log; its local witness becomes a member, with the outbox's account.
        outbox: Deploys the contract, if none is given.
        contract: Address of a `CheckpointAnchor` that is there; others may use it too.
        threshold: As `rules_for`, and so on to `validators`.
        operators: Who runs the chain.
        validators: Whose seals are believed offline.
        replaces: Whether another place that the policy names may be given up for this one.
        by: Local principals who sign the new policy.

    Returns:
        The policy in force.

    Raises:
        ConflictError: The policy names another place already.
        FormatError: The local witness is not in the policy, or the threshold is above the members.
        PolicyError: Too few who may replace the policy have signed.
        UnavailableError: The chain does not answer, or what was deployed is not final yet.
    """
    trust = Trust(log)
    policy = trust.show()
    witness = load_key(log.places.witness / "key.pem")
    drafted = with_anchor(policy, witness, outbox.account)
    address = deploy(outbox, CheckpointAnchor.name).address if contract is None else contract
    opened = CheckpointAnchor.open(outbox.chain, address)
    rules = rules_for(
        drafted,
        outbox.chain,
        opened,
        threshold=threshold,
        operators=operators,
        validators=validators,
    )
    if policy.chain is not None and policy.chain != rules and not replaces:
        raise ConflictError(
            f"{log.origin} has a place already: {policy.chain.contract} on chain {policy.chain.id}",
            hint="Anchors there would count no more under the new policy; if that is meant, "
            "`--replace`.",
        )
    principals = tuple(_with_voice(one, log) for one in policy.principals)
    following = policy.followed_by(witnesses=drafted.witnesses, chain=rules, principals=principals)
    if (following.witnesses, following.chain, principals) != (
        policy.witnesses,
        policy.chain,
        policy.principals,
    ):
        trust.adopt(following, by=by)
    return trust.show()


def _with_voice(principal: Principal, log: Log) -> Principal:
    """Let the operator state anchors of the log, where it may not yet."""
    may = Permission("anchor", log.origin)
    is_operator = log.principal_key(OPERATOR).key in principal.keys
    if not is_operator or any(one.covers("anchor", log.origin) for one in principal.may):
        return principal
    return replace(principal, may=(*principal.may, may))


def make_member(name: str, log_key: VerifierKey, account: Account, operator: str) -> Witness:
    """Make this machine's witness for a log, and let it sign anchors with an account.

    A witness that is there already stays what it is. Its memory and its keys stay here; what is
    returned is public, and belongs into the log's trust policy.

    Args:
        name: Of a new witness and its key.
        log_key: The log's key; what other logs it has witnessed does not matter.
        account: Its key on chains.
        operator: The organisation that runs it.

    Raises:
        FormatError: That is no name for a witness.
        UnavailableError: The disk refuses.
    """
    place = Places(log_key.name).witness
    if not (place / "key.pem").exists():
        signer = generate_key(name, Algorithm.COSIGNATURE_ED25519)
        save_key(place / "key.pem", signer)
    witness = load_key(place / "key.pem")
    LocalMemory(place, witness, clock=time.time).know(log_key)
    return Witness(name, witness.key, operator, bind(witness, account))


def with_anchor(policy: TrustPolicy, witness: Signer, account: Account) -> TrustPolicy:
    """Give the policy with the anchor key of one of its witnesses.

    Raises:
        FormatError: the policy does not name that witness.
    """
    if witness.key not in {one.key for one in policy.witnesses}:
        raise FormatError(
            f"{witness.key.label} is no witness of the trust policy",
            hint="Add it as a [[witness]] first.",
        )
    return replace(
        policy,
        witnesses=tuple(
            replace(one, anchor=bind(witness, account)) if one.key == witness.key else one
            for one in policy.witnesses
        ),
    )


def rules_for(
    policy: TrustPolicy,
    chain: Chain,
    contract: CheckpointAnchor,
    *,
    threshold: int | None = None,
    operators: Sequence[str] = (),
    validators: Sequence[str] = (),
) -> ChainRules:
    """Write down where a policy's log is anchored, for its section `[chain]`.

    The committee is every witness that has an anchor key.

    Args:
        policy: Names log and witnesses.
        chain: Where; its profile says when a block is final.
        contract: The `CheckpointAnchor`.
        threshold: How many members have to sign; by default more than half.
        operators: Who runs the chain; by default whoever runs the log, alone.
        validators: Whose seals are believed offline, on QBFT.

    Raises:
        FormatError: no witness has an anchor key, or the threshold is above their number.
        PolicyError: an anchor key has not signed for its witness.
    """
    members = committee_of(policy)
    threshold = len(members) // 2 + 1 if threshold is None else threshold
    return ChainRules(
        id=chain.chain_id,
        contract=contract.address.lower(),
        code_hash=contract.artifact.code_hash.hex(),
        slot=contract.artifact.slots["roots"],
        log=log_id(policy.log.origin, members, threshold).hex(),
        threshold=threshold,
        operators=tuple(operators) or (policy.log.operator,),
        finality=chain.profile.finality,
        confirmations=chain.profile.confirmations,
        validators=tuple(one.lower() for one in validators),
    )
