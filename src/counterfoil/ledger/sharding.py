"""A log ends, and another one begins where it ended.

    step                                        if we stop after it
    1. the new log is there, empty              the old one goes on; run again with the same folder
    2. the old log's last entry names it        the old one is closed, and says where to go on; run
                                                again to begin the new one
    3. the new log's first entry names the      all is done
       old one, its final size and root

A closed log takes nothing more, for ever: whoever opens it for writing is told where it goes on.
On PostgreSQL, so are those who write there already: step 2 is one transaction, which queues the
last entry and lets nobody queue another. It stays readable; so do its receipts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from itertools import pairwise

from counterfoil.core.checkpoint import Checkpoint
from counterfoil.core.envelope import format_envelope, parse_envelope, sign_envelope
from counterfoil.core.keys import VerifierKey
from counterfoil.core.receipt import format_receipt
from counterfoil.core.shard import (
    Carried,
    Handover,
    Link,
    Takeover,
    handover_of,
    handover_statement,
    takeover_of,
    takeover_statement,
)
from counterfoil.core.statement import format_statement
from counterfoil.errors import ConflictError, CounterfoilError, FormatError
from counterfoil.ledger.log import Log
from counterfoil.ledger.moved import EndedError
from counterfoil.ledger.nextkey import load_log_key
from counterfoil.ledger.trust import Trust


def shard_after(log: Log) -> VerifierKey | None:
    """Give the key of the log that goes on after this one; None if this one is open."""
    handover = read_handover(log)
    return None if handover is None else handover.following


def read_handover(log: Log) -> Handover | None:
    """Read how a log ended; None if it is open."""
    return handover_of(log.entry(log.size - 1), log.keys, log.size) if log.size else None


def hand_over_to(old: Log, new: Log) -> None:
    """End a log, and begin another one where it ended.

    Run again after it was stopped, it completes what was begun.

    Args:
        old: Open, and not written to yet.
        new: Empty, and not written to yet.

    Raises:
        ConflictError: the old log goes on elsewhere already, the new one holds something, or
            somebody writes to one of them.
        UnavailableError: a disk refuses, or a log's key is not on this machine.
    """
    old.refresh()
    old.reload_keys()
    has_ended = _has_ended_for(new, old)
    if new.size or new.origin == old.origin:
        if has_ended and _took_over(new, old):
            return
        raise _begun_already(new)
    signer = load_log_key(old.places, old.keys, old.disk)

    def end(index: int) -> bytes:
        # Nobody else appends now, so nobody adopts another policy either.
        said = handover_statement(old.origin, Handover(new.key, _policy_at_end(old)), index + 1)
        return format_envelope(sign_envelope(format_statement(said), signer))

    if not has_ended:
        # What an earlier run had queued on PostgreSQL may end it while a writer is opened here.
        with contextlib.suppress(EndedError), old.alone() as writer:
            writer.append_alone(end, new.key)
        old.refresh()
        assert _has_ended_for(new, old)  # noqa: S101 its last entry says so
    ended = Takeover(new.origin, old.keys, Checkpoint(old.origin, old.size, old.root))
    begun = format_statement(takeover_statement(ended))
    both = (load_log_key(new.places, new.keys, new.disk), signer)

    def begin(index: int) -> bytes | None:
        if not index:
            return format_envelope(sign_envelope(begun, *both))
        new.refresh()
        if not _took_over(new, old):
            raise _begun_already(new)
        return None  # what an earlier run had made durable, and was published just now

    with new.alone() as writer:
        writer.append_alone(begin)
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
    steps = tuple(link.takeover for link in link_shards((log, *later)))
    return Carried(format_receipt(log.receipt(index)), steps)


def link_shards(logs: Sequence[Log]) -> tuple[Link, ...]:
    """Show that logs follow each other; as of their last refresh.

    Args:
        logs: Oldest first.

    Raises:
        ConflictError: one of them is not the shard after the one before it.
    """
    for before, after in pairwise(logs):
        if shard_after(before) not in after.keys.all or not after.size:
            raise ConflictError(
                f"{after.origin} is not the shard after {before.origin}",
                hint="Name all shards since, oldest first.",
            )
    return tuple(
        Link(_with_receipt(before, before.size - 1), _with_receipt(after, 0))
        for before, after in pairwise(logs)
    )


def _with_receipt(log: Log, index: int) -> tuple[bytes, bytes]:
    return log.entry(index), format_receipt(log.receipt(index))


def _policy_at_end(log: Log) -> str | None:
    """Give the digest of the newest policy that the log shows to follow the adopted one."""
    if not log.places.trust.exists():
        return None
    log.refresh()
    trust = Trust(log)
    later = trust.unadopted()  # one that waits for witnesses was published just now, or is seen
    return (trust.show() if later is None else later[1]).digest.hex()


def _has_ended_for(new: Log, old: Log) -> bool:
    """Whether a log has ended, to go on as this one.

    Raises:
        EndedError: it goes on as another one.
    """
    following = shard_after(old)
    if following is not None and following != new.key:
        raise EndedError(old.origin, following.name)
    return following is not None


def _begun_already(new: Log) -> ConflictError:
    return ConflictError(
        f"{new.engine.name} holds entries already", hint="A shard begins in a new place."
    )


def _took_over(new: Log, old: Log) -> bool:
    """Whether a log begins where this one ended."""
    try:
        begun = takeover_of(parse_envelope(new.entry(0)), new.keys)
    except CounterfoilError:
        return False
    return begun.checkpoint == Checkpoint(old.origin, old.size, old.root)
