"""Accounts on chains as commands take them: a local key with its passphrase, or a signer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from counterfoil import chain as chains
from counterfoil.cli import output
from counterfoil.errors import FormatError

if TYPE_CHECKING:
    from counterfoil.chain import Account, Chain

RPC_VARIABLE = "COUNTERFOIL_RPC"
SIGNER_VARIABLE = "COUNTERFOIL_SIGNER"

Node = Annotated[
    str | None,
    typer.Option(
        "--rpc",
        metavar="URL",
        envvar=RPC_VARIABLE,
        help="A node of the chain. [default: this machine's development chain]",
    ),
]
ChainId = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="The chain's id, where nothing is known about it."),
]
FinalityRule = Annotated[
    str | None,
    typer.Option(
        metavar="RULE", help="When a block of it is final: finalized, immediate, or blocks on top."
    ),
]
AccountName = Annotated[
    str, typer.Option("--account", metavar="NAME", help="A local account, by its name.")
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Holds its passphrase. [default: ask, if at a terminal]"),
]
Signer = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar=SIGNER_VARIABLE,
        help="Signs instead of a local account; needs --address.",
    ),
]
Address = Annotated[
    str | None, typer.Option(metavar="0x…", help="The account whose key the signer holds.")
]


def connect(rpc: str | None, chain_id: int | None, finality: str | None) -> Chain:
    """Connect to the chain that the options name.

    Raises:
        FormatError: no node is named and no development chain runs here, or options are missing.
    """
    url = node_url(rpc)
    if chain_id is None and finality is None:
        return chains.connect(url)
    if chain_id is None or finality is None:
        raise FormatError(
            "what is believed about a chain is its id and when a block of it is final",
            hint="Give both --chain-id and --finality.",
        )
    believed = chains.ChainProfile(f"chain {chain_id}", chain_id, *chains.parse_finality(finality))
    return chains.connect(url, believed)


def node_url(rpc: str | None) -> str:
    """Give the address of the node that is meant.

    Raises:
        FormatError: none is named, and no development chain runs here.
    """
    url = rpc or chains.dev_url()
    if url is None:
        raise FormatError(
            "no chain is named, and no development chain runs here",
            hint="Give --rpc, or start one: counterfoil chain dev.",
        )
    return url


def account(
    name: str, passphrase_file: Path | None, signer: str | None, address: str | None
) -> Account:
    """Find who signs.

    Raises:
        FormatError: there is no passphrase, or one of signer and address is missing.
    """
    if signer is None and address is None:
        path = chains.account_path(name)
        chains.stated_address(path)  # asks for no passphrase where there is no account
        return chains.load_account(path, passphrase(name, passphrase_file, is_new=False))
    if signer is None or address is None:
        raise FormatError("a signer and an address belong together", hint="Give both.")
    return chains.RemoteAccount(chains.Rpc(signer), address)


def passphrase(name: str, file: Path | None, *, is_new: bool) -> str:
    """Get the passphrase of an account: from a file, the environment, or whoever sits there.

    Raises:
        FormatError: there is none.
    """
    given = chains.read_passphrase(file)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise FormatError(
            f"there is no passphrase for the account {name}",
            hint="Set COUNTERFOIL_PASSPHRASE, give --passphrase-file, or run it in a terminal.",
        )
    asked: str = typer.prompt(
        f"Passphrase of {output.plain(name)}",
        hide_input=True,
        confirmation_prompt=is_new,
        err=True,
    )
    return asked
