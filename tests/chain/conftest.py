"""A real anvil, unprotected, and a real HTTP server before it that lies as a test tells it to."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import threading
import time

import pytest

from counterfoil.chain.account import LocalAccount
from counterfoil.chain.node import connect
from counterfoil.chain.outbox import Outbox
from counterfoil.chain.profile import ChainProfile
from counterfoil.chain.rpc import Rpc
from counterfoil.core.anchoring import Finality
from counterfoil.errors import UnavailableError

CHAIN_ID = 31337
# The first account of anvil's well-known mnemonic, which has 10,000 ether there and nowhere else.
KNOWN_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")


class Node:
    """An anvil with all its methods, that can be killed and started again with its state."""

    def __init__(self, program, folder, *arguments):
        self.command = [program, "--silent", "--chain-id", str(CHAIN_ID), *map(str, arguments)]
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.rpc = Rpc(self.url)
        self.start()

    def start(self, *arguments):
        self.process = subprocess.Popen(
            [*self.command, "--port", str(self.port), *arguments],
            cwd=self.folder,
            env={"HOME": str(self.folder)},
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                return self("eth_chainId")
            except UnavailableError:
                assert self.process.poll() is None, "anvil ended"
                assert time.monotonic() < deadline, "anvil does not answer"
                time.sleep(0.02)

    def __call__(self, method, *params):
        return self.rpc.call(method, *params)

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start_node(anvil, tmp_path):
    """Starts an anvil with these arguments."""
    nodes = []

    def start(*arguments):
        nodes.append(Node(anvil, tmp_path, *arguments))
        return nodes[-1]

    yield start
    for node in nodes:
        node.kill()


@pytest.fixture
def node(start_node):
    """An anvil that makes a block of every transaction at once."""
    return start_node()


@pytest.fixture
def account():
    """An account that has money on an anvil."""
    return LocalAccount(KNOWN_KEY)


def make_profile(rule="immediate", confirmations=0, **more):
    """What a test believes about a chain; it looks often."""
    return ChainProfile(
        "test", CHAIN_ID, Finality(rule), confirmations, **({"poll_s": 0.02} | more)
    )


@pytest.fixture
def profile():
    """Makes a profile."""
    return make_profile


@pytest.fixture
def open_outbox(account):
    """Opens the account's outbox at an address."""
    opened = []

    def open_outbox(url, profile=None, **more):
        chain = connect(url, profile or make_profile(), answer_within_s=5)
        opened.append(Outbox(chain, account, **more))
        return opened[-1]

    yield open_outbox
    for outbox in opened:
        outbox.close()


class Liar(http.server.ThreadingHTTPServer):
    """Passes requests on to a node, and changes answers as `lie(method, params, answer)` says.

    A lie is the whole answer as an object, or bytes for the whole body, or None for no answer.
    """

    daemon_threads = True

    def __init__(self, rpc):
        self.rpc = rpc
        self.lie = lambda _method, _params, answer: answer
        self.heard = []
        super().__init__(("127.0.0.1", 0), Reply)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # the test hears of it from the other side


class Reply(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = json.loads(body)
        self.server.heard.append((asked["method"], asked["params"]))
        _, answer = self.server.rpc.post(body, "passing on")
        told = self.server.lie(asked["method"], asked["params"], json.loads(answer))
        if told is None:
            self.connection.close()
            return
        data = told if isinstance(told, bytes) else json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def liar(node):
    """A server before the node, honest until a test gives it a lie."""
    server = Liar(node.rpc)
    yield server
    server.shutdown()
    server.server_close()
