"""Which of a log's streams are kept here, which are elsewhere, and which were set back.

The log holds what each stream promised, and its batches; records lie here or with somebody else. A
stream that the log knows more of than is kept here was restored from an older copy; one whose key
is not here does not open. A stream of our own (erasures, holds) then goes on as another one, whose
declaration names the one it replaces.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from counterfoil.core.stream import StreamDeclaration, parse_stream
from counterfoil.core.text import named
from counterfoil.decisions.stream import (
    OWN_SYSTEMS,
    DecisionStream,
    extends,
    newest_batch,
    streams_of,
)
from counterfoil.errors import (
    FormatError,
    RefusedError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.engine import Writers
from counterfoil.ledger.keeping import OpenPlace
from counterfoil.ledger.log import Log
from counterfoil.ledger.status import check_memory
from counterfoil.ledger.trust import heard_in
from counterfoil.vault.epoch import EPOCH_NOTE, parse_epoch
from counterfoil.vault.keystore import has_key, streams_with_keys
from counterfoil.vault.plan import PLAN_NOTE, carry_plan, read_plan

ERASURES: Final = f"{OWN_SYSTEMS}erasures"
HOLDS: Final = f"{OWN_SYSTEMS}holds"
AWAY: Final = "were not here"
IN_PART: Final = "were not in the part that was here"
"""Why records were not reached, as the certificates of an erasure say it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A stream whose newest records are not here, though the log has a batch of them.

    Or all of it is here, and its key is not.

    Args:
        system: Whose.
        stream: Its id, 32 bytes.
        kept: Records that are here, and open.
        stated: Records that the newest batch in the log covers.
        locked: Whether its key is what is missing.
    """

    system: str
    stream: bytes
    kept: int
    stated: int
    locked: bool = False


def find_declared(log: Log) -> list[StreamDeclaration]:
    """Find every stream that was declared, oldest first."""
    return [parse_stream(found.envelope.in_toto) for found in heard_in(log, predicate="stream")]


def find_kept(log: Log, ids: Collection[bytes] | None = None) -> list[StreamDeclaration]:
    """Find the declared streams that are kept here, oldest first.

    Args:
        log: Where they are declared.
        ids: Only these.
    """
    here = set(streams_of(log).ids())
    wanted = here if ids is None else here.intersection(ids)
    # Without asking which streams there are: a log elsewhere would be read for it.
    return [one for one in find_declared(log) if one.stream_id in wanted] if wanted else []


def find_settled(log: Log) -> set[bytes]:
    """Find the streams that are lost, and that others were declared to replace."""
    return _replaced(find_declared(log))


def open_own(
    log: Log, system: str, opened: ExitStack, *, write: bool
) -> Iterator[tuple[DecisionStream, bool]]:
    """Open all streams of ours with this name, oldest first, and tell of each whether it is lost.

    A new one ends none of those before it. Of one that another was declared to replace, because its
    newest records were lost, what is left counts, as far as it opens.

    Args:
        log: Where they are declared.
        system: `ERASURES` or `HOLDS`.
        opened: What closes them.
        write: Whether to write.
    """
    heard = heard_in(log, predicate="stream", subject=system)
    declared = [parse_stream(found.envelope.in_toto) for found in heard]
    settled = _replaced(declared)
    for one in declared:
        is_lost = one.stream_id in settled
        is_here = streams_of(log).place(one.stream_id).exists()
        if not is_here and (is_lost or not (write or newest_batch(log, one.stream_id))):
            continue  # nothing is left of it, or nothing was written yet
        try:
            stream = DecisionStream.reopen(log, one, write=write)
        except UnavailableError:
            if is_lost:
                continue  # the copy is so old that its epoch has ended: there is no key any more
            raise
        opened.callback(stream.close)
        yield stream, is_lost


def find_elsewhere(log: Log) -> list[str]:
    """List the systems that have records in the log's batches which are not kept here."""
    here = set(streams_of(log).ids())
    declared = find_declared(log)
    settled = _replaced(declared)
    missing = [
        one.system
        for one in declared
        if one.stream_id not in here | settled and newest_batch(log, one.stream_id)
    ]
    return list(dict.fromkeys(missing))


def find_away(log: Log) -> dict[str, str]:
    """Find the systems that have records which are not here, in part or all: `AWAY` or `IN_PART`.

    What is here and does not open is not among them.
    """
    away = dict.fromkeys(find_elsewhere(log), AWAY)
    here = set(streams_of(log).ids())
    for one in find_lost(log):
        if one.stream in here and not one.locked:
            away.setdefault(one.system, IN_PART)
    return {system: why for system, why in away.items() if not system.startswith(OWN_SYSTEMS)}


def require_here(log: Log, person: str, without: Collection[str] = ()) -> None:
    """Refuse to say that nothing is recorded about a person, where that may lie elsewhere.

    Args:
        log: Where the systems have records.
        person: Who it is.
        without: Systems that do not count.

    Raises:
        UnavailableError: it may.
    """
    away = {system: why for system, why in find_away(log).items() if system not in without}
    if away:
        moved = log.engine.moved_to()
        where = "not all here" if IN_PART in away.values() else "elsewhere"
        raise UnavailableError(
            f"nothing is recorded about {person!r} here, and the records of {', '.join(away)} "
            f"are {where}",
            hint=f"Ask where the log is now: {moved}"
            if moved
            else "Put the newest copy back, or ask whoever recorded them.",
        )


def require_systems(log: Log, without: Collection[str]) -> dict[str, str]:
    """Refuse to act on all that is recorded where some of it is not here, unless that is named.

    Args:
        log: Where the systems have records.
        without: Systems that somebody said to go on without.

    Returns:
        Those of them that are not here, or in part, as `find_away`.

    Raises:
        RefusedError: others are not here either; names every one.
    """
    away = find_away(log)
    missing = [one for one in away if one not in without]
    if missing:
        options = " ".join(f"--without {shlex.quote(one)}" for one in missing)
        raise RefusedError(
            "not everything that is recorded is here",
            reasons=tuple(
                f"the log has batches of {named(one)}, and "
                + ("its records are" if away[one] == AWAY else "the newest of its records are")
                + " not here"
                for one in missing
            ),
            hint="Put the newest copy back where it was, or ask where it is. Where records are "
            f"lost, or somebody else's to erase, say so: `{options}`; the certificates then say "
            "that they were not touched.",
        )
    return away


def with_way_out(error: UnavailableError, system: str) -> UnavailableError:
    """Say what to do about a system whose records do not open: all else waits for it."""
    return UnavailableError(
        f"the records of {named(system)} do not open here: {error}",
        hint=f"{error.hint} Where they, or their key, are gone for good: "
        f"`--without {shlex.quote(system)}` goes on without them, and says so.".strip(),
    )


def in_part(system: str) -> UnavailableError:
    """Make the error of a system of which an older copy is here: all else waits for the newest."""
    is_own = system.startswith(OWN_SYSTEMS)
    way = "counterfoil person recover" if is_own else f"--without {shlex.quote(system)}"
    return UnavailableError(
        f"not all records of {named(system)} are here: an older copy was restored, or it was "
        "changed",
        hint=f"Put the newest copy back. Where it is gone for good: `{way}` goes on without it, "
        "and says so.",
    )


def check_set_aside(without: Collection[str], aside: Collection[str]) -> None:
    """Check that only what cannot be reached was named to go on without.

    Raises:
        FormatError: a system was named whose records are all here, or that has none.
    """
    reached = [named(one) for one in without if one not in aside]
    if reached:
        raise FormatError(
            f"there is nothing of {', '.join(reached)} to go on without: what is recorded there "
            "is here, and opens",
            hint="Leave it out, or mend the name.",
        )


def find_lost(log: Log) -> tuple[Lost, ...]:
    """Find the streams that the log knows more of than is kept here, or that no key here opens.

    Those that another one was declared to replace are settled. A stream that is not here at all was
    here once if it is one of our own, or if a key of it is on this machine; of others nobody can
    tell, see `find_elsewhere`.
    """
    streams = streams_of(log)
    here = set(streams.ids())
    once: set[bytes] = set()
    if log.engine.writers in {Writers.ONE, Writers.ANY} and not log.engine.moved_to():
        once = streams_with_keys(log.places.vault_keys)
    if not (here or once):
        return ()
    declared = find_declared(log)
    settled = _replaced(declared)
    lost = []
    for one in declared:
        batch = newest_batch(log, one.stream_id)
        if one.stream_id in settled or (batch is None and one.stream_id not in here):
            continue
        kept, locked = 0, False
        if one.stream_id in here:
            # As it lies there: how far it is can be seen without its keys.
            with (
                suppress(FormatError, VerificationError),  # damaged, so not what the log says
                closing(streams.place(one.stream_id).open(write=False)) as opened,
            ):
                locked = _is_locked(opened, one.stream_id, log.places.vault_keys)
                if not locked and (batch is None or extends(opened.tree, batch)):
                    continue
                kept = 0 if locked else opened.tree.size
        elif one.stream_id not in once and not (
            here and one.system.startswith(OWN_SYSTEMS) and log.engine.writers is not Writers.SERVER
        ):
            continue
        stated = 0 if batch is None else batch.size
        lost.append(Lost(one.system, one.stream_id, kept, stated, locked))
    return tuple(lost)


def go_on_without(log: Log, *, despite_lost_holds: bool) -> tuple[Lost, ...]:
    """Declare streams in the place of those of our own that are lost; see `People.recover`."""
    check_memory(log)  # in a ledger that is itself set back, nothing tells what is lost
    lost = [one for one in find_lost(log) if one.system.startswith(OWN_SYSTEMS)]
    holds = [one for one in lost if one.system == HOLDS]
    if holds and not despite_lost_holds:
        raise RefusedError(
            "holds are lost, and nobody whom they are on could be told from anybody else",
            reasons=tuple(
                f"the log has a batch of {one.stated} records of holds, and "
                + ("their key is not here" if one.locked else f"{one.kept} are here")
                for one in holds
            ),
            hint="Put a newer copy, or the key, back. If there is none, say "
            "`--despite-lost-holds`, and place every hold again from the orders themselves before "
            "anybody is erased.",
        )
    declared = {bytes(one.stream_id): one for one in find_declared(log)}
    for one in lost:
        batch = newest_batch(log, one.stream)
        DecisionStream.replace(log, declared[one.stream], batch).close()
        # If we stop here, those that follow are still lost; asking again goes on with them.
    _carry_plans(log)
    return tuple(lost)


def _carry_plans(log: Log) -> None:
    """Carry erasures that had begun over to the stream of erasures that replaced a lost one."""
    streams = streams_of(log)
    planned = streams.with_note(PLAN_NOTE)
    for stream in find_settled(log).intersection(planned) if planned else ():
        with closing(DecisionStream.open(log, ERASURES)) as newest:
            if read_plan(newest.store) is None:  # or asking again goes on, once that is done
                carry_plan(streams.place(stream), stream, newest.store)


def _is_locked(opened: OpenPlace, stream: bytes, keys: Path) -> bool:
    """Tell whether the key of a stream's epoch is not among those that are here."""
    seen, epoch = None, opened.note(EPOCH_NOTE)
    while epoch is not None and not has_key(keys, stream, parse_epoch(epoch, EPOCH_NOTE).number):
        if epoch == seen:
            return True
        # Or else that epoch has just ended, and taken its key along.
        seen, epoch = epoch, opened.note(EPOCH_NOTE)
    return False


def _replaced(declared: Iterable[StreamDeclaration]) -> set[bytes]:
    """Give the ids of the streams that others were declared to replace."""
    return {one.replaces.stream for one in declared if one.replaces is not None}
