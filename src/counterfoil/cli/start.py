"""First steps: make a ledger, watch the demonstration, verify what somebody hands you."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import counterfoil
from counterfoil import cluster
from counterfoil import ledger as ledgers
from counterfoil.cli import output
from counterfoil.cli.options import LEDGER, LEDGER_VARIABLE, AsJson
from counterfoil.cli.run import verb

NewLedger = Annotated[
    str,
    typer.Argument(metavar="[PATH]", envvar=LEDGER_VARIABLE, help="The folder to make it in."),
]
Organisation = Annotated[
    str, typer.Option(metavar="NAME", help="Who operates it, as verdicts will say.")
]
DemoFolder = Annotated[Path, typer.Option(metavar="PATH", help="Where everything it makes goes.")]
What = Annotated[
    str,
    typer.Argument(
        metavar="WHAT",
        help="An evidence file, a receipt, a ledger's folder or URL, data or a model's file.",
    ),
]
Trust = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The trust policy, from somebody you trust. [default: what you adopted for that log]",
    ),
]
Entry = Annotated[
    Path | None, typer.Option(metavar="FILE", help="For a receipt: the entry that it is about.")
]
InLedger = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="For a data set or a model's file: the ledger it is in."),
]
Rpc = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="For an anchor that nobody vouches for offline: a node of its chain."
    ),
]


def add_to(app: typer.Typer, group: str) -> None:
    """Add these commands under a title of the top-level help."""
    verb(app, "init", "counterfoil init ./ledger", group=group)(init)
    verb(app, "demo", "counterfoil demo", group=group)(demo)
    verb(app, "verify", "counterfoil verify 17.html --trust trust.toml", group=group)(verify)


def init(
    path: NewLedger = LEDGER,
    *,
    organisation: Organisation = "this organisation",
    as_json: AsJson = False,
) -> None:
    """Make a ledger; it refuses nothing yet. Safe to repeat."""
    is_url = "://" in path
    is_new = not (cluster.holds_log(path) if is_url else (Path(path) / "ledger.json").exists())
    with counterfoil.init(path, organisation=organisation) as ledger:
        status = ledgers.read_status(ledger)
        keys, trust = ledger.places.keys, ledger.places.trust
        path = cluster.show_address(path) if is_url else path  # it may have a password in it
    policy = status.policy
    modes = {stage.name: stage.mode.value for stage in policy.stages} if policy else {}
    body = {
        "ledger": path,
        "made": is_new,
        "origin": status.origin,
        "key": status.key,
        "size": status.size,
        "keys": str(keys),
        "trust": str(trust),
        "policy": policy.digest.hex() if policy else None,
        "modes": modes,
    }
    output.show(
        body,
        f"{'made' if is_new else 'there was already'} a ledger in {output.plain(path)}",
        output.fields(
            {
                "origin": status.origin,
                "keys": keys,
                "policy": trust,
                "gates": ", ".join(f"{stage}: {mode}" for stage, mode in modes.items()) or None,
                "MOVED": f"to {status.moved}" if status.moved else None,
                "ENDED": f"goes on as {status.following.name}" if status.following else None,
            }
        ),
        "next: append where it goes on; here it can be read only"
        if status.writers.value == "nobody"
        else "next: counterfoil data add FILE --name NAME",
        as_json=as_json,
    )


def demo(folder: DemoFolder = Path("counterfoil-demo"), as_json: AsJson = False) -> None:
    """Tell the whole story on real data, in half a minute."""
    from counterfoil.demo import run_demo  # noqa: PLC0415 its libraries are an extra

    if code := run_demo(folder, as_json=as_json):
        raise typer.Exit(code)


def verify(
    what: What,
    *,
    trust: Trust = None,
    entry: Entry = None,
    ledger: InLedger = None,
    rpc: Rpc = None,
    as_json: AsJson = False,
) -> None:
    """Verify an evidence file, a receipt, a ledger, a data set or a model's file."""
    with output.progress("hashing entries") as progress:
        verdict = counterfoil.verify(
            what, trust=trust, entry=entry, ledger=ledger, rpc=rpc, progress=progress
        )
    output.show(verdict.as_dict(), str(verdict), as_json=as_json, exit_code=verdict.exit_code)
