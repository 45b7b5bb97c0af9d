"""Statements of a log, found from the command line."""

from __future__ import annotations

from typing import Annotated

import typer

import counterfoil
from counterfoil.cli import output, views
from counterfoil.cli.options import LEDGER, AsJson, Ledger
from counterfoil.cli.run import verb

Subject = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A subject's name, or one of its digests in hex."),
]
Predicate = Annotated[
    str | None, typer.Option(metavar="TYPE", help="What is said: approval, or a URI.")
]
Issuer = Annotated[
    str | None, typer.Option(metavar="KEY", help="The label of a signing key, as entries name it.")
]
Last = Annotated[int, typer.Option(min=1, metavar="N", help="How many to show, the newest ones.")]

_NOT_CHECKED = (
    "whether the signatures are good, and their keys may say this (log monitor does, by the trust "
    "policy); nor can others see from this list that an entry is in the log (log receipt shows it)"
)
_NAMES_SHOWN = 3  # of the subjects of a statement, which may have hundreds


def add_to(app: typer.Typer) -> None:
    """Add this command to the group `log`."""
    verb(app, "find", "counterfoil log find --subject credit --predicate approval")(find)


def find(
    *,
    subject: Subject = None,
    predicate: Predicate = None,
    issuer: Issuer = None,
    last: Last = 20,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """List statements of the log: by subject, by what they say, by who signed."""
    with counterfoil.open(ledger) as opened, output.working("reading what the index lacks"):
        found = opened.find(subject=subject, predicate=predicate, issuer=issuer, last=last)
        size = opened.size
    listed = [
        views.statement(one)
        | {"subjects": {about.name: dict(about.digest) for about in one.statement.subjects}}
        for one in found
    ]
    rows = [
        (one["entry"], one["predicate"], _about(list(one["subjects"])), ", ".join(one["keys"]))
        for one in listed
    ]
    output.show(
        {"found": listed, "log_size": size, "not_checked": _NOT_CHECKED},
        *(
            [
                output.table(("entry", "statement", "about", "signed with"), rows),
                f"not checked: {_NOT_CHECKED}",
            ]
            if rows
            else [f"nothing of the kind in {output.count(size, 'entry', 'entries')}"]
        ),
        as_json=as_json,
    )


def _about(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN] + ([f"{more} more"] if more > 0 else []))
