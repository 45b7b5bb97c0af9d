"""Which of a log's streams are kept here, which are elsewhere, and which were set back.

The log holds what each stream promised, and its batches; records lie here or with somebody else. A
stream that the log knows more of than is kept here was restored from an older copy. A stream of our
own (erasures, holds) then goes on as another one, whose declaration names the one it replaces.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import Final

from counterfoil.core.stream import StreamDeclaration, parse_stream
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
from counterfoil.ledger.trust import heard_in

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


def require_here(log: Log, person: str) -> None:
    """Refuse to say that nothing is recorded about a person, where that may lie elsewhere.

    Raises:
        UnavailableError: it may.
    """
    elsewhere = find_elsewhere(log)
    if elsewhere:
        moved = log.engine.moved_to()
        raise UnavailableError(
            f"nothing is recorded about {person!r} here, and the records of "
            f"{', '.join(elsewhere)} are elsewhere",
            hint=f"Ask where the log is now: {moved}" if moved else "Ask whoever recorded them.",
        )


def find_lost(log: Log) -> tuple[Lost, ...]:
    """Find the streams that the log knows more of than is kept here.

    Those that another one was declared to replace are settled. Of a system whose stream is not here
    at all nobody can tell whether it ever was, but for our own.
    """
    streams = streams_of(log)
    here = set(streams.ids())
    if not here:
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
        elif not one.system.startswith(OWN_SYSTEMS) or log.engine.writers is Writers.SERVER:
            continue
        lost.append(Lost(one.system, one.stream_id, kept, batch.size))
    return tuple(lost)


def go_on_without(log: Log, *, despite_lost_holds: bool) -> tuple[Lost, ...]:
    """Declare streams in the place of those of our own that are lost; see `People.recover`."""
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
