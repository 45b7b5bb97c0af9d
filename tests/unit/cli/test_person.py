from __future__ import annotations

import json
import stat

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


def test_export_of_a_stranger_is_empty(ask):
    """About a person nobody knows, nothing is recorded; that is an answer."""
    assert ask("person", "export", "stranger") == {
        "person": "stranger",
        "records": 0,
        "systems": {},
    }


def test_erase_is_refused_while_a_hold_runs(ask):
    """A retention hold refuses, with the law and the day it ends."""
    refused = ask("person", "erase", "ann", *APPROVED, exit_code=9)
    assert "Regulation B" in refused["reasons"][0]


def test_erase_takes_two_approvers(run):
    """One person alone erases nobody, however often named."""
    one = ["--basis", "b", "--approver", "a"]
    assert "two approvers" in run("person", "erase", "ann", *one, exit_code=3).stderr
    run("person", "erase", "ann", *one, "--approver", "a", exit_code=9)


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
    assert ask("person", "export", "ann")["records"] == 0
    kinds = [one["kind"] for one in ask("decision", "list", "credit")["decisions"]]
    assert kinds[2] == kinds[4] == "erased"
    assert kinds.count("erased") == 2
    run("decision", "show", "credit", 2, exit_code=11)
    text = run("person", "erase", "bob", *APPROVED).stdout
    assert text.startswith("erased 1 record about bob\n")
    assert "not touched by this:" in text


@pytest.mark.parametrize("words", [["--request", "none.txt"]])
def test_erase_reads_the_request_before_it_acts(words, run, ask):
    """A request that cannot be read stops the erasure before anything happened."""
    run("person", "erase", "ann", *APPROVED, *words, exit_code=11)
    assert ask("person", "export", "ann")["records"] == 2
