"""Time-stamps kept with the ledger: one file for each, so that evidence made later can carry them.

    <ledger>/stamps/<authority>/<size>-<digest>.stamp.json

Named by the size of the checkpoint that was stamped and SHA-256 of the authority's answer. They
hold nothing secret and vouch for nothing by themselves; whoever verifies checks them. `time` and
`until` are there so that evidence can be put together without a library for certificates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.core.instant import format_instant, parse_instant
from counterfoil.core.text import format_base64, parse_base64
from counterfoil.errors import FormatError
from counterfoil.ledger.disk import read_file, reported
from counterfoil.ledger.log import Log
from counterfoil.ledger.timestamps import Timestamp

MAX_STAMP_FILE_BYTES = 2 << 20
"""Largest file of a time-stamp that is read: more than the longest note and the longest answer."""

_FORMAT = "counterfoil stamp v1"
_NAME = re.compile(r"([1-9][0-9]{0,15})-([0-9a-f]{64})\.stamp\.json")


@dataclass(frozen=True, slots=True)
class Place:
    """Which time-stamp of an authority.

    Args:
        size: Entries under the checkpoint that was stamped.
        digest: SHA-256 of the authority's answer, hex.
    """

    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time-stamp, as kept.

    Args:
        note: The checkpoint that was stamped, byte for byte.
        response: The authority's answer.
        stamped: What it said when it was taken.
    """

    note: bytes
    response: bytes
    stamped: Timestamp

    @property
    def digest(self) -> str:
        """SHA-256 of the answer, hex."""
        return sha256(self.response).hexdigest()


def keep_stamp(log: Log, authority: str, size: int, stamp: Stamp) -> Place:
    """Keep a time-stamp with the ledger, durably.

    Raises:
        UnavailableError: the disk refuses.
    """
    place = Place(size, stamp.digest)
    path = _path(log, authority, place)
    body: JsonValue = {
        "authority": authority,
        "format": _FORMAT,
        "note": stamp.note.decode(),
        "response": format_base64(stamp.response),
        "time": format_instant(stamp.stamped.time),
        "until": format_instant(stamp.stamped.until),
    }
    with reported(f"cannot keep the time-stamp {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        log.disk.replace(path.parent, path.name, format_json(body))
    return place


def kept_stamps(log: Log, authority: str) -> list[Place]:
    """List the time-stamps of an authority, by size; none beyond the log's own."""
    folder = log.folder / "stamps" / authority
    with reported(f"cannot list the time-stamps in {folder}"):
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    found = [Place(int(one[1]), one[2]) for one in map(_NAME.fullmatch, names) if one]
    return sorted((one for one in found if one.size <= log.size), key=lambda one: one.size)


def read_stamp(log: Log, authority: str, place: Place) -> Stamp:
    """Read a time-stamp; only that it is the one it is named after is checked here.

    Raises:
        FormatError: it is not.
        UnavailableError: it is not there, or cannot be read.
    """
    path = _path(log, authority, place)
    data = read_file(path, MAX_STAMP_FILE_BYTES)
    match parse_canonical(data, what=str(path), max_bytes=MAX_STAMP_FILE_BYTES):
        case {
            "authority": str(),
            "format": "counterfoil stamp v1",
            "note": str(note),
            "response": str(response),
            "time": str(time),
            "until": str(until),
        }:
            times = Timestamp(parse_instant(time, "time"), parse_instant(until, "until"))
            stamp = Stamp(note.encode(), parse_base64(response, "time-stamp"), times)
            if stamp.digest == place.digest:
                return stamp
    raise FormatError(
        f"{path} is not the time-stamp it is named after",
        hint="It was damaged or edited; restore it from a backup, or take it away.",
    )


def _path(log: Log, authority: str, place: Place) -> Path:
    return log.folder / "stamps" / authority / f"{place.size}-{place.digest}.stamp.json"
