"""The few strokes that the plots are drawn with.

A drawing is inline SVG without scripts, styles or fonts of its own: text and axes take the colour
of the page around them, so it reads in light and in dark, on paper and in a mail. Every drawing has
a title and a description that tell somebody who cannot see it what it shows.
"""

from __future__ import annotations

from hashlib import sha256
from html import escape
from typing import Literal

AGAINST = "#d1495b"
FOR = "#2f86c1"
QUIET = "#8b929c"
"""Colours with at least 3:1 contrast on white and on black, and apart for the colour-blind too."""

FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
FAINT = 0.14
SOFT = 0.68
"""Opacities of grid lines, and of text that comes second."""

Anchor = Literal["start", "middle", "end"]


class Drawing:
    """Shapes on a canvas of `width` by `height` units, in the order in which they are drawn."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self._shapes: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: Anchor = "start",
        size: float = 12,
        opacity: float = 1,
        bold: bool = False,
        turned: bool = False,
    ) -> None:
        """Words, with `y` their base line; `turned` reads upwards."""
        turn = f' transform="rotate(-90 {number(x)} {number(y)})"' if turned else ""
        weight = ' font-weight="600"' if bold else ""
        self._shapes.append(
            f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" '
            f'text-anchor="{anchor}" fill="currentColor"{_opacity("fill", opacity)}{weight}{turn}>'
            f"{escape(words)}</text>"
        )

    def bar(
        self, x: float, y: float, width: float, height: float, *, colour: str, hint: str = ""
    ) -> None:
        """A filled rectangle; `hint` shows when a pointer rests on it."""
        self._shapes.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(max(width, 0))}" '
            f'height="{number(max(height, 0))}" rx="2" fill="{colour}">{_hint(hint)}</rect>'
        )

    def box(self, x: float, y: float, width: float, height: float) -> None:
        """A rounded frame."""
        self._shapes.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}" rx="8" fill="currentColor" fill-opacity="0.04" '
            f'stroke="currentColor" stroke-opacity="0.35"/>'
        )

    def dot(self, x: float, y: float, radius: float, *, colour: str, hint: str = "") -> None:
        """A filled circle; `hint` shows when a pointer rests on it."""
        self._shapes.append(
            f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" fill="{colour}">'
            f"{_hint(hint)}</circle>"
        )

    def line(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        *,
        opacity: float = 1,
        thickness: float = 1,
        dashed: bool = False,
    ) -> None:
        """A straight line in the colour of the text."""
        dashes = ' stroke-dasharray="4 4"' if dashed else ""
        self._shapes.append(
            f'<line x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}" '
            f'stroke="currentColor" stroke-width="{number(thickness)}"'
            f"{_opacity('stroke', opacity)}{dashes}/>"
        )

    def whisker(self, x: float, low: float, high: float) -> None:
        """An upright interval with caps."""
        self.line(x, low, x, high, thickness=1.3, opacity=SOFT)
        for y in (low, high):
            self.line(x - 4, y, x + 4, y, thickness=1.3, opacity=SOFT)

    def arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """A line along one axis, with a head at its second end."""
        self.line(x1, y1, x2, y2, thickness=1.5, opacity=SOFT)
        along_x, along_y = _sign(x2 - x1), _sign(y2 - y1)
        back_x, back_y = x2 - 7 * along_x, y2 - 7 * along_y
        points = (
            f"{number(x2)},{number(y2)} "
            f"{number(back_x - 4 * along_y)},{number(back_y - 4 * along_x)} "
            f"{number(back_x + 4 * along_y)},{number(back_y + 4 * along_x)}"
        )
        self._shapes.append(
            f'<polygon points="{points}" fill="currentColor" fill-opacity="{SOFT}"/>'
        )

    def key(self, x: float, y: float, entries: list[tuple[str, str]]) -> None:
        """A legend in one line: a coloured square and its meaning, for each entry."""
        for colour, meaning in entries:
            self.bar(x, y - 9, 10, 10, colour=colour)
            self.text(x + 15, y, meaning, opacity=SOFT)
            x += 15 + 6.6 * len(meaning) + 18

    def svg(self, title: str, description: str) -> str:
        """The drawing as one `svg` element."""
        # Several drawings share a page: what they are called by must differ when they do.
        name = "d" + sha256(f"{title}\n{description}".encode()).hexdigest()[:12]
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(self.width)} '
            f'{number(self.height)}" width="{number(self.width)}" role="img" '
            f'aria-labelledby="{name}-t {name}-d" style="max-width:100%;height:auto" '
            f'font-family="{FONT}"><title id="{name}-t">{escape(title)}</title>'
            f'<desc id="{name}-d">{escape(description)}</desc>{"".join(self._shapes)}</svg>'
        )


def number(value: float) -> str:
    """A coordinate with at most one digit after the point, written in one way."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def signed(value: float) -> str:
    """A figure with its sign, as people read it."""
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _opacity(of: str, value: float) -> str:
    return "" if value == 1 else f' {of}-opacity="{value}"'


def _hint(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""
