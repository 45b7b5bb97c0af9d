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


DEEP = ".".join(["a"] * 33)
STALLING = {
    "keys": lambda n: f"{DEEP[:-2]}.b{n} = 1",
    "tables": lambda n: f"[{DEEP[:-2]}.b{n}]",
    "lists of tables": lambda n: f"[[{DEEP[: n % 32 * 2 + 1]}]]",
    "inline tables": lambda n: f"b{n} = {{{'.'.join('a' * 290)} = 1}}",
    "keys in quotes": lambda n: f'"{"." * 299}{n}" = 1',
}


@pytest.mark.parametrize("what", STALLING)
@pytest.mark.parametrize("table", ["", f"[c.{DEEP[:-2]}]\n"])
def test_a_file_built_to_stall_the_parser_is_over_soon(what, table):
    """The largest file of the deepest allowed keys, in the deepest table, takes a second or two."""
    lines = (MAX_TOML_BYTES - 1000) // len(STALLING[what](1000))
    text = table + "\n".join(map(STALLING[what], range(lines)))
    start = time.process_time()
    with pytest.raises(FormatError):
        parse_toml(text, "f").read(lambda table: table.only("x"))
    assert time.process_time() - start < 4


@pytest.mark.parametrize(
    "line",
    [
        f"{DEEP}.a = 1",
        f"[{DEEP}.a]",
        f"  [[ {DEEP} . a ]]",
        '"\\"".' + DEEP + '."\\"" = 1',
        "'\"'." + DEEP + ".'\"' = 1",
        ".".join(['"a.b"'] * 34) + " = 1",
    ],
)
def test_keys_of_many_parts_are_refused(line):
    """Each part of a key costs time for each part of its table; quotes hide none."""
    with pytest.raises(FormatError, match="f line 2 has a key of more than 33 parts"):
        parse_toml(f"\n{line}", "f")


def test_dots_within_names_and_values_are_let_be():
    """A name may be nothing but dots, and so may a text; a comment is not looked at."""
    text = f'"{"." * 255}" = "{"." * 40}"\n# {"." * 400}\na = [{"0.5, " * 200}1]\n[b."{"." * 200}"]'
    assert list(parse_toml(text, "f").values) == ["." * 255, "a", "b"]
    with pytest.raises(FormatError, match="line 1 has more than 300 dots"):
        parse_toml(f"a = [{'0.5, ' * 301}1]", "f")


def test_a_line_of_quotes_is_over_soon():
    """Looking for the quotes of a line takes one pass."""
    for line in ('\\"' * 120_000, '"' * 240_000, "'" * 240_000):
        start = time.process_time()
        with pytest.raises(FormatError):
            parse_toml("." * 40 + line, "f")
        assert time.process_time() - start < 2
