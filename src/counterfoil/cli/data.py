"""Data sets: added, shown, compared with a file, cleared for use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import counterfoil
from counterfoil.cli import output, views
from counterfoil.cli.options import LEDGER, AsJson, By, DataName, Ledger, signers
from counterfoil.cli.run import noun, verb
from counterfoil.errors import VerificationError

if TYPE_CHECKING:
    from counterfoil import Dataset

app = noun("Data sets: fingerprinted, compared, cleared for use.")

Source = Annotated[
    Path, typer.Argument(metavar="SOURCE", help="A .csv or .tsv file, another file, or a folder.")
]
NewName = Annotated[str, typer.Option("--name", metavar="NAME", help="What to call it.")]
Licence = Annotated[str, typer.Option(metavar="TEXT", help="Under which it may be used.")]
Origin = Annotated[str, typer.Option("--source", metavar="TEXT", help="Where it is from.")]
Personal = Annotated[bool, typer.Option(help="Whether it is about people.")]
Purposes = Annotated[
    list[str] | None,
    typer.Option(
        "--purpose",
        metavar="TEXT",
        help="What it may be used for; may be repeated. [default: training]",
    ),
]
Consent = Annotated[
    str | None, typer.Option(metavar="TEXT", help="On what ground, where it is about people.")
]
OnlyName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only versions of this.")]
Purpose = Annotated[str, typer.Option(metavar="TEXT", help="What it is to be used for.")]
Compared = Annotated[
    Path | None,
    typer.Option("--source", metavar="PATH", help="The data about to be used, to compare first."),
]


@verb(app, "add", "counterfoil data add applicants.csv --name applicants")
def add(
    source: Source,
    *,
    name: NewName,
    licence: Licence = "",
    origin: Origin = "",
    personal: Personal = True,
    purpose: Purposes = None,
    consent: Consent = None,
    by: By = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Fingerprint a data set and attest it; no row enters the log."""
    with counterfoil.open(ledger) as opened, output.progress("reading parts") as progress:
        before = opened.size
        dataset = opened.data.add(
            source,
            name,
            licence=licence,
            origin=origin,
            personal=personal,
            purposes=purpose or ("training",),
            consent=consent,
            by=signers(by),
            progress=progress,
        )
        is_new = opened.size > before
    said = "added" if is_new else "already there, unchanged:"
    output.show(
        {"added": is_new, **_body(dataset)},
        f"{said} {output.plain(dataset.name)}, {_extent(dataset)}",
        output.fields({"digest": dataset.digest, "entry": dataset.index}),
        as_json=as_json,
    )


@verb(app, "show", "counterfoil data show applicants")
def show(name: DataName, *, ledger: Ledger = LEDGER, as_json: AsJson = False) -> None:
    """Show a data set as attested, and what was said about it."""
    with counterfoil.open(ledger) as opened:
        dataset = opened.data.show(name)
        said = views.statements(opened, dataset.digest)
    about = dataset.about
    columns: Any = about.get("columns")
    output.show(
        {**_body(dataset), "statements": said},
        f"{output.plain(dataset.name)}, {_extent(dataset)}",
        output.fields(
            {
                "digest": dataset.digest,
                "entry": dataset.index,
                "personal": "yes" if about.get("personal") else "no",
                "purposes": _listed(about.get("purposes")),
                "licence": about.get("licence") or None,
                "source": about.get("source") or None,
                "consent": about.get("consent"),
                "columns": ", ".join(one["name"] for one in columns) if columns else None,
            }
        ),
        "",
        views.statement_table(said),
        as_json=as_json,
    )


@verb(app, "list", "counterfoil data list")
def list_(name: OnlyName = None, *, ledger: Ledger = LEDGER, as_json: AsJson = False) -> None:
    """List the data sets, or the versions of one, oldest first."""
    with counterfoil.open(ledger) as opened:
        found = opened.data.list(name)
    rows = [(one.index, one.name, _extent(one), output.short(one.digest)) for one in found]
    output.show(
        {"datasets": [_body(one) for one in found]},
        output.table(("entry", "name", "extent", "digest"), rows)
        if rows
        else "no data sets yet; next: counterfoil data add FILE --name NAME",
        as_json=as_json,
    )


@verb(app, "diff", "counterfoil data diff applicants applicants.csv")
def diff(
    name: DataName, source: Source, *, ledger: Ledger = LEDGER, as_json: AsJson = False
) -> None:
    """Compare a data set with a file, and name the rows that differ."""
    with counterfoil.open(ledger) as opened:
        dataset = opened.data.show(name)
        difference = opened.data.diff(dataset.digest, source)
    called = output.plain(dataset.name)
    if difference is None:
        body: dict[str, Any] = {"same": True, "differs": 0, "places": []}
        lines = [f"{output.plain(str(source))} is {called} as attested, {_extent(dataset)}"]
    else:
        body = {"same": False, "differs": difference.count, "places": list(difference.places)}
        parts = f"{difference.count:,} of {output.count(difference.parts, 'part')}"
        lines = [f"{output.plain(str(source))} is not {called} as attested: {parts} differ"]
        lines += [f"  - {output.plain(place)}" for place in difference.places]
        if difference.count > len(difference.places):
            lines.append("  - and more")
    output.show(
        {"name": dataset.name, "digest": dataset.digest, **body},
        *lines,
        as_json=as_json,
        exit_code=VerificationError.exit_code if difference else 0,
    )


@verb(app, "clear", "counterfoil data clear applicants --purpose training --source applicants.csv")
def clear(
    name: DataName,
    *,
    purpose: Purpose = "training",
    source: Compared = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Ask whether a data set may be used, and record the answer."""
    with counterfoil.open(ledger) as opened:
        decided = opened.data.clear(name, purpose, source=source)
    output.show(
        {"name": decided.subject.name, "purpose": purpose, **views.clearance(decided)},
        *views.clearance_lines(decided, purpose),
        as_json=as_json,
    )


def _body(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "digest": dataset.digest,
        "entry": dataset.index,
        "about": dataset.about,
    }


def _extent(dataset: Dataset) -> str:
    """Say how much it is: rows of a table, bytes of a file, files of a folder."""
    parts, size = dataset.about.get("rows"), dataset.about.get("bytes")
    match dataset.about.get("kind"):
        case "table" if isinstance(parts, int):
            columns = dataset.about.get("columns")
            wide = len(columns) if isinstance(columns, list) else 0
            return f"{output.count(parts, 'row')} of {output.count(wide, 'column')}"
        case "folder" if isinstance(parts, int):
            return output.count(parts, "file")
        case _ if isinstance(size, int):
            return output.count(size, "byte")
    return "of unknown extent"


def _listed(values: Any) -> str | None:
    return ", ".join(map(str, values)) if isinstance(values, list) and values else None
