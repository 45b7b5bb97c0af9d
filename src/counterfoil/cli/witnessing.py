"""The local witness shown, and witnessing for others: a witness of our own, and an exchange."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import counterfoil
from counterfoil import ledger as ledgers
from counterfoil.cli import files, output
from counterfoil.cli.options import LEDGER, AsJson, Ledger
from counterfoil.cli.run import verb
from counterfoil.cli.serve import serve_witness
from counterfoil.errors import ConflictError, FormatError, SplitViewError

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
BehindProxy = Annotated[
    bool, typer.Option("--behind-proxy", help="With --listen: only a proxy with TLS reaches it.")
]
PostQuantum = Annotated[bool, typer.Option("--post-quantum", help="Cosign with ML-DSA-44, too.")]

# What `Standing` means, in words, and what the command exits with.
_STANDINGS = {
    "fresh": ("it has cosigned nothing yet", 0),
    "same": ("it cosigned the log as it is", 0),
    "ahead": ("it has not cosigned the newest entries; the next append asks it again", 0),
    "waiting": ("it cosigned the entries that wait, too", 0),
    "older": ("this is an older copy", 0),
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


def add_to(app: typer.Typer) -> None:
    """Add the command to those of the log."""
    verb(app, "witness", "counterfoil log witness --swap theirs.json")(witness)


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
    behind_proxy: BehindProxy = False,
    ledger: Ledger = LEDGER,
    as_json: AsJson = False,
) -> None:
    """Show the local witness, and what it proves; or be a witness of other logs."""
    if offer is not None and swap is not None:
        raise FormatError("two things at once", hint="First --offer, then --swap.")
    if listen is not None:
        if offer or swap or know or following or post_quantum or url:
            raise FormatError("two things at once", hint="--listen goes with --name alone.")
        own = ledgers.OwnWitness.open(name)
        serve_witness(own, listen, behind_proxy=behind_proxy, as_json=as_json)
        return
    if behind_proxy:
        raise FormatError("nothing is served", hint="--behind-proxy goes with --listen.")
    if not (offer or swap or name or know or following or post_quantum):
        _show_local(ledger, as_json=as_json)
        return
    # A witness that is made stays, so whatever may be wrong is looked at before.
    if url or offer is not None:
        ledgers.check_witness_url(url)
    make = _maker(name, know or [], following, post_quantum=post_quantum)
    if offer is not None:
        _write_offer(offer, ledger, make, operator, url, as_json=as_json)
    elif swap is not None:
        _take_offer(swap, ledger, make, as_json=as_json)
    else:
        # A log's policy is to list it, and says who runs it; showing it takes less.
        operator = _operator_of(operator, ledger, needed=bool(know or url))
        _introduce(make(), operator, url, as_json=as_json)


def _maker(
    name: str | None, know: list[str], following: str | None, *, post_quantum: bool
) -> Callable[[], ledgers.OwnWitness]:
    """Read what a witness is to be told; give what makes it, or opens it, and tells it that."""
    known = [ledgers.parse_vkey(text) for text in know]
    successor = None if following is None else ledgers.parse_vkey(following)
    if name is None:
        name = ledgers.OwnWitness.open().name
    elif successor is not None and successor.name not in {key.name for key in known}:
        ledgers.OwnWitness.open(name)  # a new one knows no log that goes on with another key

    def make() -> ledgers.OwnWitness:
        own = ledgers.OwnWitness.make(name, post_quantum=post_quantum)
        for key in known:
            own.know(key)
        if successor is not None:
            own.know_next(successor)
        return own

    return make


def _show_local(ledger: str, *, as_json: bool) -> None:
    with counterfoil.open(ledger) as opened:
        found = ledgers.read_status(opened)
    memory = found.witness
    if memory is None:
        output.show({"witness": None}, "this ledger has no local witness here", as_json=as_json)
        return
    says, code = tell_standing(found), standing_code(memory)
    proves = _PROVES if memory.standing in _HELD else None
    checkpoint = memory.checkpoint
    output.show(
        {
            "witness": witness_body(memory),
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
                "waiting": tell_waiting(found.waiting),
                "proves": proves,
                "not proven": _PROVES_NOT,
            }
        ),
        as_json=as_json,
        exit_code=code,
    )


def _introduce(own: ledgers.OwnWitness, operator: str | None, url: str, *, as_json: bool) -> None:
    """Print a witness as trust policies are to list it, and what it has seen of the logs.

    Where nobody says who runs it, it is shown without these lines: on a machine of its own, a
    witness has no ledger beside it that would know.
    """
    listed = None if operator is None else own.listed(operator, url)
    toml = None if listed is None else ledgers.format_witness(listed)
    watched = own.watched()
    refused = [(log.origin, one) for log in watched for one in log.refused]
    following = "send these lines to whoever writes the trust policies of these logs"
    if listed is None:
        following = "give --operator, your organisation's name, for the lines that policies take"
    output.show(
        {
            "name": own.name,
            "made": own.is_new,
            "witness": None if listed is None else listed.to_json(),
            "toml": toml,
            "folder": str(own.folder),
            "logs": [log.origin for log in watched],
            "remembered": [
                {
                    "log": log.origin,
                    "size": log.cosigned.size,
                    "root": log.cosigned.root.hex(),
                    "time": log.time,
                }
                for log in watched
                if log.cosigned is not None
            ],
            "refused": [_refused_body(origin, one) for origin, one in refused],
        },
        *_tell_made(own),
        *([] if toml is None else [*map(output.plain, toml.splitlines()), ""]),
        output.fields(
            {
                "name": own.name if listed is None else None,
                "keys and memory": own.folder,
                "witnesses": "; ".join(map(_tell_watched, watched)) or "no log",
            }
        ),
        *(output.fields(_refused_fields(one)) for _, one in refused),
        f"next: {following}",
        as_json=as_json,
        exit_code=SplitViewError.exit_code if any(one.is_proof for _, one in refused) else 0,
    )


def _tell_made(own: ledgers.OwnWitness) -> list[str]:
    """Say that a witness was made: a name that was mistyped makes one, too."""
    return [f"made a new witness, {output.plain(own.name)}"] if own.is_new else []


def _tell_watched(log: ledgers.Watched) -> str:
    if log.cosigned is None:
        return f"{log.origin} (nothing cosigned yet)"
    size = output.count(log.cosigned.size, "entry", "entries")
    return f"{log.origin} ({size} cosigned, {output.utc(log.time)})"


def _refused_fields(one: ledgers.Refused) -> dict[str, object]:
    """Lay out what was refused: as what it is, and no more."""
    kept = f"{one.path}, and what was cosigned in the .cosigned beside it"
    if one.is_proof:
        title, advice = "SPLIT VIEW", "show both to whoever runs the log, and to its readers"
    else:
        title, advice = "suspicious", "ask whoever runs the log for a proof that it goes on to this"
    return {title: f"{output.utc(one.time)}: {one}", "kept": kept, "what to do": advice}


def _refused_body(origin: str, one: ledgers.Refused) -> dict[str, Any]:
    return {
        "log": origin,
        "size": one.checkpoint.size,
        "root": one.checkpoint.root.hex(),
        "cosigned": {"size": one.cosigned.size, "root": one.cosigned.root.hex()},
        "proof": one.is_proof,
        "time": one.time,
        "file": str(one.path),
    }


def _write_offer(
    path: Path,
    ledger: str,
    make: Callable[[], ledgers.OwnWitness],
    operator: str | None,
    url: str,
    *,
    as_json: bool,
) -> None:
    """Write the file that the other side takes in."""
    files.check_new(path)
    with counterfoil.open(ledger) as opened:
        opened.principal_key("log")
        operator = operator or opened.policy.show().log.operator
        own = make()
        data = ledgers.make_offer(opened, own, operator, url)
    files.write_file(path, data)
    digest = ledgers.offer_digest(data)
    output.show(
        {
            "file": str(path),
            "digest": digest,
            "log": opened.origin,
            "witness": own.name,
            "made": own.is_new,
        },
        *_tell_made(own),
        f"wrote {output.plain(str(path))}: our log {output.plain(opened.origin)}, and our witness "
        f"{output.plain(own.name)} for theirs",
        output.fields({"digest": digest}),
        "next: hand it over, have them read the digest back to you, and take theirs with "
        "`counterfoil log witness --swap FILE`",
        as_json=as_json,
    )


def _take_offer(
    path: Path, ledger: str, make: Callable[[], ledgers.OwnWitness], *, as_json: bool
) -> None:
    """Witness the other's log, and print their witness for our trust policy."""
    data = files.read_file(path)
    offer = ledgers.parse_offer(data)
    with counterfoil.open(ledger) as opened:
        ledgers.check_theirs(offer, opened.key)
        own = make()
        theirs = ledgers.take_offer(offer, own, opened.key)
    toml = ledgers.format_witness(theirs)
    digest = ledgers.offer_digest(data)
    output.show(
        {
            "witness": theirs.to_json(),
            "toml": toml,
            "digest": digest,
            "log": offer.log.name,
            "made": own.is_new,
        },
        *_tell_made(own),
        *map(output.plain, toml.splitlines()),
        "",
        output.fields(
            {
                "digest": f"{digest}: compare it with theirs, by another way than the file came",
                "their log": f"{offer.log.name}, which {own.name} witnesses from now on",
            }
        ),
        "next: add these lines to your trust policy, and `counterfoil policy adopt` it",
        as_json=as_json,
    )


def _operator_of(given: str | None, ledger: str, *, needed: bool) -> str | None:
    """Give who runs the witness: as said, or who runs the ledger by its adopted policy.

    Where there is no such ledger, None, or an error if it is needed.
    """
    if given is not None:
        return given
    try:
        with counterfoil.open(ledger) as opened:
            return opened.policy.show().log.operator
    except FormatError as error:
        if not needed:
            return None
        raise FormatError(
            "who runs this witness?", hint="Give --operator, the name of your organisation."
        ) from error


def tell_waiting(count: int) -> str | None:
    """Say that entries wait; None where none do."""
    if not count:
        return None
    return (
        f"{output.count(count, 'entry', 'entries')} more, durable and not published: just now "
        "under way, or too few witnesses have cosigned; ask again: counterfoil log cosign"
    )


def tell_standing(found: ledgers.Status) -> str:
    """Say what the witness's memory means; a place that the log has left is behind by right."""
    assert found.witness is not None  # noqa: S101 asked for where there is one
    if found.moved and found.witness.standing.value == "behind":
        return f"the log went on where it was moved to, {found.moved}"
    checkpoint = found.witness.checkpoint
    if found.witness.standing.value == "older" and checkpoint is not None:
        return (
            f"this is an older copy, as of {found.size:,} entries; this machine knows "
            f"{checkpoint.size:,}"
        )
    if found.witness.standing.value == "ahead" and found.writers.value == "any":
        return "others have published since; the next process to lead on this machine asks it"
    return _STANDINGS[found.witness.standing][0]


def standing_code(memory: ledgers.Memory) -> int:
    """Give what a command exits with that shows the witness's memory; 0 where all is well."""
    return _STANDINGS[memory.standing][1]


def witness_body(memory: ledgers.Memory | None) -> dict[str, Any] | None:
    """Give what the local witness remembers, for programs."""
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
