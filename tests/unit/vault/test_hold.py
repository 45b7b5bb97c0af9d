from __future__ import annotations

from datetime import UTC, datetime

import pytest

from counterfoil.errors import RefusedError
from counterfoil.vault import REG_B, Hold, check_hold


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def decision(decided="2026-11-22T10:00:00Z", kind="decision"):
    return {"kind": kind, "output": {"outcome": "refused", "decided": decided}}


def test_a_refusal_is_kept_25_months():
    """Regulation B keeps a decision for 25 calendar months, and not a second longer."""
    end = at("2028-12-22T10:00:00")
    assert REG_B.hold(decision()).until == end
    with pytest.raises(RefusedError, match="2028-12-22") as caught:
        check_hold([decision()], end - 1)
    assert "Regulation B" in caught.value.reasons[0]
    assert "2028-12-22" in caught.value.hint
    assert check_hold([decision()], end) == (REG_B.hold(decision()),)


def test_every_reason_is_told():
    """A refusal names all running holds with the day each ends, the last to end first."""
    court = Hold("Order of the court, case 12/26", int(at("2030-01-01T00:00:00")))
    same_day = decision("2026-11-22T11:30:00Z")
    records = [decision(), decision("2026-10-01T00:00:00Z"), same_day]
    with pytest.raises(RefusedError) as caught:
        check_hold(records, at("2026-12-01T00:00:00"), placed=[court])
    days = [reason[-10:] for reason in caught.value.reasons]
    assert days == ["2030-01-01", "2028-12-22", "2028-11-01"]


def test_what_no_rule_is_about_is_free():
    """Records of other kinds, and none at all, are held by nothing."""
    assert check_hold([decision(kind="consent"), {"kind": "pad"}, {}], 0) == ()
    assert check_hold([], 0) == ()


@pytest.mark.parametrize(
    "record",
    [
        {"kind": "decision"},
        {"kind": "decision", "output": None},
        {"kind": "decision", "output": {"decided": 7}},
        {"kind": "decision", "output": {"decided": "2026-13-01T00:00:00Z"}},
        {"kind": "decision", "output": {"decided": "22.11.2026"}},
    ],
)
def test_a_rule_that_cannot_tell_refuses(record):
    """A decision without a readable date is kept: erasing it could not be undone."""
    with pytest.raises(RefusedError, match="decided"):
        check_hold([record], at("2100-01-01T00:00:00"))


def test_a_hold_without_an_end_runs_for_ever():
    """A hold that only a release ends refuses at any time, and says so."""
    court = Hold("Order of the court", None)
    with pytest.raises(RefusedError, match="released"):
        check_hold([{}], at("9000-01-01T00:00:00"), placed=[court])
