"""A member who is asked over HTTP: its witness gets an account, and its server a desk.

The witness is one of ours for logs of others (`OwnWitness`). Which account it signs anchors with
is written beside its keys, so that whatever serves it finds it there.
"""

from __future__ import annotations

import time
from pathlib import Path

from counterfoil.chain.account import (
    Account,
    RemoteAccount,
    account_path,
    load_account,
    read_passphrase,
)
from counterfoil.chain.answering import AnchorDesk
from counterfoil.chain.binding import bind
from counterfoil.chain.member import committee_of
from counterfoil.chain.place import require_chain
from counterfoil.chain.rpc import Rpc
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import Witness
from counterfoil.errors import ConflictError, FormatError, PolicyError
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.keyfiles import load_key, load_vkey
from counterfoil.ledger.ownwitness import OwnWitness
from counterfoil.ledger.places import Places
from counterfoil.ledger.policyfile import keep_policy, read_policy
from counterfoil.ledger.seat import Seat
from counterfoil.ledger.witness import Witness as Memory


def seat_witness(
    own: OwnWitness,
    account: Account,
    *,
    name: str = "",
    passphrase_file: Path | None = None,
    signer: str = "",
) -> Seat:
    """Let a witness of ours sign anchors with an account, from now on and when it is served.

    Args:
        own: The witness.
        account: Its key on chains, open.
        name: Of the local account that this is.
        passphrase_file: Where the server finds its passphrase; None for the environment.
        signer: Address of the signer that holds the key, instead of a local account.

    Raises:
        ConflictError: the witness signs with another key already.
        FormatError: the passphrase is in no file that a server could read again.
        UnavailableError: the disk refuses, or the signer does not answer.
    """
    if passphrase_file is not None and not passphrase_file.is_file():
        raise FormatError(
            f"{passphrase_file} is no plain file, and the server reads it again",
            hint="Put the passphrase into a file of its own, mode 0600.",
        )
    old = own.seat
    is_known = old is not None and old.anchor.address == account.address.lower()
    anchor = old.anchor if old is not None and is_known else bind(own.signers[0], account)
    file = "" if passphrase_file is None else str(passphrase_file.absolute())
    seat = Seat(anchor, "" if signer else name, file, signer)
    own.sit(seat)
    return seat


def open_desk(own: OwnWitness) -> AnchorDesk:
    """Open the account of a witness of ours, to answer requests with it.

    Raises:
        ConflictError: the account of that name has become another one.
        FormatError: the witness has none, there is no passphrase, or it is wrong.
        UnavailableError: the account is not there.
    """
    seat = own.seat
    if seat is None:
        raise FormatError(
            f"the witness {own.name} has no account for anchors",
            hint="Give it one: counterfoil chain member NAME --url URL.",
        )
    account: Account
    if seat.signer:
        account = RemoteAccount(Rpc(seat.signer), seat.anchor.address)
    else:
        file = Path(seat.passphrase_file) if seat.passphrase_file else None
        passphrase = read_passphrase(file)
        if passphrase is None:
            raise FormatError(
                f"there is no passphrase for the account {seat.account} of the witness {own.name}",
                hint="Set COUNTERFOIL_PASSPHRASE, or give `chain member` a --passphrase-file.",
            )
        account = load_account(account_path(seat.account), passphrase)
    if account.address.lower() != seat.anchor.address:
        raise ConflictError(
            f"the account {seat.account} has the key of {account.address}, and the witness "
            f"{own.name} signs anchors with {seat.anchor.address}",
            hint="Restore the account's key file.",
        )
    return AnchorDesk(own, account)


def agree(policy: TrustPolicy) -> Witness:
    """Go by a log's trust policy from now on, as a member of its committee.

    The log is one that another organisation runs. Look at the policy first: members sign for the
    chain, contract and log that it names.

    Returns:
        Which of its witnesses is on this machine.

    Raises:
        ConflictError: a newer policy of that log was adopted here, another of the same version, or
            one with another key of the log.
        FormatError: this machine runs that log.
        PolicyError: it names no chain, or no member that is on this machine.
        UnavailableError: the disk refuses.
    """
    require_chain(policy)
    committee_of(policy)
    places = Places(policy.log.origin)
    if places.key("log").exists():
        raise FormatError(
            f"this machine runs the log {policy.log.origin}",
            hint="Its own policy is adopted with `counterfoil policy adopt`.",
        )
    found = next(((one, own) for one in policy.witnesses for own in _here(one, places)), None)
    if found is None:
        raise PolicyError(
            "no member that the policy names is on this machine",
            need="a [[witness]] with its key here, and with its anchor key",
            hint="Send the log's operator the lines that `counterfoil chain member` prints.",
        )
    if places.trust.exists():
        old = read_policy(places.trust)
        is_same = old.version == policy.version and old.digest == policy.digest
        if old.log.key != policy.log.key or not (is_same or old.version < policy.version):
            raise ConflictError(
                f"version {old.version} of a policy for {policy.log.origin} was adopted here, "
                f"with {old.log.key.label} as the log's key, and this is no later one",
                hint=f"If it is meant to take that one's place, move {places.trust} away first.",
            )
    member, own = found
    own.know(policy.log.key)
    keep_policy(places.trust, policy, Disk())
    return member


def _here(member: Witness, places: Places) -> list[OwnWitness | Memory]:
    """Find a member of the policy on this machine: one that is served, or one that is handed files.

    Returns:
        At most one.
    """
    local = places.witness / "key.vkey"
    if member.anchor is None:
        return []
    if local.exists() and load_vkey(local) == member.key:
        return [Memory(places.witness, load_key(places.witness / "key.pem"), clock=time.time)]
    own = OwnWitness.find(member.key)
    return [own] if own is not None and own.seat and own.seat.anchor == member.anchor else []
