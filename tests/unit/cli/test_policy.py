from __future__ import annotations

import pytest


def test_show_gives_the_adopted_policy(ask, run):
    """The policy that gates go by is shown, with its digest to compare."""
    shown = ask("policy", "show")
    assert len(shown["digest"]) == 64
    assert shown["policy"]["version"] == 1
    text = run("policy", "show").stdout
    assert shown["digest"] in text
    assert "production  observe" in text


def test_suggest_drafts_what_was_observed(ask, run, place):
    """A draft allows what was said so far, follows the policy in force, and is not adopted."""
    run("model", "approve", "credit")
    before = ask("policy", "show")
    draft = ask("policy", "suggest")
    assert (draft["version"], draft["previous"]) == (2, before["digest"])
    assert "[stage.production]" in draft["toml"]
    assert run("policy", "suggest").stdout == draft["toml"]
    assert ask("policy", "suggest", "--out", "trust.toml")["file"] == "trust.toml"
    assert (place / "trust.toml").read_text() == draft["toml"]
    assert ask("policy", "show") == before


def test_suggest_replaces_no_file(run, place):
    """A policy that somebody edited is not overwritten by a draft."""
    (place / "trust.toml").write_text("mine")
    run("policy", "suggest", "--out", "trust.toml", exit_code=10)
    assert (place / "trust.toml").read_text() == "mine"


def test_adopt_takes_a_draft(ask, run):
    """A draft that was read is adopted, stated in the log, and from then on gates go by it."""
    run("model", "approve", "credit")
    run("policy", "suggest", "--out", "trust.toml")
    adopted = ask("policy", "adopt", "trust.toml")
    assert ask("policy", "show")["digest"] == adopted["digest"]
    assert adopted["entry"] == ask("log", "status")["size"] - 1
    assert "already" not in run("policy", "show").stdout
    assert ask("policy", "adopt", "trust.toml") == adopted  # again, and nothing changes
    run("policy", "adopt", "nowhere.toml", exit_code=11)
    assert "error: train.csv is not TOML" in run("policy", "adopt", "train.csv", exit_code=3).stderr


@pytest.mark.parametrize("mode", ["observe", "warn", "enforce"])
def test_enforce_sets_the_mode(mode, ask, run):
    """Each mode can be set by name, for models and data alike."""
    made = ask("policy", "enforce", "--stage", "production", "--mode", mode)
    assert (made["mode"], made["version"]) == (mode, 2)
    assert ask("log", "status")["policy"]["modes"] == {"production": mode}
    assert f"data: {mode}" in run("policy", "enforce", "--mode", mode).stdout


def test_enforce_refuses_unknown_modes_and_stages(run):
    """A mistyped mode or stage changes nothing."""
    assert (
        "Modes: observe, warn, enforce."
        in run("policy", "enforce", "--mode", "strict", exit_code=3).stderr
    )
    run("policy", "enforce", "--stage", "staging", exit_code=3)
