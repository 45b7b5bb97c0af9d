"""What is recorded of a decision: inputs, output with model and notice, reasons with recourse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from counterfoil.core.canonical import JsonValue
from counterfoil.errors import FormatError
from counterfoil.models.explain import Reason, principal_reasons, rank_reasons
from counterfoil.models.predict import Prediction
from counterfoil.models.recourse import find_changes
from counterfoil.models.version import Model


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
    accounts = _accounts(model, data, decided)
    time = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows: list[list[JsonValue]] = []
    for index, reference in enumerate(references):
        output: dict[str, JsonValue] = {
            "outcome": decided.outcome(index),
            "score": decided.score(index),
            "threshold": model.terms.threshold,
            "decided": time,
            "model": {
                "name": model.name,
                "version": model.version,
                "digest": model.digest,
                "stage": model.stage,
            },
            "notice": notice_of(model, reference),
        }
        rows.append(["decision", None, dict(decided.table.as_dict(index)), output, accounts[index]])
    return rows


def one_each(values: Sequence[str | None] | None, count: int, what: str) -> list[str | None]:
    """Give a text or None for each row; a text alone would be taken for a list of its letters."""
    if values is None:
        return [None] * count
    if (
        isinstance(values, str | bytes | Mapping)
        or hasattr(values, "columns")
        or not hasattr(values, "__getitem__")
    ):
        raise FormatError(
            f"{what} came as a {type(values).__name__}", hint="Give a list, one text for each row."
        )
    if len(values) != count:
        raise FormatError(f"{len(values)} {what} came with {count} rows", hint="Give one each.")
    given = list(values)
    for row, value in enumerate(given):
        if not isinstance(value, str | None):
            raise FormatError(
                f"{what} has the {type(value).__name__} {value!a:.40} for row {row}, not a text",
                hint="Numbers as `str(4711)` or `column.astype(str)`; None for nobody.",
            )
    return given


def notice_of(model: Model, reference: str | None) -> JsonValue:
    """Give what a letter says beside the decision itself; None where the terms have no notice."""
    terms = model.terms
    if not terms.notice:
        return None
    labels: dict[str, JsonValue] = dict(terms.labels)
    return {**terms.notice, "labels": labels, "system": model.name, "subject_ref": reference}


def _accounts(model: Model, data: Any, decided: Prediction) -> list[JsonValue]:
    """Give each row's reasons; None throughout for a model that gives no exact ones."""
    if model.explainer is None:
        return [None] * len(decided.table.rows)
    explanation = model.explainer.explain(data)
    if model.terms.reference is not None:
        explanation = explanation.against(model.terms.reference)
    ranked = rank_reasons(
        explanation, decided.table, model.terms.labels, adverse=model.terms.adverse
    )
    return [
        {
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
                for reason in reasons
            ],
            **_adverse_part(model, data, decided, index, reasons),
        }
        for index, reasons in enumerate(ranked)
    ]


def _adverse_part(
    model: Model, data: Any, decided: Prediction, index: int, reasons: tuple[Reason, ...]
) -> dict[str, JsonValue]:
    """Give what only an adverse outcome calls for: principal reasons, and what would change it."""
    terms = model.terms
    below, above = terms.outcomes or (None, None)
    bad, good = (below, above) if terms.adverse == "low" else (above, below)
    if terms.outcomes is None or decided.outcome(index) != bad:
        return {"principal": [], "recourse": []}
    changes = find_changes(
        model.predictor,
        data,
        decided,
        index,
        actions=terms.actions,
        labels=terms.labels,
        wanted=good,
    )
    return {
        "principal": list(principal_reasons(reasons, adverse=terms.adverse)),
        "recourse": [change.as_json() for change in changes],
    }
