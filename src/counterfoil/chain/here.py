"""What of a committee is on this machine, and how the others are reached."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from counterfoil.chain.account import Account
from counterfoil.chain.httpmember import HttpMember
from counterfoil.chain.member import FileMember, LocalMember, Member, write_answer
from counterfoil.chain.request import MAX_REQUEST_BYTES, parse_request
from counterfoil.core.policy import TrustPolicy, parse_policy
from counterfoil.errors import FormatError
from counterfoil.ledger.disk import read_file
from counterfoil.ledger.localwitness import LocalWitness
from counterfoil.ledger.ownwitness import OwnWitness
from counterfoil.ledger.places import Places
from counterfoil.ledger.policyfile import read_policy


@contextlib.contextmanager
def members_here(
    policy: TrustPolicy, account: Account, exchange: Path | None = None
) -> Iterator[list[Member]]:
    """Reach the members that can be asked from here, for as long as the context is open.

    Args:
        policy: Names the witnesses and their anchor keys.
        account: This machine's anchor key, beside the witness of ours that the policy has it with,
            or the local one.
        exchange: Where requests to all others are put, and their answers looked for; without it,
            those whose witness has an address are asked there.
    """
    local = LocalWitness(Places(policy.log.origin).witness)
    own = LocalMember(policy, _served_here(policy, account) or local, account)
    others = [
        (one.anchor.address, one.url)
        for one in policy.witnesses
        if one.anchor is not None and one.anchor.address != own.address
    ]
    by_file, by_http = [], []
    if exchange is not None:
        by_file = [FileMember(address, exchange) for address, _ in others]
    else:
        by_http = [HttpMember(address, url) for address, url in others if url]
    try:
        yield [own, *by_file, *by_http]
    finally:
        local.close()
        for one in by_http:
            one.close()


def _served_here(policy: TrustPolicy, account: Account) -> OwnWitness | None:
    """Find the witness of ours that an account is bound to: a signature takes its memory."""
    for one in policy.witnesses:
        if one.anchor is not None and one.anchor.address == account.address.lower():
            return OwnWitness.find(one.key)
    return None


def policy_for(request: bytes, given: bytes | None) -> TrustPolicy:
    """Find the policy by which a request is signed: one's own, never one that came with it.

    Args:
        request: Says only of which log it is.
        given: A trust.toml; without it, the one adopted here for that log.

    Raises:
        FormatError: none was adopted here, or a file is damaged.
        VerificationError: the file is not what was adopted.
    """
    if given is not None:
        return parse_policy(given)
    origin = parse_request(request).checkpoint.origin
    path = Places(origin).trust
    if not path.exists():
        raise FormatError(
            f"no trust policy was adopted here for {origin}",
            hint="Give yours with --trust; whoever asks for a signature must not choose it.",
        )
    return read_policy(path)


def sign_request(path: Path, policy: TrustPolicy, account: Account) -> Path:
    """Sign a request that was handed over, with this machine's witness and account.

    Args:
        path: The request.
        policy: This member's own: for which log, chain and contract it signs at all.
        account: Its anchor key.

    Returns:
        Where the answer lies, beside the request.

    Raises:
        FormatError: it is no request.
        PolicyError: it is for another place than the policy's.
        ConflictError: this member remembers a size that the request does not prove from.
        VerificationError: the log did not sign it, or it does not extend what was witnessed.
        UnavailableError: the witness or the signer does not answer, or the disk refuses.
    """
    request = parse_request(read_file(path, MAX_REQUEST_BYTES))
    with members_here(policy, account) as (own,):
        return write_answer(path, own.sign(request))
