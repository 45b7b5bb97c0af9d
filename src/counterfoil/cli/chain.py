"""The chain: one to develop on, the organisation's account, contracts deployed, how it stands."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterfoil import chain as chains
from counterfoil.cli import anchoring, files, genesis, output
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
    passphrase,
)
from counterfoil.cli.options import OPERATOR, AsJson
from counterfoil.cli.run import noun, until_stopped, verb
from counterfoil.errors import FormatError, UnavailableError

if TYPE_CHECKING:
    from counterfoil.chain import Chain

app = noun("The chain: where the log is anchored, and where it cannot be rewritten.")
anchoring.add_to(app)
genesis.add_to(app)

_HASH_DIGITS = 64
_PROVES = "That your side works, on a real EVM: contracts, accounts, transactions, finality."
_PROVES_NOT = (
    "Anything against you. One process makes every block, and whoever operates it can rewrite,"
    " reset and censor."
)

Port = Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0 takes a free one.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Import = Annotated[
    Path | None,
    typer.Option("--import", metavar="FILE", help="Take over the key of a JSON keystore."),
]
ContractName = Annotated[
    str, typer.Argument(metavar="[CONTRACT]", help="CheckpointAnchor or ConsentRegistry.")
]
AnchorAddress = Annotated[
    str | None,
    typer.Option(
        "--anchor", metavar="0x…", help="Address of the CheckpointAnchor. [default: yours]"
    ),
]
MadeIn = Annotated[
    str | None,
    typer.Option(
        metavar="0x…", help="With --anchor: the transaction that made it, as `deploy` printed it."
    ),
]
LogId = Annotated[str | None, typer.Option("--log", metavar="HEX", help="A log's id in it.")]


@verb(app, "dev", "counterfoil chain dev")
def dev(*, port: Port = 0, as_json: AsJson = False) -> None:
    """Run a chain on this machine, to develop on, until interrupted."""
    until_stopped()  # the last block is written, the child is gone
    try:
        with chains.DevChain(port=port) as running:
            output.show(
                {
                    "url": running.url,
                    "chain_id": chains.DEV.chain_id,
                    "folder": str(running.folder),
                    "proves": _PROVES,
                    "does_not_prove": _PROVES_NOT,
                },
                f"the development chain runs at {running.url}",
                output.fields(
                    {
                        "chain id": chains.DEV.chain_id,
                        "state": running.folder,
                        "proves": _PROVES,
                        "not proven": _PROVES_NOT,
                    }
                ),
                "next: counterfoil chain key, then counterfoil chain join. Ctrl-C ends it.",
                as_json=as_json,
            )
            told = ""
            while True:
                time.sleep(1)
                if running.trouble and running.trouble != told:
                    told = running.trouble
                    output.remark("warning", told)
    except KeyboardInterrupt:
        output.remark("note", "the development chain has ended; its state is kept")


@verb(app, "install", "counterfoil chain install")
def install(*, yes: Yes = False, as_json: AsJson = False) -> None:
    """Install anvil, which runs the development chain, by npm."""
    found = chains.find_anvil()
    if found is None and not yes:
        if not sys.stdin.isatty():
            raise FormatError(
                f"installing anvil {chains.ANVIL_VERSION} needs a yes", hint="Give --yes."
            )
        typer.confirm(
            f"Install anvil {chains.ANVIL_VERSION} (MIT or Apache-2.0, 30 MB) by npm?",
            abort=True,
            err=True,
        )
    path = found or chains.install_anvil()
    output.show(
        {"anvil": str(path), "installed": found is None},
        f"{'installed anvil: ' if found is None else 'there is an anvil already: '}{path}",
        as_json=as_json,
    )


@verb(app, "key", "counterfoil chain key --account operator")
def key(
    *,
    name: AccountName = OPERATOR,
    keystore: Import = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Make an account's key, or show its address if there is one."""
    path = chains.account_path(name)
    is_new = keystore is not None or not path.exists()
    if keystore is not None:
        secret = passphrase(name, passphrase_file, is_new=False)
        address = chains.import_account(path, files.read_file(keystore), secret).address
    elif is_new:
        secret = passphrase(name, passphrase_file, is_new=True)
        address = chains.create_account(path, secret).address
    else:
        address = chains.stated_address(path)
    output.show(
        {"account": name, "address": address, "made": is_new, "file": str(path)},
        f"{'made' if is_new else 'there is'} the account {output.plain(name)}",
        output.fields({"address": address, "file": path}),
        *(["next: back the file up, with its passphrase elsewhere"] if is_new else []),
        as_json=as_json,
    )


@verb(app, "deploy", "counterfoil chain deploy")
def deploy(
    contract: ContractName = "CheckpointAnchor",
    *,
    rpc: Node = None,
    chain_id: ChainId = None,
    finality: FinalityRule = None,
    name: AccountName = OPERATOR,
    passphrase_file: PassphraseFile = None,
    signer: Signer = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Deploy a contract and check its code. Safe to repeat."""
    if contract not in {"CheckpointAnchor", "ConsentRegistry"}:
        raise FormatError(
            f"{contract!r} cannot be deployed from here",
            hint="CheckpointAnchor and ConsentRegistry can; registries with a committee are"
            " deployed from Python: counterfoil.chain.deploy.",
        )
    chain = connect(rpc, chain_id, finality)
    who = account(name, passphrase_file, signer, address)
    with chains.Outbox(chain, who) as outbox:
        made = chains.deploy(outbox, contract)
    cost = made.receipt.gas_used * made.receipt.gas_price_wei
    output.show(
        {
            "contract": contract,
            "address": made.address,
            "chain_id": chain.chain_id,
            "block": made.receipt.block_number,
            "transaction": made.receipt.tx_hash.hex(),
            "gas_used": made.receipt.gas_used,
            "cost_wei": str(cost),
        },
        f"{contract} is at {made.address}",
        output.fields(
            {
                "chain": chain.chain_id,
                "block": f"{made.receipt.block_number}, final",
                "transaction": f"0x{made.receipt.tx_hash.hex()}",
                "cost": f"{made.receipt.gas_used:,} gas, {output.money(cost)}",
            }
        ),
        as_json=as_json,
    )


@verb(app, "status", "counterfoil chain status")
def status(
    *,
    rpc: Node = None,
    chain_id: ChainId = None,
    finality: FinalityRule = None,
    name: AccountName = OPERATOR,
    address: Address = None,
    anchor: AnchorAddress = None,
    made_in: MadeIn = None,
    log: LogId = None,
    as_json: AsJson = False,
) -> None:
    """Show chain, account, what is under way, and the anchor."""
    chain = connect(rpc, chain_id, finality)
    head, final = chain.head(), chain.final()
    who = _address(name, address)
    wallet = None if who is None else _wallet(chain, who)
    if made_in is not None and anchor is None:
        raise FormatError("--made-in is about no contract", hint="Name it: --anchor 0x….")
    place, maker = anchor, _word(made_in, "transaction")
    if place is None:
        place, maker = _deployed(chain, who)
    anchored = None if place is None else _anchor(chain, place, maker, log)
    under_way = [] if wallet is None else wallet["under_way"]
    output.show(
        {
            "chain_id": chain.chain_id,
            "profile": chain.profile.name,
            "finality": chain.profile.rule,
            "head": head.number,
            "final": None if final is None else final.number,
            "account": wallet,
            "anchor": anchored,
        },
        f"chain {chain.chain_id} ({output.plain(chain.profile.name)})",
        output.fields(
            {
                "finality": chain.profile.rule,
                "newest block": head.number,
                "final": "none yet" if final is None else final.number,
                "account": who or "none",
                "has": None if wallet is None else output.money(int(wallet["balance_wei"])),
                "spent": None if wallet is None else output.money(int(wallet["spent_wei"])),
                "under way": None if wallet is None else f"{len(under_way)}",
                "anchor": "none"
                if anchored is None
                else f"{anchored['address']}, code as released"
                + (
                    ", made as released"
                    if anchored["made_in"]
                    else "; WHAT IT BEGAN WITH IS NOT CHECKED, see --made-in"
                ),
                "made in": f"0x{anchored['made_in']}" if anchored and anchored["made_in"] else None,
                "log": None if anchored is None else _log_line(anchored["log"]),
            }
        ),
        *(f"  - {output.plain(one['key'])}, nonce {one['nonce']}" for one in under_way),
        as_json=as_json,
    )


def _address(name: str, address: str | None) -> str | None:
    if address is not None:
        return chains.parse_address(address)
    try:
        return chains.stated_address(chains.account_path(name))
    except UnavailableError:  # looking at a chain needs no account
        return None


def _wallet(chain: Chain, who: str) -> dict[str, Any]:
    box = chains.read_outbox(chain, who)
    receipts = [done.receipt for done in box.settled() if done.receipt is not None]
    return {
        "address": who,
        "balance_wei": str(chain.balance_wei(who)),
        "spent_wei": str(sum(one.gas_used * one.gas_price_wei for one in receipts)),
        "under_way": [
            {"key": one.key, "nonce": one.nonce, "versions": len(one.attempts)}
            for one in box.pending()
        ],
    }


def _deployed(chain: Chain, who: str | None) -> tuple[str | None, bytes | None]:
    """Find the anchor that this account deployed, and the transaction that made it."""
    box = None if who is None else chains.read_outbox(chain, who)
    made = None if box is None else box.find_settled(chains.deployment_key("CheckpointAnchor"))
    if made is None or made.receipt is None:
        return None, None
    return made.receipt.contract, made.receipt.tx_hash


def _anchor(chain: Chain, place: str, made_in: bytes | None, log: str | None) -> dict[str, Any]:
    contract = chains.CheckpointAnchor.open(chain, place)
    if made_in is not None:
        chains.check_creation(contract, made_in)
    number = _word(log, "log's id")
    return {
        "address": contract.address,
        "code_hash": contract.artifact.code_hash.hex(),
        "made_in": None if made_in is None else made_in.hex(),
        "log": None if number is None else _log(contract, number),
    }


def _word(text: str | None, what: str) -> bytes | None:
    """Read 32 bytes in hexadecimal, with or without 0x before them."""
    if text is None:
        return None
    digits = text.removeprefix("0x").lower()
    if len(digits) != _HASH_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise FormatError(f"{text!r:.80} is no {what}", hint="It has 64 hexadecimal digits.")
    return bytes.fromhex(digits)


def _log(contract: chains.CheckpointAnchor, number: bytes) -> dict[str, Any]:
    committee = contract.committee_of(number)
    count = contract.anchors(number)
    latest = contract.latest(number) if count else None
    return {
        "id": number.hex(),
        "epoch": committee.epoch,
        "threshold": committee.threshold,
        "members": list(committee.members),
        "stopped": contract.is_stopped(number),
        "anchors": count,
        "size": latest.size if latest else 0,
        "root": latest.root.hex() if latest else None,
        "time": latest.time if latest else None,
    }


def _log_line(found: dict[str, Any] | None) -> str | None:
    if found is None:
        return None
    stopped = "; STOPPED by a split view" if found["stopped"] else ""
    return (
        f"{output.count(found['anchors'], 'anchor')}, newest at size {found['size']:,};"
        f" {found['threshold']} of {len(found['members'])} members sign{stopped}"
    )
