"""Members of a committee as server processes of their own, on a real chain: honest and not."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import threading
import time
from dataclasses import replace
from functools import partial

import pytest

import counterfoil as cf
from counterfoil.chain import account as accounts
from counterfoil.chain.account import LocalAccount, RemoteAccount, account_path, create_account
from counterfoil.chain.anchor import CheckpointAnchor
from counterfoil.chain.anchoring import Anchoring
from counterfoil.chain.contracts import deploy
from counterfoil.chain.here import members_here
from counterfoil.chain.httpmember import HttpMember
from counterfoil.chain.join import rules_for, with_anchor
from counterfoil.chain.request import format_answer, parse_answer
from counterfoil.chain.rpc import Rpc
from counterfoil.chain.served import agree, seat_witness
from counterfoil.errors import UnavailableError
from counterfoil.ledger.keyfiles import load_key
from counterfoil.ledger.ownwitness import OwnWitness

SENTENCE = "a long sentence"
HELD_BY_ANVIL = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"  # its fourth well-known account
SERVED = """
import os, signal
from pathlib import Path
import counterfoil.chain.answering as answering
from counterfoil.http.witness import own_app

answer = answering.AnchorDesk.answer

def dying(desk, data):
    said = answer(desk, data)
    if Path({die!r}).exists():  # it remembers, and has signed; nobody was told
        os.kill(os.getpid(), signal.SIGKILL)
    return said

answering.AnchorDesk.answer = dying
app = own_app()
"""


@pytest.fixture(autouse=True)
def cheap_keys(monkeypatch):
    """Key files that cost little, and whose passphrase is known."""
    monkeypatch.setattr(accounts, "_SCRYPT_N", 2)
    monkeypatch.setenv("COUNTERFOIL_PASSPHRASE", SENTENCE)


@contextlib.contextmanager
def at(home):
    """Do something on another machine: one with a home of its own."""
    before = os.environ["COUNTERFOIL_HOME"]
    os.environ["COUNTERFOIL_HOME"] = str(home)
    try:
        yield
    finally:
        os.environ["COUNTERFOIL_HOME"] = before


class Front(http.server.ThreadingHTTPServer):
    """Stands before a member's server, and changes answers to /sign-anchor as `lie` says."""

    daemon_threads = True

    def __init__(self, port):
        self.port, self.lie, self.asked = port, None, 0
        super().__init__(("127.0.0.1", 0), Passing)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # the test hears of it from the other side


class Passing(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        behind = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        behind.request("POST", self.path, body, {"Content-Type": "application/json"})
        reply = behind.getresponse()
        status, kind, said = reply.status, reply.headers["Content-Type"], reply.read()
        behind.close()
        if self.path == "/sign-anchor":
            self.server.asked += 1
            if self.server.lie is not None:
                status, kind, said = self.server.lie(status, kind, said)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *args):
        pass


class Far:
    """A member on a machine of its own."""

    def __init__(self, folder, name, log_key, serve_asgi, signer=""):
        self.home, self.name, self.serve = folder / name, name, serve_asgi
        self.die = folder / f"{name}.die"
        with at(self.home):
            if signer:
                account = RemoteAccount(Rpc(signer), HELD_BY_ANVIL)
            else:
                account = create_account(
                    account_path(name), SENTENCE, lambda count: name.encode().ljust(count, b"\2")
                )
            own = OwnWitness.make(f"{name}.example/witness")
            own.know(log_key)
            seat_witness(own, account, name=name, signer=signer)
            self.address = account.address.lower()
            self.front = Front(serve_asgi(SERVED.format(die=str(self.die))))
            url = f"http://127.0.0.1:{self.front.server_address[1]}"
            self.listed = replace(own.listed(name, url), name=name)

    def restart(self):
        with at(self.home):
            self.front.port = self.serve(SERVED.format(die=str(self.die)))

    def agree(self, policy):
        with at(self.home):
            agree(policy)

    def close(self):
        self.front.shutdown()
        self.front.server_close()


class Bank:
    """A ledger with three members, two of whom sign; two are asked over HTTP."""

    def __init__(self, folder, outbox, serve_asgi):
        self.outbox = outbox
        self.ledger = cf.init(folder / "ledger", organisation="Bank")
        # The one has its key in a file, the other with a signer.
        self.far = [
            Far(folder, "ada", self.ledger.key, serve_asgi),
            Far(folder, "bob", self.ledger.key, serve_asgi, outbox.chain.rpc.url),
        ]
        policy = self.ledger.policy.show()
        drafted = replace(policy, witnesses=(*policy.witnesses, *(one.listed for one in self.far)))
        local = load_key(self.ledger.places.witness / "key.pem")
        self.account = LocalAccount(b"\5" * 32)
        drafted = with_anchor(drafted, local, self.account)
        contract = CheckpointAnchor.open(outbox.chain, deploy(outbox, "CheckpointAnchor").address)
        rules = rules_for(
            drafted, outbox.chain, contract, threshold=2, operators=("Bank", "Others")
        )
        self.ledger.policy.adopt(policy.followed_by(witnesses=drafted.witnesses, chain=rules))
        self.policy = self.ledger.policy.show()
        assert self.far[0].address < self.far[1].address  # ada is asked before bob
        for one in self.far:
            one.agree(self.policy)

    def anchor(self, *, local=True):
        """Anchor with the members in the policy, or with those elsewhere alone."""
        with members_here(self.policy, self.account) as members:
            asked = members if local else members[1:]
            return Anchoring(self.ledger, self.outbox, asked).run()

    def stated(self):
        return [found.statement.predicate["size"] for found in self.ledger.find(predicate="anchor")]


@pytest.fixture
def bank(tmp_path, node, open_outbox, serve_asgi):
    """Such a ledger, with real servers and a real chain."""
    bank = Bank(tmp_path, open_outbox(node.url), serve_asgi)
    yield bank
    for one in bank.far:
        one.close()
    bank.ledger.close()


def test_a_quorum_signs_over_http_and_the_anchor_becomes_final(bank):
    """With two servers elsewhere and nobody here, the contract gets the log's root."""
    for _ in range(2):
        bank.ledger.append(b"news")
        size, root = bank.ledger.size, bank.ledger.root
        bank.anchor(local=False)
        contract = CheckpointAnchor.open(bank.outbox.chain, bank.policy.chain.contract)
        assert contract.root_at(bytes.fromhex(bank.policy.chain.log), size) == root
        assert bank.stated()[-1] == size
    assert bank.anchor(local=False) == []


def test_a_request_that_waited_is_made_anew_where_members_have_gone_on(bank):
    """As witnesses they cosign what the log publishes meanwhile, and never go back behind that."""
    for one in bank.far:
        one.front.lie = lambda *_: (503, "text/plain", b"not now")
    with pytest.raises(UnavailableError, match="1 of the 2 members"):
        bank.anchor()
    bank.ledger.append_many([b"x"] * 7)
    for one in bank.far:
        one.front.lie = None
    newest = bank.ledger.size
    bank.anchor(local=False)
    assert bank.stated() == [newest]


def other_root(status, kind, said):
    """Its own signature, said to be for another root."""
    return status, kind, format_answer(replace(parse_answer(said), root=b"\1" * 32))


def false_signature(status, kind, said):
    answer = parse_answer(said)
    lie = LocalAccount(b"\7" * 32).sign_text("something else")
    return status, kind, format_answer(replace(answer, signature=lie))


def somebody_else(status, kind, said):
    return status, kind, format_answer(replace(parse_answer(said), address="0x" + "11" * 20))


LIES = {
    "other root": other_root,
    "false signature": false_signature,
    "somebody else": somebody_else,
    "nonsense": lambda *_: (200, "application/json", b"{}"),
    "remembers less": lambda *_: (409, "text/x.tlog.size", b"1\n"),
    "remembers more": lambda *_: (409, "text/x.tlog.size", b"4000000\n"),
    "refuses": lambda *_: (403, "text/plain", b"no"),
    "broken": lambda *_: (500, "text/plain", b"oh"),
}


def test_a_member_that_lies_counts_for_nobody_and_stops_nobody(bank):
    """Whatever it says: alone with it nothing is anchored, and with one honest member it is."""
    liar, honest = bank.far
    for lie in LIES.values():
        liar.front.lie = lie
        bank.ledger.append(b"news")
        honest.front.lie = LIES["broken"]
        with pytest.raises(UnavailableError, match="1 of the 2 members"):
            bank.anchor()
        honest.front.lie = None
        bank.anchor()
    assert len(bank.stated()) == len(LIES)
    assert liar.front.asked >= len(LIES)


def test_a_member_that_is_slow_or_gone_keeps_no_quorum_from_signing(bank, monkeypatch):
    """It costs one bounded wait; without it two others are enough."""
    hasty = partial(HttpMember, within_s=1.0)
    monkeypatch.setattr("counterfoil.chain.here.HttpMember", hasty)
    slow, _ = bank.far
    is_over = threading.Event()

    def wait(*said):
        is_over.wait(30)
        return said

    slow.front.lie = wait
    bank.ledger.append(b"news")
    begun = time.monotonic()
    bank.anchor()
    assert time.monotonic() - begun < 10
    is_over.set()
    slow.close()
    with pytest.warns(UserWarning, match="ada has not cosigned"):
        bank.ledger.append(b"more news")
    bank.anchor()
    assert slow.front.asked == 1
    assert len(bank.stated()) == 2


def test_a_member_killed_before_it_replied_signs_when_asked_again(bank):
    """It remembers what it signed, so it signs that again, and the quorum is counted once."""
    dying, other = bank.far
    other.front.lie = LIES["broken"]
    bank.ledger.append(b"news")
    dying.die.touch()
    with pytest.raises(UnavailableError, match="1 of the 2 members"):
        bank.anchor()
    dying.die.unlink()
    dying.restart()
    sent = bank.outbox.chain.nonce(bank.outbox.account.address)
    bank.anchor()
    assert bank.outbox.chain.nonce(bank.outbox.account.address) == sent + 1
    assert len(bank.stated()) == 1
