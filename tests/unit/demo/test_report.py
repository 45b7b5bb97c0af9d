from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from counterfoil.demo.report import format_report
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
from counterfoil.errors import FormatError

PICTURE = '<svg xmlns="http://www.w3.org/2000/svg"><text>\N{GREEK SMALL LETTER ALPHA}</text></svg>'
STORY = Story(
    title="What the credit model did",
    organisation="North Bank",
    generated="22 November 2026",
    summary="A model decided on 300 applicants.",
    ledger=LedgerState(
        "ledger.example/log", "ledger.example/log+00+AA", 46, "ab", "cd", "witnessed"
    ),
    cards=(Card("Decisions", "300", "83 refused"),),
    lineage="lineage",
    sections=(
        Section(
            "Evaluation",
            "On held-out rows.",
            (Table("Figures", ("Measure", "Value"), (("AUC", "0.791"),), frozenset({1})),),
            (("calibration", "Is the score what it says?"),),
        ),
    ),
    attacks=(Attack("A label flipped", True, "row 482 differs", 0.012),),
    erasures=(
        Erasure("A-1043", False, "kept for 25 months"),
        Erasure("A-0007", True, "gone from the disk"),
    ),
    not_proven=("That what was recorded is true.",),
    trust=("Whoever gave you the trust policy.",),
    timings=(Timing("Training", 1.31), Timing("Attacks", 4.2)),
    plots={"lineage": PICTURE, "calibration": PICTURE},
)


class Elements(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.open, self.seen = [], set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, _attrs):
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    "words",
    [
        "What the credit model did",
        "North Bank &#183; 22 November 2026",
        "A model decided on 300 applicants.",
        "83 refused",
        "From data to proof",
        "Is the score what it says?",
        '<td class="number">0.791</td>',
        "1 of 1 attacks were caught.",
        "row 482 differs",
        ">12 ms<",
        "kept for 25 months",
        "gone from the disk",
        "That what was recorded is true.",
        "Whoever gave you the trust policy.",
        "ledger.example/log+00+AA",
        ">witnessed<",
        ">1.3 s<",
        ">5.5 s<",
    ],
)
def test_a_report_tells_the_whole_story(words):
    """Everything in the story is in the report, with the total of the times."""
    assert words in format_report(STORY).decode("ascii")


def test_a_report_is_well_formed_and_stands_alone():
    """The report is one file without scripts, loads nothing, and is the same each time."""
    page = format_report(STORY)
    reader = Elements(page.decode("ascii"))
    assert reader.open == []
    assert not reader.seen & {"script", "link", "img", "iframe", "object"}
    text = page.decode("ascii").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|url\(|@import", text)
    assert format_report(STORY) == page


def test_an_attack_that_was_missed_is_loud():
    """An attack that went unnoticed is said above the table, and marked in its row."""
    missed = replace(STORY, attacks=(*STORY.attacks, Attack("A fork", False, "nobody", 0.1)))
    page = format_report(missed).decode("ascii")
    assert "1 of 2 attacks went unnoticed" in page
    assert '<span class="mark bad">NOT CAUGHT</span>' in page


def test_hostile_words_stay_words():
    """Names from data sets and models cannot become markup."""
    hostile = "</style><script>alert(1)</script>\u202e"
    page = format_report(replace(STORY, title=hostile, cards=(Card(hostile, hostile, hostile),)))
    assert b"<script" not in page
    assert b'<span class="unseen">U+202E</span>' in page


@pytest.mark.parametrize("plots", [{}, {"lineage": "<script></script>", "calibration": PICTURE}])
def test_a_plot_is_an_svg_that_is_there(plots):
    """A plot that is missing, or is no SVG, is an error and not a hole in the page."""
    with pytest.raises(FormatError, match="plot 'lineage'"):
        format_report(replace(STORY, plots=plots))


def test_a_table_row_has_a_cell_for_each_column():
    """A ragged table is refused when it is made."""
    with pytest.raises(FormatError, match="2 columns, a row 1"):
        Table("Figures", ("Measure", "Value"), (("AUC",),))


def test_an_empty_story_is_still_a_report():
    """Whatever has not happened is left out, headings included."""
    page = format_report(
        Story("Nothing yet", "North Bank", "today", "No model so far.", STORY.ledger)
    ).decode("ascii")
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["The ledger at the end"]
