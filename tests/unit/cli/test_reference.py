"""docs/reference/cli.md lists every command as it is: run this file to write the page anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from counterfoil.cli import app

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
START = "<!-- From here on written by `python tests/unit/cli/test_reference.py`. -->"


def reference() -> str:
    """Every command with its arguments, options and example, in the order of the help."""
    root: Any = typer.main.get_command(app)
    parts = [START]
    for word, command in root.commands.items():
        if hasattr(command, "commands"):
            parts += [f"## {word}", command.help]
            for verb, inner in command.commands.items():
                parts += describe(f"{word} {verb}", inner, "###")
        else:
            parts += describe(word, command, "##")
    return "\n\n".join(parts) + "\n"


def describe(name: str, command: Any, heading: str) -> Iterator[str]:
    """One command."""
    yield f"{heading} `counterfoil {name}`"
    yield command.help
    rows = [row(parameter) for parameter in command.params if parameter.name != "help"]
    yield "\n".join(["| argument or option | |", "| --- | --- |", *rows])
    yield f"```text\n{command.epilog}\n```"


def row(parameter: Any) -> str:
    """One argument or option, as a line of a table."""
    is_flag = getattr(parameter, "is_flag", False)
    if parameter.param_type_name == "argument":
        name = parameter.metavar
    else:
        name = " / ".join((*parameter.opts, *parameter.secondary_opts))
        name += "" if is_flag else f" {parameter.metavar}"
    says = parameter.help
    if parameter.required:
        says += " Required."
    elif is_flag and parameter.secondary_opts:
        names = parameter.opts if parameter.default else parameter.secondary_opts
        says += f" Default: `{names[0]}`."
    elif not is_flag and parameter.default not in {None, ""}:
        says += f" Default: `{parameter.default}`."
    if parameter.envvar:
        says += f" From `{parameter.envvar}` if that is set."
    return f"| `{name.replace('|', chr(92) + '|')}` | {says} |"


def test_page_lists_every_command_as_it_is():
    """The reference page names every command, argument, option, default and example."""
    generated = PAGE.read_text("utf-8").partition(START)
    assert START + generated[2] == reference(), f"run: python {Path(__file__).name}"


if __name__ == "__main__":
    introduction = PAGE.read_text("utf-8").partition(START)[0]
    PAGE.write_text(introduction + reference(), "utf-8")
