"""A log in any store goes on with a new key: all that was signed before stays valid."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

import counterfoil as cf
from counterfoil.cluster import ends, leader, state
from counterfoil.cluster.address import parse_address
from counterfoil.cluster.database import Database
from counterfoil.cluster.tiletree import Head
from counterfoil.core.checkpoint import (
    Checkpoint,
    LogKeys,
    open_checkpoint,
    sign_checkpoint,
)
from counterfoil.core.keys import Algorithm
from counterfoil.core.note import open_note
from counterfoil.core.receipt import check_receipt, parse_receipt
from counterfoil.errors import ConflictError, SignatureError, UnavailableError
from counterfoil.front import move_log
from counterfoil.ledger.audit import audit
from counterfoil.ledger.keyfiles import generate_key, load_key
from counterfoil.ledger.localwitness import LocalWitness
from counterfoil.ledger.nextkey import prepare_next_key
from counterfoil.ledger.places import Places
from counterfoil.ledger.rotation import rotate_key

SOON_S = 60.0
APPEND = """
from counterfoil.core.receipt import format_receipt
import itertools, os
for number in itertools.count():
    entry = b"%d %d" % (os.getpid(), number)
    print(repr((entry, format_receipt(log.append(entry)))), flush=True)
"""
ASKED = """
import sys, warnings
warnings.simplefilter("always")
from counterfoil.errors import CounterfoilError
for line in sys.stdin:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            answer = f"{log.append(line.encode()).index}"
        except CounterfoilError as error:
            answer = f"{type(error).__name__}: {error}"
    print(answer, *(one.message for one in said), flush=True)
"""


@pytest.fixture
def database(shared):
    """The tables of a shared log."""
    opened = Database(parse_address(shared.location))
    yield opened
    opened.close()


def test_receipts_of_before_stay_valid(store):
    """Of each key, as far as it counts; a reader that stayed open follows."""
    with store.open() as log:
        told = [(b"old", log.append(b"old"))]
        old = log.key
    with store.open() as reader:
        for number in range(1, 3):
            with store.open() as log:
                done = rotate_key(log)
                assert (log.key, len(done.keys.earlier)) == (done.keys.key, number)
                assert open_checkpoint(log.checkpoint, old if number == 1 else log.keys)
                new = b"under key %d" % number
                told.append((new, log.append(new)))
            reader.refresh()
            assert reader.keys == done.keys
    with store.open() as log:
        assert log.keys == done.keys
        assert open_note(log.checkpoint, *log.keys.all).verified == (log.key,)
        assert b"witness.example" in log.checkpoint, "the local witness has not followed"
        for entry, receipt in told:
            check_receipt(entry, receipt, log.keys)
            check_receipt(entry, log.receipt(receipt.index), log.keys)
        stolen = sign_checkpoint(Checkpoint(log.origin, log.size, log.root), store.signer)
        with pytest.raises(SignatureError, match="does not count"):
            open_checkpoint(stolen, log.keys)
        audit(log)


def test_the_hand_over_is_signed_by_both_keys(store):
    """It is published, and the old private key is gone from this machine."""
    with store.open() as log:
        log.append(b"x")
    with store.open() as log:
        key = prepare_next_key(log.places).key
        rotate_key(log)
        assert open_note(log.checkpoint, store.signer.key, key).verified == (
            store.signer.key,
            key,
        )
        assert load_key(log.places.keys / "log.pem").key == key
        assert not list(log.places.keys.glob("log.next*"))


@pytest.mark.parametrize("kind", ["postgres-files", "postgres-s3"])
def test_a_rotated_log_moves(make_store, kind):
    """There and back, rotated here, there, and here again: all receipts stay valid."""
    old, new = make_store("embedded"), make_store(kind)
    old.make()
    told = []
    for source, target in ((old, new), (new, old), (old, new)):
        with source.open() as log:
            rotate_key(log)
            told += [(one, log.append(one)) for one in (b"%d" % log.size, b"x%d" % log.size)]
            keys = log.keys
        with source.open() as log:
            rotate_key(log)
            after = log.keys
        assert len(after.earlier) == len(keys.earlier) + 1
        # The newest checkpoint is signed by the key before, too: nothing came after it.
        moved = move_log(source.location, target.location)
        assert move_log(source.location, target.location) == moved, "it is safe to repeat"
        with target.open() as log:
            assert log.keys == after
            for entry, receipt in told:
                check_receipt(entry, receipt, log.keys)
            told.append((b"on", log.append(b"on")))
            audit(log)
        with source.open() as left, pytest.raises(ConflictError, match="was moved to"):
            left.append(b"x")


def test_a_place_that_a_log_left_does_not_accuse(make_store, tmp_path):
    """It went on elsewhere under a key that this place does not know, and that is what is said."""
    store, folder = make_store("postgres-files"), tmp_path / "ledger"
    cf.init(folder).close()
    move_log(folder, store.location)
    with cf.open(store.location) as ledger:
        rotate_key(ledger)
        ledger.append(b"more")
    with pytest.raises(cf.errors.VerificationError, match="was moved to postgresql"):
        cf.verify(folder)


def test_rotated_while_servers_append(shared):
    """Nobody has to stop: whatever was acknowledged is there, and valid by the log's keys."""
    busy = [shared.in_process(APPEND) for _ in range(2)]
    told = [eval(process.stdout.readline()) for process in busy]  # noqa: S307 our own words
    for _ in range(3):
        with shared.open() as log:
            rotate_key(log)
            size = log.size
        for process in busy:  # each goes on, under the new key
            while parse_receipt(told[-1][1]).index < size:
                told.append(eval(process.stdout.readline()))  # noqa: S307 our own words
            told.append(eval(process.stdout.readline()))  # noqa: S307 our own words
    for process in busy:
        process.kill()
        with process:
            lines = [line for line in process.stdout if line.endswith("\n")]
        told += [eval(line) for line in lines]  # noqa: S307 our own words
    roots = {}
    with shared.open() as log:
        log.append(b"the last one")
        assert len(log.keys.earlier) == 3
        for entry, text in told:
            receipt = parse_receipt(text)
            checkpoint = check_receipt(entry, receipt, log.keys)
            assert log.entry(receipt.index) == entry
            assert roots.setdefault(checkpoint.size, checkpoint.root) == checkpoint.root
            assert log.root_at(checkpoint.size) == checkpoint.root
        audit(log)


def test_a_server_without_the_new_key_does_not_lead(make_store, tmp_path, monkeypatch):
    """It says so, appends and reads as long as another one leads, and goes on with the key."""
    shared = make_store("postgres-files")
    shared.make()
    here, there = Path(os.environ["COUNTERFOIL_HOME"]), tmp_path / "machine-2"
    shutil.copytree(here, there)
    monkeypatch.setenv("COUNTERFOIL_HOME", str(there))
    other = shared.in_process(ASKED)
    monkeypatch.setenv("COUNTERFOIL_HOME", str(here))

    def ask():
        other.stdin.write("entry\n")
        other.stdin.flush()
        return other.stdout.readline()

    assert ask() == "0\n"
    with shared.open() as log:
        rotate_key(log)
        log.append(b"leads")
        index, said = 1, ""
        until = time.monotonic() + SOON_S
        while not said:  # it hears of the new key when it next looks
            assert time.monotonic() < until
            index += 1
            answer, _, said = ask().strip().partition(" ")
            assert answer == f"{index}"
        assert said.startswith("this process cannot lead the log: example.com/stores was handed")
        assert str(Places(log.origin).keys.relative_to(here)) in said
        assert ask() == f"{index + 1}\n", "it was said"
        monkeypatch.setenv("COUNTERFOIL_HOME", str(there))
        with shared.open() as reader:
            assert reader.keys == log.keys
            check_receipt(b"leads", reader.receipt(1), reader.keys)
            with pytest.raises(ConflictError, match="was handed over to the key"):
                reader.append(b"x")
    answer = ask()
    assert answer.startswith("UnavailableError: the entries are queued durably"), answer
    assert "was handed over to the key" in answer
    for name in ("log.pem", "log.vkey"):
        path = Path("keys") / Places(log.origin).slug / name
        shutil.copy2(here / path, there / path)
    until = time.monotonic() + SOON_S
    while not (answer := ask()).strip().isdigit():
        assert time.monotonic() < until, answer
    other.communicate()
    with shared.open() as log:
        assert open_note(log.checkpoint, *log.keys.all).verified == (log.key,)
        # Its own witness has learnt the key from what was put there.
        memory = LocalWitness(Places(log.origin).witness).memory()
        assert open_checkpoint(memory, log.key).size > 3


def test_the_next_key_that_a_server_was_given_is_taken_up(make_store, tmp_path, monkeypatch):
    """Copied beforehand, it is in its place once it is in force, with nobody asked to do more."""
    shared = make_store("postgres-files")
    shared.make()
    here, there = Path(os.environ["COUNTERFOIL_HOME"]), tmp_path / "machine-2"
    keys = Places(shared.signer.key.name).keys.relative_to(here)
    with shared.open() as log:
        prepare_next_key(log.places)
        shutil.copytree(here, there)
        rotate_key(log)
    monkeypatch.setenv("COUNTERFOIL_HOME", str(there))
    with shared.open() as log:
        log.append(b"x")
        assert open_note(log.checkpoint, *log.keys.all).verified == (log.key,)
        assert b"witness.example" in log.checkpoint
    assert sorted(path.name for path in (there / keys).glob("log*")) == ["log.pem", "log.vkey"]


@pytest.mark.parametrize("kind", ["embedded", "postgres-files"])
def test_a_log_that_is_rotated_while_it_moves(make_store, monkeypatch, kind):
    """It arrives under the new key, though the old one has signed its newest checkpoint, too."""
    old = make_store(kind)
    new = make_store("postgres-files" if kind == "embedded" else "embedded")
    old.make()
    with old.open() as log:
        log.append(b"x")
    end = ends.FolderEnd if kind == "embedded" else ends.SharedEnd
    real = end.freeze

    def freeze(self, to):
        with old.open() as log:
            rotate_key(log)
        real(self, to)

    monkeypatch.setattr(end, "freeze", freeze)
    move_log(old.location, new.location)
    with new.open() as log:
        assert len(log.keys.earlier) == 1
        log.append(b"y")
        assert open_note(log.checkpoint, *log.keys.all).verified == (log.key,)


def test_nobody_goes_on_with_the_old_key(shared, database):
    """A leader of before is fenced, and one that knows the old key alone cannot take over."""
    with shared.open() as log:
        log.append(b"x")
        keys, checkpoint = log.keys, Checkpoint(log.origin, 1, log.root)
    new = generate_key(keys.name, Algorithm.ED25519)
    following, begun = keys.followed_by(new.key, 1), sign_checkpoint(checkpoint, new)
    both = Head(1, checkpoint.root, sign_checkpoint(checkpoint, shared.signer, new))
    beyond = Checkpoint(keys.name, 2, checkpoint.root)
    head = Head(2, beyond.root, sign_checkpoint(beyond, shared.signer))
    with database.session("leading as before") as old:
        before = state.lead(old, database, "before")
        with database.transaction("handing over") as connection:
            state.hand_over(connection, database, following, both, begun)
        for act in (
            lambda: state.swap(old, before.epoch, before.committed, head, {}),
            lambda: state.publish(old, database, before.epoch, both),
        ):
            with pytest.raises(state.FencedError):
                act()
        assert state.try_lock(old, database, shared.signer.key) is None
        found = state.lead(old, database, "of an earlier version, which asks for no key")
        assert found.keys == following
        with pytest.raises(SignatureError):
            leader._require_own(found.committed, keys)
        leader._require_own(found.committed, following)
        # Whoever wants to hand it over once more from what was known before comes too late.
        with pytest.raises(ConflictError, match="went on before"), old.transaction():
            state.hand_over(old, database, following, both, begun)


def test_what_cannot_be_published_stops_a_hand_over(shared, database, monkeypatch):
    """Nothing changes, and callers are let in again."""
    monkeypatch.setattr("counterfoil.cluster.writer._ALONE_WITHIN_S", 1.0)
    with shared.open() as log:
        log.append(b"x")
        monkeypatch.setattr(state, "read_settled", lambda _: None)
        with shared.open() as other, pytest.raises(UnavailableError, match="does not get publ"):
            rotate_key(other)
        monkeypatch.undo()
        assert log.append(b"y").index == 1
        with database.transaction("looking") as connection:
            assert state.read_keys(database, connection) == LogKeys(shared.signer.key)
