"""A version of a model: as the log has it, and as it decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from counterfoil.core.arguments import require
from counterfoil.core.canonical import JsonValue
from counterfoil.core.statement import SHA256, Subject
from counterfoil.core.testimony import stated_types
from counterfoil.errors import FormatError
from counterfoil.ledger.reading import Found
from counterfoil.models.explain import Explainer
from counterfoil.models.predict import Predictor, as_predictor
from counterfoil.models.terms import Terms

TERMS = "Make them with `cf.Terms`, or `parse_terms` from the text of a file."


@dataclass(frozen=True, slots=True)
class Model:
    """One version of a model, ready to decide.

    Args:
        name: What people call it.
        version: `1`, `2`, … by name.
        digest: SHA-256 of its file, hex; of its code, where it only exists as a function.
        format: `skops`, `safetensors`, `onnx`, `pickle` or `callable`.
        index: Of its statement in the log.
        stage: Where it is used.
        predictor: The model itself.
        explainer: Its own exact account of its scores, if it has one.
        terms: What is asked of it.
        types: Python types that its file builds and that its format does not vouch for.
    """

    name: str
    version: str
    digest: str
    format: str
    index: int
    stage: str
    predictor: Predictor
    explainer: Explainer | None
    terms: Terms
    types: tuple[str, ...]
    _decide: Callable[..., Any] = field(repr=False, compare=False)

    @property
    def subject(self) -> Subject:
        """The model as the subject of a statement."""
        return Subject(self.name, {"sha256": self.digest})

    def on(self, terms: Terms) -> Model:
        """Give the same model on other terms."""
        require(terms, Terms, "terms", TERMS)
        return replace(self, terms=terms, predictor=predictor_on(self.predictor.model, terms))

    def decide(self, rows: Any, **options: Any) -> Any:
        """Decide on a batch and record it; see `Decisions.make`."""
        return self._decide(self, rows, **options)


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a model as the log has it, not loaded.

    Args:
        name: What people call it.
        version: `1`, `2`, … by name.
        digest: SHA-256, hex.
        format: What its file is.
        index: Of its statement in the log.
        types: Python types that its file builds and that its format does not vouch for.
        about: The statement's predicate.
    """

    name: str
    version: str
    digest: str
    format: str
    index: int
    types: tuple[str, ...]
    about: dict[str, JsonValue]

    @property
    def subject(self) -> Subject:
        """The version as the subject of a statement."""
        return Subject(self.name, {"sha256": self.digest})


def predictor_on(model: Any, terms: Terms) -> Predictor:
    """Ask a model on these terms.

    Raises:
        FormatError: They do not fit it; a column that they speak of is none of its own.
    """
    predictor = as_predictor(
        model,
        threshold=terms.threshold,
        positive=terms.positive,
        labels=terms.outcomes,
        allow_missing=terms.allow_missing,
    )
    spoken_of = {*terms.labels, *(one.feature for one in terms.actions)}
    if predictor.names and (unknown := spoken_of - set(predictor.names)):
        raise FormatError(
            f"labels or actions are given for {', '.join(sorted(unknown))}, which the model does "
            "not know",
            hint=f"It was trained on {', '.join(predictor.names)}.",
        )
    return predictor


def read_version(found: Found) -> Version:
    """Read a `model` statement about a file that is known by its SHA-256."""
    about = dict(found.statement.predicate)
    subject = found.statement.subjects[0]
    return Version(
        subject.name,
        str(about.get("version")),
        subject.digest[SHA256],
        str(about.get("format")),
        found.index,
        stated_types(found.statement),
        about,
    )
