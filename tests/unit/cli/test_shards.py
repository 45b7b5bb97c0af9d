"""Ending a log, carrying receipts, and changing its key, as they are typed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import counterfoil
from counterfoil import ledger as ledgers


@pytest.fixture
def plain(place):
    """A ledger without records."""
    with counterfoil.init("plain", organisation="Example Bank") as ledger:
        ledger.append(b"an entry")
    return place


def test_a_receipt_is_carried_and_verified(ask, run, plain):
    """By the new ledger's trust.toml and the file alone."""
    said = ask("log", "shard", "next", "--ledger", "plain")
    assert said["size"] == 3
    assert ask("log", "status", "--ledger", "plain")["next"].startswith(said["begun"])
    assert f"goes on as {said['begun']}" in run("log", "status", "--ledger", "plain").stdout
    assert ask("log", "carry", 1, "--ledger", "plain", "--to", "next")["file"] == "1.carried.json"
    Path("entry").write_bytes(b"an entry")
    verdict = ask("verify", "1.carried.json", "--entry", "entry", "--trust", "next/trust.toml")
    assert verdict["trusted"]
    assert verdict["facts"]["log"] == said["ended"]
    assert (plain / "1.carried.json").read_bytes().startswith(b'{"counterfoil":"carried-receipt/')


def test_a_log_with_records_is_not_ended_by_the_way(run, ask):
    """The words have to be typed."""
    assert "despite" not in run("log", "shard", "next", exit_code=9).stdout
    assert ask("log", "shard", "next", "--despite-records")["begun"]
    run("log", "audit", "--ledger", "next")


def test_letters_reach_across_shards(ask, run, place):
    """A decision of before the end holds by the newest trust.toml, and by no older one."""
    ask("log", "shard", "next", "--despite-records")
    made = ask("evidence", "make", "credit", 1, "--to", "next")
    assert len(made["logs"]) == 2
    verdict = ask("verify", "1.html", "--trust", "next/trust.toml")
    assert verdict["trusted"]
    assert any(made["logs"][0] in one for one in verdict["proved"])
    run("verify", "1.html", "--trust", place / "ledger" / "trust.toml", exit_code=7)
    said = run("evidence", "make", "credit", 1, "--to", "next", "--out", "again.html").stdout
    assert made["logs"][1] in said
    wrong = ("evidence", "make", "credit", 1, "--from", "next", "--out", "wrong.html")
    run(*wrong, exit_code=10)
    assert not (place / "wrong.html").exists()


def test_a_log_that_has_ended_says_so_wherever_somebody_would_write(run, ask, plain):
    """In its status, to whoever makes it again, serves it, or ends it a second time."""
    home = Path(os.environ["COUNTERFOIL_HOME"])
    run("log", "shard", "next", "--ledger", "plain")
    before = sorted(home.rglob("*"))
    assert "has ended" in run("log", "shard", "third", "--ledger", "plain", exit_code=10).stderr
    assert not (plain / "third").exists()
    assert sorted(home.rglob("*")) == before
    assert "nobody: it has ended" in run("log", "status", "--ledger", "plain").stdout
    assert "goes on as" in run("init", "plain").stdout
    pytest.importorskip("granian")
    assert "--read-only" in run("serve", "--ledger", "plain", exit_code=10).stderr
    run("log", "export", "site", "--ledger", "plain")
    assert "goes on as" in run("log", "import", "site", "again", "--original-is-lost").stdout
    assert not ask("log", "import", "site", "once-more", "--original-is-lost")["appendable"]


def test_the_next_key_is_told_and_taken(ask, run, plain):
    """Prepared, handed to a witness of others, and then in force."""
    with counterfoil.open("plain") as ledger:
        before = ledgers.format_vkey(ledger.key)
    run("log", "witness", "--name", "auditor.example/w", "--know", before)
    prepared = ask("log", "rotate", "--prepare", "--ledger", "plain")["next"]
    assert ask("log", "rotate", "--prepare", "--ledger", "plain")["next"] == prepared
    run("log", "witness", "--name", "auditor.example/w", "--next", prepared)
    done = ask("log", "rotate", "--ledger", "plain")
    assert (done["key"], done["before"]) == (prepared, before)
    assert ask("log", "status", "--ledger", "plain")["key"] == prepared
    assert ask("verify", plain / "plain")["trusted"]
    run(
        "log",
        "witness",
        "--name",
        "auditor.example/w",
        "--next",
        "other.example/log+00000000+AA==",
        exit_code=3,
    )
