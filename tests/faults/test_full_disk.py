from __future__ import annotations

import itertools
import os

import pytest

import counterfoil as cf
from counterfoil.core.receipt import format_receipt
from counterfoil.errors import FormatError, UnavailableError
from counterfoil.vault import FileKeyStore, StreamStore

PAGE_BYTES = 4096  # what a tmpfs gives out at once
MOST_PAGES = 64
ROWS = 40
PEOPLE = [f"person-{number}" for number in range(ROWS)]

pytestmark = [
    pytest.mark.usefixtures("small_journal", "near_witness"),
    pytest.mark.parametrize("small_disk", [12_000], indirect=True),
]


def say_no(rows):
    return ["no" for _ in rows]


class Filled:
    """A ledger with a model, data, and decisions about people, on a disk that can be filled."""

    def __init__(self, folder, outside):
        self.folder = folder
        self.ledger = cf.init(folder / "ledger")
        (folder / "rows.csv").write_text("a,b\n1,2\n3,4\n")
        self.ledger.data.add(folder / "rows.csv", name="rows")
        self.model = self.ledger.models.add(say_no, name="f")
        self.made = [*self.model.decide([[n] for n in range(ROWS)], data_subjects=PEOPLE)]
        self.letter = folder / "letter.html"
        self.made[0].evidence().save(self.letter)
        self.seen = outside(self.ledger.key)

    def leave(self, pages):
        """Fill the disk but for so many pages."""
        free = os.statvfs(self.folder).f_bavail
        with (self.folder / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free - pages) * PAGE_BYTES)
        assert os.statvfs(self.folder).f_bavail == min(free - 1, pages)

    def at_every_level(self, act, check, least):
        """Act with 0, 1, 2 … free pages until it comes through, and once more with room each time.

        After each refusal, with the disk still full, `check` says what must still stand.
        """
        refused = 0
        for pages in range(MOST_PAGES):
            self.leave(pages)
            try:
                act()
            except UnavailableError as error:
                if not ("No space left" in str(error) or "disk is full" in str(error)):
                    raise
                refused += 1
            else:
                break
            finally:
                check()
                (self.folder / "ballast").unlink()
            act()
            check()
        assert least <= refused < MOST_PAGES - 1
        act()
        check()
        self.check()

    def check(self):
        """Check what was told before the disk was full: log, records, letter, data."""
        self.seen.check(self.ledger)
        for decision in self.made[::7]:
            shown = self.ledger.decisions.show("f", decision.index)
            assert (shown.leaf, shown.values) == (decision.leaf, decision.values)
        assert cf.verify(self.letter).trusted
        assert self.ledger.data.diff("rows", self.folder / "rows.csv") is None
        self.ledger.close()
        with cf.open(self.folder / "ledger") as again:
            self.seen.check(again)


@pytest.fixture
def filled(small_disk, outside):
    return Filled(small_disk[0], outside)


def test_entries(filled):
    """Appending is refused for want of room, at each level of it, and loses nothing."""
    ledger, seen = filled.ledger, filled.seen

    def act():
        for size in (10, 3000, 60_000):
            entry = os.urandom(size)
            seen.acknowledge(entry, format_receipt(ledger.append(entry)))

    filled.at_every_level(act, lambda: seen.look(ledger.folder), least=10)


def test_records(filled):
    """A batch of decisions is recorded as a whole or not at all, and told only if it was."""
    sizes = {ROWS}

    def act():
        batch = filled.model.decide([[n] * 20 for n in range(ROWS)], data_subjects=PEOPLE)
        filled.made.extend(batch)

    def check():
        count = len(filled.ledger.decisions.list("f"))
        assert count % ROWS == 0
        assert count >= len(filled.made)
        sizes.add(count)

    filled.at_every_level(act, check, least=3)
    assert len(sizes) > 2


def test_a_letter(filled):
    """A letter that finds no room leaves what was there: the letter before, or nothing at all."""
    old = filled.letter.read_bytes()
    new = filled.made[1].evidence().page()
    first = filled.folder / "first.html"

    def act():
        first.unlink(missing_ok=True)
        filled.made[1].evidence().save(first)
        filled.made[1].evidence().save(filled.letter, replace=True)
        filled.letter.write_bytes(old)

    def check():
        assert filled.letter.read_bytes() in {old, new}
        assert not first.exists() or first.read_bytes() == new
        assert not list(filled.folder.glob(".*"))

    filled.at_every_level(act, check, least=len(new) // PAGE_BYTES)


def test_erasing(filled):
    """An erasure that finds no room is finished by the next, and reaches nobody else."""
    # Nothing is to be kept by a rule: what is looked at is the disk.
    filled.ledger.policy.adopt(filled.ledger.policy.show().followed_by(retention=()))
    kept = PEOPLE[::7]
    people = iter(sorted({*PEOPLE} - {*kept}))
    gone = []

    def act():
        filled.ledger.people.finish()
        if not gone or not filled.ledger.people.export(gone[-1]):
            gone.append(next(people))
        filled.ledger.people.erase(gone[-1], basis="x", approvers=("a", "b"))

    def check():
        for person in kept:
            assert len(filled.ledger.people.export(person)["f"]) == 1

    filled.at_every_level(act, check, least=1)
    assert all(filled.ledger.people.export(person) == {} for person in gone)


def test_ending_an_epoch(filled):
    """Keys are wrapped anew for all records or for none, and each opens at any moment."""
    (folder,) = (filled.ledger.folder / "private" / "streams").iterdir()
    keys = FileKeyStore(filled.ledger.places.vault_keys)

    def act():
        with StreamStore.open(folder, keys, write=True) as store:
            assert store.rotate_epoch() == ()

    def check():
        with StreamStore.open(folder, keys, write=False) as store:
            for decision in filled.made[::7]:
                assert store.leaf(decision.index) == decision.leaf
                store.disclosures(decision.index)

    filled.at_every_level(act, check, least=2)


def test_what_is_attested(filled):
    """Data sets and large statements are there as a whole, or can be stated again."""
    numbers = itertools.count()

    def act():
        number = next(numbers)
        added = filled.ledger.data.add([[number, row] for row in range(300)], name=f"d{number}")
        assert filled.ledger.data.show(added.digest) == added
        body = {"data": "x" * 47_000, "number": number}
        made = filled.ledger.models.attest_evaluation(filled.model, body)
        assert filled.ledger.envelope(made.index) == made.envelope
        filled.seen.acknowledge(filled.ledger.entry(made.index), format_receipt(made.receipt))

    filled.at_every_level(act, lambda: filled.seen.look(filled.ledger.folder), least=10)


def test_searching(filled):
    """With no room for an index at all, searching finds what is there."""
    ledger = filled.ledger
    ledger.close()
    ledger.places.index.unlink()
    filled.leave(0)
    with cf.open(ledger.folder) as reader:
        assert [one.name for one in reader.data.list()] == ["rows"]
        assert reader.decisions.list("f", data_subject=PEOPLE[3]) == [3]
        with pytest.raises(FormatError, match="no data set"):
            reader.data.show("others")
    (filled.folder / "ballast").unlink()
    filled.check()
