from __future__ import annotations

import itertools
import shutil

import pytest

from counterfoil.core.merkle import Hash
from counterfoil.core.requirements import Mode
from counterfoil.core.statement import Subject
from counterfoil.errors import ConflictError, FormatError, UnavailableError
from counterfoil.front import Ledger, init
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.keyfiles import load_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places

ORIGIN = "example.com/kill"
FAULTS = (
    "refused",
    "done-but-reported-refused",
    "killed-before",
    "killed-after",
    "killed-in-the-middle",
)
MOST_STEPS = 150
REACHED = 3  # exit code of a child that met its fault and lived
BATCHES = {"a": 1, "b": 260, "c": 2}
SUBJECT = Subject("credit", {"sha256": "ab" * 32})

pytestmark = pytest.mark.usefixtures("small_journal", "near_witness")
fault_table = pytest.mark.parametrize("fault", FAULTS)


def again(act):
    """Do something, and once more if it was refused."""
    try:
        return act()
    except UnavailableError:
        return act()


def entries_of(name):
    return [f"{name} {i} ".encode() * 20 for i in range(BATCHES[name])]


def append_all(folder, disk, tell):
    """Append all batches, telling of the first and last entry of each."""
    disk.install()  # the witness's steps are counted too
    log = Log(folder, disk=disk)
    for name in BATCHES:
        entries = entries_of(name)
        receipts = again(lambda entries=entries: log.append_many(entries))
        tell(entries[0], receipts[0])
        tell(entries[-1], receipts[-1])


def batches_in(log, start):
    """Names of the batches from `start` on, each found whole."""
    names = []
    entries = list(log.entries(start, log.size))
    while entries:
        name = entries[0].decode()[0]
        whole = entries_of(name)
        assert entries[: len(whole)] == whole, f"half of batch {name}"
        del entries[: len(whole)]
        names.append(name)
    return names


class World:
    """A home and a ledger, prepared once, and a fresh copy of both for every step of a table."""

    def __init__(self, tmp_path, monkeypatch, quiet):
        self.tmp_path = tmp_path
        self.monkeypatch = monkeypatch
        self.quiet = quiet  # a disk that syncs nothing, for our own checks
        self.template = tmp_path / "template"
        self.use(self.template)

    def use(self, root):
        self.monkeypatch.setenv("COUNTERFOIL_HOME", str(root / "home"))
        return root / "ledger"

    def copy(self, name):
        shutil.copytree(self.template, self.tmp_path / name)
        return self.use(self.tmp_path / name)


@pytest.fixture
def world(tmp_path, monkeypatch, step_disk):
    return World(tmp_path, monkeypatch, step_disk())


@pytest.fixture
def logged(world, make_keys):
    """A world whose ledger holds five entries, and has a witness."""
    signer = make_keys(ORIGIN, witness=True)
    folder = world.use(world.template)
    Log.create(folder, signer, disk=world.quiet)
    with Log(folder, disk=world.quiet) as log:
        log.append_many([b"x"] * 5)
    return world


@pytest.fixture
def every_step(in_child, step_disk):
    """Runs `act` in a child for step 1, 2, … of a table, and `check` after each.

    At least `least` steps must have been met before `act` came through.
    """

    def run(world, fault, act, check, least):
        for at in range(1, MOST_STEPS):
            folder = world.copy(f"{fault}-{at}")
            disk = step_disk(fault, at)

            def child(tell, folder=folder, disk=disk):
                act(folder, disk, tell)
                return REACHED if disk.steps >= disk.at else 0

            code, told = in_child(child)
            assert code in {0, REACHED, -9}, f"step {at} ended with {code}"
            check(folder, told)
            shutil.rmtree(folder.parent)
            if code == 0:
                break
        assert least < at < MOST_STEPS - 1

    return run


@fault_table
def test_every_step_of_appending(logged, outside, every_step, fault):
    """Whatever step of a commit breaks, no promise does: old state or new, and one history."""
    key = load_key(Places(ORIGIN).keys / "log.pem").key

    def check(folder, told):
        seen = outside(key)
        for entry, receipt in told:
            seen.acknowledge(entry, receipt)
        published = seen.look(folder)
        with Log(folder, disk=logged.quiet) as log:
            log.append(entries_of("a")[0])
            assert log.size > published
            seen.check(log)
            names = batches_in(log, 5)
            assert sorted(set(names)) == [*BATCHES][: len(set(names))]
        seen.look(folder)

    every_step(logged, fault, append_all, check, least=40)


@pytest.fixture
def interrupted(logged, in_child, step_disk):
    """A world killed when a batch was durable in the journal, and nobody had been told."""
    clean = logged.template
    for at in itertools.count(1):
        folder = logged.copy(f"killed-{at}")

        def child(tell, folder=folder, at=at):
            disk = step_disk("", 0)
            log = Log(folder, disk=disk)
            log.append(entries_of("a")[0])
            disk.arm()
            disk.fault, disk.at = "killed-after", at
            receipts = log.append_many(entries_of("b"))
            tell(b"", receipts[0])

        code, _ = in_child(child)
        logged.template = folder.parent
        trial = logged.copy(f"trial-{at}")
        with Log(folder) as reader, Log(trial, disk=logged.quiet) as log:
            log.append(b"look")
            if (code, reader.size, log.size) == (-9, 6, 267):
                break
        logged.template = clean
    logged.copy("interrupted")
    return logged


@fault_table
def test_every_step_of_recovery(interrupted, outside, every_step, fault):
    """Recovery that breaks is taken up again: the batch that was durable is there, once."""
    key = load_key(Places(ORIGIN).keys / "log.pem").key

    def act(folder, disk, tell):
        log = Log(folder, disk=disk)
        entry = entries_of("a")[0]
        tell(entry, again(lambda: log.append(entry)))

    def check(folder, told):
        seen = outside(key)
        for entry, receipt in told:
            seen.acknowledge(entry, receipt)
        seen.look(folder)
        with Log(folder, disk=interrupted.quiet) as log:
            log.append(entries_of("a")[0])
            seen.check(log)
            first, second, *rest = batches_in(log, 5)
            assert (first, second, {*rest}) == ("a", "b", {"a"})
        seen.look(folder)

    every_step(interrupted, fault, act, check, least=10)


@fault_table
def test_every_step_of_creating(world, make_keys, outside, every_step, fault):
    """A creation that breaks left no ledger, or a whole one; making it again always works."""
    make_keys(ORIGIN)

    def create(folder, disk):
        try:
            Log.create(folder, load_key(Places(ORIGIN).keys / "log.pem"), disk=disk)
        except ConflictError:
            return  # it had been made

    def act(folder, disk, tell):
        again(lambda: create(folder, disk))
        log = Log(folder, disk=disk)
        tell(b"first", again(lambda: log.append(b"first")))

    def check(folder, told):
        seen = outside(load_key(Places(ORIGIN).keys / "log.pem").key)
        for entry, receipt in told:
            seen.acknowledge(entry, receipt)
        try:
            seen.look(folder)
        except FormatError:
            assert not told
        create(folder, world.quiet)
        with Log(folder, disk=world.quiet) as log:
            log.append(b"first")
            assert {*log.entries(0, log.size)} == {b"first"}
            seen.check(log)

    (world.template / "ledger").mkdir()
    every_step(world, fault, act, check, least=20)


@pytest.mark.parametrize("fault", ["done-but-reported-refused", "killed-in-the-middle"])
def test_every_step_of_init(world, outside, every_step, monkeypatch, fault):
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

    for name in ("sync", "sync_folder"):
        monkeypatch.setattr(Disk, name, getattr(world.quiet, name))
    every_step(world, fault, act, check, least=40)


@pytest.fixture
def ready(world):
    """A world with a ledger as `init` makes it, and a data set to add."""
    folder = world.use(world.template)
    init(folder).close()
    (world.template / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    return world


@fault_table
def test_every_step_of_attesting(ready, outside, every_step, fault):
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
            assert len(ledger.data.list()) <= 1
            data = ledger.data.add(folder.parent / "rows.csv", "rows")
            assert ledger.data.list() == [data]
            assert ledger.data.diff("rows", folder.parent / "rows.csv") is None
            enforce(ledger)
            copy = (folder / "trust.toml").read_bytes()
            assert copy == ledger.places.trust.read_bytes()
            seen.check(ledger)

    every_step(ready, fault, act, check, least=40)
