"""Running a command: help in groups with an example, and one way out for every error.

Typer's own help and error boxes need half a second of imports; this prints the same facts as plain
text. An error of ours or a wrong command line is one line, a hint and an exit code. Anything else
is a bug, and keeps its traceback.
"""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from counterfoil.cli import output
from counterfoil.errors import CounterfoilError

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 and SIGINT, as shells count
EXIT_CLOSED_PIPE = 141  # 128 and SIGPIPE: whoever read us has gone

Function = TypeVar("Function", bound=Callable[..., Any])


class Command(TyperCommand):
    """A command; its epilog is an example, printed as it stands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words; an empty one is what a shell makes of a variable that is not set."""
        if "" in args:
            ctx.fail("one of the words is empty: is a variable not set?")
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Name what goes on the command line, alike in every version of typer."""
        arguments = [one for one in self.get_params(ctx) if one.param_type_name == "argument"]
        return ["[OPTIONS]", *(one.make_metavar(ctx=ctx) for one in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """List arguments and options."""
        for kind, title in (("argument", "Arguments"), ("option", "Options")):
            records = [
                one.get_help_record(ctx)
                for one in self.get_params(ctx)
                if one.param_type_name == kind
            ]
            # Some versions of typer escape brackets for rich even where rich is not used.
            rows = [(name, says.replace("\\[", "[")) for name, says in filter(None, records)]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the example."""
        del ctx
        if self.epilog:
            with formatter.section("Example"):
                for line in self.epilog.splitlines():
                    formatter.write(f"  {line}\n")


class Commands(TyperGroup):
    """Commands under one word; the word alone asks for help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words after this one."""
        return super().parse_args(ctx, args or ["--help"])

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands, in their groups where they have some."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if not command.hidden:
                title = getattr(command, "rich_help_panel", None) or "Commands"
                groups.setdefault(title, []).append((name, _first_line(command.help)))
        width = max(len(name) for rows in groups.values() for name, _ in rows)
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), says) for name, says in rows])


class Program(Commands):
    """The whole command line, with its way out."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and exit with the code that docs/reference/exit-codes.md gives it."""
        words = sys.argv[1:] if args is None else list(args)
        naming = contextlib.nullcontext() if "--json" in words else output.naming_waits()
        with output.one_object(), naming, warnings.catch_warnings():
            warnings.showwarning = _warn_once()
            try:
                code = super().main(
                    words,
                    prog_name or "counterfoil",
                    complete_var,
                    standalone_mode=False,
                    windows_expand_args=windows_expand_args,
                    **extra,
                )
            except CounterfoilError as error:
                code = output.fail(error, as_json="--json" in words)
            except Exception as error:
                # Typer's own errors, whichever module its version has them in.
                if not hasattr(error, "format_message"):
                    raise
                code = _fail_usage(error, as_json="--json" in words)
        if standalone_mode:
            sys.exit(code)
        return code

    def invoke(self, ctx: Any) -> Any:
        """Run the command; being interrupted, or no longer read, is no error to talk about.

        What an interrupted command leaves half-done, it says in notes.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            for stands in getattr(interrupt, "__notes__", ()):
                output.remark("interrupted", stands)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            output.hush()
            raise typer.Exit(EXIT_CLOSED_PIPE) from None


def noun(says: str) -> typer.Typer:
    """Make the group of commands about one kind of thing."""
    return typer.Typer(cls=Commands, help=says, rich_markup_mode=None)


def verb(
    app: typer.Typer, name: str, example: str, *, group: str | None = None
) -> Callable[[Function], Function]:
    """Make a function a command: its docstring is the help.

    Args:
        app: The noun.
        name: The verb.
        example: A command line that a reader can paste.
        group: Under which title the help of `app` lists it.
    """
    return app.command(name, cls=Command, epilog=example, rich_help_panel=group)


def until_stopped() -> None:
    """Have a plain `kill`, as supervisors send it, end this command as Ctrl-C does.

    For commands that go on until somebody stops them: what they hold is given back first.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _first_line(says: str | None) -> str:
    return (says or "").strip().partition("\n")[0]


def _fail_usage(error: Any, *, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "counterfoil"
    message = error.format_message()
    if re.fullmatch(r"-[0-9]+", getattr(error, "option_name", "")):
        message = "a number cannot be negative here: all count from 0"
    wrong = CounterfoilError(message, hint=f"Try `{path} --help`.")
    output.fail(wrong, as_json=as_json, kind="UsageError", exit_code=EXIT_USAGE)
    return EXIT_USAGE


def _warn_once() -> Callable[..., None]:
    """Print each warning as one line, without the place in the code that it came from."""
    seen: set[str] = set()

    def warn(message: Warning | str, *details: object, **more: object) -> None:
        del details, more
        if str(message) not in seen:
            seen.add(str(message))
            output.remark("warning", str(message))

    return warn
