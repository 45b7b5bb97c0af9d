"""The command line takes an address wherever it takes a ledger."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from counterfoil.cli import app
from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.merkle import Hash
from counterfoil.core.statement import Subject
from counterfoil.errors import PolicyError, SplitViewError, UnavailableError
from counterfoil.ledger.export import export_site
from counterfoil.ledger.keyfiles import load_key
from counterfoil.ledger.splitview import keep_split_view

pytestmark = pytest.mark.usefixtures("reader")


@pytest.fixture
def ask():
    def ask(*words, exit_code=0):
        result = CliRunner().invoke(app, [*map(str, words), "--json"])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)

    return ask


def test_what_to_do_without_a_policy_is_said(ask, site, policy, local):
    """The error names the command that helps, and it does."""
    refused = ask("log", "status", "--ledger", site.url, exit_code=PolicyError.exit_code)
    assert "counterfoil policy trust FILE" in refused["hint"]
    trusted = ask("policy", "trust", policy)
    assert trusted["digest"] == local.policy.show().digest.hex()
    assert ask("log", "status", "--ledger", site.url)["size"] == local.size


@pytest.mark.parametrize(
    "words",
    [
        ("log", "status"),
        ("log", "audit"),
        ("log", "witness"),
        ("policy", "show"),
        ("policy", "suggest"),
        ("model", "list"),
        ("data", "list"),
    ],
)
def test_commands_take_an_address(words, ask, site, policy):
    """Whatever reads a ledger reads one elsewhere."""
    ask("policy", "trust", policy)
    assert ask(*words, "--ledger", site.url)


def test_a_mirror_goes_on_and_tells_of_two_histories(ask, site, policy, local, tmp_path):
    """What is proven is mirrored; the exit code is that of a split view."""
    ask("policy", "trust", policy)
    size = ask("log", "mirror", site.url, tmp_path / "mirror")["size"]
    signer = load_key(tmp_path / "counterfoil-home" / "keys" / local.places.slug / "log.pem")
    other = sign_checkpoint(Checkpoint(local.origin, size, Hash(bytes(32))), signer)
    keep_split_view(local.origin, local.checkpoint, other)
    local.append(b"later")
    export_site(local, site.folder)
    told = ask("log", "mirror", site.url, tmp_path / "mirror", exit_code=SplitViewError.exit_code)
    assert "two histories" in told["message"]
    status = ask("log", "status", "--ledger", tmp_path / "mirror", exit_code=8)
    assert status["size"] == local.size
    ask("log", "audit", "--ledger", tmp_path / "mirror", exit_code=SplitViewError.exit_code)


@pytest.mark.parametrize("words", [("rotate",), ("rotate", "--prepare"), ("shard", "next")])
def test_a_ledger_elsewhere_is_rotated_and_ended_by_its_operator(words, ask, site):
    """That is said first, before a policy or a server is asked for."""
    refused = ask("log", *words, "--ledger", site.url, exit_code=UnavailableError.exit_code)
    assert "by its operator alone" in refused["message"]
    assert not site.heard


def test_what_is_no_address_and_what_is_missing_is_said(ask, site, policy, tmp_path):
    """Each hint is about what is wrong: the address, the path, or the copy."""
    refused = ask("log", "mirror", "ftp://x", tmp_path / "m", exit_code=3)
    assert "https://host/path" in refused["message"]
    no_file = ("log", "mirror", site.url, tmp_path / "m", "--trust", tmp_path / "nowhere.toml")
    refused = ask(*no_file, exit_code=UnavailableError.exit_code)
    assert refused["hint"].startswith("Check the path")
    ask("log", "mirror", site.url, tmp_path / "m", "--trust", policy)
    (tmp_path / "m" / "checkpoint").unlink()
    refused = ask("log", "audit", "--ledger", tmp_path / "m", exit_code=3)
    assert "without its `checkpoint`" in refused["hint"]


def test_a_ledger_elsewhere_is_verified_and_exported(ask, site, policy, local, tmp_path):
    """`verify` takes its address and a policy, and adopts nothing; `export` copies it."""
    verdict = ask("verify", site.url, "--trust", policy)
    assert verdict["trusted"]
    assert not (tmp_path / "reader-home" / "trust").exists()
    ask("policy", "trust", policy)
    exported = ask("log", "export", tmp_path / "copy", "--ledger", site.url)
    assert exported["root"] == local.root.hex()


def test_a_watch_rule_that_nobody_hears_is_a_warning(local, tmp_path):
    """Standard error names the rule and the reason; standard output keeps to the events."""
    local.append(b"no statement")
    rules = tmp_path / "watch.toml"
    rules.write_text('[[rule]]\nname = "pager"\non = ["refused"]\ncommand = ["/nonexistent"]\n')
    words = ["log", "monitor", str(local.folder), "--watch", str(rules), "--once", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    assert result.stderr.startswith('warning: rule "pager": /nonexistent did not take an event')
    assert "No such file" in result.stderr
    assert [json.loads(line)["kind"] for line in result.stdout.splitlines()] == ["refused"]


def test_an_entry_that_is_told_reads_as_one(local, tmp_path):
    """For people: `entry 6: approval about credit`, and no word twice."""
    rules = tmp_path / "watch.toml"
    rules.write_text('[[rule]]\nname = "all"\ncommand = ["true"]\n')
    words = ["log", "monitor", str(local.folder), "--watch", str(rules), "--once"]
    result = CliRunner().invoke(app, words)
    assert re.match(r"entry 0: \S+ about \S", result.stdout)


def test_copies_are_made_and_watched(ask, site, policy, local, tmp_path):
    """Mirror, import and monitor from the command line."""
    mirrored = ask("log", "mirror", site.url, tmp_path / "mirror", "--trust", policy)
    assert (mirrored["size"], mirrored["new"]) == (local.size, local.size)
    taken = ask("log", "import", tmp_path / "mirror", tmp_path / "copy")
    assert (taken["size"], taken["appendable"]) == (local.size, False)
    assert ask("verify", tmp_path / "copy")["trusted"]
    local.add_principal("stranger")
    local.append_envelope(
        local.sign([Subject("thing", {"sha256": "ab" * 32})], "approval", {}, by=("stranger",))
    )
    export_site(local, site.folder)
    event = ask("log", "monitor", site.url, "--once", "--metrics", tmp_path / "figures")
    assert event["kind"] == "refused"
    assert event["index"] == local.size - 1
    assert (tmp_path / "figures").read_text().startswith("# HELP counterfoil_monitor_entries")


@pytest.fixture
def recorded(site, local, home, monkeypatch):
    """The site of a ledger with a decision about ann, and a hold on her."""
    with monkeypatch.context() as theirs:
        theirs.setenv("COUNTERFOIL_HOME", str(home))
        model = local.models.add(lambda rows: ["no"] * len(rows), name="loans")
        model.decide([[1]], data_subjects=["ann"])
        local.people.hold("ann", basis="an order", by="legal")
        export_site(local, site.folder)
    return site


def test_people_are_erased_where_their_records_are(ask, recorded, policy):
    """Records behind a server are said to lie elsewhere, and not to be an older copy."""
    ask("policy", "trust", policy)
    approved = ("--basis", "b", "--approver", "x", "--approver", "y")
    for words in (("erase", "ann", *approved), ("hold", "ann", "--basis", "b", "--by", "x")):
        refused = ask(
            "person", *words, "--ledger", recorded.url, exit_code=UnavailableError.exit_code
        )
        assert "elsewhere" in refused["message"] + refused["hint"] or "not in" in refused["message"]
    assert ask("log", "status", "--ledger", recorded.url)["lost"] == []
