"""What every command has in common: help, JSON, and a ledger that is found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from counterfoil.cli import app

ERASURE = ["--basis", "withdrawn", "--approver", "a", "--approver", "b"]
REVIEW = ["--outcome", "granted", "--new-outcome", "--reason", "misread", "--reviewer", "r4"]
CHAIN = ("dev", "install", "key", "deploy", "status", "sign", "agree", "node", "genesis")
ORDER = ["--basis", "an order", "--by", "legal"]
HOLD = {
    *("person", "id", "basis", "until", "placed_by", "placed_at"),
    *("released_by", "released_at", "reason"),
}
RELEASE = ["0" * 8, "--by", "legal", "--reason", "closed"]
VERSION = {"name", "version", "digest", "format", "entry"}
DATASET = {"name", "digest", "entry", "about"}
GATE = {"cleared", "mode", "reasons", "entry"}
POLICY = {"version", "digest", "previous"}
ERROR = {"error", "message", "hint", "exit_code", "reasons"}

# Each command with an example of its words, its exit code, and the members of what it prints.
SHAPES: dict[str, tuple[list[str], int, set[str]]] = {
    "init": (
        ["ledger"],
        0,
        {"ledger", "made", "origin", "key", "size", "keys", "trust", "policy", "modes"},
    ),
    "verify": (
        ["ledger"],
        0,
        {"what", "trusted", "grade", "grades", "policy", "proved", "not_checked", "trust", "facts"},
    ),
    "data add": (["train.csv", "--name", "again"], 0, DATASET | {"added"}),
    "data show": (["applicants"], 0, DATASET | {"statements"}),
    "data list": ([], 0, {"datasets"}),
    "data diff": (
        ["applicants", "rows.csv"],
        4,
        {"name", "digest", "same", "differs", "places"},
    ),
    "data clear": (["applicants"], 0, GATE | {"name", "purpose"}),
    "model add": (["credit.pkl", "--name", "again"], 0, VERSION | {"added", "trained_on"}),
    "model show": (["credit"], 0, VERSION | {"about", "statements"}),
    "model list": ([], 0, {"models"}),
    "model evaluate": (
        ["credit", "train.csv", "--data", "applicants", "--label", "outcome"],
        0,
        VERSION | {"evaluation", "data", "metrics"},
    ),
    "model approve": (["credit"], 0, VERSION | {"stage", "by", "entries", "missing"}),
    "model promote": (["credit"], 0, VERSION | {"stage", "promotion", "gate"}),
    "model revoke": (
        ["credit", "--reason", "drift"],
        0,
        VERSION | {"reason", "revocation", "missing"},
    ),
    "decision make": (
        ["credit", "rows.csv"],
        0,
        {
            "system",
            "model",
            "gate",
            "outcomes",
            "left_out",
            "decisions",
            "file",
            "tickets",
        },
    ),
    "decision show": (["credit", "1"], 0, {"system", "index", "leaf", "fields", "overrides"}),
    "decision list": (["credit"], 0, {"system", "records", "decisions"}),
    "decision replay": (
        ["credit", "1"],
        0,
        {"system", "index", "agrees", "compared", "differences"},
    ),
    "decision override": (["credit", "1", *REVIEW], 0, {"system", "index", "overrides", "leaf"}),
    "decision reconcile": (["credit", "tickets"], 0, {"system", "tickets", "broken"}),
    "decision declare": (
        ["later", "--pad-to", "4"],
        0,
        {"system", "stream", "pad_to", "cadence_s", "max_delay_s"},
    ),
    "decision publish": (["credit"], 0, {"system", "records", "size", "closed"}),
    "evidence make": (
        ["credit", "1"],
        0,
        {
            "file",
            "bytes",
            "system",
            "index",
            "statements",
            "logs",
            "overrides",
            "disclosed",
            "withheld",
            "silent",
        },
    ),
    "person export": (["ann"], 0, {"person", "records", "systems", "elsewhere"}),
    "person erase": (["ann", *ERASURE], 9, ERROR),
    "person erasures": ([], 0, {"erasures"}),
    "person recover": ([], 0, {"lost"}),
    "person hold": (["ann", *ORDER], 0, HOLD | {"records"}),
    "person holds": (["ann"], 0, {"holds"}),
    "person release": (["ann", *RELEASE], 3, ERROR),
    "policy show": ([], 0, {"digest", "file", "policy"}),
    "policy suggest": ([], 0, POLICY | {"toml", "file"}),
    "policy adopt": (["train.csv"], 3, ERROR),
    "policy key": (["risk-a"], 0, {"principal", "key", "folder"}),
    "policy enforce": ([], 0, POLICY | {"stage", "mode", "entry"}),
    "log status": (
        [],
        0,
        {
            "origin",
            "key",
            "size",
            "split_view",
            "set_back_from",
            "waiting",
            "root",
            "grade",
            "grades",
            "lacking",
            "cosigned",
            "silent",
            "objections",
            "witness",
            "next",
            "stamps",
            "shared",
            "writer",
            "writers",
            "moved",
            "policy",
            "unadopted",
            "lost",
            "elsewhere",
        },
    ),
    "log cosign": (
        [],
        0,
        {"size", "root", "grade", "grades", "lacking", "cosigned", "silent", "unadopted"},
    ),
    "log stamp": ([], 7, ERROR),
    "log shard": (["next"], 9, ERROR),
    "log find": (["--subject", "credit"], 0, {"found", "log_size", "not_checked"}),
    "log receipt": (["0"], 0, {"file", "entry", "index", "log"}),
    "log carry": (["0", "--to", "ledger"], 10, ERROR),
    "log rotate": ([], 0, {"key", "before", "until_size", "entry"}),
    "log audit": ([], 0, {"origin", "size", "root", "anchors"}),
    "log export": (["site"], 0, {"folder", "size", "root", "files", "pruned"}),
    "log move": (["ledger", "ledger"], 3, ERROR),
    "log mirror": (["nowhere", "mirror"], 11, ERROR),
    "log import": (["nowhere", "copy"], 11, ERROR),
    "policy trust": (
        ["ledger/trust.toml"],
        0,
        POLICY | {"taken", "given", "log", "file", "keys", "key"},
    ),
    "log witness": ([], 0, {"witness", "waiting", "checkpoint", "proves", "does_not_prove"}),
    "chain install": ([], 3, ERROR),
    "chain key": (
        ["--passphrase-file", "train.csv"],
        0,
        {"account", "address", "made", "file"},
    ),
    "chain deploy": ([], 3, ERROR),
    "chain status": ([], 3, ERROR),
    "chain node": (
        ["ada", "--at", "10.0.0.1:30303"],
        0,
        {"name", "folder", "validator", "enode", "member"},
    ),
    "chain genesis": (
        ["--members", "4"],
        0,
        {"folder", "chain_id", "genesis", "trial", "members", "files"},
    ),
    "chain join": ([], 3, ERROR),
    "chain member": (["auditor", "--operator", "Auditor"], 11, ERROR),
    "chain agree": (["train.csv"], 3, ERROR),
    "chain anchor": ([], 11, ERROR),
    "chain sign": (["train.csv"], 3, ERROR),
}
# Some take their paths as arguments, one makes its own, and a chain has no ledger in it.
WITHOUT_LEDGER = {
    *("init", "demo", "policy trust"),
    *(f"log {verb}" for verb in ("move", "mirror", "monitor", "import")),
    *(f"chain {verb}" for verb in CHAIN),
}
# What needs anvil, or runs until it is stopped, has tests of its own.
ELSEWHERE = {"demo", "serve", "log monitor", "chain dev"}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command below `group`, with the words that lead to it."""
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))
    if not hasattr(group, "commands"):
        yield " ".join(path), group


ROOT: Any = typer.main.get_command(app)
COMMANDS = dict(commands(ROOT))
GROUPS = [name for name, command in ROOT.commands.items() if hasattr(command, "commands")]


@pytest.mark.parametrize("name", SHAPES)
def test_json_is_one_object_with_the_documented_members(name: str, run, monkeypatch):
    """A program that reads --json finds the same members whatever the command found."""
    monkeypatch.delenv("COUNTERFOIL_ANVIL", raising=False)
    monkeypatch.setenv("PATH", "")
    words, exit_code, members = SHAPES[name]
    result = run(*name.split(), *words, "--json", exit_code=exit_code)
    assert set(json.loads(result.stdout)) == members
    assert result.stdout.isascii()


def test_every_command_has_a_shape():
    """No command is without a test of what it prints."""
    assert set(SHAPES) == set(COMMANDS) - ELSEWHERE


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_a_sentence_and_an_example(name: str, run):
    """Every command's help says in one sentence what it does, and shows how it is typed."""
    text = run(*name.split(), "--help").stdout
    sentence = text.split("\n\n")[1].strip()
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert f"Example:\n  counterfoil {name}" in text
    assert "--json" in text
    assert ("--ledger PATH" in text) == (name not in WITHOUT_LEDGER)


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_lists_of_commands_fit_a_terminal(group: str, run):
    """In a list of commands each has one line, 80 columns wide at most."""
    lines = run(*group.split(), "--help").stdout.splitlines()
    listed = [line for line in lines if re.match(r"  [a-z]+  ", line)]
    command = ROOT.commands[group] if group else ROOT
    assert [line.split()[0] for line in listed] == list(command.commands)
    assert max(map(len, lines)) <= 80


def test_top_level_is_small_and_in_groups(run):
    """A newcomer sees at most 14 words, in three groups."""
    text = run("--help").stdout
    assert len(ROOT.commands) <= 14
    assert re.findall(r"^([A-Z][a-z ]+):$", text, re.MULTILINE) == [
        "Options",
        "First steps",
        "Things",
        "Operations",
    ]


@pytest.mark.parametrize("words", [[], ["log"], ["decision"]])
def test_a_noun_alone_asks_for_help(words: list[str], run):
    """Typing a noun without a verb shows the verbs, and is no error."""
    assert run(*words).stdout == run(*words, "--help").stdout


def test_version_is_printed(run):
    """`counterfoil --version` says which one this is."""
    assert re.fullmatch(r"counterfoil \d+\.\d+\.\S+\n", run("--version").stdout)


def test_ledger_is_found_by_environment(run, ask, place, monkeypatch):
    """COUNTERFOIL_LEDGER says which ledger, and --ledger overrules it."""
    origin = ask("log", "status")["origin"]
    monkeypatch.chdir("/")
    run("log", "status", exit_code=3)
    monkeypatch.setenv("COUNTERFOIL_LEDGER", str(place / "ledger"))
    assert ask("log", "status")["origin"] == origin
    run("log", "status", "--ledger", place / "nowhere", exit_code=3)
