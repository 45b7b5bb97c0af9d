"""Anchoring by commands alone, by two organisations on two machines."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

import counterfoil as cf
from counterfoil.chain import account as accounts
from counterfoil.chain.devchain import DevChain
from counterfoil.cli import app

pytestmark = pytest.mark.usefixtures("anvil")


def ask(*words, exit_code=0):
    """Run a command with --json, and give what it printed."""
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Goes to a machine: a home of its own, and an account with money on the chain."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTERFOIL_PASSPHRASE", "a long sentence")
    monkeypatch.setattr(accounts, "_SCRYPT_N", 2)  # key files that cost little

    def go(name):
        monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / name))

    go("bank")
    with DevChain(tmp_path / "chain") as dev:
        monkeypatch.setenv("COUNTERFOIL_RPC", dev.url)
        for name in ("auditor", "bank"):
            go(name)
            dev.grant(ask("chain", "key")["address"])
        cf.init(tmp_path / "ledger", organisation="Bank").close()
        yield go


def test_a_ledger_is_anchored_by_three_commands(machine):
    """join, anchor, audit: and what has nothing new is not paid for again."""
    assert machine
    joined = ask("chain", "join")
    assert joined["members"] == ["local"]
    assert joined["chain"]["operators"] == ["Bank"]
    assert ask("chain", "join")["version"] == joined["version"]
    first = ask("chain", "anchor")
    assert [one["size"] for one in first["anchored"]] == [2]
    again = ask("chain", "anchor")
    assert (again["anchored"], again["cost_wei"]) == ([], first["cost_wei"])
    assert int(first["cost_wei"]) > 0
    audited = ask("log", "audit", "--anchor")
    assert audited["anchors"]["compared"] == 1
    assert ask("log", "audit")["anchors"] is None


def name_in_policy(folder, block):
    """Adopt the next policy of the bank's ledger, with the lines of another member in it."""
    with cf.open("ledger") as ledger:
        policy = ledger.policy.show()
        text = (ledger.folder / "trust.toml").read_text()
    text = text.replace("version = 1", "version = 2")
    text = text.replace('previous = ""', f'previous = "{policy.digest.hex()}"')
    text = re.sub(r"\n\[\[principal\]\]", f"\n{block}\n\n[[principal]]", text, count=1)
    (folder / "trust.toml").write_text(text)
    ask("policy", "adopt", "trust.toml")


BOTH_RUN_IT = ("--threshold", "2", "--operator", "Bank", "--operator", "Auditor LLP")


def test_two_organisations_hand_files_around(machine, tmp_path):
    """The auditor makes its keys and signs with its own policy; the bank's next run goes on."""
    key = ask("log", "status")["key"]
    machine("auditor")
    block = ask("chain", "member", "auditor", "--log", key, "--operator", "Auditor LLP")["toml"]
    machine("bank")
    name_in_policy(tmp_path, block)
    joined = ask("chain", "join", *BOTH_RUN_IT)
    assert sorted(joined["members"]) == ["auditor", "local"]
    waiting = ask("chain", "anchor", "--exchange", "to-sign", exit_code=11)
    assert "1 of the 2 members" in waiting["message"]
    (request,) = (tmp_path / "to-sign").glob("*.request.json")
    trust = tmp_path / "ledger" / "trust.toml"
    machine("auditor")
    ask("chain", "sign", request, exit_code=3)  # whose policy? it has adopted none
    assert ask("chain", "agree", trust)["witness"] == "auditor"
    signed = ask("chain", "sign", request)
    assert signed["size"] == 3
    machine("bank")
    assert ask("chain", "anchor", "--exchange", "to-sign")["size"] == 3


def test_two_organisations_anchor_over_http(machine, tmp_path, monkeypatch, serve_asgi):
    """One process of the auditor is witness and member; the bank only runs `chain anchor`."""
    key = ask("log", "status")["key"]
    machine("auditor")
    (tmp_path / "passphrase").write_text("a long sentence\n")
    member = (
        *("chain", "member", "auditor.example/w", "--log", key, "--operator", "Auditor LLP"),
        *("--passphrase-file", "passphrase", "--url"),
    )
    ask(*member, "http://127.0.0.1:1")
    with monkeypatch.context() as patch:
        patch.delenv("COUNTERFOIL_PASSPHRASE")  # the server finds the file
        port = serve_asgi("from counterfoil.http.witness import own_app\napp = own_app()\n")
    made = ask(*member, f"http://127.0.0.1:{port}")  # again: the same keys, another address
    assert (
        ask("log", "witness", "--name", "auditor.example/w", "--operator", "x")["witness"]["anchor"]
        == made["witness"]["anchor"]
    )
    machine("bank")
    name_in_policy(tmp_path, made["toml"])
    assert len(ask("chain", "join", *BOTH_RUN_IT)["members"]) == 2
    refused = ask("chain", "anchor", exit_code=11)
    assert "no trust policy was adopted here" in refused["message"]
    trust = tmp_path / "ledger" / "trust.toml"
    assert "runs the log" in ask("chain", "agree", trust, exit_code=3)["message"]
    machine("auditor")
    agreed = ask("chain", "agree", trust)
    assert (agreed["witness"], agreed["log"]) == ("auditor.example/w", key)
    machine("bank")
    assert ask("chain", "anchor")["size"] == 3
    # The same member signs a file, with the memory of its server.
    with cf.open("ledger") as ledger:
        ledger.append(b"news")
    ask("chain", "anchor", "--exchange", "to-sign", exit_code=11)
    (request,) = (tmp_path / "to-sign").glob("*.request.json")
    machine("auditor")
    signed = ask("chain", "sign", request)
    machine("bank")
    assert ask("chain", "anchor", "--exchange", "to-sign")["size"] == signed["size"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_others_write_while_it_goes_on(machine, tmp_path, number):
    """At a cadence it holds the ledger only while it anchors; who writes in between is anchored."""
    assert machine
    ask("chain", "join")
    command = [sys.executable, "-m", "counterfoil", "chain", "anchor", "--every", "1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 60
        written = 0
        while len(list((tmp_path / "ledger" / "anchors").glob("*/*.anchor.json"))) < 3:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            with contextlib.suppress(cf.ConflictError), cf.open("ledger") as ledger:
                ledger.append(b"another")
                written += 1
            time.sleep(0.3)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"goes on where this one stopped" in said
    assert written > 2


def test_a_place_is_not_given_up_by_accident(machine):
    """Joining again elsewhere takes a word, since anchors so far would count no more."""
    assert machine
    first = ask("chain", "join")
    refused = ask("chain", "join", "--operator", "Somebody", exit_code=10)
    assert "--replace" in refused["hint"]
    second = ask("chain", "join", "--operator", "Somebody", "--replace")
    assert second["version"] == first["version"] + 1


def test_what_stands_in_the_way_is_one_line(machine, tmp_path):
    """No chain in the policy, nobody who signs, no node: each is an error with a hint."""
    assert "[chain]" not in (tmp_path / "ledger" / "trust.toml").read_text()
    nothing = ask("chain", "anchor", exit_code=7)
    assert "chain join" in nothing["hint"]
    assert ask("log", "audit", "--anchor", exit_code=7)["error"] == "PolicyError"
    (tmp_path / "request.json").write_text("{}")
    assert ask("chain", "sign", "request.json", exit_code=3)["error"] == "FormatError"
    ask("chain", "join")
    machine("auditor")
    assert ask("chain", "anchor", exit_code=3)["error"] == "FormatError"
