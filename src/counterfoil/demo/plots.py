"""Pictures for the report and the letter, each a string of inline SVG."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from counterfoil.demo.drawing import AGAINST, FAINT, FOR, QUIET, SOFT, Drawing, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from counterfoil.models.evaluate import CalibrationBin, GroupErrors
    from counterfoil.models.explain import Reason

WIDTH = 720
HISTOGRAM_BINS = 20
LABEL_CHARACTERS = 42
"""What fits beside a bar; the whole text stays in the hint of the bar."""


@dataclass(frozen=True, slots=True)
class Step:
    """One box of a lineage picture: what it is, and one or two lines about it."""

    name: str
    details: tuple[str, ...] = ()


def contributions(
    reasons: Sequence[Reason], *, title: str = "What counted, and how much", shown: int = 10
) -> str:
    """Bars to the left for what counted against a person, to the right for what counted for them.

    Args:
        reasons: The terms of one score, low scores being adverse.
        title: What the picture is called.
        shown: How many of the largest terms get a bar of their own; the rest is one bar.
    """
    largest = sorted(reasons, key=lambda reason: -abs(reason.contribution))
    rows = [
        (reason.label, str(reason.value), reason.contribution)
        for reason in sorted(largest[:shown], key=lambda reason: reason.contribution)
    ]
    rest = [reason.contribution for reason in largest[shown:]]
    if rest:
        rows.append((f"{len(rest)} smaller ones together", "", sum(rest)))
    left, row_height, top = 312, 36, 34
    middle, half = left + (WIDTH - left) / 2, (WIDTH - left) / 2 - 58
    reach = max((abs(amount) for _, _, amount in rows), default=0) or 1
    drawing = Drawing(WIDTH, top + row_height * len(rows) + 8)
    drawing.text(middle - 10, 16, "\N{LEFTWARDS ARROW} against", anchor="end", opacity=SOFT)
    drawing.text(middle + 10, 16, "in favour \N{RIGHTWARDS ARROW}", opacity=SOFT)
    for number, (label, value, amount) in enumerate(rows):
        y = top + row_height * number
        drawing.text(left - 14, y + (16 if value else 22), _cut(label), anchor="end", size=12.5)
        drawing.text(left - 14, y + 30, _cut(value), anchor="end", size=11, opacity=SOFT)
        length = half * abs(amount) / reach
        hint = f"{label}: {value}, {signed(amount)}" if value else f"{label}: {signed(amount)}"
        if amount < 0:
            drawing.bar(middle - length, y + 9, length, 18, colour=AGAINST, hint=hint)
            drawing.text(middle - length - 6, y + 22, signed(amount), anchor="end")
        else:
            drawing.bar(middle, y + 9, length, 18, colour=FOR, hint=hint)
            drawing.text(middle + length + 6, y + 22, signed(amount))
    drawing.line(middle, top - 2, middle, top + row_height * len(rows), opacity=SOFT)
    told = "; ".join(
        f"{label}{': ' if value else ''}{value} {signed(amount)}" for label, value, amount in rows
    )
    return drawing.svg(title, f"Contributions to the score, in log-odds. {told}.")


def calibration(
    bins: Sequence[CalibrationBin], *, title: str = "Is the score what it says?"
) -> str:
    """Dots for predicted against observed shares; on the diagonal, the score means what it says."""
    side, left, top = 340, 64, 16
    drawing = Drawing(left + side + 26, top + side + 56)

    def x(share: float) -> float:
        return left + side * share

    def y(share: float) -> float:
        return top + side * (1 - share)

    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        drawing.line(x(tick), y(0), x(tick), y(1), opacity=FAINT)
        drawing.line(x(0), y(tick), x(1), y(tick), opacity=FAINT)
        drawing.text(x(tick), y(0) + 18, f"{tick:.0%}", anchor="middle", size=11, opacity=SOFT)
        drawing.text(x(0) - 8, y(tick) + 4, f"{tick:.0%}", anchor="end", size=11, opacity=SOFT)
    drawing.line(x(0), y(0), x(1), y(1), opacity=SOFT, dashed=True)
    most = max((entry.observed.of for entry in bins), default=1)
    for entry in bins:
        share = entry.observed
        drawing.whisker(x(entry.mean_score), y(share.low), y(share.high))
        drawing.dot(
            x(entry.mean_score),
            y(share.rate),
            3 + 6 * (share.of / most) ** 0.5,
            colour=FOR,
            hint=f"{share.count} of {share.of}: predicted {entry.mean_score:.0%}, "
            f"observed {share.rate:.0%}",
        )
    drawing.text(x(0.5), y(0) + 42, "predicted", anchor="middle", opacity=SOFT)
    drawing.text(18, y(0.5), "observed", anchor="middle", opacity=SOFT, turned=True)
    told = "; ".join(
        f"{entry.mean_score:.0%} predicted, {entry.observed.rate:.0%} observed "
        f"({entry.observed.of} rows)"
        for entry in bins
    )
    return drawing.svg(title, f"With 95 % intervals. {told}.")


def group_errors(groups: Sequence[GroupErrors], *, title: str = "Who bears the errors?") -> str:
    """Two bars for each group, with intervals: all errors, and good cases turned down."""
    left, top, height, bottom = 52, 44, 220, 44
    drawing = Drawing(WIDTH, top + height + bottom)
    highest = max((max(g.errors.high, g.good_turned_down.high) for g in groups), default=0)
    ceiling = min(1.0, 0.1 * (int(highest * 10) + 1))

    def y(share: float) -> float:
        return top + height * (1 - share / ceiling)

    for tick in range(round(ceiling * 10) + 1):
        drawing.line(left, y(tick / 10), WIDTH, y(tick / 10), opacity=FAINT)
        drawing.text(
            left - 8, y(tick / 10) + 4, f"{tick * 10}%", anchor="end", size=11, opacity=SOFT
        )
    drawing.key(left, 18, [(QUIET, "wrong decisions"), (AGAINST, "good cases turned down")])
    step = (WIDTH - left) / max(1, len(groups))
    for number, group in enumerate(groups):
        centre = left + step * (number + 0.5)
        pairs = ((group.errors, QUIET, -1), (group.good_turned_down, AGAINST, 1))
        for share, colour, side in pairs:
            x = centre + side * 24
            hint = f"{group.group}: {share.count} of {share.of}, {share.rate:.0%}"
            drawing.bar(x - 19, y(share.rate), 38, y(0) - y(share.rate), colour=colour, hint=hint)
            drawing.whisker(x, y(share.low), y(share.high))
        drawing.text(centre, y(0) + 20, group.group, anchor="middle", size=12.5)
        people = f"{group.errors.of} people, {group.good_turned_down.of} good"
        drawing.text(centre, y(0) + 36, people, anchor="middle", size=11, opacity=SOFT)
    drawing.line(left, y(0), WIDTH, y(0), opacity=SOFT)
    told = "; ".join(
        f"{g.group}: {g.errors.rate:.0%} of {g.errors.of} wrong, "
        f"{g.good_turned_down.rate:.0%} of {g.good_turned_down.of} good cases turned down"
        for g in groups
    )
    return drawing.svg(title, f"With 95 % intervals. {told}.")


def score_histogram(
    scores: Sequence[float],
    outcomes: Sequence[int],
    threshold: float,
    *,
    title: str = "Scores, and what came true",
    names: tuple[str, str] = ("not repaid", "repaid"),
) -> str:
    """Scores of good cases upwards and of bad ones downwards, with the threshold between.

    Args:
        scores: From 0 to 1, one for each row.
        outcomes: 1 for a good case and 0 for a bad one.
        threshold: From where on a case is taken for good.
        title: What the picture is called.
        names: What the outcomes 0 and 1 are called.
    """
    counts = {0: [0] * HISTOGRAM_BINS, 1: [0] * HISTOGRAM_BINS}
    for score, outcome in zip(scores, outcomes, strict=True):
        counts[int(outcome)][min(int(score * HISTOGRAM_BINS), HISTOGRAM_BINS - 1)] += 1
    left, top, height = 10, 48, 230
    width = WIDTH - 2 * left
    above, below = max(counts[1]), max(counts[0])
    unit = height / max(1, above + below)
    zero = top + above * unit
    drawing = Drawing(WIDTH, top + height + 46)
    drawing.key(left, 18, [(FOR, names[1]), (AGAINST, names[0])])
    step = width / HISTOGRAM_BINS
    for number in range(HISTOGRAM_BINS):
        x = left + number * step + 1.5
        span = f"{number / HISTOGRAM_BINS:.2f} to {(number + 1) / HISTOGRAM_BINS:.2f}"
        up, down = counts[1][number] * unit, counts[0][number] * unit
        hints = [f"{span}: {counts[side][number]} {names[side]}" for side in (0, 1)]
        drawing.bar(x, zero - up, step - 3, max(up - 0.5, 0), colour=FOR, hint=hints[1])
        drawing.bar(x, zero + 0.5, step - 3, max(down - 0.5, 0), colour=AGAINST, hint=hints[0])
    drawing.line(left, zero, left + width, zero, opacity=SOFT)
    cut = left + width * threshold
    drawing.line(cut, top - 12, cut, top + height + 6, dashed=True, thickness=1.5)
    drawing.text(cut + 6, top - 4, f"threshold {threshold:.2f}", size=11.5, bold=True)
    for tick in range(0, 11, 2):
        x = left + width * tick / 10
        inward = {0: 9, 10: -9}.get(tick, 0)  # the outermost figures stay on the canvas
        figure = f"{tick / 10:.1f}"
        drawing.text(x + inward, top + height + 22, figure, anchor="middle", size=11, opacity=SOFT)
    drawing.text(left + width / 2, top + height + 40, "score", anchor="middle", opacity=SOFT)
    passed = sum(score >= threshold for score in scores)
    good_passed = sum(s >= threshold and o == 1 for s, o in zip(scores, outcomes, strict=True))
    good = sum(int(outcome) == 1 for outcome in outcomes)
    return drawing.svg(
        title,
        f"{passed} of {len(scores)} scores reach the threshold of {threshold:.2f}; "
        f"of {good} {names[1]}, {good_passed} do, and of {len(scores) - good} {names[0]}, "
        f"{passed - good_passed} do.",
    )


def lineage(steps: Sequence[Step], *, title: str = "From data to proof", across: int = 4) -> str:
    """Boxes and arrows, row by row, turning back at the end of each row.

    Args:
        steps: From the first cause to the last proof.
        title: What the picture is called.
        across: Boxes in one row.
    """
    gap, height, down = 28, 82, 40
    width = (WIDTH - 2 - gap * (across - 1)) / across
    lines = -(-len(steps) // across)
    drawing = Drawing(WIDTH, 2 + lines * height + max(0, lines - 1) * down)
    places = []
    for number, step in enumerate(steps):
        row, column = divmod(number, across)
        if row % 2:
            column = across - 1 - column
        x, y = 1 + column * (width + gap), 1 + row * (height + down)
        places.append((x, y))
        drawing.box(x, y, width, height)
        drawing.text(x + width / 2, y + 26, step.name, anchor="middle", size=14, bold=True)
        for line, detail in enumerate(step.details):
            words = _cut(detail, 24)
            drawing.text(
                x + width / 2, y + 47 + 17 * line, words, anchor="middle", size=11, opacity=SOFT
            )
    for (x1, y1), (x2, y2) in pairwise(places):
        middle = y1 + height / 2
        if y1 != y2:
            drawing.arrow(x1 + width / 2, y1 + height + 4, x2 + width / 2, y2)
        elif x2 > x1:
            drawing.arrow(x1 + width + 4, middle, x2, middle)
        else:
            drawing.arrow(x1 - 4, middle, x2 + width, middle)
    told = ", then ".join(": ".join((step.name, ", ".join(step.details))) for step in steps)
    return drawing.svg(title, f"{told}.")


def _cut(words: str, most: int = LABEL_CHARACTERS) -> str:
    return words if len(words) <= most else words[: most - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
