"""Serving one decision at a time: recorded in microseconds, in the log with the next batch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from counterfoil.core.canonical import JsonValue
from counterfoil.core.stream import Batch
from counterfoil.decisions.recorder import Handle, Recorder
from counterfoil.decisions.rowcodec import encode
from counterfoil.decisions.rows import notice_of
from counterfoil.decisions.stream import DecisionStream
from counterfoil.ledger.gate import Gate
from counterfoil.ledger.log import Log
from counterfoil.models.version import Model
from counterfoil.vault.keystore import FileKeyStore


class Serving:
    """A model in service; `ledger.decisions.serve(model)` makes one.

    `record` returns at once and promises little; `Handle.wait` returns when the record is
    durable; `publish` brings what is durable under a batch in the log, after which evidence can
    be made. docs/explanation/serving.md tells what is true at each moment.

    Args:
        log: Where the batches go.
        model: Cleared by the gate of its stage when this is made, and not again.
    """

    def __init__(self, log: Log, model: Model) -> None:
        self._log = log
        self._model = model
        Gate(log).clear_model(model.subject, model.stage, model.format, model.types)
        stream = DecisionStream.open(log, model.name)
        stream.close()  # declared and made; from here on the recording process writes it
        fields = stream.declaration.fields
        keys = FileKeyStore(log.places.vault_keys)
        self._recorder = Recorder(stream.store.folder, keys, fields)
        self._name: dict[str, JsonValue] = {
            "name": model.name,
            "version": model.version,
            "digest": model.digest,
            "stage": model.stage,
        }
        self._kind = encode("decision")
        self._second = (-1, "")

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
            outcome: What it decided.
            score: The number behind it.
            reasons: As docs/reference/evidence.md has them, where the model gives any.
            data_subject: Whom it is about, as erasure will ask for them.
            reference: How a letter refers to the person.

        Raises:
            FormatError: a value is not JSON, too large or too deep.
            UnavailableError: the recording process has ended, or does not keep up.
        """
        output: dict[str, JsonValue] = {
            "outcome": outcome,
            "score": score,
            "threshold": self._model.terms.threshold,
            "decided": self._now(),
            "model": self._name,
            "notice": notice_of(self._model, reference),
        }
        return self._recorder.record(
            (self._kind, None, dict(inputs), output, reasons), data_subject
        )

    def publish(self) -> Batch | None:
        """Wait until all that was recorded is durable, and bring it under a batch in the log."""
        self._recorder.flush()
        return self._publish()

    def close(self) -> None:
        """Make everything durable, end the recording process, and publish."""
        self._recorder.close()
        self._publish()

    def _publish(self) -> Batch | None:
        stream = DecisionStream.open(self._log, self._model.name, write=False)
        try:
            return stream.publish()
        finally:
            stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _now(self) -> str:
        """Write the time, once a second: formatting it would cost as much as recording."""
        second = int(self._log.clock())
        if second != self._second[0]:
            self._second = (second, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second)))
        return self._second[1]
