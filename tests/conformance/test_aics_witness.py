"""A witness that we did not write, as a server, asked by a log of ours.

`make peers` makes its environment; it needs Python 3.12 or later.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from hashlib import sha256
from pathlib import Path

import pytest

import counterfoil
from counterfoil.core.cosignature import find_cosignatures
from counterfoil.core.keys import format_vkey, parse_vkey
from counterfoil.core.note import parse_note
from counterfoil.core.quorum import Witness
from counterfoil.ledger.web import Peer

PEER = Path(__file__).resolve().parents[2] / ".venv-aics" / "bin" / "aics-witness"


@pytest.fixture(scope="module", autouse=True)
def peer():
    """Their environment; without it, say loudly that nobody else was asked."""
    if not PEER.exists():
        pytest.skip("AICS-TLOG WAS NOT ASKED: there is no .venv-aics; `make peers` makes it.")


class Theirs:
    """A witness of theirs in a folder, served when asked to."""

    def __init__(self, folder):
        folder.mkdir()
        self.config = folder / "witness.json"
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.run("init", "--name", "aics.example/w1", "--listen", f"127.0.0.1:{self.port}")
        told = json.loads(self.run("status", "--json"))
        vkey = told.get("vkey") or told["witness"]["vkey"]
        self.key = parse_vkey(vkey)
        self.server = None

    def run(self, command, *words):
        line = [str(PEER), command, "--config", str(self.config), *words]
        result = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def serve(self):
        self.server = subprocess.Popen([str(PEER), "serve", "--config", str(self.config)])
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.server.poll() is None
                time.sleep(0.1)
            else:
                return
        raise AssertionError("their witness does not answer")

    def stop(self):
        if self.server is not None:
            self.server.terminate()
            self.server.wait(20)


@pytest.fixture
def theirs(tmp_path):
    """Their witness, with a key, and not served yet."""
    witness = Theirs(tmp_path / "theirs")
    yield witness
    witness.stop()


def test_their_witness_cosigns_our_log(tmp_path, theirs):
    """It counts for our quorum at every size, and shows to monitors what we have published."""
    with counterfoil.init(tmp_path / "ledger") as ledger:
        theirs.run("add-log", "--origin", ledger.origin, "--vkey", format_vkey(ledger.key))
        theirs.serve()
        url = f"http://127.0.0.1:{theirs.port}"
        listed = Witness("aics", theirs.key, "Somebody else", url=url)
        policy = ledger.policy.show()
        ledger.policy.adopt(policy.followed_by(witnesses=(policy.witnesses[0], listed), quorum=2))
        for count in (1, 2, 300):
            ledger.append_many([b"%d of %d" % (number, count) for number in range(count)])
            found = find_cosignatures(parse_note(ledger.checkpoint), (theirs.key,))
            assert [key for key, _ in found] == [theirs.key]
        verdict = counterfoil.verify(ledger.folder, trust=ledger.places.trust)
        assert verdict.grade == "witnessed"
        with contextlib.closing(Peer(url, what="witness", hint="")) as monitor:
            shown = monitor.request(
                "GET",
                f"/{sha256(ledger.origin.encode()).hexdigest()}/checkpoint",
                b"",
                {},
                doing="a checkpoint",
                max_bytes=1 << 16,
            )
        assert parse_note(shown.body).text == parse_note(ledger.checkpoint).text
