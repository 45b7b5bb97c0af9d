"""A server, and a witness of the policy that answers or does not."""

from __future__ import annotations

import asyncio
import http.server
import logging
import threading
import time

import pytest

import counterfoil as cf
from counterfoil.cluster import leader
from counterfoil.http import make_settings, service
from counterfoil.ledger import OwnWitness

from .conftest import SOON_S, make_place

EVERYWHERE = pytest.mark.parametrize("place", ["folder", "postgres"], indirect=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = self.rfile.read(int(self.headers["Content-Length"]))
        status, body = 503, b"gone to lunch"
        if not self.server.is_silent:
            status, body = self.server.own.witness.add_checkpoint(request)
        self.send_response(status)
        self.send_header("Content-Type", "text/x.tlog.size" if status == 409 else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def place(request, tmp_path):
    """A ledger in a folder, or on PostgreSQL."""
    if getattr(request, "param", "folder") == "folder":
        yield make_place(tmp_path)
        return
    server = request.getfixturevalue("postgres")
    yield make_place(tmp_path, f"{server.url}?tiles=file://{tmp_path}/tiles&schema=silence")
    server.run("DROP SCHEMA silence CASCADE")


@pytest.fixture
def witness(place, monkeypatch):
    """A witness of somebody else, named by the ledger's policy; `demand` sets the quorum."""
    monkeypatch.setenv("COUNTERFOIL_HOME", str(place.home))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.own, server.is_silent = OwnWitness.make("ada.example/w"), False
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def demand(quorum):
        with cf.open(place.folder) as ledger:
            server.own.know(ledger.key)
            listed = server.own.listed("Ada", f"http://127.0.0.1:{server.server_address[1]}")
            policy = ledger.policy.show()
            every = (*policy.witnesses, listed)
            ledger.policy.adopt(policy.followed_by(witnesses=every, quorum=quorum))

    server.demand = demand
    yield server
    server.shutdown()
    server.server_close()


def wait_for(condition):
    until = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_server_begins_while_the_quorum_is_lacking(place, witness, serve):
    """It serves reading, says that it takes nothing yet, and takes it once the quorum is met."""
    witness.demand(2)
    witness.is_silent = True
    with cf.open(place.folder) as ledger:
        size = ledger.size
        with pytest.raises(cf.UnavailableError, match="not published"):
            ledger.append(b"durable")
    served = serve("--public-read", readyz=503)
    assert served.ask("GET", "/readyz").json["writer"] == "not now"
    assert f"\n{size}\n".encode() in served.ask("GET", "/checkpoint").body
    refused = served.post(served.envelope("x"))
    assert (refused.status, "retry-after" in refused.headers) == (503, True)
    witness.is_silent = False
    # Nobody asks how it is, and nobody sends anything: it goes on trying by itself.
    wait_for(lambda: f"\n{size + 1}\n".encode() in served.ask("GET", "/checkpoint").body)
    assert served.post(served.envelope("x")).status == 200
    assert served.ask("GET", "/readyz").json["writer"] == "ok"
    served.stop()
    with place.open() as ledger:
        assert ledger.size == size + 2


@EVERYWHERE
def test_a_silent_witness_is_a_line_of_the_log(witness, serve):
    """What an operator reads is a sentence of ours, not a warning with a place in a program."""
    witness.demand(0)
    witness.is_silent = True
    served = serve("--public-read")
    assert served.post(served.envelope("x")).status == 200

    def said():
        return [one for one in served.logs() if "has not cosigned" in one["message"]]

    wait_for(said)
    served.stop()
    (line,) = said()
    assert (line["logger"], line["level"]) == ("counterfoil.http", "warning")
    assert line["message"].startswith("the witness ada.example/w has not cosigned")


@EVERYWHERE
def test_an_idle_server_asks_a_silent_witness_again(place, witness, monkeypatch, caplog):
    """The line comes under what was published, although nothing is appended any more."""
    caplog.set_level(logging.INFO, "counterfoil.http")
    monkeypatch.setattr(service, "ASK_AGAIN_S", 0.1)
    monkeypatch.setattr(leader, "ASK_AGAIN_S", 0.1)
    monkeypatch.setattr(service, "_TEND_S", 0.05)
    witness.demand(0)
    witness.is_silent = True
    with cf.open(place.folder) as ledger, pytest.warns(UserWarning, match="has not cosigned"):
        ledger.append(b"published")

    async def idle(opened):
        await opened.open()
        try:
            until = time.monotonic() + SOON_S
            while "has not cosigned" not in caplog.text:
                assert time.monotonic() < until
                await asyncio.sleep(0.02)
            witness.is_silent = False
            while b"ada.example/w" not in opened.log.checkpoint:
                assert time.monotonic() < until
                await asyncio.sleep(0.02)
            while "ada.example/w is not silent any more" not in caplog.text:
                assert time.monotonic() < until
                await asyncio.sleep(0.02)
        finally:
            await opened.close()

    settings = make_settings(str(place.folder), listen="127.0.0.1:8080")
    asyncio.run(idle(service.Service(settings, cf.open(place.folder))))
