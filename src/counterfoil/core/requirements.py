"""What must have been said: the rules of stages and of data, as a policy states them.

Whether it has been said is for `judgement` to find out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from counterfoil.core.canonical import JsonValue
from counterfoil.core.principals import check_distinct, check_name, check_text
from counterfoil.core.text import shown
from counterfoil.core.toml import Table
from counterfoil.errors import FormatError

MAX_NUMBER_CHARACTERS = 40
"""Longest metric or bound: more digits than any measurement, few enough to compare at once."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


class Mode(StrEnum):
    """What a gate does with reasons against: note them, warn, or refuse."""

    OBSERVE = "observe"
    WARN = "warn"
    ENFORCE = "enforce"


Bound = tuple[str, str]
"""A metric's name and the number it is held against, as text (`("auc", "0.75")`)."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """So many principals out of some must have made a statement of one kind.

    Args:
        predicate: Short name of the statement's predicate, or its full type if it is foreign.
        threshold: How many principals, at least 1.
        among: The principals that count, at least `threshold` of them.
        at_least: Lower bounds on metrics of the statement, sorted by metric.
        at_most: Upper bounds, likewise.
    """

    predicate: str
    threshold: int
    among: tuple[str, ...]
    at_least: tuple[Bound, ...] = ()
    at_most: tuple[Bound, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.predicate, "predicate")
        check_threshold(self.threshold, self.among, f"requirement {self.predicate}")
        for bounds in ("at_least", "at_most"):
            ordered = tuple(sorted(getattr(self, bounds)))
            check_distinct([metric for metric, _ in ordered], "metric")
            for metric, number in ordered:
                check_name(metric, "metric")
                parse_number(number, f"bound of {metric}")
            object.__setattr__(self, bounds, ordered)

    @classmethod
    def from_table(cls, table: Table) -> Requirement:
        """Read one `require`."""
        table.only("predicate", "threshold", "from", "at_least", "at_most")
        return cls(
            predicate=table.text("predicate"),
            threshold=table.integer("threshold", 1),
            among=table.texts("from"),
            at_least=table.optional("at_least", _read_bounds, ()),
            at_most=table.optional("at_most", _read_bounds, ()),
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads, defaults included."""
        return {
            "predicate": self.predicate,
            "threshold": self.threshold,
            "from": list(self.among),
            "at_least": dict(self.at_least),
            "at_most": dict(self.at_most),
        }


@dataclass(frozen=True, slots=True)
class Stage:
    """A place where models are used, and what a model needs to get there.

    Args:
        name: `production`, for instance.
        mode: What to do with a model that lacks something.
        formats: Model formats that may be loaded; empty means none.
        requirements: All of them must be met; none at all means that nothing gets there.
        trusted_types: Python types that a model's file may build beyond those that its format
            is known to build safely (`sklearn.tree._tree.Tree`).
    """

    name: str
    mode: Mode
    formats: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    trusted_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.name, "stage")
        _check_names(self.formats, "format")
        _check_names(self.trusted_types, "trusted type")

    @classmethod
    def from_table(cls, name: str, table: Table) -> Stage:
        """Read `[stage.NAME]`."""
        table.only("mode", "formats", "trusted_types", "require")
        return cls(
            name=name,
            mode=_parse_mode(table.text("mode")),
            formats=table.texts("formats"),
            requirements=table.each("require", Requirement.from_table),
            trusted_types=table.texts("trusted_types"),
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads, defaults included."""
        return {
            "mode": self.mode.value,
            "formats": list(self.formats),
            "trusted_types": list(self.trusted_types),
            "require": [one.to_json() for one in self.requirements],
        }


@dataclass(frozen=True, slots=True)
class DataRules:
    """What a data set needs before it is used.

    Args:
        mode: What to do with one that lacks something.
        purposes: What data may be used for at all; empty means nothing.
        requirements: All of them must be met; none at all means that nothing is cleared.
        consent_when_personal: Data about people need a `consent` statement for the purpose.
        consent_from: Principals whose `consent` counts; empty means that nobody's does.
    """

    mode: Mode
    purposes: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    consent_when_personal: bool = True
    consent_from: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_names(self.purposes, "purpose")
        _check_names(self.consent_from, "consent_from principal")

    @classmethod
    def from_table(cls, table: Table) -> DataRules:
        """Read `[data]`."""
        table.only("mode", "purposes", "consent_when_personal", "consent_from", "require")
        return cls(
            mode=_parse_mode(table.text("mode")),
            purposes=table.texts("purposes"),
            requirements=table.each("require", Requirement.from_table),
            consent_when_personal=table.flag("consent_when_personal", default=True),
            consent_from=table.texts("consent_from"),
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return what `from_table` reads, defaults included."""
        return {
            "mode": self.mode.value,
            "purposes": list(self.purposes),
            "consent_when_personal": self.consent_when_personal,
            "consent_from": list(self.consent_from),
            "require": [one.to_json() for one in self.requirements],
        }


def check_threshold(threshold: int, among: tuple[str, ...], what: str) -> None:
    """Refuse a threshold that asks for nobody or for more than there are.

    Raises:
        FormatError: It does, or a principal is listed twice.
    """
    for name in among:
        check_text(name, "principal")
    check_distinct(among, f"{what}: principal")
    if not 1 <= threshold <= len(among):
        raise FormatError(
            f"{what}: threshold {threshold} of {len(among)} principals cannot be meant",
            hint="Name the principals in `from`; the threshold is 1 up to their number.",
        )


def parse_number(text: str, what: str) -> Decimal:
    """Read a decimal number exactly: `0.75`, `-1`, `12`; no exponent, no sign `+`.

    Raises:
        FormatError: Another form, or longer than `MAX_NUMBER_CHARACTERS`.
    """
    if len(text) > MAX_NUMBER_CHARACTERS or not _NUMBER.fullmatch(text):
        raise FormatError(
            f"{what}: {shown(text)} is not a decimal number",
            hint='Write it in quotes and with digits, like "0.75".',
        )
    return Decimal(text)


def _parse_mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError as error:
        raise FormatError(
            f"unknown mode {shown(text)}", hint=f"Modes are {', '.join(Mode)}."
        ) from error


def _read_bounds(table: Table) -> tuple[Bound, ...]:
    return tuple((metric, table.text(metric)) for metric in table.values)


def _check_names(names: tuple[str, ...], what: str) -> None:
    check_distinct(names, what)
    for name in names:
        check_name(name, what)
