"""Evidence files that a person can read: a letter, with the proof embedded in it.

The page is HTML with one block of JSON, the evidence itself. What a person reads is what is
proven: `check_page` writes the page again from the proven values alone and compares all of it. So
no figure, word, style or element can differ from the proof and still verify, and where one does,
the field is named.

    parse_page(data)                    the evidence, to be checked like any other
    check_page(data, evidence, facts)   then the page around it

Source:
    docs/reference/evidence.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from counterfoil.core.canonical import format_json, parse_json
from counterfoil.errors import FormatError, VerificationError
from counterfoil.evidence import page_v1, page_v2
from counterfoil.evidence.difference import describe_difference
from counterfoil.evidence.markup import Markup, visible
from counterfoil.evidence.proof import Proof, read_proof

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from counterfoil.core.canonical import JsonValue

    Renderer: TypeAlias = Callable[[Proof, Mapping[str, JsonValue], str, Markup], Markup]

MAX_PAGE_BYTES = 16 * 1024 * 1024
"""Bytes of a page: an evidence file is at most as large in either form."""

CURRENT_VERSION = "counterfoil page v2"

# A version stays here for as long as pages of it may be around.
_RENDERERS: Mapping[str, Renderer] = {
    "counterfoil page v1": page_v1.render,
    CURRENT_VERSION: page_v2.render,
}

_BLOCK_START = '<script type="application/json" id="counterfoil-evidence">'
_BLOCK_END = "</script>"
_BYTE_ORDER_MARK = "\ufeff"

_GENERATOR = re.compile(r'<meta name="generator" content="([^"<>]{1,80})">')
_NOT_IN_BLOCK = re.compile(r"[^ -%'-;=?-~]")


def format_page(evidence: Mapping[str, JsonValue], facts: Mapping[str, JsonValue]) -> bytes:
    """Write the page of the current version.

    Args:
        evidence: The evidence file's JSON.
        facts: The disclosed fields by name, as `check_disclosures` returned them.

    Returns:
        An HTML document in ASCII; the same for the same arguments, for ever.

    Raises:
        FormatError: This is not evidence about a record, or the page would be too large.
    """
    page = _render(CURRENT_VERSION, evidence, facts).encode("ascii")
    if len(page) > MAX_PAGE_BYTES:
        raise FormatError(
            f"this page would have {len(page)} bytes, at most {MAX_PAGE_BYTES} are read",
            hint="Disclose fewer fields.",
        )
    return page


def parse_page(data: bytes) -> dict[str, JsonValue]:
    """Read the evidence out of a page. Whether the page fits it is for `check_page`.

    Raises:
        FormatError: Not UTF-8, too large, not exactly one block of evidence, or that is not
            a JSON object.
    """
    _, found, rest = _normal(data).partition(_BLOCK_START)
    block, ended, rest = rest.partition(_BLOCK_END)
    if not found or not ended or _BLOCK_START in rest:
        raise FormatError(
            "this page does not hold exactly one block of evidence",
            hint="It is another web page, or was cut short; ask for the file again.",
        )
    evidence = parse_json(block.encode("utf-8"), what="the evidence in the page")
    if not isinstance(evidence, dict):
        raise FormatError(
            "the evidence in the page is not a JSON object",
            hint="See docs/reference/evidence.md for what it holds.",
        )
    return evidence


def check_page(
    data: bytes, evidence: Mapping[str, JsonValue], facts: Mapping[str, JsonValue]
) -> None:
    """Check that a page is, character for character, what the proven values are written as.

    Line endings, a byte order mark, and white space at the ends of lines and of the file are not
    compared: editors and mail change them, and no reader sees them.

    Args:
        data: The page.
        evidence: As `parse_page` read it from this page, and checked since.
        facts: The disclosed fields by name, as `check_disclosures` returned them.

    Raises:
        FormatError: Not a page, or of a version that is unknown here.
        VerificationError: It differs; the message names the field, what the page says there and
            what is proven.
    """
    page = _normal(data)
    found = _GENERATOR.search(page)
    if not found or found[1] not in _RENDERERS:
        raise FormatError(
            f"this page is of an unknown version: {visible(found[1]) if found else 'none named'}",
            hint="A newer counterfoil may know it; or it is another web page.",
        )
    proven = _normal(_render(found[1], evidence, facts).encode("ascii"))
    if page != proven:
        raise VerificationError(
            describe_difference(page, proven),
            hint="The page was changed after it was made. Believe what is proven, not the page.",
        )


def _render(
    version: str, evidence: Mapping[str, JsonValue], facts: Mapping[str, JsonValue]
) -> Markup:
    written = format_json(dict(evidence)).decode("utf-8")
    block = Markup(f"{_BLOCK_START}{_NOT_IN_BLOCK.sub(_escape, written)}{_BLOCK_END}")
    return _RENDERERS[version](read_proof(evidence), facts, version, block)


def _escape(found: re.Match[str]) -> str:
    """Write one character as JSON escapes, so that it means nothing to HTML."""
    units = found[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _normal(data: bytes) -> str:
    """Read the page as text without what editors and mail change."""
    if len(data) > MAX_PAGE_BYTES:
        raise FormatError(
            f"this page has {len(data)} bytes, at most {MAX_PAGE_BYTES} are read",
            hint="Look whether it is the file you meant.",
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"this page is not UTF-8 at byte {error.start}",
            hint="An editor saved it in another encoding; use the file as it was sent.",
        ) from error
    text = text.removeprefix(_BYTE_ORDER_MARK).replace("\r\n", "\n").replace("\r", "\n")
    # Line by line: a regular expression would take quadratic time on a megabyte of blanks.
    return "\n".join(line.rstrip(" \t") for line in text.split("\n")).rstrip("\n")
