"""Auditing the log from the command line: every entry hashed, every anchor compared."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import counterfoil
from counterfoil import ledger as ledgers
from counterfoil.cli import output
from counterfoil.cli.options import LEDGER, AsJson, Ledger
from counterfoil.cli.run import verb

Anchor = Annotated[
    bool, typer.Option("--anchor", help="Compare the log with all its anchors on the chain, too.")
]
Rpc = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="COUNTERFOIL_RPC",
        help="With --anchor: a node of the chain. [default: this machine's development chain]",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add this command to the group `log`."""
    verb(app, "audit", "counterfoil log audit")(audit)


def audit(
    *, anchor: Anchor = False, rpc: Rpc = None, ledger: Ledger = LEDGER, as_json: AsJson = False
) -> None:
    """Hash every entry again, and name the first bad place."""
    with counterfoil.open(ledger) as opened:
        with output.progress("hashing entries") as progress:
            report = ledgers.audit_log(opened, progress)
        anchors = _audit_anchors(opened, rpc) if anchor else None
        unaudited = ledgers.unaudited(opened)
        if report.seen:
            seen = f"whether these are the first of the {report.seen:,} entries seen here before"
            unaudited = (*unaudited, seen)
    others = (
        "whether others see another log, or a newer one"
        if anchors is None
        else "that the node tells the truth about the chain"
    )
    output.show(
        {
            "origin": report.origin,
            "size": report.size,
            "root": report.root.hex(),
            "anchors": anchors,
        },
        f"all {report.size:,} entries are under the signed root",
        output.fields(
            {
                "origin": report.origin,
                "root": report.root.hex(),
                "anchors": None if anchors is None else _anchors_line(anchors),
                "not checked": "; ".join(("signatures inside entries", *unaudited, others)),
            }
        ),
        as_json=as_json,
    )


def _audit_anchors(opened: counterfoil.Ledger, rpc: str | None) -> dict[str, Any]:
    from counterfoil import chain as chains  # noqa: PLC0415 an extra
    from counterfoil.cli.accounts import node_url  # noqa: PLC0415 likewise

    rules = chains.require_chain(opened.policy.show())
    chain = chains.connect_to(rules, node_url(rpc))
    with output.progress("comparing anchors") as progress:
        found = chains.audit_anchors(opened, chain, rules, progress)
    return {
        "compared": found.anchors,
        "size": found.newest.size if found.newest else 0,
        "stopped": found.is_stopped,
        "chain_id": rules.id,
        "contract": rules.contract,
    }


def _anchors_line(found: dict[str, Any]) -> str:
    stopped = "; STOPPED by a split view" if found["stopped"] else ""
    return (
        f"all {found['compared']:,} on chain {found['chain_id']} are of this log, "
        f"the newest over {found['size']:,} entries{stopped}"
    )
