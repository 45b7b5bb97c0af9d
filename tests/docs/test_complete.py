"""What a user can type, meet or read in a ledger has its place in docs/reference/."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from counterfoil import errors
from counterfoil.models import Action, Terms, parse_terms

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
# One schema for each predicate a ledger of ours may hold; its file is named after it.
SCHEMAS = ROOT / "src" / "counterfoil" / "core" / "schemas"


def reference() -> str:
    """The whole reference as one text."""
    return "\n".join(page.read_text("utf-8") for page in sorted(REFERENCE.glob("*.md")))


def error_classes() -> list[type[errors.CounterfoilError]]:
    """Every error that a user can meet by name; private kinds of one keep its exit code."""
    return [
        error
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.CounterfoilError)
    ]


def commands(group: object, name: str) -> Iterator[str]:
    """The full name of every command that can be typed below `group`."""
    for word, command in getattr(group, "commands", {}).items():
        if not command.hidden:
            yield from commands(command, f"{name} {word}")
    if not hasattr(group, "commands"):
        yield name


def test_every_error_and_its_exit_code_is_documented():
    """A script that meets an exit code finds on one page what it means and what to do."""
    page = (REFERENCE / "exit-codes.md").read_text("utf-8")
    missing = [
        f"{error.__name__} ({error.exit_code})"
        for error in error_classes()
        if not re.search(rf"^\| {error.exit_code} \| `{error.__name__}` \|", page, re.MULTILINE)
    ]
    assert not missing, f"docs/reference/exit-codes.md has no row for {', '.join(missing)}"


def test_exit_codes_tell_errors_apart():
    """No two errors exit with the same code."""
    codes = [error.exit_code for error in error_classes()]
    assert len(set(codes)) == len(codes)


def test_every_command_is_documented():
    """Whatever `--help` offers, the reference explains."""
    from counterfoil.cli import app  # noqa: PLC0415 - the other tests here need no command line

    names = sorted(commands(typer.main.get_command(app), "counterfoil"))
    assert names, "the command line has no commands"
    text = reference()
    missing = [name for name in names if not re.search(rf"{name}\b", text)]
    assert not missing, f"docs/reference/ does not mention: {', '.join(missing)}"


def test_every_predicate_is_documented():
    """Whatever a ledger of ours may hold, the reference says what it means."""
    names = sorted(schema.stem for schema in SCHEMAS.glob("*.json"))
    assert names, f"there is no schema in {SCHEMAS}"
    text = reference()
    missing = [name for name in names if f"`{name}`" not in text]
    assert not missing, f"docs/reference/ does not explain the predicates: {', '.join(missing)}"


def test_every_key_of_terms_is_documented():
    """The page on terms.toml has a row for each key, and its example has them all and is read."""
    page = (REFERENCE / "terms.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert parse_terms(example).threshold is not None
    names = {one.name for one in (*fields(Terms), *fields(Action))}
    keys = names - {"actions", "reference"} | {"action"}
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == keys
    assert all(re.search(rf"^\[*{key}\b", example, re.MULTILINE) for key in keys)
