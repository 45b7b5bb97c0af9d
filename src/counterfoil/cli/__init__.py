"""The command line: the same nouns and verbs as in Python.

run       errors, exit codes, help            output   the one way to print
options   what several commands take          views    what several commands show
files     what they read and write
start     init, demo, verify                  policy, log, chain   operations
data, model, decision, stream, evidence, person   things
serve     over HTTP
accounts  of chains                           anchoring, genesis   of the group chain

Each command opens the ledger, calls what a user would call in Python, and prints the result. What
is heavy is imported by the names of `counterfoil` when a command first uses them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import counterfoil
from counterfoil.cli import (
    chain,
    data,
    decision,
    evidence,
    log,
    model,
    output,
    person,
    policy,
    serve,
    start,
    stream,
)
from counterfoil.cli.run import Program

FIRST_STEPS, THINGS, OPERATIONS = "First steps", "Things", "Operations"

app = typer.Typer(
    cls=Program,
    name="counterfoil",
    help="Put data, models and decisions on a tamper-evident ledger, and prove it to anyone.",
    epilog="Every command has --help and --json. docs/reference/cli.md lists them all.",
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables, keys among them
    rich_markup_mode=None,
)
start.add_to(app, FIRST_STEPS)
serve.add_to(app, FIRST_STEPS)
stream.add_to(decision.app)
for name, group in (
    ("data", data.app),
    ("model", model.app),
    ("decision", decision.app),
    ("evidence", evidence.app),
    ("person", person.app),
):
    app.add_typer(group, name=name, rich_help_panel=THINGS)
for name, group in (("policy", policy.app), ("log", log.app), ("chain", chain.app)):
    app.add_typer(group, name=name, rich_help_panel=OPERATIONS)


def _version(wanted: bool) -> None:
    if wanted:
        output.write(f"counterfoil {counterfoil.__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    del version  # the callback has dealt with it


def main() -> None:
    """Run the command line and exit."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            sink = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 open until we exit
            setattr(sys, name, sink)
    app()
