"""Name the first place where a page differs from what is proven, in words for its reader."""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from counterfoil.evidence.markup import visible

_SHOWN_CHARACTERS = 120
"""How much of a differing text a message repeats."""

_SHOWN_BEFORE = 60
"""How much of that lies before the difference."""

# These read only what we wrote ourselves, where no text or attribute holds < or >.
_TOKEN = re.compile(r"<[^>]*>|[^<]+")
_FIELD = re.compile(r' data-field="([^"]*)"')
_OPENS = re.compile(r"<([a-z0-9]+)")
# This reads what may be hostile.
_ELEMENT = re.compile(r"</?([A-Za-z][^\s<>/]{0,40})|<[!?]")
_WITHOUT_END = frozenset({"meta", "br"})
_LONG_REFERENCE = re.compile(r"&#[0-9]{1000,}+")  # no character has such a number
_NAMED_ALONE = frozenset({"script", "style"})


class _Place(NamedTuple):
    """Where in the proven page a difference lies.

    Args:
        token: The whole tag or text there; empty behind the end.
        start: Where it begins.
        text_start: Where the text begins that includes this place or ends just before it.
        following: The tag that ends this text.
        element: Name of the innermost element around it.
        field: What is shown there.
    """

    token: str
    start: int
    text_start: int
    following: str
    element: str
    field: str


def describe_difference(page: str, proven: str) -> str:
    """Say which field, style, script or element differs first, and how.

    Args:
        page: The page as received: arbitrary text, looked at only around the difference.
        proven: The page as written from proven values; not equal to `page`.
    """
    at = _common_length(page, proven)
    place = _find(proven, at)
    where = f"{visible(html.unescape(place.field))} (line {proven.count(chr(10), 0, at) + 1})"
    if at == len(page):
        return f"{where}: the page ends here, the proven one goes on"
    if place.token.startswith("<") and at > place.start:
        return _describe_element(where, page[place.start :], place.token)
    if place.element == "style":
        return f"style, {where}: how the page looks was changed"
    if place.element == "script":
        return f"evidence, {where}: it is not written in its one form"
    if page.startswith(place.following, at):  # the text was cut short, and no element added
        return _describe_text(where, page[place.text_start : at], proven, place)
    if _ELEMENT.match(page, at):
        return _describe_element(where, page[at:], "")
    end = page.find("<", at + 1)
    return _describe_text(where, page[place.text_start : end if end > 0 else None], proven, place)


def _describe_text(where: str, text: str, proven: str, place: _Place) -> str:
    end = proven.find("<", place.text_start)
    says, truth = _words(text), _words(proven[place.text_start : end])
    if says == truth:
        return f"{where}: the page writes {_shown(truth)} in another way or with other white space"
    # Of long texts, the part around the difference.
    start = max(0, _common_length(says, truth) - _SHOWN_BEFORE)
    return f"{where}: the page says {_shown(says, start)}, proven is {_shown(truth, start)}"


def _describe_element(where: str, page: str, proven: str) -> str:
    """Name the element with which `page` begins, where `proven` has another tag or none."""
    found = _ELEMENT.match(page)
    name = (found[1] or "!").lower() if found else "?"
    kind = name if name in _NAMED_ALONE else f"element <{visible(name)}>"
    says = _shown(page[: page.find(">") + 1 or None])
    return f"{kind}, {where}: the page has {says}, proven is {_shown(proven or 'none')}"


def _find(proven: str, at: int) -> _Place:
    """Walk through the proven page up to `at`, keeping track of what is open."""
    opened = [("", "page")]
    text_start = 0
    for found in _TOKEN.finditer(proven):
        token = found[0]
        if at < found.end():
            break
        if token.startswith("<"):
            text_start = found.end()
            if token.startswith("</"):
                opened.pop()
            elif (name := _OPENS.match(token)) and name[1] not in _WITHOUT_END:
                field = _FIELD.search(token)
                opened.append((name[1], field[1] if field else opened[-1][1]))
    else:
        return _Place("", len(proven), text_start, "</html>", *opened[-1])
    element, field_name = opened[-1]
    if token.startswith("<"):
        own = _FIELD.search(token) if at > found.start() else None
        return _Place(
            token, found.start(), text_start, token, element, own[1] if own else field_name
        )
    following = _TOKEN.match(proven, found.end())
    return _Place(
        token,
        found.start(),
        found.start(),
        following[0] if following else "</html>",
        element,
        field_name,
    )


def _common_length(a: str, b: str) -> int:
    """Return how many characters two texts have in common from the start."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle - 1)
    return low


def _words(markup: str) -> str:
    # Python refuses to read a number of thousands of digits.
    return " ".join(html.unescape(_LONG_REFERENCE.sub("\ufffd", markup)).split())


def _shown(text: str, start: int = 0) -> str:
    end = start + _SHOWN_CHARACTERS
    before, after = "..." if start else "", "..." if len(text) > end else ""
    return f'"{before}{visible(text[start:end])}{after}"'
