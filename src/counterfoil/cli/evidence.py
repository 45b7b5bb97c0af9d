"""Evidence files: everything one decision rests on, in a file that stands by itself."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

import counterfoil
from counterfoil import ledger as ledgers
from counterfoil.cli import files, output, views
from counterfoil.cli.options import LEDGER, AsJson, Index, Ledger, System
from counterfoil.cli.run import noun, verb

app = noun("Evidence: one decision and its proof, in one file.")

Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="`.html` for the letter, `.json` for the proof alone. [default: INDEX.html]",
    ),
]
Withhold = Annotated[
    list[str] | None,
    typer.Option(metavar="FIELD", help="A field not to disclose, such as inputs; may be repeated."),
]

Earlier = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="PATH",
        help="An earlier shard, for what was said there of the model; repeat it, oldest first.",
    ),
]
Later = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="PATH",
        help="The ledger that goes on, by whose policy it is to hold; repeat it, oldest first.",
    ),
]


@verb(app, "make", "counterfoil evidence make credit 17 --out 17.html")
def make(
    system: System,
    index: Index,
    *,
    out: Out = None,
    withhold: Withhold = None,
    earlier: Earlier = None,
    later: Later = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Write the letter about a decision, with its proof inside."""
    path = Path(f"{index}.html") if out is None else out
    files.check_new(path)
    with ExitStack() as stack:
        opened = stack.enter_context(counterfoil.open(ledger))
        before, since = (
            [stack.enter_context(counterfoil.open(one)) for one in places or ()]
            for places in (earlier, later)
        )
        # Reviews and revocations since would be missing, and nothing in the letter says so.
        for one in (*before, opened, *since):
            views.check_history(one)
        decision = opened.decisions.show(system, index)
        for lost in opened.people.lost():
            if lost.system == decision.system:
                output.remark("warning", f"{views.lost_line(lost)}. A review may be among them")
        evidence = opened.evidence.make(
            decision, withhold=tuple(withhold or ()), earlier=before, later=since
        )
        overrides = opened.decisions.overrides(decision)
        logs = [one.origin for one in (*before, opened, *since)]
        silent = ledgers.read_status(since[-1] if since else opened).silent
    evidence.save(path)
    said: Any = evidence.body["statements"]
    withheld = [name for name in decision.values if name not in evidence.facts]
    output.show(
        {
            "file": str(path),
            "bytes": path.stat().st_size,
            "system": decision.system,
            "index": decision.index,
            "statements": len(said),
            "logs": logs,
            "disclosed": list(evidence.facts),
            "withheld": withheld,
            "silent": list(silent),
            "overrides": list(overrides),
        },
        f"wrote {output.plain(str(path))}: decision {index} of {output.plain(decision.system)}",
        output.fields(
            {
                "rests on": output.count(len(said), "statement"),
                "withheld": ", ".join(withheld) or None,
                "shards": ", ".join(logs) if len(logs) > 1 else None,
                "OVERRIDDEN": views.overridden(overrides),
                "not cosigned": f"by {', '.join(silent)}; to have it so: counterfoil log cosign, "
                "then make it again"
                if silent
                else None,
                "note": "hand out trust.toml another way; evidence does not certify itself",
            }
        ),
        f"next: counterfoil verify {output.quoted(str(path))}",
        as_json=as_json,
    )
