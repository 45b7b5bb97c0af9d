"""What the report of a demonstration tells, as values.

Whoever runs the story fills in a `Story`; `counterfoil.demo.report` writes it. Figures arrive as
text, since only the teller knows how exactly they are known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from counterfoil.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The ledger at the end of the story.

    Args:
        origin: The log's name.
        key: Its verifier key.
        size: Entries in it.
        root: Its root in hex.
        policy: Digest of the trust policy in hex.
        grade: Of the verdicts, such as `witnessed`.
    """

    origin: str
    key: str
    size: int
    root: str
    policy: str
    grade: str


@dataclass(frozen=True, slots=True)
class Card:
    """One figure that sums something up.

    Args:
        label: What it is.
        value: The figure, short.
        note: What it means, one sentence or less.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a caption; the first column names the row.

    Args:
        caption: What the table shows.
        columns: Their headings.
        rows: As many cells each as there are columns.
        numeric: Positions of columns that are aligned as numbers.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise FormatError(
                    f"the table {self.caption!r} has {len(self.columns)} columns, a row {len(row)}",
                    hint="Give every row one cell for each column.",
                )


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter of the report, such as data, model, evaluation, decisions.

    Args:
        heading: What it is about.
        text: What to know about it, a sentence or two.
        tables: In order.
        plots: Pairs of a key of `Story.plots` and the caption above it.
    """

    heading: str
    text: str = ""
    tables: tuple[Table, ...] = ()
    plots: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Attack:
    """One attempt to cheat.

    Args:
        name: What was done.
        caught: Whether it was noticed.
        by: What noticed it, in the words of the error.
        seconds: How long the check took.
    """

    name: str
    caught: bool
    by: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Erasure:
    """One request to erase a person.

    Args:
        request: Whose, and why.
        done: Whether it was carried out; a request that was refused says why.
        result: What was found or done.
    """

    request: str
    done: bool
    result: str


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a step of the story took."""

    step: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the report tells.

    Args:
        title: Of the report.
        organisation: Whose systems it is about.
        generated: When, as people write it.
        summary: The story in two or three sentences.
        ledger: Where it was recorded.
        cards: The figures at the top.
        lineage: Key in `plots` of the picture from data to proof; None for none.
        sections: Chapters before the attacks.
        attacks: Every attempt, caught or not.
        erasures: Requests to erase, carried out or refused.
        not_proven: What nothing here proves, one sentence each.
        trust: Whom one still has to trust, and for what.
        timings: In the order of the story.
        plots: Name to inline SVG.
    """

    title: str
    organisation: str
    generated: str
    summary: str
    ledger: LedgerState
    cards: tuple[Card, ...] = ()
    lineage: str | None = None
    sections: tuple[Section, ...] = ()
    attacks: tuple[Attack, ...] = ()
    erasures: tuple[Erasure, ...] = ()
    not_proven: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    timings: tuple[Timing, ...] = ()
    plots: Mapping[str, str] = field(default_factory=dict)
