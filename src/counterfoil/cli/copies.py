"""Logs of others: mirrored, watched, and taken in."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import counterfoil
from counterfoil import ledger as ledgers
from counterfoil import remote
from counterfoil.cli import output
from counterfoil.cli.cadence import repeat
from counterfoil.cli.options import LEDGER, LEDGER_VARIABLE, AsJson, TrustFile
from counterfoil.cli.run import verb
from counterfoil.errors import (
    CounterfoilError,
    FormatError,
    SplitViewError,
    UnavailableError,
    VerificationError,
)

Where = Annotated[
    str,
    typer.Argument(metavar="URL", help="The log: https://host/path, or the folder of its site."),
]
NewFolder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Where it is to be; missing or empty.")
]
OriginalIsLost = Annotated[
    bool,
    typer.Option(
        "--original-is-lost",
        help="Make it the log's ledger, to append to. Only where no other one is left anywhere: "
        "two of them sign two histories.",
    ),
]
PrivateFrom = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="With --original-is-lost: bring what is private along from the log's database on "
        "PostgreSQL, which was set back. It moves out of there.",
    ),
]
MirrorFolder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The mirror's; made if it is missing.")
]
Whole = Annotated[
    bool,
    typer.Option(
        "--whole", help="Prove every file again, not only the newest; fetch what does not hold."
    ),
]
Every = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0.1,
        help="Do it again and again, this long after the last time. [default: once]",
    ),
]

_MENDED_SHOWN = 5  # names of files for people; programs get them all

Watched = Annotated[
    str,
    typer.Argument(
        metavar="[LEDGER]",
        envvar=LEDGER_VARIABLE,
        help="The log: https://host/path, or the folder of a ledger or of a site.",
    ),
]
Watch = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Watch rules: whom to tell of what, see watch.toml."),
]
EverySeconds = Annotated[
    float, typer.Option("--every", metavar="SECONDS", min=0.1, help="How often it looks.")
]
Once = Annotated[bool, typer.Option("--once", help="Look once, and exit.")]
Metrics = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write figures for Prometheus there, as a text file."),
]
StaleAfter = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", min=1, help="Tell when there is no newer checkpoint for this."),
]
State = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="What it remembers. [default: the log's own]"),
]
FromNow = Annotated[
    bool, typer.Option("--from-now", help="The first time: leave out the entries that are there.")
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to those of the log."""
    verb(app, "mirror", "counterfoil log mirror https://ledger.example ./mirror --every 10")(mirror)
    verb(
        app, "monitor", "counterfoil log monitor https://ledger.example --watch watch.toml --json"
    )(monitor)
    verb(app, "import", "counterfoil log import ./site ./ledger --trust trust.toml")(import_site)


def mirror(
    url: Where,
    folder: MirrorFolder,
    *,
    whole: Whole = False,
    every: Every = None,
    trust: TrustFile = None,
    as_json: AsJson = False,
) -> None:
    """Keep a verified copy of a log, as files for any web server."""
    with contextlib.ExitStack() as held:
        opened: list[remote.Mirror] = []  # one, once the log could be opened

        def once() -> None:
            if not opened:
                copy = remote.Mirror(url, folder, trust=trust)
                held.callback(copy.close)
                opened.append(copy)
            with output.progress("verifying entries") as progress:
                found = opened[0].update(progress, whole=whole)
            if found.split_view is not None:
                if every is None:
                    raise found.split_view
                output.remark("warning", str(found.split_view))
            body = {
                "folder": str(folder),
                "origin": found.origin,
                "size": found.size,
                "root": found.root.hex(),
                "new": found.new,
                "mended": list(found.mended),
            }
            new = output.count(found.new, "new entry", "new entries")
            output.show(
                body,
                f"{output.plain(str(folder))} shows {found.size:,} entries of "
                f"{output.plain(found.origin)}, {new}",
                output.fields({"root": found.root.hex(), "mended": _tell_mended(found.mended)}),
                as_json=as_json,
            )

        def passes(error: CounterfoilError) -> bool:
            """Tell what a server may do for a while from what is wrong with the command."""
            if isinstance(error, UnavailableError):
                return True
            may_pass = isinstance(error, FormatError | VerificationError)
            return bool(opened) and may_pass and not isinstance(error, SplitViewError)

        repeat(once, every, passes)


def _tell_mended(names: Sequence[str]) -> str | None:
    if not names:
        return None
    more = len(names) - _MENDED_SHOWN
    files = output.count(len(names), "file")
    return f"{files}: {', '.join(names[:_MENDED_SHOWN])}" + (f" and {more} more" * (more > 0))


def import_site(
    site: Where,
    folder: NewFolder,
    *,
    original_is_lost: OriginalIsLost = False,
    private_from: PrivateFrom = None,
    trust: TrustFile = None,
    as_json: AsJson = False,
) -> None:
    """Take a log in from its site: a copy to read, or the ledger that was lost."""
    if private_from is not None and not original_is_lost:
        raise FormatError(
            "what is private moves into the log's ledger, and a copy to read is none",
            hint="--private-from goes with --original-is-lost.",
        )
    with output.progress("verifying entries") as progress:
        if private_from is None:
            found = remote.import_site(
                site, folder, trust=trust, original_is_lost=original_is_lost, progress=progress
            )
        else:
            from counterfoil import front  # noqa: PLC0415 `--help` answers at once without it

            found = front.import_lost(site, folder, private_from, trust=trust, progress=progress)
    left = "" if private_from is not None else "private payloads, "
    use = "the log's ledger again" if found.is_ledger else "a copy to read"
    output.show(
        {
            "folder": str(folder),
            "origin": found.origin,
            "size": found.size,
            "root": found.root.hex(),
            "appendable": found.appendable,
            "next": None if found.following is None else ledgers.format_vkey(found.following),
        },
        f"{output.plain(str(folder))} is {use}: {output.count(found.size, 'entry', 'entries')} of "
        f"{output.plain(found.origin)}",
        output.fields(
            {
                "root": found.root.hex(),
                "ENDED": None if found.following is None else f"goes on as {found.following.name}",
                "not in it": f"{left}keys and anchors: a site has none",
            }
        ),
        as_json=as_json,
    )


def monitor(
    ledger: Watched = LEDGER,
    *,
    watch: Watch = None,
    every: EverySeconds = 10.0,
    once: Once = False,
    metrics: Metrics = None,
    stale_after: StaleAfter = None,
    state: State = None,
    from_now: FromNow = False,
    trust: TrustFile = None,
    as_json: AsJson = False,
) -> None:
    """Follow a log for ever: check it, judge what is new, and tell."""
    output.one_object_a_line()
    rules = () if watch is None else remote.read_rules(watch)
    watching = remote.Monitor(
        lambda: counterfoil.open(ledger, trust=trust),
        rules,
        origin=remote.origin_at(ledger),
        state=state,
        metrics=metrics,
        stale_after_s=stale_after,
        from_now=from_now,
        report=lambda event: _print_event(event, as_json=as_json),
        undelivered=lambda rule, why: output.remark(
            "warning", f'rule "{rule}": {why}; it is told again at the next look'
        ),
    )
    with contextlib.closing(watching):

        def look() -> None:
            found = watching.step()
            if found.error is not None and (once or isinstance(found.error, UnavailableError)):
                raise found.error

        repeat(look, None if once else every)


def _print_event(event: dict[str, Any], *, as_json: bool) -> None:
    """Print one event: as a line of JSON, or for people."""
    if as_json:
        output.write(remote.format_event(event) + "\n")
        return
    about = ", ".join(one["name"] for one in event.get("subjects", ()))
    place = f"entry {event['index']}" if "index" in event else f"size {event['size']}"
    said = f" {event['predicate']} about {about}" if event.get("predicate") else ""
    why = f": {event['reason']}" if event.get("reason") else ""
    kind = "" if event["kind"] == "entry" else f"{event['kind']} "
    output.write(output.plain(f"{kind}{place}{':' * bool(said)}{said}{why}") + "\n")
