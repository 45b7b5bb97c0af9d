"""HTML built so that no value can become markup, and plain text that no value can bend.

`Markup` is text that was escaped here; the type checker keeps plain strings out of a page. What is
written is ASCII, so that it looks the same under every encoding a browser may guess. Characters
that reorder, hide or break the text around them are shown by name instead.
"""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterfoil.core.canonical import JsonValue

Markup = NewType("Markup", str)

MINUS = "\N{MINUS SIGN}"

_LONG = 1e15
"""From here on floats are written with an exponent: their digits would say more than they know."""

# A fixed list, not `unicodedata.category`: that grows with Python's version, and a page must
# render the same in all of them. Controls, soft hyphen, bidirectional marks, embeddings and
# isolates, separators, blanks that pass for nothing, tags, surrogates, non-characters. The two
# joiners (U+200C, U+200D) stay: Persian names and emoji need them, and they reorder nothing.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SPECIAL = re.compile(r"""[^ !#-%(-;=?-~]""")
_VOID = frozenset({"br", "meta"})


def visible(value: str) -> str:
    """Replace every character that would hide, reorder or control by its name, as `[U+202E]`."""
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", value)


def text(value: str) -> Markup:
    """Escape one line of text; unseen characters become boxes with their names."""
    parts = _UNSEEN.split(value)
    names = [f'<span class="unseen">U+{ord(char):04X}</span>' for char in _UNSEEN.findall(value)]
    return Markup(
        "".join(_escape(part) + name for part, name in zip(parts, [*names, ""], strict=True))
    )


def lines(value: str) -> Markup:
    """Escape text of several lines, such as a postal address."""
    return Markup("<br>\n".join(text(line) for line in value.split("\n")))


def join(*parts: Markup, by: str = "") -> Markup:
    """Put markup side by side."""
    return Markup(by.join(parts))


def tag(element: str, *children: Markup, field: str = "", **attributes: str) -> Markup:
    """Write one element.

    Args:
        element: Its name.
        children: What it holds; nothing for void elements.
        field: Which proven value is shown in it, such as `inputs.age`.
        attributes: Others; a trailing underscore is dropped (`class_`), others become hyphens.
    """
    if field:
        attributes["data_field"] = field
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escape(visible(value))}"'
        for key, value in attributes.items()
    )
    if element in _VOID:
        return Markup(f"<{element}{written}>")
    return Markup(f"<{element}{written}>{''.join(children)}</{element}>")


def block(element: str, *children: Markup, field: str = "", **attributes: str) -> Markup:
    """Write an element with each child on a line of its own: people edit and compare lines."""
    inner = join(*(child for child in children if child), by="\n")
    return tag(element, Markup("\n"), inner, Markup("\n"), field=field, **attributes)


def section(name: str, heading: str, *children: Markup) -> Markup:
    """Write a part of the page under its heading."""
    return block("section", tag("h2", text(heading)), *children, field=f"text.{name}")


def table(name: str, columns: Sequence[str], rows: Sequence[Markup]) -> Markup:
    """Write a table; `rows` are whole `tr` elements."""
    head = tag("tr", *(tag("th", text(column), scope="col") for column in columns))
    return block("table", tag("thead", head), block("tbody", *rows), class_=name)


def fact(label: str, field: str, value: str) -> Markup:
    """Write one pair of a `dl`."""
    return block("div", tag("dt", text(label)), tag("dd", text(value), field=field))


def inline(field: str, value: str) -> Markup:
    """Set a value into a sentence; `bdi` keeps right-to-left names from reordering it."""
    return tag("bdi", text(value), field=field)


def number(value: float) -> str:
    """Write a number exactly: all its digits, nothing rounded, the same on every machine."""
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < _LONG:
        return str(int(value))
    return repr(value)


def rounded(value: float, decimals: int) -> str:
    """Write a number with so many decimals; never `-0.00`."""
    if abs(value) >= _LONG:
        return number(value).replace("-", MINUS)
    written = f"{value:.{decimals}f}"
    return written.replace("-", MINUS) if written.strip("-0.") else written.removeprefix("-")


def signed(value: float, decimals: int) -> str:
    """Write a number with its sign, plus included."""
    written = rounded(value, decimals)
    return f"+{written}" if value > 0 and written.strip("0.") else written


def plain(value: JsonValue) -> str:
    """Write any JSON value as a person would read it."""
    match value:
        case None:
            return "not given"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return number(value)
        case str():
            return value or "(empty)"
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _escape(value: str) -> str:
    return _SPECIAL.sub(_reference, value)


def _reference(found: re.Match[str]) -> str:
    char = found[0]
    return html.escape(char) if char.isascii() else f"&#{ord(char)};"
