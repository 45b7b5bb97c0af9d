"""Whose log a folder holds: `ledger.json`, written last when a ledger is made.

    {"format": "counterfoil ledger v1", "key": vkey}
    {"earlier": [{"key": vkey, "until_size": n}, …], "format": "counterfoil ledger v2", "key": vkey}

The name of the key is the log's origin. The second form is that of a log which has signed with
other keys before; replacing the file is what hands the log over to a new one.
"""

from __future__ import annotations

from pathlib import Path

from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.core.checkpoint import LogKeys, earlier_from_json, earlier_to_json
from counterfoil.core.keys import format_vkey, parse_vkey
from counterfoil.errors import FormatError
from counterfoil.ledger.disk import Disk, read_file, reported

IDENTITY_FILE = "ledger.json"
_FORMAT = "counterfoil ledger v1"
_ROTATED = "counterfoil ledger v2"
_MAX_BYTES = 64 << 10  # as many vkeys as a log can have had


def write_identity(folder: Path, keys: LogKeys, disk: Disk) -> None:
    """Say, durably, that the folder holds the log of these keys.

    Raises:
        UnavailableError: the disk refuses.
    """
    identity: dict[str, JsonValue] = {"format": _FORMAT, "key": format_vkey(keys.key)}
    if keys.earlier:
        identity |= {"format": _ROTATED, "earlier": earlier_to_json(keys)}
    with reported(f"cannot write {folder / IDENTITY_FILE}"):
        disk.replace(folder, IDENTITY_FILE, format_json(identity))


def no_ledger(folder: Path) -> FormatError:
    """Say that a folder holds no ledger, and what to do."""
    hint = f"Make one with `counterfoil init {folder}`."
    if (folder / "tile").is_dir():
        hint = "It seems to be a copy of a log without its `checkpoint`; mirror or export it again."
    return FormatError(f"there is no ledger in {folder}", hint=hint)


def read_identity(folder: Path) -> LogKeys:
    """Read the keys of the log in the folder.

    Raises:
        FormatError: there is no ledger, or its identity is damaged.
        UnavailableError: the disk refuses.
    """
    path = folder / IDENTITY_FILE
    if not path.exists():
        raise no_ledger(folder)
    match parse_canonical(read_file(path, _MAX_BYTES), what=str(path)):
        case {"format": "counterfoil ledger v1", "key": str(vkey)}:
            return LogKeys(parse_vkey(vkey))
        case {"format": "counterfoil ledger v2", "key": str(vkey), "earlier": list(earlier)}:
            return LogKeys(parse_vkey(vkey), earlier_from_json(earlier))
    raise FormatError(
        f"{path} is not of the format {_FORMAT!r}", hint="Was it made by another version?"
    )
