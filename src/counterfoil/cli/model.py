"""Models: added, approved, promoted through a gate, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import counterfoil
from counterfoil.cli import files, output, views
from counterfoil.cli.options import (
    LEDGER,
    PRODUCTION,
    AsJson,
    By,
    Ledger,
    ModelName,
    Stage,
    signers,
)
from counterfoil.cli.run import noun, verb

if TYPE_CHECKING:
    from counterfoil import Model
    from counterfoil.models import Version

app = noun("Models: versions attested, approved, used only when cleared.")

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="skops, safetensors, ONNX or a pickle (yours only).")
]
NewName = Annotated[str, typer.Option("--name", metavar="NAME", help="What to call it.")]
TrainedOn = Annotated[
    list[str] | None,
    typer.Option("--trained-on", metavar="DATA", help="A data set's name; may be repeated."),
]
TrustType = Annotated[
    list[str] | None,
    typer.Option(
        "--trust-type", metavar="TYPE", help="A Python type that the file may build; repeatable."
    ),
]
Rows = Annotated[
    Path, typer.Argument(metavar="DATA.csv", help="Rows whose outcome is known, with a header.")
]
Label = Annotated[str, typer.Option(metavar="COLUMN", help="The column that says what came true.")]
Positive = Annotated[
    str, typer.Option(metavar="VALUE", help="What stands there where the model should score high.")
]
Group = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Report errors for each value of this column.")
]
Threshold = Annotated[float, typer.Option(metavar="NUMBER", help="From which score on it is yes.")]
Tested = Annotated[
    str, typer.Option("--data", metavar="NAME", help="The data set that DATA.csv is, as attested.")
]
OnlyName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only versions of this.")]
Comment = Annotated[str, typer.Option(metavar="TEXT", help="What the approvers looked at.")]
Expires = Annotated[
    str | None, typer.Option(metavar="TIME", help="As 2027-11-22T00:00:00Z. [default: never]")
]
After = Annotated[
    int | None,
    typer.Option(metavar="ENTRY", help="The revocation that this approval knows of, if any."),
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why.")]


@verb(app, "add", "counterfoil model add credit.skops --name credit --trained-on applicants")
def add(
    file: File,
    *,
    name: NewName,
    trained_on: TrainedOn = None,
    stage: Stage = PRODUCTION,
    trust_type: TrustType = None,
    by: By = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Attest a version of a model; nothing is refused yet."""
    with counterfoil.open(ledger) as opened:
        before = opened.size
        data = [opened.data.show(one) for one in trained_on or ()]
        model = opened.models.add(
            file, name, trained_on=data, stage=stage, trust=trust_type or (), by=signers(by)
        )
        is_new = opened.size > before
    said = "added" if is_new else "already there, unchanged:"
    output.show(
        {"added": is_new, **_body(model), "trained_on": [one.name for one in data]},
        f"{said} {_called(model)}, {model.format}",
        output.fields(
            {
                "digest": model.digest,
                "entry": model.index,
                "trained on": ", ".join(one.name for one in data) or None,
                "reasons": "exact, its own" if model.explainer else "none: it gives only answers",
                "builds": ", ".join(model.types) or None,
            }
        ),
        as_json=as_json,
    )


@verb(app, "show", "counterfoil model show credit")
def show(name: ModelName, *, ledger: Ledger = LEDGER, as_json: AsJson = False) -> None:
    """Show the newest version, and what was said about it."""
    with counterfoil.open(ledger) as opened:
        version = opened.models.show(name)
        said = views.statements(opened, version.digest)
    trained: Any = version.about.get("trained_on") or []
    size = version.about.get("bytes")
    output.show(
        {**_body(version), "about": version.about, "statements": said},
        f"{_called(version)}, {output.plain(version.format)}",
        output.fields(
            {
                "digest": version.digest,
                "entry": version.index,
                "size": output.count(size, "byte") if isinstance(size, int) else None,
                "trained on": ", ".join(str(one["name"]) for one in trained) or None,
                "reasons": version.about.get("reasons"),
            }
        ),
        "",
        views.statement_table(said),
        as_json=as_json,
    )


@verb(app, "list", "counterfoil model list")
def list_(name: OnlyName = None, *, ledger: Ledger = LEDGER, as_json: AsJson = False) -> None:
    """List the models, or the versions of one, oldest first."""
    with counterfoil.open(ledger) as opened:
        found = opened.models.list(name)
    rows = [
        (one.index, one.name, one.version, one.format, output.short(one.digest)) for one in found
    ]
    output.show(
        {"models": [_body(one) for one in found]},
        output.table(("entry", "name", "version", "format", "digest"), rows)
        if rows
        else "no models yet; next: counterfoil model add FILE --name NAME",
        as_json=as_json,
    )


@verb(
    app,
    "evaluate",
    "counterfoil model evaluate credit held-out.csv --data held-out --label repaid",
)
def evaluate(
    name: ModelName,
    rows: Rows,
    *,
    data: Tested,
    label: Label,
    positive: Positive = "1",
    group: Group = None,
    threshold: Threshold = 0.5,
    by: By = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Test the newest version on known outcomes, and state what came out."""
    table, (labels, groups) = files.read_rows(rows, (label, group))
    with counterfoil.open(ledger) as opened:
        tested = opened.data.check(data, rows)
        version = opened.models.show(name)
        made = opened.models.evaluate(
            version.digest,
            table,
            [int(one == positive) for one in labels or ()],
            data=tested,
            groups=[one or "" for one in groups or ()],
            terms=counterfoil.Terms(threshold=threshold),
            by=signers(by),
        )
    said: Any = made.statement.predicate
    figures = said["metrics"]
    output.show(
        {**_body(version), "evaluation": made.index, "data": tested.name, "metrics": figures},
        f"evaluated {_called(version)} on {output.plain(tested.name)} (entry {made.index})",
        output.fields({key: str(figures[key]) for key in ("n", "auc", "brier", "error")}),
        output.table(
            ("group", "n", "error"),
            [(one["group"], one["n"], one["metrics"]["error"]) for one in said["groups"]],
        )
        if said["groups"]
        else "",
        as_json=as_json,
    )


@verb(app, "approve", "counterfoil model approve credit --by risk-a --by risk-b")
def approve(
    name: ModelName,
    *,
    by: By = None,
    stage: Stage = PRODUCTION,
    comment: Comment = "",
    expires: Expires = None,
    after: After = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Approve the newest version for a stage."""
    who = signers(by)
    with counterfoil.open(ledger) as opened:
        version = opened.models.show(name)
        made = opened.models.approve(
            version.digest, by=who, stage=stage, comment=comment, expires=expires, after=after
        )
        missing = opened.models.judge(version.digest, stage).reasons
    entries = [one.index for one in made]
    output.show(
        {
            **_body(version),
            "stage": stage,
            "by": list(who),
            "entries": entries,
            "missing": list(missing),
        },
        f"recorded: {_called(version)} approved for {output.plain(stage)}",
        output.fields(dict(zip(who, (f"entry {entry}" for entry in entries), strict=True))),
        *_outlook(missing, stage),
        as_json=as_json,
    )


@verb(app, "promote", "counterfoil model promote credit --stage production")
def promote(
    name: ModelName, *, stage: Stage = PRODUCTION, ledger: Ledger = LEDGER, as_json: AsJson = False
) -> None:
    """Put the newest version to a stage, if its gate lets it in."""
    with counterfoil.open(ledger) as opened:
        version = opened.models.show(name)
        decided = opened.models.clear(version, stage)
        made = opened.models.promote(version.digest, stage=stage)
    output.show(
        {
            **_body(version),
            "stage": stage,
            "promotion": made.index,
            "gate": views.clearance(decided),
        },
        f"promoted {_called(version)} to {output.plain(stage)} (entry {made.index})",
        *views.clearance_lines(decided, stage),
        as_json=as_json,
    )


@verb(app, "revoke", 'counterfoil model revoke credit --reason "drift found in validation"')
def revoke(
    name: ModelName,
    *,
    reason: Reason,
    by: By = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Revoke the newest version, for good."""
    with counterfoil.open(ledger) as opened:
        version = opened.models.show(name)
        made = opened.models.revoke(version.digest, reason, by=signers(by))
        missing = opened.models.judge(version.digest).reasons
    output.show(
        {**_body(version), "reason": reason, "revocation": made.index, "missing": list(missing)},
        f"recorded: {_called(version)} revoked (entry {made.index})",
        *_outlook(missing, PRODUCTION),
        as_json=as_json,
    )


def _outlook(missing: Sequence[str], stage: str) -> list[Any]:
    """Say what that means at the stage: a statement counts only as the policy lets it."""
    if not missing:
        return [f"at {output.plain(stage)} nothing is missing"]
    return [
        f"at {output.plain(stage)} the gate says no:",
        *(f"  - {output.plain(one)}" for one in missing),
    ]


def _body(model: Model | Version) -> dict[str, Any]:
    return {
        "name": model.name,
        "version": model.version,
        "digest": model.digest,
        "format": model.format,
        "entry": model.index,
    }


def _called(model: Model | Version) -> str:
    return output.plain(f"{model.name} version {model.version}")
