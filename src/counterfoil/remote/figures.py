"""A monitor's figures for Prometheus, as a text file that its node exporter collects.

Source:
    Prometheus text exposition format 0.0.4; node_exporter, textfile collector.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from counterfoil.ledger.disk import Disk, as_path, reported
from counterfoil.remote.monitorstate import MonitorState

_PREFIX = "counterfoil_monitor"
# Name, kind, and what it says.
_FIGURES = (
    ("entries", "gauge", "Entries of the log that were looked at."),
    ("checkpoint_time_seconds", "gauge", "When the newest checkpoint was first seen."),
    ("success_time_seconds", "gauge", "When the log was last found in order."),
    ("pending", "gauge", "Notifications that nobody has taken yet."),
    ("alarms", "gauge", "What is wrong with the log now: 1 for each kind."),
    ("events_total", "counter", "Events found, by kind."),
    ("notifications_total", "counter", "Notifications tried, by outcome."),
)


def format_figures(state: MonitorState, succeeded: int, kinds: tuple[str, ...]) -> str:
    """Write the figures as text.

    Args:
        state: The monitor's.
        succeeded: POSIX seconds when the log was last found in order; 0 for never.
        kinds: Of events.
    """
    counts = state.counts
    values: Mapping[str, Mapping[str, int]] = {
        "entries": {"": state.size},
        "checkpoint_time_seconds": {"": state.changed},
        "success_time_seconds": {"": succeeded},
        "pending": {"": len(state.pending)},
        "alarms": {f'kind="{kind}"': int(kind in state.alarms) for kind in kinds[2:]},
        "events_total": {f'kind="{kind}"': counts.get(kind, 0) for kind in kinds},
        "notifications_total": {
            f'outcome="{outcome}"': counts.get(outcome, 0) for outcome in ("taken", "failed")
        },
    }
    origin = state.origin.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    lines = []
    for name, kind, says in _FIGURES:
        lines += [f"# HELP {_PREFIX}_{name} {says}", f"# TYPE {_PREFIX}_{name} {kind}"]
        for label, value in values[name].items():
            labels = ",".join(filter(None, (f'origin="{origin}"', label)))
            lines.append(f"{_PREFIX}_{name}{{{labels}}} {value}")
    return "\n".join(lines) + "\n"


def write_figures(path: Path, text: str, disk: Disk) -> None:
    """Put the file in place whole, so that a collector reads no half of it."""
    path = as_path(path).absolute()
    with reported(f"cannot write the figures to {path}"):
        disk.replace(path.parent, path.name, text.encode())
