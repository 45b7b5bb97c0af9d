"""Appending to a ledger elsewhere: every receipt is proven, and asking again is safe."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest

import counterfoil
from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.envelope import format_envelope
from counterfoil.core.merkle import leaf_hash, root_of
from counterfoil.core.receipt import Receipt, check_receipt, format_receipt
from counterfoil.core.statement import Subject
from counterfoil.errors import (
    ConflictError,
    FormatError,
    ProofError,
    RefusedError,
    UnavailableError,
    VerificationError,
)
from counterfoil.front import Ledger
from counterfoil.ledger.blobs import shorten
from counterfoil.ledger.export import export_site
from counterfoil.ledger.keyfiles import load_key
from counterfoil.remote import writer
from counterfoil.remote.engine import Remote

pytestmark = pytest.mark.usefixtures("reader")
SUBJECT = [Subject("thing", {"sha256": "ab" * 32})]
BODY = {"reason": "withdrawn"}


class Taking:
    """A server that takes entries: each once, by its digest, as the format says."""

    def __init__(self, ledger):
        self.ledger, self.known, self.posts, self.before, self.change = ledger, {}, [], None, None
        self.lock = threading.Lock()
        self.lost = 0  # replies that never arrive, though the entries are in

    def __call__(self, site, asked):
        *_, headers, body = asked
        with self.lock:
            return self.take(site, headers, body)

    def take(self, site, headers, body):
        self.posts.append((headers, body))
        if self.before is not None and (refused := self.before(self)) is not None:
            return refused
        lines = [body] if headers["Content-Type"] == "application/json" else body.splitlines()
        for data in lines:
            entry = shorten(data, self.ledger.engine.blobs)
            if entry not in self.known:
                self.known[entry] = self.ledger.append(entry).index
            if len(data) != len(entry):
                blob = site.folder / "blobs" / sha256(data).hexdigest()
                blob.parent.mkdir(exist_ok=True)
                blob.write_bytes(data)
        export_site(self.ledger, site.folder)
        if self.lost:
            self.lost -= 1
            return None
        entries = []
        for data in lines:
            entry = shorten(data, self.ledger.engine.blobs)
            receipt = self.ledger.receipt(self.known[entry])
            reply = {
                "index": receipt.index,
                "digest": sha256(entry).hexdigest(),
                "receipt": format_receipt(receipt).decode(),
            }
            entries.append(self.change(reply) if self.change is not None else reply)
        return 200, {"Content-Type": "application/json"}, json.dumps({"entries": entries}).encode()


@pytest.fixture
def taking(local, site):
    server = Taking(local)
    site.lies["entries"] = server
    return server


@pytest.fixture
def remote(site, policy, taking, reader):  # noqa: ARG001 the server's and the reader's side
    engine = Remote(site.url, trust=policy, append_within_s=5, settle_within_s=0)
    with Ledger(engine.folder, engine=engine) as ledger:
        ledger.add_principal("operator")
        yield ledger


def test_what_is_attested_is_in_the_log(remote, local):
    """The receipt is of the entry that was sent, and both sides see the same tree."""
    said = remote.attest(SUBJECT, "revocation", BODY)
    check_receipt(remote.entry(said.index), said.receipt, local.key)
    assert (remote.size, remote.root) == (local.size, local.root)
    assert local.envelope(said.index) == said.envelope
    assert [found.index for found in remote.find(predicate="revocation")] == [said.index]


def test_appending_costs_one_request(remote, site):
    """Who alone appends needs no tile: what was sent leads to the new root."""
    remote.attest(SUBJECT, "revocation", BODY)
    del site.heard[:]
    for number in range(3):
        remote.attest(SUBJECT, "revocation", {"reason": f"reason {number}"})
    assert site.paths() == ["entries"] * 3


def test_many_are_sent_together_and_found_again(remote, local, taking):
    """Many envelopes are one request; sending them again changes nothing."""
    envelopes = [remote.sign(SUBJECT, "revocation", {"reason": str(n)}) for n in range(20)]
    data = [format_envelope(one) for one in envelopes]
    receipts = remote.append_many(data)
    size = local.size
    assert [receipt.index for receipt in receipts] == list(range(size - 20, size))
    assert [receipt.index for receipt in remote.append_many(data)] == list(range(size - 20, size))
    assert local.size == size
    assert [headers["Content-Type"] for headers, _ in taking.posts] == ["application/x-ndjson"] * 2
    for entry, receipt in zip(data, receipts, strict=True):
        check_receipt(entry, receipt, local.key)


def test_more_than_one_request_takes_go_in_several(remote, local, taking, monkeypatch):
    """The order stays."""
    monkeypatch.setattr(writer, "MAX_POST_ENTRIES", 8)
    envelopes = [remote.sign(SUBJECT, "revocation", {"reason": str(n)}) for n in range(20)]
    data = [format_envelope(one) for one in envelopes]
    start = local.size
    assert [one.index for one in remote.append_many(data)] == list(range(start, start + 20))
    assert len(taking.posts) == 3


def test_others_may_append_in_between(remote, local):
    """A receipt under a tree that others extended, too, is proven by the tree."""
    remote.attest(SUBJECT, "revocation", BODY)
    local.append_many([b"somebody else's %d" % number for number in range(300)])
    said = remote.attest(SUBJECT, "revocation", {"reason": "another"})
    assert said.index == local.size - 1
    assert remote.root == local.root


def test_several_threads_append(remote, local):
    """Each gets the receipt of its own entry, and nobody is shown a smaller tree than before."""
    envelopes = [remote.sign(SUBJECT, "revocation", {"reason": str(n)}) for n in range(24)]
    sizes = []

    def work(envelope):
        said = remote.append_envelope(envelope)
        sizes.append(remote.size)
        check_receipt(format_envelope(envelope), said.receipt, local.key)
        return said.index

    with ThreadPoolExecutor(6) as pool:
        indices = list(pool.map(work, envelopes))
    assert len(set(indices)) == 24
    assert (remote.size, remote.root) == (local.size, local.root)
    assert remote.size == max(sizes)


def test_large_statements_are_sent_whole(remote, local, site):
    """The entry is the reference that both sides make; the bytes are read by their digest."""
    said = remote.attest(SUBJECT, "revocation", {"reason": "x" * 40_000})
    assert local.entry(said.index).startswith(b'{"counterfoil":"blob/v1"')
    assert local.envelope(said.index) == said.envelope
    assert remote.envelope(said.index) == said.envelope
    (blob,) = (site.folder / "blobs").iterdir()
    engine = Remote(site.url)
    with Ledger(engine.folder, engine=engine) as again:
        assert again.envelope(said.index) == said.envelope
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    engine = Remote(site.url)
    with Ledger(engine.folder, engine=engine) as again, pytest.raises(VerificationError):
        again.envelope(said.index)


def test_only_envelopes_are_sent(remote, taking):
    """What is no envelope never leaves this machine, and nothing of its call does."""
    data = format_envelope(remote.sign(SUBJECT, "revocation", BODY))
    with pytest.raises(FormatError, match="entry 1 of this call is no envelope"):
        remote.append_many([data, b"plain bytes"])
    assert not taking.posts


def test_requests_are_signed_by_a_principal_of_the_policy(site, policy, taking, tmp_path):
    """A key that the policy names signs what is appended; others sign nothing."""
    pytest.importorskip("http_message_signatures")
    with counterfoil.open(site.url, trust=policy) as remote:
        keys = remote.places.keys
        keys.mkdir(parents=True)
        theirs = tmp_path / "counterfoil-home" / "keys" / remote.places.slug
        for name in ("operator.pem", "operator.vkey"):
            (keys / name).write_bytes((theirs / name).read_bytes())
        (keys / "operator.pem").chmod(0o600)
        remote.attest(SUBJECT, "revocation", BODY)
    headers, _ = taking.posts[-1]
    assert "operator+" in headers["Signature-Input"]
    assert not any(
        "Signature" in headers for method, _, headers, _ in site.heard if method == "GET"
    )


def test_reading_is_signed_where_the_server_asks_who_reads(site, policy, tmp_path):
    """A 401 is answered once, with a signature."""
    pytest.importorskip("http_message_signatures")
    counterfoil.open(site.url, trust=policy).close()
    with counterfoil.open(site.url) as remote:
        keys = remote.places.keys
    keys.mkdir(parents=True)
    theirs = tmp_path / "counterfoil-home" / "keys" / remote.places.slug
    for name in ("operator.pem", "operator.vkey"):
        (keys / name).write_bytes((theirs / name).read_bytes())
    (keys / "operator.pem").chmod(0o600)

    def ask(site, path):
        signed = "Signature" in site.heard[-1][2]
        return site.honest(path) if signed else (401, {}, b"")

    site.lies["*"] = ask
    with counterfoil.open(site.url) as remote:
        assert remote.size


# Servers that lie, and answers that are lost


def test_lost_replies_are_asked_for_again(remote, local, taking):
    """A reply that is lost after the entry is in does not put it in twice."""
    taking.lost = 2
    size = local.size
    said = remote.attest(SUBJECT, "revocation", BODY)
    assert (said.index, local.size) == (size, size + 1)
    assert len(taking.posts) == 3


def test_a_refusal_is_not_repeated(remote, taking):
    """What a server decided is decided, and its reasons are shown."""
    problem = {"title": "no", "detail": "not you", "hint": "ask", "reasons": ["a", "b"]}
    kind = {"Content-Type": "application/problem+json"}
    for status, error in (
        (403, RefusedError),
        (409, ConflictError),
        (422, FormatError),
        (500, UnavailableError),
    ):
        reply = (status, kind, json.dumps(problem).encode())
        taking.before = lambda _, reply=reply: reply
        with pytest.raises(error, match="not you") as refused:
            remote.attest(SUBJECT, "revocation", BODY)
        assert refused.value.hint == "ask"
        if error is RefusedError:
            assert refused.value.reasons == ("a", "b")
    assert len(taking.posts) == 4


def test_a_server_that_stays_busy_is_given_up(site, policy, taking):
    """After the deadline the error says that appending again is safe."""
    taking.before = lambda _: (429, {}, b"")
    engine = Remote(site.url, trust=policy, append_within_s=0.5)
    with Ledger(engine.folder, engine=engine) as ledger:
        ledger.add_principal("operator")
        with pytest.raises(UnavailableError, match="429") as lost:
            ledger.attest(SUBJECT, "revocation", BODY)
    assert "again is safe" in lost.value.hint
    assert len(taking.posts) > 1


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda reply: {**reply, "index": reply["index"] + 1}, VerificationError),
        (lambda reply: {**reply, "digest": "00" * 32}, VerificationError),
        (lambda reply: {**reply, "receipt": "c2sp.org/tlog-proof@v1\n"}, VerificationError),
        (lambda reply: {"index": reply["index"]}, VerificationError),
        (lambda _: "index", VerificationError),
    ],
)
def test_false_receipts_are_refused(change, error, remote, taking):
    """A reply that does not prove the very entry is no receipt."""
    taking.change = change
    with pytest.raises(error):
        remote.attest(SUBJECT, "revocation", BODY)


def test_a_receipt_of_another_entry_is_refused(remote, local, taking):
    """A true receipt of something else proves nothing about what was sent."""

    def swap(reply):
        receipt = local.receipt(0)
        return {**reply, "index": 0, "receipt": format_receipt(receipt).decode()}

    taking.change = swap
    with pytest.raises(ProofError):
        remote.attest(SUBJECT, "revocation", BODY)


def test_a_receipt_of_another_history_is_refused(remote, local, taking, tmp_path):
    """An entry under a second history of the log is not in the log."""
    home = tmp_path / "counterfoil-home" / "keys" / local.places.slug
    signer = load_key(home / "log.pem")

    def fork(reply):
        entry = local.entry(local.size - 1)
        leaves = [leaf_hash(b"another beginning"), leaf_hash(entry)]
        note = sign_checkpoint(Checkpoint(local.origin, 2, root_of(leaves)), signer)
        receipt = Receipt(1, (leaves[0],), note)
        return {**reply, "index": 1, "receipt": format_receipt(receipt).decode()}

    taking.change = fork
    before = remote.root
    with pytest.raises(VerificationError, match="right edge"):
        remote.attest(SUBJECT, "revocation", BODY)
    assert remote.root == before
