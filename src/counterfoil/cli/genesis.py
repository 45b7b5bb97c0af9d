"""A consortium's own chain: members' keys, and the files made from their public halves."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from counterfoil import chain as chains
from counterfoil.cli import output
from counterfoil.cli.options import AsJson
from counterfoil.cli.run import verb
from counterfoil.errors import FormatError

MemberName = Annotated[
    str, typer.Argument(metavar="NAME", help="The member: lower-case letters, digits, hyphens.")
]
At = Annotated[str, typer.Option(metavar="IP:PORT", help="Where the other members reach its node.")]
NodeFolder = Annotated[
    Path | None, typer.Option(metavar="PATH", help="A new folder for it. [default: NAME]")
]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--member",
        metavar="NAME=ENODE",
        help="A member, as `chain node` printed it there; repeat it for each.",
    ),
]
HowMany = Annotated[
    int | None,
    typer.Option(
        "--members",
        metavar="N",
        min=4,
        max=128,
        help="Make so many members with all their keys here, to try it out.",
    ),
]
NetworkFolder = Annotated[Path, typer.Option(metavar="PATH", help="A new folder for the files.")]
ChainId = Annotated[
    int | None,
    typer.Option(metavar="NUMBER", help="The chain id. [default: made from the members' keys]"),
]
BlockPeriod = Annotated[int, typer.Option(metavar="SECONDS", help="Least time between two blocks.")]
Fund = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS",
        help="Gas costs, and this account has coins; may be repeated. [default: gas is free]",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the group `chain`."""
    verb(app, "node", "counterfoil chain node alpha --at 10.0.0.1:30303")(node)
    verb(app, "genesis", "counterfoil chain genesis --members 4")(genesis)


def node(name: MemberName, *, at: At, out: NodeFolder = None, as_json: AsJson = False) -> None:
    """Make the key of a member's own node in a consortium's chain."""
    private, public = chains.make_node_key()
    member = chains.NetworkMember(name, public, *chains.parse_place(at))
    folder = out or Path(name)
    chains.write_node(folder, private)
    text = chains.format_member(member)
    output.show(
        {
            "name": name,
            "folder": str(folder),
            "validator": f"0x{member.address.hex()}",
            "enode": member.enode,
            "member": text,
        },
        f"made the node's key in {output.plain(str(folder))}; it stays with you",
        output.fields({"validator": f"0x{member.address.hex()}", "member": text}),
        "next: send the last line to the other members, and get theirs",
        as_json=as_json,
    )


def genesis(
    *,
    member: Given = None,
    members: HowMany = None,
    out: NetworkFolder = Path("network"),
    chain_id: ChainId = None,
    block_period: BlockPeriod = 5,
    fund: Fund = None,
    as_json: AsJson = False,
) -> None:
    """Write the files of a Besu QBFT network, one folder for each member."""
    if bool(member) == (members is not None):
        raise FormatError(
            "members are either given, or made here",
            hint="Give --member for each, or --members 4 to try it out.",
        )
    keys: dict[str, bytes] | None = None
    known = tuple(chains.parse_member(text) for text in member or ())
    if members is not None:
        known, keys = chains.make_trial(members)
    network = chains.Network(known, chain_id, block_period, tuple(fund or ()))
    files = chains.write_network(out, network, keys)
    digest = hashlib.sha256(files[f"{known[0].name}/genesis.json"]).hexdigest()
    output.show(
        {
            "folder": str(out),
            "chain_id": network.id,
            "genesis": digest,
            "trial": keys is not None,
            "members": [
                {
                    "name": one.name,
                    "validator": f"0x{one.address.hex()}",
                    "enode": one.enode,
                    "folder": str(out / one.name),
                }
                for one in known
            ],
            "files": sorted(files),
        },
        f"wrote {output.plain(str(out))}: a chain between {len(known)} members",
        output.fields({"chain id": network.id, "genesis.json": digest}),
        output.table(
            ("member", "validator", "reached at"),
            [(one.name, f"0x{one.address.hex()}", f"{one.host}:{one.port}") for one in known],
        ),
        "all keys were made here: to try it out, and no proof of anything"
        if keys is not None
        else "next: compare the digest with the other members, by another way than files",
        f"next: read {output.quoted(str(out / 'README.md'))}",
        as_json=as_json,
    )
