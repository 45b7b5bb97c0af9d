"""docs/reference/limits.md says what the code does, and leaves no limit out."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "counterfoil"
PAGE = (ROOT / "docs" / "reference" / "limits.md").read_text("utf-8")
ROW = re.compile(r"^\| `([a-z_.\d]+)\.(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE)

# What limits a user or what comes from outside; faces and the demonstration have none of their own.
LIMIT = re.compile(r"_?MAX_\w+|[A-Z]\w*_S")
NOT_LIMITED = {"cli", "demo"}


def named_limits() -> list[str]:
    """Every constant in the source that is named as a limit, where it is defined."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        module = path.relative_to(SOURCE).with_suffix("").parts
        if module[0] in NOT_LIMITED:
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=name)])
                    | ast.AnnAssign(target=ast.Name(id=name))
                ) if LIMIT.fullmatch(name):
                    found.append(f"{'.'.join(module)}.{name}")
    return found


@pytest.mark.parametrize(("module", "name", "value"), [row[:3] for row in ROWS])
def test_value_is_that_of_the_code(module: str, name: str, value: str):
    """A limit on the page is the one that the code goes by."""
    constant = getattr(importlib.import_module(f"counterfoil.{module}"), name)
    assert f"{constant:,}" == value


def test_every_limit_is_listed_once():
    """Whoever meets a limit finds it on the page."""
    listed = [f"{module}.{name}" for module, name, *_ in ROWS]
    assert len(set(listed)) == len(listed)
    missing = sorted(set(named_limits()) - set(listed))
    assert not missing, f"docs/reference/limits.md has no row for {', '.join(missing)}"


def test_rows_are_all_read():
    """No row escapes these tests by being written differently."""
    assert len(ROWS) == len(re.findall(r"^\| `", PAGE, re.MULTILINE))
    assert len(ROWS) >= len(named_limits()) > 0
