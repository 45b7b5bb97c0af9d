"""One way to print: through rich for people, as one JSON object for programs, errors as one line.

Results go to standard output and nothing else does; errors, warnings and progress go to standard
error. Where standard output is no terminal, lines are not wrapped. No character of a name or a
value can steer the terminal.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import typer

from counterfoil import errors
from counterfoil import ledger as ledgers
from counterfoil.errors import CounterfoilError, UnavailableError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_UNWRAPPED = 10_000  # columns where nobody looks: wide enough for any line of ours
_QUICK_S = 0.5  # what is done sooner shows no progress: a bar that flashes by tells nobody anything
_LONG_S = 2.0  # what takes longer has whoever is waited for named
_LOOK_S = 0.25  # between looks whether something does
_WEI = 10**18  # of one coin: an ether, or what the chain calls it
_SHORT_DIGEST = 12  # hexadecimal digits, enough to tell digests apart at a glance
_INDENT: ContextVar[int | None] = ContextVar("_INDENT", default=2)  # None: an object is a line


class Progress(Protocol):
    """Takes how much is done, and of how much if that is known."""

    def __call__(self, done: int, total: int | None = None) -> None:
        """Show it."""


@contextlib.contextmanager
def one_object() -> Iterator[None]:
    """Print one object, to be read as it stands; `one_object_a_line` holds until this ends."""
    token = _INDENT.set(2)
    try:
        yield
    finally:
        _INDENT.reset(token)


def one_object_a_line() -> None:
    """Print each object as a line, the last error too: several follow, and somebody reads along."""
    _INDENT.set(None)


def show(
    body: Mapping[str, Any], *parts: RenderableType, as_json: bool, exit_code: int = 0
) -> None:
    """Print what a command found.

    Args:
        body: Everything, for programs.
        parts: The same for people: lines, `fields` and `table`.
        as_json: Which of them.
        exit_code: What to exit with where it is not 0.
    """
    if as_json:
        # ASCII, so that no locale and no terminal can make something else of it.
        write(json.dumps(body, indent=_INDENT.get(), allow_nan=False) + "\n")
    else:
        write(_render(parts))
    if exit_code:
        raise typer.Exit(exit_code)


def write(text: str) -> None:
    """Write text to standard output, all of it, now.

    Raises:
        BrokenPipeError: nobody reads any more.
        UnavailableError: it cannot be written.
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        hush()
        raise
    except OSError as error:
        hush()
        raise UnavailableError(
            f"cannot write the result: {error.strerror}", hint="What was done stays done."
        ) from error


def hush() -> None:
    """Let nothing more go to standard output: what is left there would fail again at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(
    error: CounterfoilError, *, as_json: bool, kind: str = "", exit_code: int | None = None
) -> int:
    """Print an error: one line, each further reason, and a hint; return the exit code.

    Args:
        error: What happened.
        as_json: Whether standard output gets it as an object, too.
        kind: Its name, where that is not its class's.
        exit_code: Where it is not its class's.
    """
    reasons: tuple[str, ...] = getattr(error, "reasons", ())
    message, code = str(error), error.exit_code if exit_code is None else exit_code
    headline = message.removesuffix("; " + "; ".join(reasons)) if reasons else message
    several = len(reasons) > 1
    remark("error", headline if several else message)
    for reason in reasons if several else ():
        remark("reason", reason)
    if error.hint:
        remark("hint", error.hint)
    if as_json:
        body: dict[str, Any] = {
            "error": kind or _documented(error),
            "message": headline,
            "hint": error.hint,
            "exit_code": code,
            "reasons": list(reasons),
        }
        with contextlib.suppress(BrokenPipeError, UnavailableError):  # the exit code still tells
            show(body, as_json=True)
    return code


def _documented(error: CounterfoilError) -> str:
    """Name the class of an error as counterfoil.errors has it, which is what is documented."""
    return next(one.__name__ for one in type(error).__mro__ if one.__module__ == errors.__name__)


def remark(kind: str, text: str) -> None:
    """Write one line to standard error: `error: …`, `hint: …`, `warning: …`."""
    label = f"{kind}:"
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        color = {"error": "red", "reason": "red", "warning": "yellow"}.get(kind, "cyan")
        label = typer.style(label, fg=color, bold=kind == "error")
    with contextlib.suppress(BrokenPipeError):
        typer.echo(f"{label} {plain(' '.join(text.split()))}", err=True)


def fields(pairs: Mapping[str, object]) -> RenderableType:
    """Lay out names and values, one a line; those that are None are left out."""
    from rich.padding import Padding  # noqa: PLC0415 `--help` does without rich
    from rich.table import Table  # noqa: PLC0415

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs.items():
        if value is not None:
            grid.add_row(plain(name), plain(str(value)))
    return Padding(grid, (0, 0, 0, 2), expand=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> RenderableType:
    """Lay out rows under headings; columns of numbers go to the right."""
    from rich.padding import Padding  # noqa: PLC0415 `--help` does without rich
    from rich.table import Table  # noqa: PLC0415

    grid = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for place, name in enumerate(columns):
        numbers = all(isinstance(row[place], int | float) for row in rows)
        grid.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(value) for value in row))
    return Padding(grid, (0, 0, 0, 2), expand=False)


@contextlib.contextmanager
def progress(doing: str) -> Iterator[Progress | None]:
    """Show progress on standard error; None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 `--help` does without rich
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn  # noqa: PLC0415
    from rich.progress import Progress as Bars  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bars = Bars(*columns, console=Console(stderr=True), transient=True)
    task = bars.add_task(doing, total=None)
    began = time.monotonic()

    def step(done: int, total: int | None = None) -> None:
        if time.monotonic() - began > _QUICK_S:
            bars.start()
        bars.update(task, completed=done, total=total)

    try:
        yield step
    finally:
        bars.stop()


@contextlib.contextmanager
def working(doing: str) -> Iterator[None]:
    """Show on standard error that something is waited for, where that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 `--help` does without rich

    with Console(stderr=True).status(doing):
        yield


@contextlib.contextmanager
def naming_waits() -> Iterator[None]:
    """Say on standard error whom a command waits for, where that takes long and is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    watch = threading.Thread(target=_name_waits, args=(done,), name="waits", daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()


def _name_waits(done: threading.Event) -> None:
    named: set[str] = set()
    while not done.wait(_LOOK_S):
        for whom in ledgers.waited_for(_LONG_S) - named:
            remark("waiting", f"for {whom}")
            named.add(whom)


def plain(text: str) -> str:
    """Replace characters that hide, reorder or control by their names."""
    from counterfoil.evidence import visible  # noqa: PLC0415 loaded when something is printed

    return visible(text)


def quoted(text: str) -> str:
    """Write a name or path as a shell takes it."""
    return shlex.quote(plain(text))


def count(number: int, what: str, several: str = "") -> str:
    """Say how many: `1 row`, `1,000 rows`."""
    return f"{number:,} {what if number == 1 else several or what + 's'}"


def money(wei: int) -> str:
    """Write an amount in a chain's own coin: a whole one is 10**18 wei."""
    whole, rest = divmod(wei, _WEI)
    return f"{whole:,}.{rest:018d}".rstrip("0").rstrip(".")


def short(digest: str) -> str:
    """Cut a digest down to what an eye compares."""
    return f"{digest[:_SHORT_DIGEST]}…"


def utc(seconds: int) -> str:
    """Write POSIX seconds as a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case _:
            return plain(str(value))


def _render(parts: Sequence[RenderableType]) -> str:
    from rich.console import Console  # noqa: PLC0415 `--help` does without rich

    is_terminal = sys.stdout.isatty()
    page = io.StringIO()
    console: Console = Console(
        file=page,
        force_terminal=is_terminal or None,
        width=None if is_terminal else _UNWRAPPED,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for part in parts:
        console.print(part)
    return "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())
