"""`counterfoil log stamp`, and what the other commands say of time-stamps."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import counterfoil as cf
from counterfoil.cli import app
from counterfoil.core.canonical import format_json


def answer(rows):
    return ["yes" for _ in rows]


@pytest.fixture
def folder(ledger):
    """The ledger, closed, with a decision in it."""
    ledger.models.add(answer, name="model").decide([[1]])
    ledger.close()
    return ledger.folder


@pytest.fixture
def ask():
    """Runs a command and reads what it says with --json."""

    def ask(*words, exit_code=0):
        done = CliRunner().invoke(app, [*map(str, words), "--json"])
        assert done.exit_code == exit_code, done.output
        return json.loads(done.stdout)

    return ask


def test_stamp_status_and_verify_say_the_same(folder, ask, tmp_path):
    """What was stamped is in the status, in the ledger's verdict, and in that of a letter."""
    said = ask("log", "stamp", "--ledger", folder)
    (made,) = said["stamps"]
    assert made["authority"] == "notary"
    status = ask("log", "status", "--ledger", folder)
    (shown,) = status["stamps"]
    assert (shown["size"], shown["time"]) == (made["size"], made["time"])
    assert (status["grade"], status["grades"]) == ("time-stamped", ["time-stamped"])
    assert ask("log", "stamp", "--ledger", folder)["stamps"] == []
    assert ask("verify", folder)["grades"] == ["time-stamped"]
    letter = tmp_path / "letter.html"
    ask("evidence", "make", "model", 0, "--out", letter, "--ledger", folder)
    assert ask("verify", letter)["grades"] == ["time-stamped"]


def test_a_ledger_with_newer_entries_is_not_stamped_as_a_whole(folder, ask):
    """The verdict about a ledger is about all of it."""
    ask("log", "stamp", "--ledger", folder)
    with cf.open(folder) as ledger:
        ledger.data.add([{"a": 1}], name="rows")
    verdict = ask("verify", folder)
    status = ask("log", "status", "--ledger", folder)
    assert verdict["grades"] == status["grades"] == ["self-witnessed"]
    assert "Any time: no time-stamp here covers this." in verdict["not_checked"]


def test_status_says_of_a_stamp_that_does_not_hold(folder, ask):
    """It grades the log without it, says why, and shows the rest."""
    ask("log", "stamp", "--ledger", folder)
    (kept,) = (folder / "stamps" / "notary").iterdir()
    stamp = json.loads(kept.read_bytes())
    forged = base64.b64decode(stamp["response"])[:-1] + b"x"
    stamp["response"] = base64.b64encode(forged).decode()
    name = f"{kept.name.partition('-')[0]}-{hashlib.sha256(forged).hexdigest()}.stamp.json"
    kept.rename(kept.with_name(name)).write_bytes(format_json(stamp))
    status = ask("log", "status", "--ledger", folder)
    assert status["grades"] == ["self-witnessed"]
    assert "notary" in status["lacking"]


def test_an_authority_that_is_gone_exits_as_unavailable(folder, ask, tsa):
    """And says which one."""
    tsa.status = 2
    said = ask("log", "stamp", "--ledger", folder, exit_code=11)
    assert "notary" in said["message"]


def test_stamping_goes_on_until_it_is_ended(folder):
    """A supervisor's kill ends it; others write to the ledger in between."""
    command = "from counterfoil.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "log", "stamp", "--every", "1", "--ledger", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        said = process.stdout.readline()
        with cf.open(folder) as ledger:
            ledger.data.add([{"a": 1}], name="rows")
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, error
    assert b"says notary" in said
    assert b"goes on from here" in error
