"""People: what is recorded about a person, exported to them or erased."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import counterfoil
from counterfoil.cli import files, output
from counterfoil.cli.options import LEDGER, AsJson, Ledger, Person
from counterfoil.cli.run import noun, verb
from counterfoil.errors import FormatError

app = noun("People: what is recorded about them, exported or erased.")

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


@verb(app, "export", "counterfoil person export applicant-117 --out applicant-117.json")
def export(
    person: Person, *, out: Out = None, ledger: Ledger = LEDGER, as_json: AsJson = False
) -> None:
    """Give everything recorded about a person, by system."""
    if out is not None:
        files.check_new(out)
    with counterfoil.open(ledger) as opened:
        found = opened.people.export(person)
    records = sum(map(len, found.values()))
    body = {"person": person, "records": records, "systems": found}
    if out is None:
        document = json.dumps(body, indent=2, ensure_ascii=False).split("\n")
        output.show(body, *map(output.plain, document), as_json=as_json)
        return
    files.write_file(out, json.dumps(body, indent=2).encode() + b"\n", private=True)
    systems = ", ".join(found) or "no system"
    output.show(
        {"person": person, "records": records, "systems": list(found), "file": str(out)},
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
    received = b"" if request is None else files.read_file(request)
    with counterfoil.open(ledger) as opened:
        certificates = opened.people.erase(
            person, basis=basis, approvers=approvers, request=received
        )
    erased = [
        {
            "stream": one.stream.hex(),
            "leaves": [leaf.hex() for leaf in one.leaves],
            "live_erased_at": one.live_erased_at,
            "final_by": one.final_by,
            "record": one.record,
            "not_touched": list(one.not_touched),
        }
        for one in certificates
    ]
    records = sum(len(one.leaves) for one in certificates)
    untouched = dict.fromkeys(line for one in certificates for line in one.not_touched)
    output.show(
        {"person": person, "records": records, "certificates": erased},
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
