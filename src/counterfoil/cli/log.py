"""The log: how it stands, audited, exported for a web server, moved, and its witness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import counterfoil
from counterfoil import evidence as evidences
from counterfoil import ledger as ledgers
from counterfoil.cli import copies, output
from counterfoil.cli.auditing import add_to as add_audit
from counterfoil.cli.finding import add_to as add_find
from counterfoil.cli.options import LEDGER, AsJson, Ledger
from counterfoil.cli.rotating import add_to as add_rotate
from counterfoil.cli.run import noun, verb
from counterfoil.cli.serve import serve_witness
from counterfoil.cli.sharding import add_to as add_shard
from counterfoil.cli.stamping import add_to as add_stamp
from counterfoil.cli.witnessing import introduce, operator_of, take_offer, write_offer
from counterfoil.errors import (
    ConflictError,
    FormatError,
    SplitViewError,
    UnavailableError,
    VerificationError,
)

app = noun("The log: its state, audit, export and witness, and copies of it.")

Place = Annotated[str, typer.Argument(metavar="FROM", help="The ledger's folder or URL now.")]
NewPlace = Annotated[str, typer.Argument(metavar="TO", help="Its folder or URL from now on.")]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the site's files go.")]
Prune = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="Take partial tiles away that a full one replaced, and that are older than that.",
    ),
]
Know = Annotated[
    list[str] | None,
    typer.Option(metavar="VKEY", help="Witness the log with this key; repeat it for more."),
]
Following = Annotated[
    str | None,
    typer.Option(
        "--next", metavar="VKEY", help="Be told the key that a log goes on with, by its operator."
    ),
]
OfferFile = Annotated[
    Path | None,
    typer.Option(
        "--offer", metavar="FILE", help="Write what another organisation needs to witness us."
    ),
]
SwapFile = Annotated[
    Path | None,
    typer.Option(
        "--swap", metavar="FILE", help="Take the other's offer: witness their log, be told theirs."
    ),
]
WitnessName = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="Our witness, made if missing. [default: the only one]"
    ),
]
Operator = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The organisation that runs it. [default: the ledger's]"),
]
Url = Annotated[
    str, typer.Option("--url", metavar="URL", help="Where others reach it: https://host/path.")
]
Listen = Annotated[
    str | None,
    typer.Option("--listen", metavar="HOST:PORT", help="Serve our witness there, until stopped."),
]
PostQuantum = Annotated[bool, typer.Option("--post-quantum", help="Cosign with ML-DSA-44, too.")]

# What `Standing` means, in words, and what the command exits with.
_STANDINGS = {
    "fresh": ("it has cosigned nothing yet", 0),
    "same": ("it cosigned the log as it is", 0),
    "ahead": ("it has not cosigned the newest entries; the next append asks it again", 0),
    "waiting": ("it cosigned the entries that wait, too", 0),
    "behind": (
        "what lies here is BEHIND what it cosigned: a restored snapshot, or a copy",
        ConflictError.exit_code,
    ),
    "contradicts": (
        "what lies here has ANOTHER HISTORY than it cosigned: entries were rewritten",
        SplitViewError.exit_code,
    ),
}
_PROVES = (
    "No entry that it cosigned was set back, rewritten, or continued in two copies by anyone who "
    "can write only in the ledger's folder."
)
_HELD = {"same", "ahead", "waiting"}  # elsewhere it proves nothing, or the contrary
_PROVES_NOT = (
    "Anything against whoever controls this user's account, and so the witness too. Verdicts "
    "grade what it signs as self-witnessed; ask a witness outside your organisation for more."
)


@verb(app, "status", "counterfoil log status")
def status(*, ledger: Ledger = LEDGER, as_json: AsJson = False) -> None:
    """Show how the log stands."""
    with counterfoil.open(ledger) as opened:
        found = ledgers.read_status(opened)
        grades, lacking = _grade(opened, found)
        unadopted = _unadopted(opened, found)
    witness, policy = found.witness, found.policy
    remembered = witness.checkpoint.size if witness and witness.checkpoint else None
    output.show(
        {
            "origin": found.origin,
            "key": found.key,
            "size": found.size,
            "waiting": found.waiting,
            "root": found.root.hex(),
            "grade": grades[-1],
            "grades": list(grades),
            "lacking": lacking,
            "cosigned": list(found.cosigned),
            "silent": list(found.silent),
            "witness": _witness_body(witness),
            "next": None if found.following is None else ledgers.format_vkey(found.following),
            "stamps": [asdict(one) for one in found.stamps],
            "writer": found.writer,
            "shared": found.is_shared,
            "writers": found.writers.value,
            "moved": found.moved or None,
            "split_view": None if found.split_view is None else str(found.split_view),
            "policy": None
            if policy is None
            else {
                "digest": policy.digest.hex(),
                "version": policy.version,
                "expires": policy.expires,
                "modes": {stage.name: stage.mode.value for stage in policy.stages},
            },
            "unadopted": unadopted,
        },
        output.fields(
            {
                "origin": found.origin,
                "size": output.count(found.size, "entry", "entries"),
                "waiting": _waiting_line(found.waiting),
                "root": found.root.hex(),
                "SPLIT VIEW": None
                if found.split_view is None
                else f"{found.split_view}. {found.split_view.hint}",
                "MOVED": f"to {found.moved}; append there, here it can be read only. If there is "
                "no ledger there yet, the move was broken off: repeat it"
                if found.moved
                else None,
                "ENDED": None if found.following is None else f"goes on as {found.following.name}",
                "grade": _grade_line(grades, lacking),
                "cosigned by": ", ".join(found.cosigned) or None,
                "not by": f"{', '.join(found.silent)}; ask again: counterfoil log cosign"
                if found.silent
                else None,
                "witness": "none"
                if witness is None
                else f"remembers {remembered or 0:,}: {_standing(found)}",
                "stamps": "; ".join(
                    f"{one.size:,} entries by {output.utc(one.time)}, says {one.authority}"
                    for one in found.stamps
                )
                or None,
                "writer": _writer_line(found),
                "policy": "none adopted" if policy is None else policy.digest.hex(),
                "gates": None
                if policy is None
                else ", ".join(f"{stage.name}: {stage.mode.value}" for stage in policy.stages),
                "NOT ADOPTED": None if unadopted is None else _unadopted_line(unadopted),
            }
        ),
        as_json=as_json,
    )


@verb(app, "cosign", "counterfoil log cosign")
def cosign(*, ledger: Ledger = LEDGER, as_json: AsJson = False) -> None:
    """Ask the witnesses that have not cosigned the newest checkpoint."""
    with counterfoil.open(ledger) as opened:
        reasons = opened.ask_witnesses()
        found = ledgers.read_status(opened)
        grades, lacking = _grade(opened, found)
        unadopted = _unadopted(opened, found)
    # Who has no address was not asked, and is no news.
    silent = {name: reasons[name] for name in found.silent if name in reasons}
    output.show(
        {
            "size": found.size,
            "root": found.root.hex(),
            "grade": grades[-1],
            "grades": list(grades),
            "lacking": lacking,
            "cosigned": list(found.cosigned),
            "silent": silent,
            "unadopted": unadopted,
        },
        f"{output.count(found.size, 'entry', 'entries')} cosigned by "
        + (", ".join(map(output.plain, found.cosigned)) or "nobody"),
        output.fields(
            {
                "grade": _grade_line(grades, lacking),
                "NOT ADOPTED": None if unadopted is None else _unadopted_line(unadopted),
            }
        ),
        *(f"  silent: {output.plain(name)}: {output.plain(why)}" for name, why in silent.items()),
        as_json=as_json,
        exit_code=UnavailableError.exit_code if silent else 0,
    )


add_audit(app)
add_find(app)


@verb(app, "export", "counterfoil log export ./site")
def export(
    folder: Folder, *, prune: Prune = None, ledger: Ledger = LEDGER, as_json: AsJson = False
) -> None:
    """Write the log as static files for any web server (tlog-tiles)."""
    with counterfoil.open(ledger) as opened:
        with output.progress("writing entries") as progress:
            site = ledgers.export_site(opened, folder, progress)
        pruned = None if prune is None else ledgers.prune_site(opened, folder, prune)
    output.show(
        {
            "folder": str(site.folder),
            "size": site.size,
            "root": site.root.hex(),
            "files": site.files,
            "pruned": pruned,
        },
        f"wrote {output.count(site.size, 'entry', 'entries')} to {output.plain(str(folder))}",
        output.fields(
            {
                "files": f"{site.files:,}",
                "pruned": None if pruned is None else output.count(pruned, "partial tile"),
                "root": site.root.hex(),
            }
        ),
        as_json=as_json,
    )


@verb(app, "move", "counterfoil log move ./ledger 'postgresql://host/db?tiles=s3://bucket/log'")
def move(source: Place, target: NewPlace, *, as_json: AsJson = False) -> None:
    """Move the log to PostgreSQL and an object store, or back to a folder.

    Every receipt stays valid. Nobody can append at the old place afterwards. Broken off, the same
    command goes on.
    """
    from counterfoil import front  # noqa: PLC0415 `--help` answers at once without it

    with output.progress("copying and hashing entries") as progress:
        moved = front.move_log(source, target, progress)
    output.show(
        {
            "origin": moved.origin,
            "size": moved.size,
            "root": moved.root.hex(),
            "left": moved.left,
            "ledger": moved.place,
        },
        f"moved {output.count(moved.size, 'entry', 'entries')} to {output.plain(moved.place)}",
        output.fields({"root": moved.root.hex(), "left": moved.left}),
        "next: name the new place with --ledger, or in COUNTERFOIL_LEDGER",
        as_json=as_json,
    )


add_stamp(app)
add_rotate(app)
add_shard(app)


@verb(app, "witness", "counterfoil log witness --swap theirs.json")
def witness(
    *,
    know: Know = None,
    following: Following = None,
    offer: OfferFile = None,
    swap: SwapFile = None,
    name: WitnessName = None,
    operator: Operator = None,
    url: Url = "",
    post_quantum: PostQuantum = False,
    listen: Listen = None,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Show the local witness, and what it proves; or be a witness of other logs."""
    if offer is not None and swap is not None:
        raise FormatError("two things at once", hint="First --offer, then --swap.")
    if listen is not None:
        if offer or swap or know or following or post_quantum or url:
            raise FormatError("two things at once", hint="--listen goes with --name alone.")
        serve_witness(ledgers.OwnWitness.open(name), listen, as_json=as_json)
        return
    if not (offer or swap or name or know or following or post_quantum):
        _show_local(ledger, as_json=as_json)
        return
    if offer is None and swap is None:
        # A log's policy is to list it, and says who runs it; showing it takes less.
        operator = operator_of(operator, ledger, needed=bool(know or url))
    own = ledgers.OwnWitness.make(name or ledgers.OwnWitness.open().name, post_quantum=post_quantum)
    if following is not None:
        own.know_next(ledgers.parse_vkey(following))
    if offer is None and swap is None:
        introduce(own, operator, url, know or [], as_json=as_json)
        return
    with counterfoil.open(ledger) as opened:
        if offer is not None:
            by = operator or opened.policy.show().log.operator
            write_offer(offer, opened, own, by, url, as_json=as_json)
        elif swap is not None:
            take_offer(swap, opened, own, as_json=as_json)


def _show_local(ledger: str, *, as_json: bool) -> None:
    with counterfoil.open(ledger) as opened:
        found = ledgers.read_status(opened)
    memory = found.witness
    if memory is None:
        output.show({"witness": None}, "this ledger has no local witness here", as_json=as_json)
        return
    says, code = _standing(found), _STANDINGS[memory.standing][1]
    proves = _PROVES if memory.standing in _HELD else None
    checkpoint = memory.checkpoint
    output.show(
        {
            "witness": _witness_body(memory),
            "waiting": found.waiting,
            "checkpoint": memory.note.decode(),
            "proves": proves,
            "does_not_prove": _PROVES_NOT,
        },
        output.fields(
            {
                "key": memory.key,
                "memory": memory.folder,
                "cosigned": "nothing yet"
                if checkpoint is None
                else output.count(checkpoint.size, "entry", "entries"),
                "root": None if checkpoint is None else checkpoint.root.hex(),
                "standing": says,
                "waiting": _waiting_line(found.waiting),
                "proves": proves,
                "not proven": _PROVES_NOT,
            }
        ),
        as_json=as_json,
        exit_code=code,
    )


def _grade(opened: counterfoil.Ledger, found: ledgers.Status) -> tuple[tuple[str, ...], str]:
    """Grade a log as `verify` does; or by its cosignatures, with the reason why it is not more."""
    try:
        return evidences.grade_log(opened, found.policy, opened.clock()), ""
    except VerificationError as error:
        return (found.grade,), str(error)


def _unadopted(opened: counterfoil.Ledger, found: ledgers.Status) -> dict[str, Any] | None:
    """Find a policy that follows the adopted one in our own log; who reads one brings a policy."""
    own = found.writers.value in {"one", "any"}
    try:
        later = opened.policy.unadopted(shared=True) if own and found.policy is not None else None
    except VerificationError as error:  # the log is damaged, and how it stands is said all the same
        return {"error": str(error)}
    if later is None:
        return None
    entry, policy = later
    return {"version": policy.version, "entry": entry, "digest": policy.digest.hex()}


def _unadopted_line(later: dict[str, Any]) -> str:
    if "error" in later:
        return f"not known: {later['error']}"
    return (
        f"version {later['version']} of the policy (entry {later['entry']}) is not in force here; "
        "adopt its file: counterfoil policy adopt FILE"
    )


def _grade_line(grades: Sequence[str], lacking: str) -> str:
    return "; ".join(filter(None, (", ".join(grades), lacking)))


def _waiting_line(count: int) -> str | None:
    if not count:
        return None
    return (
        f"{output.count(count, 'entry', 'entries')} more, durable and not published: too few "
        "witnesses have cosigned; ask again: counterfoil log cosign"
    )


def _writer_line(found: ledgers.Status) -> str:
    match found.writers.value:
        case "nobody":
            if found.following is not None:
                return "nobody: it has ended"
            return "nobody: it was moved" if found.moved else "nobody: a copy"
        case "server":
            return "whom its server lets, through it"
        case "any":
            return "any number of processes may"
    return "nobody now" if found.writer is None else f"process {found.writer}"


def _standing(found: ledgers.Status) -> str:
    """Say what the witness's memory means; a place that the log has left is behind by right."""
    assert found.witness is not None  # noqa: S101 asked for where there is one
    if found.moved and found.witness.standing.value == "behind":
        return f"the log went on where it was moved to, {found.moved}"
    return _STANDINGS[found.witness.standing][0]


def _witness_body(memory: ledgers.Memory | None) -> dict[str, Any] | None:
    if memory is None:
        return None
    checkpoint = memory.checkpoint
    return {
        "key": memory.key,
        "folder": str(memory.folder),
        "size": 0 if checkpoint is None else checkpoint.size,
        "root": None if checkpoint is None else checkpoint.root.hex(),
        "standing": memory.standing.value,
    }


copies.add_to(app)
