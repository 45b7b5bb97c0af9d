from __future__ import annotations

import contextlib
import io
import json
import sys

import pytest
import typer

from counterfoil.cli import output
from counterfoil.errors import FormatError, UnavailableError


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Puts standard output and error on one terminal of 60 columns, for as long as it is open."""
    for name, value in (("COLUMNS", "60"), ("TERM", "xterm-256color")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)

    @contextlib.contextmanager
    def use():
        screen = Terminal()
        with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
            yield screen

    return use


def test_fields_are_aligned_and_empty_ones_left_out(capsys):
    """Names and values stand in two columns; what is not known takes no line."""
    output.show({}, output.fields({"size": 6, "policy": None, "origin": "a/b"}), as_json=False)
    assert capsys.readouterr().out == "  size    6\n  origin  a/b\n"


def test_tables_are_aligned(capsys):
    """Text is on the left, numbers on the right; lines end with their text."""
    rows = [(1200, "a", None), (7, "longer", True)]
    output.show({}, output.table(("entry", "name", "ok"), rows), as_json=False)
    assert capsys.readouterr().out == ("  entry  name    ok\n   1200  a\n      7  longer  yes\n")


def test_lines_are_not_wrapped_without_a_terminal(capsys):
    """Whoever reads through a pipe gets each value whole, on its line."""
    value = " ".join(["word"] * 200)
    output.show({}, output.fields({"name": value}), value, as_json=False)
    assert capsys.readouterr().out == f"  name  {value}\n{value}\n"


def test_lines_are_wrapped_on_a_terminal(terminal):
    """On a terminal nothing is cut off at its edge."""
    with terminal() as screen:
        output.show({}, output.fields({"name": "word " * 30}), as_json=False)
    assert screen.getvalue().count("word") == 30
    assert max(map(len, screen.getvalue().splitlines())) < 80


def test_markup_in_values_is_text(capsys):
    """Brackets in a value are brackets, not colours; `:smile:` is no picture."""
    value = "[red]x[/red] :smile: [link=http://x]y[/link]"
    output.show(
        {}, value, output.fields({value: value}), output.table((value,), [(value,)]), as_json=False
    )
    assert capsys.readouterr().out.count(value) == 5


def test_control_characters_are_named(capsys):
    """A value can neither move the cursor nor turn the text around."""
    value = "a\x1b[2J\u202eb\x07"
    output.show({}, output.fields({"k": value}), output.table(("k",), [(value,)]), as_json=False)
    assert capsys.readouterr().out.count("a[U+001B][2J[U+202E]b[U+0007]") == 2


def test_json_is_ascii_and_refuses_what_is_no_number(capsys):
    """JSON means the same in every locale, and never holds NaN."""
    output.show({"name": "Zoë\u202e"}, as_json=True)
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text) == {"name": "Zoë\u202e"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        output.show({"score": float("nan")}, as_json=True)


def test_exit_code_comes_after_the_result(capsys):
    """A command that found something wrong has said so before it exits."""
    with pytest.raises(typer.Exit) as caught:
        output.show({}, "differs", as_json=False, exit_code=4)
    assert caught.value.exit_code == 4
    assert capsys.readouterr().out == "differs\n"


def test_text_that_the_terminal_cannot_show_is_escaped(monkeypatch):
    """A terminal without Unicode gets the result, not an encoding error."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    output.write("Zoë…\n")
    assert raw.getvalue() == b"Zo\\xeb\\u2026\n"


def test_errors_have_colour_only_where_it_is_wanted(terminal, monkeypatch):
    """A terminal shows errors in red, unless NO_COLOR asks it not to."""
    with terminal() as screen:
        output.fail(FormatError("no", hint="do"), as_json=False)
    assert "\x1b[31m" in screen.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal() as screen:
        output.fail(FormatError("no", hint="do"), as_json=False)
    assert screen.getvalue() == "error: no\nhint: do\n"


def test_error_of_several_lines_is_one_line(capsys):
    """Libraries' messages of several lines fit the one line that an error has."""
    assert output.fail(UnavailableError("a\n  b\nc"), as_json=False) == 11
    assert capsys.readouterr().err == "error: a b c\n"


def test_no_progress_without_a_terminal(capsys):
    """Logs of scheduled jobs are free of bars."""
    with output.progress("hashing") as step:
        assert step is None
    assert capsys.readouterr().err == ""


def test_progress_of_quick_work_is_not_shown(terminal):
    """A bar appears only where there is something to wait for."""
    with terminal() as screen, output.progress("hashing") as step:
        step(1, 2)
    assert screen.getvalue() == ""


def test_progress_of_slow_work_is_shown_and_gone_afterwards(terminal, monkeypatch):
    """A bar shows what is done and of how much, and leaves nothing behind."""
    monkeypatch.setattr(output, "_QUICK_S", 0.0)
    with terminal() as screen, output.progress("hashing") as step:
        step(512, 1024)
    assert "hashing" in screen.getvalue()
    assert "512/1024" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[1A\x1b[2K")


@pytest.mark.parametrize(("number", "said"), [(0, "0 rows"), (1, "1 row"), (1000, "1,000 rows")])
def test_counts_read_well(number, said):
    """One row is not `1 rows`."""
    assert output.count(number, "row") == said


def test_times_are_utc():
    """A time says which time it is."""
    assert output.utc(1_800_000_000) == "2027-01-15 08:00:00 UTC"
