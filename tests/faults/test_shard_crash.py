from __future__ import annotations

import contextlib

import pytest

import counterfoil as cf
from counterfoil.core.shard import takeover_of
from counterfoil.errors import ConflictError, UnavailableError
from counterfoil.front import Ledger, init
from counterfoil.ledger.sharding import carry_receipt, shard_after

pytestmark = pytest.mark.usefixtures("small_journal", "near_witness", "unsynced")


@pytest.fixture
def ready(world):
    """A world with a ledger that has an entry."""
    folder = world.use(world.template)
    with init(folder) as ledger:
        ledger.append(b"of the old year")
    return world


@pytest.mark.parametrize("fault", ["killed-in-the-middle"])
def test_every_step_of_a_shard(ready, every_step):
    """Broken anywhere, the old log goes on or is closed; the next try begins the new one once."""

    def act(folder, disk, tell):
        disk.install()
        with contextlib.suppress(UnavailableError), Ledger(folder) as ledger:
            ledger.shard(folder.parent / "next").close()
            tell(ledger.entry(0), ledger.receipt(0))

    def check(folder, told):
        new = folder.parent / "next"
        with Ledger(folder) as ledger:
            if shard_after(ledger) is None:
                assert not told
                with contextlib.suppress(ConflictError):  # what was durable closes it just now
                    ledger.append(b"it goes on")
        with Ledger(folder) as ledger, ledger.shard(new) as following:
            assert takeover_of(following.envelope(0), following.keys).checkpoint.size == ledger.size
            assert [one.index for one in following.find(predicate="takeover")] == [0]
            following.append(b"of the new year")
            carried = carry_receipt(ledger, 1, following)
            assert carried.takeovers
            with pytest.raises(ConflictError, match="goes on as"):
                ledger.append(b"too late")
        assert cf.verify(folder).trusted
        assert cf.verify(new).trusted

    every_step(ready, act, check, least=10)
