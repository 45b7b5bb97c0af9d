"""Gates: the check before an act, and its recorded yes.

A gate looks at everything the log holds about a subject, judges it under the adopted policy, and
writes down what it found: a clearance, or, in observe and warn mode, the refusal it would have
been. In enforce mode a no is a `RefusedError` with every reason.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass

from counterfoil.core.canonical import JsonValue
from counterfoil.core.judgement import Judgement, evaluate_data, evaluate_stage
from counterfoil.core.requirements import Mode
from counterfoil.core.statement import Subject
from counterfoil.core.testimony import Testimony, hear
from counterfoil.ledger.log import Log
from counterfoil.ledger.trust import Trust, heard_in


@dataclass(frozen=True, slots=True)
class Clearance:
    """What a gate decided, and where that is written.

    Args:
        subject: What was asked about.
        mode: The gate's mode: `observe`, `warn` or `enforce`.
        reasons: What speaks against it; empty is a yes, and in enforce mode always is.
        index: Of the clearance or refusal in the log.
    """

    subject: Subject
    mode: str
    reasons: tuple[str, ...]
    index: int


class Gate:
    """The gates of one ledger.

    Args:
        log: What is known, and where decisions of gates are recorded.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._policy = Trust(log).show()
        self._seen = (0, "")

    def clear_model(
        self, subject: Subject, stage: str, model_format: str, types: Collection[str] = ()
    ) -> Clearance:
        """Let a model into a stage, or say why not.

        Args:
            subject: The model.
            stage: As the policy names it.
            model_format: What its file was found to be.
            types: Python types that opening it builds and that its format does not vouch for.

        Raises:
            RefusedError: the stage enforces, and something is missing.
        """
        heard = self._hear(subject)
        judgement = self._judge_model(subject, stage, model_format, types, heard)
        return self._record("model", stage, subject, judgement, heard)

    def judge_model(
        self, subject: Subject, stage: str, model_format: str, types: Collection[str] = ()
    ) -> Judgement:
        """Find what `clear_model` would find, and write nothing down."""
        return self._judge_model(subject, stage, model_format, types, self._hear(subject))

    def clear_data(self, subject: Subject, purpose: str) -> Clearance:
        """Let a data set be used for a purpose, or say why not.

        Raises:
            RefusedError: the policy enforces, and something is missing.
        """
        heard = self._hear(subject)
        judgement = evaluate_data(self._policy, purpose, subject, heard, now=int(self._log.clock()))
        return self._record("data", purpose, subject, judgement, heard)

    def _judge_model(
        self,
        subject: Subject,
        stage: str,
        model_format: str,
        types: Collection[str],
        heard: list[Testimony],
    ) -> Judgement:
        return evaluate_stage(
            self._policy,
            stage,
            subject,
            heard,
            model_format=model_format,
            types=types,
            now=int(self._log.clock()),
        )

    def _hear(self, subject: Subject) -> list[Testimony]:
        """Hear all the log holds about the subject's digest, each under the policy of its time."""
        self._log.refresh()
        self._seen = (self._log.size, self._log.root.hex())
        policies = Trust(self._log).history()
        return [
            hear(policies.at(found.index), found.envelope, found.index)
            for digest in subject.digest.values()
            for found in self._log.find(subject=digest)
        ]

    def _record(
        self,
        gate: str,
        stage: str,
        subject: Subject,
        judgement: Judgement,
        heard: list[Testimony],
    ) -> Clearance:
        """Write the decision down, unless the newest one already says the same."""
        judgement.check()
        digests = {one.index: one.digest.hex() for one in heard}
        body: dict[str, JsonValue] = {
            "gate": gate,
            "stage": stage,
            "policy": self._policy.digest.hex(),
        }
        if judgement.reasons:
            predicate = "refusal"
            body["reasons"] = list(judgement.reasons)
        else:
            predicate = "clearance"
            grounds: list[JsonValue] = [
                {"predicate": one.predicate, "index": one.index, "digest": digests[one.index]}
                for one in judgement.grounds
            ]
            body["grounds"] = grounds
        if judgement.mode is Mode.WARN and judgement.reasons:
            warnings.warn(f"{judgement.gate}: {'; '.join(judgement.reasons)}", stacklevel=4)
        said = self._said_already(predicate, subject, body)
        if said is None:
            if predicate == "clearance":
                size, root = self._seen  # what was scanned; the log may have grown since
                body |= {"size": size, "root": root}
            said = self._log.attest([subject], predicate, body).index
        return Clearance(subject, judgement.mode.value, judgement.reasons, said)

    def _said_already(
        self, predicate: str, subject: Subject, body: dict[str, JsonValue]
    ) -> int | None:
        digest = next(iter(subject.digest.values()))
        decided = [
            found
            for found in heard_in(self._log, subject=digest)
            if found.statement.predicate_type.split(":")[-2] in {"clearance", "refusal"}
            and found.statement.predicate.get("gate") == body["gate"]
            and found.statement.predicate.get("stage") == body["stage"]
        ]
        if decided and decided[-1].statement.predicate_type.endswith(f":{predicate}:v1"):
            newest = decided[-1].statement.predicate
            if all(newest.get(key) == value for key, value in body.items()):
                return decided[-1].index
        return None
