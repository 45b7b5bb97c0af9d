"""What a monitor remembers: how far it is, what it has still to tell, and what it counted.

One JSON file, replaced whole. A state that was not written is a batch that is looked at again, so
everything that was found is told at least once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.core.merkle import EMPTY_ROOT, Hash
from counterfoil.core.text import parse_hex
from counterfoil.errors import FormatError
from counterfoil.ledger.disk import Disk, read_file, reported
from counterfoil.ledger.keyfiles import make_private

MAX_PENDING = 1_000
"""Notifications that wait for whom they are for; then a monitor looks at no further entries."""

MAX_STATE_BYTES = 64 << 20
"""Longest state of a monitor that is read."""

_FORMAT = "counterfoil monitor v1"


@dataclass(slots=True)
class MonitorState:
    """The memory of one monitor.

    Args:
        origin: The log.
        size: Entries that were looked at.
        root: The root over them.
        checkpoint: The newest checkpoint that held, as text.
        changed: POSIX seconds when it was first seen.
        alarms: What was told about the log as it is now, by kind: the message.
        pending: What is still to be told: the rule's name and the event.
        counts: Of events by kind, and of deliveries.
    """

    origin: str
    size: int = 0
    root: Hash = EMPTY_ROOT
    checkpoint: str = ""
    changed: int = 0
    alarms: dict[str, str] = field(default_factory=dict)
    pending: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, number: int = 1) -> None:
        """Add to a figure."""
        self.counts[what] = self.counts.get(what, 0) + number

    def save(self, path: Path, disk: Disk) -> None:
        """Write it; it is durable on return."""
        body: dict[str, JsonValue] = {
            "format": _FORMAT,
            "origin": self.origin,
            "size": self.size,
            "root": self.root.hex(),
            "checkpoint": self.checkpoint,
            "changed": self.changed,
            "alarms": dict(self.alarms),
            "pending": list(self.pending),
            "counts": dict(self.counts),
        }
        with reported(f"cannot keep the monitor's state in {path}"):
            make_private(path.parent)
            disk.replace(path.parent, path.name, format_json(body), mode=0o600)


def read_state(path: Path, origin: str) -> MonitorState | None:
    """Read a monitor's state; None where there is none.

    Raises:
        FormatError: it is damaged, or that of another log's monitor.
    """
    if not path.exists():
        return None
    data = read_file(path, MAX_STATE_BYTES)
    match parse_canonical(data, what=str(path), max_bytes=MAX_STATE_BYTES):
        case {
            "format": "counterfoil monitor v1",
            "origin": str(said),
            "size": int(size),
            "root": str(root),
            "checkpoint": str(checkpoint),
            "changed": int(changed),
            "alarms": dict(alarms),
            "pending": list(pending),
            "counts": dict(counts),
        }:
            if said != origin:
                raise FormatError(
                    f"{path} is the state of a monitor of {said}, not of {origin}",
                    hint="Give each log that is monitored a --state of its own.",
                )
            return MonitorState(
                origin,
                size,
                Hash(parse_hex(root, "root", size=32)),
                checkpoint,
                changed,
                {kind: str(message) for kind, message in alarms.items()},
                [one for one in pending if isinstance(one, dict) and _is_notification(one)],
                {what: int(number) for what, number in counts.items() if isinstance(number, int)},
            )
    raise FormatError(
        f"{path} is not of the format {_FORMAT!r}",
        hint="Remove it, and everything is looked at, and told, anew.",
    )


def _is_notification(one: JsonValue) -> bool:
    match one:
        case {"rule": str(), "event": {"id": str(), "kind": str()}}:
            return True
    return False
