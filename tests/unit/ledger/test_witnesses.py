"""A log and the witnesses of its policy, as real servers: honest, slow, lying or gone."""

from __future__ import annotations

import http.server
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

import counterfoil
from counterfoil.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from counterfoil.core.cosignature import cosign, find_cosignatures
from counterfoil.core.keys import Algorithm
from counterfoil.core.merkle import EMPTY_ROOT
from counterfoil.core.note import Note, format_note, parse_note
from counterfoil.core.quorum import Witness
from counterfoil.core.receipt import check_receipt
from counterfoil.core.statement import Subject
from counterfoil.core.succession import policy_history
from counterfoil.errors import (
    ConflictError,
    FormatError,
    PolicyError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger import askers
from counterfoil.ledger.countersign import SilentWitnessWarning
from counterfoil.ledger.httpwitness import HttpWitness
from counterfoil.ledger.keyfiles import generate_key, load_key
from counterfoil.ledger.localwitness import RememberedError
from counterfoil.ledger.nextkey import prepare_next_key
from counterfoil.ledger.rotation import rotate_key
from counterfoil.ledger.status import Standing, read_status
from counterfoil.ledger.witness import REQUEST, SIZE_TYPE
from counterfoil.ledger.witness import Witness as Deciding

pytestmark = pytest.mark.filterwarnings("ignore:the witness .* has not cosigned:UserWarning")
BOUND_S = 0.4
NAMES = ("ada", "bob", "cyd")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(request)
        assert self.path == "/w/add-checkpoint"
        status, body, kind = self.server.behave(request)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body if self.server.drips_s else ():
            self.wfile.write(bytes([byte]))
            time.sleep(self.server.drips_s)
        if not self.server.drips_s:
            self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    """A witness that somebody else runs; `behave` is what it answers."""

    daemon_threads = True

    def __init__(self, folder, name, log_key):
        super().__init__(("127.0.0.1", 0), Handler)
        self.signer = generate_key(name, Algorithm.COSIGNATURE_ED25519)
        folder.mkdir()
        self.deciding = Deciding(folder, self.signer, clock=lambda: 1.8e9 + len(self.requests))
        self.deciding.know(log_key)
        self.requests, self.drips_s, self.behave = [], 0, self.honest
        self.listed = Witness(
            name,
            self.signer.key,
            f"{name} LLP",
            url=f"http://127.0.0.1:{self.server_address[1]}/w",
        )
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def honest(self, request):
        status, body = self.deciding.add_checkpoint(request)
        return status, body, SIZE_TYPE if status == 409 else "text/plain"

    def handle_error(self, *args):
        pass  # whoever asked has gone


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    monkeypatch.setattr(askers, "COSIGNED_WITHIN_S", 60.0)  # a busy machine makes nobody silent
    with counterfoil.init(tmp_path / "ledger") as ledger:
        yield ledger


@pytest.fixture
def hurry(ledger, monkeypatch):
    """Has the ledger wait no longer than `BOUND_S`, where somebody keeps it waiting."""
    del ledger  # whose bound is long
    monkeypatch.setattr(askers, "COSIGNED_WITHIN_S", BOUND_S)


@pytest.fixture
def servers(ledger, tmp_path):
    made = [Server(tmp_path / name, name, ledger.key) for name in NAMES]
    yield made
    for one in made:
        one.shutdown()
        one.server_close()


def adopt(ledger, servers, quorum):
    policy = ledger.policy.show()
    asked = (*policy.witnesses[:1], *(one.listed for one in servers))
    ledger.policy.adopt(policy.followed_by(witnesses=asked, quorum=quorum))


def cosigned_by(ledger, note=None):
    policy = ledger.policy.show()
    note = parse_note(note or ledger.checkpoint)
    keys = {key for key, _ in find_cosignatures(note, policy.witness_keys)}
    return {one.name for one in policy.witnesses if one.key in keys}


def timed(act):
    began = time.monotonic()
    act()
    return time.monotonic() - began


def slow(server, seconds):
    def behave(request):
        time.sleep(seconds)
        return server.honest(request)

    return behave


def test_every_witness_of_the_policy_cosigns_each_checkpoint(ledger, servers):
    """A receipt carries the lines of all that answered, the local one's among them."""
    adopt(ledger, servers, 4)
    for number in range(5):
        receipt = ledger.append(b"entry %d" % number)
        assert cosigned_by(ledger, receipt.checkpoint) == {"local", "ada", "bob", "cyd"}
        check_receipt(b"entry %d" % number, receipt, ledger.key)
    # From the second on each is asked once, with what it remembers.
    asked = len(servers[0].requests)
    ledger.append(b"one more")
    assert [len(one.requests) for one in servers] == [asked + 1] * 3


def test_many_who_append_at_once_share_the_question(ledger, servers):
    """Whoever waits for a slow witness waits for one commit, or for two, and not in a row."""
    adopt(ledger, servers[:1], 1)
    servers[0].behave = slow(servers[0], BOUND_S / 20)
    before = len(servers[0].requests)

    def work():
        for _ in range(8):
            ledger.append(b"x")

    threads = [threading.Thread(target=work) for _ in range(64)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(servers[0].requests) - before <= 8 * 3


def test_what_is_sent_is_signed_by_the_log_alone(ledger, servers):
    """Lines of other witnesses are nobody's business, and would fill the request."""
    adopt(ledger, servers, 0)
    ledger.append(b"x")
    sent = servers[0].requests[-1].partition(b"\n\n")[2]
    assert [line.name for line in parse_note(sent).signatures] == [ledger.origin]


def garbage(request):
    del request
    return 200, b"\xff\x00 nonsense \n\n", "text/html"


def refused(request):
    del request
    return 500, b"\x1b[2J" + b"x" * 70_000, "text/plain"


@pytest.mark.parametrize("answer", [garbage, refused])
def test_a_witness_that_answers_nonsense_keeps_no_other_from_counting(ledger, servers, answer):
    """Its line is missing, and why is said in bounded, printable words."""
    adopt(ledger, servers, 2)
    servers[1].behave = answer
    with pytest.warns(UserWarning, match="witness bob has not cosigned") as said:
        ledger.append(b"x")
    assert cosigned_by(ledger) == {"local", "ada", "cyd"}
    assert all(len(str(one.message)) < 1000 and str(one.message).isprintable() for one in said)


def test_false_and_replayed_cosignatures_do_not_count(ledger, servers):
    """A line counts under the checkpoint it was made for, by the key of its witness."""
    adopt(ledger, servers, 1)
    old = {}

    def replay(request):
        if not old:
            old["line"] = servers[0].honest(request)
        return old["line"]

    def forge(request):
        stranger = replace(servers[2].signer, key=servers[2].signer.key)
        text = parse_note(request.partition(b"\n\n")[2]).text
        line = cosign(text, 1_800_000_000, stranger)
        wrong = replace(line, name=servers[1].signer.key.name, key_id=servers[1].signer.key.key_id)
        return 200, format_note(Note("-\n", (wrong,))).removeprefix(b"-\n\n"), "text/plain"

    servers[0].behave, servers[1].behave = replay, forge
    ledger.append(b"one")
    receipt = ledger.append(b"two")
    assert cosigned_by(ledger, receipt.checkpoint) == {"local", "cyd"}


@pytest.mark.usefixtures("hurry")
def test_a_slow_witness_costs_the_bound_once_and_is_not_lost(ledger, servers):
    """It is waited for once; while it is slow the log goes on, and it counts again later."""
    adopt(ledger, servers, 1)
    ledger.append(b"warm")
    servers[1].behave = slow(servers[1], 3 * BOUND_S)
    assert BOUND_S <= timed(lambda: ledger.append(b"waits")) < 2.5 * BOUND_S
    assert timed(lambda: ledger.append(b"waits for nobody")) < BOUND_S / 2
    assert cosigned_by(ledger) == {"local", "ada", "cyd"}
    servers[1].behave = servers[1].honest
    time.sleep(3.5 * BOUND_S)  # the late answer comes
    before = len(servers[1].requests)
    ledger.append(b"carries on")
    ledger.append(b"and on")
    assert cosigned_by(ledger) == {"local", "ada", "bob", "cyd"}
    assert len(servers[1].requests) == before + 2  # what it answered late was known


@pytest.mark.usefixtures("hurry")
def test_a_witness_that_drips_costs_the_bound(ledger, servers):
    """However it spreads its bytes."""
    adopt(ledger, servers, 1)
    servers[0].drips_s = 0.05
    assert timed(lambda: ledger.append(b"x")) < 2.5 * BOUND_S
    assert cosigned_by(ledger) == {"local", "bob", "cyd"}


def test_below_the_quorum_nothing_is_published_and_nothing_is_lost(ledger, servers, tmp_path):
    """Entries stay durable and unseen; each call or opening asks again, and none is doubled."""
    adopt(ledger, servers, 3)
    ledger.append(b"seen")
    size = ledger.size
    for one in servers[1:]:
        one.behave = refused
    with pytest.raises(UnavailableError, match=r"not published.*asks for 3.*bob") as caught:
        ledger.append(b"durable")
    assert "durable" in caught.value.hint
    assert "nothing was appended" not in str(caught.value)
    with pytest.raises(UnavailableError, match="nothing was appended"):
        ledger.append(b"not in")
    with counterfoil.open(tmp_path / "ledger") as reader:
        assert reader.size == size
    ledger.close()
    with counterfoil.open(tmp_path / "ledger") as again:
        with pytest.raises(UnavailableError, match="nothing was appended") as caught:
            again.append(b"not in")
        assert "append these again" in caught.value.hint
        with pytest.raises(UnavailableError, match=r"^the checkpoint of"):
            again.ask_witnesses()  # who wanted to append nothing is told of what waits alone
        servers[1].behave = servers[1].honest
        receipt = again.append(b"after")
        assert [again.entry(at) for at in range(size, again.size)] == [b"durable", b"after"]
        assert cosigned_by(again, receipt.checkpoint) >= {"local", "ada", "bob"}


def test_what_is_published_verifies_while_more_waits(ledger, servers, tmp_path):
    """The verdict is on what was published, and says how many entries are not."""
    adopt(ledger, servers[:1], 2)
    servers[0].behave = refused
    with pytest.raises(UnavailableError):
        ledger.append_many([b"durable", b"too"])
    verdict = counterfoil.verify(tmp_path / "ledger")
    assert (verdict.facts["size"], verdict.facts["waiting"]) == (ledger.size, 2)
    assert any("2 more entries are durable here" in one for one in verdict.not_checked)
    servers[0].behave = servers[0].honest
    ledger.ask_witnesses()
    verdict = counterfoil.verify(tmp_path / "ledger")
    assert (verdict.facts["size"], verdict.facts["waiting"]) == (ledger.size, 0)


def test_a_policy_that_waits_after_a_rotation_is_no_set_back(ledger, servers, tmp_path):
    """A witness that was told no new key holds the policy up that names it; nobody is alarmed."""
    adopt(ledger, servers[:1], 2)
    prepare_next_key(ledger.places)
    ledger.close()
    with (
        counterfoil.open(tmp_path / "ledger") as rotating,
        pytest.raises(UnavailableError, match="not published"),
    ):
        rotate_key(rotating)
    with counterfoil.open(tmp_path / "ledger") as reader:
        found = read_status(reader)
        assert (found.waiting, found.witness.standing) == (1, Standing.WAITING)
    with pytest.raises(PolicyError) as caught:  # that policy is not adopted yet
        counterfoil.verify(tmp_path / "ledger")
    assert "counterfoil log cosign" in caught.value.hint


@pytest.mark.usefixtures("hurry")
def test_an_answer_that_came_after_the_refusal_counts_when_asked_again(ledger, servers):
    """The line for the unpublished checkpoint is used, not asked for a second time."""
    adopt(ledger, servers[:1], 2)
    ledger.append(b"warm")
    servers[0].behave = slow(servers[0], 2 * BOUND_S)
    with pytest.raises(UnavailableError, match="not published"):
        ledger.append(b"durable")
    time.sleep(2.5 * BOUND_S)
    asked = len(servers[0].requests)
    servers[0].behave = servers[0].honest
    ledger.append(b"after")
    assert len(servers[0].requests) == asked + 1


@pytest.mark.parametrize("is_open", [True, False])
def test_a_witness_that_comes_back_cosigns_what_was_published(ledger, servers, tmp_path, is_open):
    """Asked again, it adds its line to the same checkpoint, and receipts made later carry it."""
    adopt(ledger, servers, 2)
    servers[1].behave = refused
    with pytest.warns(UserWarning, match="bob has not cosigned"):
        index = ledger.append(b"x").index
    size, before = ledger.size, set(parse_note(ledger.checkpoint).signatures)
    with counterfoil.open(tmp_path / "ledger") as reader:
        assert list(ledger.ask_witnesses()) == ["bob"]
        servers[1].behave = servers[1].honest
        asked = len(servers[0].requests)
        if not is_open:  # by who only asks
            ledger.close()
            ledger = counterfoil.open(tmp_path / "ledger")
        assert ledger.ask_witnesses() == {}
        assert cosigned_by(ledger, ledger.receipt(index).checkpoint) == {"local", *NAMES}
        assert before < set(parse_note(ledger.checkpoint).signatures)  # nobody's time moves on
        assert ledger.size == size
        assert not is_open or len(servers[0].requests) == asked  # nor is asked what it said
        reader.refresh()
        assert reader.checkpoint == ledger.checkpoint
        ledger.append(b"goes on")
        ledger.close()


def test_asking_again_publishes_what_lacked_the_quorum(ledger, servers):
    """Entries that were durable and unseen need no further append to be seen."""
    adopt(ledger, servers, 4)
    size = ledger.size
    servers[1].behave = refused
    with pytest.raises(UnavailableError, match="not published"):
        ledger.append(b"durable")
    with pytest.raises(UnavailableError, match="not published"):
        ledger.ask_witnesses()
    assert ledger.size == size
    servers[1].behave = servers[1].honest
    assert ledger.ask_witnesses() == {}
    assert ledger.entry(size) == b"durable"


def test_asking_again_and_appending_do_not_get_in_each_others_way(ledger, servers):
    """One at a time: the newest checkpoint stands at the end, and no entry is lost."""
    adopt(ledger, servers[:1], 2)
    size = ledger.size
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ledger.ask_witnesses) for _ in range(20)]
        appending = [pool.submit(ledger.append, b"x") for _ in range(20)]
        for one in (*asking, *appending):
            one.result()
    assert ledger.size == size + 20
    assert cosigned_by(ledger) == {"local", "ada"}
    check_receipt(b"x", ledger.receipt(size), ledger.key)


def test_a_witness_gone_for_good_can_be_replaced(ledger, servers):
    """A policy is stated under its own quorum, so one that cannot be met is no dead end."""
    adopt(ledger, servers[:2], 3)
    servers[0].behave = refused
    with pytest.raises(UnavailableError):
        ledger.append(b"durable")
    adopt(ledger, servers[1:], 3)
    assert cosigned_by(ledger) == {"local", "bob", "cyd"}
    ledger.append(b"goes on")
    policy = ledger.policy.show()
    nowhere = tuple(replace(one, url="") for one in policy.witnesses)
    with pytest.raises(FormatError, match=r"asks for 3 witnesses.*can ask 1"):
        ledger.policy.adopt(policy.followed_by(witnesses=nowhere))


@pytest.fixture
def stuck(ledger, servers):
    """The draft of a second policy whose statement is durable, and lacks a witness that is dead."""
    servers[0].behave = refused
    policy = ledger.policy.show()
    asked = (*policy.witnesses[:1], servers[0].listed)
    made = policy.followed_by(witnesses=asked, quorum=2)
    with pytest.raises(UnavailableError, match="version 2 of the policy is entry 1") as caught:
        ledger.policy.adopt(made)
    assert "Adopt the same file again" in caught.value.hint
    assert (ledger.size, ledger.policy.show()) == (1, policy)
    return made


def stated_policies(ledger):
    return [one.index for one in ledger.find(predicate="policy")]


@pytest.mark.parametrize("is_published", [False, True])
@pytest.mark.parametrize("is_open", [True, False])
def test_no_second_policy_of_one_version_is_stated(ledger, stuck, tmp_path, is_published, is_open):
    """The first one counts for who follows the log, so a corrected one has to follow it."""
    first = ledger.policy.show()
    if not is_open:
        ledger.close()
        ledger = counterfoil.open(tmp_path / "ledger")
    if is_published:
        ledger.ask_witnesses()  # under the first policy, which asks for nobody
    index, second = ledger.policy.unadopted()
    assert (index, second) == (1, replace(stuck, predecessors=second.predecessors))
    better = first.followed_by(witnesses=first.witnesses[:1], quorum=1)
    with pytest.raises(ConflictError, match=r"version 2 .* as entry 1") as caught:
        ledger.policy.adopt(better)
    assert f'version = 3, previous = "{second.digest.hex()}"' in caught.value.hint
    assert (ledger.size, ledger.policy.show()) == (2 if is_published else 1, first)

    assert ledger.policy.adopt(second.followed_by(witnesses=better.witnesses, quorum=1)) == 2
    assert cosigned_by(ledger) == {"local"}
    assert stated_policies(ledger) == [0, 1, 2]
    stated = [(one.index, one.envelope) for one in ledger.find(predicate="policy")]
    follower = policy_history(first, stated)  # of somebody who trusts the first one only
    assert follower.steps[-1] == (2, ledger.policy.show())
    assert follower.at(3) == ledger.policy.history().at(3)
    ledger.append(b"goes on")
    ledger.close()


@pytest.mark.parametrize("is_published", [False, True])
def test_an_adoption_that_lacked_its_quorum_is_run_again(ledger, servers, stuck, is_published):
    """It is stated once, says so as often as it fails, and is in force once published."""
    with pytest.raises(UnavailableError, match="version 2 of the policy is entry 1"):
        ledger.policy.adopt(stuck)
    if is_published:
        ledger.ask_witnesses()
        assert ledger.policy.show().version == 1
    servers[0].behave = servers[0].honest
    assert ledger.policy.adopt(stuck) == 1
    assert ledger.policy.show().quorum == 2
    assert ledger.policy.unadopted() is None
    assert stated_policies(ledger) == [0, 1]
    assert ledger.append(b"goes on").index == 2
    assert cosigned_by(ledger) == {"local", "ada"}


def says_more(request):
    del request
    return 409, b"999999\n", SIZE_TYPE


def test_one_witness_that_says_we_are_behind_stops_a_log_that_nobody_else_follows(ledger, servers):
    """Its word is called suspicion, as it shows nothing; the entry is in when it takes it back."""
    adopt(ledger, servers[:1], 1)
    servers[0].behave = says_more
    size = ledger.size
    with pytest.raises(ConflictError, match=r"ada says.*999999.*or the witness errs") as caught:
        ledger.append(b"x")
    assert "suspicion and not proof" in caught.value.hint
    servers[0].behave = servers[0].honest
    ledger.append(b"y")
    assert ledger.entry(size) == b"x"


def test_a_witness_that_lies_can_be_left_out(ledger, servers):
    """A policy that does not ask it is adopted although it says that the log is behind."""
    adopt(ledger, servers[:1], 1)
    servers[0].behave = says_more
    with pytest.raises(ConflictError):
        ledger.append(b"x")
    adopt(ledger, servers[1:], 2)
    assert {"bob", "cyd"} <= cosigned_by(ledger)


def test_a_minority_that_says_we_are_behind_stops_nothing(ledger, servers):
    """More who follow than who refuse go on without it, and what it said is a warning."""
    adopt(ledger, servers, 2)
    servers[2].behave = says_more
    with pytest.warns(UserWarning, match="witness cyd.*999999"):
        ledger.append(b"x")
    assert cosigned_by(ledger) == {"local", "ada", "bob"}


@pytest.mark.parametrize("sizes", [(b"1\n",), (b"1\n", b"0\n")])
def test_a_conflict_for_ever_is_no_reason_to_ask_for_ever(ledger, servers, sizes):
    """A witness that contradicts itself is asked twice about a checkpoint, at most."""
    adopt(ledger, servers, 1)
    sizes = itertools.cycle(sizes)
    servers[0].behave = lambda _: (409, next(sizes), SIZE_TYPE)
    before = len(servers[0].requests)
    with pytest.warns(UserWarning, match="witness ada.*contradicts itself"):
        ledger.append(b"x")
    assert len(servers[0].requests) <= before + 2
    assert cosigned_by(ledger) == {"local", "bob", "cyd"}


def test_a_set_back_machine_is_stopped_by_a_witness_elsewhere(ledger, servers, tmp_path, home):
    """Ledger and home restored together fool the local witness, not one that remembers more."""
    adopt(ledger, servers[:1], 1)
    ledger.close()
    for name in ("ledger", home.name):
        shutil.copytree(tmp_path / name, tmp_path / "backup" / name)
    with counterfoil.open(tmp_path / "ledger") as later:
        later.append(b"after the backup")
    for name in ("ledger", home.name):
        shutil.rmtree(tmp_path / name)
        shutil.copytree(tmp_path / "backup" / name, tmp_path / name)
    with (
        counterfoil.open(tmp_path / "ledger") as restored,
        pytest.raises(ConflictError, match="ada says that it has cosigned"),
    ):
        restored.append(b"fork")


def test_a_witness_of_another_history_stops_the_log(ledger, servers):
    """A size that it holds under another root is a fork, or its word that there is one."""
    adopt(ledger, servers[:1], 1)
    servers[0].behave = lambda _: (422, b"proof is false\n", "text/plain")
    with pytest.raises(VerificationError, match=r"does not follow.*proof is false") as caught:
        ledger.append(b"x")
    assert "suspicion and not proof" in caught.value.hint


def test_a_new_policy_is_gone_by_without_opening_again(ledger, servers):
    """Who is asked follows the adopted policy from the next checkpoint on."""
    adopt(ledger, servers[:1], 1)
    ledger.append(b"x")
    adopt(ledger, servers[1:2], 1)
    ledger.append(b"y")
    assert cosigned_by(ledger) == {"local", "bob"}
    count = len(servers[0].requests)
    ledger.append(b"z")
    assert len(servers[0].requests) == count


def test_a_witness_of_two_keys_cosigns_with_both(ledger, servers):
    """A policy that asks for post-quantum is met by Ed25519 and ML-DSA-44 lines together."""
    quantum = generate_key("ada", Algorithm.COSIGNATURE_ML_DSA_44)
    one = servers[0]
    one.listed = replace(one.listed, post_quantum=quantum.key)
    folder, alone = one.deciding._folder, one.deciding
    one.deciding = Deciding(folder, one.signer, quantum, clock=lambda: 1.8e9)
    adopt(ledger, servers[:1], 2)
    receipt = ledger.append(b"x")
    kinds = {len(line.signature) for line in parse_note(receipt.checkpoint).signatures}
    assert kinds >= {8 + 64, 8 + 2420}
    one.deciding = alone
    with pytest.raises(UnavailableError, match=rf"not published.*{re.escape(quantum.key.label)}"):
        ledger.append(b"without the second key")


def test_asking_costs_the_same_however_large_the_log(ledger, servers):
    """Requests grow with the proof, by hashes and not by entries."""
    adopt(ledger, servers, 0)
    ledger.append_many([b"x"] * 20_000)
    ledger.append(b"y")
    assert len(servers[0].requests[-1]) < 1500


@pytest.fixture
def checkpoint(ledger):
    signer = load_key(ledger.places.keys / "log.pem")
    return sign_checkpoint(Checkpoint(ledger.origin, 0, EMPTY_ROOT), signer)


def test_a_conflict_is_a_witness_only_by_its_content_type(servers, checkpoint):
    """A proxy answers 409 for reasons of its own."""
    client = HttpWitness(servers[0].listed.url, servers[0].listed.keys, within_s=2)
    servers[0].behave = lambda _: (409, b"7\n", SIZE_TYPE)
    with pytest.raises(RememberedError) as caught:
        client.add_checkpoint(0, (), checkpoint)
    assert caught.value.size == 7
    servers[0].behave = lambda _: (409, b"7\n", "text/plain")
    with pytest.raises(UnavailableError, match="409 that is not"):
        client.add_checkpoint(0, (), checkpoint)
    for size in (b"07\n", b"7", b" 7\n", b"-1\n", b"9" * 40 + b"\n", b""):
        servers[0].behave = lambda _, size=size: (409, size, SIZE_TYPE)
        if size == b"7":
            continue  # the line feed is the witness's to add, and nothing hangs on it
        with pytest.raises(UnavailableError, match="nonsense"):
            client.add_checkpoint(0, (), checkpoint)
    client.close()


@pytest.mark.usefixtures("hurry")
def test_nobody_there_is_no_answer(ledger, checkpoint):
    """A port that is closed is said at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    key = generate_key("w", Algorithm.COSIGNATURE_ED25519).key
    client = HttpWitness(f"http://127.0.0.1:{port}", [key])
    with pytest.raises(UnavailableError, match="a cosignature from"):
        client.add_checkpoint(0, (), checkpoint)
    assert open_checkpoint(ledger.checkpoint, ledger.key).origin == ledger.origin


@pytest.mark.usefixtures("hurry")
def test_a_silence_is_said_once_however_many_append(ledger, servers):
    """While the next checkpoint is asked about, what is known of the last one stands."""
    adopt(ledger, servers, 1)
    servers[0].behave = refused
    with pytest.warns(UserWarning, match="witness ada"):
        ledger.append(b"x")
    asked, go_on = threading.Event(), threading.Event()

    def waits(request):
        asked.set()
        go_on.wait(BOUND_S / 2)
        return refused(request)

    servers[0].behave = waits
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = threading.Thread(target=ledger.append, args=(b"y",))
        other.start()
        assert asked.wait(5)
        assert "ada" in ledger.engine.witnesses.silences
        go_on.set()
        other.join()
        ledger.append(b"z")


def test_a_silent_witness_is_warned_of_where_the_caller_stands(ledger, servers):
    """The warning names the caller's line, however many of ours are in between."""
    adopt(ledger, servers[:1], 0)
    servers[0].behave = refused
    with pytest.warns(SilentWitnessWarning) as warned:
        ledger.append(b"x")
    assert [one.filename for one in warned] == [__file__]
    servers[0].behave = servers[0].honest
    ledger.append(b"y")
    servers[0].behave = refused
    with pytest.warns(SilentWitnessWarning) as warned:
        ledger.attest([Subject("x", {"sha256": "00" * 32})], "revocation", {"reason": "x"})
    assert [one.filename for one in warned] == [__file__]


def test_a_local_witness_ends_in_peace_with_whoever_asked(tmp_path):
    """Nobody reads its answer any more, as when a server is ended while it begins: no traceback."""
    with counterfoil.init(tmp_path / "ledger") as ledger:
        folder = ledger.places.witness
    command = [sys.executable, "-P", "-m", "counterfoil.ledger.witness", str(folder)]
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE
    ) as process:
        os.close(writing)
        _, said = process.communicate(REQUEST.pack(4) + b"what", timeout=60)
    assert (process.returncode, said) == (0, b"")
