from __future__ import annotations

import json
import shutil
import stat
from hashlib import sha256

import pytest

import counterfoil

APPROVED = ["--basis", "GDPR Art. 17(1)(b)", "--approver", "privacy", "--approver", "risk"]


def test_export_gives_everything(ask, run, place):
    """A person gets every record about them, and no record about anybody else."""
    found = ask("person", "export", "ann")
    assert found["records"] == 2
    assert [one["inputs"]["income"] for one in found["systems"]["credit"]] == [2, 4]
    assert json.loads(run("person", "export", "ann").stdout) == found
    written = ask("person", "export", "ann", "--out", "ann.json")
    assert written["file"] == "ann.json"
    assert json.loads((place / "ann.json").read_text()) == found


def test_export_to_a_file_is_for_its_owner_only(run, place):
    """What is recorded about a person lies in no file that others can read."""
    (place / "there.json").write_text("already")
    run("person", "export", "ann", "--out", "new.json")
    assert stat.S_IMODE((place / "new.json").stat().st_mode) == 0o600
    run("person", "export", "ann", "--out", "there.json", exit_code=10)
    assert (place / "there.json").read_text() == "already"


@pytest.mark.parametrize(
    "words", [["person", "export", "anne"], ["decision", "list", "credit", "--person", "anne"]]
)
def test_a_name_that_nobody_has_is_no_answer(ask, run, place, words):
    """Under a name with a typo nothing is found, which is said and leaves no file."""
    assert "about 'anne'" in ask(*words, exit_code=3)["message"]
    run("person", "export", "anne", "--out", "anne.json", exit_code=3)
    assert not (place / "anne.json").exists()


def test_erase_is_refused_while_a_hold_runs(ask):
    """A retention hold refuses, with the law and the day it ends."""
    refused = ask("person", "erase", "ann", *APPROVED, exit_code=9)
    assert "Regulation B" in refused["reasons"][0]


def test_erase_takes_two_approvers(run):
    """One person alone erases nobody, however often named."""
    one = ["--basis", "b", "--approver", "a"]
    assert "two approvers" in run("person", "erase", "ann", *one, exit_code=3).stderr
    for again in ("a", "A", " a"):
        run("person", "erase", "ann", *one, "--approver", again, exit_code=9)


def test_erase_destroys_and_certifies(ask, run, place, monkeypatch):
    """After the hold a person's records are gone, and a certificate says what was not touched."""
    later = 1_900_000_000.0

    def open_later(url):
        return counterfoil.Ledger(url, clock=lambda: later)

    monkeypatch.setattr(counterfoil, "open", lambda url: open_later(place / url))
    (place / "request.txt").write_text("Please erase me.")
    erased = ask("person", "erase", "ann", *APPROVED, "--request", "request.txt")
    assert erased["records"] == 2
    (certificate,) = erased["certificates"]
    assert certificate["live_erased_at"] == later
    assert certificate["final_by"] > later
    assert certificate["not_touched"]
    assert ask("person", "erasures", "--request", "request.txt")["erasures"] == [certificate]
    assert "GDPR Art. 17(1)(b)" in run("person", "erasures").stdout
    again = ask("person", "erase", "ann", *APPROVED, "--request", "request.txt", exit_code=3)
    assert "1 certificate" in again["message"]
    assert "person erasures" in ask("person", "export", "ann", exit_code=3)["hint"]
    kinds = [one["kind"] for one in ask("decision", "list", "credit")["decisions"]]
    assert kinds[2] == kinds[4] == "erased"
    assert kinds.count("erased") == 2
    run("decision", "show", "credit", 2, exit_code=11)
    assert certificate["request"] == sha256(b"Please erase me.").hexdigest()
    text = run("person", "erase", "bob", *APPROVED).stdout
    assert ask("person", "erasures")["erasures"][-1]["request"] is None
    assert text.startswith("erased 1 record about bob\n")
    assert "not touched by this:" in text


@pytest.mark.parametrize("words", [["--request", "none.txt"]])
def test_erase_reads_the_request_before_it_acts(words, run, ask):
    """A request that cannot be read stops the erasure before anything happened."""
    run("person", "erase", "ann", *APPROVED, *words, exit_code=3)
    assert ask("person", "export", "ann")["records"] == 2


ORDER = ["--basis", "District Court, order 4", "--by", "legal-desk"]


def test_a_hold_refuses_until_it_is_released(ask, run, place, monkeypatch):
    """A hold placed by one command is named by the next, listed, and released by a third."""
    later = 1_900_000_000.0
    monkeypatch.setattr(
        counterfoil, "open", lambda url: counterfoil.Ledger(place / url, clock=lambda: later)
    )
    placed = ask("person", "hold", "ann", *ORDER, "--until", "2040-01-01")
    assert (placed["person"], placed["until"], placed["records"]) == ("ann", 2_208_988_800, 2)
    (reason,) = ask("person", "erase", "ann", *APPROVED, exit_code=9)["reasons"]
    assert "order 4" in reason
    assert "legal-desk" in reason
    assert "2040-01-01" in reason
    short = placed["id"][:8]
    assert short in run("person", "holds").stdout
    assert ask("person", "holds", "bob") == {"holds": []}
    run("person", "release", "ann", short, "--by", "counsel", "--reason", "case closed")
    (held,) = ask("person", "holds", "ann")["holds"]
    assert (held["released_by"], held["reason"]) == ("counsel", "case closed")
    # Two decisions, the hold and its release.
    assert ask("person", "erase", "ann", *APPROVED)["records"] == 4


def test_a_hold_on_a_stranger_says_so(run):
    """A hold on a name that nothing is recorded under is placed, and the name is questioned."""
    assert "is the name right?" in run("person", "hold", "anne", *ORDER).stdout
    assert "is the name right?" not in run("person", "hold", "ann", *ORDER).stdout


@pytest.mark.parametrize("away", ["home", "ledger"])
def test_a_hold_that_is_placed_is_said_to_be(ask, run, place, away):
    """With a key or a system away the hold binds all the same, so the command has not failed."""
    stream = next(place.glob("ledger/private/streams/*")).name
    (path,) = {
        "home": place.glob(f"counterfoil-home/vault/*/{stream}-1.key"),
        "ledger": place.glob(f"ledger/private/streams/{stream}"),
    }[away]
    path.rename(place / "away")
    placed = run("person", "hold", "ann", *ORDER)
    assert "the hold is placed; what it keeps is not known" in placed.stderr
    assert "placed hold" in placed.stdout
    assert "is the name right" not in placed.stdout
    assert ask("person", "hold", "bob", *ORDER)["records"] is None
    assert len(ask("person", "holds", "ann")["holds"]) == 1


@pytest.mark.parametrize("day", ["2040-1-41", "2040", "2040-01-01T00:00:00"])
def test_a_hold_ends_on_a_day(run, day):
    """Anything but a day as YYYY-MM-DD is a wrong command line."""
    run("person", "hold", "ann", *ORDER, "--until", day, exit_code=2)


def test_a_restore_is_noticed_and_gone_on_from(ask, run, place, monkeypatch):
    """What is private being set back is told by several commands, and one goes on from there."""
    later = 1_900_000_000.0
    monkeypatch.setattr(
        counterfoil, "open", lambda url: counterfoil.Ledger(place / url, clock=lambda: later)
    )
    run("person", "erase", "bob", *APPROVED)
    private = place / "ledger" / "private"
    shutil.copytree(private, place / "backup")
    run("person", "erase", "ann", *APPROVED)
    shutil.rmtree(private)
    shutil.copytree(place / "backup", private)
    (lost,) = ask("log", "status", exit_code=4)["lost"]
    assert (lost["system"], lost["kept"], lost["stated"]) == ("counterfoil/erasures", 16, 32)
    assert "LOST" in run("log", "status", exit_code=4).stdout
    assert run("decision", "reconcile", "counterfoil/erasures", exit_code=4).stdout
    assert "an older copy was restored" in run("person", "export", "ann").stderr
    assert "person recover" in ask("person", "erase", "ann", *APPROVED, exit_code=4)["hint"]
    recovered = run("person", "recover")
    assert "repeat the erasures since" in recovered.stdout
    assert "every hold" not in recovered.stdout
    assert ask("person", "erase", "ann", *APPROVED)["records"] == 2
    assert ask("log", "status")["lost"] == []
    assert "nothing" in run("person", "recover").stdout


@pytest.fixture
def credit(place):
    """The folder of the records of the system credit, and the file of its key."""
    (folder,) = (place / "ledger" / "private" / "streams").iterdir()
    (key,) = (place / "counterfoil-home").rglob(f"{folder.name}-1.key")
    return folder, key


@pytest.mark.parametrize("away", ["folder", "key"])
def test_the_status_of_a_log_whose_records_do_not_open_is_no_success(ask, run, place, credit, away):
    """Whose records are away, or their key, is named; a program need not read that to know."""
    path, exit_code = {"folder": (credit[0], 4), "key": (credit[1], 11)}[away]
    path.rename(place / "away")
    (lost,) = ask("log", "status", exit_code=exit_code)["lost"]
    assert (lost["system"], lost["kept"], lost["locked"]) == ("credit", 0, away == "key")
    assert "credit" in run("log", "status", exit_code=exit_code).stdout


@pytest.fixture
def erasures(ask, run, place, monkeypatch):
    """The stream that states that one person was erased, long after all that binds records."""
    later = 1_900_000_000.0
    monkeypatch.setattr(
        counterfoil, "open", lambda url: counterfoil.Ledger(place / url, clock=lambda: later)
    )
    run("person", "erase", "bob", *APPROVED)
    return ask("person", "erasures")["erasures"][0]["recorded_in"]


def test_lost_erasures_are_gone_on_without(ask, run, place, erasures):
    """Once another stream replaced them, nothing is away, and an unknown name is that only."""
    shutil.rmtree(place / "ledger" / "private" / "streams" / erasures)
    ask("log", "status", exit_code=4)
    run("person", "recover")
    status = ask("log", "status")
    assert status["lost"] == status["elsewhere"] == []
    run("person", "export", "nobody", exit_code=3)


def test_erasures_whose_key_is_gone_are_gone_on_without(ask, run, place, erasures):
    """The command that fails names the one that goes on, and that says what it goes on without."""
    for path in (place / "counterfoil-home").rglob(f"{erasures}-*.key"):
        path.unlink()
    assert "person recover" in ask("person", "erase", "ann", *APPROVED, exit_code=11)["hint"]
    assert "no key" in run("person", "recover").stdout
    assert ask("person", "erase", "ann", *APPROVED)["records"] == 2


def test_an_older_copy_of_the_whole_ledger_says_so(run, place, monkeypatch):
    """Behind its witness, what gives somebody out says that the erased may be among them."""
    later = 1_900_000_000.0
    monkeypatch.setattr(
        counterfoil, "open", lambda url: counterfoil.Ledger(place / url, clock=lambda: later)
    )
    run("person", "erase", "bob", *APPROVED)
    shutil.copytree(place / "ledger", place / "backup")
    run("person", "erase", "ann", *APPROVED)
    shutil.rmtree(place / "ledger")
    shutil.copytree(place / "backup", place / "ledger")
    for words in (
        ("person", "export", "ann"),
        ("person", "erasures"),
        ("person", "holds"),
        ("decision", "show", "credit", "2"),
        ("decision", "list", "credit", "--person", "ann"),
    ):
        assert "the erased are back" in run(*words).stderr.replace("\n", " ")
    assert "restored snapshot" in run("person", "recover", exit_code=4).stderr


def test_an_interrupted_erasure_says_what_stands(run, monkeypatch):
    """Ctrl-C ends the command as ever, and says whether anything was destroyed."""
    from counterfoil.decisions import erasing  # noqa: PLC0415 what is interrupted

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(erasing, "check_hold", interrupt)
    stopped = run("person", "erase", "ann", *APPROVED, exit_code=130)
    assert "interrupted: nothing was destroyed" in stopped.stderr
