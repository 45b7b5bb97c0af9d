"""A log ends, and another one begins where it ended.

    step                                        if we stop after it
    1. the new log is there, empty              the old one goes on; run again with the same folder
    2. the old log's last entry names it        the old one is closed, and says where to go on; run
                                                again to begin the new one
    3. the new log's first entry names the      all is done
       old one, its final size and root

A closed log takes nothing more, for ever: whoever opens it for writing is told where it goes on.
It stays readable; so do its receipts.
"""

from __future__ import annotations

from counterfoil.core.checkpoint import Checkpoint
from counterfoil.core.envelope import format_envelope, parse_envelope, sign_envelope
from counterfoil.core.keys import VerifierKey
from counterfoil.core.receipt import format_receipt
from counterfoil.core.shard import (
    Carried,
    Takeover,
    following_key,
    handover_statement,
    takeover_of,
    takeover_statement,
)
from counterfoil.core.statement import format_statement
from counterfoil.errors import ConflictError, CounterfoilError, FormatError, UnavailableError
from counterfoil.ledger.keyfiles import load_key
from counterfoil.ledger.log import Log


def shard_after(log: Log) -> VerifierKey | None:
    """Give the key of the log that goes on after this one; None if this one is open."""
    return following_key(log.entry(log.size - 1), log.keys, log.size) if log.size else None


def hand_over_to(old: Log, new: Log) -> None:
    """End a log, and begin another one where it ended.

    Run again after it was stopped, it completes what was begun.

    Args:
        old: Open, and not written to yet.
        new: Empty, and not written to yet.

    Raises:
        ConflictError: the old log goes on elsewhere already, the new one holds something, or
            somebody writes to one of them.
        UnavailableError: a disk refuses, a log's key is not on this machine, or others may append
            to one of them meanwhile.
    """
    if old.engine.is_shared or new.engine.is_shared:
        raise UnavailableError(
            "only a log in a folder can end, and only there another one begins",
            hint="While others may append elsewhere, nobody can say which entry is the last.",
        )
    following = shard_after(old)
    if following is not None and following != new.key:
        raise ConflictError(
            f"{old.origin} has ended, and goes on as {following.name}",
            hint="A log has one shard after it; go on with that one.",
        )
    if new.size:
        if following is not None and _took_over(new, old):
            return
        raise ConflictError(
            f"{new.folder} holds entries already", hint="A shard begins in a new folder."
        )
    signer = load_key(old.places.keys / "log.pem")
    if following is None:
        with old.alone() as writer:
            # Nobody else can append between the size and this.
            said = handover_statement(old.origin, new.key, writer.tree.size + 1)
            writer.append((format_envelope(sign_envelope(format_statement(said), signer)),))
        old.refresh()
    ended = Takeover(new.origin, old.keys, Checkpoint(old.origin, old.size, old.root))
    begun = format_statement(takeover_statement(ended))
    both = (load_key(new.places.keys / "log.pem"), signer)
    with new.alone() as writer:
        writer.append((format_envelope(sign_envelope(begun, *both)),))
    new.refresh()


def carry_receipt(log: Log, index: int, *later: Log) -> Carried:
    """Make the receipt of an entry that holds by the policy of a later shard.

    Args:
        log: The closed log that has the entry.
        index: Of the entry.
        later: The shards since, oldest first; the last one is that of the policy.

    Raises:
        ConflictError: one of them is not the shard after the one before it.
        FormatError: there is no such entry, or no later shard.
    """
    if not later:
        raise FormatError("there is no later shard", hint="Name those since, oldest first.")
    for before, after in zip((log, *later), later, strict=False):
        if shard_after(before) not in after.keys.all:
            raise ConflictError(
                f"{after.origin} is not the shard after {before.origin}",
                hint="Name all shards since, oldest first.",
            )
    takeovers = ((one.entry(0), format_receipt(one.receipt(0))) for one in later)
    return Carried(format_receipt(log.receipt(index)), tuple(takeovers))


def _took_over(new: Log, old: Log) -> bool:
    """Whether a log begins where this one ended."""
    try:
        begun = takeover_of(parse_envelope(new.entry(0)), new.keys)
    except CounterfoilError:
        return False
    return begun.checkpoint == Checkpoint(old.origin, old.size, old.root)
