"""HTTP to servers that misbehave: every request ends, in time and within bounds."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time

import pytest

from counterfoil.errors import FormatError, UnavailableError
from counterfoil.ledger import web
from counterfoil.ledger.waits import waited_for
from counterfoil.ledger.web import Peer
from counterfoil.remote.client import Client


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.heard.append((self.client_address, self.path))
        self.send_response(302 if self.path.endswith("away") else 200)
        self.send_header("Location", "http://127.0.0.1:9/")
        body = b"x" * 100
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path.endswith("hangup"):
            self.close_connection = True  # and does not say so

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.heard = []
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def peer(server):
    peer = Peer(f"http://127.0.0.1:{server.server_address[1]}/base/", within_s=2)
    yield peer
    peer.close()


def test_connections_are_used_again(server, peer):
    """Two requests, one connection; the path of the address comes before that of the request."""
    for _ in range(2):
        assert peer.request("GET", "/tile/0/000", doing="a tile").body == b"x" * 100
    assert {path for _, path in server.heard} == {"/base/tile/0/000"}
    assert len({client for client, _ in server.heard}) == 1


def test_a_connection_closed_meanwhile_is_no_failure(server, peer):
    """What a server closed between two requests is opened again, once."""
    for _ in range(3):
        assert peer.request("GET", "/hangup", doing="a tile").status == 200
    assert len(server.heard) == 3


def test_redirects_are_answers(peer):
    """Nobody is sent elsewhere."""
    assert peer.request("GET", "/away", doing="a tile").status == 302


def test_a_long_answer_is_refused(peer):
    """The bound is on what is read, whatever the server says of it."""
    assert peer.request("GET", doing="a tile", max_bytes=100).body
    with pytest.raises(UnavailableError, match=r"a tile from .* more than 99 bytes"):
        peer.request("GET", doing="a tile", max_bytes=99)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_a_server_that_drips_is_cut_off(head):
    """One deadline for all of it, also where each byte is in time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(head)
                try:
                    while True:
                        connection.sendall(b"H")
                        time.sleep(0.05)
                except OSError:
                    return

        threading.Thread(target=drip, daemon=True).start()
        peer = Peer(f"http://127.0.0.1:{listener.getsockname()[1]}", within_s=0.5)
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"no answer within 0\.5 s"):
            peer.request("GET", doing="a tile")
        assert time.monotonic() - began < 2


def test_a_host_that_swallows_packets_is_given_up_soon(monkeypatch):
    """A connection has a deadline of its own, and meanwhile it is known who is waited for."""
    monkeypatch.setattr(web, "CONNECT_WITHIN_S", 0.8)
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(3):  # from then on, it takes no more
            full = held.enter_context(socket.socket())
            full.setblocking(False)
            full.connect_ex(address)
        name = f"http://127.0.0.1:{address[1]}"
        seen = []
        looking = threading.Timer(0.5, lambda: seen.append(waited_for(0.3)))
        looking.start()
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"no connection within 0\.8 s") as raised:
            Peer(name).request("GET", doing="a tile")
        with pytest.raises(UnavailableError, match="no connection within"):
            Client(name).get("checkpoint", 100)
        assert time.monotonic() - began < 5
        assert seen == [{name}]
        assert waited_for(0.0) == set()
        assert isinstance(raised.value.__cause__, TimeoutError)


@pytest.mark.parametrize(
    "url", ["ftp://a", "http://", "http://u@h/", "http://h/#f", "http://h:x/", "http://ä/", "h"]
)
def test_what_is_no_address_is_refused(url):
    """Before anything is sent."""
    with pytest.raises(FormatError, match="address"):
        Peer(url)
