from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.demo import plots
from counterfoil.demo.drawing import AGAINST, FOR, QUIET, Drawing, number, signed
from counterfoil.demo.plots import Step
from counterfoil.models.evaluate import evaluate
from counterfoil.models.explain import Reason


def parse(svg):
    return ET.fromstring(svg)  # noqa: S314  # drawn a moment ago, by us


SVG = "{http://www.w3.org/2000/svg}"
SCORES = [0.05, 0.2, 0.35, 0.45, 0.55, 0.6, 0.7, 0.85, 0.9, 1.0]
OUTCOMES = [0, 0, 1, 0, 1, 0, 1, 1, 1, 1]
FIGURES = evaluate(OUTCOMES, SCORES, threshold=0.5, groups=list("aabbaabbab"))
REASONS = [
    Reason("amount", "Amount of the loan in DM", 12204, -1.5),
    Reason("home", "Housing", "owned", 0.75),
    Reason("hostile", "<script>alert('&')</script>", '"><img src=x onerror=1>', -0.25),
]
STEPS = [Step("Data", ("1,000 rows",)), Step("Model"), Step("Batch"), Step("Log"), Step("Witness")]

PICTURES = {
    "contributions": plots.contributions(REASONS),
    "no contributions": plots.contributions([]),
    "calibration": plots.calibration(FIGURES.calibration),
    "group errors": plots.group_errors(FIGURES.groups),
    "no groups": plots.group_errors(()),
    "histogram": plots.score_histogram(SCORES, OUTCOMES, 0.5),
    "no scores": plots.score_histogram([], [], 0.5),
    "lineage": plots.lineage(STEPS),
    "no lineage": plots.lineage([]),
}


@pytest.fixture(params=PICTURES.values(), ids=PICTURES)
def picture(request):
    return parse(request.param)


def test_pictures_speak(picture):
    """Somebody who cannot see a picture hears its title and what it shows."""
    assert picture.get("role") == "img"
    title, description = picture.get("aria-labelledby").split()
    assert picture.find(f"{SVG}title[@id='{title}']").text
    assert picture.find(f"{SVG}desc[@id='{description}']").text


def test_pictures_are_self_contained(picture):
    """A picture runs nothing, loads nothing and styles nothing but itself."""
    names = {element.tag.removeprefix(SVG) for element in picture.iter()}
    assert names <= {"svg", "title", "desc", "text", "rect", "circle", "line", "polygon"}
    for element in picture.iter():
        assert not [name for name in element.attrib if name.startswith("on") or "href" in name]
        assert "url(" not in str(element.attrib)


def test_pictures_fit_their_canvas(picture):
    """Nothing is drawn outside the canvas, and nothing at an undefined place."""
    width, height = map(float, picture.get("viewBox").split()[2:])
    for shape in picture.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(shape.get(name, 0)) <= width
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(shape.get(name, 0)) <= height
        if shape.tag == f"{SVG}rect":
            assert float(shape.get("x")) + float(shape.get("width")) <= width + 0.2
            assert float(shape.get("y")) + float(shape.get("height")) <= height + 0.2


def test_text_takes_the_colour_of_the_page(picture):
    """Words read in light and in dark, because they have the colour of the page's text."""
    for words in picture.iter(f"{SVG}text"):
        assert words.get("fill") == "currentColor"


@pytest.mark.parametrize("colour", [AGAINST, FOR, QUIET])
def test_colours_stand_out(colour):
    """Bars and dots have a contrast of at least 3 to white and to black (WCAG 2.2, 1.4.11)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (light + 0.05) >= 3
    assert (light + 0.05) / 0.05 >= 3


def bars(svg, colour):
    found = parse(svg).iter(f"{SVG}rect")
    return [(float(b.get("x")), float(b.get("width"))) for b in found if b.get("fill") == colour]


def test_bars_are_as_long_as_contributions():
    """A bar is twice as long as another when its contribution is, and points the right way."""
    svg = PICTURES["contributions"]
    (for_x, for_width), *_ = bars(svg, FOR)
    (against_x, against_width), *_ = bars(svg, AGAINST)
    assert against_width == pytest.approx(2 * for_width, abs=0.2)
    assert against_x + against_width == pytest.approx(for_x, abs=0.2)
    assert "\N{MINUS SIGN}1.50" in svg
    assert "+0.75" in svg


def test_small_contributions_are_summed():
    """What gets no bar of its own is told as one sum, so that the bars still add up."""
    svg = plots.contributions(REASONS, shown=1)
    assert "2 smaller ones together" in svg
    assert "+0.50" in svg


def test_hostile_text_stays_text():
    """A label with markup in it is shown, not obeyed."""
    svg = PICTURES["contributions"]
    assert "<script" not in svg
    assert "<img" not in svg
    assert "<script>alert('&')</script>" in [words.text for words in parse(svg).iter(f"{SVG}text")]


def test_every_row_is_in_the_histogram():
    """The bars count every score once, on the side of its outcome."""
    hints = re.findall(r": (\d+) (not repaid|repaid)</title>", PICTURES["histogram"])
    assert sum(int(count) for count, side in hints if side == "repaid") == sum(OUTCOMES)
    assert sum(int(count) for count, _ in hints) == len(SCORES)


def test_every_step_leads_to_the_next():
    """A lineage has a box for each step and an arrow between each two."""
    picture = parse(PICTURES["lineage"])
    assert len(list(picture.iter(f"{SVG}rect"))) == len(STEPS)
    assert len(list(picture.iter(f"{SVG}polygon"))) == len(STEPS) - 1


def test_pictures_on_one_page_keep_their_names():
    """Different pictures have different ids, so that each is told by its own title."""
    names = [parse(svg).get("aria-labelledby") for svg in PICTURES.values()]
    assert len(set(names)) == len(names)


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=80))
def test_any_label_makes_a_picture(words):
    """Whatever stands in a label, the picture is well-formed and says it."""
    drawing = Drawing(100, 20)
    drawing.text(0, 10, words)
    root = parse(drawing.svg(words, words))
    assert (root.find(f"{SVG}text").text or "") == words


def test_figures_are_written_in_one_way():
    """Coordinates and contributions have one spelling, so that a page can be compared."""
    assert [number(value) for value in (1.0, 1.25, -0.04, 0)] == ["1", "1.2", "0", "0"]
    assert [signed(value) for value in (1.5, -0.25)] == ["+1.50", "\N{MINUS SIGN}0.25"]
