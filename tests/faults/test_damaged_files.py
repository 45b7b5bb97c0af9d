"""Every file of a ledger and of its home damaged: what notices, as a table."""

from __future__ import annotations

import os
import random
import shutil
from fnmatch import fnmatch

import pytest

import counterfoil as cf
from counterfoil.core.receipt import check_receipt
from counterfoil.ledger import read_status
from counterfoil.ledger.status import Standing
from counterfoil.vault import FileKeyStore, StreamStore

SOAK = int(os.environ.get("COUNTERFOIL_SOAK", "1"))
LENGTHENED = -1
HUGE_BYTES = 1 << 40  # a sparse file of that size takes no room, and more memory than there is
TREE = "ledger/private/streams/*/"

# Which use notices. What can be made again is made again, and what nobody goes by changes nothing.
MADE_AGAIN, UNREAD = "made again", "nobody goes by it"
NOTICED_BY = {
    "ledger/ledger.json": "open",
    "ledger/trust.toml": UNREAD,  # the copy for reading; the adopted one lies in the home
    "ledger/log/tree.json": "open",
    "ledger/log/head": "open",
    "ledger/log/entries": "audit",
    "ledger/log/ends": "audit",
    "ledger/log/level?": "audit",
    "ledger/log/journal": UNREAD,  # zeros after a clean close
    "ledger/log/writer.lock": UNREAD,  # the lock is on it, not in it
    "ledger/blobs/*/*": "audit",
    "ledger/private/data/*": "data",
    "ledger/private/models/*": "models",
    f"{TREE}tree.json": "records",
    f"{TREE}vault.json": "records",
    f"{TREE}head": "records",
    f"{TREE}entries": "records",
    f"{TREE}ends": "records",
    f"{TREE}slots": "records",
    f"{TREE}level0": "records",
    f"{TREE}journal": UNREAD,
    f"{TREE}writer.lock": UNREAD,
    f"{TREE}index.sqlite": MADE_AGAIN,
    f"{TREE}index.sqlite-journal": UNREAD,  # rolled back and zeroed
    "home/keys/*/log.pem": "deciding",
    "home/keys/*/log.vkey": "deciding",
    "home/keys/*/operator.pem": "deciding",
    "home/keys/*/operator.vkey": "deciding",
    "home/keys/*/tickets.pem": "deciding",
    "home/keys/*/tickets.vkey": "deciding",
    "home/vault/*/*.key": "records",
    "home/witness/*/key.pem": "deciding",
    "home/witness/*/key.vkey": "deciding",
    "home/witness/*/[0-9a-f]*.vkey": "deciding",
    "home/witness/*/*.checkpoint": "deciding",
    "home/witness/*/*.lock": UNREAD,  # empty
    "home/index/*.sqlite": MADE_AGAIN,
    "home/trust/*.toml": "policy",
}


def say_no(rows):
    return ["no" for _ in rows]


class Uses:
    """Every use of a ledger that rests on what lies on the disk, each giving what it found."""

    def __init__(self, table):
        self.table = table

    def open(self, ledger):
        return ledger.size, ledger.root, ledger.checkpoint

    def audit(self, ledger):
        return ledger.audit(), cf.verify(ledger.folder).facts

    def search(self, ledger):
        found = [*ledger.find(predicate="policy"), *ledger.find(subject="credit")]
        return [(one.index, one.statement) for one in found], ledger.people.export("ann")

    def policy(self, ledger):
        return ledger.policy.show()

    def data(self, ledger):
        return ledger.data.check("rows", self.table), ledger.data.diff("rows", self.table)

    def models(self, ledger):
        return [ledger.models.check(one.digest) for one in ledger.models.list()]

    def records(self, ledger):
        (folder,) = (ledger.folder / "private" / "streams").iterdir()
        keys = FileKeyStore(ledger.places.vault_keys)
        with StreamStore.open(folder, keys, write=False) as store:
            whole = store.size, store.root(), store.find("ann")
            return whole, [
                (store.subject(index), store.record(index), store.inclusion(index))
                for index in range(store.size)
            ]

    def letter(self, ledger):
        return ledger.decisions.show("credit", 1).evidence().page()

    def deciding(self, ledger):
        batch = ledger.models.load("credit").decide([[1, 2]], tickets=True)
        assert ledger.decisions.reconcile("credit", [batch[0].ticket]) == ()
        check_receipt(b"after", ledger.append(b"after"), ledger.key)
        standing = read_status(ledger).witness.standing
        if standing is not Standing.SAME:
            # A witness that fell silent is no error; `log status` and `log witness` show it.
            raise cf.VerificationError(f"the ledger is {standing} of its witness")
        return batch.output.tolist()


USES = ("open", "audit", "search", "policy", "data", "models", "records", "letter", "deciding")


def outcomes(root, table):
    """Use a ledger in every way; for each, what came of it, or our error."""
    found = {}
    for name in USES:
        try:
            with cf.open(root / "ledger") as ledger:
                found[name] = getattr(Uses(table), name)(ledger)
        except cf.CounterfoilError as error:
            found[name] = error
    return found


@pytest.fixture
def whole(world):
    """A world whose ledger has a file of every kind, and what each use of it gives."""
    # A large library with threads, which all other tests here would take into every fork.
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    folder = world.use(world.template)
    table = world.tmp_path / "rows.csv"
    table.write_text("a,b\n1,2\n3,4\n")
    trained = LogisticRegression().fit([[0, 1], [1, 0]], [0, 1])
    with cf.init(folder) as ledger:
        data = ledger.data.add(table, name="rows")
        ledger.models.add(say_no, name="function")
        model = ledger.models.add(trained, name="credit", trained_on=data)
        model.decide([[n, 1] for n in range(30)], data_subjects=["ann", None, "bob"] * 10)
        ledger.models.attest_evaluation(model, {"data": "x" * 46_000})
        ledger.append_many([b"entry %d" % number for number in range(300)])
    world.copy("whole")
    expected = outcomes(world.tmp_path / "whole", table)
    assert not [found for found in expected.values() if isinstance(found, Exception)]
    return world, table, expected


@pytest.mark.usefixtures("small_journal", "near_witness", "unsynced")
def test_no_file_is_silently_believed(whole):
    """Where a bit flips, or a file grows endless, each use says so or comes out as before.

    Which use notices is in the table.
    """
    world, table, expected = whole
    chance = random.Random(5)  # noqa: S311 places, not secrets
    files = [path for path in sorted(world.template.rglob("*")) if path.is_file()]
    names = [path.relative_to(world.template).as_posix() for path in files]
    unmatched = [name for name in names if sum(fnmatch(name, one) for one in NOTICED_BY) != 1]
    assert not unmatched
    assert not [one for one in NOTICED_BY if not any(fnmatch(name, one) for name in names)]
    wrong = []
    for name in names:
        (by,) = (by for one, by in NOTICED_BY.items() if fnmatch(name, one))
        length = (world.template / name).stat().st_size
        ever = set()
        places = [length * 2 // 3, *(chance.randrange(length) for _ in range(SOAK - 1))]
        for place in (*places[:length], LENGTHENED):
            copy = world.copy("damaged").parent
            if place == LENGTHENED:
                os.truncate(copy / name, HUGE_BYTES)
            else:
                data = bytearray((copy / name).read_bytes())
                data[place] ^= 1 << place % 7
                (copy / name).write_bytes(data)
            found = outcomes(copy, table)
            noticed = {use for use, what in found.items() if isinstance(what, Exception)}
            believed = {use for use in USES if use not in noticed and found[use] != expected[use]}
            shutil.rmtree(copy)
            # A file that is too long is refused wherever it is read, or the rest of it is not read.
            is_elsewhere = noticed and by not in noticed and place != LENGTHENED
            if believed or is_elsewhere:
                wrong.append((name, place, by, noticed, believed))
            ever |= noticed
        if not ever and by not in (MADE_AGAIN, UNREAD) and length:
            wrong.append((name, "never noticed", by))
    assert not wrong, "\n".join(map(str, wrong))
