"""The linter that holds the architecture is itself seen to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

# What each contract of pyproject.toml must refuse: a file, and the import planted in it.
PLANTED = {
    "Imports go down the ladder only": ("ledger/__init__.py", "import counterfoil.evidence"),
    "The core does no I/O, reads no clock and draws no randomness": (
        "core/__init__.py",
        "import time",
    ),
    "Faces see only what a user sees": ("cli/__init__.py", "import counterfoil.core"),
    "Only the engine on PostgreSQL knows its libraries": ("ledger/__init__.py", "import psycopg"),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package and of the contracts, free to be broken."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run the linter on a tree, as `make ladder` does; lines wide enough not to be wrapped."""
    return subprocess.run(
        [LINT, "--no-cache", "--no-logo"],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree / "src"), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_tree_as_it_is_keeps_every_contract(tree: Path):
    """The package as it stands keeps all contracts."""
    result = lint(tree)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize("contract", PLANTED)
def test_forbidden_import_breaks_its_contract(contract: str, tree: Path):
    """One forbidden import is enough for the linter to name the broken contract."""
    file, line = PLANTED[contract]
    with (tree / "src" / "counterfoil" / file).open("a") as module:
        module.write(f"\n{line}\n")
    result = lint(tree)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract} BROKEN" in result.stdout


def test_every_contract_is_seen_to_break():
    """No contract stands in pyproject.toml without an import planted against it here."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert {contract["name"] for contract in contracts["contracts"]} == set(PLANTED)
