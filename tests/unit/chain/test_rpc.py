"""One request to a node: a deadline, a bound, and one kind of error."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from counterfoil.chain.rpc import NodeError, Rpc
from counterfoil.errors import FormatError, UnavailableError

GOOD = b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'


@pytest.fixture
def serve():
    """A server that reads a request and does with the connection what a test wants."""
    listeners = []

    def serve(act):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(65536)
                        act(connection)

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/key-of-mine"

    yield serve
    for listener in listeners:
        listener.close()


def reply(body, status="200 OK", extra=""):
    """Sends a whole answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return lambda connection: connection.sendall(head.encode() + body)


def drip(connection):
    """Sends a byte now and then, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


def drip_headers(connection):
    """The same before there is an answer at all."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def pour(connection):
    """Sends without an end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


def test_a_result_is_given_as_it_came(serve):
    """What the node gives for the request is what the caller gets."""
    assert Rpc(serve(reply(GOOD))).call("eth_chainId") == "0x1"


@pytest.mark.parametrize("act", [drip, drip_headers, lambda _: time.sleep(5)])
def test_no_answer_takes_longer_than_the_deadline(act, serve):
    """A node that stalls, or drips, costs the deadline and no more."""
    rpc = Rpc(serve(act), answer_within_s=0.3)
    started = time.monotonic()
    with pytest.raises(UnavailableError, match=r"no answer within 0\.3 s"):
        rpc.call("eth_chainId")
    assert time.monotonic() - started < 2


def test_no_answer_is_read_beyond_its_bound(serve):
    """A node that does not stop sending is left."""
    with pytest.raises(UnavailableError, match="more than 1000 bytes"):
        Rpc(serve(pour), max_answer_bytes=1000).call("eth_chainId")


BROKEN = {
    "closed": lambda _: None,
    "no HTTP": lambda connection: connection.sendall(b"hello\r\n\r\n"),
    "cut short": lambda connection: connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"
    ),
    "bad chunk": lambda connection: connection.sendall(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    ),
    "negative length": lambda connection: connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"
    ),
    "endless headers": lambda connection: connection.sendall(
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000
    ),
    "a redirect": reply(b"", "302 Found", "Location: http://127.0.0.1:1/\r\n"),
    "too many requests": reply(b"slow down", "429 Too Many Requests"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_answer_is_an_outage(what, serve):
    """Whatever a connection does, the error is an UnavailableError that names the host alone."""
    with pytest.raises(UnavailableError) as caught:
        Rpc(serve(BROKEN[what])).call("eth_chainId")
    assert "eth_chainId from http://127.0.0.1:" in str(caught.value)
    assert "key-of-mine" not in str(caught.value)


def test_a_refusal_carries_the_nodes_words(serve):
    """What a node says when it refuses is there for whoever has to decide, and bounded."""
    body = (
        b'{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"no\\n'
        + b"o" * 9999
        + b'","data":"0x01"}}'
    )
    with pytest.raises(NodeError) as caught:
        Rpc(serve(reply(body, "400 Bad Request"))).call("eth_call")
    error = caught.value
    assert (error.code, error.data) == (3, "0x01")
    assert error.reason.startswith("no o")
    assert len(str(error)) < 500


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8545",
        "file:///etc/passwd",
        "ws://localhost",
        "http://",
        "http://user:secret@host/",
        "http://host:99999/",
        "http://ho st/",
        "http://host/\r\nX: y",
        "http://host/#part",
        "http://host/" + "x" * 3000,
    ],
)
def test_an_address_that_is_none_is_refused(url):
    """Only http and https addresses of a host are taken, without a user's password in them."""
    with pytest.raises(FormatError) as caught:
        Rpc(url)
    assert "secret" not in str(caught.value)


def test_nobody_at_home_is_an_outage():
    """An address at which nothing listens is an UnavailableError."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(UnavailableError, match="refused"):
        Rpc(f"http://127.0.0.1:{port}").call("eth_chainId")
