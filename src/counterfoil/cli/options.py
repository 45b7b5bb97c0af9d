"""Options that several commands have, each with one meaning everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LEDGER = "./ledger"
LEDGER_VARIABLE = "COUNTERFOIL_LEDGER"
OPERATOR = "operator"
PRODUCTION = "production"

Ledger = Annotated[
    str,
    typer.Option(
        "--ledger", metavar="PATH", envvar=LEDGER_VARIABLE, help="The ledger's folder or URL."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
TrustFile = Annotated[
    Path | None,
    typer.Option(
        "--trust",
        metavar="FILE",
        help="The log's trust policy, the first time. [default: what you adopted for that log]",
    ),
]
By = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="A local principal who signs; repeat it for more. [default: operator]"
    ),
]
Stage = Annotated[str, typer.Option(metavar="NAME", help="The stage, as the policy names it.")]
DataName = Annotated[str, typer.Argument(metavar="NAME", help="The data set: name or digest.")]
ModelName = Annotated[str, typer.Argument(metavar="NAME", help="The model: name or digest.")]
System = Annotated[str, typer.Argument(metavar="SYSTEM", help="The model's name.")]
Index = Annotated[int, typer.Argument(metavar="INDEX", min=0, help="Number of the record, from 0.")]
Person = Annotated[str, typer.Argument(metavar="PERSON", help="As `--subject-column` named them.")]


def signers(by: list[str] | None) -> tuple[str, ...]:
    """Give who signs; by default the operator."""
    return tuple(by or (OPERATOR,))
