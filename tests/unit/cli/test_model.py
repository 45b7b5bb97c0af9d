from __future__ import annotations

import pytest

TESTED = ["train.csv", "--data", "applicants", "--label", "outcome"]


def test_add_names_the_data_it_was_trained_on(ask, run):
    """A model is added with its data sets; the same file again is the same version."""
    added = ask("model", "add", "credit.pkl", "--name", "other", "--trained-on", "applicants")
    assert (added["added"], added["version"], added["format"]) == (True, "1", "pickle")
    assert added["trained_on"] == ["applicants"]
    again = run("model", "add", "credit.pkl", "--name", "other").stdout
    assert again.startswith("already there, unchanged: other version 1, pickle\n")
    run("model", "add", "credit.pkl", "--name", "third", "--trained-on", "nothing", exit_code=3)


def test_show_lists_approvals_and_revocations(ask, run):
    """Whoever asks about a model sees everything that was said about it, in order."""
    run("model", "approve", "credit", "--comment", "seen", "--expires", "2030-01-01T00:00:00Z")
    run("model", "revoke", "credit", "--reason", "drift")
    said = [one["predicate"] for one in ask("model", "show", "credit")["statements"]]
    assert said == ["model", "refusal", "approval", "revocation"]
    assert "revocation" in run("model", "show", "credit").stdout


def test_approve_after_a_revocation_names_it(ask, run):
    """A revoked model comes back only by an approval that knows of the revocation."""
    run("model", "approve", "credit")
    revocation = ask("model", "revoke", "credit", "--reason", "drift")["revocation"]
    reasons = ask("model", "promote", "credit")["gate"]["reasons"]
    assert any("revoked" in reason for reason in reasons)
    run("model", "approve", "credit", "--after", revocation)
    reasons = ask("model", "promote", "credit")["gate"]["reasons"]
    assert not any("revoked" in reason for reason in reasons)


def test_revoke_by_a_drafted_policy_counts(run):
    """Whoever goes from observing to enforcing can still put a model out."""
    run("model", "approve", "credit")
    run("policy", "suggest", "--out", "next.toml")
    run("policy", "adopt", "next.toml")
    run("model", "revoke", "credit", "--reason", "drift")
    assert "revoked at index" in run("model", "promote", "credit", exit_code=9).stderr


def test_revoke_says_when_it_would_not_count(ask, run, place):
    """A revocation by somebody who may not revoke is refused and not written."""
    run("model", "approve", "credit")
    run("policy", "suggest", "--out", "next.toml")
    draft = (place / "next.toml").read_text()
    (place / "next.toml").write_text(draft.replace('"revocation"', '"consent"'))
    run("policy", "adopt", "next.toml")
    before = ask("log", "status")["size"]
    stderr = run("model", "revoke", "credit", "--reason", "drift", exit_code=7).stderr
    assert "nobody has signed who may say 'revocation' about 'credit'" in stderr
    assert ask("log", "status")["size"] == before


def test_approve_by_one_who_may_not_is_not_written(ask, run):
    """It would never count; who may is named. Where one of two may not, neither has approved."""
    run("policy", "key", "intern")
    before = ask("log", "status")["size"]
    both = ("--by", "operator", "--by", "intern")
    for by in (both, both[2:]):
        stderr = run("model", "approve", "credit", *by, exit_code=7).stderr
        assert "it would not count, and is not written" in stderr
        assert "who may say 'approval' about 'credit': operator." in stderr
    assert ask("log", "status")["size"] == before
    run("model", "approve", "credit", "--by", "operator")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["approve", "credit", "--expires", "2020-01-01T00:00:00Z"], "is over"),
        (["approve", "credit", "--expires", "tomorrow"], "not a time"),
        (["approve", "credit", "--stage", "nowhere"], "no stage 'nowhere'"),
        (["approve", "credit", "--after", "0"], "no revocation of credit version 1 is at entry 0"),
        (["revoke", "credit", "--reason", " "], "a revocation has a reason"),
        (["evaluate", "credit", *TESTED, "--threshold", "7"], "7.0 is not a probability"),
        (
            ["evaluate", "credit", *TESTED, "--threshold", "nan"],
            "the threshold is nan, not a number",
        ),
    ],
)
def test_what_cannot_be_meant_is_not_written(words, said, ask, run):
    """What would stand in the log for good is checked first."""
    before = ask("log", "status")["size"]
    assert said in run("model", *words, exit_code=3).stderr
    assert ask("log", "status")["size"] == before


def test_approve_needs_a_local_key(ask, run):
    """Nobody approves in the name of a principal whose key is not here."""
    before = ask("log", "status")["size"]
    both = ("--by", "operator", "--by", "risk-a")
    stderr = run("model", "approve", "credit", *both, exit_code=11).stderr
    assert "the principal 'risk-a' has no key on this machine" in stderr
    assert "`counterfoil policy key risk-a` makes one" in stderr
    assert ask("log", "status")["size"] == before


def test_promote_is_refused_when_enforcing(run):
    """An enforcing gate keeps a model out and lists what is missing."""
    run("policy", "enforce")
    stderr = run("model", "promote", "credit", exit_code=9).stderr
    assert "reason: format 'pickle' is not allowed here" in stderr
    assert "reason: approval needs 1 of operator" in stderr


def test_list_gives_versions(ask, run):
    """Versions of a name are listed, others left out."""
    run("model", "add", "credit.pkl", "--name", "other")
    assert [one["name"] for one in ask("model", "list")["models"]] == ["credit", "other"]
    assert len(ask("model", "list", "other")["models"]) == 1
    assert "pickle" in run("model", "list").stdout


def test_opening_a_pickle_is_said_to_run_it(run):
    """While gates observe, pickles are let in, and each command that opens one warns."""
    for words in (
        ["model", "add", "credit.pkl", "--name", "other"],
        ["decision", "make", "credit", "rows.csv"],
    ):
        assert "warning: this model is a pickle: opening it runs" in run(*words).stderr
