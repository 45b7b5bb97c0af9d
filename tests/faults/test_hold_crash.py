from __future__ import annotations

import contextlib

import pytest

from counterfoil.errors import RefusedError, UnavailableError
from counterfoil.front import Ledger, init

pytestmark = pytest.mark.usefixtures("small_journal", "near_witness", "unsynced")

LATER = 4_000_000_000.0  # no retention rule holds any more


@pytest.fixture
def ready(world):
    """A world with a ledger, one person in it, and a hold on another."""
    folder = world.use(world.template)
    with init(folder) as ledger:
        ledger.models.add(lambda rows: ["no"] * len(rows), name="loans").decide(
            [[1]], data_subjects=["ann"]
        )
        ledger.people.hold("bob", basis="first order", by="legal")
    return world


@pytest.mark.parametrize("fault", ["done-but-reported-refused", "killed-in-the-middle"])
def test_every_step_of_placing_a_hold(ready, every_step):
    """Broken anywhere, a hold is placed or not; one that was acknowledged refuses every erasure."""

    def act(folder, disk, tell):
        disk.install()
        with contextlib.suppress(UnavailableError), Ledger(folder) as ledger:
            ledger.people.hold("ann", basis="second order", by="legal")
            tell(ledger.entry(0), ledger.receipt(0))

    def check(folder, told):
        with Ledger(folder, clock=lambda: LATER) as ledger:
            # The first to write repairs what was torn; and the older hold still binds.
            with pytest.raises(RefusedError, match="first order"):
                ledger.people.erase("bob", basis="b", approvers=("x", "y"))
            held = ledger.people.holds("ann")
            assert len(held) == 1 if told else len(held) <= 1
            if held:
                with pytest.raises(RefusedError, match="second order"):
                    ledger.people.erase("ann", basis="b", approvers=("x", "y"))
            # And the next one can be placed, whatever was left behind.
            ledger.people.hold("ann", basis="third order", by="legal")
            assert len(ledger.people.holds("ann")) == len(held) + 1

    every_step(ready, act, check, least=10)


def test_a_hold_cannot_slip_in_while_a_person_is_erased(ready):
    """While an erasure asks and destroys, nobody places a hold that it would not see."""
    folder = ready.copy("erasing")
    met = []

    class Rule:
        def hold(self, record):
            del record
            with Ledger(folder) as other, contextlib.suppress(UnavailableError):
                try:
                    other.people.hold("ann", basis="late", by="legal")
                except Exception as error:  # noqa: BLE001 whatever it is, it is looked at below
                    met.append(type(error).__name__)

    with Ledger(folder, clock=lambda: LATER) as ledger:
        ledger.people.erase("ann", basis="b", approvers=("x", "y"), rules=[Rule()])
    assert met
    assert set(met) == {"ConflictError"}
