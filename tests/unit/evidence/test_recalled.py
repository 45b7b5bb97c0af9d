"""What a machine has seen of a log is held against every file, receipt and folder of it."""

from __future__ import annotations

import shutil

import pytest
from typer.testing import CliRunner

import counterfoil as cf
from counterfoil.cli import app
from counterfoil.core.receipt import format_receipt
from counterfoil.core.statement import Subject
from counterfoil.ledger.export import export_site


def say(rows):
    return ["yes" for _ in rows]


def attest(ledger, name, count):
    for number in range(count):
        ledger.attest([Subject(name, {"sha256": "ab" * 32})], "evaluation", {"number": number})


class Fork:
    """A ledger of twelve entries, its site, and a second history by whoever copied the machine."""

    def __init__(self, folder, monkeypatch):
        self.folder, self._monkeypatch = folder, monkeypatch
        self.at("north")
        with cf.init(folder / "n") as ledger:
            attest(ledger, "base", 3)
        shutil.copytree(folder / "n", folder / "f")
        shutil.copytree(folder / "north", folder / "thief")
        with cf.open(folder / "n") as ledger:
            attest(ledger, "one", 12 - ledger.size)
            export_site(ledger, folder / "site")
        self.trust = folder / "n" / "trust.toml"

    def at(self, home):
        self._monkeypatch.setenv("COUNTERFOIL_HOME", str(self.folder / home))

    def grow(self, size, folder="f"):
        """Have the thief append up to a size; give a letter, and a receipt with its entry."""
        self.at("thief")
        with cf.open(self.folder / folder) as ledger:
            letter = ledger.models.add(say, name="credit").decide([[1]])[0].evidence().page()
            assert ledger.size < size
            attest(ledger, "two", size - ledger.size)
            letter = ledger.decisions.show("credit", 0).evidence().page()
            return letter, format_receipt(ledger.receipt(1)), ledger.entry(1)


@pytest.fixture
def fork(tmp_path, monkeypatch):
    return Fork(tmp_path, monkeypatch)


def see_the_site(fork, home="auditor"):
    fork.at(home)
    with cf.open(fork.folder / "site", trust=fork.trust) as site:
        assert site.audit().size == 12
        return site.checkpoint


def refusals(fork, letter, receipt, entry):
    """What there is of the second history, each to be verified."""
    return (
        lambda: cf.verify(letter, trust=fork.trust),
        lambda: cf.verify(receipt, entry=entry, trust=fork.trust),
        lambda: cf.verify(fork.folder / "f", trust=fork.trust),
        lambda: cf.open(fork.folder / "f").audit(),
    )


@pytest.mark.parametrize("number", range(4))
def test_two_roots_of_one_size_on_one_machine_are_a_split_view(fork, tmp_path, number):
    """Whichever comes first of a letter, a receipt and a folder: both checkpoints are kept."""
    what = fork.grow(12)
    seen = see_the_site(fork)
    with pytest.raises(cf.SplitViewError, match="another history") as split:
        refusals(fork, *what)[number]()
    kept = {path.read_bytes() for path in tmp_path.glob("auditor/split-view/*/*")}
    assert kept == {split.value.a, split.value.b}
    assert seen in kept
    with pytest.raises(cf.SplitViewError, match="two histories"):
        cf.verify(fork.folder / "site", trust=fork.trust)


@pytest.mark.parametrize("number", range(2))
def test_what_the_operators_own_witness_remembers_counts(fork, number):
    """On the operator's machine a letter or a receipt of the copy is refused, too."""
    what = fork.grow(12)
    fork.at("north")
    with pytest.raises(cf.SplitViewError, match="another history"):
        refusals(fork, *what)[number]()


def test_a_longer_folder_is_compared_by_its_beginning(fork):
    """Its first entries are hashed to the size that was seen, and are others."""
    fork.grow(20)
    see_the_site(fork)
    for attempt in (
        lambda: cf.verify(fork.folder / "f", trust=fork.trust),
        lambda: cf.open(fork.folder / "f").audit(),
    ):
        with pytest.raises(cf.SplitViewError):
            attempt()


def test_what_cannot_be_compared_is_named(fork):
    """Between other sizes nothing here has the hashes: the verdict says so, and holds."""
    letter, receipt, entry = fork.grow(20)
    see_the_site(fork)
    for verdict in (
        cf.verify(letter, trust=fork.trust),
        cf.verify(receipt, entry=entry, trust=fork.trust),
    ):
        assert "the log of 20 entries is the one that was seen on this machine with 12" in str(
            verdict.not_checked
        )


def test_a_folder_that_is_shorter_is_not_compared_and_that_is_said(fork):
    """More was seen than a copy has, by a verdict and by an audit alike."""
    fork.at("thief")
    size = cf.open(fork.folder / "f").size
    see_the_site(fork)
    verdict = cf.verify(fork.folder / "f", trust=fork.trust)
    assert f"the log of {size} entries is the one that was seen on this machine with 12" in str(
        verdict.not_checked
    )
    words = ["log", "audit", "--ledger", str(fork.folder / "f")]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0
    assert "first of the 12 entries seen here before" in " ".join(told.output.split())


def test_the_same_history_is_found_so_and_nothing_is_added(fork):
    """A receipt under a checkpoint that was seen, and the folder itself, say no more."""
    see_the_site(fork)
    with cf.open(fork.folder / "n") as ledger:
        receipt, entry = format_receipt(ledger.receipt(1)), ledger.entry(1)
        assert ledger.audit().seen == 0
    for verdict in (
        cf.verify(receipt, entry=entry, trust=fork.trust),
        cf.verify(fork.folder / "n", trust=fork.trust),
    ):
        assert "seen on this machine" not in str(verdict.not_checked)


def test_an_operator_who_met_a_fork_goes_on_publishing(fork, tmp_path):
    """The history that the local witness cosigned is exported, with a warning; no other one is."""
    fork.grow(12)
    with cf.open(fork.folder / "f") as ledger:
        export_site(ledger, fork.folder / "fsite")
    fork.at("north")
    with cf.open(fork.folder / "n") as ledger:
        export_site(ledger, fork.folder / "site")
    cf.open(fork.folder / "site", trust=fork.trust).close()
    with pytest.raises(cf.SplitViewError):
        cf.open(fork.folder / "fsite")
    with cf.open(fork.folder / "n") as ledger:
        attest(ledger, "more", 1)

    def export(ledger, site):
        words = ["log", "export", str(tmp_path / site), "--ledger", str(tmp_path / ledger)]
        return CliRunner().invoke(app, words)

    told = export("n", "site")
    assert told.exit_code == 0
    assert "warning: two histories" in told.stderr
    assert "wrote 13 entries" in told.stdout
    assert export("f", "new").exit_code == cf.SplitViewError.exit_code
    fork.at("auditor")  # who has no witness of it cannot tell which was first
    cf.open(fork.folder / "site", trust=fork.trust).close()
    with pytest.raises(cf.SplitViewError):
        cf.open(fork.folder / "fsite")
    assert export("n", "site").exit_code == cf.SplitViewError.exit_code
