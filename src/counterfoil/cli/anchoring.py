"""Anchoring from the command line: a ledger joins a chain, and its checkpoints get there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import counterfoil
from counterfoil import chain as chains
from counterfoil import ledger as ledgers
from counterfoil.cli import members, output
from counterfoil.cli.accounts import (
    AccountName,
    Address,
    ChainId,
    FinalityRule,
    Node,
    PassphraseFile,
    Signer,
    account,
    connect,
    node_url,
)
from counterfoil.cli.options import LEDGER, OPERATOR, AsJson, By, Ledger, signers
from counterfoil.cli.run import until_stopped, verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterfoil.chain import Standing

Contract = Annotated[
    str | None,
    typer.Option(metavar="0x…", help="A CheckpointAnchor that is there. [default: deploy one]"),
]
Threshold = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="How many members sign. [default: more than half]"),
]
Operators = Annotated[
    list[str] | None,
    typer.Option(
        "--operator",
        metavar="NAME",
        help="An organisation that runs the chain; repeat it. [default: the log's, alone]",
    ),
]
Validators = Annotated[
    list[str] | None,
    typer.Option(
        "--validator", metavar="0x…", help="Whose seals count offline, on QBFT; repeat it."
    ),
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Give up the place that the policy names now.")
]
Exchange = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Put requests to other members here, and find answers."),
]
Every = Annotated[
    float | None, typer.Option(metavar="SECONDS", min=1, help="Go on, at this cadence.")
]
MaxEntries = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="With --every: sooner, if so many entries wait."),
]
Wait = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", min=0, help="How long to wait until it is final. [default: half an hour]"
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the group `chain`."""
    verb(app, "join", "counterfoil chain join --rpc http://127.0.0.1:8545")(join)
    verb(app, "member", "counterfoil chain member auditor --log VKEY --operator 'Auditor LLP'")(
        members.member
    )
    verb(app, "agree", "counterfoil chain agree trust.toml")(members.agree)
    verb(app, "anchor", "counterfoil chain anchor --exchange ./to-sign")(anchor)
    verb(app, "sign", "counterfoil chain sign anchor-1024.request.json")(members.sign)


def join(
    *,
    contract: Contract = None,
    threshold: Threshold = None,
    operators: Operators = None,
    validators: Validators = None,
    replace: Replace = False,
    by: By = None,
    rpc: Node = None,
    chain_id: ChainId = None,
    finality: FinalityRule = None,
    name: AccountName = OPERATOR,
    passphrase_file: PassphraseFile = None,
    signer: Signer = None,
    address: Address = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Give the ledger a place on a chain, and adopt a policy that names it."""
    chain = connect(rpc, chain_id, finality)
    who = account(name, passphrase_file, signer, address)
    with counterfoil.open(ledger) as opened, chains.Outbox(chain, who) as outbox:
        policy = chains.join_chain(
            opened,
            outbox,
            contract=contract,
            threshold=threshold,
            operators=operators or (),
            validators=validators or (),
            replaces=replace,
            by=signers(by),
        )
    rules = chains.require_chain(policy)
    names = [one.name for one in policy.witnesses if one.anchor is not None]
    output.show(
        {
            "chain": rules.to_json(),
            "members": names,
            "policy": policy.digest.hex(),
            "version": policy.version,
        },
        f"anchors of this ledger go to {rules.contract} on chain {rules.id}",
        output.fields(
            {
                "log": rules.log,
                "members": f"{rules.threshold} of {', '.join(names)} sign",
                "chain run by": ", ".join(rules.operators),
                "policy": f"version {policy.version}, {policy.digest.hex()}",
            }
        ),
        "next: counterfoil chain anchor",
        as_json=as_json,
    )


def anchor(
    *,
    exchange: Exchange = None,
    every: Every = None,
    max_entries: MaxEntries = None,
    wait: Wait = None,
    rpc: Node = None,
    name: AccountName = OPERATOR,
    passphrase_file: PassphraseFile = None,
    signer: Signer = None,
    address: Address = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Have the newest checkpoint signed and anchored, and state it in the log."""
    who = account(name, passphrase_file, signer, address)
    url = node_url(rpc)

    def once() -> int:
        with counterfoil.open(ledger) as opened:
            policy = opened.policy.show()
            chain = chains.connect_to(chains.require_chain(policy), url)
            with (
                chains.Outbox(chain, who) as outbox,
                chains.members_here(policy, who, exchange) as reached,
                output.working("waiting until it is final"),
            ):
                anchoring = chains.Anchoring(opened, outbox, reached)
                made = anchoring.run(chains.FINAL_WITHIN_S if wait is None else wait)
                standing = anchoring.standing()
            size = opened.size
        _show(standing, made, as_json=as_json)
        return size

    def size() -> int:
        with counterfoil.open(ledger) as opened:
            return opened.size

    if every is None:
        once()
        return
    until_stopped()
    try:
        # The ledger is opened for each run, so that others can write to it in between.
        ledgers.keep_confirming(
            once,
            size,
            every_s=every,
            max_entries=max_entries,
            report=lambda error: output.remark("warning", str(error)),
        )
    except KeyboardInterrupt:
        output.remark("note", "anchoring has ended; the next run goes on where this one stopped")


def _show(standing: Standing, made: Sequence[Any], *, as_json: bool) -> None:
    newest = standing.anchored
    covered = newest.size if newest is not None else 0
    each = standing.cost_wei // covered if covered else 0
    anchors = [{"entry": one.index, **one.statement.predicate} for one in made]
    output.show(
        {
            "anchored": anchors,
            "size": covered,
            "log_size": standing.log_size,
            "anchors": standing.anchors,
            "stopped": standing.is_stopped,
            "cost_wei": str(standing.cost_wei),
            "cost_per_entry_wei": str(each),
        },
        *(
            f"anchored {one['size']:,} entries in block {one['block']['number']}"
            f" (entry {one['entry']})"
            for one in anchors
        ),
        *([] if anchors else ["nothing new to anchor"]),
        output.fields(
            {
                "anchored": f"{covered:,} of {standing.log_size:,} entries, "
                f"by {output.count(standing.anchors, 'anchor')}",
                "cost so far": f"{output.money(standing.cost_wei)}, {output.money(each)} an entry",
                "STOPPED": "a split view of this log is on record" if standing.is_stopped else None,
            }
        ),
        as_json=as_json,
    )
