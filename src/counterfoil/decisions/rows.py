"""What is recorded of a decision: inputs, output with model and notice, reasons with recourse."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from counterfoil.core.canonical import JsonValue
from counterfoil.models.explain import Explanation, Reason, principal_reasons, rank_reasons
from counterfoil.models.predict import Prediction
from counterfoil.models.recourse import find_changes
from counterfoil.models.registry import Model


def decision_rows(
    model: Model, data: Any, decided: Prediction, references: list[str | None], now: float
) -> list[list[JsonValue]]:
    """Lay out one record for each decision, in the order of `DECISION_FIELDS`.

    Args:
        model: Decided, on its terms.
        data: The batch it decided on.
        decided: What it said.
        references: How each person finds themselves in a letter; None for no reference.
        now: POSIX time in seconds.
    """
    explanation, ranked = _explain(model, data, decided)
    time = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows: list[list[JsonValue]] = []
    for index, reference in enumerate(references):
        output: dict[str, JsonValue] = {
            "outcome": decided.outcome(index),
            "score": decided.score(index),
            "threshold": model.terms.threshold,
            "decided": time,
            "model": {"name": model.name, "version": model.version, "digest": model.digest},
            "notice": _notice(model, reference),
        }
        reasons: JsonValue = None
        if explanation is not None and ranked is not None:
            reasons = _reasons(model, data, decided, index, explanation, ranked[index])
        rows.append(["decision", None, dict(decided.table.as_dict(index)), output, reasons])
    return rows


def _explain(
    model: Model, data: Any, decided: Prediction
) -> tuple[Explanation | None, list[tuple[Reason, ...]] | None]:
    if model.explainer is None:
        return None, None
    explanation = model.explainer.explain(data)
    terms = model.terms
    if terms.reference is not None:
        explanation = explanation.against(terms.reference)
    ranked = rank_reasons(explanation, decided.table, terms.labels, adverse=terms.adverse)
    return explanation, ranked


def _notice(model: Model, reference: str | None) -> JsonValue:
    terms = model.terms
    if not terms.notice:
        return None
    labels: dict[str, JsonValue] = dict(terms.labels)
    return {**terms.notice, "labels": labels, "system": model.name, "subject_ref": reference}


def _reasons(
    model: Model,
    data: Any,
    decided: Prediction,
    index: int,
    explanation: Explanation,
    ranked: tuple[Reason, ...],
) -> JsonValue:
    terms = model.terms
    principal: list[JsonValue] = []
    recourse: list[JsonValue] = []
    below, above = terms.outcomes or (None, None)
    bad, good = (below, above) if terms.adverse == "low" else (above, below)
    if terms.outcomes is not None and decided.outcome(index) == bad:
        principal = list(principal_reasons(ranked, adverse=terms.adverse))
        changes = find_changes(
            model.predictor,
            data,
            decided,
            index,
            actions=terms.actions,
            labels=terms.labels,
            wanted=good,
        )
        recourse = [change.as_json() for change in changes]
    return {
        "method": explanation.method,
        "library": explanation.library,
        "reference": explanation.reference,
        "baseline": explanation.baseline,
        "terms": [
            {
                "feature": reason.feature,
                "label": reason.label,
                "value": reason.value,
                "contribution": reason.contribution,
            }
            for reason in ranked
        ],
        "principal": principal,
        "recourse": recourse,
    }
