"""Gates: the check before an act, and its recorded yes.

A gate looks at everything the log holds about a subject, judges it under the adopted policy, and
writes down what it found: a clearance, or the refusal that it is or, in observe and warn mode,
would have been. In enforce mode a no is a `RefusedError` with every reason, whether or not it
could be written down.

Where the log holds a policy that follows the adopted one, the machine does not know what is asked
of it. That is a reason against, too: gates refuse if either policy enforces, and else warn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from counterfoil.core.callers import callers_level
from counterfoil.core.canonical import JsonValue
from counterfoil.core.judgement import Judgement, evaluate_data, evaluate_stage
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.requirements import Mode
from counterfoil.core.statement import Subject
from counterfoil.core.testimony import Testimony, hear
from counterfoil.errors import CounterfoilError, RefusedError
from counterfoil.ledger.engine import Writers
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


@dataclass(frozen=True, slots=True)
class _Hearing:
    """What a gate heard, in the first `size` entries of a log of that root, and made of it."""

    subject: Subject
    policy: TrustPolicy
    size: int
    root: str
    said: list[Testimony]
    judgement: Judgement


class Gate:
    """The gates of one ledger.

    Args:
        log: What is known, and where decisions of gates are recorded.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

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
        return self._record("model", stage, self._hear_model(subject, stage, model_format, types))

    def judge_model(
        self, subject: Subject, stage: str, model_format: str, types: Collection[str] = ()
    ) -> Judgement:
        """Find what `clear_model` would find, and write nothing down."""
        return self._hear_model(subject, stage, model_format, types).judgement

    def ask_model(
        self, subject: Subject, stage: str, model_format: str, types: Collection[str] = ()
    ) -> None:
        """Refuse or warn as `clear_model` would, and write nothing down.

        Raises:
            RefusedError: the stage enforces, and something is missing.
        """
        _act_on(self.judge_model(subject, stage, model_format, types))

    def clear_data(self, subject: Subject, purpose: str) -> Clearance:
        """Let a data set be used for a purpose, or say why not.

        Raises:
            RefusedError: the policy enforces, and something is missing.
        """
        now = int(self._log.clock())
        heard = self._hear(
            subject, lambda policy, said: evaluate_data(policy, purpose, subject, said, now=now)
        )
        return self._record("data", purpose, heard)

    def _hear_model(
        self, subject: Subject, stage: str, model_format: str, types: Collection[str]
    ) -> _Hearing:
        now = int(self._log.clock())
        return self._hear(
            subject,
            lambda policy, said: evaluate_stage(
                policy, stage, subject, said, model_format=model_format, types=types, now=now
            ),
        )

    def _hear(
        self, subject: Subject, evaluate: Callable[[TrustPolicy, list[Testimony]], Judgement]
    ) -> _Hearing:
        """Judge all the log holds about the subject's digest, each under the policy of its time."""
        self._log.refresh()
        size, root = self._log.size, self._log.root.hex()
        trust = Trust(self._log)
        policies, policy = trust.history(waiting=True), trust.show()
        said = [
            hear(policies.at(found.index), found.envelope, found.index)
            for digest in subject.digest.values()
            for found in self._log.find(subject=digest)
        ]
        judgement = evaluate(policy, said)
        entry, newer = policies.steps[-1]
        if newer is not None and newer != policy:
            modes = {judgement.mode, evaluate(newer, said).mode}
            mode = Mode.ENFORCE if Mode.ENFORCE in modes else Mode.WARN
            is_elsewhere = self._log.engine.writers is Writers.SERVER
            reason = (
                f"version {newer.version} of the trust policy, entry {entry} of the log, is not "
                "adopted on this machine: `counterfoil policy "
                f"{'trust' if is_elsewhere else 'adopt'} FILE`"
            )
            judgement = replace(judgement, mode=mode, reasons=(reason, *judgement.reasons))
        return _Hearing(subject, policy, size, root, said, judgement)

    def _record(self, gate: str, stage: str, heard: _Hearing) -> Clearance:
        """Write the decision down, unless it stands there already, and act on it."""
        judgement = heard.judgement
        try:
            _act_on(judgement)
        except RefusedError as refusal:
            try:
                refusal.index = self._state(gate, stage, heard)
                refusal.hint += f" Entry {refusal.index} of the log is this refusal."
            except CounterfoilError as error:  # read-only, a full disk: it is no yes all the same
                refusal.hint += f" The log does not hold this refusal: {error}"
            raise
        index = self._state(gate, stage, heard)
        return Clearance(heard.subject, judgement.mode.value, judgement.reasons, index)

    def _state(self, gate: str, stage: str, heard: _Hearing) -> int:
        """Find or make the statement of a decision, and give its index."""
        judgement, subject = heard.judgement, heard.subject
        digests = {one.index: one.digest.hex() for one in heard.said}
        body: dict[str, JsonValue] = {
            "gate": gate,
            "stage": stage,
            "policy": heard.policy.digest.hex(),
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
        said = self._said_already(predicate, subject, body)
        if said is None:
            if predicate == "clearance":
                # What was scanned; the log may have grown since.
                body |= {"size": heard.size, "root": heard.root}
            said = self._log.attest([subject], predicate, body).index
        return said

    def _said_already(
        self, predicate: str, subject: Subject, body: dict[str, JsonValue]
    ) -> int | None:
        digest = next(iter(subject.digest.values()))
        decided = [
            found
            for found in heard_in(self._log, subject=digest)
            if found.statement.predicate_type.split(":")[-2] in {"clearance", "refusal"}
            and found.statement.subjects == (subject,)
            and found.statement.predicate.get("gate") == body["gate"]
            and found.statement.predicate.get("stage") == body["stage"]
        ]
        # A yes is as of now, so only the newest answer will do. A no in the same words counts
        # where it was first said: saying it again would only make the log longer.
        for found in decided[-1:] if predicate == "clearance" else decided:
            words = found.statement.predicate
            if found.statement.predicate_type.endswith(f":{predicate}:v1") and all(
                words.get(key) == value for key, value in body.items()
            ):
                return found.index
        return None


def _act_on(judgement: Judgement) -> None:
    """Refuse, warn or go on, as the mode says."""
    judgement.check()
    if judgement.mode is Mode.WARN and judgement.reasons:
        said = f"{judgement.gate}: {'; '.join(judgement.reasons)}"
        warnings.warn(said, stacklevel=callers_level())
