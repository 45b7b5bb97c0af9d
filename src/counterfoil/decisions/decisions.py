"""Decisions: made and recorded, shown, replayed, overridden, reconciled with their tickets."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, overload

from counterfoil.core.arguments import require, require_each, require_number
from counterfoil.core.canonical import JsonValue
from counterfoil.core.merkle import Hash
from counterfoil.core.record import parse_disclosure
from counterfoil.core.stream import Batch, StreamDeclaration
from counterfoil.core.ticket import check_ticket_leaf, open_ticket
from counterfoil.decisions.overrides import find_overrides, known_outcome
from counterfoil.decisions.rows import decision_rows, one_each
from counterfoil.decisions.serving import Serving
from counterfoil.decisions.stream import MAX_DELAY_S, DecisionStream
from counterfoil.errors import (
    ConflictError,
    FormatError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.gate import Gate
from counterfoil.ledger.log import Log
from counterfoil.models.version import Model

DECISIONS: Final = "`ledger.decisions.show(system, number)` gives one."
_MODELS: Final = "`ledger.models.load(name)` gives one."
_TICKETS: Final = "Give the bytes that were handed out: `Path(…).read_bytes()`."
_NUMBERS: Final = "They count from 0; `counterfoil decision list` shows the newest."
MAX_PAD_TO = 1024  # a first decision writes so many records at most
MIN_CADENCE_S = 60  # half a million entries of the log in a year


class Collect(Protocol):
    """Makes the evidence of a decision; `evidence` hands it down, as it stands above."""

    def __call__(self, decision: Decision, *, withhold: Sequence[str] = ()) -> Any:
        """Collect what the decision rests on, without the fields to withhold."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One recorded decision.

    Args:
        system: Whose stream it is in.
        stream: The stream's id, 32 bytes.
        index: Its position there.
        leaf: Its handle, 32 bytes.
        values: Its fields.
        ticket: The signed promise handed out with it, if one was asked for.
    """

    system: str
    stream: bytes
    index: int
    leaf: Hash
    values: dict[str, JsonValue] = field(repr=False)
    ticket: bytes | None = field(repr=False)
    _collect: Collect = field(repr=False, compare=False)

    def evidence(self, *, withhold: Sequence[str] = ()) -> Any:
        """Collect the evidence of this decision; see `Evidence.make`.

        Args:
            withhold: Fields not to disclose.
        """
        return self._collect(self, withhold=withhold)


@dataclass(frozen=True, slots=True)
class DecisionBatch(Sequence[Decision]):
    """Decisions made together.

    Args:
        output: What the model answered, a plain array.
        clearance: Index of what the gate said about the model.
        decisions: One for each row.
    """

    output: Any
    clearance: int
    decisions: tuple[Decision, ...]

    def __len__(self) -> int:
        return len(self.decisions)

    @overload
    def __getitem__(self, place: int) -> Decision: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Decision]: ...
    def __getitem__(self, place: int | slice) -> Decision | Sequence[Decision]:
        return self.decisions[place]


@dataclass(frozen=True, slots=True)
class Replay:
    """What a model says today to what was recorded.

    Args:
        agrees: Outcome, score and reasons are those recorded.
        differences: What differs, in words.
    """

    agrees: bool
    differences: tuple[str, ...]


class Decisions:
    """The decisions of one ledger.

    Args:
        log: Where their batches go.
        collect: What `Decision.evidence` calls.
    """

    def __init__(self, log: Log, collect: Collect) -> None:
        self._log = log
        self._collect = collect
        self._writing = threading.Lock()

    def declare(
        self, system: str, *, pad_to: int = 1, cadence_s: int | None = None
    ) -> StreamDeclaration:
        """Promise how the batches of a system will look, before its first decision.

        Args:
            system: The model's name.
            pad_to: Batches have sizes that are multiples of this, up to `MAX_PAD_TO`, so that they
                do not tell how many decisions there were. Pads are records, and cost as much.
            cadence_s: Seconds between batches, from `MIN_CADENCE_S` to a day; one for each period,
                also where nothing was decided, so that silence shows. None promises no rhythm.

        Returns:
            The promises; the same ones again change nothing.

        Raises:
            ConflictError: the system has made other promises; or another process writes.
            FormatError: this cannot be promised.
        """
        if not 1 <= pad_to <= MAX_PAD_TO:
            raise FormatError(
                f"a stream is padded to multiples of 1 to {MAX_PAD_TO}, not {pad_to}",
                hint="Each pad is a record, and is written like one.",
            )
        if cadence_s is not None and not MIN_CADENCE_S <= cadence_s <= MAX_DELAY_S:
            raise FormatError(
                f"a stream closes a batch every {MIN_CADENCE_S} to {MAX_DELAY_S} s, not every "
                f"{cadence_s}",
                hint="Each batch is an entry of the log; and a ticket is broken after a day.",
            )
        with (
            self._writing,
            closing(
                DecisionStream.open(self._log, system, pad_to=pad_to, cadence_s=cadence_s)
            ) as stream,
        ):
            made = stream.declaration
        if (made.pad_to, made.cadence_s) != (pad_to, cadence_s):
            raise ConflictError(
                f"the stream of {system} is padded to multiples of {made.pad_to} and promises "
                + (f"a batch every {made.cadence_s} s" if made.cadence_s else "no rhythm"),
                hint="A stream promises once, before its first decision. Add the model under "
                "another name: that begins a stream of its own.",
            )
        return made

    def publish(self, system: str) -> Batch | None:
        """Close the batches that are due; with a cadence, to be called in every period.

        Returns:
            The newest batch; None while there was nothing to state.

        Raises:
            ConflictError: another process writes this system's stream.
            FormatError: the system has no stream.
        """
        with closing(DecisionStream.open(self._log, system, write=False)):
            pass  # a stream is not begun by publishing it
        with self._writing, closing(DecisionStream.open(self._log, system)) as stream:
            return stream.publish()

    def make(
        self,
        model: Model,
        rows: Any,
        *,
        data_subjects: Sequence[str | None] | None = None,
        references: Sequence[str | None] | None = None,
        tickets: bool = False,
    ) -> DecisionBatch:
        """Let a model decide on a batch, and record every decision durably.

        Args:
            model: From `ledger.models`.
            rows: A batch, as the model takes it.
            data_subjects: Whom each row is about, as erasure will ask for them; they go into the
                vault, never into the log.
            references: How a letter refers to each person, for instance a case number.
            tickets: Whether to sign a ticket for each decision.

        Returns:
            Output and decisions, once the records are durable and their batch is in the log; of a
            stream with a cadence, once they are durable, as their batch is not due yet.

        Raises:
            FormatError: the rows cannot be decided on, or whom they are about cannot be told;
                nothing was recorded.
            RefusedError: the stage enforces, and the model is not cleared.
            ConflictError: another process writes this system's stream.
        """
        require(model, Model, "a model", _MODELS)
        clearance = Gate(self._log).clear_model(
            model.subject, model.stage, model.format, model.types
        )
        decided = model.predictor.predict(rows)
        count = len(decided.table.rows)
        about = one_each(data_subjects, count, "data_subjects")
        named = one_each(references, count, "references")
        laid_out = decision_rows(model, rows, decided, named, self._log.clock())
        # One at a time: a stream has one writer, and threads would find it taken.
        with self._writing, closing(DecisionStream.open(self._log, model.name)) as stream:
            indices = stream.append(laid_out, about)
            # If we stop here, the records are durable, and the next batch takes them along.
            signed = [stream.ticket(index) if tickets else None for index in indices]
            stream.publish()
            fields = stream.declaration.fields
            decisions = tuple(
                Decision(
                    model.name,
                    stream.id,
                    index,
                    stream.store.leaf(index),
                    dict(zip(fields, values, strict=True)),
                    ticket,
                    self._collect,
                )
                for index, values, ticket in zip(indices, laid_out, signed, strict=True)
            )
        return DecisionBatch(decided.output, clearance.index, decisions)

    def serve(self, model: Model) -> Serving:
        """Put a model into service: decisions are recorded one at a time, without waiting.

        Raises:
            RefusedError: the stage enforces, and the model is not cleared.
            ConflictError: another process writes this system's stream.
        """
        return Serving(self._log, require(model, Model, "a model", _MODELS))

    def show(self, system: str, index: int) -> Decision:
        """Read a recorded decision from the vault.

        Raises:
            FormatError: there is none.
            UnavailableError: it was erased.
            VerificationError: what is stored is not what was recorded.
        """
        index = require_number(index, "the number of a record", _NUMBERS)
        stream = DecisionStream.open(self._log, system, write=False)
        try:
            if not 0 <= index < stream.store.size:
                raise FormatError(
                    f"{system} has {stream.store.size} records; there is no number {index}",
                    hint=_NUMBERS,
                )
            values = {
                one.name: one.value
                for one in map(parse_disclosure, stream.store.disclosures(index))
            }
            leaf = stream.store.leaf(index)
            return Decision(system, stream.id, index, leaf, values, None, self._collect)
        finally:
            stream.close()

    def overrides(self, decision: Decision) -> Sequence[int]:
        """Find the records that override a decision, oldest first.

        They are looked for among the records about the same person; where a decision names nobody,
        among the newest `MAX_LOOK_BACK` of the system.
        """
        require(decision, Decision, "a decision", DECISIONS)
        with closing(DecisionStream.open(self._log, decision.system, write=False)) as stream:
            return find_overrides(stream.store, decision.index)

    def list(self, system: str, *, data_subject: str | None = None) -> list[int]:
        """List the indices of a system's decisions, of one person if asked."""
        stream = DecisionStream.open(self._log, system, write=False)
        try:
            if data_subject is not None:
                return stream.store.find(data_subject)
            return list(range(stream.store.size))
        finally:
            stream.close()

    def replay(self, decision: Decision, model: Model) -> Replay:
        """Let the model decide again on the recorded inputs and compare.

        Args:
            decision: As recorded.
            model: Loaded; another version is a difference too.
        """
        require(decision, Decision, "a decision", DECISIONS)
        require(model, Model, "a model", _MODELS)
        inputs, output = decision.values.get("inputs"), decision.values.get("output")
        if not isinstance(inputs, dict) or not isinstance(output, dict):
            raise FormatError(
                f"record {decision.index} of {decision.system} is no decision",
                hint="Overrides and pads are records too.",
            )
        rows = _as_rows(inputs, model)
        decided = model.predictor.predict(rows)
        again = decision_rows(model, rows, decided, [None], self._log.clock())[0]
        fresh, reasons = again[3], again[4]
        assert isinstance(fresh, dict)  # noqa: S101 laid out above
        differences = [
            f"{key} was {output.get(key)!r} and is {fresh.get(key)!r}"
            for key in ("outcome", "score", "threshold")
            if output.get(key) != fresh.get(key)
        ]
        if _digest_of(output) != model.digest:
            differences.append(f"the model is another one: {model.name} {model.version}")
        if reasons != decision.values.get("reasons"):
            differences.append("the reasons differ")
        return Replay(not differences, tuple(differences))

    def override(
        self,
        decision: Decision,
        outcome: JsonValue,
        reason: str,
        *,
        reviewer: str,
        new_outcome: bool = False,
    ) -> Decision:
        """Record that a person decided otherwise: a new record about the old one.

        Args:
            decision: What is overridden; it stays as it is.
            outcome: The new outcome.
            reason: Why.
            reviewer: Who, as the organisation's records call them; in the vault only.
            new_outcome: Whether it may be one that none of the system's newest `MAX_LOOK_BACK`
                records has; else that is taken for a slip.

        Raises:
            FormatError: no such record has this outcome, or an argument is of a wrong type.
            ConflictError: another process writes this system's stream.
        """
        require(decision, Decision, "a decision", DECISIONS)
        require(reason, str, "a reason in words", "Say what was found.")
        require(reviewer, str, "a reviewer's name", "Name them as your own records do.")
        with closing(DecisionStream.open(self._log, decision.system)) as stream:
            if not new_outcome:
                outcome = known_outcome(outcome, stream.store)
            subject = stream.store.subject(decision.index)
            body: JsonValue = {
                "outcome": outcome,
                "reason": reason,
                "reviewer": reviewer,
                "overrides": decision.index,  # for people; `about` is what binds
            }
            row: list[JsonValue] = ["override", decision.leaf.hex(), None, body, None]
            (index,) = stream.append([row], [subject])
            stream.publish()
            leaf = stream.store.leaf(index)
            values = dict(zip(stream.declaration.fields, row, strict=True))
            return Decision(decision.system, stream.id, index, leaf, values, None, self._collect)

    def reconcile(
        self, system: str, tickets: Sequence[bytes] | Mapping[str, bytes]
    ) -> tuple[str, ...]:
        """Hold batches and tickets against what a stream promised; return what is broken, in words.

        Args:
            system: Whose stream.
            tickets: As they were handed out; may be none. Where they have names, such as those of
                files, an error gives the name.

        Raises:
            FormatError: one is no ticket.
            SignatureError: one was not signed by the stream.
            VerificationError: one is of another stream.
        """
        if not isinstance(tickets, Mapping):
            given = require_each(tickets, bytes, "a list of tickets", _TICKETS)
            tickets = {f"ticket number {number}": one for number, one in enumerate(given)}
        broken: list[str] = []
        stream = DecisionStream.open(self._log, system, write=False)
        try:
            broken += stream.check_batches()
            found = self._log.find(predicate="batch", subject=stream.id.hex())
            batch = stream.newest_batch()
            for name, data in tickets.items():
                try:
                    ticket = open_ticket(data, stream.declaration)
                except (FormatError, VerificationError) as error:
                    raise type(error)(f"{name}: {error}", hint=error.hint) from error
                if batch is None or ticket.index >= batch.size:
                    broken.append(f"record {ticket.index} was promised and is in no batch")
                    continue
                try:
                    leaf = stream.store.leaf(ticket.index)
                    path = stream.store.inclusion(ticket.index, batch.size)
                    check_ticket_leaf(data, stream.declaration, found[-1].envelope, leaf, path)
                except (FormatError, VerificationError, UnavailableError) as error:
                    broken.append(f"record {ticket.index}: {error}")
        finally:
            stream.close()
        return tuple(broken)


def _digest_of(output: dict[str, JsonValue]) -> JsonValue:
    model = output.get("model")
    return model.get("digest") if isinstance(model, dict) else None


def _as_rows(inputs: dict[str, JsonValue], model: Model) -> Any:
    """Give recorded inputs back in the kind of container the model was trained with."""
    if hasattr(model.predictor.model, "feature_names_in_"):
        import pandas as pd  # noqa: PLC0415 heavy, and only models trained on data frames ask for it

        return pd.DataFrame([inputs])
    return [list(inputs.values())]
