from __future__ import annotations

import ast
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

import counterfoil
from counterfoil import cli
from counterfoil.cli import app
from counterfoil.errors import CounterfoilError, RefusedError


def raising(error: BaseException):
    """A stand-in for `counterfoil.open` that raises."""

    def fail(*_: object) -> None:
        raise error

    return fail


def test_an_error_is_one_line_and_a_hint(run):
    """What went wrong is one line on standard error, what to do another; no traceback."""
    result = run("log", "status", "--ledger", "nowhere", exit_code=3)
    assert result.stdout == ""
    assert result.stderr == (
        "error: there is no ledger in nowhere\nhint: Make one with `counterfoil init nowhere`.\n"
    )


def test_an_error_is_an_object_with_json(run):
    """A program gets the error as an object on standard output, a person still reads the line."""
    result = run("log", "status", "--ledger", "nowhere", "--json", exit_code=3)
    assert json.loads(result.stdout) == {
        "error": "FormatError",
        "message": "there is no ledger in nowhere",
        "hint": "Make one with `counterfoil init nowhere`.",
        "exit_code": 3,
        "reasons": [],
    }
    assert result.stderr.startswith("error: there is no ledger")


@pytest.mark.parametrize(
    "error", sorted(CounterfoilError.__subclasses__(), key=lambda e: e.exit_code)
)
def test_each_error_exits_with_its_own_code(error, run, monkeypatch):
    """A script can tell errors apart by the exit code that the documentation names."""
    made = error("no", reasons=()) if error is RefusedError else error("no")
    monkeypatch.setattr(counterfoil, "open", raising(made))
    assert run("log", "status", exit_code=error.exit_code).stderr == "error: no\n"


def test_a_refusal_lists_every_reason(run, ask, monkeypatch):
    """Whoever is refused sees all reasons at once, for people and for programs."""
    refusal = RefusedError("refused", reasons=("too young", "no approval"), hint="Wait.")
    monkeypatch.setattr(counterfoil, "open", raising(refusal))
    assert run("log", "status", exit_code=9).stderr == (
        "error: refused\nreason: too young\nreason: no approval\nhint: Wait.\n"
    )
    body = ask("log", "status", exit_code=9)
    assert body["message"] == "refused"
    assert body["reasons"] == ["too young", "no approval"]


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["decision", "shw"], "No such command 'shw'"),
        (["data", "add"], "Missing argument"),
        (["data", "add", "x.csv"], "Missing option '--name'"),
        (["log", "status", "--bogus"], "No such option: --bogus"),
        (["--bogus"], "No such option: --bogus"),
        (["decision", "show", "credit", "-12"], "a number cannot be negative here"),
        (["decision", "show", "credit", "x"], "'x' is not a valid int"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exits_with_2(words, wrong, run):
    """A mistyped command is answered like any other error, with the help to look at."""
    lines = run(*words, exit_code=2).stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error: ")
    assert wrong in lines[0]
    assert re.fullmatch(r"hint: Try `counterfoil.* --help`\.", lines[1])


def test_a_wrong_command_line_is_an_object_with_json(ask):
    """Programs get their own mistakes as an object, too."""
    body = ask("data", "add", exit_code=2)
    assert body["error"] == "UsageError"
    assert body["exit_code"] == 2


def test_a_bug_keeps_its_traceback(monkeypatch):
    """What counterfoil did not foresee is not dressed up as an error of the user's."""
    monkeypatch.setattr(counterfoil, "open", raising(ZeroDivisionError("a bug")))
    result = CliRunner().invoke(app, ["log", "status"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_warning_is_one_line_and_said_once(run, monkeypatch):
    """Warnings name no source files of ours and do not repeat themselves."""

    def warn(*_: object) -> None:
        for _ in range(3):
            warnings.warn("mind the gap", stacklevel=1)
        raise RefusedError("no", reasons=())

    monkeypatch.setattr(counterfoil, "open", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        stderr = run("log", "status", exit_code=9).stderr
    assert stderr == "warning: mind the gap\nerror: no\n"


def test_hostile_names_cannot_steer_the_terminal(run):
    """Control characters and line breaks in what is reported are shown, not sent."""
    result = run("data", "show", "a\x1b[2J\u202e\nb", exit_code=3)
    assert "\x1b" not in result.stderr
    assert "\u202e" not in result.stderr
    assert result.stderr.count("\n") == 2


def test_interrupt_is_quiet(start, place):
    """Ctrl-C ends a command with 130 and without a word."""
    os.mkfifo(place / "slow.ticket.json")  # reading it waits until somebody writes
    process = start("decision", "reconcile", "credit", "slow.ticket.json")
    # Opened for writing, it gives way once the command has opened it for reading: it is waiting.
    with (place / "slow.ticket.json").open("wb"):
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (130, "", "")


def test_a_closed_pipe_is_quiet(start):
    """`counterfoil … | head` ends without a complaint, and not as if it had succeeded."""
    process = start("policy", "show")
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(60) == 141


def test_a_closed_pipe_does_not_hide_an_error(start):
    """Where nobody reads standard output, the error line and its exit code still come."""
    process = start("log", "status", "--ledger", "nowhere", "--json")
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read().startswith("error: there is no ledger in nowhere\nhint: ")
    assert process.wait(60) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_under_the_output_is_an_error(start):
    """A result that could not be written is an error, so that no script believes half of it."""
    with Path("/dev/full").open("w") as full:
        process = start("policy", "show", stdout=full)
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 11
    assert stderr.startswith("error: cannot write the result: ")
    assert "Exception ignored" not in stderr


def test_closed_standard_output_is_no_bug(place):
    """Started without a standard output, a command still does its work."""
    command = f"{sys.executable} -m counterfoil log status >&-"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(  # noqa: S602 only a shell closes a file that way
        command,
        shell=True,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=place,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_exit_code_of_a_real_process(start):
    """The process exits with the error's code, whoever starts it."""
    process = start("log", "status", "--ledger", "nowhere")
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (3, "")
    assert stderr.startswith("error: there is no ledger in nowhere\n")


def test_help_imports_nothing_heavy():
    """`--help` loads neither the ledger nor cryptography, so that it answers at once."""
    heavy = "counterfoil.front", "counterfoil.ledger.log", "cryptography", "rich", "pandas"
    code = (
        "import sys\n"
        "from counterfoil.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        f"print(*[m for m in {heavy!r} if m in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("Usage: counterfoil")
    assert result.stderr == "\n"


def test_commands_enter_by_front_doors_only():
    """The command line has nothing that a user of the package could not have as well."""
    for path in Path(cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("counterfoil."):
                inside = node.module.split(".")[1:]
                assert len(inside) == 1 or inside[0] == "cli", f"{path.name}: {node.module}"


@pytest.mark.parametrize(
    "words",
    [
        ["init", ""],
        ["verify", ""],
        ["data", "add", "", "--name", "x"],
        ["log", "status", "--ledger", ""],
    ],
)
def test_an_empty_word_is_a_variable_that_is_not_set(words, run, place):
    """What a shell leaves of an unset variable stands for nothing, least of all for this folder."""
    assert "is a variable not set?" in run(*words, exit_code=2).stderr
    assert not (place / "ledger.json").exists()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_person_is_told_whom_a_command_waits_for(as_json):
    """After two seconds, on a terminal; a program that reads JSON has no use for it."""
    terminal, theirs = pty.openpty()
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections, says nothing
        place = f"postgresql://127.0.0.1:{listener.getsockname()[1]}/db"
        words = ["log", "status", "--ledger", f"{place}?tiles=file:///tmp/none"]
        done = subprocess.run(
            [sys.executable, "-m", "counterfoil", *words, *(["--json"] if as_json else [])],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.PIPE,
            stderr=theirs,
            check=False,
        )
    os.close(theirs)
    with os.fdopen(terminal, "rb", buffering=0) as read:
        said = read.read(10_000).decode()
    assert done.returncode == 11
    assert said.count(f"for {place}") == (not as_json)
    assert "waiting:" in said or as_json
