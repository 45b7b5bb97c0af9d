from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

import counterfoil
from counterfoil.ledger import OwnWitness, format_policy


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
    run("policy", "adopt", "nowhere.toml", exit_code=3)
    assert "error: train.csv is not TOML" in run("policy", "adopt", "train.csv", exit_code=3).stderr


def test_a_policy_in_the_log_that_is_not_adopted_is_said(ask, run, place):
    """After an adoption that lacked its quorum, the log's state names it until it is in force."""
    dead = replace(OwnWitness.make("dead.example/w").listed("Dead", "http://127.0.0.1:9"), name="d")
    with counterfoil.open("ledger") as ledger:
        policy = ledger.policy.show()
        draft = policy.followed_by(witnesses=(*policy.witnesses, dead), quorum=2)
    (place / "second.toml").write_text(format_policy(draft))
    assert ask("log", "status")["unadopted"] is None
    failed = run("policy", "adopt", "second.toml", exit_code=11).stderr
    entry = ask("log", "status")["size"]
    assert f"version 2 of the policy is entry {entry}, and not in force here" in failed
    assert "Adopt the same file again" in failed
    assert "do not append them a second time" not in failed
    assert ask("log", "status")["unadopted"]["entry"] == entry
    said = ask("log", "cosign")["unadopted"]
    assert (said["version"], said["entry"]) == (2, entry)
    for verb in ("status", "cosign"):
        text = run("log", verb).stdout
        assert f"version 2 of the policy (entry {entry}) is not in force here" in text
    better = policy.followed_by(name="better")
    (place / "better.toml").write_text(format_policy(better))
    refused = json.loads(run("policy", "adopt", "better.toml", "--json", exit_code=10).stdout)
    assert f'version = 3, previous = "{said["digest"]}"' in refused["hint"]
    assert ask("policy", "adopt", "second.toml")["entry"] == entry
    assert ask("log", "status", exit_code=0)["unadopted"] is None


def test_the_state_of_a_damaged_log_is_shown(ask, place):
    """Where policies in the log cannot be read, the reason stands in their place."""
    entries = place / "ledger" / "log" / "entries"
    data = bytearray(entries.read_bytes())
    data[40] ^= 1
    entries.write_bytes(data)
    with counterfoil.open("ledger") as ledger:
        ledger.places.index.unlink(missing_ok=True)
    status = ask("log", "status", exit_code=4)
    assert "is not the one that was logged" in status["unadopted"]["error"]


def test_an_older_policy_that_is_not_taken_is_said(ask, run):
    """Whoever trusts a newer one is told that the older file changed nothing."""
    shutil.copy("ledger/trust.toml", "first.toml")
    run("policy", "enforce", "--mode", "warn")
    shutil.copy("ledger/trust.toml", "second.toml")
    with counterfoil.open("ledger") as ledger:
        ledger.places.trust.unlink()
    first = ask("policy", "trust", "first.toml")
    assert (first["version"], first["taken"]) == (1, True)
    assert "NOT taken" not in run("policy", "trust", "second.toml").stdout
    kept = ask("policy", "trust", "first.toml", exit_code=7)
    assert (kept["version"], kept["taken"], kept["given"]["version"]) == (2, False, 1)
    assert kept["given"]["digest"] == first["digest"]
    assert "NOT taken: version 1" in run("policy", "trust", "first.toml", exit_code=7).stdout


@pytest.mark.parametrize("mode", ["observe", "warn", "enforce"])
def test_enforce_sets_the_mode(mode, ask, run):
    """Each mode can be set by name, for models and data alike; set again, nothing changes."""
    made = ask("policy", "enforce", "--stage", "production", "--mode", mode)
    assert (made["mode"], made["version"]) == (mode, 1 if mode == "observe" else 2)
    size = ask("log", "status")["size"]
    assert ask("log", "status")["policy"]["modes"] == {"production": mode}
    assert f"data: {mode}" in (again := run("policy", "enforce", "--mode", mode).stdout)
    said = f"is in {mode} mode already (policy version {made['version']}, entry {made['entry']})"
    assert said in again
    assert ask("policy", "enforce", "--mode", mode) == made
    assert ask("log", "status")["size"] == size


def test_enforce_refuses_unknown_modes_and_stages(run):
    """A mistyped mode or stage changes nothing."""
    assert (
        "Modes: observe, warn, enforce."
        in run("policy", "enforce", "--mode", "strict", exit_code=3).stderr
    )
    run("policy", "enforce", "--stage", "staging", exit_code=3)
