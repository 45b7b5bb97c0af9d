"""Time-stamping from the command line: authorities say by when the log was so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import counterfoil
from counterfoil import ledger as ledgers
from counterfoil.cli import output
from counterfoil.cli.cadence import confirm
from counterfoil.cli.options import LEDGER, AsJson, Ledger
from counterfoil.cli.run import verb

if TYPE_CHECKING:
    from counterfoil.ledger import Stamping

Every = Annotated[
    float | None, typer.Option(metavar="SECONDS", min=1, help="Go on, at this cadence.")
]
Renew = Annotated[
    bool,
    typer.Option(
        "--renew", help="Stamp also where nothing is new, if certificates end within 90 days."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add this command to the group `log`."""
    verb(app, "stamp", "counterfoil log stamp --every 3600")(stamp)


def stamp(
    *, every: Every = None, renew: Renew = False, ledger: Ledger = LEDGER, as_json: AsJson = False
) -> None:
    """Have the authorities of the trust policy time-stamp the log (RFC 3161)."""

    def once() -> int:
        with counterfoil.open(ledger) as opened, output.working("asking authorities"):
            found = ledgers.stamp_log(opened, renew=renew)
        _show(found, as_json=as_json)
        return found.size

    confirm(
        once,
        ledger,
        every_s=every,
        ended="time-stamping has ended; the next run goes on from here",
    )


def _show(found: Stamping, *, as_json: bool) -> None:
    for why in found.lacking.values():
        output.remark("warning", why)
    output.show(
        {
            "stamps": [
                {
                    "authority": one.authority,
                    "size": one.size,
                    "time": one.stamp.time,
                    "until": one.stamp.until,
                    "entry": one.index,
                }
                for one in found.made
            ],
            "lacking": found.lacking,
            "log_size": found.size,
        },
        *(
            f"{one.size:,} entries existed by {output.utc(one.stamp.time)}, says {one.authority}, "
            f"until {output.utc(one.stamp.until)} (entry {one.index})"
            for one in found.made
        ),
        *([] if found.made else ["nothing new to stamp"]),
        as_json=as_json,
    )
