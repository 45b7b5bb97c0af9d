"""A log goes on with a new key: its origin stays, and what was signed before stays valid.

    step                                        if we stop after it
    1. the next key is made, and the local      the old key is in force
       witness told
    2. the checkpoint is signed by both keys,   the old key is in force; one line more under a
       cosigned, published                      checkpoint harms nobody
    3. `ledger.json` names the new key, and up  the new key is in force; whoever writes next puts
       to which size the old one counts         it in its place
    4. `log.pem` is the new key; the old        the new key is in force; run again for the policy
       private half is gone
    5. a policy that names both is adopted      all is done

Step 3 is the hand-over, and it is one file replaced. On PostgreSQL it is one transaction, with the
publishing of step 2: callers of every process wait meanwhile, and a leader of before is fenced, so
that what it may have signed with the old key leaves it for nobody. Whoever holds the old key
afterwards can sign nothing that counts: its size has an end.

Witnesses of others have to know the new key before the first checkpoint after the hand-over, or
they refuse it; see `prepare_next_key`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from counterfoil.core.checkpoint import LogKeys
from counterfoil.core.keys import format_vkey
from counterfoil.core.policy import TrustPolicy
from counterfoil.errors import ConflictError, RefusedError, UnavailableError
from counterfoil.ledger.log import Log
from counterfoil.ledger.nextkey import install_next_key, is_prepared, prepare_next_key
from counterfoil.ledger.trust import Trust
from counterfoil.ledger.witness import know_next


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did.

    Args:
        keys: The log's keys from now on.
        index: Entry of the policy that names them; None without an adopted policy.
    """

    keys: LogKeys
    index: int | None


def rotate_key(log: Log, *, by: tuple[str, ...] = ("operator",)) -> Rotation:
    """Hand a log over to its next key, and adopt a policy that names both.

    Run again after it was stopped, it completes what was begun, and hands over once.

    Args:
        log: Open, and not written to yet.
        by: Local principals who sign the policy: enough for the old one and for the new one.

    Raises:
        ConflictError: somebody writes here, or the folder is behind its witness.
        RefusedError: the policy counts on witnesses of others, and the key was not prepared.
        PolicyError: too few of those who may replace the policy would sign; nothing was done.
        UnavailableError: the disk refuses, or the policy's quorum does not cosign.
    """
    log.reload_keys()  # an earlier run may have been stopped after its hand-over
    if not log.places.trust.exists():
        _hand_over(log)
        return Rotation(log.keys, None)
    policy = Trust(log).show()
    if policy.log.keys == log.keys:
        asked = [one.name for one in policy.witnesses if one.url]
        if policy.quorum and asked and not is_prepared(log.places):
            raise RefusedError(
                "witnesses of others refuse a key that they do not know, and would stop the log",
                reasons=tuple(f"{name} has not been told" for name in asked),
                hint="`counterfoil log rotate --prepare` makes the key; have them take it first.",
            )
        new = prepare_next_key(log.places).key
        Trust(log).require_successor(_naming(policy, log.keys.followed_by(new, log.size)), by=by)
        _hand_over(log)
    return Rotation(log.keys, Trust(log).adopt(_naming(policy, log.keys), by=by))


def _naming(policy: TrustPolicy, keys: LogKeys) -> TrustPolicy:
    """Draft the policy that names these keys."""
    return policy.followed_by(log=replace(policy.log, key=keys.key, earlier=keys.earlier))


def _hand_over(log: Log) -> None:
    new = prepare_next_key(log.places)
    if new.key in log.keys.all:
        raise ConflictError(
            f"{new.key.label} is a key of this log already",
            hint="Any command that writes puts it in its place; then try again.",
        )
    if log.places.witness.exists():
        know_next(log.places.witness, new.key, log.disk)
    with log.alone() as writer:
        try:
            writer.hand_over(new)
        except UnavailableError as error:
            raise UnavailableError(
                str(error),
                hint="Have each witness that does not know the new key run `counterfoil log "
                f"witness --next '{format_vkey(new.key)}'`; then rotate again, which goes on.",
            ) from error
        install_next_key(log.places, new.key, log.disk)
    log.reload_keys()
    log.refresh()
