"""A real anvil, unprotected, and a real HTTP server before it that lies as a test tells it to."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import threading
import time
from dataclasses import replace

import pytest

import counterfoil as cf
from counterfoil.chain.account import LocalAccount
from counterfoil.chain.anchor import CheckpointAnchor
from counterfoil.chain.anchoring import Anchoring
from counterfoil.chain.binding import bind
from counterfoil.chain.contracts import deploy
from counterfoil.chain.join import rules_for
from counterfoil.chain.member import LocalMember
from counterfoil.chain.node import connect
from counterfoil.chain.outbox import Outbox
from counterfoil.chain.profile import ChainProfile
from counterfoil.chain.rpc import Rpc
from counterfoil.core.anchoring import Finality
from counterfoil.core.keys import Algorithm
from counterfoil.core.quorum import Witness
from counterfoil.errors import UnavailableError
from counterfoil.ledger.keyfiles import generate_key, save_key
from counterfoil.ledger.localwitness import format_add_checkpoint, read_reply
from counterfoil.ledger.witness import Witness as WitnessFolder

CHAIN_ID = 4711  # not that of development chains, on which no anchor lifts a verdict
# The first account of anvil's well-known mnemonic, which has 10,000 ether there and nowhere else.
KNOWN_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")


class Node:
    """An anvil with all its methods, that can be killed and started again with its state."""

    def __init__(self, program, folder, *arguments):
        chain = [] if "--chain-id" in arguments else ["--chain-id", str(CHAIN_ID)]
        self.command = [program, "--silent", *chain, *map(str, arguments)]
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
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

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


NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")


class InProcess:
    """A witness asked without a pipe: its check and its memory are the real ones."""

    def __init__(self, folder, key, clock):
        self.folder = folder
        self._witness = WitnessFolder(folder, key, clock=clock)

    def add_checkpoint(self, old_size, proof, checkpoint):
        request = format_add_checkpoint(old_size, proof, checkpoint)
        return read_reply(*self._witness.add_checkpoint(request))


class Consortium:
    """A ledger with a policy that five organisations are members of, three of whom sign."""

    def __init__(self, folder, outbox, threshold=3, names=NAMES, operators=("Bank", "Others")):
        self.outbox = outbox
        self.ledger = cf.init(folder / "ledger", organisation="Bank")
        self.accounts = {name: LocalAccount(name.encode().ljust(32, b"\1")) for name in names}
        self.clients, witnesses = {}, []
        for name in names:
            key = generate_key(f"{name}.example", Algorithm.COSIGNATURE_ED25519)
            place = folder / "members" / name
            save_key(place / "key.pem", key)
            WitnessFolder(place, key, clock=self.ledger.clock).know(self.ledger.key)
            self.clients[name] = InProcess(place, key, self.ledger.clock)
            anchor = bind(key, self.accounts[name])
            witnesses.append(Witness(name, key.key, name, anchor))
        old = self.ledger.policy.show()
        drafted = replace(old, witnesses=(*old.witnesses, *witnesses))
        contract = CheckpointAnchor.open(outbox.chain, deploy(outbox, "CheckpointAnchor").address)
        rules = rules_for(drafted, outbox.chain, contract, threshold=threshold, operators=operators)
        self.ledger.policy.adopt(old.followed_by(witnesses=drafted.witnesses, chain=rules))
        self.policy = self.ledger.policy.show()

    def member(self, name):
        return LocalMember(self.policy, self.clients[name], self.accounts[name])

    def anchoring(self, *names, others=()):
        members = [self.member(name) for name in names or NAMES]
        return Anchoring(self.ledger, self.outbox, [*members, *others])

    def sent(self):
        """How many transactions the account that pays has in blocks."""
        return self.outbox.chain.nonce(self.outbox.account.address)

    def stated(self):
        return [found.statement.predicate["size"] for found in self.ledger.find(predicate="anchor")]

    def grow(self, count=1):
        self.ledger.append_many([b"entry"] * count)

    def close(self):
        self.ledger.close()


@pytest.fixture
def consortium(node, open_outbox, tmp_path):
    """Makes a consortium on the node."""
    made = []

    def make(profile=None, **more):
        made.append(Consortium(tmp_path, open_outbox(node.url, profile), **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def bank(consortium):
    """A consortium of five, of whom three sign."""
    return consortium()
