"""TOML read strictly: a reader names the keys it knows, and anything else is refused.

A `Table` knows where it stands, so that an error says which table and, where it can be found,
which line of the file. The same tables read the JSON form of a file; only the lines are missing.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from counterfoil.core.canonical import JsonValue
from counterfoil.core.text import shown
from counterfoil.errors import FormatError

T = TypeVar("T")

MAX_TOML_BYTES = 256 * 1024
"""Longest file: room for more than a hundred ML-DSA keys, far too little to keep a parser busy."""

MAX_DOTS_PER_LINE = 300
"""Dots on a line that is no comment: `tomllib` takes quadratic time over the parts of a key. The
longest name of a key may be nothing but dots, so it is not less."""

MAX_DOTS_PER_KEY = 32
"""Dots outside quotes in a key, and in the name of a table: far more than anything here has. Each
key costs the product of its own parts and those of its table above it."""

MAX_COLUMNS = 80
"""Longest list that is written on one line."""

MAX_INTEGER = 2**53 - 1
"""Largest integer: what the canonical JSON form of the file holds exactly."""

# Always matches from a quote on, so that no input makes it look at a character twice.
_QUOTED = re.compile(r'"(?:[^"\\]++|\\.)*+"?|\'[^\']*+\'?')
_NEAREST_CHARACTERS = 64  # of an unknown key: comparing longer ones would only cost time
_HEADER = re.compile(r"[ \t]*(\[\[?)([^\[\]]+)\]")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_KEY = re.compile(r"[ \t]*([A-Za-z0-9_-]+|\"[^\"]*\")[ \t]*=")


class _PlacedError(FormatError):
    """A format error that already says where in the file it is."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a file, and the way to it.

    Args:
        values: Its keys, as `tomllib` or the JSON parser gives them.
        what: Name of the file, for messages.
        path: Keys and zero-based positions that lead here.
        lines: Line numbers by path, as far as they are known.
    """

    values: Mapping[str, object]
    what: str
    path: tuple[str | int, ...] = ()
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)

    def error(self, message: str, *, key: str | None = None, hint: str = "") -> FormatError:
        """Return an error that says where it is: file, line if known, table."""
        path = self.path if key is None else (*self.path, key)
        while path and path not in self.lines:
            path = path[:-1]
        place = self.what + (f" line {self.lines[path]}" if path in self.lines else "")
        here = " ".join(str(part + 1) if isinstance(part, int) else part for part in self.path)
        return _PlacedError(f"{place}{', ' if here else ''}{here}: {message}", hint=hint)

    def read(self, reader: Callable[[Table], T]) -> T:
        """Let `reader` make a value of this table; its format errors get this table's place."""
        try:
            return reader(self)
        except _PlacedError:
            raise
        except FormatError as error:
            raise self.error(str(error), hint=error.hint) from error

    def only(self, *known: str) -> None:
        """Refuse keys that are not among `known`; a misspelt rule would be no rule.

        Raises:
            FormatError: Naming the key, its line and the nearest known key.
        """
        for key in self.values:
            if key not in known:
                near = difflib.get_close_matches(key[:_NEAREST_CHARACTERS], known, n=1)
                raise self.error(
                    f"unknown key {shown(key)}",
                    key=key,
                    hint=f'Did you mean "{near[0]}"?'
                    if near
                    else f"Known here: {', '.join(known)}.",
                )

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string; without a default it must be there."""
        value = self.values.get(key, default)
        if isinstance(value, str):
            return value
        raise self._unexpected(key, "text in quotes")

    def integer(self, key: str, default: int | None = None) -> int:
        """Return an integer from 0 to 2**53 - 1; without a default it must be there."""
        value = self.values.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER:
            return value
        raise self._unexpected(key, "a whole number from 0")

    def flag(self, key: str, *, default: bool) -> bool:
        """Return `true` or `false`."""
        value = self.values.get(key, default)
        if isinstance(value, bool):
            return value
        raise self._unexpected(key, "true or false")

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings; an absent one is empty."""
        value = self.values.get(key, [])
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise self._unexpected(key, "a list of texts in quotes")

    def inner(self, key: str, reader: Callable[[Table], T]) -> T:
        """Read a table that must be there."""
        value = self.values.get(key)
        if isinstance(value, dict):
            return Table(value, self.what, (*self.path, key), self.lines).read(reader)
        raise self._unexpected(key, "a table")

    def optional(self, key: str, reader: Callable[[Table], T], default: T) -> T:
        """Read a table, or return `default` where there is none."""
        return self.inner(key, reader) if key in self.values else default

    def each(self, key: str, reader: Callable[[Table], T]) -> tuple[T, ...]:
        """Read a list of tables; an absent one is empty."""
        value = self.values.get(key, [])
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return tuple(
                Table(item, self.what, (*self.path, key, position), self.lines).read(reader)
                for position, item in enumerate(value)
            )
        raise self._unexpected(key, "a list of tables")

    def _unexpected(self, key: str, wanted: str) -> FormatError:
        if key not in self.values:
            return self.error(f'"{key}" is missing', hint=f"Add {key}: {wanted}.")
        return self.error(f'"{key}" must be {wanted}', key=key, hint=f"Write {wanted}.")


def parse_toml(data: str | bytes, what: str) -> Table:
    """Read a TOML file as its outermost table.

    Args:
        data: The file, UTF-8, at most `MAX_TOML_BYTES`.
        what: Its name, for messages.

    Raises:
        FormatError: Too large, not UTF-8, not TOML, or built to keep the parser busy.

    Source:
        TOML 1.0.0.
    """
    text = _decode(data, what)
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > MAX_DOTS_PER_KEY and not line.lstrip().startswith("#"):
            _check_dots(line, f"{what} line {number}")
    try:
        return Table(tomllib.loads(text), what, (), _find_lines(text))
    except RecursionError as error:
        # tomllib descends once per bracket; in pure Python that ends in this error, harmlessly.
        raise FormatError(
            f"{what} is nested too deep", hint="Nothing here is nested more than a few levels."
        ) from error
    except ValueError as error:  # TOMLDecodeError, or an integer of thousands of digits
        raise FormatError(
            f"{what} is not TOML: {error}", hint="Look at that place; text needs quotes."
        ) from error


def format_key(key: str) -> str:
    """Write a key, quoted where it must be."""
    return key if _BARE.fullmatch(key) else format_value(key)


def format_value(value: JsonValue) -> str:
    """Write a value: text, integer, `true`/`false`, or a list or table of these.

    A list that does not fit on a line gets a line for each element.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            # JSON escapes what TOML does, but for DEL, which TOML wants escaped too.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case list():
            items = [format_value(item) for item in value]
            line = f"[{', '.join(items)}]"
            if len(line) <= MAX_COLUMNS:
                return line
            return "\n".join(["[", *(f"    {item}," for item in items), "]"])
        case dict():
            pairs = [f"{format_key(key)} = {format_value(item)}" for key, item in value.items()]
            return f"{{ {', '.join(pairs)} }}"
        case _:
            raise FormatError(
                f"TOML as written here has no {type(value).__name__}",
                hint="Write numbers that are not whole, and times, as text.",
            )


def _decode(data: str | bytes, what: str) -> str:
    try:
        raw = data.encode("utf-8") if isinstance(data, str) else data
        if len(raw) > MAX_TOML_BYTES:
            raise FormatError(
                f"{what} has {len(raw)} bytes, at most {MAX_TOML_BYTES} are read",
                hint="Look whether it is the file you meant.",
            )
        return raw.decode("utf-8")
    except UnicodeError as error:
        raise FormatError(f"{what} is not UTF-8", hint="Save it as UTF-8.") from error


def _check_dots(line: str, where: str) -> None:
    if line.count(".") > MAX_DOTS_PER_LINE:
        raise FormatError(
            f"{where} has more than {MAX_DOTS_PER_LINE} dots",
            hint="Break the list into several lines.",
        )
    bare = _QUOTED.sub("", line)
    key, is_key, _ = bare.partition("=")
    if (is_key or bare.lstrip().startswith("[")) and key.count(".") > MAX_DOTS_PER_KEY:
        raise FormatError(
            f"{where} has a key of more than {MAX_DOTS_PER_KEY + 1} parts",
            hint="A dot that belongs to a name stands in quotes.",
        )


def _find_lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Find the lines of tables and keys, for messages only.

    Looks at lines, not at syntax: a header inside a multi-line string misleads it, and then a
    message names a wrong line. Nothing is decided by it.
    """
    lines: dict[tuple[str | int, ...], int] = {}
    counts: dict[tuple[str | int, ...], int] = {}
    here: tuple[str | int, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            parts = tuple(part.strip(" \t\"'") for part in header[2].split("."))
            if header[1] == "[[":
                array = _inside(parts[:-1], counts) + parts[-1:]
                counts[array] = counts.get(array, -1) + 1
            here = _inside(parts, counts)
            lines.setdefault(here, number)
        elif key := _KEY.match(line):
            lines.setdefault((*here, key[1].strip('"')), number)
    return lines


def _inside(
    parts: tuple[str, ...], counts: Mapping[tuple[str | int, ...], int]
) -> tuple[str | int, ...]:
    """Follow `parts`, going into the newest element wherever they cross a list of tables."""
    path: tuple[str | int, ...] = ()
    for part in parts:
        path = (*path, part)
        if path in counts:
            path = (*path, counts[path])
    return path
