"""Decisions: made on a file of rows, shown, replayed, overridden."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import counterfoil
from counterfoil.cli import files, output, views
from counterfoil.cli.options import (
    LEDGER,
    PRODUCTION,
    AsJson,
    Index,
    Ledger,
    ModelName,
    Stage,
    System,
)
from counterfoil.cli.run import noun, verb
from counterfoil.errors import FormatError, UnavailableError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from counterfoil import Decision, Model
    from counterfoil import Ledger as OpenLedger

app = noun("Decisions: recorded with their reasons, replayed, overridden.")

Rows = Annotated[
    Path, typer.Argument(metavar="DATA.csv", help="The rows to decide on, with a header.")
]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write record, outcome and score of each row.")
]
SubjectColumn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The column that says whom a row is about; the model does not see it."
    ),
]
Tickets = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Sign a ticket for each decision, and write them there."),
]
TermsFile = Annotated[
    Path | None,
    typer.Option(
        "--terms", metavar="FILE.toml", help="Threshold, outcomes, labels and notice of a letter."
    ),
]
ReferenceColumn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The column a letter refers to a person by; the model does not see it."
    ),
]
OnlySystem = Annotated[
    str | None, typer.Argument(metavar="[SYSTEM]", help="The model's name. [default: list systems]")
]
OnlyPerson = Annotated[
    str | None, typer.Option("--person", metavar="PERSON", help="Only decisions about this person.")
]
Limit = Annotated[int, typer.Option(min=1, metavar="N", help="How many to show, the newest ones.")]
Outcome = Annotated[str, typer.Option(metavar="TEXT", help="The new outcome.")]
NewOutcome = Annotated[
    bool,
    typer.Option("--new-outcome", help="The outcome may be one that no decision has had of late."),
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why.")]
Reviewer = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Who decided, as your records call them; goes to the vault only."
    ),
]


@verb(
    app,
    "make",
    "counterfoil decision make credit applicants.csv --subject-column id --out predictions.csv",
)
def make(
    model: ModelName,
    data: Rows,
    *,
    out: Out = None,
    subject_column: SubjectColumn = None,
    reference_column: ReferenceColumn = None,
    terms: TermsFile = None,
    tickets: Tickets = None,
    stage: Stage = PRODUCTION,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Let a model decide on a CSV file, and record every decision."""
    if out is not None:
        files.check_new(out)
    rows, (subjects, references) = files.read_rows(data, (subject_column, reference_column))
    if subjects is not None and None in subjects:
        raise FormatError(
            f"{data} names nobody in column {subject_column!r} of row {subjects.index(None)}",
            hint="No erasure would find that record. Fill it in, or decide on those rows apart.",
        )
    asked = None if terms is None else files.read_terms(terms)
    with counterfoil.open(ledger) as opened:
        loaded = opened.models.load(model, stage=stage, terms=asked)
        decided = opened.models.clear(loaded, stage)
        rows, left_out = files.fit_rows(rows, loaded)
        if tickets is not None:
            first = _records(opened, loaded.name)
            files.check_tickets(tickets, range(first, first + len(rows)))
        batch = opened.decisions.make(
            loaded,
            rows,
            data_subjects=subjects,
            references=references,
            tickets=tickets is not None,
        )
        made = [_brief(one) for one in batch]
        signed = {one.index: one.ticket for one in batch if one.ticket is not None}
    if out is not None:
        files.write_file(out, files.format_predictions(made))
    if tickets is not None:
        files.write_tickets(tickets, signed)
    first, last = made[0]["index"], made[-1]["index"]
    outcomes = Counter(str(one["outcome"]) for one in made)
    output.show(
        {
            "system": loaded.name,
            "model": {"version": loaded.version, "digest": loaded.digest},
            "gate": views.clearance(decided),
            "outcomes": outcomes,
            "left_out": left_out,
            "decisions": made,
            "file": None if out is None else str(out),
            "tickets": None if tickets is None else str(tickets),
        },
        f"recorded {output.count(len(made), 'decision')} of {output.plain(loaded.name)}"
        f" version {output.plain(loaded.version)}, numbers {first} to {last}",
        *views.clearance_lines(decided, stage),
        *([f"left out, the model does not know them: {', '.join(left_out)}"] if left_out else ()),
        "",
        output.table(("outcome", "rows"), outcomes.most_common()),
        "",
        f"next: counterfoil evidence make {output.quoted(loaded.name)} {first}",
        as_json=as_json,
    )


@verb(app, "show", "counterfoil decision show credit 17")
def show(system: System, index: Index, *, ledger: Ledger = LEDGER, as_json: AsJson = False) -> None:
    """Show one recorded decision: inputs, outcome, reasons."""
    with counterfoil.open(ledger) as opened:
        views.warn_if_set_back(opened)
        decision = opened.decisions.show(system, index)
        overrides = opened.decisions.overrides(decision)
    values = decision.values
    result, reasons = _members(values.get("output")), _members(values.get("reasons"))
    model, inputs = _members(result.get("model")), _members(values.get("inputs"))
    terms: Any = reasons.get("terms") or []
    output.show(
        {
            "system": system,
            "index": index,
            "leaf": decision.leaf.hex(),
            "fields": values,
            "overrides": list(overrides),
        },
        f"{output.plain(str(values.get('kind')))} {index} of {output.plain(system)}",
        output.fields(
            {
                "outcome": result.get("outcome"),
                "score": result.get("score"),
                "threshold": result.get("threshold"),
                "decided": result.get("decided"),
                "model": f"{model['name']} version {model['version']}" if model else None,
                "overrides": result.get("overrides"),
                "about": values.get("about"),
                "reason": result.get("reason"),
                "reviewer": result.get("reviewer"),
                "OVERRIDDEN": views.overridden(overrides),
                "leaf": decision.leaf.hex(),
            }
        ),
        *(("", output.table(("input", "value"), _as_text(inputs))) if inputs else ()),
        *(("", _terms_table(terms)) if terms else ()),
        as_json=as_json,
    )


@verb(app, "list", "counterfoil decision list credit")
def list_(
    system: OnlySystem = None,
    *,
    person: OnlyPerson = None,
    limit: Limit = 20,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """List the systems, or the newest decisions of one."""
    with counterfoil.open(ledger) as opened:
        if system is None:
            counts = {one: len(opened.decisions.list(one)) for one in opened.people.systems()}
            systems = [{"system": one, "records": number} for one, number in counts.items()]
            elsewhere = opened.people.elsewhere()
            parts = [output.table(("system", "records"), list(counts.items()))] if counts else []
            if elsewhere:
                parts.append(output.plain(f"not here: the records of {', '.join(elsewhere)}"))
            output.show(
                {"systems": systems, "elsewhere": elsewhere},
                *(parts or ["no decisions yet; next: counterfoil decision make MODEL DATA.csv"]),
                as_json=as_json,
            )
            return
        if person is not None:
            views.warn_if_set_back(opened)
        indices = opened.decisions.list(system, data_subject=person)
        if person is not None and not indices:
            raise views.unknown_name(f"nothing of {system}", person)
        newest = (_brief_at(opened, system, index) for index in reversed(indices))
        decided = (one for one in newest if one["kind"] != "pad")  # nobody's, to fill a batch
        shown = [*islice(decided, limit)][::-1]
    columns = ("index", "kind", "outcome", "score", "decided")
    said = f"{output.count(len(indices), 'record')} of {output.plain(system)}"
    output.show(
        {"system": system, "records": len(indices), "decisions": shown},
        said if len(shown) == len(indices) else f"{said}, the newest {len(shown)}:",
        output.table(columns, [[one[column] for column in columns] for one in shown]),
        as_json=as_json,
    )


@verb(app, "replay", "counterfoil decision replay credit 17")
def replay(
    system: System,
    index: Index,
    *,
    stage: Stage = PRODUCTION,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Let the model decide again on the recorded inputs, and compare."""
    with counterfoil.open(ledger) as opened:
        decision = opened.decisions.show(system, index)
        result = _members(decision.values.get("output"))
        digest = _members(result.get("model")).get("digest")
        if not isinstance(digest, str):
            raise FormatError(
                f"record {index} of {system} names no model", hint="Overrides cannot be replayed."
            )
        model = opened.models.load(digest, stage=stage, terms=_recorded_terms(result))
        again = opened.decisions.replay(decision, model)
        compared = ["outcome", "score", "threshold", "model", "reasons"]
        if not again.agrees:
            # Reasons depend on labels, reference and changes that only whoever decided knows.
            answered = opened.decisions.replay(*_without_reasons(decision, model))
            if answered.agrees:
                again, compared = answered, compared[:-1]
    where = f"decision {index} of {output.plain(system)}"
    output.show(
        {
            "system": system,
            "index": index,
            "agrees": again.agrees,
            "compared": compared,
            "differences": list(again.differences),
        },
        f"{where}: the model says the same today"
        if again.agrees
        else f"{where}: the model says something else today",
        *(f"  - {output.plain(difference)}" for difference in again.differences),
        output.fields(
            {
                "compared": ", ".join(compared),
                "not compared": None
                if "reasons" in compared
                else "reasons: they were given on terms that are not recorded; replay in Python",
            }
        ),
        as_json=as_json,
        exit_code=0 if again.agrees else VerificationError.exit_code,
    )


@verb(
    app,
    "override",
    'counterfoil decision override credit 17 --outcome granted --reason "income was misread" \\\n'
    "    --reviewer reviewer-4",
)
def override(
    system: System,
    index: Index,
    *,
    outcome: Outcome,
    reason: Reason,
    reviewer: Reviewer,
    new_outcome: NewOutcome = False,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Record that a person decided otherwise; the old record stays."""
    with counterfoil.open(ledger) as opened:
        decision = opened.decisions.show(system, index)
        made = opened.decisions.override(
            decision, outcome, reason, reviewer=reviewer, new_outcome=new_outcome
        )
    output.show(
        {"system": system, "index": made.index, "overrides": index, "leaf": made.leaf.hex()},
        f"recorded as number {made.index} of {output.plain(system)}; number {index} stays as it is",
        as_json=as_json,
    )


def _records(ledger: OpenLedger, system: str) -> int:
    """Count what is recorded of a system, which may be nothing yet."""
    return len(ledger.decisions.list(system)) if system in ledger.people.systems() else 0


def _brief(decision: Decision) -> dict[str, Any]:
    result = _members(decision.values.get("output"))
    return {
        "index": decision.index,
        "kind": decision.values.get("kind"),
        "outcome": result.get("outcome"),
        "score": result.get("score"),
        "decided": result.get("decided"),
    }


def _brief_at(ledger: OpenLedger, system: str, index: int) -> dict[str, Any]:
    try:
        return _brief(ledger.decisions.show(system, index))
    except UnavailableError:
        gone = dict.fromkeys(("outcome", "score", "decided"))
        return {"index": index, "kind": "erased", **gone}


def _members(value: Any) -> Mapping[str, Any]:
    """Give an object's members; none of anything else."""
    return value if isinstance(value, dict) else {}


def _as_text(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Give values as they were recorded, with every digit."""
    return [(name, "missing" if value is None else str(value)) for name, value in values.items()]


def _terms_table(terms: Sequence[Mapping[str, Any]]) -> Any:
    rows = [(one["label"], one["value"], one["contribution"]) for one in terms]
    return output.table(("reason", "value", "contribution"), rows)


def _recorded_terms(result: Mapping[str, Any]) -> counterfoil.Terms:
    """Make the terms that a record shows: threshold, and what the outcome was called."""
    threshold = result.get("threshold")
    if threshold is None:
        return counterfoil.Terms()
    # The other outcome's name is not recorded: where it would be given, nothing is.
    outcome, score = result.get("outcome"), result.get("score")
    is_yes = isinstance(score, int | float) and score >= threshold
    return counterfoil.Terms(
        threshold=threshold, outcomes=(None, outcome) if is_yes else (outcome, None)
    )


def _without_reasons(decision: Decision, model: Model) -> tuple[Decision, Model]:
    values = {**decision.values, "reasons": None}
    return replace(decision, values=values), replace(model, explainer=None)
