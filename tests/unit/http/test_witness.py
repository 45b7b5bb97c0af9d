"""The witness as a server process: its bounds, its faults, and a log that asks it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest

import counterfoil
from counterfoil.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from counterfoil.core.cosignature import (
    check_cosignature,
    check_subtree_cosignature,
    find_cosignatures,
)
from counterfoil.core.keys import Algorithm
from counterfoil.core.merkle import EMPTY_ROOT, Frontier, leaf_hash
from counterfoil.core.note import Note, format_note, parse_note
from counterfoil.core.quorum import Witness
from counterfoil.core.subtree import Subtree
from counterfoil.errors import SignatureError
from counterfoil.http.health import CHECKED_FOR_S
from counterfoil.ledger.httpwitness import HttpWitness
from counterfoil.ledger.keyfiles import generate_key, load_key, save_key
from counterfoil.ledger.localwitness import RememberedError, format_add_checkpoint
from counterfoil.ledger.log import Log
from counterfoil.ledger.ownwitness import OwnWitness
from counterfoil.ledger.places import Places
from counterfoil.ledger.swap import make_offer, parse_offer, take_offer
from counterfoil.ledger.witness import MAX_REQUEST_BYTES
from counterfoil.ledger.witness import Witness as Deciding

SERVED = """
import logging, os, signal, time
from pathlib import Path
import counterfoil.http.witness
from counterfoil.http.witness import witness_app
from counterfoil.ledger import Witness
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.keyfiles import load_key

class SlowDisk(Disk):
    def replace(self, *args):
        time.sleep(0.02)  # so that who does not wait for others overtakes them
        super().replace(*args)
        # The checkpoint is remembered, and nothing has been answered.
        if (folder / "die").exists():
            (folder / "die").unlink()
            os.kill(os.getpid(), signal.SIGKILL)

counterfoil.http.witness.BODY_WITHIN_S = 1.0
folder = Path({folder!r})
logging.getLogger("counterfoil.witness").addHandler(logging.FileHandler(folder / "told.log"))

key = load_key(folder / "key.pem")
app = witness_app(Witness(folder, key, clock=lambda: 1.8e9, disk=SlowDisk()))
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "witness"
    save_key(folder / "key.pem", generate_key("ada", Algorithm.COSIGNATURE_ED25519))
    return folder


@pytest.fixture
def port(folder, serve_asgi):
    return serve_asgi(SERVED.format(folder=str(folder)))


def key_of(folder):
    return load_key(folder / "key.pem").key


def know(folder, log_key):
    Deciding(folder, load_key(folder / "key.pem"), clock=time.time).know(log_key)


def ask(port, method, path, body=b"", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, headers or {})
    reply = connection.getresponse()
    try:
        return reply.status, reply.read(), dict(reply.headers)
    finally:
        connection.close()


def test_what_is_no_request_is_refused_by_its_own_status(port):
    """Another method, another path, a body too long or none: each is named, nothing breaks."""
    assert ask(port, "GET", "/add-checkpoint")[0] == 405
    assert ask(port, "POST", "/")[0] == 404
    assert ask(port, "POST", "/add-checkpoint")[0] == 400
    assert ask(port, "POST", "/add-checkpoint", b"x" * MAX_REQUEST_BYTES)[0] == 400
    assert ask(port, "POST", "/add-checkpoint", b"x" * (MAX_REQUEST_BYTES + 1))[0] == 413
    assert ask(port, "GET", "/healthz")[:2] == (200, b"ok\n")


def test_a_body_of_unknown_length_is_bounded_too(port):
    """In chunks as in one piece."""

    def chunks():
        for _ in range(80):
            yield b"x" * 1024

    status, _, _ = ask(port, "POST", "/add-checkpoint", chunks())
    assert status == 413


def test_a_body_that_drips_is_given_up(port):
    """One deadline for all of it, and others are answered meanwhile."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as drip:
        drip.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nold")
        assert ask(port, "GET", "/healthz")[0] == 200
        began = time.monotonic()
        assert drip.recv(100).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 8


def test_a_disk_that_refuses_is_no_cosignature(port, folder):
    """What cannot be remembered is not signed, and strangers learn nothing of this machine."""
    log = generate_key("example.org/log", Algorithm.ED25519)
    know(folder, log.key)
    note = sign_checkpoint(Checkpoint("example.org/log", 0, EMPTY_ROOT), log)
    # In the way of the file that the checkpoint is to be written to.
    (known,) = (one for one in folder.glob("*.vkey") if one.stem != "key")
    blocking = folder / f".{known.stem}.checkpoint.new"
    blocking.mkdir()
    status, said, _ = ask(port, "POST", "/add-checkpoint", format_add_checkpoint(0, (), note))
    assert (status, said) == (500, b"the witness cannot answer this now\n")
    blocking.rmdir()
    assert ask(port, "POST", "/add-checkpoint", format_add_checkpoint(0, (), note))[0] == 200


@pytest.mark.parametrize("damage", [b"", b"example.org/log\n1\n", "a signature", None])
def test_a_memory_that_is_lost_is_no_fault_of_who_asks(port, folder, damage):
    """Nothing is cosigned, /healthz is not ok, and the operator is told which file it is."""
    log = generate_key("example.org/log", Algorithm.ED25519)
    know(folder, log.key)
    notes = []
    for number in range(2):
        tree = Frontier()
        tree.extend(leaf_hash(b"%d" % number))
        notes.append(sign_checkpoint(Checkpoint("example.org/log", 1, tree.root()), log))
    first, other = (format_add_checkpoint(0, (), note) for note in notes)
    assert ask(port, "POST", "/add-checkpoint", first)[0] == 200
    assert ask(port, "POST", "/add-checkpoint", other)[0] == 409  # kept, beside what was cosigned
    (memory,) = folder.glob("*.checkpoint")
    if damage is None:
        memory.unlink()
    elif damage == "a signature":
        memory.write_bytes(sign_checkpoint(Checkpoint("example.org/log", 1, EMPTY_ROOT), log)[:-9])
    else:
        memory.write_bytes(damage)
    for request in (first, other):
        status, said, _ = ask(port, "POST", "/add-checkpoint", request)
        assert (status, said) == (500, b"the witness cannot answer this now\n")
    time.sleep(CHECKED_FOR_S)
    assert ask(port, "GET", "/healthz")[:2] == (503, b"not now\n")
    told = (folder / "told.log").read_text().splitlines()[1:]  # after the proof of two histories
    assert len(told) == 3  # of both requests, and of /healthz
    for line in told:
        assert str(memory) in line
        assert "Make a witness with another name" in line


def test_of_two_histories_sent_at_once_one_is_cosigned(port, folder):
    """Checking and remembering are one step, whoever comes first."""
    log = generate_key("example.org/log", Algorithm.ED25519)
    know(folder, log.key)
    requests = []
    for number in range(16):
        tree = Frontier()
        tree.extend(leaf_hash(b"%d" % number))
        note = sign_checkpoint(Checkpoint("example.org/log", 1, tree.root()), log)
        requests.append(format_add_checkpoint(0, (), note))
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda one: ask(port, "POST", "/add-checkpoint", one), requests))
    assert sorted(status for status, _, _ in replies) == [200] + [409] * 15
    for status, said, headers in replies:
        if status == 409:
            assert (said, headers["content-type"]) == (b"1\n", "text/x.tlog.size")


def test_one_server_witnesses_any_number_of_logs(port, folder):
    """Each log has a memory of its own."""
    for name in ("a.example/log", "b.example/log"):
        log = generate_key(name, Algorithm.ED25519)
        note = sign_checkpoint(Checkpoint(name, 0, EMPTY_ROOT), log)
        request = format_add_checkpoint(0, (), note)
        assert ask(port, "POST", "/add-checkpoint", request)[0] == 404
        know(folder, log.key)
        assert ask(port, "POST", "/add-checkpoint", request)[0] == 200


def restart(folder, serve_asgi):
    return serve_asgi(SERVED.format(folder=str(folder)))


@pytest.mark.filterwarnings("ignore:the witness .* has not cosigned:UserWarning")
def test_a_witness_killed_between_remembering_and_replying_loses_nothing(
    tmp_path, folder, serve_asgi
):
    """Started again, it cosigns what it remembers, and the log carries on from there."""
    with counterfoil.init(tmp_path / "ledger") as ledger:
        know(folder, ledger.key)

        def adopt(port, quorum):
            policy = ledger.policy.show()
            url = f"http://127.0.0.1:{port}"
            listed = Witness("ada", key_of(folder), "Ada LLP", url=url)
            witnesses = (policy.witnesses[0], listed)
            ledger.policy.adopt(policy.followed_by(witnesses=witnesses, quorum=quorum))

        def lines():
            return {key.name for key, _ in find_cosignatures(note(), (key_of(folder),))}

        def note():
            return parse_note(ledger.checkpoint)

        adopt(restart(folder, serve_asgi), 1)
        ledger.append(b"one")
        assert lines() == {"ada"}
        (folder / "die").touch()
        ledger.append(b"remembered, and not answered")
        assert not (folder / "die").exists()
        assert lines() == set()
        port = restart(folder, serve_asgi)
        client = HttpWitness(f"http://127.0.0.1:{port}", [key_of(folder)])
        with pytest.raises(RememberedError) as caught:
            client.add_checkpoint(0, (), ledger.checkpoint)
        client.close()
        assert caught.value.size == ledger.size
        adopt(port, 2)
        ledger.append(b"goes on")
        assert lines() == {"ada"}


def test_three_servers_and_many_writers(tmp_path, serve_asgi):
    """Threads that append at once share the round trip to the witnesses."""
    with counterfoil.init(tmp_path / "ledger") as ledger:
        listed = []
        for name in ("ada", "bob", "cyd"):
            folder = tmp_path / name
            save_key(folder / "key.pem", generate_key(name, Algorithm.COSIGNATURE_ED25519))
            know(folder, ledger.key)
            url = f"http://127.0.0.1:{restart(folder, serve_asgi)}"
            listed.append(Witness(name, key_of(folder), name, url=url))
        policy = ledger.policy.show()
        ledger.policy.adopt(policy.followed_by(witnesses=tuple(listed), quorum=3))
        before = ledger.size
        receipts = []

        def work():
            receipts.extend(ledger.append(os.urandom(20)) for _ in range(10))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert ledger.size == before + 80
        keys = ledger.policy.show().witness_keys
        for receipt in receipts:
            assert len(find_cosignatures(parse_note(receipt.checkpoint), keys)) == 3


OWN = """
import os
os.environ["COUNTERFOIL_WITNESS"] = {name!r}
from counterfoil.http.witness import own_app

app = own_app()
"""


def test_two_organisations_lift_each_others_verdicts(tmp_path, serve_asgi):
    """After one file each way and a policy each, what either log says is witnessed."""
    names = ("north", "south")
    with contextlib.ExitStack() as stack:
        ledgers, offers, own = {}, {}, {}
        for name in names:
            made = counterfoil.init(tmp_path / name, organisation=name)
            ledgers[name] = stack.enter_context(made)
            own[name] = OwnWitness.make(f"{name}.example/w", post_quantum=True)
            url = f"http://127.0.0.1:{serve_asgi(OWN.format(name=own[name].name))}"
            offers[name] = make_offer(ledgers[name], own[name], name, url)
        for name, other in (names, names[::-1]):
            ledger = ledgers[name]
            theirs = take_offer(parse_offer(offers[other]), own[name], ledger.key)
            policy = ledger.policy.show()
            draft = policy.followed_by(witnesses=(*policy.witnesses, theirs))
            if name == "north":
                # South does not know us before it has taken our offer.
                with pytest.warns(UserWarning, match=r"witness south.* unknown log"):
                    ledger.policy.adopt(draft)
            else:
                ledger.policy.adopt(draft)
        for ledger in ledgers.values():
            ledger.policy.adopt(ledger.policy.show().followed_by(quorum=2))
            ledger.append(b"an entry")
            verdict = counterfoil.verify(ledger.folder, trust=ledger.places.trust)
            assert verdict.grade == "witnessed"


def test_a_witness_signs_parts_of_what_it_cosigned(tmp_path, serve_asgi):
    """A subtree is signed if the proof holds and the witness's own line is under the checkpoint."""
    own = OwnWitness.make("witness.example/w", post_quantum=True)
    port = serve_asgi(OWN.format(name=own.name))
    signer = generate_key("log.example", Algorithm.ED25519)
    own.know(signer.key)
    save_key(Places("log.example").keys / "log.pem", signer)
    Log.create(tmp_path / "log", signer)

    def asked(subtree, root, proof, note):
        lines = "".join(f"{base64.b64encode(one).decode()}\n" for one in (root, *proof))
        request = f"subtree {subtree[0]} {subtree[1]}\n{lines}\n".encode() + note
        return ask(port, "POST", "/sign-subtree", request)[:2]

    with Log(tmp_path / "log") as log:
        log.append_many([b"%d" % number for number in range(14)])
        cosigned = own.add_checkpoint(0, (), log.checkpoint)
        note = format_note(Note(parse_note(log.checkpoint).text, cosigned))
        part = Subtree(8, 13)
        root, proof = part.root(log._tree.node), part.prove_consistency(14, log._tree.node)
        status, said = asked((8, 13), root, proof, note)
        assert status == 200, said
        (line,) = parse_note(b"-\n\n" + said).signatures
        key = own.signers[1].key
        check_subtree_cosignature("log.example", part, root, line, key)
        with pytest.raises(SignatureError):
            check_subtree_cosignature("log.example", Subtree(8, 12), root, line, key)
        with pytest.raises(SignatureError):  # it cannot pass for a cosignature of a checkpoint
            check_cosignature(parse_note(note).text, line, key)
        assert asked((8, 13), root, proof[:-1], note)[0] == 422
        assert asked((8, 13), bytes(32), proof, note)[0] == 422
        assert asked((7, 13), root, proof, note)[0] == 400
        assert asked((8, 15), root, proof, note)[0] == 400
        assert asked((8, 13), root, [root] * 64, note)[0] == 400
        # What the log alone has signed, the witness has not seen.
        assert asked((8, 13), root, proof, log.checkpoint)[0] == 403
        other = note.replace(b"log.example", b"not.example")
        assert asked((8, 13), root, proof, other)[0] == 404
        line = note.splitlines()[-1]
        forged = note.replace(line, line[:-12] + b"AAAAAAAAAAA=")
        assert asked((8, 13), root, proof, forged)[0] == 403


def test_whoever_monitors_a_log_gets_what_the_witness_cosigned(port, folder):
    """The newest checkpoint, signed by the log and the witness, is under the log's hash alone."""
    log = generate_key("example.org/log", Algorithm.ED25519)
    know(folder, log.key)
    name = sha256(b"example.org/log").hexdigest()
    assert ask(port, "GET", f"/{name}/checkpoint")[0] == 404
    note = sign_checkpoint(Checkpoint("example.org/log", 1, leaf_hash(b"x")), log)
    assert ask(port, "POST", "/add-checkpoint", format_add_checkpoint(0, (), note))[0] == 200
    status, kept, _ = ask(port, "GET", f"/{name}/checkpoint")
    assert status == 200
    assert open_checkpoint(kept, log.key).size == 1
    assert [key.name for key, _ in find_cosignatures(parse_note(kept), [key_of(folder)])] == ["ada"]
    for other in (name[:32], name[:63] + "0", f"{name}0", name.upper(), "..%2f" + name):
        assert ask(port, "GET", f"/{other}/checkpoint")[0] == 404
