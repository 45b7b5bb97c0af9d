"""The report of a demonstration: one HTML file that a risk officer would want to read.

It tells what happened and in which order of importance: whether every attack was caught, what was
decided by which model on which data, what was erased, and what none of this proves. The page needs
nothing but itself: no script, no font, no picture from elsewhere.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from counterfoil.errors import FormatError
from counterfoil.evidence.markup import Markup, block, join, tag, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from counterfoil.demo.story import (
        Attack,
        Card,
        Erasure,
        LedgerState,
        Section,
        Story,
        Table,
        Timing,
    )

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def format_report(story: Story) -> bytes:
    """Write `report.html`; the same for the same story.

    Raises:
        FormatError: A plot that is asked for is missing or no SVG.
    """
    style = resources.files(__package__).joinpath("report.css").read_text("ascii")
    head = block(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", text(story.title)),
        tag("style", Markup(f"\n{style}")),
    )
    lineage = (
        _section("From data to proof", _figure(story.plots, story.lineage, ""))
        if story.lineage
        else Markup("")
    )
    main = block(
        "main",
        _masthead(story),
        _cards(story.cards),
        lineage,
        *(_chapter(section, story.plots) for section in story.sections),
        _attacks(story.attacks),
        _erasures(story.erasures),
        _limits(story),
        _ledger(story.ledger),
        _timings(story.timings),
    )
    page = block("html", head, block("body", main), lang="en")
    return join(Markup("<!DOCTYPE html>"), page, Markup(""), by="\n").encode("ascii")


def _masthead(story: Story) -> Markup:
    return block(
        "header",
        tag("p", text(f"{story.organisation} \N{MIDDLE DOT} {story.generated}"), class_="byline"),
        tag("h1", text(story.title)),
        tag("p", text(story.summary), class_="summary"),
    )


def _cards(cards: Sequence[Card]) -> Markup:
    if not cards:
        return Markup("")
    made = (
        block(
            "div",
            tag("dt", text(card.label)),
            tag("dd", text(card.value)),
            tag("dd", text(card.note), class_="note") if card.note else Markup(""),
        )
        for card in cards
    )
    return block("dl", *made, class_="cards")


def _chapter(section: Section, plots: Mapping[str, str]) -> Markup:
    return _section(
        section.heading,
        tag("p", text(section.text)) if section.text else Markup(""),
        *(_figure(plots, key, caption) for key, caption in section.plots),
        *(_table(table) for table in section.tables),
    )


def _figure(plots: Mapping[str, str], key: str, caption: str) -> Markup:
    plot = plots.get(key, "")
    if not (plot.startswith("<svg") and plot.endswith("</svg>")):
        raise FormatError(
            f"the plot {key!r} of the report is missing or no SVG",
            hint="Put it into Story.plots under this name.",
        )
    # The plots escape their own words; here they only become ASCII like the rest of the page.
    picture = Markup(plot.encode("ascii", "xmlcharrefreplace").decode("ascii"))
    above = tag("figcaption", text(caption)) if caption else Markup("")
    return block("figure", above, tag("div", picture, class_="plot"))


def _table(table: Table) -> Markup:
    rows = (
        [_cell("th" if not at else "td", cell, at in table.numeric) for at, cell in enumerate(row)]
        for row in table.rows
    )
    return _rows(table.caption, table.columns, rows, table.numeric)


def _rows(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Markup]],
    numeric: frozenset[int] = frozenset(),
) -> Markup:
    head = [
        tag("th", text(name), scope="col", class_="number" if at in numeric else "words")
        for at, name in enumerate(columns)
    ]
    table = block(
        "table",
        tag("caption", text(caption)) if caption else Markup(""),
        tag("thead", tag("tr", *head)),
        block("tbody", *(block("tr", *cells) for cells in rows)),
    )
    return block("div", table, class_="scroll")


def _cell(name: str, said: str, number: bool = False) -> Markup:
    kind = {"class_": "number"} if number else {}
    if name == "th":
        kind["scope"] = "row"
    return tag(name, text(said), **kind)


def _attacks(attacks: Sequence[Attack]) -> Markup:
    if not attacks:
        return Markup("")
    missed = sum(not attack.caught for attack in attacks)
    verdict = (
        f"{missed} of {len(attacks)} attacks went unnoticed. Do not rely on this installation."
        if missed
        else f"{len(attacks)} of {len(attacks)} attacks were caught."
    )
    rows = (
        (
            _cell("th", attack.name),
            tag("td", _mark(attack.caught, "caught", "NOT CAUGHT")),
            _cell("td", attack.by),
            _cell("td", _seconds(attack.seconds), number=True),
        )
        for attack in attacks
    )
    columns = ("What was done", "Result", "By what", "Time")
    return _section(
        "Attacks",
        tag("p", tag("strong", text(verdict)), class_="alarm" if missed else "calm"),
        _rows("", columns, rows, frozenset({3})),
    )


def _erasures(erasures: Sequence[Erasure]) -> Markup:
    if not erasures:
        return Markup("")
    rows = (
        (
            _cell("th", erasure.request),
            tag("td", _mark(erasure.done, "erased", "refused", alarming=False)),
            _cell("td", erasure.result),
        )
        for erasure in erasures
    )
    return _section("Erasure", _rows("", ("Request", "Result", "What was found"), rows))


def _limits(story: Story) -> Markup:
    columns = [
        block("div", tag("h2", text(heading)), _bullets(sentences))
        for heading, sentences in (
            ("What is not proven", story.not_proven),
            ("Whom you still have to trust", story.trust),
        )
        if sentences
    ]
    return block("section", *columns, class_="limits") if columns else Markup("")


def _ledger(ledger: LedgerState) -> Markup:
    rows = (
        ("Log", ledger.origin),
        ("Key", ledger.key),
        ("Entries", str(ledger.size)),
        ("Root", ledger.root),
        ("Trust policy", ledger.policy),
        ("Grade", ledger.grade),
    )
    made = (block("div", tag("dt", text(label)), tag("dd", text(said))) for label, said in rows)
    return _section("The ledger at the end", block("dl", *made, class_="facts"))


def _timings(timings: Sequence[Timing]) -> Markup:
    if not timings:
        return Markup("")
    longest = max(timing.seconds for timing in timings) or 1.0
    rows = [
        (
            _cell("th", timing.step),
            tag("td", _bar(timing.seconds / longest), class_="length"),
            _cell("td", _seconds(timing.seconds), number=True),
        )
        for timing in timings
    ]
    total = sum(timing.seconds for timing in timings)
    rows.append((_cell("th", "Together"), tag("td"), _cell("td", _seconds(total), number=True)))
    return _section("How long it took", _rows("", ("Step", "", "Time"), rows, frozenset({2})))


def _bar(share: float) -> Markup:
    shape = tag("rect", x="0", y="0", width=f"{100 * share:.1f}", height="8")
    return tag("svg", shape, viewBox="0 0 100 8", preserveAspectRatio="none", aria_hidden="true")


def _section(heading: str, *children: Markup) -> Markup:
    return block("section", tag("h2", text(heading)), *children)


def _bullets(sentences: Sequence[str]) -> Markup:
    return block("ul", *(tag("li", text(sentence)) for sentence in sentences))


def _mark(good: bool, yes: str, no: str, *, alarming: bool = True) -> Markup:
    kind = "good" if good else "bad" if alarming else "quiet"
    return tag("span", text(yes if good else no), class_=f"mark {kind}")


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s"
