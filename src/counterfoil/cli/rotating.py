"""A log goes on with a new key."""

from __future__ import annotations

from typing import Annotated

import typer

import counterfoil
from counterfoil import ledger as ledgers
from counterfoil import remote
from counterfoil.cli import output
from counterfoil.cli.options import LEDGER, AsJson, By, Ledger, signers
from counterfoil.cli.run import verb
from counterfoil.errors import UnavailableError

Prepare = Annotated[
    bool,
    typer.Option("--prepare", help="Make the key alone, so that witnesses can be told of it."),
]


def add_to(app: typer.Typer) -> None:
    """Add this command to the group `log`."""
    verb(app, "rotate", "counterfoil log rotate --prepare")(rotate)


def rotate(
    *, prepare: Prepare = False, by: By = None, ledger: Ledger = LEDGER, as_json: AsJson = False
) -> None:
    """Hand the log over to a new key, which the old one signs for."""
    require_own(ledger, "rotated")
    with counterfoil.open(ledger) as opened:
        machines = _tell_machines(opened, "log.next" if prepare else "log")
        if prepare:
            key = ledgers.prepare_next_key(opened.places).key
            _show_next(ledgers.format_vkey(key), *machines, as_json=as_json)
            return
        done = ledgers.rotate_key(opened, by=signers(by))
    key, earlier = done.keys.key, done.keys.earlier[-1]
    output.show(
        {
            "key": ledgers.format_vkey(key),
            "before": ledgers.format_vkey(earlier.key),
            "until_size": earlier.until_size,
            "entry": done.index,
        },
        f"{output.plain(key.name)} signs with {key.key_id.hex()} from now on",
        output.fields(
            {
                "key": ledgers.format_vkey(key),
                "before": f"{earlier.key.key_id.hex()}, counts up to "
                f"{output.count(earlier.until_size, 'entry', 'entries')}",
                "policy": "none adopted here" if done.index is None else f"entry {done.index}",
            }
        ),
        *machines,
        "next: hand out trust.toml; whoever goes by the old one refuses new checkpoints",
        as_json=as_json,
    )


def require_own(ledger: str, done: str) -> None:
    """Refuse a ledger elsewhere, and a copy, before anything is asked of it.

    Args:
        ledger: As it was given.
        done: What is done to a ledger by its operator alone, as a participle.

    Raises:
        UnavailableError: it is one.
    """
    if remote.is_site(ledger):
        raise UnavailableError(
            f"a ledger elsewhere, or a copy of one, is {done} by its operator alone",
            hint="Its operator does that on its machine, where the log's key is: in the ledger's "
            "folder, or by its address of PostgreSQL.",
        )


def _tell_machines(log: counterfoil.Ledger, name: str) -> list[str]:
    """Say what other machines need that write to the log, if any may."""
    if not log.engine.is_shared:
        return []
    folder = output.quoted(str(log.places.keys))
    return [f"next: give every other machine that appends {name}.pem and {name}.vkey of {folder}"]


def _show_next(vkey: str, *machines: str, as_json: bool) -> None:
    output.show(
        {"next": vkey},
        output.fields({"next key": vkey}),
        *machines,
        f"next: have each witness run `counterfoil log witness --next {output.quoted(vkey)}`, "
        "then `counterfoil log rotate`",
        as_json=as_json,
    )
