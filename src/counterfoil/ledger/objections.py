"""What witnesses of others object to in a log: kept outside its folder until they cosign again.

A set-back folder bears the lines that it had before, and a fork has those of where it began. So
what a witness said when it was asked last is remembered beside what its lines say, for `status`.
It is the witness's word, and no proof.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.core.merkle import Hash
from counterfoil.core.text import parse_hex
from counterfoil.errors import FormatError
from counterfoil.ledger.disk import Disk, read_file, reported
from counterfoil.ledger.keyfiles import make_private
from counterfoil.ledger.places import Places

_FORMAT = "counterfoil objections v1"
_MAX_BYTES = 256 << 10  # a sentence by each witness of a policy


@dataclass(frozen=True, slots=True)
class Objection:
    """A witness's last word on a checkpoint that it refused.

    Args:
        witness: As the policy names it.
        size: Entries of that checkpoint.
        root: Its root.
        seen: How many entries it says that it has cosigned; None where it says that its history is
            another one.
        time: When it was asked, Unix seconds.
        says: What that means, as whoever asked was told.
    """

    witness: str
    size: int
    root: Hash
    seen: int | None
    time: int
    says: str


def note_objections(
    places: Places, objections: Iterable[Objection], cosigned: Iterable[str]
) -> None:
    """Remember what witnesses object to, and forget it of those who have cosigned.

    What cannot be kept is told all the same, by whoever asked.
    """
    path = places.objections
    new = {one.witness: one for one in objections}
    gone = set(cosigned)
    if not new and not (gone and path.exists()):
        return
    with contextlib.suppress(OSError):
        try:
            before = _read(path)
        except FormatError:
            before = {}
        after = {name: one for name, one in {**before, **new}.items() if name not in gone}
        if after != before:
            make_private(path.parent)
            Disk().replace(path.parent, path.name, format_json(_to_json(after)), 0o600)


def read_objections(places: Places) -> tuple[Objection, ...]:
    """Read what is remembered; it may be about another copy of the folder.

    Raises:
        FormatError: the file is damaged.
        UnavailableError: the disk refuses.
    """
    with reported(f"cannot read {places.objections}"):
        return tuple(_read(places.objections).values())


def _read(path: Path) -> dict[str, Objection]:
    if not path.exists():
        return {}
    value = parse_canonical(read_file(path, _MAX_BYTES), what=str(path), max_bytes=_MAX_BYTES)
    match value:
        case {"format": "counterfoil objections v1", "witnesses": dict(witnesses)}:
            return {name: _objection(name, one, path) for name, one in witnesses.items()}
    raise _damaged(path)


def _objection(name: str, value: JsonValue, path: Path) -> Objection:
    match value:
        case {
            "size": int(size),
            "root": str(root),
            "seen": int() | None as seen,
            "time": int(time),
            "says": str(says),
        }:
            return Objection(name, size, Hash(parse_hex(root, "root", size=32)), seen, time, says)
    raise _damaged(path)


def _damaged(path: Path) -> FormatError:
    return FormatError(
        f"{path} is not of the format {_FORMAT!r}",
        hint="Remove it, and ask the witnesses again: counterfoil log cosign.",
    )


def _to_json(objections: Mapping[str, Objection]) -> JsonValue:
    return {
        "format": _FORMAT,
        "witnesses": {
            name: {
                "size": one.size,
                "root": one.root.hex(),
                "seen": one.seen,
                "time": one.time,
                "says": one.says,
            }
            for name, one in objections.items()
        },
    }
