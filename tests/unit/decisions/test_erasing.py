from __future__ import annotations

import shutil
import time
import warnings
from dataclasses import replace

import pytest

import counterfoil as cf
from counterfoil.core.principals import Permission
from counterfoil.core.stream import parse_stream
from counterfoil.decisions import erasing, kept
from counterfoil.decisions.erasing import ErasureWarning
from counterfoil.decisions.kept import ERASURES, HOLDS
from counterfoil.decisions.stream import DecisionStream
from counterfoil.vault import FileKeyStore, StreamStore

APPROVED = {"basis": "GDPR Art. 17", "approvers": ("privacy", "risk")}
SYSTEMS = ("loans", "cards", "leases")
LATER = time.time() + 3 * 366 * 86_400  # no retention rule binds any more


def answer(rows):
    return ["yes" for _ in rows]


class Killed(BaseException):
    """What ends a process, to a test."""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A ledger of three systems that know ann, whose streams of erasures and holds have begun."""
    folder = tmp_path_factory.mktemp("erasing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COUNTERFOIL_HOME", str(folder / "home"))
        with cf.init(folder / "ledger", clock=lambda: LATER) as ledger:
            ledger.policy.adopt(ledger.policy.show().followed_by(retention=()))
            for name in SYSTEMS:
                ledger.models.add(answer, name=name).decide(
                    [[1], [2], [3]], data_subjects=["ann", "bob", "zoe"]
                )
            ledger.people.erase("zoe", **APPROVED)
    return folder


@pytest.fixture
def place(template, tmp_path, monkeypatch):
    """A copy of it, whose keys are where this process looks for them."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def opened(place):
    """Opens the ledger of a test as every user does, on a later day."""
    return lambda: cf.open(place / "ledger", clock=lambda: LATER)


def known(ledger, person="ann"):
    """The systems that know somebody."""
    return sorted(ledger.people.export(person))


def stated(ledger):
    """How many erasures and pads the newest batch of erasures in the log covers."""
    with_batch = DecisionStream.open(ledger, ERASURES, write=False)
    with_batch.close()
    return with_batch.newest_batch().size


def one_file(folder, name):
    (found,) = folder.rglob(name)
    return found


@pytest.mark.parametrize("key", ["operator.pem", "log.pem"])
def test_without_a_key_nothing_is_destroyed(place, opened, key):
    """A key that the statement needs is asked for before anything goes; with it back, it goes."""
    path = one_file(place / "home", key)
    path.rename(path.with_suffix(".away"))
    with opened() as ledger, pytest.raises(cf.UnavailableError, match="key") as caught:
        ledger.people.erase("ann", **APPROVED)
    assert "makes one" not in caught.value.hint
    with opened() as ledger:
        assert known(ledger) == sorted(SYSTEMS)
    path.with_suffix(".away").rename(path)
    with opened() as ledger:
        assert len(ledger.people.erase("ann", **APPROVED)) == len(SYSTEMS)
        assert known(ledger) == []


def test_a_hold_whose_batch_cannot_be_signed_is_not_placed(place, opened):
    """Whoever is told that it failed has placed nothing, and a retry places one."""
    path = one_file(place / "home", "operator.pem")
    away = path.rename(path.with_suffix(".away"))
    with opened() as ledger:
        with pytest.raises(cf.UnavailableError, match="operator"):
            ledger.people.hold("ann", basis="an order", by="legal")
        assert ledger.people.holds() == ()
        away.rename(path)
        ledger.people.hold("ann", basis="an order", by="legal")
        assert len(ledger.people.holds()) == 1


def test_where_nobody_may_state_it_nothing_is_destroyed(opened):
    """A policy that lets nobody here make batches is met before anything is destroyed."""
    with opened() as ledger:
        policy = ledger.policy.show()
        may = (Permission("policy", "*"), Permission("stream", "*"))
        narrow = (replace(policy.principals[0], may=may),)
        ledger.policy.adopt(policy.followed_by(principals=narrow))
        with pytest.raises(cf.PolicyError, match="batch"):
            ledger.people.erase("ann", **APPROVED)
        assert known(ledger) == sorted(SYSTEMS)


def test_what_fails_after_the_destruction_says_so_and_is_made_good(opened, monkeypatch):
    """Once records are gone, an error says that they are; the same call states it and certifies."""

    def break_down(*_):
        raise cf.UnavailableError("no room (test)", hint="Make some.")

    with opened() as ledger:
        before = stated(ledger)
        with monkeypatch.context() as patch:
            patch.setattr(DecisionStream, "publish", break_down)
            with pytest.raises(cf.UnavailableError) as caught:
                ledger.people.erase("ann", **APPROVED)
        assert "the records ARE destroyed" in str(caught.value)
        assert "no room (test)" in str(caught.value)
        assert "same command again" in caught.value.hint
        assert (known(ledger), stated(ledger)) == ([], before)
        certificates = ledger.people.erase("ann", **APPROVED)
        assert len(certificates) == len(SYSTEMS)
        assert stated(ledger) > before
        assert ledger.people.erasures()[-3:] == certificates


def test_the_next_opening_makes_it_good_and_says_so(opened, place, monkeypatch):
    """Whoever opens the ledger next states it; asked again then, the certificate is given."""

    def break_down(*_):
        raise cf.UnavailableError("no room (test)")

    with opened() as ledger, monkeypatch.context() as patch:
        patch.setattr(DecisionStream, "publish", break_down)
        with pytest.raises(cf.UnavailableError):
            ledger.people.erase("ann", **APPROVED)
    path = one_file(place / "home", "operator.pem")
    path.rename(path.with_suffix(".away"))
    with pytest.warns(ErasureWarning, match="cannot be finished here yet.*operator"):
        opened().close()
    path.with_suffix(".away").rename(path)
    with pytest.warns(ErasureWarning, match="finished an erasure that was interrupted: 3 records"):
        ledger = opened()
    with ledger:
        assert len(ledger.people.erase("ann", **APPROVED)) == len(SYSTEMS)
    with opened() as ledger, pytest.raises(cf.FormatError, match="nothing") as caught:
        ledger.people.erase("ann", **APPROVED)
    assert "person erasures" in caught.value.hint
    assert not [*(place / "ledger").rglob("erasing*")]
    assert not [*(place / "home").rglob("*-0.key")]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_all_systems_or_none(opened, place, monkeypatch, at):
    """Cut off at whichever stream, the next opening erases from all; nobody else is touched."""
    made = []

    def die(store, intent, put=erasing.StreamStore.put_intent):
        put(store, intent)
        made.append(intent)
        if len(made) == at:
            raise Killed

    with opened() as ledger, monkeypatch.context() as patch:
        patch.setattr(erasing.StreamStore, "put_intent", die)
        with pytest.raises(Killed):
            ledger.people.erase("ann", **APPROVED)
    for path in (place / "ledger").rglob("erasing*"):
        assert b"ann" not in path.read_bytes()
    with pytest.warns(ErasureWarning, match="finished"):
        ledger = opened()
    with ledger:
        assert (known(ledger), known(ledger, "bob")) == ([], sorted(SYSTEMS))
        erased = [one for one in ledger.people.erasures() if one.basis == "GDPR Art. 17"]
        assert len({one.stream for one in erased[3:]}) == len(erased[3:]) == len(SYSTEMS)


def test_what_was_recorded_since_is_not_erased(opened, place, monkeypatch):
    """Nobody was asked whether a decision may go that was made after the erasure was decided."""

    def break_down(*_):
        raise cf.UnavailableError("test")

    with opened() as ledger, monkeypatch.context() as patch:
        patch.setattr(erasing.Eraser, "carry_out", break_down)
        with pytest.raises(cf.UnavailableError, match="or will be"):
            ledger.people.erase("ann", **APPROVED)
    with cf.Ledger(place / "ledger", clock=lambda: LATER) as ledger:
        ledger.models.load("cards", predictor=answer).decide([[4]], data_subjects=["ann"])
        ledger.people.finish()
        (newer,) = ledger.people.export("ann")["cards"]
        assert newer["inputs"] == {"column_0": 4}
        assert known(ledger) == ["cards"]


def test_an_interruption_says_what_stands(opened, monkeypatch):
    """Ctrl-C before anything is destroyed says so, and after that, that it goes on."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with opened() as ledger:
        for owner, name, told in (
            (erasing, "check_hold", "nothing was destroyed"),
            (erasing.Eraser, "carry_out", "or will be"),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, interrupt)
                with pytest.raises(KeyboardInterrupt) as caught:
                    ledger.people.erase("ann", **APPROVED)
            assert any(told in note for note in caught.value.__notes__)
        ledger.people.erase("ann", **APPROVED)


def test_approvers_are_two_before_anything_is_asked(opened):
    """A capital letter or a space makes no second person, and that is said before retention."""
    with opened() as ledger:
        ledger.people.hold("ann", basis="an order", by="legal")
        for second in ("Privacy Office", " privacy  office ", "privacyoffice", "PRIVACY OFFICE"):
            with pytest.raises(cf.RefusedError, match="two different approvers"):
                ledger.people.erase("ann", basis="x", approvers=("privacy office", second))


def test_a_request_that_did_not_come_in_writing_has_no_digest(opened):
    """Without a request there is no digest of one; with it, its erasures are found by it."""
    with opened() as ledger:
        assert {one.request for one in ledger.people.erase("ann", **APPROVED)} == {None}
        done = ledger.people.erase("bob", **APPROVED, request=b"Please. Bob")
        assert ledger.people.erasures(b"Please. Bob") == done
        with pytest.raises(cf.FormatError, match="3 certificates"):
            ledger.people.erase("bob", **APPROVED, request=b"Please. Bob")


def stream_of(ledger, system):
    """The folder of a system's stream."""
    stream = ledger.decisions.show(system, 1).stream.hex()
    return ledger.folder / "private" / "streams" / stream


def test_a_system_that_is_not_here_is_named_before_anybody_is_erased(opened):
    """With records away nobody is erased, unless their system is named; certificates say so."""
    with opened() as ledger:
        folder = stream_of(ledger, "cards")
        away = folder.rename(ledger.folder / "away")
        (lost,) = ledger.people.lost()
        assert (lost.system, lost.kept, lost.stated) == ("cards", 0, 3)
        with pytest.raises(cf.RefusedError, match="cards") as caught:
            ledger.people.erase("ann", **APPROVED)
        assert "--without cards" in caught.value.hint
        with pytest.raises(cf.RefusedError, match="cards"):
            ledger.people.erase("ann", **APPROVED, without=["my-cards"])
        assert known(ledger) == ["leases", "loans"]
        done = ledger.people.erase("ann", **APPROVED, without=["cards"])
        assert len(done) == 2
        for one in done:
            assert one.not_touched[-1] == "records of cards, which were not here"
        away.rename(folder)
        assert known(ledger) == ["cards"]
        (done,) = ledger.people.erase("ann", **APPROVED)
        assert not any("cards" in line for line in done.not_touched)


@pytest.mark.parametrize("name", ["loans", "laons"])
def test_only_what_is_not_here_can_be_gone_on_without(opened, name):
    """A system that is here, with holds that may bind, is not left out by naming it."""
    with opened() as ledger:
        for act in (ledger.people.export, lambda *a, **b: ledger.people.erase(*a, **APPROVED, **b)):
            with pytest.raises(cf.FormatError, match=name):
                act("ann", without=[name])
        assert known(ledger) == sorted(SYSTEMS)


def test_a_system_whose_key_is_gone_stops_nobody_for_ever(opened, place):
    """What no key opens stops export and erasure until it is named, and is not touched then."""
    with opened() as ledger:
        key = one_file(place / "home", f"{stream_of(ledger, 'cards').name}-1.key")
        key.unlink()
        for act in (ledger.people.export, lambda who: ledger.people.erase(who, **APPROVED)):
            with pytest.raises(cf.UnavailableError, match="records of cards do not open") as caught:
                act("ann")
            assert "--without cards" in caught.value.hint
        assert sorted(ledger.people.export("ann", without=["cards"])) == ["leases", "loans"]
        done = ledger.people.erase("ann", **APPROVED, without=["cards"])
        for one in done:
            assert one.not_touched[-1] == "records of cards, which did not open here"
        assert ledger.people.export("ann", without=["cards"]) == {}


@pytest.fixture
def broken_off(opened, monkeypatch):
    """Begins to erase ann from all systems, and is stopped when the first stream is next."""

    def die(*_):
        raise Killed

    with opened() as ledger, monkeypatch.context() as patch:
        patch.setattr(erasing.Eraser, "carry_out", die)
        with pytest.raises(Killed):
            ledger.people.erase("ann", **APPROVED)
        return stream_of(ledger, "cards")


def test_a_plan_waits_for_every_system_that_it_is_of(opened, place, broken_off):
    """With one of them away it is not finished and not forgotten; with it back, all go on."""
    away = broken_off.rename(place / "away")
    for _ in range(2):
        with pytest.warns(ErasureWarning, match=r"cannot be finished here yet.*records of cards"):
            opened().close()
    assert one_file(place / "ledger", "erasing-person")
    away.rename(broken_off)
    with pytest.warns(ErasureWarning, match="finished an erasure"):
        ledger = opened()
    with ledger:
        assert known(ledger) == []
        assert len(ledger.people.erase("ann", **APPROVED)) == len(SYSTEMS)
    assert not [*place.rglob("erasing*")]


def test_a_plan_is_finished_without_a_system_that_is_lost(opened, place, broken_off):
    """What is never to come back does not stop every erasure; the certificates say so."""
    shutil.rmtree(broken_off)
    with pytest.warns(ErasureWarning, match="--without cards"):
        ledger = opened()
    with ledger:
        done = ledger.people.erase("ann", **APPROVED, without=["cards"])
        assert len(done) == 2
        assert all("records of cards" in one.not_touched[-1] for one in done)
    opened().close()
    assert not [*place.rglob("erasing*")]


@pytest.fixture
def set_back(opened, place):
    """Erases ann, and puts what is private back as it was before; also places a hold if asked."""

    def act(*, hold=False):
        private = place / "ledger" / "private"
        shutil.copytree(private, place / "backup")
        with opened() as ledger:
            ledger.people.erase("ann", **APPROVED)
            if hold:
                ledger.people.hold("bob", basis="District Court", by="legal")
        shutil.rmtree(private)
        shutil.copytree(place / "backup", private)

    return act


def test_an_erasure_is_repeated_after_a_restore(opened, set_back):
    """Set back, the streams are named; once gone on without them, the erasure is certified."""
    set_back()
    with opened() as ledger:
        assert [(one.system, one.kept, one.stated) for one in ledger.people.lost()] == [
            (ERASURES, 48, 96)
        ]
        assert "96" in ledger.decisions.reconcile(ERASURES, [])[0]
        with pytest.raises(cf.VerificationError, match="96 records") as caught:
            ledger.people.erase("ann", **APPROVED)
        assert "person recover" in caught.value.hint
        assert known(ledger) == sorted(SYSTEMS)
        (lost,) = ledger.people.recover()
        assert ledger.people.lost() == ledger.people.recover() == ()
        new = ledger.find(predicate="stream", subject=ERASURES)[-1]
        replaced = parse_stream(new.envelope.in_toto).replaces
        assert (replaced.stream, replaced.size) == (lost.stream, 96)
        certificates = ledger.people.erase("ann", **APPROVED)
        assert known(ledger) == []
    with opened() as ledger:
        # Those of before the backup are readable still.
        assert len(ledger.people.erasures()) == 2 * len(SYSTEMS)
        assert ledger.people.erasures()[-3:] == certificates


def test_lost_holds_take_a_word_of_their_own(opened, set_back):
    """Nobody is erased while holds are lost, until somebody says that they are placed again."""
    with opened() as ledger:
        ledger.people.hold("zac", basis="older", by="legal")
    set_back(hold=True)
    with opened() as ledger:
        with pytest.raises(cf.VerificationError, match=r"32 records .* 16 are here") as caught:
            ledger.people.holds()
        assert "person recover" in caught.value.hint
        with pytest.raises(cf.RefusedError, match="32 records of holds, and 16"):
            ledger.people.recover()
        with pytest.raises(cf.VerificationError, match="not the one"):
            ledger.people.erase("ann", **APPROVED)
        assert {one.system for one in ledger.people.lost()} == {ERASURES, HOLDS}
        ledger.people.recover(despite_lost_holds=True)
        # What is left counts; what is lost is placed again.
        assert [one.person for one in ledger.people.holds()] == ["zac"]
        ledger.people.hold("bob", basis="District Court", by="legal")
        for person, order in (("zac", "older"), ("bob", "District Court")):
            with pytest.raises(cf.RefusedError, match=order):
                ledger.people.erase(person, **APPROVED)
        ledger.people.erase("ann", **APPROVED)


def test_holds_that_were_changed_are_no_older_copy(opened, set_back, place):
    """What is left of lost holds has to be what its batches in the log say."""
    with opened() as ledger:
        ledger.people.hold("zac", basis="older", by="legal")
    set_back(hold=True)
    with opened() as ledger:
        ledger.people.recover(despite_lost_holds=True)
        (lost, _) = ledger.find(predicate="stream", subject=HOLDS)
    stream = parse_stream(lost.envelope.in_toto).stream_id
    folder = place / "ledger" / "private" / "streams" / stream.hex()
    shutil.rmtree(folder)
    with opened() as ledger:
        assert ledger.people.holds() == ()  # nothing is left of it
        keys = FileKeyStore(ledger.places.vault_keys)
        store = StreamStore.create(folder, stream, keys)
        made = DecisionStream(ledger, parse_stream(lost.envelope.in_toto), store)
        made._append([["pad", *[None] * 5]] * 16, [None] * 16)
        made.close()
        with pytest.raises(cf.VerificationError, match="not what its batches"):
            ledger.people.erase("ann", **APPROVED)


def test_no_name_is_in_a_warning(opened, monkeypatch):
    """Whoever opens the ledger next is not told whose erasure it was."""

    def break_down(*_):
        raise cf.UnavailableError("test")

    with opened() as ledger, monkeypatch.context() as patch:
        patch.setattr(erasing.Eraser, "carry_out", break_down)
        with pytest.raises(cf.UnavailableError):
            ledger.people.erase("ann", **APPROVED)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        opened().close()
    assert [one.category for one in told] == [ErasureWarning]
    assert "ann" not in str(told[0].message).split()


@pytest.fixture
def put_back(opened, place):
    """Erases ann from all systems, and puts the streams of some of them back as they were."""

    def act(*systems):
        shutil.copytree(place / "ledger" / "private", place / "backup")
        with opened() as ledger:
            done = ledger.people.erase("ann", **APPROVED)
            folders = [stream_of(ledger, one) for one in systems]
        for folder in folders:
            shutil.rmtree(folder)
            shutil.copytree(place / "backup" / "streams" / folder.name, folder)
        return done

    return act


@pytest.mark.parametrize("systems", [("cards",), SYSTEMS])
def test_what_an_older_copy_brings_back_is_destroyed_again(opened, put_back, systems):
    """A stream put back within its epoch has nobody whose erasure is certified; others stay."""
    put_back(*systems)
    with pytest.warns(ErasureWarning, match=f"{len(systems)} erased records? w[a-z]+ here again"):
        ledger = opened()
    with ledger:
        assert (known(ledger), known(ledger, "bob")) == ([], sorted(SYSTEMS))
        with pytest.raises(cf.UnavailableError, match="was erased"):
            ledger.decisions.show("cards", 0)
        assert ledger.people.lost() == ()
        ledger.people.erase("bob", **APPROVED)
    opened().close()  # and it warns no more


def test_what_is_back_and_cannot_be_destroyed_is_told(opened, put_back, place):
    """Where somebody writes to the stream meanwhile, opening goes on and says so."""
    put_back("cards")
    with cf.Ledger(place / "ledger", clock=lambda: LATER) as other:
        writing = DecisionStream.open(other, "cards")
        with pytest.warns(ErasureWarning, match="are here again, and cannot be destroyed"):
            opened().close()
        writing.close()
    with pytest.warns(ErasureWarning, match="1 erased record was"):
        opened().close()


def test_what_no_key_opens_brings_nobody_back(opened, put_back, place):
    """A copy whose epoch has ended needs no second destruction, and stops no opening."""
    put_back("cards")
    with cf.Ledger(place / "ledger", clock=lambda: LATER) as ledger:
        one_file(place / "home", f"{stream_of(ledger, 'cards').name}-1.key").unlink()
    opened().close()


def test_an_older_copy_of_all_cannot_be_gone_on_from(opened, place):
    """Where the log itself is set back, nobody says that nothing is lost."""
    shutil.copytree(place / "ledger", place / "backup")
    with opened() as ledger:
        ledger.people.erase("ann", **APPROVED)
    shutil.rmtree(place / "ledger")
    (place / "backup").rename(place / "ledger")
    with opened() as ledger, pytest.raises(cf.VerificationError, match="restored snapshot"):
        ledger.people.recover()


def own_folder(ledger, system):
    """The folder of the newest stream of ours with this name."""
    declared = parse_stream(ledger.find(predicate="stream", subject=system)[-1].envelope.in_toto)
    return ledger.folder / "private" / "streams" / declared.stream_id.hex()


def swap(folder, other):
    """Put what is in one place into the other, and the other way round."""
    aside = folder.with_name(".aside")
    folder.rename(aside)
    other.rename(folder)
    aside.rename(other)


@pytest.fixture
def in_part(opened, place):
    """Puts an older copy of cards in place, without two newer records; where both lie."""
    with opened() as ledger:
        folder, newest = stream_of(ledger, "cards"), place / "newest"
        shutil.copytree(folder, newest)
        model = ledger.models.load("cards", predictor=answer)
        model.decide([[4], [5]], data_subjects=["ann", "cleo"])
    swap(folder, newest)
    return folder, newest


def test_a_system_that_is_here_in_part_is_named_before_anybody_is_erased(opened, in_part):
    """With an older copy in place nobody is erased; without the rest, certificates say so."""
    with opened() as ledger:
        (lost,) = ledger.people.lost()
        assert (lost.system, lost.kept, lost.stated) == ("cards", 3, 5)
        for person in ("ann", "cleo"):
            with pytest.raises(cf.RefusedError, match="newest of its records are not") as caught:
                ledger.people.erase(person, **APPROVED)
            assert "--without cards" in caught.value.hint
        assert known(ledger) == sorted(SYSTEMS)
        with pytest.raises(cf.UnavailableError, match="cards are not all here"):
            ledger.people.export("cleo")
        assert ledger.people.export("cleo", without=["cards"]) == {}
        done = ledger.people.erase("ann", **APPROVED, without=["cards"])
        assert len(done) == len(SYSTEMS)  # what is here of cards goes as well
        for one in done:
            assert one.not_touched[-1].startswith("records of cards, which were not in the part")
        assert ledger.people.export("ann", without=["cards"]) == {}
    swap(*in_part)
    with pytest.warns(ErasureWarning, match="1 erased record was here again"):
        ledger = opened()
    with ledger:
        (newer,) = ledger.people.export("ann")["cards"]
        assert newer["inputs"] == {"column_0": 4}
        (done,) = ledger.people.erase("ann", **APPROVED)
        assert not any("cards" in line for line in done.not_touched)
        assert known(ledger) == []


@pytest.mark.usefixtures("in_part")
def test_an_erasure_of_a_part_that_was_broken_off_is_finished(opened, place, monkeypatch):
    """That the rest is not here was said when it was decided, so nothing waits for it."""

    def die(*_):
        raise Killed

    with opened() as ledger, monkeypatch.context() as patch:
        patch.setattr(erasing.Eraser, "carry_out", die)
        with pytest.raises(Killed):
            ledger.people.erase("ann", **APPROVED, without=["cards"])
    with pytest.warns(ErasureWarning, match="interrupted: 3 records"):
        ledger = opened()
    with ledger:
        assert ledger.people.export("ann", without=["cards"]) == {}
        for one in ledger.people.erasures()[-3:]:
            assert "not in the part that was here" in one.not_touched[-1]
    assert not [*place.rglob("erasing*")]


@pytest.fixture
def begun_in_part(opened, place, monkeypatch):
    """Begins to erase ann, and puts an older copy of cards in place; where both lie."""

    def break_down(*_):
        raise cf.UnavailableError("test")

    with opened() as ledger:
        folder, newest = stream_of(ledger, "cards"), place / "newest"
        shutil.copytree(folder, newest)
        model = ledger.models.load("cards", predictor=answer)
        model.decide([[4], [5]], data_subjects=["ann", "cleo"])
        with monkeypatch.context() as patch:
            patch.setattr(erasing.Eraser, "carry_out", break_down)
            with pytest.raises(cf.UnavailableError):
                ledger.people.erase("ann", **APPROVED)
    swap(folder, newest)
    return folder, newest


def test_a_plan_waits_for_the_newest_copy(opened, place, begun_in_part):
    """While an older copy is in place nothing is finished or forgotten; then all of it goes."""
    for _ in range(2):
        with pytest.warns(ErasureWarning, match="not all records of cards are here"):
            opened().close()
    with pytest.warns(ErasureWarning):
        ledger = opened()
    with ledger:
        assert known(ledger) == sorted(SYSTEMS)
        with pytest.raises(cf.RefusedError, match="cards"):
            ledger.people.erase("ann", **APPROVED)
    swap(*begun_in_part)
    with pytest.warns(ErasureWarning, match="interrupted: 4 records"):
        ledger = opened()
    with ledger:
        assert known(ledger) == []
    assert not [*place.rglob("erasing*")]


@pytest.mark.usefixtures("begun_in_part")
def test_a_plan_is_finished_without_what_an_older_copy_lacks(opened, place):
    """The same command with the system named finishes it, erases the part, and says so."""
    with pytest.warns(ErasureWarning, match="--without cards"):
        ledger = opened()
    with ledger:
        done = ledger.people.erase("ann", **APPROVED, without=["cards"])
        assert len(done) == len(SYSTEMS)
        assert all("not in the part that was here" in one.not_touched[-1] for one in done)
        assert ledger.people.export("ann", without=["cards"]) == {}
    opened().close()
    assert not [*(place / "ledger").rglob("erasing*")]


def test_a_decision_is_not_recorded_where_its_batch_cannot_be_stated(opened, in_part):
    """On an older copy, and where all is away, deciding fails before anything is written."""
    folder, newest = in_part
    with opened() as ledger:
        model = ledger.models.load("cards", predictor=answer)
        with pytest.raises(cf.VerificationError, match="not the one"):
            model.decide([[6]], data_subjects=["ann"])
        with pytest.raises(cf.VerificationError, match="not the one"):
            ledger.decisions.serve(model)
        assert ledger.people.lost()[0].kept == 3
        shutil.rmtree(folder)
        with pytest.raises(cf.VerificationError, match="not the one"):
            model.decide([[6]], data_subjects=["ann"])
        assert not folder.exists()
        newest.rename(folder)
        (decided,) = model.decide([[6]], data_subjects=["ann"])
        assert decided.index == 5


@pytest.mark.parametrize("system", [ERASURES, HOLDS])
def test_a_refused_erasure_leaves_nothing_where_a_stream_was(opened, place, system):
    """Where a stream of ours is away no empty one is made, which would be in its way."""
    with opened() as ledger:
        ledger.people.hold("zac", basis="an order", by="legal")
        folder = own_folder(ledger, system)
        away = folder.rename(place / "away")
        with pytest.raises(cf.VerificationError, match="0 are here"):
            ledger.people.erase("ann", **APPROVED)
        assert not folder.exists()
        away.rename(folder)
        assert len(ledger.people.erase("ann", **APPROVED)) == len(SYSTEMS)


def key_of(place, folder):
    """The file of a stream's key, which was never changed."""
    return one_file(place / "home", f"{folder.name}-1.key")


def test_erasures_whose_key_is_gone_are_gone_on_without(opened, place):
    """What no key opens is lost, is not destroyed, and counts again when its key is back."""
    with opened() as ledger:
        folder, before = own_folder(ledger, ERASURES), ledger.people.erasures()
        key = key_of(place, folder)
        away = key.rename(place / "away.key")
        with pytest.raises(cf.UnavailableError, match="no key") as caught:
            ledger.people.erase("ann", **APPROVED)
        assert "person recover" in caught.value.hint
        (lost,) = ledger.people.lost()
        assert (lost.system, lost.kept, lost.stated, lost.locked) == (ERASURES, 0, 48, True)
        assert ledger.people.recover() == (lost,)
        assert ledger.people.lost() == ledger.people.recover() == ()
        done = ledger.people.erase("ann", **APPROVED)
        assert ledger.people.erasures() == done
    with opened() as ledger:
        assert (known(ledger), ledger.people.elsewhere()) == ([], [])
        assert len(ledger.people.erase("bob", **APPROVED)) == len(SYSTEMS)
    away.rename(key)
    with opened() as ledger:
        assert ledger.people.erasures()[: len(before) + len(done)] == before + done


def test_holds_whose_key_is_gone_take_a_word_of_their_own(opened, place):
    """Without their key nobody is erased until somebody says so; with it back, they bind again."""
    with opened() as ledger:
        ledger.people.hold("ann", basis="District Court", by="legal")
        key = key_of(place, own_folder(ledger, HOLDS))
        away = key.rename(place / "away.key")
        with pytest.raises(cf.UnavailableError, match="no key") as caught:
            ledger.people.erase("bob", **APPROVED)
        assert "person recover" in caught.value.hint
        with pytest.raises(cf.RefusedError, match="key is not here"):
            ledger.people.recover()
        ledger.people.recover(despite_lost_holds=True)
        assert len(ledger.people.erase("bob", **APPROVED)) == len(SYSTEMS)
        away.rename(key)
        with pytest.raises(cf.RefusedError, match="District Court"):
            ledger.people.erase("ann", **APPROVED)


def test_erasures_that_never_were_in_the_log_can_lose_their_key(place):
    """Also a stream of erasures that had only begun is gone on without, if no key opens it."""
    with cf.init(place / "new", clock=lambda: LATER) as ledger:
        ledger.policy.adopt(ledger.policy.show().followed_by(retention=()))
        ledger.models.add(answer, name="loans").decide([[1]], data_subjects=["ann"])
        with pytest.raises(cf.FormatError, match="nothing"):
            ledger.people.erase("nobody", **APPROVED)
        key_of(place, own_folder(ledger, ERASURES)).unlink()
        with pytest.raises(cf.UnavailableError, match="no key"):
            ledger.people.erase("ann", **APPROVED)
        (lost,) = ledger.people.recover()
        assert (lost.system, lost.stated, lost.locked) == (ERASURES, 0, True)
        assert len(ledger.people.erase("ann", **APPROVED)) == 1


@pytest.mark.parametrize("at", [1, 3])
def test_an_erasure_that_had_begun_goes_on_in_the_stream_that_follows(
    opened, place, monkeypatch, at
):
    """With the key of the stream of erasures gone, what was decided is not forgotten."""
    made = []

    def die(store, intent, put=erasing.StreamStore.put_intent):
        put(store, intent)
        made.append(intent)
        if len(made) == at:
            raise Killed

    def die_at_once(*_):
        raise Killed

    with opened() as ledger, monkeypatch.context() as patch:
        patch.setattr(erasing.StreamStore, "put_intent", die)
        with pytest.raises(Killed):
            ledger.people.erase("ann", **APPROVED)
    with cf.Ledger(place / "ledger", clock=lambda: LATER) as ledger:
        key_of(place, own_folder(ledger, ERASURES)).unlink()
    with pytest.warns(ErasureWarning, match=r"cannot be finished here yet.*no key"):
        ledger = opened()
    with ledger, monkeypatch.context() as patch:
        patch.setattr(kept, "carry_plan", die_at_once)
        with pytest.raises(Killed):
            ledger.people.recover()
    with cf.Ledger(place / "ledger", clock=lambda: LATER) as ledger:
        assert ledger.people.recover() == ()  # what is lost is replaced, and the rest goes on
    with pytest.warns(ErasureWarning, match="finished an erasure that was interrupted"):
        ledger = opened()
    with ledger:
        assert (known(ledger), known(ledger, "bob")) == ([], sorted(SYSTEMS))
        # The certificates of what went before lie with those that no key opens.
        assert len({one.stream for one in ledger.people.erasures()}) == len(SYSTEMS) - at + 1
    assert not [*(place / "ledger").rglob("erasing*")]
    assert not [*(place / "home").rglob("*-0.key")]


@pytest.mark.usefixtures("broken_off")
def test_a_plan_that_no_key_opens_stops_nobody(opened, place):
    """Where its own key is gone, too, the erasure has to be given again, and can be."""
    with cf.Ledger(place / "ledger", clock=lambda: LATER) as ledger:
        audit = own_folder(ledger, ERASURES)
        for key in (place / "home").rglob(f"{audit.name}-*.key"):
            key.unlink()
        ledger.people.recover()
    with opened() as ledger:
        assert len(ledger.people.erase("ann", **APPROVED)) == len(SYSTEMS)
    opened().close()


def die_in(folder, patch):
    """End an erasure when it has begun in the stream of this folder."""
    stream = bytes.fromhex(folder.name)

    def die(store, intent, put=erasing.StreamStore.put_intent):
        put(store, intent)
        if store.stream == stream:
            raise Killed

    patch.setattr(erasing.StreamStore, "put_intent", die)


def test_what_was_begun_in_holds_that_no_key_opens_stops_nobody(opened, place, monkeypatch):
    """An erasure that reaches into holds whose key is gone is finished without them."""
    with opened() as ledger, monkeypatch.context() as patch:
        placed = ledger.people.hold("ann", basis="an order", by="legal")
        ledger.people.release("ann", placed.id, by="legal", reason="closed")
        folder = own_folder(ledger, HOLDS)
        die_in(folder, patch)
        with pytest.raises(Killed):
            ledger.people.erase("ann", **APPROVED)
    key_of(place, folder).unlink()
    with pytest.warns(ErasureWarning, match=r"cannot be finished.*no key.*person recover"):
        ledger = opened()
    with ledger:
        ledger.people.recover(despite_lost_holds=True)
    with pytest.warns(ErasureWarning, match="finished an erasure that was interrupted: 3 records"):
        opened().close()
    with opened() as ledger:
        assert len(ledger.people.erase("bob", **APPROVED)) == len(SYSTEMS)


def test_what_was_begun_in_a_system_whose_key_is_gone_stops_nobody(opened, place, monkeypatch):
    """Broken off within a system, and its key gone: once it is named, erasures go on."""
    with opened() as ledger, monkeypatch.context() as patch:
        folder = stream_of(ledger, "cards")
        die_in(folder, patch)
        with pytest.raises(Killed):
            ledger.people.erase("ann", **APPROVED)
    key_of(place, folder).unlink()
    for person in ("ann", "bob"):
        with pytest.warns(ErasureWarning, match="--without cards"):
            ledger = opened()
        with ledger:
            assert len(ledger.people.erase(person, **APPROVED, without=["cards"])) == 2


def test_what_is_gone_on_without_is_missed_no_more(opened):
    """Once another stream took its place, a lost one is not said to be elsewhere."""
    with opened() as ledger:
        shutil.rmtree(own_folder(ledger, ERASURES))
        ledger.people.recover()
        assert ledger.people.elsewhere() == []
        assert ledger.people.export("nobody") == {}
