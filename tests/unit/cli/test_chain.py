from __future__ import annotations

import json
import os
import signal
import time

import pytest

from counterfoil import chain as chains
from counterfoil.chain import account as accounts
from counterfoil.chain.devchain import DevChain

DEPLOYED = {"contract", "address", "chain_id", "block", "transaction", "gas_used", "cost_wei"}
STATUS = {"chain_id", "profile", "finality", "head", "final", "account", "anchor"}


@pytest.fixture(autouse=True)
def passphrase(monkeypatch):
    """A passphrase in the environment, and key files that cost little."""
    monkeypatch.setattr(accounts, "_SCRYPT_N", 2)
    monkeypatch.setenv("COUNTERFOIL_PASSPHRASE", "a sentence")


@pytest.fixture
def dev(anvil):
    """This user's development chain."""
    del anvil  # found by its variable
    with DevChain() as running:
        yield running


def has_money(dev, address):
    """Waits until the chain has given an account something, a moment after it was made."""
    deadline = time.monotonic() + 20
    while not dev.connect().balance_wei(address):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_from_nothing_to_an_anchor(dev, ask, run):
    """A key, a contract and its state take three commands, and deploying is done once."""
    key = ask("chain", "key")
    assert key["made"]
    assert not ask("chain", "key")["made"]
    has_money(dev, key["address"])
    before = ask("chain", "status")
    assert set(before) == STATUS
    assert before["anchor"] is None
    made = ask("chain", "deploy")
    assert set(made) == DEPLOYED
    assert ask("chain", "deploy") == made
    status = ask("chain", "status")
    assert status["anchor"]["address"] == made["address"]
    assert status["account"]["address"] == key["address"]
    assert status["account"]["spent_wei"] == made["cost_wei"]
    assert status["account"]["under_way"] == []
    assert (status["chain_id"], status["finality"]) == (31337, "finalized")
    assert status["final"] == status["head"] == 1
    assert status["anchor"]["made_in"] == made["transaction"]
    text = run("chain", "status").stdout
    assert f"{made['address']}, code as released, made as released" in " ".join(text.split())
    assert dev.trouble == ""


def test_a_log_of_the_anchor_is_shown(dev, ask, run):
    """What is anchored of a log is told by its id; what is no log is refused."""
    has_money(dev, ask("chain", "key")["address"])
    place = ask("chain", "deploy")["address"]
    chain = dev.connect()
    account = chains.load_account(chains.account_path("operator"), "a sentence")
    anchor = chains.CheckpointAnchor.open(chain, place)
    log = chains.log_id("x", [account.address], 1)
    signature = account.sign_typed(anchor.checkpoint_message(log, 1, 7, b"\x01" * 32))
    with chains.Outbox(chain, account) as outbox:
        outbox.submit("open", anchor.open_log("x", [account.address], 1))
        outbox.wait("open", 20)
        outbox.submit("advance", anchor.advance(log, 7, b"\x01" * 32, [], [signature]))
        outbox.wait("advance", 20)
    shown = ask("chain", "status", "--log", log.hex())["anchor"]["log"]
    assert (shown["size"], shown["anchors"], shown["stopped"]) == (7, 1, False)
    assert (
        "newest at size 7; 1 of 1 members sign" in run("chain", "status", "--log", log.hex()).stdout
    )
    run("chain", "status", "--log", "00" * 32, exit_code=9)
    run("chain", "status", "--log", "nonsense", exit_code=3)
    run("chain", "status", "--anchor", account.address, exit_code=4)


def test_somebody_elses_contract_is_asked_how_it_was_made(dev, ask, run):
    """The code alone does not tell what it began with, and `status` says which of both it knows."""
    has_money(dev, ask("chain", "key")["address"])
    made = ask("chain", "deploy")
    given = ("chain", "status", "--anchor", made["address"])
    assert ask(*given)["anchor"]["made_in"] is None
    assert "WHAT IT BEGAN WITH IS NOT CHECKED" in run(*given).stdout
    maker = ("--made-in", f"0x{made['transaction']}")
    assert ask(*given, *maker)["anchor"]["made_in"] == made["transaction"]
    run(*given, "--made-in", "00" * 32, exit_code=11)
    run(*given, "--made-in", "nonsense", exit_code=3)
    run("chain", "status", *maker, exit_code=3)


def test_a_chain_is_named_by_url_and_believed_by_options(dev, ask, run, monkeypatch):
    """The address may come from an option or the environment; both halves of a profile belong."""
    assert ask("chain", "status", "--rpc", dev.url)["profile"] == "dev"
    monkeypatch.setenv("COUNTERFOIL_RPC", dev.url)
    given = ("--chain-id", "31337", "--finality", "immediate")
    assert ask("chain", "status", *given)["finality"] == "immediate"
    run("chain", "status", "--chain-id", "31337", exit_code=3)
    run("chain", "status", "--finality", "2", exit_code=3)
    run("chain", "status", "--chain-id", "1", "--finality", "2", exit_code=4)
    run("chain", "status", "--rpc", "file:///etc/passwd", exit_code=3)


def test_nobody_signs_without_account_passphrase_and_money(dev, run, monkeypatch, place):
    """What is missing is named, with the way to get it; nothing is sent before."""
    assert "Make one: counterfoil chain key" in run("chain", "deploy", exit_code=11).stderr
    monkeypatch.delenv("COUNTERFOIL_PASSPHRASE")
    assert "--passphrase-file" in run("chain", "key", exit_code=3).stderr
    secret = place / "secret"
    secret.write_text("another\n")
    run("chain", "key", "--passphrase-file", secret)
    monkeypatch.setenv("COUNTERFOIL_PASSPHRASE", "wrong")
    assert "passphrase is wrong" in run("chain", "deploy", exit_code=3).stderr
    monkeypatch.setenv("COUNTERFOIL_PASSPHRASE", "another")
    address = accounts.stated_address(accounts.account_path("operator"))
    dev.grant(address, 5)
    assert "Send at least" in run("chain", "deploy", exit_code=11).stderr
    run("chain", "deploy", "IssuerRegistry", exit_code=3)
    run("chain", "deploy", "--signer", dev.url, exit_code=3)


def test_a_key_file_is_taken_over(ask, place, run):
    """A keystore from elsewhere becomes an account here, and replaces none."""
    first = ask("chain", "key")
    assert ask("chain", "key", "--account", "other", "--import", first["file"]) == {
        "account": "other",
        "address": first["address"],
        "made": True,
        "file": first["file"].replace("operator", "other"),
    }
    run("chain", "key", "--import", first["file"], exit_code=10)
    assert place.exists()


def test_an_anvil_that_is_there_is_not_installed_again(anvil, ask):
    """Where there is a program already, it is shown, and nothing is asked or fetched."""
    assert ask("chain", "install") == {"anvil": str(anvil), "installed": False}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dev_runs_until_it_is_stopped(number, anvil, start):
    """The chain answers while the command runs, and ends well when it is told to."""
    assert anvil.exists()
    process = start("chain", "dev", "--json")
    shown = ""
    while not shown.endswith("}\n"):
        line = process.stdout.readline()
        assert line, process.stderr.read()
        shown += line
    body = json.loads(shown)
    assert set(body) == {"url", "chain_id", "folder", "proves", "does_not_prove"}
    assert "rewrite" in body["does_not_prove"]
    assert chains.connect(body["url"]).head().number == 0
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "its state is kept" in said
