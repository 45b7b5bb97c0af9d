from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Find the test vectors that others wrote; without them, say loudly that nothing was run."""
    folder = Path(os.environ.get("COUNTERFOIL_VECTORS") or ROOT.parent / "shared" / "vectors")
    if not folder.is_dir():
        pytest.skip(
            f"CONFORMANCE NOT CHECKED: there is no folder {folder}. Set COUNTERFOIL_VECTORS to "
            "the folder of test vectors that others wrote; our own tests do not replace them."
        )
    return folder
