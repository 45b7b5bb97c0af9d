"""House rules that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "src").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

MAX_LINES = 450  # a module is one idea; one that needs more lines is two
MAX_DISTRIBUTIONS = 12  # what `pip install counterfoil` brings, itself not counted
SKIPPED_FOLDERS = {".git", "__pycache__", "dist", "build", "counterfoil-demo"}
# Put together from pieces, so that this file names none of them either.
HOSTS = [
    ".".join(labels)
    for labels in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("crates", "io"),
        ("debian", "org"),
        ("proxy", "golang", "org"),
    )
]


def files() -> list[Path]:
    """Every file of the project that somebody wrote or locked."""
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not any(
            part in SKIPPED_FOLDERS
            or part.startswith(".venv")
            or part.endswith(("_cache", ".egg-info", ".hypothesis"))
            for part in path.relative_to(ROOT).parts
        )
    ]


def distributions(names: list[str]) -> set[str]:
    """`names` and everything they need on this machine, without extras."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = canonicalize_name(todo.pop())
        if name not in found:
            found.add(name)
            for text in metadata.requires(name) or ():
                requirement = Requirement(text)
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    todo.append(requirement.name)
    return found


def test_no_file_names_a_registry():
    """Where packages come from is the user's choice: no lock, page or script names a host."""
    named = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in files()
        for host in HOSTS
        if host.encode() in path.read_bytes()
    ]
    assert not named


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_module_is_one_explained_idea(path: Path):
    """Every module begins with a sentence that says what it is, and fits a reader's afternoon."""
    text = path.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert text.count("\n") <= MAX_LINES


def test_core_needs_few_distributions():
    """Installing counterfoil without extras brings at most twelve distributions."""
    names = [Requirement(text).name for text in PROJECT["dependencies"]]
    found = distributions(names)
    assert len(found) <= MAX_DISTRIBUTIONS, sorted(found)


def test_locks_hold_what_the_project_declares():
    """Every dependency in pyproject.toml is in demo.lock, at a version that satisfies it."""
    extra = PROJECT["optional-dependencies"]["demo"]
    locked = {}
    for line in (ROOT / "requirements" / "demo.lock").read_text("utf-8").splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            pin = Requirement(line.removesuffix("\\"))
            locked.setdefault(pin.name, []).append(str(pin.specifier).removeprefix("=="))
    for text in PROJECT["dependencies"] + extra:
        wanted = Requirement(text)
        versions = locked[canonicalize_name(wanted.name)]
        assert all(wanted.specifier.contains(version) for version in versions), f"{text}: make lock"


def test_import_is_light():
    """`import counterfoil` loads no table, model or command-line library."""
    heavy = ["interpret", "numpy", "pandas", "rich", "scipy", "sklearn", "skops", "typer"]
    code = f"import sys, counterfoil; print(*[m for m in {heavy} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not result.stdout.split()


def test_fuzzing_reaches_every_property():
    """No test fixes its number of examples, so that `make fuzz` multiplies all of them."""
    fixed = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"max_examples=\d", path.read_text("utf-8")) and path.name != "conftest.py"
    ]
    hint = "leave max_examples to tests/conftest.py, or take a share: settings().max_examples // 2"
    assert not fixed, hint


def test_links_lead_somewhere():
    """Every relative link in a page of ours names something that exists."""
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in files()
        if page.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not dead


def test_every_page_is_on_the_map():
    """docs/README.md links every page of the documentation."""
    text = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    missing = sorted(page for page in pages - {"README.md"} if f"]({page})" not in text)
    assert not missing, f"docs/README.md does not link {', '.join(missing)}"
