"""A log ends and another one begins, and receipts are carried across."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

import counterfoil
from counterfoil import cluster
from counterfoil import ledger as ledgers
from counterfoil.cli import files, output
from counterfoil.cli.options import LEDGER, AsJson, Ledger
from counterfoil.cli.rotating import require_own
from counterfoil.cli.run import verb

New = Annotated[
    str, typer.Argument(metavar="NEW", help="Where the new ledger begins: a folder or a URL.")
]
Despite = Annotated[
    bool,
    typer.Option(
        "--despite-records", help="End it although nobody can be erased from it afterwards."
    ),
]
Entry = Annotated[int, typer.Argument(metavar="INDEX", min=0, help="Of the entry.")]
Later = Annotated[
    list[str],
    typer.Option("--to", metavar="PATH", help="The ledger that goes on; repeat it, oldest first."),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Where to. [default: INDEX.carried.json]"),
]

ReceiptOut = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Where to. [default: INDEX.receipt]")
]
EntryOut = Annotated[
    Path | None,
    typer.Option(
        "--entry-out", metavar="FILE", help="Where the entry goes. [default: INDEX.entry]"
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the group `log`."""
    verb(app, "shard", "counterfoil log shard ./ledger-2027")(shard)
    verb(app, "receipt", "counterfoil log receipt 17 --entry-out entry.json")(receipt)
    verb(app, "carry", "counterfoil log carry 17 --to ./ledger-2027")(carry)


def shard(
    new: New,
    *,
    despite_records: Despite = False,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """End this log for ever, and begin another one where it ended."""
    require_own(ledger, "ended")
    with (
        counterfoil.open(ledger) as opened,
        opened.shard(new, despite_records=despite_records) as following,
    ):
        ended, begun = opened.origin, following.origin
        size, root = opened.size, opened.root.hex()
    place = cluster.show_address(new) if "://" in new else new  # it may have a password in it
    output.show(
        {"ended": ended, "size": size, "root": root, "begun": begun, "ledger": place},
        f"{output.plain(ended)} has ended with {output.count(size, 'entry', 'entries')}, and goes "
        f"on as {output.plain(begun)}",
        output.fields({"root": root, "ledger": place}),
        f"next: write to {output.quoted(place)}, and hand out its trust.toml",
        as_json=as_json,
    )


def receipt(
    index: Entry,
    *,
    out: ReceiptOut = None,
    entry_out: EntryOut = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Write an entry and its receipt, for `verify --entry`."""
    path = Path(f"{index}.receipt") if out is None else out
    entry_path = Path(f"{index}.entry") if entry_out is None else entry_out
    files.check_new(path)
    files.check_new(entry_path)
    with counterfoil.open(ledger) as opened:
        entry, data = opened.entry(index), ledgers.format_receipt(opened.receipt(index))
        origin = opened.origin
    files.write_file(entry_path, entry)
    files.write_file(path, data)
    output.show(
        {"file": str(path), "entry": str(entry_path), "index": index, "log": origin},
        f"wrote {output.plain(str(path))}: the receipt of entry {index} of {output.plain(origin)}",
        output.fields({"entry": entry_path}),
        f"next: counterfoil verify {output.quoted(str(path))} --entry "
        f"{output.quoted(str(entry_path))}",
        as_json=as_json,
    )


def carry(
    index: Entry, *, to: Later, out: Out = None, ledger: Ledger = LEDGER, as_json: AsJson = False
) -> None:
    """Write a receipt that holds by the trust policy of a later shard."""
    path = Path(f"{index}.carried.json") if out is None else out
    files.check_new(path)
    with ExitStack() as stack:
        opened, *later = (stack.enter_context(counterfoil.open(one)) for one in (ledger, *to))
        data = ledgers.format_carried(ledgers.carry_receipt(opened, index, *later))
        origins = [one.origin for one in (opened, *later)]
    files.write_file(path, data)
    output.show(
        {"file": str(path), "index": index, "logs": origins},
        f"wrote {output.plain(str(path))}: entry {index} of {output.plain(origins[0])}, by "
        f"{output.plain(origins[-1])}",
        as_json=as_json,
    )
