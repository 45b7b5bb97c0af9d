"""The page, version 1: a letter, a perforation, and below it the stub that proves the letter.

Frozen: evidence handed out as this version is re-rendered by this module for as long as it is
kept, so nothing here or in `letter_v1`, `page_v1.css` and `markup` may change what is written. A
better page is a new version beside this one (`counterfoil.evidence.page`).
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING

from counterfoil.evidence.letter_v1 import Letter
from counterfoil.evidence.markup import (
    Markup,
    block,
    fact,
    inline,
    join,
    lines,
    table,
    tag,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from counterfoil.core.canonical import JsonValue
    from counterfoil.evidence.proof import Proof

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def how_to_check(noun: str) -> list[Markup]:
    """Say how the page is checked."""
    return [
        tag(
            "p",
            text(
                f"This {noun} carries its own proof. Anyone can check it on their own computer, "
                "offline, without asking whoever wrote it. FILE is the name of this file:"
            ),
        ),
        tag("p", tag("code", text("counterfoil verify FILE")), class_="command"),
    ]


def render(
    proof: Proof,
    facts: Mapping[str, JsonValue],
    generator: str,
    evidence: Markup,
    how: Callable[[str], list[Markup]] = how_to_check,
) -> Markup:
    """Write the page; everything shown comes from `proof` and `facts`.

    Args:
        proof: Where the record lies and what stands behind it.
        facts: The disclosed fields by name; undisclosed ones are absent.
        generator: Name of this version, by which a verifier finds this module again.
        evidence: The element that holds the evidence itself; no reader sees it.
        how: Says how the page is checked, for a later version.

    Returns:
        A whole HTML document, in ASCII.
    """
    letter = Letter(proof, facts)
    style = resources.files(__package__).joinpath("page_v1.css").read_text("ascii")
    head = block(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="generator", content=generator),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", text(letter.title), field="title"),
        tag("style", Markup(f"\n{style}"), field="style"),
        field="head",
    )
    main = block(
        "main",
        block("article", *letter.parts(), class_="letter"),
        block("aside", *_stub(letter.noun, proof, facts, how), class_="stub", field="text.check"),
    )
    body = block("body", main, evidence, field="page")
    return join(
        Markup("<!DOCTYPE html>"), block("html", head, body, lang="en"), Markup(""), by="\n"
    )


def _stub(
    noun: str,
    proof: Proof,
    facts: Mapping[str, JsonValue],
    how: Callable[[str], list[Markup]],
) -> list[Markup]:
    """Below the perforation: how to check the letter, and the proof it carries."""
    return [
        tag("h2", text(f"How to check this {noun}")),
        *how(noun),
        block("div", _shows(noun, proof), _does_not_show(), class_="columns"),
        tag(
            "p",
            tag("strong", text("Compare the policy digest. ")),
            text(
                "The check prints a fingerprint of the rules it went by: whose keys count, "
                "and for what. Get the right fingerprint from somewhere else, such as a public "
                "notice or the supervisor. Nothing can vouch for itself, so the fingerprint "
                "is not printed here."
            ),
        ),
        _technical(proof, facts),
    ]


def _shows(noun: str, proof: Proof) -> Markup:
    where = (
        text("It is record "),
        inline("proof.index", str(proof.index)),
        text(" of a numbered series whose state is entered in the log "),
        inline("proof.origin", proof.origin),
        text("."),
    )
    return block(
        "div",
        tag("h3", text("What a passed check shows")),
        block(
            "ul",
            tag("li", text("Every name, reason and figure above is the one on record.")),
            tag("li", *where),
            tag("li", text(f"Were the record exchanged or altered, this {noun} would not fit.")),
        ),
    )


def _does_not_show() -> Markup:
    return block(
        "div",
        tag("h3", text("What it cannot show")),
        block(
            "ul",
            tag("li", text("That the data is right, or the decision fair or lawful.")),
            tag("li", text("That every decision was recorded, or this case decided only once.")),
            tag("li", text("More than its signers are worth: the check names whom to trust.")),
        ),
    )


def _technical(proof: Proof, facts: Mapping[str, JsonValue]) -> Markup:
    where = [
        fact(label, f"proof.{field}", said)
        for label, field, said in (
            ("Log", "origin", proof.origin),
            ("System", "system", proof.system),
            ("Stream", "stream", proof.stream.hex()),
            ("Record", "index", str(proof.index)),
            ("Record handle", "leaf", proof.leaf.hex()),
            ("Stream size", "size", str(proof.size)),
            ("Stream root", "root", proof.root.hex()),
        )
    ]
    statements = [
        block(
            "tr",
            tag("th", text(one.role), scope="row", field=f"proof.statements.{rank}.role"),
            tag("td", text(one.about), field=f"proof.statements.{rank}.about"),
            tag("td", text(str(one.index)), field=f"proof.statements.{rank}.index"),
            tag("td", text(one.digest.hex()), field=f"proof.statements.{rank}.digest"),
        )
        for rank, one in enumerate(proof.statements, 1)
    ]
    disclosed = [
        join(tag("h4", text(name)), tag("pre", _recorded(facts[name]), field=name), by="\n")
        for name in proof.fields
        if name in facts
    ]
    caution = (
        "That a statement is in the log makes it neither true nor its signer entitled to make it; "
        "the check says which of them count."
    )
    columns = ("Statement", "About", "Entry", "SHA-256")
    return block(
        "details",
        tag("summary", text("Technical facts")),
        block("dl", *where),
        tag("h3", text("Statements in the log")),
        tag("p", text(caution)),
        table("statements", columns, statements),
        tag("h3", text("The record, as disclosed")),
        *disclosed,
        field="text.technical",
    )


def _recorded(value: JsonValue) -> Markup:
    # With sorted keys: how a mapping came to be ordered must not show on the page.
    return lines(json.dumps(value, ensure_ascii=False, sort_keys=True, indent=2))
