"""Erasing a person from every stream: one decision, carried out as a whole.

    0. nothing obliges anyone to keep the records, and it can be stated        (else: refused)
    1. the plan is durable, beside the stream of erasures
    2. stream by stream, records are destroyed and that is recorded            (see `vault.erase`)
    3. the log has a batch of the stream of erasures
    4. the plan is destroyed, and the name with it

Before step 1 nothing has happened. From then on there is only forward: the next call, or the next
opening of the ledger, on any machine, does 2 to 4 by the same code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace

from counterfoil.core.canonical import JsonValue
from counterfoil.core.merkle import Hash
from counterfoil.core.record import parse_disclosure
from counterfoil.core.stream import StreamDeclaration
from counterfoil.decisions.holds import open_holds
from counterfoil.decisions.kept import (
    ERASURES,
    HOLDS,
    IN_PART,
    check_set_aside,
    find_declared,
    find_kept,
    find_settled,
    in_part,
    open_own,
    require_here,
    require_systems,
    with_way_out,
)
from counterfoil.decisions.stream import OWN_SYSTEMS, DecisionStream, streams_of
from counterfoil.errors import (
    ConflictError,
    CounterfoilError,
    FormatError,
    RefusedError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.log import Log
from counterfoil.ledger.trust import Trust
from counterfoil.vault import Hold, HoldRule, StreamStore, check_hold
from counterfoil.vault.erase import (
    ERASURE_FIELDS,
    Eraser,
    ErasureCertificate,
    ErasureRequest,
    check_request,
    erasure_details,
    leave,
    read_certificate,
    read_certificates,
)
from counterfoil.vault.erased import find_set_back, mark_erased
from counterfoil.vault.intent import INTENT_NOTE, MAX_ERASED
from counterfoil.vault.plan import PLAN_NOTE, Plan, put_plan, read_plan, remove_plan

ERASURE_PAD_TO = 16  # a batch does not tell how many erasures it covers, up to this many

_BACK = "records that were erased are here again, and cannot be destroyed again yet"
_INTERRUPTED = "an erasure was interrupted, and cannot be finished here yet"
Found = Iterable[tuple[StreamStore, Sequence[int]]]


class ErasureWarning(UserWarning):
    """An erasure that was interrupted was finished when the ledger was opened, or could not be."""


class UnfinishedError(UnavailableError):
    """An erasure has begun, and is not finished: says what stands. Asking again goes on with it."""


class Erasing:
    """What erases people from the streams of a log.

    Args:
        log: Where the streams are declared.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        # By name, for as long as this process runs: what was finished of interrupted erasures.
        self._finished: dict[str, tuple[ErasureCertificate, ...]] = {}

    def erase(
        self,
        person: str,
        wanted: ErasureRequest,
        rules: Sequence[HoldRule],
        placed: Sequence[Hold],
        without: Sequence[str],
    ) -> tuple[ErasureCertificate, ...]:
        """Erase a person; see `People.erase`."""
        check_request(wanted)
        self._require_newest_policy()
        if all(one.system == ERASURES for one in find_kept(self._log)):
            raise self._unknown(person, wanted, without)
        aside = require_systems(self._log, without)
        left: dict[str, str] = {}  # by what was interrupted, which may know of more
        with ExitStack() as opened:
            with _nothing_done():
                audit = opened.enter_context(self._open_audit())
            with _begun(_INTERRUPTED, ConflictError):
                self._finish(audit, without, left)
            finished = self._finished.pop(person, ())
            with _nothing_done():
                kept = [one for one in find_kept(self._log) if one.system not in {ERASURES, HOLDS}]
                streams = self._reach(kept, without, aside, opened)
                check_set_aside(without, {**left, **aside})
                found, ended = self._find(person, rules, placed, streams, opened)
                if not (found or finished):
                    raise self._unknown(person, wanted, without)
                details = erasure_details(wanted, ended, self._log.random)
                details = leave(details, aside)
            if found:
                sizes = tuple((store.stream, store.size) for store, _ in found)
                plan = Plan(person, sizes, details)
                put_plan(audit.store, plan)  # 1
                finished += self._carry_out(audit, plan, found)
        return finished

    def finish(self) -> tuple[ErasureCertificate, ...]:
        """Complete what was interrupted; see `People.finish`."""
        streams = streams_of(self._log)
        planned, begun = streams.with_note(PLAN_NOTE), streams.with_note(INTENT_NOTE)
        if planned:
            # One beside a stream that was replaced is for `recover`: it carries it over.
            begun += set(planned) - find_settled(self._log)
        if not begun or not find_kept(self._log, begun):
            return ()
        # Who holds a stream, or the log, finishes it, or the next to open the ledger does.
        with _begun(_INTERRUPTED, ConflictError), self._open_audit() as audit:
            return self._finish(audit, (), {})

    def destroy_again(self) -> int:
        """Destroy what is erased already, and came back; see `People.destroy_again`."""
        with _begun("whether erased records are here again cannot be told"):
            back = find_set_back(streams_of(self._log), self._log.places.vault_keys)
        if not back:
            return 0
        destroyed = 0
        with _begun(_BACK):
            newest: dict[bytes, dict[bytes, int]] = {}
            leaves: dict[bytes, set[Hash]] = {}
            for one in self.certificates():
                newest.setdefault(one.stream, {})[one.audit] = one.record
                leaves.setdefault(one.stream, set()).update(one.leaves)
            for declaration in find_kept(self._log, back.intersection(leaves)):
                with ExitStack() as opened:
                    store = self._reopen(declaration, opened).store
                    indices = store.remaining(leaves[store.stream])
                    for at in range(0, len(indices), MAX_ERASED):
                        store.destroy(indices[at : at + MAX_ERASED])
                    # If we stop here, the next opening looks again, and finds nothing.
                    for audit, record in newest[store.stream].items():
                        mark_erased(store, audit, record)
                    destroyed += len(indices)
        return destroyed

    def certificates(self) -> list[ErasureCertificate]:
        """Read the certificates of all erasures, oldest first."""
        found = []
        with ExitStack() as opened:
            for audit, _ in open_own(self._log, ERASURES, opened, write=False):
                store = audit.store
                # An erasure is about the decision that it is of; a pad is about nothing.
                recorded = [index for index in store.live() if store.subject(index) is not None]
                found += [read_certificate(store, index) for index in recorded]
        return found

    def _reach(
        self,
        declared: Iterable[StreamDeclaration],
        without: Sequence[str],
        aside: dict[str, str],
        opened: ExitStack,
    ) -> list[DecisionStream]:
        """Open streams for writing, all of them but those that somebody said to go on without.

        Args:
            declared: Their declarations.
            without: Systems whose streams need not open; nor need those that were replaced.
            aside: Takes up which of these did not, and why.
            opened: What closes them.
        """
        streams, settled = [], find_settled(self._log)
        for one in declared:
            try:
                streams.append(self._reopen(one, opened))
            except (FormatError, UnavailableError, VerificationError) as error:
                if one.system not in without and one.stream_id not in settled:
                    is_own = one.system.startswith(OWN_SYSTEMS)
                    if isinstance(error, UnavailableError) and not is_own:
                        raise with_way_out(error, one.system) from error
                    raise
                aside[one.system] = "did not open here"
        return streams

    def _find(
        self,
        person: str,
        rules: Sequence[HoldRule],
        placed: Sequence[Hold],
        streams: Sequence[DecisionStream],
        opened: ExitStack,
    ) -> tuple[list[tuple[StreamStore, list[int]]], list[Hold]]:
        """Find what is recorded about a person, and the holds on it, all of which have ended.

        The streams are open for writing and stay so, so that nobody records or places a hold
        meanwhile.
        """
        holds = opened.enter_context(open_holds(self._log, write=True))
        asked = (*placed, *(one.hold for one in holds.list(person)))
        found: list[tuple[StreamStore, list[int]]] = []
        ended: list[Hold] = []
        for stream in (*streams, *holds.streams):
            # Every record is decrypted and asked, as an index may be damaged.
            indices = stream.store.find(person, scan=True)
            if indices:
                found.append((stream.store, indices))
                bound = (*Trust(self._log).retention(stream.declaration.system), *rules)
                records = read_records(stream.store, indices)
                ended += check_hold(records, self._log.clock(), rules=bound, placed=asked)
        return found, ended

    @contextlib.contextmanager
    def _open_audit(self) -> Iterator[DecisionStream]:
        """Open the stream of erasures, once it is sure that they can be stated in the log."""
        # The log takes entries, its key is here, and none of them waits for witnesses.
        self._log.append_many(())
        audit = DecisionStream.open(
            self._log, ERASURES, fields=ERASURE_FIELDS, pad_to=ERASURE_PAD_TO
        )
        with closing(audit):
            audit.require_publishable()
            yield audit

    def _finish(
        self, audit: DecisionStream, without: Sequence[str], aside: dict[str, str]
    ) -> tuple[ErasureCertificate, ...]:
        """Complete the erasure of a person, and those of single streams.

        Args:
            audit: The stream of erasures.
            without: As `_reach`.
            aside: As `_reach`.
        """
        certificates: tuple[ErasureCertificate, ...] = ()
        plan = read_plan(audit.store)
        if plan is not None:
            with ExitStack() as opened:
                found = self._find_planned(plan, without, aside, opened)
                plan = replace(plan, details=leave(plan.details, aside))
                certificates = self._carry_out(audit, plan, found, "of an earlier erasure, ")
            self._finished[plan.person] = certificates
        # Those that no plan is of: `Eraser` alone, as versions before this one used it.
        for declaration in find_kept(self._log, streams_of(self._log).with_note(INTENT_NOTE)):
            with ExitStack() as opened:
                for stream in self._reach([declaration], without, aside, opened):
                    done = Eraser(stream.store, audit.store, pad_to=ERASURE_PAD_TO).finish()
                    audit.publish()
                    certificates += () if done is None else (done,)
        return certificates

    def _find_planned(
        self, plan: Plan, without: Sequence[str], aside: dict[str, str], opened: ExitStack
    ) -> list[tuple[StreamStore, list[int]]]:
        """Find what is left of what a plan is of, in all streams but those to go on without.

        Raises:
            UnavailableError: one is not here as it was: the plan waits, as it is all that knows
                what is still to be destroyed.
        """
        sizes, settled = dict(plan.streams), find_settled(self._log)
        found = []
        planned = [one for one in find_declared(self._log) if one.stream_id in sizes]
        for stream in self._reach(planned, without, aside, opened):
            system, size = stream.declaration.system, sizes[stream.id]
            is_whole = stream.reaches(size)
            if not is_whole:
                if system not in without and stream.id not in settled:
                    raise in_part(system)
                aside[system] = IN_PART
            # Of the others nobody can tell which records there are of the plan: they are asked for
            # anew, by whoever erases this person again.
            if is_whole or stream.id in settled:
                indices = stream.store.find(plan.person, scan=True)
                # What was recorded since then, nobody was asked about.
                found.append((stream.store, [index for index in indices if index < size]))
        return found

    def _carry_out(
        self, audit: DecisionStream, plan: Plan, found: Found, whose: str = ""
    ) -> tuple[ErasureCertificate, ...]:
        """Do steps 2 to 4; each may have been done before, for some of the streams or all."""
        with _begun(f"{whose}records are destroyed, or will be: it cannot be stopped any more"):
            for store, indices in found:
                eraser = Eraser(store, audit.store, pad_to=ERASURE_PAD_TO)
                eraser.finish()
                for at in range(0, len(indices), MAX_ERASED):
                    eraser.carry_out(indices[at : at + MAX_ERASED], plan.details)  # 2
        missing = "the records ARE destroyed; what is missing is the statement in the log"
        with _begun(f"{whose}{missing}"):
            self._log.append_many(())  # what may wait there since an attempt before this one
            audit.publish()  # 3
        certificates = read_certificates(audit.store, str(plan.details["id"]))
        remove_plan(audit.store)  # 4
        return tuple(certificates)

    def _reopen(self, declaration: StreamDeclaration, opened: ExitStack) -> DecisionStream:
        """Open a stream for writing, until `opened` is closed."""
        place = streams_of(self._log).place(declaration.stream_id)
        if not place.exists():  # or an empty one would be made there
            raise UnavailableError(f"nothing is kept in {place.name}", hint="Put it back.")
        stream = DecisionStream.reopen(self._log, declaration, write=True)
        opened.callback(stream.close)
        return stream

    def _require_newest_policy(self) -> None:
        later = Trust(self._log).unadopted()
        if later is None:
            return
        entry, policy = later
        reason = f"version {policy.version} (entry {entry}) may ask for records to be kept longer"
        raise RefusedError(
            "the log holds a newer trust policy than was adopted on this machine",
            reasons=(reason,),
            hint="Adopt it here, `counterfoil policy adopt FILE`, and ask again.",
        )

    def _unknown(self, person: str, wanted: ErasureRequest, without: Sequence[str]) -> FormatError:
        """Make the error of a name that nothing is recorded under: wrong, or erased already."""
        require_here(self._log, person, without)
        message = f"nothing is recorded about {person!r}"
        if wanted.request is not None:
            done = sum(one.request == wanted.request for one in self.certificates())
            if done:
                message += f" any more, and {done} certificates say what was erased on this request"
        return FormatError(
            message,
            hint="Use the name that was given as data subject. No name is kept of who was erased: "
            "`counterfoil person erasures` lists the certificates.",
        )


def read_records(store: StreamStore, indices: Sequence[int]) -> list[dict[str, JsonValue]]:
    """Read names and values of the fields of some records."""
    return [
        {one.name: one.value for one in map(parse_disclosure, store.disclosures(index))}
        for index in indices
    ]


@contextlib.contextmanager
def _nothing_done() -> Iterator[None]:
    """Have whoever is interrupted here say so."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note("nothing was destroyed")
        raise


@contextlib.contextmanager
def _begun(stands: str, *passed: type[CounterfoilError]) -> Iterator[None]:
    """Have whatever fails after the plan say what stands, and that it will be finished."""
    goes_on = (
        "The same command again, or the next one that opens the ledger, finishes it, and the "
        "certificate is listed by `counterfoil person erasures`."
    )
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"{stands}. {goes_on}")
        raise
    except CounterfoilError as error:
        if isinstance(error, (UnfinishedError, *passed)):
            raise
        hint = f"{error.hint} {goes_on}".strip()
        raise UnfinishedError(f"{stands}: {error}", hint=hint) from error
