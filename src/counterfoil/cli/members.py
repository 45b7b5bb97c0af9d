"""Members of a committee, on a machine of their own: they make keys, agree to a place, and sign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import counterfoil
from counterfoil import chain as chains
from counterfoil import ledger as ledgers
from counterfoil.cli import files, output
from counterfoil.cli.accounts import AccountName, Address, PassphraseFile, Signer, account
from counterfoil.cli.options import LEDGER, OPERATOR, AsJson, Ledger

Request = Annotated[Path, typer.Argument(metavar="FILE", help="The request, as handed over.")]
Trust = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Your own trust policy. [default: what you adopted for that log]"
    ),
]
WitnessName = Annotated[
    str, typer.Argument(metavar="NAME", help="Of the witness, as the trust policy will name it.")
]
LogKey = Annotated[
    str | None,
    typer.Option("--log", metavar="VKEY", help="The log's key. [default: that of --ledger]"),
]
Organisation = Annotated[
    str, typer.Option("--operator", metavar="NAME", help="The organisation that runs the witness.")
]
Url = Annotated[
    str,
    typer.Option(
        "--url", metavar="URL", help="Where its server is reached. [default: it is handed files]"
    ),
]
Policy = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="The log's trust.toml, as its operator handed it out."),
]


def member(
    name: WitnessName,
    *,
    log: LogKey = None,
    operator: Organisation,
    url: Url = "",
    account_name: AccountName = OPERATOR,
    passphrase_file: PassphraseFile = None,
    signer: Signer = None,
    address: Address = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Make this machine a witness of a log that signs its anchors, too."""
    if log is None:
        with counterfoil.open(ledger) as opened:
            key = opened.key
    else:
        key = ledgers.parse_vkey(log)
    who = account(account_name, passphrase_file, signer, address)
    if url:
        # The server opens the account again, so that is written down.
        own = ledgers.OwnWitness.make(name)
        own.know(key)
        chains.seat_witness(
            own, who, name=account_name, passphrase_file=passphrase_file, signer=signer or ""
        )
        made = own.listed(operator, url)
    else:
        made = chains.make_member(name, key, who, operator)
    text = ledgers.format_witness(made)
    output.show(
        {"witness": made.to_json(), "toml": text, "log": key.name},
        *map(output.plain, text.splitlines()),
        "",
        f"next: send these lines to whoever writes the trust policy of {output.plain(key.name)}, "
        "and take that in: counterfoil chain agree trust.toml",
        as_json=as_json,
    )


def agree(file: Policy, *, as_json: AsJson = False) -> None:
    """Go by a log's trust policy, as a member who signs its anchors."""
    policy = ledgers.parse_policy(files.read_file(file), str(file))
    witness = chains.agree(policy)
    rules = chains.require_chain(policy)
    names = [one.name for one in policy.witnesses if one.anchor is not None]
    output.show(
        {
            "log": ledgers.format_vkey(policy.log.key),
            "witness": witness.name,
            "chain": rules.to_json(),
            "members": names,
            "policy": policy.digest.hex(),
            "version": policy.version,
        },
        f"{output.plain(witness.name)} signs anchors of {output.plain(policy.log.origin)} from "
        "now on, for this place and no other",
        output.fields(
            {
                "place": f"{rules.contract} on chain {rules.id}",
                "log there": rules.log,
                "log's key": ledgers.format_vkey(policy.log.key),
                "members": f"{rules.threshold} of {', '.join(names)} sign",
                "policy": f"version {policy.version}, {policy.digest.hex()}",
            }
        ),
        "next: compare all of it with what you agreed upon",
        as_json=as_json,
    )


def sign(
    file: Request,
    *,
    trust: Trust = None,
    name: AccountName = OPERATOR,
    passphrase_file: PassphraseFile = None,
    signer: Signer = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Sign a checkpoint that is to be anchored, as a member."""
    data = files.read_file(file)
    policy = chains.policy_for(data, None if trust is None else files.read_file(trust))
    who = account(name, passphrase_file, signer, address)
    answer = chains.sign_request(file, policy, who)
    request = chains.parse_request(data)
    checkpoint = request.checkpoint
    output.show(
        {
            "file": str(answer),
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "chain_id": request.chain_id,
            "contract": request.contract,
            "epoch": request.epoch,
            "address": who.address.lower(),
        },
        f"signed {output.count(checkpoint.size, 'entry', 'entries')} of "
        f"{output.plain(checkpoint.origin)}; this witness remembers them now",
        output.fields(
            {
                "root": checkpoint.root.hex(),
                "for": f"{request.contract} on chain {request.chain_id}, epoch {request.epoch}",
                "answer": answer,
            }
        ),
        f"next: hand {output.plain(answer.name)} back",
        as_json=as_json,
    )
