from __future__ import annotations

import base64
import html
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from counterfoil.core.record import check_disclosures
from counterfoil.errors import CounterfoilError, FormatError, VerificationError
from counterfoil.evidence.page import check_page, format_page, parse_page

GOLDEN = Path(__file__).parents[1] / "golden" / "evidence"
FIELDS = ("kind", "about", "inputs", "output", "reasons")
EVIDENCE = json.loads((GOLDEN / "letter.json").read_bytes())
FACTS = check_disclosures(
    base64.b64decode(EVIDENCE["record"]["record"]), FIELDS, EVIDENCE["disclosures"]
)
PAGE = format_page(EVIDENCE, FACTS)
TEXT = PAGE.decode("ascii")
NO_TEXT = {"style", "script"}
NO_END = {"meta", "br"}


class Reader(HTMLParser):
    """An outside view of a page: where which text is shown, by which field, in which elements."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=False)
        self.starts = [0]
        for line in page.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.open: list[tuple[str, str]] = [("", "page")]
        self.fields: dict[int, str] = {}
        self.shown: list[str] = []
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)
        self.close()

    def at(self) -> int:
        line, column = self.getpos()
        return self.starts[line - 1] + column

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in NO_END:
            self.open.append((tag, dict(attrs).get("data-field", self.open[-1][1])))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.see(data, data)

    def handle_charref(self, name):
        self.see(f"&#{name};", html.unescape(f"&#{name};"))

    def handle_entityref(self, name):
        self.see(f"&{name};", html.unescape(f"&{name};"))

    def see(self, written, shown):
        element, field = self.open[-1]
        if element in NO_TEXT:
            return
        self.shown.append(shown)
        start = self.at()
        self.fields |= {start + i: field for i, char in enumerate(written) if not char.isspace()}


READER = Reader(TEXT)
PLACES = sorted(READER.fields)


def with_inputs(inputs, **output):
    return {**FACTS, "inputs": inputs, "output": {**FACTS["output"], **output}}


@given(
    st.sampled_from(PLACES),
    st.sampled_from(["replace", "insert", "delete"]),
    st.one_of(st.sampled_from(list("0123456789 .<>&;-\u202e\u200b")), st.characters(codec="utf-8")),
)
@example(PLACES[0], "replace", "<")
@example(TEXT.index(">0.313<") + 1, "replace", "8")
@example(TEXT.index(">0.313<") + 5, "insert", "0")
def test_every_edit_of_visible_text_is_named(place, kind, char):
    """Whichever visible character is replaced, added or removed, the field it is in is named."""
    end = place if kind == "insert" else place + 1
    edited = TEXT[:place] + ("" if kind == "delete" else char) + TEXT[end:]
    assume(tidy(edited) != tidy(TEXT))
    with pytest.raises(VerificationError) as caught:
        check_page(edited.encode(), EVIDENCE, FACTS)
    assert READER.fields[place] in str(caught.value)


def tidy(page):
    lines = page.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip(" \t") for line in lines).rstrip("\n")


@given(
    st.integers(0, len(TEXT)),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "<style>td{display:none}</style>",
            "<div hidden>",
            "<!-- a comment -->",
            "<img src=x>",
            " hidden",
            ' style="display:none"',
            "</main>",
        ]
    ),
)
def test_nothing_can_be_added_anywhere(place, added):
    """No script, style, element, comment or attribute can be put into a page, in any place."""
    edited = (TEXT[:place] + added + TEXT[place:]).encode()
    assume(tidy(edited.decode()) != tidy(TEXT))
    with pytest.raises((VerificationError, FormatError)):
        check_page(edited, EVIDENCE, FACTS)


@given(
    st.dictionaries(st.text(max_size=20), st.one_of(st.text(), st.floats(), st.none()), max_size=4),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.text(), st.integers(-(2**53), 2**53)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
)
@example({'"><script>alert(1)</script>': "</script><script>alert(1)</script>"}, "\u202e\x00\ud800")
def test_hostile_values_stay_text(inputs, outcome):
    """Whatever was recorded, the page holds the same kinds of elements and attributes, no more."""
    facts = with_inputs(inputs, outcome=outcome)
    page = format_page(EVIDENCE, facts)
    reader = Reader(page.decode("ascii"))
    assert reader.elements <= READER.elements | {"span"}
    assert reader.attributes == READER.attributes
    assert not set("".join(reader.shown)) & set("\x00\x1b\u202a\u202e\u2066\u200b\ufeff\ud800")
    check_page(page, EVIDENCE, facts)


@given(
    st.dictionaries(
        st.sampled_from(FIELDS),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=5)),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "outcome",
                            "score",
                            "threshold",
                            "notice",
                            "labels",
                            "model",
                            "name",
                            "terms",
                            "feature",
                            "value",
                            "contribution",
                            "principal",
                            "recourse",
                            "from",
                            "to",
                            "decided",
                        ]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ),
    )
)
def test_any_record_can_be_written(facts):
    """A record of any shape becomes a page that verifies; a part that does not fit is left out."""
    check_page(format_page(EVIDENCE, facts), EVIDENCE, facts)


@given(st.one_of(st.binary(), st.text().map(lambda text: (TEXT + text).encode(errors="replace"))))
def test_arbitrary_bytes_raise_only_our_errors(data):
    """Bytes that are no page are refused with an error of ours, in reading and in checking."""
    for read in (parse_page, lambda page: check_page(page, EVIDENCE, FACTS)):
        try:
            read(data)
        except CounterfoilError:
            continue
