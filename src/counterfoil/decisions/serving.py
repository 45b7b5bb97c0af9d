"""Serving one decision at a time: recorded in microseconds, in the log with the next batch."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self, TypeVar

from counterfoil.core.arguments import require
from counterfoil.core.canonical import JsonValue
from counterfoil.core.record import pad_row
from counterfoil.core.stream import Batch
from counterfoil.decisions.recorder import Handle, Recorder, RecorderEndedError
from counterfoil.decisions.rowcodec import encode
from counterfoil.decisions.rows import notice_of
from counterfoil.decisions.stream import DecisionStream
from counterfoil.errors import ConflictError, FormatError, UnavailableError
from counterfoil.ledger.gate import Gate
from counterfoil.ledger.log import Log
from counterfoil.models.terms import is_number
from counterfoil.models.version import Model
from counterfoil.vault.keystore import FileKeyStore

DRAIN_S: Final = 15.0  # a full ring of a server that was killed is recorded in a few seconds
ASK_S: Final = 60.0  # a revocation, or a policy that is not adopted here, is noticed within it
_RETRY_S: Final = 0.05
_REASONS: Final = 'Write {"method": "…", "principal": ["…"]}; docs/reference/evidence.md has them.'

Result = TypeVar("Result")


class Serving:
    """A model in service; `ledger.decisions.serve(model)` makes one.

    `record` returns at once and promises little; `Handle.wait` returns when the record is
    durable, and `ticket` a promise about it; `publish` brings what is durable under a batch in the
    log, after which evidence can be made. A recording process that was killed is replaced by the
    next of these calls, and what it had taken is recorded, each row once.
    docs/explanation/serving.md tells what is true at each moment.

    The gate of the model's stage is asked when this is made, and every `ASK_S` again.

    Args:
        log: Where the batches go.
        model: To be recorded, if its gate lets it.
    """

    def __init__(self, log: Log, model: Model) -> None:
        self._log = log
        self._model = model
        Gate(log).clear_model(model.subject, model.stage, model.format, model.types)
        stream = _open_once_drained(log, model.name)
        with contextlib.closing(stream):  # made; from here on the recording process writes it
            stream.check_history()
        self._fields = stream.declaration.fields
        keys = FileKeyStore(log.places.vault_keys)
        self._recorder = Recorder(stream.store.place, keys, self._fields)
        self._reading = threading.Lock()  # guards the reader, which looks at what is recorded
        try:
            self._reader = DecisionStream.reopen(log, stream.declaration, write=False)
        except BaseException:
            self._recorder.close()
            raise
        self._name: dict[str, JsonValue] = {
            "name": model.name,
            "version": model.version,
            "digest": model.digest,
            "stage": model.stage,
        }
        self._kind = encode("decision")
        self._second = (-1, "")
        self._outcomes = model.terms.outcomes
        self._refusal: Exception | None = None
        self._closed = threading.Event()
        self._asking = threading.Thread(target=self._ask, name="counterfoil-gate", daemon=True)
        self._asking.start()

    def record(
        self,
        inputs: Mapping[str, JsonValue],
        outcome: JsonValue,
        score: float | None = None,
        *,
        reasons: JsonValue = None,
        data_subject: str | None = None,
        reference: str | None = None,
    ) -> Handle:
        """Record a decision that the serving process has made; some microseconds.

        Args:
            inputs: What the model was given, by name, in plain values.
            outcome: What it decided; of the two that its terms name, where they name any, the one
                that they give for this score.
            score: The number behind it.
            reasons: As docs/reference/evidence.md has them, where the model gives any.
            data_subject: Whom it is about, as erasure will ask for them.
            reference: How a letter refers to the person.

        Raises:
            FormatError: a value is not JSON, too large or too deep; the terms do not know the
                outcome, or give another one for this score; or the score is no number, the reasons
                have no parts, or a name is no text.
            RefusedError: the stage enforces, and by now something speaks against the model; what
                else keeps the gate from clearing it is raised likewise, while it lasts.
            UnavailableError: the recording process does not keep up, or has ended and cannot be
                replaced, or the ledger was closed; this decision is not recorded.
        """
        self._log.require_open()  # nobody would state its batch
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)  # or it would grow with each call
        if self._outcomes is not None and outcome not in self._outcomes:
            raise FormatError(
                f"the outcome {outcome!a:.40} is none of those that the terms name",
                hint=f"They are {self._outcomes[0]!a} and {self._outcomes[1]!a}.",
            )
        if score is not None:
            self._check_score(score, outcome)
        if reasons is not None:
            require(reasons, dict, "reasons by their parts", _REASONS)
        if type(reference) is not str and reference is not None:
            require(reference, str, "a text as the reference", "Write a number as `str(4711)`.")
        try:
            given = dict(inputs)
        except (TypeError, ValueError) as error:
            raise FormatError(
                f"the inputs are a {type(inputs).__name__}, not values by name",
                hint='Write {"income": 1800}.',
            ) from error
        output: dict[str, JsonValue] = {
            "outcome": outcome,
            "score": score,
            "threshold": self._model.terms.threshold,
            "decided": self._now(),
            "model": self._name,
            "notice": notice_of(self._model, reference),
        }
        row = (self._kind, None, given, output, reasons)
        try:
            return self._recorder.record(row, data_subject)
        except RecorderEndedError:
            self._recorder.revive()
            return self._recorder.record(row, data_subject)

    def ticket(self, handle: Handle, timeout_s: float | None = None) -> bytes:
        """Wait until a decision is durable, and sign a ticket for it, to be handed out.

        Args:
            handle: What `record` returned.
            timeout_s: How long to wait; None waits as long as there is a recording process.

        Returns:
            The ticket: an envelope that says which index the record has.

        Raises:
            FormatError: this service did not record it.
            UnavailableError: the record is not durable yet, or was lost; then nothing is promised.
        """
        require(handle, Handle, "what `record` returned", "Keep it until a ticket is needed.")
        if handle.recorder is not self._recorder:
            raise FormatError(
                "this decision was recorded by another service",
                hint="Ask that one for the ticket: the record has its index in its stream.",
            )
        index = self._again(lambda: handle.wait(timeout_s))
        with self._reading:
            if index >= self._reader.store.size:
                self._reader.store.refresh()
            return self._reader.ticket(index)

    def publish(self) -> Batch | None:
        """Wait until all that was recorded is durable, and bring it under a batch in the log.

        Raises:
            UnavailableError: some of it could not be recorded.
        """
        self._again(self._recorder.flush)
        with self._reading:
            self._reader.store.refresh()
            last = self._reader.newest_batch()
            if not self._reader.due(last):
                return last
            pads = -self._reader.store.size % self._reader.declaration.pad_to
            if pads:
                # Others may record meanwhile: then there are a few pads more than it takes.
                for _ in range(pads):
                    self._again(lambda: self._recorder.record(pad_row(self._fields)))
                self._again(self._recorder.flush)
                self._reader.store.refresh()
            return self._reader.publish()

    def restart(self) -> None:
        """Start a new recording process if the last one has ended, for whatever reason.

        Raises:
            As for a new one; restart again once the cause is gone.
        """
        self._recorder.restart()

    def close(self) -> None:
        """Publish, and end the recording process; to be done before the ledger is closed.

        Raises:
            UnavailableError: some of it could not be recorded, and never will be; or the ledger was
                closed, and all of it is recorded and waits for the next batch.
        """
        self._closed.set()
        with contextlib.ExitStack() as closing:
            closing.callback(self._asking.join)  # the log may be closed after us
            closing.callback(self._reader.close)
            closing.callback(self._recorder.close)
            if self._recorder.is_open:
                self._publish_last()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _publish_last(self) -> None:
        """Publish, or say what becomes of what cannot be published any more."""
        self._again(self._recorder.flush)
        try:
            self._log.require_open()
        except UnavailableError as error:
            raise UnavailableError(
                f"{error}, before {self._model.name} was taken out of service: what was recorded "
                "is durable, and in the log with the system's next batch",
                hint=f"`counterfoil decision publish {self._model.name}` states it. Close the "
                "service first.",
            ) from error
        self.publish()

    def _ask(self) -> None:
        """Ask the gate again and again; runs in a thread, so that no request waits for it."""
        model = self._model
        while not self._closed.wait(ASK_S):
            try:
                Gate(self._log).ask_model(model.subject, model.stage, model.format, model.types)
                self._refusal = None
            except UnavailableError:
                pass  # what it said last holds until the log answers; nothing is published either
            except Exception as error:  # noqa: BLE001 whatever it is, it is no yes
                self._refusal = error

    def _check_score(self, score: object, outcome: JsonValue) -> None:
        """Refuse a score that is none, or for which the terms have the other outcome."""
        if not is_number(score):
            raise FormatError(
                f"the score is the {type(score).__name__} {score!a:.40}, not a number",
                hint="Give a float, or None where there is none.",
            )
        threshold = self._model.terms.threshold
        if self._outcomes is None or threshold is None:
            return
        below, above = self._outcomes
        due = above if score >= threshold else below
        if outcome != due:
            raise FormatError(
                f"the outcome is {outcome!a:.40}, and by the terms a score of {score} gives "
                f"{due!a:.40}: the threshold is {threshold}",
                hint="Where people decide otherwise than the model, record what it said, then "
                "override it.",
            )

    def _again(self, act: Callable[[], Result]) -> Result:
        """Do something with the recording process, with another one if it was killed."""
        try:
            return act()
        except RecorderEndedError:
            self._recorder.revive()
            return act()

    def _now(self) -> str:
        """Write the time, once a second: formatting it would cost as much as recording."""
        second = int(self._log.clock())
        if second != self._second[0]:
            self._second = (second, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second)))
        return self._second[1]


def _open_once_drained(log: Log, system: str) -> DecisionStream:
    """Open a system's stream, when the recording process of a server before us lets go of it.

    Raises:
        ConflictError: somebody still writes after `DRAIN_S`.
    """
    deadline = time.monotonic() + DRAIN_S
    while True:
        try:
            return DecisionStream.open(log, system)
        except ConflictError:
            # The server may have been killed a moment ago: what it took is recorded first.
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)
