"""Streams of decisions: declared, published, held against what they promised."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import counterfoil
from counterfoil.cli import files, output
from counterfoil.cli.options import LEDGER, AsJson, Ledger, System
from counterfoil.cli.run import verb
from counterfoil.errors import VerificationError

TicketFiles = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[TICKETS...]", help="Ticket files, or folders of them."),
]
PadTo = Annotated[
    int,
    typer.Option(
        metavar="N", help="Batches have sizes that are multiples of this, by records of no one."
    ),
]
Cadence = Annotated[
    int | None,
    typer.Option(
        metavar="SECONDS", help="One batch in each such period. [default: when there is something]"
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to those about decisions."""
    verb(app, "declare", "counterfoil decision declare credit --pad-to 16 --cadence 3600")(declare)
    verb(app, "publish", "counterfoil decision publish credit")(publish)
    verb(app, "reconcile", "counterfoil decision reconcile credit ./tickets")(reconcile)


def declare(
    system: System,
    *,
    pad_to: PadTo = 1,
    cadence: Cadence = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Promise how the batches of a model will look, before its first decision."""
    with counterfoil.open(ledger) as opened:
        made = opened.decisions.declare(system, pad_to=pad_to, cadence_s=cadence)
    output.show(
        {
            "system": system,
            "stream": made.stream_id.hex(),
            "pad_to": made.pad_to,
            "cadence_s": made.cadence_s,
            "max_delay_s": made.max_delay_s,
        },
        f"declared the stream of {output.plain(system)}",
        output.fields(
            {
                "sizes of batches": f"multiples of {made.pad_to}",
                "a batch": f"every {cadence} s" if cadence else "whenever something was decided",
            }
        ),
        *(
            (f"in every period: counterfoil decision publish {output.quoted(system)}",)
            if cadence
            else ()
        ),
        as_json=as_json,
    )


def publish(system: System, *, ledger: Ledger = LEDGER, as_json: AsJson = False) -> None:
    """Close the batches that are due; with a cadence, in every period."""
    with counterfoil.open(ledger) as opened:
        batch = opened.decisions.publish(system)
        records = len(opened.decisions.list(system))
    size, closed = (batch.size, batch.closed) if batch else (0, None)
    output.show(
        {"system": system, "records": records, "size": size, "closed": closed},
        f"the newest batch of {output.plain(system)} has {output.count(size, 'record')}",
        output.fields(
            {
                "closed": None if closed is None else output.utc(closed),
                "in no batch yet": records - size or None,
            }
        ),
        as_json=as_json,
    )


def reconcile(
    system: System,
    tickets: TicketFiles = None,
    *,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Hold tickets that were handed out, and the batches, against the log."""
    held = {str(path): files.read_file(path) for path in files.find_tickets(tickets or ())}
    with counterfoil.open(ledger) as opened:
        broken = opened.decisions.reconcile(system, held)
    output.show(
        {"system": system, "tickets": len(held), "broken": list(broken)},
        f"{output.count(len(held), 'ticket')} and the batches of {output.plain(system)}: "
        + (f"{len(broken):,} broken" if broken else "all kept"),
        *(f"  - {output.plain(one)}" for one in broken),
        as_json=as_json,
        exit_code=VerificationError.exit_code if broken else 0,
    )
