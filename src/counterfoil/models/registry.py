"""Models on the ledger: added with their digest, approved, loaded only when cleared, revoked.

    private/models/<digest>     the model's file, byte for byte what was attested

What is loaded is what was hashed: the bytes are read once, compared, and opened from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from typing import Any

from counterfoil.core.arguments import require, require_each
from counterfoil.core.canonical import JsonValue
from counterfoil.core.judgement import REVOCATION, Judgement
from counterfoil.core.statement import SHA256, Subject
from counterfoil.data.datasets import Dataset, Datasets, check_name
from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.gate import Clearance, Gate
from counterfoil.ledger.log import PRINCIPALS, Attested, Log
from counterfoil.ledger.reading import Found
from counterfoil.ledger.trust import PRODUCTION, Trust, heard_in
from counterfoil.models.approval import approval_of, sign_to_count
from counterfoil.models.evaluate import evaluate
from counterfoil.models.explain import explainer_for
from counterfoil.models.formats import MAX_MODEL_BYTES, PICKLE, SKOPS, known_formats
from counterfoil.models.functions import code_of
from counterfoil.models.intake import CALLABLE, take
from counterfoil.models.predict import Predictor
from counterfoil.models.skopsfiles import unnamed
from counterfoil.models.terms import Terms
from counterfoil.models.version import TERMS, Model, Version, predictor_on, read_version
from counterfoil.vault.files import files_of


class Models:
    """The models of one ledger.

    Args:
        log: Where they are attested.
        decide: What `Model.decide` calls.
    """

    def __init__(self, log: Log, decide: Callable[..., Any]) -> None:
        self._log = log
        self._decide = decide
        self._files = files_of(log)

    def add(
        self,
        model: Any,
        name: str,
        *,
        trained_on: Dataset | str | Sequence[Dataset | str] = (),
        terms: Terms | None = None,
        stage: str = PRODUCTION,
        trust: Collection[str] = (),
        by: Sequence[str] = ("operator",),
    ) -> Model:
        """Attest a version of a model; the same file or function again changes nothing.

        Nothing is refused here: using it is what a gate decides.

        Args:
            model: A trained object, a function from rows to answers, or the path of a model file.
            name: Letters, digits and `. _ -`; at most 100 characters.
            trained_on: The data sets it was trained on, or their names.
            terms: What is asked of it.
            stage: Where it is to be used.
            trust: Python types that a skops file you were given may build; those of an object
                that you hand over are its own. The policy of a stage has to list them too.
            by: Local principals who attest it.

        Raises:
            FormatError: this is no model, or the name cannot be used.
            RefusedError: opening the file would run code or build types that nobody vouched for.
            UnavailableError: the disk refuses.
        """
        check_name(name, "model")
        terms = Terms() if terms is None else require(terms, Terms, "terms", TERMS)
        given = [trained_on] if isinstance(trained_on, Dataset | str) else trained_on
        named: Sequence[Any] = require_each(given, object, "data sets", "Give them, or names.")
        sets = Datasets(self._log)
        data = [one if isinstance(one, Dataset) else sets.show(one) for one in named]
        trust = require_each(trust, str, "a list of Python types", 'Write ["numpy.ndarray"].')
        file, kind, types, loaded = take(model, trust, may_pickle=self._may_pickle())
        digest = sha256(file).hexdigest()
        predictor = predictor_on(loaded, terms)
        versions = self.list(name)
        form = unnamed(file) if versions and kind == SKOPS.name else None
        known = [one for one in versions if one.digest == digest or self._is_same(one, form)]
        if known:
            if known[-1].digest == digest:
                self._keep(digest, file)  # others may have it, and it is to be here as well
            return self._model(known[-1], predictor, terms, stage)
        explainer = explainer_for(loaded)
        about: dict[str, JsonValue] = {
            "name": name,
            "version": str(len(versions) + 1),
            "format": kind,
            "kind": CALLABLE if kind == CALLABLE else "artifact",
            "bytes": len(file),
            "reasons": None if explainer is None else explainer.method,
            "trained_on": [{"name": one.name, "digest": one.digest} for one in data],
            "types": list(types),
            "files": [{"path": f"model.{kind}", "sha256": digest, "bytes": len(file)}],
            # A function's code is hashed, not what it calls: a hosted model may change behind it.
            # Nor is the code hashed of a class that a file only names.
            "verifiable": kind not in {CALLABLE, PICKLE.name} and not types,
        }
        # Signed first, so that what cannot be stated leaves no file behind.
        envelope = self._log.sign([Subject(name, {"sha256": digest})], "model", about, by=by)
        self._keep(digest, file)
        made = self._log.append_envelope(envelope)
        return self._model(read_version(made), predictor, terms, stage)

    def list(self, name: str | None = None) -> list[Version]:
        """List versions, oldest first."""
        found = heard_in(self._log, predicate="model", subject=name)
        return [read_version(one) for one in found if SHA256 in one.statement.subjects[0].digest]

    def show(self, name: str) -> Version:
        """Give the newest version of this name, or the one with this digest.

        Raises:
            FormatError: there is none.
        """
        require(name, str, "the name or digest of a model", "`ledger.models.list()` shows them.")
        found = self.list(name)
        if not found:
            raise FormatError(
                f"there is no model {name!r} in {self._log.engine.name}",
                hint="`counterfoil model list` shows what there is.",
            )
        return found[-1]

    def load(
        self,
        name: str,
        *,
        stage: str = PRODUCTION,
        terms: Terms | None = None,
        predictor: Any = None,
    ) -> Model:
        """Load a model through the gate of a stage.

        Args:
            name: Digest, or name: the version last promoted to the stage, or the newest one while
                none was.
            stage: Where it is to be used.
            terms: What is asked of it.
            predictor: The function itself, for a model that only exists as one.

        Raises:
            RefusedError: the stage enforces, and something is missing; lists everything.
            VerificationError: the file, or the function, is not the one that was attested.
            UnavailableError: the file is not here, or its library is not installed.
        """
        version = self._promoted(name, stage) or self.show(name)
        # In this order, so that nothing of a file is opened that the gate does not let through.
        Gate(self._log).clear_model(version.subject, stage, version.format, version.types)
        return self._open(version, stage, terms or Terms(), predictor)

    def evaluate(
        self,
        name: str,
        rows: Any,
        outcomes: Sequence[int],
        *,
        data: Dataset | str,
        groups: Sequence[str] = (),
        terms: Terms | None = None,
        predictor: Any = None,
        by: Sequence[str] = ("operator",),
    ) -> Attested:
        """Test a version on rows whose outcomes are known, and state what came out.

        No gate is asked: a model is tested before it is approved.

        Args:
            name: Name (its newest version) or digest.
            rows: What it is asked, as for `decide`; other columns than its own are left out.
            outcomes: What came true: 1 for the class whose probability is the score, else 0.
            data: The data set that rows and outcomes are from; that they are is not checked.
            groups: The group each row belongs to; empty for no groups.
            terms: What is asked of it; without a threshold, 0.5.
            predictor: The function itself, for a model that only exists as one.
            by: Local principals who state it.

        Raises:
            FormatError: the model gives no probabilities, or lengths differ.
            VerificationError: the file, or the function, is not the one that was attested.
            UnavailableError: the file is not here, or a library is not installed.
        """
        version = self.show(name)
        terms = terms or Terms()
        model = self._open(version, "", terms, predictor)
        scores = model.predictor.predict(_columns(rows, model)).scores
        if scores is None:
            raise FormatError(
                f"{version.name} gives no number to be compared with what came true",
                hint="Evaluate it yourself and state the figures with `attest_evaluation`.",
            )
        figures = evaluate(
            outcomes,
            scores.tolist(),
            threshold=0.5 if terms.threshold is None else terms.threshold,
            groups=groups,
        )
        tested = Datasets(self._log).show(data) if isinstance(data, str) else data
        named: JsonValue = {"name": tested.name, "digest": tested.digest}
        return self.attest_evaluation(version, {"data": named, **figures.as_json()}, by=by)

    def check(self, name: str) -> Version:
        """Check that the stored file is, byte for byte, the one that was attested.

        Raises:
            VerificationError: it is not.
        """
        version = self.show(name)
        if version.format != CALLABLE or self._files.has(_file_name(version.digest)):
            self._stored(version)
        return version

    def clear(self, model: Model | Version | str, stage: str) -> Clearance:
        """Ask the gate of a stage about a model, which may be named; see `Gate.clear_model`."""
        model = self._known(model)
        return Gate(self._log).clear_model(model.subject, stage, model.format, model.types)

    def judge(self, name: str, stage: str = PRODUCTION) -> Judgement:
        """Find what the gate of a stage would say now, writing nothing down.

        Args:
            name: Name (its newest version) or digest.
            stage: Where it would be used.
        """
        version = self.show(name)
        return Gate(self._log).judge_model(version.subject, stage, version.format, version.types)

    def attest_training(
        self,
        model: Model | Version | str,
        body: dict[str, JsonValue],
        *,
        by: Sequence[str] = ("operator",),
    ) -> Attested:
        """State how a model was trained (predicate `training`)."""
        return self._log.attest([self._known(model).subject], "training", body, by=by)

    def attest_evaluation(
        self,
        model: Model | Version | str,
        body: dict[str, JsonValue],
        *,
        by: Sequence[str] = ("operator",),
    ) -> Attested:
        """State how a model was tested and what came out (predicate `evaluation`)."""
        return self._log.attest([self._known(model).subject], "evaluation", body, by=by)

    def approve(
        self,
        name: str,
        *,
        by: Sequence[str],
        stage: str = PRODUCTION,
        comment: str = "",
        expires: str | None = None,
        after: int | None = None,
    ) -> tuple[Attested, ...]:
        """Approve a version for a stage, a statement for each approver.

        Args:
            name: Name (its newest version) or digest.
            by: Local principals, each of whom approves.
            stage: Where it may be used.
            comment: What they looked at.
            expires: `YYYY-MM-DDTHH:MM:SSZ`, or None for never.
            after: Index of the revocation that this approval comes after and knows of.

        Raises:
            FormatError: as `approval_of`; nobody has then approved.
            PolicyError: one of `by` may not approve it; nor has anybody then.
            UnavailableError: a key is not on this machine; nor has anybody then.
        """
        by = require_each(by, str, *PRINCIPALS)
        version = self.show(name)
        body = approval_of(
            self._log, version, stage=stage, comment=comment, expires=expires, after=after
        )
        # Signed before any is written: where one key is missing, nobody has approved.
        signed = [sign_to_count(self._log, version, "approval", body, (who,)) for who in by]
        return tuple(map(self._log.append_envelope, signed))

    def promote(self, name: str, *, stage: str = PRODUCTION) -> Attested:
        """Record that a version goes to a stage, having been cleared for it.

        Raises:
            RefusedError: the stage enforces, and something is missing.
        """
        version = self.show(name)
        clearance = self.clear(version, stage)
        digest = self._log.envelope(clearance.index).digest.hex()
        before = self._promotions(version.name, stage)
        body: dict[str, JsonValue] = {
            "stage": stage,
            "clearance": digest,
            # The same words count once: going back to a version has to be said in other ones.
            "replaces": before[-1].index if before else None,
        }
        return self._log.attest([version.subject], "promotion", body)

    def revoke(self, name: str, reason: str, *, by: Sequence[str] = ("operator",)) -> Attested:
        """Revoke a version for good: only approvals that name this revocation count afterwards.

        Raises:
            FormatError: there is no reason.
            PolicyError: none of `by` may say so; what would not count is not written.
        """
        require(reason, str, "a reason in words", "Say what was found.")
        if not reason.strip():
            raise FormatError("a revocation has a reason", hint="Say what was found.")
        version = self.show(name)
        body: dict[str, JsonValue] = {"reason": reason, "final": True}
        return self._log.append_envelope(sign_to_count(self._log, version, REVOCATION, body, by))

    def _known(self, model: Model | Version | str) -> Model | Version:
        """Give a model, or the newest version of its name."""
        return model if isinstance(model, Model | Version) else self.show(model)

    def _may_pickle(self) -> bool:
        """Whether the policy names a format that runs when it is opened."""
        return any(PICKLE.name in stage.formats for stage in Trust(self._log).show().stages)

    def _is_same(self, version: Version, form: str | None) -> bool:
        """Whether a stored version is the same model: skops writes other bytes at each dump."""
        if form is None or version.format != SKOPS.name:
            return False
        if not self._files.has(_file_name(version.digest)):
            return False
        return unnamed(self._stored(version)) == form

    def _promoted(self, name: str, stage: str) -> Version | None:
        """Find the version that was last put to a stage, if any was."""
        promoted = self._promotions(name, stage)
        return self.show(promoted[-1].statement.subjects[0].digest[SHA256]) if promoted else None

    def _promotions(self, name: str, stage: str) -> Sequence[Found]:
        return [
            found
            for found in heard_in(self._log, predicate="promotion", subject=name)
            if found.statement.predicate.get("stage") == stage
            and SHA256 in found.statement.subjects[0].digest
        ]

    def _open(self, version: Version, stage: str, terms: Terms, predictor: Any) -> Model:
        """Open a version; whether it may be used is asked elsewhere."""
        if version.format == CALLABLE:
            if predictor is None:
                raise FormatError(
                    f"{version.name} only exists as a function", hint="Pass it as `predictor`."
                )
            self._require_digest(
                version,
                code_of(predictor),
                "source",
                "Every character of its text counts, and every plain value bound to it. Use the "
                "attested one, or add this one, too.",
            )
            return self._model(version, predictor_on(predictor, terms), terms, stage)
        # In whatever mode: a format that runs code is opened only where the policy names it, and
        # only types are built that whoever attested the file knew of.
        trusted = (PICKLE.name,) if self._may_pickle() else ()
        file = self._stored(version)
        loaded = known_formats()[version.format].load(file, (*trusted, *version.types))
        return self._model(version, predictor_on(loaded, terms), terms, stage)

    def _keep(self, digest: str, file: bytes) -> None:
        if not self._files.has(_file_name(digest)):
            self._files.put(_file_name(digest), file)

    def _stored(self, version: Version) -> bytes:
        name = _file_name(version.digest)
        if not self._files.has(name):
            raise UnavailableError(
                f"the file of {version.name} {version.version} is not here: there is no "
                f"{self._files.where(name)}",
                hint="Add the file here; it must have the attested digest.",
            )
        file = self._files.get(name, MAX_MODEL_BYTES)
        hint = "Somebody changed or replaced it; restore the attested file."
        self._require_digest(version, file, "file", hint)
        return file

    def _require_digest(self, version: Version, data: bytes, what: str, hint: str) -> None:
        found = sha256(data).hexdigest()
        if found != version.digest:
            raise VerificationError(
                f"the {what} of {version.name} {version.version} is not the one that was attested: "
                f"its SHA-256 begins {found[:12]}, not {version.digest[:12]}",
                hint=hint,
            )

    def _model(self, version: Version, predictor: Predictor, terms: Terms, stage: str) -> Model:
        return Model(
            name=version.name,
            version=version.version,
            digest=version.digest,
            format=version.format,
            index=version.index,
            stage=stage,
            predictor=predictor,
            explainer=explainer_for(predictor.model),
            terms=terms,
            types=version.types,
            _decide=self._decide,
        )


def _file_name(digest: str) -> str:
    return f"models/{digest}"


def _columns(rows: Any, model: Model) -> Any:
    """Give the columns that a model was trained with, where rows and model name theirs."""
    names = list(model.predictor.names)
    if not names or not hasattr(rows, "columns"):
        return rows
    missing = [name for name in names if name not in rows.columns]
    if missing:
        raise FormatError(
            f"the rows have no column {', '.join(missing)}",
            hint=f"{model.name} was trained on {', '.join(names)}.",
        )
    return rows[names]
