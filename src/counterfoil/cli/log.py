"""The log: how it stands, audited, exported for a web server, moved, and its witness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import counterfoil
from counterfoil import evidence as evidences
from counterfoil import ledger as ledgers
from counterfoil.cli import copies, output, views
from counterfoil.cli.auditing import add_to as add_audit
from counterfoil.cli.finding import add_to as add_find
from counterfoil.cli.options import LEDGER, AsJson, Ledger
from counterfoil.cli.rotating import add_to as add_rotate
from counterfoil.cli.run import noun, verb
from counterfoil.cli.sharding import add_to as add_shard
from counterfoil.cli.stamping import add_to as add_stamp
from counterfoil.cli.witnessing import add_to as add_witness
from counterfoil.cli.witnessing import (
    standing_code,
    tell_standing,
    tell_waiting,
    witness_body,
)
from counterfoil.errors import (
    ConflictError,
    SplitViewError,
    UnavailableError,
    VerificationError,
)

if TYPE_CHECKING:
    from counterfoil.decisions import Lost

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

_TRIES = 5  # to find a busy log between two commits


@verb(app, "status", "counterfoil log status")
def status(*, ledger: Ledger = LEDGER, as_json: AsJson = False) -> None:
    """Show how the log stands."""
    with counterfoil.open(ledger) as opened:
        found = _settled(opened)
        grades, lacking = _grade(opened, found)
        unadopted = _unadopted(opened, found)
        lost, elsewhere, unknown = _lost(opened, found)
    witness, policy = found.witness, found.policy
    refusing = {one.witness for one in found.objections}
    silent = [name for name in found.silent if name not in refusing]
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
            "objections": [_objection_body(one) for one in found.objections],
            "witness": witness_body(witness),
            "next": None if found.following is None else ledgers.format_vkey(found.following),
            "stamps": [asdict(one) for one in found.stamps],
            "writer": found.writer,
            "shared": found.is_shared,
            "writers": found.writers.value,
            "moved": found.moved or None,
            "set_back_from": found.set_back_from,
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
            "lost": views.lost(lost),
            "elsewhere": elsewhere,
        },
        output.fields(
            {
                "origin": found.origin,
                "size": output.count(found.size, "entry", "entries"),
                "waiting": tell_waiting(found.waiting),
                "SET BACK": None
                if found.set_back_from is None
                else f"{found.set_back_from:,} entries were shown already; do not append here",
                "root": found.root.hex(),
                "SPLIT VIEW": None
                if found.split_view is None
                else f"{found.split_view}. {found.split_view.hint}",
                "MOVED": f"to {found.moved}; append there, here it can be read only. If there is "
                "no ledger there yet, the move was broken off: repeat it"
                if found.moved
                else None,
                "LOST": "; ".join(
                    [*(views.lost_line(one) for one in lost if not one.locked), *unknown]
                )
                or None,
                "no key": "; ".join(views.lost_line(one) for one in lost if one.locked) or None,
                "not here": f"the records of {', '.join(elsewhere)}" if elsewhere else None,
                "ENDED": None if found.following is None else f"goes on as {found.following.name}",
                "grade": _grade_line(grades, lacking),
                "cosigned by": ", ".join(found.cosigned) or None,
                "not by": f"{', '.join(silent)}; ask again: counterfoil log cosign"
                if silent
                else None,
                "REFUSED": "; ".join(
                    f"by {one.witness}, {output.utc(one.time)}: {one.says}"
                    for one in found.objections
                )
                or None,
                "witness": "none"
                if witness is None
                else f"remembers {remembered or 0:,}: {tell_standing(found)}",
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
        exit_code=_status_code(found) or _lost_code(opened, lost, unknown),
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
        # Readers of the site who have seen more would take it for a set-back, or a fork.
        views.check_history(opened)
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


add_witness(app)


def _grade(opened: counterfoil.Ledger, found: ledgers.Status) -> tuple[tuple[str, ...], str]:
    """Grade a log as `verify` does; or by its cosignatures, with the reason why it is not more."""
    try:
        return evidences.grade_log(opened, found.policy, opened.clock()), ""
    except VerificationError as error:
        return (found.grade,), str(error)


def _settled(opened: counterfoil.Ledger) -> ledgers.Status:
    """Read how a log stands; whose writer is about to publish is not behind its witness."""
    found = ledgers.read_status(opened)
    for _ in range(_TRIES):
        witness = found.witness
        if witness is None or found.moved or witness.standing.value != "behind":
            break
        try:
            ledgers.check_memory(opened, goes_on=True)  # waits a little, and reads the log anew
        except VerificationError:
            break
        found = ledgers.read_status(opened)
    return found


def _status_code(found: ledgers.Status) -> int:
    """Give what `log status` exits with: for what is proven first, then for what others say."""
    here = 0 if found.witness is None else standing_code(found.witness)
    if found.split_view is not None or here == SplitViewError.exit_code:
        return SplitViewError.exit_code
    if any(one.seen is None for one in found.objections):
        return VerificationError.exit_code
    if found.objections or found.set_back_from is not None:
        return ConflictError.exit_code
    return 0 if found.moved else here  # what the log has left is behind by right


def _lost_code(opened: counterfoil.Ledger, lost: Sequence[Lost], unknown: Sequence[str]) -> int:
    """Give what `log status` exits with for streams that are lost, or whose key is not here."""
    if unknown or not all(one.locked for one in lost):
        return VerificationError.exit_code
    # A copy on a machine that never had keys of it is read without them, and nothing is wrong.
    has_keys = bool(lost) and opened.places.vault_keys.exists()
    return UnavailableError.exit_code if has_keys else 0


def _objection_body(one: ledgers.Objection) -> dict[str, Any]:
    return {
        "witness": one.witness,
        "size": one.size,
        "root": one.root.hex(),
        "seen": one.seen,
        "time": one.time,
        "says": one.says,
    }


def _lost(
    opened: counterfoil.Ledger, found: ledgers.Status
) -> tuple[Sequence[Lost], list[str], list[str]]:
    """Find streams that are lost, or do not open, and systems whose records never were here.

    Or, third, why that is not known, in a damaged one.
    """
    try:
        lost = opened.people.lost()
        # Behind a server others' records are with others, and the log would be read for it.
        away = opened.people.elsewhere() if found.is_own else []
    except VerificationError as error:
        return (), [], [f"not known: {error}"]
    return lost, [one for one in away if one not in {each.system for each in lost}], []


def _unadopted(opened: counterfoil.Ledger, found: ledgers.Status) -> dict[str, Any] | None:
    """Find a policy that follows the adopted one in our own log; who reads one brings a policy."""
    judged = found.is_own and found.policy is not None
    try:
        later = opened.policy.unadopted(shared=True) if judged else None
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


copies.add_to(app)
