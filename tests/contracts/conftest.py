"""The contracts, deployed on titanoboa's EVM, and a number of examples chosen from outside."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import boa
import pytest
from hypothesis import HealthCheck, settings
from logs import Log

ROOT = Path(__file__).resolve().parents[2]

settings.register_profile(
    "quick",
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("fuzz", settings.get_profile("quick"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def artifact(name: str) -> dict[str, Any]:
    """Read what is committed, which users deploy."""
    folder = ROOT / "src" / "counterfoil" / "chain" / "artifacts"
    return json.loads((folder / f"{name}.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Find the test vectors that others wrote; without them, say loudly that nothing was run."""
    folder = Path(os.environ.get("COUNTERFOIL_VECTORS") or ROOT.parent / "shared" / "vectors")
    if not folder.is_dir():
        pytest.skip(
            f"CONFORMANCE NOT CHECKED: there is no folder {folder}; see COUNTERFOIL_VECTORS"
        )
    return folder


class Sources(dict[str, Any]):
    """The contracts by name, each compiled when it is first asked for."""

    def __missing__(self, name: str) -> Any:
        self[name] = boa.load_partial(str(ROOT / "contracts" / f"{name}.vy"))
        return self[name]


@pytest.fixture(scope="session")
def sources() -> Sources:
    """What the tests deploy."""
    return Sources()


@pytest.fixture
def anchor(sources):
    """A CheckpointAnchor."""
    return sources["CheckpointAnchor"].deploy()


@pytest.fixture
def log(anchor):
    """A log with a committee of five, of whom three have to sign; nothing is anchored."""
    return Log(anchor, size=5, threshold=3)
