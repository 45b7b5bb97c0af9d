from __future__ import annotations

import time
import tomllib

import pytest

from counterfoil.core.toml import MAX_TOML_BYTES, format_key, format_value, parse_toml
from counterfoil.errors import FormatError


@pytest.mark.parametrize(
    "value",
    [
        "",
        'a "quoted" \\ line\n\r\t\x00\x7f\u2028é😀',
        0,
        2**53,
        True,
        False,
        [],
        ["a" * 60, "b" * 60],
        [{"a b": "x"}, {"c": 1}],
    ],
)
def test_what_is_written_is_read_back(value):
    """Every value a policy holds survives being written as TOML."""
    text = f"{format_key('a key.')} = {format_value(value)}\n"
    assert tomllib.loads(text) == {"a key.": value}


def test_what_toml_does_not_have_is_refused():
    """Numbers that are not whole, and null, have no form here."""
    for value in (None, 0.5):
        with pytest.raises(FormatError):
            format_value(value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = 1\nz = 2\n", "f line 2: unknown key 'z'"),
        ("[t]\na = 1\n\nz = 2\n", "f line 4, t: unknown key 'z'"),
        ("[[l]]\na = 1\n[[l]]\nz = 2\n", "f line 4, l 2: unknown key 'z'"),
        ("[[l]]\n[l.t]\n[[l.t.m]]\n[[l.t.m]]\nz = 2", "f line 5, l 1 t m 2: unknown key 'z'"),
        ('[t]\n"z" = 2\n', "f line 2, t: unknown key 'z'"),
    ],
)
def test_an_error_says_where(text, place):
    """Line and table of a mistake are named, also inside lists of tables."""

    def strict(table):
        table.only("a", "t", "l", "m")
        table.optional("t", strict, None)
        table.each("l", strict)
        table.each("m", strict)

    with pytest.raises(FormatError) as caught:
        parse_toml(text, "f").read(strict)
    assert str(caught.value) == place


def test_types_are_not_guessed():
    """A number in quotes is no number, a truth value is none, one table is no list of tables."""
    table = parse_toml('i = "1"\nb = true\nf = 1\nt = ["a", 1]\n[o]\n', "f")
    for read in (
        lambda: table.integer("i"),
        lambda: table.integer("b"),
        lambda: table.flag("f", default=True),
        lambda: table.text("f"),
        lambda: table.texts("t"),
        lambda: table.texts("i"),
        lambda: table.inner("i", lambda inner: inner),
        lambda: table.each("o", lambda inner: inner),
    ):
        with pytest.raises(FormatError, match="must be"):
            read()


def test_a_file_built_to_stall_the_parser_is_over_soon():
    """The largest file of the deepest allowed keys takes seconds, not hours."""
    deep = ".".join(["a"] * 300)
    lines = (MAX_TOML_BYTES - 1000) // 610
    text = "\n".join(f"{deep}.b{n} = 1" for n in range(lines))
    start = time.process_time()
    with pytest.raises(FormatError):
        parse_toml(text, "f").read(lambda table: table.only("x"))
    assert time.process_time() - start < 20
    with pytest.raises(FormatError, match="line 1 has more than 300 dots"):
        parse_toml(f"{deep}.{deep} = 1", "f")
