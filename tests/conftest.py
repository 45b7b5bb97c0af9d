"""What every test has: a home of its own, and a number of examples chosen from outside."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from pathlib import Path

# The contracts' tests need other versions of packages: `make test-contracts` runs them, apart.
collect_ignore = ["contracts"]

# No deadline: two busy cores make a slow example, not a wrong one. `make fuzz` picks the big one.
settings.register_profile(
    "quick",
    max_examples=50,
    deadline=None,
    # The autouse home below is created once for all examples of a test, which is meant.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("fuzz", settings.get_profile("quick"), max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for ~/.counterfoil, so that no test reaches the user's own keys."""
    folder = tmp_path / "counterfoil-home"
    monkeypatch.setenv("COUNTERFOIL_HOME", str(folder))
    return folder
