"""People: what is recorded about a person, exported to them or erased, and holds on that."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import counterfoil
from counterfoil.cli import files, output, views
from counterfoil.cli.options import LEDGER, AsJson, Ledger, Person
from counterfoil.cli.run import noun, verb
from counterfoil.errors import CounterfoilError, FormatError

if TYPE_CHECKING:
    from counterfoil import Ledger as OpenLedger
    from counterfoil.vault import ErasureCertificate

app = noun("People: what is recorded about them, exported, held or erased.")

Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write it there, readable by you only, and not here."),
]
Basis = Annotated[str, typer.Option(metavar="TEXT", help="Why, as the law has it.")]
Approvers = Annotated[
    list[str], typer.Option("--approver", metavar="NAME", help="Who agreed; give it twice.")
]
Request = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The request as received; only its digest is kept."),
]

Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="SYSTEM",
        help="Go on without a system whose records are not all here, or whose key is gone for "
        "good; several times.",
    ),
]
OnlyRequest = Annotated[
    Path | None,
    typer.Option("--request", metavar="FILE", help="Only of this request, as it was received."),
]
DespiteLostHolds = Annotated[
    bool,
    typer.Option(
        "--despite-lost-holds",
        help="Also where holds are lost: you see to it that they are placed again.",
    ),
]
OnlyPerson = Annotated[
    str | None, typer.Argument(metavar="[PERSON]", help="Only holds on this person.")
]
HoldBasis = Annotated[str, typer.Option(metavar="TEXT", help="The order, dispute or law.")]
Until = Annotated[
    datetime | None,
    typer.Option(
        metavar="YYYY-MM-DD",
        formats=["%Y-%m-%d"],
        help="The day, UTC, from which on it binds no more. [default: until it is released]",
    ),
]
HoldId = Annotated[
    str, typer.Argument(metavar="HOLD", help="Its first 8 digits or more, as `holds` lists them.")
]
By = Annotated[
    str, typer.Option(metavar="NAME", help="Who says so; a role, as your records call it.")
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why.")]


@verb(app, "export", "counterfoil person export applicant-117 --out applicant-117.json")
def export(
    person: Person,
    *,
    out: Out = None,
    without: Without = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Give everything recorded about a person, by system."""
    if out is not None:
        files.check_new(out)
    with counterfoil.open(ledger) as opened:
        _warn_of_loss(opened)
        found = opened.people.export(person, without=without or ())
        elsewhere = [*dict.fromkeys((*opened.people.elsewhere(), *(without or ())))]
    if elsewhere:
        names = output.plain(", ".join(elsewhere))
        output.remark("warning", f"the records of {names} are not all here, or do not open")
    if not found:
        raise views.unknown_name("nothing", person)
    records = sum(map(len, found.values()))
    body = {"person": person, "records": records, "systems": found, "elsewhere": elsewhere}
    if out is None:
        document = json.dumps(body, indent=2, ensure_ascii=False).split("\n")
        output.show(body, *map(output.plain, document), as_json=as_json)
        return
    files.write_file(out, json.dumps(body, indent=2).encode() + b"\n", private=True)
    systems = ", ".join(found)
    output.show(
        body | {"systems": list(found), "file": str(out)},
        output.plain(f"wrote {out}: {output.count(records, 'record')} of {systems}"),
        as_json=as_json,
    )


@verb(
    app,
    "erase",
    'counterfoil person erase applicant-117 --basis "GDPR Art. 17(1)(b): consent withdrawn" \\\n'
    "    --approver privacy-office --approver credit-risk",
)
def erase(
    person: Person,
    *,
    basis: Basis,
    approver: Approvers,
    request: Request = None,
    without: Without = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Destroy what is recorded about a person, unless a hold runs."""
    match approver:
        case [first, second]:
            approvers = first, second
        case _:
            raise FormatError(
                f"an erasure takes two approvers, not {len(approver)}",
                hint="Give --approver twice, with different names.",
            )
    received = _read_request(request)
    with counterfoil.open(ledger) as opened:
        _warn_of_loss(opened)
        certificates = opened.people.erase(
            person, basis=basis, approvers=approvers, request=received, without=without or ()
        )
    records = sum(len(one.leaves) for one in certificates)
    untouched = dict.fromkeys(line for one in certificates for line in one.not_touched)
    output.show(
        {"person": person, "records": records, "certificates": [*map(_certificate, certificates)]},
        f"erased {output.count(records, 'record')} about {output.plain(person)}",
        output.fields(
            {
                "gone here since": output.utc(max(one.live_erased_at for one in certificates)),
                "old backups open nothing from": output.utc(
                    max(one.final_by for one in certificates)
                ),
            }
        ),
        "not touched by this:",
        *(f"  - {line}" for line in untouched),
        as_json=as_json,
    )


@verb(app, "erasures", "counterfoil person erasures --request request.txt")
def erasures(
    *, request: OnlyRequest = None, ledger: Ledger = LEDGER, as_json: AsJson = False
) -> None:
    """List the certificates of erasures; no name is in them."""
    received = _read_request(request)
    with counterfoil.open(ledger) as opened:
        _warn_of_loss(opened)
        found = opened.people.erasures(received)
    columns = ("record", "erased", "final by", "records", "basis", "approved by", "request")
    rows = [
        (
            one.record,
            output.utc(one.live_erased_at),
            output.utc(one.final_by),
            len(one.leaves),
            one.basis,
            ", ".join(one.approvers),
            None if one.request is None else output.short(one.request.hex()),
        )
        for one in found
    ]
    output.show(
        {"erasures": [*map(_certificate, found)]},
        output.table(columns, rows) if rows else "no erasures",
        as_json=as_json,
    )


@verb(app, "recover", "counterfoil person recover --despite-lost-holds")
def recover(
    *,
    despite_lost_holds: DespiteLostHolds = False,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Go on without erasures and holds that are lost, or whose key is, for good."""
    with counterfoil.open(ledger) as opened:
        lost = opened.people.recover(despite_lost_holds=despite_lost_holds)
    rows = [(one.system, one.stated, "no key" if one.locked else one.kept) for one in lost]
    output.show(
        {"lost": views.lost(lost)},
        output.table(("goes on in a new stream", "records in the log", "still here"), rows)
        if rows
        else "nothing of erasures and holds is lost, and all of it opens",
        *(
            line
            for name, line in (
                ("holds", "next: place every hold again: counterfoil person hold PERSON"),
                ("erasures", "next: repeat the erasures since: counterfoil person erase PERSON"),
            )
            if any(one.system == f"counterfoil/{name}" for one in lost)
        ),
        as_json=as_json,
    )


@verb(
    app,
    "hold",
    'counterfoil person hold applicant-117 --basis "District Court, order 4 C 11/26" \\\n'
    "    --by legal-desk --until 2031-01-01",
)
def hold(
    person: Person,
    *,
    basis: HoldBasis,
    by: By,
    until: Until = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Keep what is recorded about a person, whoever asks for its erasure."""
    day = None if until is None else until.date()
    with counterfoil.open(ledger) as opened:
        placed = opened.people.hold(person, basis=basis, by=by, until=day)
        records: int | None = None
        try:
            records = sum(map(len, opened.people.export(person).values()))
        except CounterfoilError as error:
            # The hold is durable and binds; an exit as of a failure would have it placed again.
            output.remark("warning", f"the hold is placed; what it keeps is not known: {error}")
    output.show(
        {**asdict(placed), "records": records},
        f"placed hold {placed.short} on {output.plain(person)}",
        output.fields({"ends": placed.hold.ends, "records about them": records}),
        *(("nothing is recorded about them yet: is the name right?",) if records == 0 else ()),
        as_json=as_json,
    )


@verb(app, "holds", "counterfoil person holds applicant-117")
def holds(person: OnlyPerson = None, *, ledger: Ledger = LEDGER, as_json: AsJson = False) -> None:
    """List holds, those that have ended included."""
    with counterfoil.open(ledger) as opened:
        views.warn_if_set_back(opened)
        found = opened.people.holds(person)
    columns = ("hold", "person", "basis", "placed by", "ends", "released by")
    rows = [
        (one.short, one.person, one.basis, one.placed_by, one.hold.ends, one.released_by)
        for one in found
    ]
    output.show(
        {"holds": [asdict(one) for one in found]},
        output.table(columns, rows) if rows else "no holds",
        as_json=as_json,
    )


@verb(
    app,
    "release",
    'counterfoil person release applicant-117 3fa2b1c4 --by legal-desk --reason "case closed"',
)
def release(
    person: Person,
    hold_id: HoldId,
    *,
    by: By,
    reason: Reason,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Release a hold; who placed and who released it stays recorded."""
    with counterfoil.open(ledger) as opened:
        released = opened.people.release(person, hold_id, by=by, reason=reason)
    output.show(
        asdict(released),
        f"released hold {released.short} on {output.plain(person)}",
        output.fields({"placed by": released.placed_by, "released by": released.released_by}),
        as_json=as_json,
    )


def _certificate(one: ErasureCertificate) -> dict[str, Any]:
    return {
        "stream": one.stream.hex(),
        "leaves": [leaf.hex() for leaf in one.leaves],
        "live_erased_at": one.live_erased_at,
        "final_by": one.final_by,
        "basis": one.basis,
        "approvers": list(one.approvers),
        "request": None if one.request is None else one.request.hex(),
        "recorded_in": one.audit.hex(),
        "record": one.record,
        "not_touched": list(one.not_touched),
    }


def _read_request(path: Path | None) -> bytes | None:
    """Read a request as it was received, if there is one."""
    if path is None:
        return None
    received = files.read_file(path)
    if not received:
        raise FormatError(f"{path} is empty", hint="Give the request as it was received.")
    return received


def _warn_of_loss(ledger: OpenLedger) -> None:
    """Say what is not here, as an older copy of all or of some streams was restored."""
    views.warn_if_set_back(ledger)
    for one in ledger.people.lost():
        output.remark("warning", views.lost_line(one))
