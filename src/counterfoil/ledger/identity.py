"""Whose log a folder holds: `ledger.json`, written last when a ledger is made.

    {"format": "counterfoil ledger v1", "key": vkey}

The name of the key is the log's origin.
"""

from __future__ import annotations

from pathlib import Path

from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.core.keys import VerifierKey, format_vkey, parse_vkey
from counterfoil.errors import FormatError
from counterfoil.ledger.disk import Disk, read_file, reported

IDENTITY_FILE = "ledger.json"
_FORMAT = "counterfoil ledger v1"
_MAX_BYTES = 4 << 10  # a vkey and little else


def write_identity(folder: Path, key: VerifierKey, disk: Disk) -> None:
    """Say, durably, that the folder holds the log of this key.

    Raises:
        UnavailableError: the disk refuses.
    """
    identity: JsonValue = {"format": _FORMAT, "key": format_vkey(key)}
    with reported(f"cannot make a ledger in {folder}"):
        disk.replace(folder, IDENTITY_FILE, format_json(identity))


def read_identity(folder: Path) -> VerifierKey:
    """Read the key of the log in the folder.

    Raises:
        FormatError: there is no ledger, or its identity is damaged.
        UnavailableError: the disk refuses.
    """
    path = folder / IDENTITY_FILE
    if not path.exists():
        raise FormatError(
            f"there is no ledger in {folder}", hint=f"Make one with `counterfoil init {folder}`."
        )
    match parse_canonical(read_file(path, _MAX_BYTES), what=str(path)):
        case {"format": "counterfoil ledger v1", "key": str(vkey)}:
            return parse_vkey(vkey)
    raise FormatError(
        f"{path} is not of the format {_FORMAT!r}", hint="Was it made by another version?"
    )
