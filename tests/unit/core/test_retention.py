from __future__ import annotations

from datetime import UTC, datetime

import pytest

from counterfoil.core.retention import REG_B, RetentionRule
from counterfoil.errors import FormatError


@pytest.mark.parametrize(
    ("since", "months", "until"),
    [
        ("2026-01-31T12:00:00Z", 1, "2026-02-28T12:00:00"),
        ("2027-01-31T00:00:00Z", 13, "2028-02-29T00:00:00"),
        ("2026-12-15T00:00:00Z", 1, "2027-01-15T00:00:00"),
        ("2026-11-30T00:00:00Z", 0, "2026-11-30T00:00:00"),
        ("9990-01-01T00:00:00Z", 1200, "9999-01-01T00:00:00"),
    ],
)
def test_months_are_those_of_the_calendar(since, months, until):
    """Months end on the same day, or on the last one of a shorter month."""
    record = {"kind": "decision", "output": {"decided": since}}
    ends = datetime.fromisoformat(until).replace(tzinfo=UTC).timestamp()
    assert RetentionRule("contract", months).hold(record).until == ends


def test_the_date_stands_where_the_rule_says():
    """A rule may count from any member of any field, for records of any kind."""
    rule = RetentionRule("contract", 1, kind="consent", since=("inputs",))
    assert rule.hold({"kind": "consent", "inputs": "2026-01-01T00:00:00Z"}).ends == "2026-02-01"
    assert rule.hold({"kind": "decision", "inputs": "2026-01-01T00:00:00Z"}) is None


def test_a_rule_covers_the_systems_that_its_pattern_names():
    """A pattern without a star covers one system, and the default every one."""
    assert REG_B.covers("anything")
    rule = RetentionRule("contract", 1, system="credit-*")
    assert rule.covers("credit-cards")
    assert not rule.covers("credit")


@pytest.mark.parametrize(
    "change",
    [
        {"basis": ""},
        {"months": -1},
        {"months": 1201},
        {"kind": "two\nlines"},
        {"since": ()},
        {"since": ("a",) * 16},
        {"system": "credit?"},
    ],
)
def test_a_rule_that_could_not_work_cannot_be_made(change):
    """A rule names a law, a term, a kind, a date and a system, each within its bounds."""
    with pytest.raises(FormatError):
        RetentionRule(**{"basis": "contract", "months": 1} | change)
