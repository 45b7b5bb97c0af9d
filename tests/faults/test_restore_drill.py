"""A drill: a ledger is backed up while it is written to, lost, and restored somewhere else.

Every command is typed as docs/how-to/back-up-and-restore.md has it, by real processes. The
snapshot is made as that page says for a file system that has none: the writer is stopped for as
long as the copy takes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from base64 import b64decode

import pytest

import counterfoil as cf
from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.errors import ConflictError

WITHIN_S = 120
WRITER = """
import sys
from base64 import b64encode
import counterfoil as cf
from counterfoil.core.receipt import format_receipt

def answer(rows):
    return ["yes" for _ in rows]

def say(*words):
    print(*words, flush=True)

with cf.open(sys.argv[1]) as ledger:
    model = ledger.models.add(answer, name="model")
    number = 0
    while True:
        entry = b"entry %d" % number
        receipt = format_receipt(ledger.append(entry))
        say("entry", b64encode(entry).decode(), b64encode(receipt).decode())
        if number % 5 == 0:
            (decision,) = model.decide([[number]])
            say("decision", decision.index, number)
        number += 1
"""


class Machine:
    """A place with a ledger and a home, and what a person types there."""

    def __init__(self, root):
        self.root = root
        self.ledger, self.home = root / "ledger", root / "home"
        self.env = {
            **os.environ,
            "COUNTERFOIL_HOME": str(self.home),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }

    def type(self, *words, exit_code=0):
        """Run a command with --json; the answer."""
        command = [sys.executable, "-c", "from counterfoil.cli import main; main()"]
        done = subprocess.run(
            [*command, *map(str, words), "--json"],
            check=False,
            env=self.env,
            capture_output=True,
            timeout=WITHIN_S,
        )
        assert done.returncode == exit_code, done.stderr.decode()
        return json.loads(done.stdout)

    def start_writer(self, acknowledged):
        """Write to the ledger without end; what is acknowledged goes to a file elsewhere."""
        with acknowledged.open("wb") as out:
            return subprocess.Popen(
                [sys.executable, "-c", WRITER, str(self.ledger)], env=self.env, stdout=out
            )


def read(acknowledged):
    """What the writer has been told so far, as whole lines."""
    lines = acknowledged.read_text().split("\n")[:-1]
    return [line.split(" ") for line in lines]


def wait_for(count, acknowledged, writer):
    """Wait until so many things are acknowledged."""
    deadline = time.monotonic() + WITHIN_S
    while len(read(acknowledged)) < count:
        assert writer.poll() is None, "the writer ended"
        assert time.monotonic() < deadline, "the writer writes nothing"
        time.sleep(0.02)


@pytest.fixture
def bank(tmp_path, monkeypatch):
    """The machine that will fail."""
    machine = Machine(tmp_path / "bank")
    monkeypatch.setenv("COUNTERFOIL_HOME", str(machine.home))
    machine.root.mkdir()
    cf.init(machine.ledger, organisation="Northbank").close()
    return machine


@pytest.fixture
def writing(bank, tmp_path):
    """A writer at work, and the file with what it was acknowledged."""
    acknowledged = tmp_path / "acknowledged"
    writer = bank.start_writer(acknowledged)
    yield writer, acknowledged
    writer.kill()
    writer.wait()


def check_everything(machine, told, monkeypatch):
    """All that was acknowledged is there, byte for byte, with receipts and evidence that hold."""
    monkeypatch.setenv("COUNTERFOIL_HOME", str(machine.home))
    with cf.open(machine.ledger) as ledger:
        policy = ledger.policy.show()
        for kind, first, second in told:
            if kind == "entry":
                entry, receipt = b64decode(first), b64decode(second)
                found = cf.verify(receipt, entry=entry, trust=policy)
                assert ledger.entry(found.facts["index"]) == entry
            else:
                decision = ledger.decisions.show("model", int(first))
                assert decision.values["inputs"] == {"column_0": int(second)}
                body = decision.evidence().page()
                assert cf.verify(body, trust=policy).trusted
    assert machine.type("log", "audit", "--ledger", machine.ledger)["size"] >= len(told)


def test_the_drill(bank, writing, tmp_path, monkeypatch):
    """What was acknowledged before the backup is in it; behind its witness, it signs nothing."""
    writer, acknowledged = writing
    wait_for(12, acknowledged, writer)

    # Back up, with the writer stopped for as long as that takes.
    assert bank.type("log", "status", "--ledger", bank.ledger)["writer"] == writer.pid
    writer.send_signal(signal.SIGSTOP)
    before = read(acknowledged)
    backup = tmp_path / "backup"
    shutil.copytree(bank.ledger, backup / "ledger")
    for part in ("keys", "trust", "vault"):
        shutil.copytree(bank.home / part, backup / "home" / part)
    writer.send_signal(signal.SIGCONT)

    # The log goes on, is exported meanwhile, and then the machine is lost.
    wait_for(len(before) + 8, acknowledged, writer)
    site = tmp_path / "site"
    exported = bank.type("log", "export", site, "--ledger", bank.ledger)
    with cf.open(bank.ledger) as ledger:
        assert (
            open_checkpoint((site / "checkpoint").read_bytes(), ledger.key).size
            == (exported["size"])
        )
    assert exported["size"] > len(before)
    writer.kill()
    writer.wait()
    after = read(acknowledged)
    assert len(after) > len(before)

    # Restored elsewhere, with the witness that had its memory on another disk.
    place = Machine(tmp_path / "restored")
    shutil.copytree(backup, place.root)
    shutil.copytree(bank.home / "witness", place.home / "witness")
    place.home.chmod(0o700)
    check_everything(place, before, monkeypatch)
    status = place.type("log", "status", "--ledger", place.ledger, exit_code=10)
    assert status["witness"]["standing"] == "behind"
    place.type("log", "witness", "--ledger", place.ledger, exit_code=10)
    place.type("verify", place.ledger, exit_code=4)
    with cf.open(place.ledger) as ledger, pytest.raises(ConflictError, match="its witness has"):
        ledger.append(b"a second history")
    # Nothing was signed that the log had not signed before: it is behind still, and no fork.
    status = place.type("log", "status", "--ledger", place.ledger, exit_code=10)
    assert status["witness"]["standing"] == "behind"

    # What the machine left on its disk is not behind: there the log goes on, with all of it.
    found = Machine(tmp_path / "found")
    shutil.copytree(bank.root, found.root)
    check_everything(found, after, monkeypatch)
    with cf.open(found.ledger) as ledger:
        ledger.append(b"goes on")  # after what the kill had interrupted
    found.type("log", "witness", "--ledger", found.ledger)
    assert found.type("verify", found.ledger)["trusted"]
