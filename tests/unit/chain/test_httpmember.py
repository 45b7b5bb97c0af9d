"""A member of a committee over HTTP: a real server, and one that lies."""

from __future__ import annotations

import http.server
import threading
from dataclasses import replace

import pytest

import counterfoil
from counterfoil.chain.account import LocalAccount
from counterfoil.chain.binding import bind
from counterfoil.chain.here import members_here
from counterfoil.chain.httpmember import HttpMember
from counterfoil.chain.member import check_answer
from counterfoil.chain.request import AnchorRequest, format_request
from counterfoil.core.anchoring import ChainRules, Finality
from counterfoil.errors import UnavailableError, VerificationError
from counterfoil.ledger.localwitness import RememberedError
from counterfoil.ledger.ownwitness import OwnWitness

KEY = b"\7" * 32
LOG_ID, CONTRACT = "ab" * 32, "0x" + "cd" * 20
SERVED = f"""
from counterfoil.chain.account import LocalAccount
from counterfoil.chain.answering import AnchorDesk
from counterfoil.http.witness import witness_app
from counterfoil.ledger.ownwitness import OwnWitness

own = OwnWitness.open("far.example/w")
app = witness_app(own.witness, AnchorDesk(own, LocalAccount({KEY!r})))
"""


class Bank:
    """A ledger whose policy names a member that is asked over HTTP."""

    def __init__(self, ledger, url):
        self.ledger, self.account = ledger, LocalAccount(KEY)
        own = OwnWitness.make("far.example/w")
        own.know(ledger.key)
        self.listed = replace(own.listed("Far", url), anchor=bind(own.signers[0], self.account))
        self.rules = ChainRules(
            1337, CONTRACT, "00" * 32, 0, LOG_ID, 1, ("Bank", "Far"), Finality.IMMEDIATE
        )

    def adopt(self):
        policy = self.ledger.policy.show()
        witnesses = (*policy.witnesses, self.listed)
        self.ledger.policy.adopt(policy.followed_by(witnesses=witnesses, chain=self.rules))

    def request(self, *sizes, chain_id=1337):
        proofs = {size: self.ledger.consistency(size) for size in sizes}
        log = bytes.fromhex(LOG_ID)
        return AnchorRequest(chain_id, CONTRACT, log, 1, self.ledger.checkpoint, proofs)


@pytest.fixture
def ledger(tmp_path):
    with counterfoil.init(tmp_path / "ledger", organisation="Bank") as ledger:
        yield ledger


@pytest.fixture
def far(ledger, serve_asgi):
    OwnWitness.make("far.example/w")
    return Bank(ledger, f"http://127.0.0.1:{serve_asgi(SERVED)}")


@pytest.fixture
def member(far):
    member = HttpMember(far.account.address.lower(), far.listed.url)
    yield member
    member.close()


def test_a_member_signs_over_http(far, member, ledger):
    """What it answers is what the contract checks, and asked again it answers again."""
    far.adopt()
    for _ in range(2):
        request = far.request()
        check_answer(member.sign(request), request)
    ledger.append(b"more")  # its witness cosigns this, and remembers it
    request = far.request()
    check_answer(member.sign(request), request)


def test_a_member_signs_only_where_its_own_policy_says(far, member):
    """Without an adopted policy it signs nothing, and for another chain neither."""
    far.ledger.append(b"x")
    trust = far.ledger.places.trust
    trust.rename(trust.with_name("away"))
    with pytest.raises(VerificationError, match="no trust policy"):
        member.sign(far.request())
    trust.with_name("away").rename(trust)
    far.adopt()
    with pytest.raises(VerificationError, match="another place"):
        member.sign(far.request(chain_id=1))


def test_a_member_that_has_gone_on_says_from_where(far, member, ledger):
    """A request that does not prove from what it remembers is made anew, once."""
    far.adopt()
    seen = ledger.size
    far.listed = replace(far.listed, url="")
    policy = ledger.policy.show()
    quiet = tuple(replace(one, url="") for one in policy.witnesses)
    ledger.policy.adopt(policy.followed_by(witnesses=quiet))
    with pytest.raises(RememberedError) as caught:
        member.sign(far.request())
    assert caught.value.size == seen
    request = far.request(seen)
    check_answer(member.sign(request), request)


def test_members_with_an_address_are_asked_there(far, tmp_path):
    """Unless files are handed around."""
    far.adopt()
    policy, here = far.ledger.policy.show(), LocalAccount(b"\5" * 32)
    with members_here(policy, here) as members:
        assert [type(one).__name__ for one in members] == ["LocalMember", "HttpMember"]
    with members_here(policy, here, tmp_path) as members:
        assert [type(one).__name__ for one in members] == ["LocalMember", "FileMember"]


class Liar(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body, kind = self.server.says
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def liar(ledger):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        server.bank = Bank(ledger, f"http://127.0.0.1:{server.server_address[1]}")
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    "says",
    [
        (200, b"nonsense", "text/plain"),
        (200, b"{}", "text/plain"),
        (200, b"x" * 20_000, "text/plain"),
        (500, b"\x1b[2J", "text/plain"),
        (409, b"2\n", "text/plain"),
        (409, b"0\n", "text/x.tlog.size"),
        (409, b"-1\n", "text/x.tlog.size"),
        (409, b"9" * 10_000, "text/x.tlog.size"),
    ],
)
def test_a_member_that_lies_has_not_answered(liar, says):
    """So others are asked, and what is printed of its words is short and printable."""
    liar.says = says
    liar.bank.ledger.append_many([b"x"] * 5)
    member = HttpMember(liar.bank.account.address.lower(), liar.bank.listed.url)
    with pytest.raises(UnavailableError) as caught:
        member.sign(liar.bank.request())
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()
    member.close()


@pytest.mark.parametrize("size", [b"2\n", b"999999\n"])
def test_a_member_is_believed_once_that_it_remembers_another_size(liar, ledger, size):
    """Else it could have requests made anew for ever, and the others never sign."""
    ledger.append_many([b"x"] * 5)
    member = HttpMember(liar.bank.account.address.lower(), liar.bank.listed.url)
    liar.says = (409, size, "text/x.tlog.size")
    with pytest.raises(RememberedError):
        member.sign(liar.bank.request())
    liar.says = (409, b"3\n", "text/x.tlog.size")
    with pytest.raises(UnavailableError, match="remembers 3"):
        member.sign(liar.bank.request(2))
    member.close()


def test_a_witness_without_an_account_signs_no_anchors(ledger, serve_asgi):
    """The address is not even there."""
    OwnWitness.make("w")
    port = serve_asgi("from counterfoil.http.witness import own_app\napp = own_app()\n")
    bank = Bank(ledger, f"http://127.0.0.1:{port}")
    member = HttpMember(bank.account.address.lower(), bank.listed.url)
    with pytest.raises(UnavailableError, match="404"):
        member.sign(bank.request())
    member.close()
    assert format_request(bank.request())
