from __future__ import annotations

import pytest


def test_add_attests_once(ask, run):
    """Adding the same file again changes nothing and says so."""
    again = ask("data", "add", "train.csv", "--name", "applicants")
    assert not again["added"]
    assert run("data", "add", "train.csv", "--name", "applicants").stdout.startswith(
        "already there, unchanged: applicants, 8 rows of 3 columns\n"
    )


def test_add_records_what_was_said_about_it(ask):
    """Licence, source, purposes, consent and whether people are in it reach the log."""
    options = ["--licence", "MIT", "--source", "here", "--no-personal", "--consent", "contract"]
    added = ask("data", "add", "rows.csv", "--name", "r", *options, "--purpose", "test")
    about = added["about"]
    assert (about["licence"], about["source"], about["personal"]) == ("MIT", "here", False)
    assert (about["purposes"], about["consent"]) == (["test"], "contract")


def test_add_takes_files_and_folders(ask, run):
    """Whatever lies in a file or folder can be added; its extent is said in its own unit."""
    assert ask("data", "add", "credit.pkl", "--name", "f")["about"]["kind"] == "file"
    assert ask("data", "add", "tickets", "--name", "d")["about"]["kind"] == "folder"
    listed = run("data", "list").stdout
    assert "8 files" in listed
    assert "bytes" in listed


def test_list_gives_versions_oldest_first(ask, run):
    """Versions of one name are listed in order, others left out."""
    run("data", "add", "rows.csv", "--name", "applicants")
    run("data", "add", "rows.csv", "--name", "others")
    versions = ask("data", "list", "applicants")["datasets"]
    assert [one["entry"] for one in versions] == sorted(one["entry"] for one in versions)
    assert {one["name"] for one in versions} == {"applicants"}
    assert len(ask("data", "list")["datasets"]) == 3


def test_show_says_what_the_log_holds_about_it(ask, run):
    """A data set is shown with every statement about it."""
    run("data", "clear", "applicants")
    said = ask("data", "show", "applicants")["statements"]
    assert [one["predicate"] for one in said] == ["dataset", "clearance"]
    assert said[0]["keys"][0].startswith("operator+")
    assert "income, debt, outcome" in run("data", "show", "applicants").stdout


def test_diff_names_the_row(ask, run, place):
    """One changed label is found, and its row named; the same file is the same."""
    assert ask("data", "diff", "applicants", "train.csv")["same"]
    text = (place / "train.csv").read_text().splitlines()
    text[3] = text[3][:-1] + "1"
    (place / "flipped.csv").write_text("\n".join(text) + "\n")
    found = ask("data", "diff", "applicants", "flipped.csv", exit_code=4)
    assert found["places"] == ["row 3 (line 4 of the file)"]
    assert "row 3 (line 4" in run("data", "diff", "applicants", "flipped.csv", exit_code=4).stdout


def test_diff_says_when_there_is_more(run, place):
    """Of many differences the first few are named, and that there are more."""
    text = (place / "train.csv").read_text()
    (place / "flipped.csv").write_text(text.replace(",0\n", ",9\n").replace(",1\n", ",9\n"))
    shown = run("data", "diff", "applicants", "flipped.csv", exit_code=4).stdout
    assert "8 of 9 parts differ" in shown
    assert shown.count("  - row ") == 5
    assert shown.endswith("  - and more\n")


def test_clear_compares_first_if_asked(ask, run):
    """Data that are not what was attested are not cleared."""
    assert ask("data", "clear", "applicants", "--source", "train.csv")["cleared"]
    assert (
        "not what was attested"
        in run("data", "clear", "applicants", "--source", "rows.csv", exit_code=4).stderr
    )


def test_clear_refuses_a_purpose_when_enforcing(ask, run):
    """Under an enforcing policy a purpose that it does not name is refused, with the reason."""
    observed = ask("data", "clear", "applicants", "--purpose", "marketing")
    assert not observed["cleared"]
    assert observed["mode"] == "observe"
    run("policy", "enforce")
    refused = ask("data", "clear", "applicants", "--purpose", "marketing", exit_code=9)
    assert refused["reasons"] == observed["reasons"]


def test_add_says_that_the_witness_is_silent(run, home):
    """What the local witness could not cosign is added, with one warning that says so."""
    next((home / "witness").rglob("key.pem")).unlink()
    stderr = run("data", "add", "rows.csv", "--name", "more").stderr
    assert stderr.count("warning: the local witness has not cosigned the newest entries: ") == 1


@pytest.mark.parametrize("purpose", [" ", "credit scoring", "x\ny"])
def test_add_takes_purposes_that_a_policy_can_name(purpose, ask, run):
    """A purpose that no gate could ask for is refused before it is attested."""
    before = ask("log", "status")["size"]
    run("data", "add", "rows.csv", "--name", "more", "--purpose", purpose, exit_code=3)
    assert ask("log", "status")["size"] == before


def test_a_missing_file_is_the_same_error_everywhere(ask, run):
    """Exit code 11 for what is not there, whatever the command."""
    run("data", "add", "nowhere.csv", "--name", "more", exit_code=3)
    run("data", "diff", "applicants", "nowhere.csv", exit_code=3)
    assert ask("model", "add", "nowhere.skops", "--name", "m", exit_code=3)["exit_code"] == 3


@pytest.mark.parametrize("source", [".", "ledger", "ledger/private", "counterfoil-home"])
def test_add_takes_no_folder_with_the_ledger_or_keys(source, ask, run):
    """What must not be part of a data set is refused with its place, however it is named."""
    before = ask("log", "status")["size"]
    stderr = run("data", "add", source, "--name", "all", exit_code=3).stderr
    assert f"would be part of the data set {source}" in stderr
    assert ask("log", "status")["size"] == before


def test_diff_counts_all_that_differ(ask, run, place):
    """Of a file that has grown, no more parts differ than there are."""
    lines = (place / "train.csv").read_text().splitlines()
    (place / "grown.csv").write_text("\n".join(["x,y,z", *lines[1:] * 3]) + "\n")
    assert ask("data", "diff", "applicants", "grown.csv", exit_code=4)["differs"] == 17
    text = run("data", "diff", "applicants", "grown.csv", exit_code=4).stdout
    assert "17 of 25 parts differ" in text
