"""Which of a log's streams are kept here, which are elsewhere, and which were set back.

The log holds what each stream promised, and its batches; records lie here or with somebody else. A
stream that the log knows more of than is kept here was restored from an older copy. A stream of our
own (erasures, holds) then goes on as another one, whose declaration names the one it replaces.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
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
from counterfoil.ledger.log import Log
from counterfoil.ledger.status import check_memory
from counterfoil.ledger.trust import heard_in
from counterfoil.vault.keystore import streams_with_keys

ERASURES: Final = f"{OWN_SYSTEMS}erasures"
HOLDS: Final = f"{OWN_SYSTEMS}holds"


@dataclass(frozen=True, slots=True)
class Lost:
    """A stream whose newest records are not here, though the log has a batch of them.

    Args:
        system: Whose.
        stream: Its id, 32 bytes.
        kept: Records that are here.
        stated: Records that the newest batch in the log covers.
    """

    system: str
    stream: bytes
    kept: int
    stated: int


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


def find_remaining(log: Log, ids: Collection[bytes]) -> list[StreamDeclaration]:
    """Find the declared streams with these ids, but for those that are lost and were replaced."""
    declared = find_declared(log)
    settled = _replaced(declared)
    return [
        one
        for one in declared
        if one.stream_id in ids
        and (one.stream_id not in settled or streams_of(log).place(one.stream_id).exists())
    ]


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
    missing = [
        one.system
        for one in find_declared(log)
        if one.stream_id not in here and newest_batch(log, one.stream_id)
    ]
    return list(dict.fromkeys(missing))


def require_here(log: Log, person: str, without: Collection[str] = ()) -> None:
    """Refuse to say that nothing is recorded about a person, where that may lie elsewhere.

    Args:
        log: Where the systems have records.
        person: Who it is.
        without: Systems that do not count.

    Raises:
        UnavailableError: it may.
    """
    elsewhere = [one for one in find_elsewhere(log) if one not in without]
    if elsewhere:
        moved = log.engine.moved_to()
        raise UnavailableError(
            f"nothing is recorded about {person!r} here, and the records of "
            f"{', '.join(elsewhere)} are elsewhere",
            hint=f"Ask where the log is now: {moved}" if moved else "Ask whoever recorded them.",
        )


def require_systems(log: Log, without: Collection[str]) -> list[str]:
    """Refuse to act on all that is recorded where some of it is elsewhere, unless that is named.

    Args:
        log: Where the systems have records.
        without: Systems that somebody said to go on without.

    Returns:
        Those of them that are not here.

    Raises:
        RefusedError: others are not here either; names every one.
    """
    away = [one for one in find_elsewhere(log) if not one.startswith(OWN_SYSTEMS)]
    missing = [one for one in away if one not in without]
    if missing:
        options = " ".join(f"--without {shlex.quote(one)}" for one in missing)
        raise RefusedError(
            "not everything that is recorded is here",
            reasons=tuple(
                f"the log has batches of {named(one)}, and its records are not here"
                for one in missing
            ),
            hint="Put them back where they were, or ask where they are. Where they are lost, or "
            f"somebody else's to erase, say so: `{options}`; the certificates then say that they "
            "were not touched.",
        )
    return away


def with_way_out(error: UnavailableError, system: str) -> UnavailableError:
    """Say what to do about a system whose records do not open: all else waits for it."""
    return UnavailableError(
        f"the records of {named(system)} do not open here: {error}",
        hint=f"{error.hint} Where they, or their key, are gone for good: "
        f"`--without {shlex.quote(system)}` goes on without them, and says so.".strip(),
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
    """Find the streams that the log knows more of than is kept here.

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
        if batch is None or one.stream_id in settled:
            continue
        kept = 0
        if one.stream_id in here:
            # As it lies there: how far it is can be seen without its keys.
            with (
                suppress(FormatError, VerificationError),  # damaged, so not what the log says
                closing(streams.place(one.stream_id).open(write=False)) as opened,
            ):
                if extends(opened.tree, batch):
                    continue
                kept = opened.tree.size
        elif one.stream_id not in once and not (
            here and one.system.startswith(OWN_SYSTEMS) and log.engine.writers is not Writers.SERVER
        ):
            continue
        lost.append(Lost(one.system, one.stream_id, kept, batch.size))
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
                f"the log has a batch of {one.stated} records of holds, and {one.kept} are here"
                for one in holds
            ),
            hint="Put a newer copy back. If there is none, say `--despite-lost-holds`, and place "
            "every hold again from the orders themselves before anybody is erased.",
        )
    declared = {bytes(one.stream_id): one for one in find_declared(log)}
    for one in lost:
        batch = newest_batch(log, one.stream)
        assert batch is not None, "or it would not be lost"  # noqa: S101 our own bug
        DecisionStream.replace(log, declared[one.stream], batch).close()
        # If we stop here, those that follow are still lost; asking again goes on with them.
    return tuple(lost)


def _replaced(declared: Iterable[StreamDeclaration]) -> set[bytes]:
    """Give the ids of the streams that others were declared to replace."""
    return {one.replaces.stream for one in declared if one.replaces is not None}
