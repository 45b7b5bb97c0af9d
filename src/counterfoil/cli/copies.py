"""Logs of others: mirrored, watched, and taken in."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from counterfoil import remote
from counterfoil.cli import output
from counterfoil.cli.options import AsJson, TrustFile
from counterfoil.cli.run import until_stopped, verb
from counterfoil.errors import UnavailableError

Where = Annotated[
    str,
    typer.Argument(metavar="URL", help="The log: https://host/path, or the folder of its site."),
]
MirrorFolder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The mirror's; made if it is missing.")
]
Every = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0.1,
        help="Do it again and again, this long after the last time. [default: once]",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to those of the log."""
    verb(app, "mirror", "counterfoil log mirror https://ledger.example ./mirror --every 10")(mirror)


def mirror(
    url: Where,
    folder: MirrorFolder,
    *,
    every: Every = None,
    trust: TrustFile = None,
    as_json: AsJson = False,
) -> None:
    """Keep a verified copy of a log, as files for any web server."""
    copy = remote.Mirror(url, folder, trust=trust)
    try:

        def once() -> None:
            with output.progress("verifying entries") as progress:
                found = copy.update(progress)
            body = {
                "folder": str(folder),
                "origin": found.origin,
                "size": found.size,
                "root": found.root.hex(),
                "new": found.new,
            }
            new = output.count(found.new, "new entry", "new entries")
            output.show(
                body,
                f"{output.plain(str(folder))} shows {found.size:,} entries of "
                f"{output.plain(found.origin)}, {new}",
                output.fields({"root": found.root.hex()}),
                as_json=as_json,
            )

        repeat(once, every)
    finally:
        copy.close()


def repeat(once: Callable[[], Any], every: float | None) -> None:
    """Do something once, or until stopped; what is unavailable is tried again.

    Args:
        once: Raises what is not true, and ends it.
        every: Seconds between; None for once.
    """
    if every is None:
        once()
        return
    until_stopped()
    try:
        while True:
            try:
                once()
            except UnavailableError as error:
                output.remark("warning", str(error))
            time.sleep(every)
    except KeyboardInterrupt:
        output.remark("note", "stopped; the next run goes on from here")
