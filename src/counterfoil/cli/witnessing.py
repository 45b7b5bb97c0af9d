"""Witnessing for others: a witness of our own, and an exchange with another organisation."""

from __future__ import annotations

from pathlib import Path

import counterfoil
from counterfoil import ledger as ledgers
from counterfoil.cli import files, output
from counterfoil.errors import FormatError


def introduce(
    own: ledgers.OwnWitness, operator: str | None, url: str, know: list[str], *, as_json: bool
) -> None:
    """Have the witness know logs, and print it as their trust policies are to list it.

    Where nobody says who runs it, it is shown without these lines: on a machine of its own, a
    witness has no ledger beside it that would know.
    """
    for text in know:
        own.know(ledgers.parse_vkey(text))
    listed = None if operator is None else own.listed(operator, url)
    toml = None if listed is None else ledgers.format_witness(listed)
    known = [key.name for key in own.known()]
    following = "send these lines to whoever writes the trust policies of these logs"
    if listed is None:
        following = "give --operator, your organisation's name, for the lines that policies take"
    output.show(
        {
            "name": own.name,
            "witness": None if listed is None else listed.to_json(),
            "toml": toml,
            "folder": str(own.folder),
            "logs": known,
        },
        *([] if toml is None else [*map(output.plain, toml.splitlines()), ""]),
        output.fields(
            {
                "name": own.name if listed is None else None,
                "keys and memory": own.folder,
                "witnesses": ", ".join(known) or "no log",
            }
        ),
        f"next: {following}",
        as_json=as_json,
    )


def write_offer(
    path: Path,
    opened: counterfoil.Ledger,
    own: ledgers.OwnWitness,
    operator: str,
    url: str,
    *,
    as_json: bool,
) -> None:
    """Write the file that the other side takes in."""
    files.check_new(path)
    data = ledgers.make_offer(opened, own, operator, url)
    files.write_file(path, data)
    digest = ledgers.offer_digest(data)
    output.show(
        {"file": str(path), "digest": digest, "log": opened.origin, "witness": own.name},
        f"wrote {output.plain(str(path))}: our log {output.plain(opened.origin)}, and our witness "
        f"{output.plain(own.name)} for theirs",
        output.fields({"digest": digest}),
        "next: hand it over, have them read the digest back to you, and take theirs with "
        "`counterfoil log witness --swap FILE`",
        as_json=as_json,
    )


def take_offer(
    path: Path, opened: counterfoil.Ledger, own: ledgers.OwnWitness, *, as_json: bool
) -> None:
    """Witness the other's log, and print their witness for our trust policy."""
    data = files.read_file(path)
    offer = ledgers.parse_offer(data)
    theirs = ledgers.take_offer(offer, own, opened.key)
    toml = ledgers.format_witness(theirs)
    digest = ledgers.offer_digest(data)
    output.show(
        {"witness": theirs.to_json(), "toml": toml, "digest": digest, "log": offer.log.name},
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


def operator_of(given: str | None, ledger: str, *, needed: bool) -> str | None:
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
