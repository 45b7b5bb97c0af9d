"""The mark of a log that lives elsewhere now: `moved.json` in its folder, and one of this machine.

    {"format": "counterfoil moved v1", "to": place}

A folder that has it may be read, and nobody appends there any more. A folder that is restored from
a backup made before has none: so the machine remembers, too, which logs went to PostgreSQL (see
`Places.moved`), and no folder of theirs is appended to until they come back into one.
"""

from __future__ import annotations

from pathlib import Path

from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.errors import ConflictError, FormatError
from counterfoil.ledger.disk import Disk, read_file, reported
from counterfoil.ledger.places import Places

MOVED_FILE = "moved.json"
_FORMAT = "counterfoil moved v1"
_MAX_BYTES = 4 << 10  # an address and little else


class MovedError(ConflictError):
    """Somebody was to write where the log is no more."""


class EndedError(MovedError):
    """Somebody was to write to a log that has ended.

    Args:
        origin: Of that log.
        following: Of the one that goes on.
    """

    def __init__(self, origin: str, following: str) -> None:
        super().__init__(
            f"{origin} has ended, and goes on as {following}",
            hint="Open the ledger of that log; this one stays readable.",
        )


def write_moved(folder: Path, to: str, disk: Disk) -> None:
    """Say, durably, where the log of this folder is now.

    Raises:
        UnavailableError: the disk refuses.
    """
    mark: JsonValue = {"format": _FORMAT, "to": to}
    with reported(f"cannot mark {folder} as moved"):
        disk.replace(folder, MOVED_FILE, format_json(mark))


def remove_moved(folder: Path, disk: Disk) -> None:
    """Say that the log is here again."""
    _remove(folder / MOVED_FILE, disk)


def read_moved(folder: Path) -> str:
    """Read where the log was moved to from this folder; empty if it is here.

    Raises:
        FormatError: the mark is damaged, and nobody can tell.
    """
    return _read(folder / MOVED_FILE)


def remember_moved(places: Places, to: str, disk: Disk) -> None:
    """Remember, durably, that no folder of this machine is where the log is.

    Raises:
        UnavailableError: the disk refuses.
    """
    path = places.moved
    mark: JsonValue = {"format": _FORMAT, "to": to}
    with reported(f"cannot remember that {places.origin} was moved"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk.replace(path.parent, path.name, format_json(mark), mode=0o600)


def forget_moved(places: Places, disk: Disk) -> None:
    """Let the log be in a folder of this machine again."""
    if places.moved.exists():
        _remove(places.moved, disk)


def recall_moved(places: Places) -> str:
    """Tell where the log went, as far as this machine remembers; empty if nowhere.

    Raises:
        FormatError: the mark is damaged, and nobody can tell.
    """
    return _read(places.moved)


def _remove(path: Path, disk: Disk) -> None:
    with reported(f"cannot remove {path}"):
        path.unlink(missing_ok=True)
        disk.sync_folder(path.parent)


def _read(path: Path) -> str:
    if not path.exists():
        return ""
    match parse_canonical(read_file(path, _MAX_BYTES), what=str(path)):
        case {"format": "counterfoil moved v1", "to": str(to)}:
            return to
    raise FormatError(
        f"{path} is not of the format {_FORMAT!r}",
        hint="Restore it from a backup, or find out where the log is before you remove it.",
    )


def require_here(place: str, moved_to: str) -> None:
    """Refuse to write where the log is no more.

    Args:
        place: What a command calls it.
        moved_to: Where the log went; empty if it is here.

    Raises:
        MovedError: it went.
    """
    if moved_to:
        raise MovedError(
            f"the log in {place} was moved to {moved_to}",
            hint="Append there; here it can be read only. If there is no ledger there yet, the "
            f"move was broken off: repeat it, counterfoil log move '{place}' '{moved_to}'",
        )
