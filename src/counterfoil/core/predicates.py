"""The predicates of counterfoil: what a statement can say, about what, and who says it.

Each has a JSON Schema in `schemas/` and a row and a section in docs/reference/statements.md. The
schema describes the predicate's body; policies judge by the short name.
"""

from __future__ import annotations

from dataclasses import dataclass

from counterfoil.core.statement import predicate_type


@dataclass(frozen=True, slots=True)
class Predicate:
    """One kind of statement.

    Args:
        name: Short name, as in policies and on the command line.
        says: What a statement of this kind claims, one sentence.
        subject: What it is about.
        issuer: Who says it in the ordinary case; a policy decides.
    """

    name: str
    says: str
    subject: str
    issuer: str

    @property
    def type(self) -> str:
        """The predicate type, a URI."""
        return predicate_type(self.name)

    @property
    def schema(self) -> str:
        """Path of the JSON Schema below this package."""
        return f"schemas/{self.name}.json"


PREDICATES = {
    predicate.name: predicate
    for predicate in (
        Predicate("dataset", "This data set is what it says.", "the data set", "data office"),
        Predicate("consent", "The data may be used for this.", "the data set", "data office"),
        Predicate("training", "The model was made like this.", "the model", "whoever trained it"),
        Predicate("model", "This model is what it says.", "the model", "its developers"),
        Predicate("evaluation", "The model did this well.", "the model", "validation"),
        Predicate("approval", "The model may be used at a stage.", "the model", "risk"),
        Predicate(
            "revocation",
            "It may not be used any more.",
            "the model or data set",
            "risk, data office",
        ),
        Predicate("promotion", "The model was put to a stage.", "the model", "operator"),
        Predicate("clearance", "A gate said yes.", "what was let through", "the gate's operator"),
        Predicate("refusal", "A gate said no.", "what was asked for", "the gate's operator"),
        Predicate(
            "policy", "This trust policy follows that one.", "the policy", "old and new owners"
        ),
        Predicate("stream", "The system keeps a stream.", "the system", "the system's operator"),
        Predicate("batch", "The stream grew to this root.", "the stream", "the stream's writer"),
        Predicate("ticket", "This record will be there.", "the stream", "a ticket key"),
        Predicate("anchor", "A chain holds this root of the log.", "the log", "operator"),
        Predicate("handover", "The log ends here.", "the log that goes on", "the log itself"),
        Predicate(
            "takeover", "The log begins where that one ended.", "the log that ended", "both logs"
        ),
        Predicate("timestamp", "An authority stamped this root of the log.", "the log", "operator"),
    )
}
"""Every predicate by its short name."""
