"""Two machines with one log on PostgreSQL: what one has recorded outlives it."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import counterfoil as cf
from counterfoil.cluster.streams import DatabaseStreams
from counterfoil.core.envelope import parse_envelope
from counterfoil.core.retention import REG_B
from counterfoil.core.ticket import parse_ticket
from counterfoil.decisions.erasing import ErasureWarning
from counterfoil.decisions.stream import streams_of
from counterfoil.vault import Eraser

SOON_S = 60.0

# The first machine: adds data and a model, serves until it is killed, and hands out tickets.
FIRST = """
import base64, sys
import counterfoil as cf
from counterfoil.cluster.streams import DatabaseStreams

def answer(rows):
    return ["yes"] * len(rows)

ledger = cf.open(sys.argv[1])
serving = ledger.decisions.serve(ledger.models.add(answer, name="loans"))
print(serving._recorder.pid, flush=True)
while True:
    handle = serving.record({"income": 1}, "yes", data_subject="anna")
    print(base64.b64encode(serving.ticket(handle)).decode(), flush=True)
"""


def answer(rows):
    return ["yes" for _ in rows]


@pytest.fixture
def url(make_store):
    """A new ledger on PostgreSQL, opened once on the first machine."""
    location = make_store("postgres-files").location
    with cf.init(location) as ledger:
        old = ledger.policy.show()
        elsewhere = (replace(REG_B, system="credit*"),)
        ledger.policy.adopt(replace(old, version=2, previous=old.digest.hex(), retention=elsewhere))
    return location


@pytest.fixture
def second_machine(tmp_path, monkeypatch):
    """Turns this process into another machine, set up as the how-to says."""

    def turn(*, shares_vault=True):
        first, second = Path(os.environ["COUNTERFOIL_HOME"]), tmp_path / "machine-2"
        second.mkdir(mode=0o700)
        for name in ("keys", "trust"):
            shutil.copytree(first / name, second / name)
        if shares_vault:
            (second / "vault").symlink_to(first / "vault")
        monkeypatch.setenv("COUNTERFOIL_HOME", str(second))

    return turn


def insist(act):
    """Do something until it is not refused, because somebody still writes."""
    deadline = time.monotonic() + SOON_S
    while True:
        try:
            return act()
        except cf.ConflictError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_what_a_machine_recorded_outlives_it(url, second_machine):
    """It dies as it records: another one shows every ticketed decision, and records on."""
    first = subprocess.Popen(
        [sys.executable, "-P", "-c", FIRST, url],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with first:
        worker = int(first.stdout.readline())
        assert url not in Path(f"/proc/{worker}/cmdline").read_text()
        tickets = [base64.b64decode(first.stdout.readline()) for _ in range(30)]
        for pid in (first.pid, worker):
            os.kill(pid, signal.SIGKILL)
    second_machine()
    with cf.open(url) as ledger:
        model = ledger.models.add(answer, name="loans")
        batch = insist(lambda: model.decide([{"income": 2}]))
        kept = len(ledger.decisions.list("loans"))
        assert kept >= 31
        for ticket in tickets:
            said = parse_ticket(parse_envelope(ticket).in_toto)
            assert ledger.decisions.show("loans", said.index).leaf == said.leaf
        assert ledger.decisions.reconcile("loans", tickets) == ()
        assert cf.verify(batch[0].evidence().page()).trusted
        assert len(ledger.people.export("anna")["loans"]) == kept - 1
        ledger.people.erase("anna", basis="GDPR Art. 17", approvers=("a", "b"))
        assert ledger.people.export("anna") == {}
        assert ledger.decisions.show("loans", kept - 1).values["inputs"] == {"income": 2}


def test_both_see_data_models_and_streams(url, second_machine, tmp_path):
    """What one adds or records, the other one compares, loads, shows, holds and erases."""
    sklearn = pytest.importorskip("sklearn.linear_model")
    (tmp_path / "rows.csv").write_text("a,b\n1,0\n2,1\n3,0\n4,1\n")
    rows = [[1], [2], [3], [4]]
    with cf.open(url) as ledger:
        kept = ledger.data.add(tmp_path / "rows.csv", name="rows")
        trained = sklearn.LogisticRegression().fit(rows, [0, 1, 0, 1])
        model = ledger.models.add(trained, name="loans", trained_on=kept)
        model.decide([[1], [2]], data_subjects=["anna", "bert"])
        ledger.people.hold("bert", basis="a court", by="legal")
    second_machine()
    with cf.open(url) as ledger:
        assert ledger.data.check("rows", tmp_path / "rows.csv").digest == kept.digest
        ledger.models.load("loans").decide([[3]], data_subjects=["cleo"])
        assert len(ledger.decisions.list("loans")) == 3
        assert [hold.person for hold in ledger.people.holds()] == ["bert"]
        with pytest.raises(cf.RefusedError, match="must be kept"):
            ledger.people.erase("bert", basis="GDPR Art. 17", approvers=("a", "b"))
        ledger.people.erase("anna", basis="GDPR Art. 17", approvers=("a", "b"))
        assert not (ledger.folder / "private").exists()


def test_without_the_keys_another_machine_opens_nothing(url, second_machine, monkeypatch):
    """Where the vault's keys are not shared, records are refused by name, and nothing is spoilt."""
    with cf.open(url) as ledger:
        ledger.models.add(answer, name="loans").decide([[1]])
    first = os.environ["COUNTERFOIL_HOME"]
    second_machine(shares_vault=False)
    with cf.open(url) as ledger:
        with pytest.raises(cf.UnavailableError, match="there is no key") as caught:
            ledger.decisions.show("loans", 0)
        assert "share" in caught.value.hint
        with pytest.raises(cf.UnavailableError, match="there is no key"):
            ledger.models.add(answer, name="loans").decide([[2]])
    monkeypatch.setenv("COUNTERFOIL_HOME", first)
    with cf.open(url) as ledger:
        assert len(ledger.decisions.list("loans")) == 1
        ledger.models.add(answer, name="loans").decide([[2]])
        assert len(ledger.decisions.list("loans")) == 2


def test_a_machine_with_an_older_policy_erases_nobody(url, second_machine):
    """What the policy in the log says must be kept is kept, also where that is not adopted yet."""
    with cf.open(url) as ledger:
        ledger.models.add(answer, name="loans").decide([[1]], data_subjects=["anna"])
        stale = ledger.places.trust.read_bytes()
        old = ledger.policy.show()
        kept = (replace(REG_B, basis="Books", months=96),)
        draft = replace(old, version=3, previous=old.digest.hex(), retention=kept)
        ledger.policy.adopt(draft)
    second_machine()
    with cf.open(url) as ledger:
        newest = ledger.places.trust.read_bytes()
        ledger.places.trust.write_bytes(stale)
        with pytest.raises(cf.RefusedError, match="a newer trust policy"):
            ledger.people.erase("anna", basis="GDPR Art. 17", approvers=("a", "b"))
        ledger.places.trust.write_bytes(newest)
        with pytest.raises(cf.RefusedError, match="Books"):
            ledger.people.erase("anna", basis="GDPR Art. 17", approvers=("a", "b"))
        assert ledger.people.export("anna")["loans"]


def test_a_machine_with_an_older_policy_lets_no_model_decide(url, second_machine, monkeypatch):
    """Where another one enforces, gates refuse here until that policy is adopted here as well."""
    with cf.open(url) as ledger:
        ledger.models.add(answer, name="loans").decide([[1]])
    first = os.environ["COUNTERFOIL_HOME"]
    second_machine()
    second = os.environ["COUNTERFOIL_HOME"]
    monkeypatch.setenv("COUNTERFOIL_HOME", first)
    with cf.open(url) as ledger:
        ledger.policy.enforce()
        newest = ledger.policy.show()
    monkeypatch.setenv("COUNTERFOIL_HOME", second)
    with cf.open(url) as ledger:
        model = ledger.models.add(answer, name="loans")
        for act in (lambda: model.decide([[2]]), lambda: ledger.models.promote("loans")):
            with pytest.raises(cf.RefusedError, match="is not adopted on this machine"):
                act()
        assert len(ledger.decisions.list("loans")) == 1
        ledger.policy.adopt(newest)
        with pytest.raises(cf.RefusedError, match="format 'callable'") as caught:
            model.decide([[2]])
        assert "adopt" not in str(caught.value)


def test_another_machine_finishes_an_erasure(url, second_machine, monkeypatch):
    """Broken off between two systems, a person is erased from both by whoever opens it next."""
    with cf.open(url) as ledger:
        for name in ("cards", "loans"):
            ledger.models.add(answer, name=name).decide([[1]], data_subjects=["anna"])
        made = []

        def break_off(eraser, indices, details, carry_out=Eraser.carry_out):
            if made:
                raise cf.UnavailableError("test")
            made.append(carry_out(eraser, indices, details))

        with monkeypatch.context() as patch:
            patch.setattr(Eraser, "carry_out", break_off)
            with pytest.raises(cf.UnavailableError, match="records are destroyed, or will be"):
                ledger.people.erase("anna", basis="GDPR Art. 17", approvers=("a", "b"))
        assert len(ledger.people.export("anna")) == 1
    first = Path(os.environ["COUNTERFOIL_HOME"])
    second_machine(shares_vault=False)
    with pytest.warns(ErasureWarning, match=r"cannot be finished here yet.*there is no key"):
        cf.open(url).close()
    vault = Path(os.environ["COUNTERFOIL_HOME"]) / "vault"
    shutil.rmtree(vault)
    vault.symlink_to(first / "vault")
    with pytest.warns(ErasureWarning, match="finished an erasure that was interrupted: 2 records"):
        ledger = cf.open(url)
    with ledger:
        assert ledger.people.export("anna") == {}
        assert len({one.stream for one in ledger.people.erasures()}) == 2
        assert ledger.people.lost() == ()


def test_a_system_that_the_database_has_not_is_named(url, monkeypatch):
    """Nobody is erased without it, no erasure that began with it ends without it, unless named."""
    asked = {"basis": "GDPR Art. 17", "approvers": ("a", "b")}
    with cf.open(url) as ledger:
        for name in ("cards", "loans"):
            ledger.models.add(answer, name=name).decide([[1], [2]], data_subjects=["anna", "bert"])
        cards = ledger.decisions.show("cards", 0).stream

        def break_off(*_):
            raise cf.UnavailableError("test")

        with monkeypatch.context() as patch:
            patch.setattr(Eraser, "carry_out", break_off)
            with pytest.raises(cf.UnavailableError, match="or will be"):
                ledger.people.erase("anna", **asked)
        streams_of(ledger).place(cards).remove()
        assert [(one.system, one.kept) for one in ledger.people.lost()] == [("cards", 0)]
        with pytest.raises(cf.RefusedError, match="cards"):
            ledger.people.erase("bert", **asked)
    with pytest.warns(ErasureWarning, match=r"cannot be finished here yet.*records of cards"):
        ledger = cf.open(url)
    with ledger:
        for person in ("anna", "bert"):
            (done,) = ledger.people.erase(person, **asked, without=["cards"])
            assert "records of cards" in done.not_touched[-1]
            assert ledger.people.export(person, without=["cards"]) == {}
    cf.open(url).close()


def test_a_stream_that_is_in_the_database_in_part_is_named(url):
    """Where rows of the newest records are gone, nobody is erased unless the system is named."""
    approved = {"basis": "GDPR Art. 17", "approvers": ("privacy", "risk")}
    with cf.open(url) as ledger:
        model = ledger.models.add(answer, name="loans")
        model.decide([{"income": 1}], data_subjects=["ann"])
        root = ledger.decisions.show("loans", 0).leaf  # that of a tree of one
        stream = model.decide([{"income": 2}], data_subjects=["ann"])[0].stream
        with DatabaseStreams(url).transaction("test") as connection:
            (number,) = connection.execute(
                "UPDATE streams SET size = 1, root = %s, tagged = least(tagged, 1)"
                " WHERE id = %s RETURNING number",
                (root, stream),
            ).fetchone()
            for table in ("stream_records", "stream_slots", "stream_tags"):
                connection.execute(
                    f"DELETE FROM {table} WHERE stream = %s AND position > 0", (number,)
                )
        (lost,) = ledger.people.lost()
        assert (lost.kept, lost.stated, lost.locked) == (1, 2, False)
        with pytest.raises(cf.RefusedError, match="newest of its records") as caught:
            ledger.people.erase("ann", **approved)
        assert "--without loans" in caught.value.hint
        with pytest.raises(cf.VerificationError, match="not the one"):
            model.decide([{"income": 3}], data_subjects=["ann"])
        (done,) = ledger.people.erase("ann", **approved, without=["loans"])
        assert done.leaves == (root,)
        assert "not in the part that was here" in done.not_touched[-1]
        for path in ledger.places.vault_keys.glob(f"{done.audit.hex()}-*.key"):
            path.unlink()
        (lost,) = ledger.people.recover()
        assert lost.locked
        assert ledger.people.erasures() == ()
