from __future__ import annotations

import json
import shutil

REVIEW = ("--outcome", "1", "--reason", "misread", "--reviewer", "r4")


def test_make_writes_the_letter(ask, run, place):
    """The evidence of a decision is one file that verifies."""
    made = ask("evidence", "make", "credit", 1, "--out", "letter.html")
    assert (made["file"], made["bytes"]) == ("letter.html", (place / "letter.html").stat().st_size)
    assert made["withheld"] == []
    run("verify", "letter.html")


def test_make_names_the_file_after_the_record(run, place):
    """Without --out the letter is INDEX.html here, and the next step can be pasted."""
    assert run("evidence", "make", "credit", 2).stdout.endswith("next: counterfoil verify 2.html\n")
    assert (place / "2.html").exists()


def test_make_withholds_fields(ask, place):
    """A withheld field is in neither the letter nor the proof, and verification says so."""
    made = ask("evidence", "make", "credit", 1, "--out", "1.json", "--withhold", "inputs")
    assert made["withheld"] == ["inputs"]
    assert "income" not in (place / "1.json").read_text()
    assert json.loads((place / "1.json").read_text())["counterfoil"] == "evidence/v1"
    assert any("inputs" in line for line in ask("verify", "1.json")["not_checked"])


def test_make_refuses_unknown_fields_and_suffixes(run):
    """A field that does not exist cannot be withheld, nor evidence written as something else."""
    run("evidence", "make", "credit", 1, "--withhold", "income", exit_code=3)
    run("evidence", "make", "credit", 1, "--out", "1.pdf", exit_code=3)
    run("evidence", "make", "credit", 99, exit_code=3)


def test_make_refuses_an_older_copy(run, place):
    """A snapshot lacks reviews and revocations since, and no letter comes out of it, as no site."""
    shutil.copytree(place / "ledger", place / "snapshot")
    run("data", "add", "rows.csv", "--name", "more")
    refused = run("evidence", "make", "credit", 1, "--ledger", "snapshot", exit_code=4)
    assert "restored snapshot" in refused.stderr
    assert not (place / "1.html").exists()
    run("evidence", "make", "credit", 1)


def test_make_tells_that_newer_records_are_lost(run, place):
    """Where what is private is older than the log, a review of the decision may be lost with it."""
    shutil.copytree(place / "ledger" / "private", place / "old")
    run("decision", "override", "credit", 1, *REVIEW)
    shutil.rmtree(place / "ledger" / "private")
    shutil.copytree(place / "old", place / "ledger" / "private")
    made = run("evidence", "make", "credit", 1)
    assert "A review may be among them" in made.stderr


def test_make_replaces_no_file(run, place):
    """A letter that was handed out is not overwritten by a later one."""
    (place / "2.html").write_text("handed out")
    run("evidence", "make", "credit", 2, exit_code=10)
    assert (place / "2.html").read_text() == "handed out"
