from __future__ import annotations

import contextlib

import pytest

import counterfoil as cf
from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.core.receipt import check_receipt
from counterfoil.errors import UnavailableError
from counterfoil.front import Ledger, init
from counterfoil.ledger.rotation import rotate_key

pytestmark = pytest.mark.usefixtures("small_journal", "near_witness", "unsynced")


@pytest.fixture
def ready(world):
    """A world with a ledger that has an entry."""
    folder = world.use(world.template)
    with init(folder) as ledger:
        ledger.append(b"before")
    return world


@pytest.mark.parametrize("fault", ["done-but-reported-refused", "killed-in-the-middle"])
def test_every_step_of_a_rotation(ready, every_step):
    """Broken anywhere, the old key is in force or the new one; the next try completes it once."""

    def act(folder, disk, tell):
        disk.install()
        with contextlib.suppress(UnavailableError), Ledger(folder) as ledger:
            rotate_key(ledger)
            tell(ledger.entry(0), ledger.receipt(0))

    def check(folder, told):
        with Ledger(folder) as ledger:
            keys = ledger.keys
            before = ledger.size
            # Whichever is in force signs, its witness follows, and history is one.
            receipt = ledger.append(b"between")
            assert receipt.index >= before
            checkpoint = open_checkpoint(receipt.checkpoint, keys)
            assert keys.counts(keys.key, checkpoint.size)
            assert b"witness.local" in receipt.checkpoint
        with Ledger(folder) as ledger:
            assert len(keys.earlier) == (1 if told else len(keys.earlier)) <= 1
            policy = ledger.policy.show()
            if not (keys.earlier and policy.log.keys == keys):
                done = rotate_key(ledger)
                assert len(done.keys.earlier) == 1, "it handed over twice"
                if keys.earlier:
                    assert done.keys == keys
            ledger.append(b"after")
        verdict = cf.verify(folder)
        assert verdict.trusted
        with Ledger(folder) as ledger:
            assert ledger.policy.show().log.keys == ledger.keys
            for index in range(ledger.size):
                check_receipt(ledger.entry(index), ledger.receipt(index), ledger.keys)

    every_step(ready, act, check, least=10)
