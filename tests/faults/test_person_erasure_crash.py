from __future__ import annotations

import contextlib
import os
import shutil
import signal
import warnings

import pytest

from counterfoil.decisions.stream import DecisionStream
from counterfoil.errors import FormatError
from counterfoil.front import Ledger, init, open_ledger
from counterfoil.vault import StreamStore

pytestmark = pytest.mark.usefixtures("small_journal", "near_witness", "unsynced")

SYSTEMS = ("cards", "loans")
APPROVED = {"basis": "GDPR Art. 17", "approvers": ("x", "y")}
LATER = 4_000_000_000.0  # no retention rule holds any more
# Each changes what is durable, and between any two of them a process may be killed.
ACTS = (
    (StreamStore, "put_note"),
    (StreamStore, "destroy"),
    (StreamStore, "append"),
    (StreamStore, "destroy_note"),
    (DecisionStream, "publish"),
)


@pytest.fixture
def ready(world):
    """A world with a ledger of two systems that know the same two people."""
    folder = world.use(world.template)
    with init(folder, clock=lambda: LATER - 10**8) as ledger:
        for name in SYSTEMS:
            model = ledger.models.add(lambda rows: ["no"] * len(rows), name=name)
            model.decide([[1], [2]], data_subjects=["ann", "bob"])
        # The streams of erasures and holds begin here, and not at each step.
        ledger.people.hold("eve", basis="an order", by="legal")
    with Ledger(folder, clock=lambda: LATER) as ledger, contextlib.suppress(FormatError):
        ledger.people.erase("nobody", **APPROVED)
    return world


def kill_at(step, *, after):
    """Have this process killed before or after its `step`-th act, counted from 1."""
    left = [step]

    def wrap(act):
        def stop():
            os.kill(os.getpid(), signal.SIGKILL)

        def acting(*words, **options):
            left[0] -= 1
            if left[0] == 0 and not after:
                stop()
            done = act(*words, **options)
            if left[0] == 0:
                stop()
            return done

        return acting

    for owner, name in ACTS:
        setattr(owner, name, wrap(getattr(owner, name)))
    return left


@pytest.mark.parametrize("after", [False, True])
def test_a_killed_erasure_is_one_of_all_systems_or_of_none(ready, in_child, after):
    """Killed between any two acts, the next opening leaves the person everywhere or nowhere."""
    states = []
    for step in range(1, 60):
        folder = ready.copy(f"{after}-{step}")

        def act(_, folder=folder, step=step):
            with Ledger(folder, clock=lambda: LATER) as ledger:
                left = kill_at(step, after=after)
                ledger.people.erase("ann", **APPROVED)
                return 0 if left[0] > 0 else 3

        code, _ = in_child(act)
        assert code in {0, -signal.SIGKILL}
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            ledger = open_ledger(folder, clock=lambda: LATER)
        with ledger:
            known = sorted(ledger.people.export("ann"))
            assert known in ([], list(SYSTEMS))
            assert sorted(ledger.people.export("bob")) == list(SYSTEMS)
            certificates = ledger.people.erasures()
            assert len({one.stream for one in certificates}) == len(certificates)
            assert len(certificates) == (0 if known else len(SYSTEMS))
            assert ledger.people.lost() == ()
            assert ledger.people.finish() == ()
            stream = DecisionStream.open(ledger, "counterfoil/erasures", write=False)
            batch = stream.newest_batch()
            assert (batch.size if batch else 0) == stream.store.size
            stream.close()
            if told:
                assert [len(one.leaves) for one in certificates] == [1, 1]
                assert ledger.people.erase("ann", **APPROVED) == certificates
            states.append(not known)
        assert not [*folder.rglob("erasing*")]
        shutil.rmtree(folder.parent)
        if code == 0:
            break
    assert code == 0
    # First kept, then erased, and never back again.
    assert states == sorted(states)
    assert len(states) > 10
