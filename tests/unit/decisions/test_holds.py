from __future__ import annotations

import shutil
import time
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

import counterfoil as cf
from counterfoil.core.principals import Permission
from counterfoil.core.record import parse_disclosure
from counterfoil.core.retention import REG_B
from counterfoil.decisions.holds import HOLDS
from counterfoil.decisions.stream import DecisionStream

APPROVED = {"basis": "GDPR Art. 17", "approvers": ("privacy", "risk")}
ORDER = "District Court, order 4 C 11/26"


def answer(rows):
    return ["yes" for _ in rows]


@pytest.fixture
def now():
    """The time by every clock, as the one item of a list."""
    return [time.time()]


@pytest.fixture
def opened(tmp_path, now):
    """Opens the ledger of a test, as another process would."""

    def opened():
        return cf.Ledger(tmp_path / "ledger", clock=lambda: now[0])

    with cf.init(tmp_path / "ledger", clock=lambda: now[0]) as ledger:
        model = ledger.models.add(answer, name="loans")
        model.decide([[1], [2]], data_subjects=["ann", "bob"])
    return opened


@pytest.fixture
def free(opened, now):
    """The same once no retention rule binds any more."""
    now[0] += 3 * 366 * 86_400
    return opened


def adopt(ledger, **changes):
    policy = ledger.policy.show()
    ledger.policy.adopt(
        replace(policy, version=policy.version + 1, previous=policy.digest.hex(), **changes)
    )


def test_a_hold_outlives_the_process_that_placed_it(free):
    """A hold placed once refuses every later erasure, and says what, by whom and until when."""
    with free() as ledger:
        placed = ledger.people.hold("ann", basis=ORDER, by="legal", until=date(2040, 1, 1))
    with free() as ledger:
        assert ledger.people.holds() == (placed,)
        with pytest.raises(cf.RefusedError) as caught:
            ledger.people.erase("ann", **APPROVED)
        (reason,) = caught.value.reasons
        assert ORDER in reason
        assert "placed by legal" in reason
        assert "2040-01-01" in reason
        assert ledger.people.export("ann")["loans"]
        assert len(ledger.people.erase("bob", **APPROVED)) == 1


def test_a_hold_ends_on_its_day(free, now):
    """From the beginning of the day that a hold names, in UTC, the person can be erased."""
    with free() as ledger:
        ledger.people.hold("ann", basis=ORDER, by="legal", until=date(2040, 1, 1))
    now[0] = datetime(2039, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    with free() as ledger, pytest.raises(cf.RefusedError):
        ledger.people.erase("ann", **APPROVED)
    now[0] += 1
    with free() as ledger:
        ledger.people.erase("ann", **APPROVED)
        assert ledger.people.export("ann") == {}


def test_a_hold_without_a_day_runs_until_it_is_released(free, now):
    """Who placed and who released it stay recorded; after the release nothing holds any more."""
    with free() as ledger:
        placed = ledger.people.hold("ann", basis=ORDER, by="legal")
    now[0] += 30 * 366 * 86_400
    with free() as ledger:
        with pytest.raises(cf.RefusedError, match="released"):
            ledger.people.erase("ann", **APPROVED)
        ledger.people.release("ann", placed.short, by="counsel", reason="case closed")
    with free() as ledger:
        (hold,) = ledger.people.holds("ann")
        assert (hold.placed_by, hold.released_by, hold.reason) == (
            "legal",
            "counsel",
            "case closed",
        )
        assert hold.released_at == int(now[0])
        ledger.people.erase("ann", **APPROVED)


def test_an_erased_person_is_named_by_no_hold(free):
    """Ended holds go with the person; the erasure's record says what they were, and who acted."""
    with free() as ledger:
        placed = ledger.people.hold("ann", basis=ORDER, by="legal")
        ledger.people.release("ann", placed.id, by="counsel", reason="case closed")
        certificates = ledger.people.erase("ann", **APPROVED)
        assert len(certificates) == 2
        assert ledger.people.holds() == ()
        erasures = DecisionStream.open(ledger, "counterfoil/erasures", write=False)
        fields = map(parse_disclosure, erasures.store.disclosures(certificates[0].record))
        (recorded,) = [
            one
            for one in {field.name: field.value for field in fields}["hold"]
            if ORDER in one["basis"]
        ]
        erasures.close()
        assert "placed by legal" in recorded["basis"]
        assert "released by counsel" in recorded["basis"]


def test_holds_are_hidden_in_the_log(opened, tmp_path):
    """No file says in the clear whom a hold is on or why, and batches grow in steps of 16."""
    with opened() as ledger:
        for number in range(3):
            ledger.people.hold(f"subject-needle-{number}", basis="needle-basis", by="needle-by")
        sizes = [
            found.statement.predicate["size"]
            for found in ledger.find(predicate="batch")
            if found.statement.predicate["size"] > 2
        ]
    assert sizes == [16, 32, 48]
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"needle" not in path.read_bytes(), path


def test_holds_that_were_taken_away_are_missed(free):
    """With the holds deleted from the disk nobody is erased: the log knows that there were some."""
    with free() as ledger:
        ledger.people.hold("ann", basis=ORDER, by="legal")
        holds = DecisionStream.open(ledger, HOLDS, write=False)
        holds.close()
    shutil.rmtree(holds.store.place.folder)
    with free() as ledger:
        with pytest.raises(cf.VerificationError, match="not the one"):
            ledger.people.erase("ann", **APPROVED)
        assert ledger.people.export("ann")["loans"]


def test_a_new_stream_ends_no_older_hold(free):
    """A second stream of holds, declared later, leaves the holds of the first in force."""
    with free() as ledger:
        placed = ledger.people.hold("ann", basis=ORDER, by="legal")
        first = DecisionStream.open(ledger, HOLDS, write=False)
        first.close()
        DecisionStream._declare(ledger, HOLDS, first.declaration.fields, 16)
        with pytest.raises(cf.RefusedError, match="legal"):
            ledger.people.erase("ann", **APPROVED)
        later = ledger.people.hold("ann", basis="another", by="legal")
        assert ledger.people.holds("ann") == (placed, later)
        ledger.people.release("ann", placed.id, by="legal", reason="closed")
        assert ledger.people.holds("ann")[0].released_by == "legal"


def test_a_hold_that_no_policy_lets_anybody_keep_is_refused(free):
    """Where nobody here may declare the stream of holds, placing one fails aloud."""
    with free() as ledger:
        operator = ledger.policy.show().principals[0]
        may = (Permission("policy", "*"), Permission("batch", "*"), Permission("stream", "loans"))
        adopt(ledger, principals=(replace(operator, may=may),))
        size = ledger.size
        with pytest.raises(cf.PolicyError, match="stream"):
            ledger.people.hold("ann", basis=ORDER, by="legal")
        assert ledger.size == size


@pytest.mark.parametrize("hold", ["", "0" * 7, "0" * 64])
def test_a_release_names_its_hold(opened, hold):
    """A release of a hold that is not there, or of any hold at all, is refused."""
    with opened() as ledger:
        placed = ledger.people.hold("ann", basis=ORDER, by="legal")
        with pytest.raises(cf.FormatError, match="no hold"):
            ledger.people.release("ann", hold, by="x", reason="y")
        with pytest.raises(cf.FormatError, match="no hold"):
            ledger.people.release("bob", placed.id, by="x", reason="y")
        ledger.people.release("ann", placed.id, by="x", reason="y")
        with pytest.raises(cf.ConflictError, match="already, by x"):
            ledger.people.release("ann", placed.id, by="x", reason="y")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"basis": ""}, "basis"),
        ({"basis": "x" * 1001}, "1001"),
        ({"by": " "}, "name"),
        ({"until": date(2001, 1, 1)}, "ended already"),
    ],
)
def test_a_hold_that_says_nothing_is_refused(opened, change, match):
    """A hold needs a basis, somebody who places it, and a day to come, if one is given."""
    with opened() as ledger:
        with pytest.raises(cf.FormatError, match=match):
            ledger.people.hold("ann", **{"basis": ORDER, "by": "legal"} | change)
        assert ledger.people.holds() == ()


def test_retention_is_what_the_policy_says(opened, now):
    """The adopted policy's rules hold the systems that they cover; without any, Regulation B."""
    with opened() as ledger:
        with pytest.raises(cf.RefusedError, match="Regulation B"):
            ledger.people.erase("ann", **APPROVED)
        adopt(ledger, retention=(replace(REG_B, basis="Books, 10 years", months=120),))
        with pytest.raises(cf.RefusedError, match="Books") as caught:
            ledger.people.erase("ann", **APPROVED)
        assert len(caught.value.reasons) == 1
        now[0] += 3 * 366 * 86_400
        with pytest.raises(cf.RefusedError, match="Books"):
            ledger.people.erase("ann", **APPROVED)
        adopt(ledger, retention=(replace(REG_B, basis="Books", months=120, system="credit*"),))
        ledger.people.erase("ann", **APPROVED)


def test_a_call_adds_to_the_policy_and_takes_nothing_away(opened):
    """Rules and holds given with an erasure bind as well; giving none lifts nothing."""
    with opened() as ledger:
        with pytest.raises(cf.RefusedError, match="Regulation B"):
            ledger.people.erase("ann", rules=(), placed=(), **APPROVED)
        adopt(ledger, retention=())
        for more in (
            {"rules": [replace(REG_B, basis="mine")]},
            {"placed": [cf.Hold("mine", None)]},
        ):
            with pytest.raises(cf.RefusedError, match="mine"):
                ledger.people.erase("ann", **APPROVED, **more)
        ledger.people.erase("ann", **APPROVED)
