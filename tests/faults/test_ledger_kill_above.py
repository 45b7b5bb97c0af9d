from __future__ import annotations

import pytest

from counterfoil.core.requirements import Mode
from counterfoil.core.statement import Subject
from counterfoil.errors import UnavailableError
from counterfoil.front import Ledger, init

SUBJECT = Subject("credit", {"sha256": "ab" * 32})


def again(act):
    """Do something, and once more if it was refused."""
    try:
        return act()
    except UnavailableError:
        return act()


pytestmark = pytest.mark.usefixtures("small_journal", "near_witness", "unsynced")


@pytest.mark.parametrize("fault", ["done-but-reported-refused", "killed-in-the-middle"])
def test_every_step_of_init(world, outside, every_step):
    """`init` is safe to repeat, wherever it was interrupted: a ledger with its policy comes out."""
    (world.template / "ledger").mkdir(parents=True)

    def act(folder, disk, tell):
        disk.install()
        ledger = again(lambda: init(folder))
        tell(ledger.entry(0), ledger.receipt(0))

    def check(folder, told):
        with init(folder) as ledger:
            seen = outside(ledger.key)
            for entry, receipt in told:
                seen.acknowledge(entry, receipt)
            stated = [one.statement.subjects[0].digest for one in ledger.find(predicate="policy")]
            assert {"sha256": ledger.policy.show().digest.hex()} in stated
            copy = (folder / "trust.toml").read_bytes()
            assert copy == ledger.places.trust.read_bytes()
            seen.check(ledger)
        with init(folder) as repeated:
            assert repeated.size == ledger.size

    every_step(world, act, check, least=40)


@pytest.fixture
def ready(world):
    """A world with a ledger as `init` makes it, and a data set to add."""
    folder = world.use(world.template)
    init(folder).close()
    (world.template / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    return world


@pytest.mark.parametrize("fault", ["refused", "killed-after", "killed-in-the-middle"])
def test_every_step_of_attesting(ready, outside, every_step):
    """A large statement, a data set and a policy are each there whole, once, or not at all."""

    def act(folder, disk, tell):
        ledger = Ledger(folder, disk=disk)
        body = {"comment": "x" * 46_080}
        made = again(lambda: ledger.attest([SUBJECT], "evaluation", body))
        tell(ledger.entry(made.index), made.receipt)
        data = again(lambda: ledger.data.add(folder.parent / "rows.csv", "rows"))
        tell(ledger.entry(data.index), ledger.receipt(data.index))
        index = again(lambda: enforce(ledger))
        tell(ledger.entry(index), ledger.receipt(index))

    def enforce(ledger):
        stages = ledger.policy.show().stages
        return ledger.policy.enforce() if stages[0].mode is Mode.OBSERVE else ledger.size - 1

    def check(folder, told):
        with Ledger(folder, disk=ready.quiet) as ledger:
            seen = outside(ledger.key)
            for entry, receipt in told:
                seen.acknowledge(entry, receipt)
            seen.look(folder)
            adopted = ledger.policy.show()
            assert adopted.version == (2 if adopted.stages[0].mode is Mode.ENFORCE else 1)
            assert len(ledger.find(subject="credit")) <= 1
            data = ledger.data.add(folder.parent / "rows.csv", "rows")
            assert data.digest in {one.digest for one in ledger.data.list()}
            assert ledger.data.diff("rows", folder.parent / "rows.csv") is None
            enforce(ledger)
            copy = (folder / "trust.toml").read_bytes()
            assert copy == ledger.places.trust.read_bytes()
            seen.check(ledger)

    every_step(ready, act, check, least=40)
