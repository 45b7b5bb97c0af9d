"""One suite for every store: what a log promises, wherever it lives."""

from __future__ import annotations

import os
import shutil
import threading

import pytest
from forking import fork

import counterfoil as cf
from counterfoil.cluster import writer
from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.core.cosignature import find_cosignatures
from counterfoil.core.keys import Algorithm
from counterfoil.core.merkle import EMPTY_ROOT, check_extension
from counterfoil.core.note import parse_note
from counterfoil.core.policy import format_policy
from counterfoil.core.quorum import Witness
from counterfoil.core.receipt import check_receipt
from counterfoil.core.statement import Subject
from counterfoil.errors import (
    ConflictError,
    FormatError,
    ProofError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger import status
from counterfoil.ledger.audit import audit
from counterfoil.ledger.export import export_site
from counterfoil.ledger.keyfiles import generate_key, load_vkey, save_key
from counterfoil.ledger.places import Places
from counterfoil.ledger.status import read_status

SIZES = (1, 2, 253, 1, 300, 700, 4)  # calls that end before, at and behind borders of tiles


def entries_of(count, name="entry"):
    return [f"{name} {number}".encode() for number in range(count)]


def test_every_entry_gets_a_receipt_that_holds(store):
    """Each receipt proves its entry under the log's key, also those of earlier calls, later."""
    with store.open() as log:
        assert (log.size, log.root) == (0, EMPTY_ROOT)
        told = []
        for count in SIZES:
            entries = entries_of(count, f"call of {count}")
            receipts = log.append_many(entries)
            assert [receipts[0].index, receipts[-1].index] == [len(told), len(told) + count - 1]
            told += entries
            check_receipt(entries[0], receipts[0], log.key)
            check_receipt(entries[-1], receipts[-1], log.key)
        assert log.size == len(told) == sum(SIZES)
        assert list(log.entries(0, log.size)) == told
        for index in (0, 1, 255, 256, 511, 1023, len(told) - 1):
            assert log.entry(index) == told[index]
            check_receipt(told[index], log.receipt(index), log.key)


def test_log_only_grows(store):
    """Every checkpoint that was ever shown is extended by every later one."""
    with store.open() as log:
        notes = [log.checkpoint]
        for count in SIZES:
            log.append_many(entries_of(count))
            notes.append(log.checkpoint)
        checkpoints = [open_checkpoint(note, log.key) for note in notes]
        for old in checkpoints:
            assert log.root_at(old.size) == old.root
            for new in checkpoints[checkpoints.index(old) :]:
                proof = log.consistency(old.size, new.size)
                check_extension(old.size, old.root, new.size, new.root, proof)


def test_reader_sees_what_is_published_when_it_asks(store):
    """A reader's view stands still until it is refreshed, and is whole at any time."""
    with store.open() as log, store.open() as reader:
        log.append_many(entries_of(300))
        assert reader.size == 0
        reader.refresh()
        assert (reader.size, reader.root) == (300, log.root)
        log.append_many(entries_of(300))
        assert reader.size == 300
        check_receipt(b"entry 299", reader.receipt(299), reader.key)
        assert reader.entry(280) == b"entry 280"


@pytest.mark.parametrize(
    "given", [b"bytes", "text", 5, None, [b"a", "text"], [b"a", None], [[b"a"]], {b"a": b"b"}]
)
def test_what_is_no_list_of_entries_fails_alone(store, given):
    """A call that hands over something else is refused before it is queued; the next ones go on."""
    with store.open() as log:
        with pytest.raises(FormatError, match="was asked for, not the"):
            log.append_many(given)
        with pytest.raises(FormatError, match="index to look from"):
            log.append_many([b"a"], since=0.5)
        assert log.size == 0
        log.append_many(entry for entry in entries_of(3))
        assert log.append(b"next").index == 3
        assert list(log.entries(0, 4)) == [*entries_of(3), b"next"]


def test_reopened_log_goes_on(store):
    """What was appended is there after closing, and the next entry stands behind it."""
    for round_ in range(3):
        with store.open() as log:
            assert log.size == 40 * round_
            assert log.append_many(entries_of(40))[0].index == 40 * round_
    with store.open() as log:
        assert audit(log).size == 120


def test_threads_share_a_writer(store):
    """Many threads append at once: each entry is in, once, where its receipt says."""
    told = {}
    with store.open() as log:

        def work(name):
            for number in range(8):
                entry = f"{name} {number}".encode()
                receipt = log.append(entry)
                check_receipt(entry, receipt, log.key)
                told[receipt.index] = entry

        threads = [threading.Thread(target=work, args=(name,)) for name in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(told) == [*range(128)]
        assert [told[index] for index in range(128)] == list(log.entries(0, 128))


def test_processes_share_a_log(store):
    """As many processes append as the store allows, the next is refused; nothing is lost."""
    code = (
        "for number in range(12):\n"
        "    entry = f'{NAME} {number}'.encode()\n"
        "    print(log.append(entry).index, entry.decode(), flush=True)\n"
        "    if number == 0: input()\n"
    )
    running = [store.in_process(f"NAME = {n}\n{code}") for n in range(store.writers)]
    told = {}
    for process in running:
        index, _, entry = process.stdout.readline().strip().partition(" ")
        told[int(index)] = entry.encode()
    if store.writers == 1:
        with store.open() as log, pytest.raises(ConflictError, match="already has a writer"):
            log.append(b"one too many")
    for process in running:
        output, _ = process.communicate("\n", timeout=60)
        assert process.returncode == 0
        for line in output.splitlines():
            index, _, entry = line.partition(" ")
            told[int(index)] = entry.encode()
    with store.open() as log:
        assert sorted(told) == [*range(12 * store.writers)]
        assert [told[index] for index in sorted(told)] == list(log.entries(0, log.size))
        assert audit(log).size == 12 * store.writers


def test_too_long_an_entry_is_refused_alone(store):
    """The longest entry is 65,535 bytes; a call with a longer one appends nothing at all."""
    with store.open() as log:
        with pytest.raises(FormatError, match="entry 1 of this call has 65536 bytes"):
            log.append_many([b"x", bytes(65_536)])
        assert log.append(bytes(65_535)).index == 0
        assert log.entry(0) == bytes(65_535)


def test_no_entries_are_appended_by_an_empty_call(store):
    """An empty call gives no receipts, and the log stays as it is; an empty entry is one."""
    with store.open() as log:
        assert len(log.append_many([])) == 0
        assert log.append(b"").index == 0
        assert (log.size, log.entry(0)) == (1, b"")


def test_index_that_is_not_there(store):
    """Asking for what is not there says so; nobody waits for it."""
    with store.open() as log:
        log.append(b"x")
        for ask in (log.entry, log.receipt):
            with pytest.raises((FormatError, ProofError), match="there is no"):
                ask(1)


def test_large_statement_lies_beside_the_log(store):
    """Bytes over 45 KiB are held by digest; lost or changed ones are never passed off as theirs."""
    with store.open() as log:
        body = {"text": "x" * 40_000}
        attested = log.attest([Subject("s", {"sha256": "ab" * 32})], "approval", body)
        assert len(log.entry(attested.index)) < 200
        assert log.envelope(attested.index) == attested.envelope
        audit(log)
        ((path, data),) = store.blobs().items()
        store.write_blob(path, data.replace(b"e", b"f", 1))
        with pytest.raises(VerificationError, match="is not what"):
            log.envelope(attested.index)
        store.write_blob(path, None)
        with pytest.raises(UnavailableError, match="not beside the log"):
            audit(log)


def test_audit_names_a_changed_entry(store):
    """Whoever changes an entry in the store is found out by an audit, and by reading it."""
    with store.open() as log:
        log.append_many(entries_of(600))
    store.damage(1, b"entry 300", b"entry 3OO")
    with store.open() as log:
        with pytest.raises(VerificationError, match="entry 300"):
            audit(log)
        with pytest.raises(VerificationError, match="entry 300"):
            log.entry(300)
        assert log.entry(299) == b"entry 299"


def test_every_store_holds_the_same_bytes(make_store, tmp_path, signer):
    """The same entries under one key make the same root and the same tiles in every store."""
    # To one witness, two logs of one origin would be a fork.
    shutil.rmtree(Places(signer.key.name).witness)
    sites = []
    for kind in ("embedded", "postgres-files", "postgres-s3"):
        store = make_store(kind)
        store.make()
        with store.open() as log:
            for count in SIZES:
                log.append_many(entries_of(count))
            export_site(log, tmp_path / kind)
        files = [path for path in (tmp_path / kind).rglob("*") if path.is_file()]
        sites.append({p.relative_to(tmp_path / kind): p.read_bytes() for p in files})
    assert sites[0] == sites[1] == sites[2]


def test_a_witness_that_was_silent_cosigns_later(store):
    """Asked again, it signs the same checkpoint, which others see and receipts carry."""
    with store.open() as log:
        key = load_vkey(Places(log.origin).witness / "key.vkey")
        private = Places(log.origin).witness / "key.pem"
        private.rename(private.with_name("away.pem"))
        with pytest.warns(UserWarning, match="local witness has not cosigned"):
            index = log.append(b"x").index
        assert not find_cosignatures(parse_note(log.checkpoint), [key])
        size = log.size
        assert list(log.ask_witnesses()) == ["local"]
        private.with_name("away.pem").rename(private)
        assert log.ask_witnesses() == {}
        assert find_cosignatures(parse_note(log.receipt(index).checkpoint), [key])
        with store.open() as reader:
            assert (reader.size, reader.checkpoint) == (size, log.checkpoint)
        log.append(b"goes on")


def test_local_witness_cosigns(store):
    """The witness on this machine has signed each checkpoint that its own writer published."""
    with store.open() as log:
        log.append_many(entries_of(3))
        key = load_vkey(Places(log.origin).witness / "key.vkey")
        assert find_cosignatures(parse_note(log.checkpoint), (key,))


def test_without_a_quorum_nothing_is_published_and_nothing_is_lost(make_store, kind):
    """Entries whose checkpoint lacks its witnesses wait, and are in once it has them."""
    store = make_store(kind)
    with cf.init(store.location) as ledger:
        ledger.append(b"before")
        size, policy = ledger.size, ledger.policy.show()
        key = generate_key("gone.example", Algorithm.COSIGNATURE_ED25519).key
        gone = Witness("gone", key, "Elsewhere", url="http://127.0.0.1:1")
        demanding = policy.followed_by(witnesses=(*policy.witnesses, gone), quorum=2)
        with pytest.raises(UnavailableError, match="not published") as caught:
            ledger.policy.adopt(demanding)
        assert "the same file again" in caught.value.hint
        # The refused policy is not gone by, and what it left is published under the old one.
        assert ledger.append(b"after").index == size + 1
        assert [found.index for found in ledger.find(predicate="policy")][-1] == size
        # It is the second policy of the log, whoever adopts: no other one takes its place.
        with pytest.raises(ConflictError, match=rf"version 2 .* as entry {size}"):
            ledger.policy.adopt(policy.followed_by(name="another"))
        assert ledger.policy.show() == policy
        assert ledger.policy.adopt(demanding) == size
        assert ledger.policy.show().quorum == 2


def test_entries_that_wait_for_a_witness_are_counted(make_store, kind, monkeypatch):
    """Status and verify tell of what is durable and not published, and know it from a set-back."""
    monkeypatch.setattr(writer, "PATIENCE_S", 2.0)
    monkeypatch.setattr(status, "_PUBLISHING_S", 0.1)
    store = make_store(kind)
    with cf.init(store.location) as ledger:
        size, policy = ledger.size, ledger.policy.show()
        assert read_status(ledger).waiting == 0
        key = generate_key("gone.example", Algorithm.COSIGNATURE_ED25519).key
        gone = Witness("gone", key, "Elsewhere", url="http://127.0.0.1:1")
        demanding = policy.followed_by(witnesses=(*policy.witnesses, gone), quorum=2)
        ledger.places.trust.write_text(format_policy(demanding))
        with pytest.raises(UnavailableError, match="not published"):
            ledger.append_many([b"durable", b"too"])
    with cf.open(store.location) as reader:
        found = read_status(reader)
        assert (found.size, found.waiting) == (size, 2)
        assert found.witness.standing is status.Standing.WAITING
        assert found.witness.checkpoint.size == size + 2
    assert "2 more entries are durable here and not published" in " ".join(
        cf.verify(store.location, trust=policy).not_checked
    )


@pytest.fixture(params=["embedded", "postgres-files"])
def kind(request):
    """A kind of store, empty."""
    return request.param


def test_nobody_appends_without_the_key(store):
    """Without the log's own key, anybody can read and nobody can append."""
    path = Places(store.signer.key.name).keys / "log.pem"
    path.unlink()
    with store.open() as log, pytest.raises(UnavailableError):
        log.append(b"x")
    save_key(path, generate_key(store.signer.key.name, Algorithm.ED25519))
    with store.open() as log, pytest.raises(ConflictError, match="is not the key"):
        log.append(b"x")


def test_writer_is_not_inherited(store):
    """A process forked from a writer is refused: the log stays with the one that opened it."""
    with store.open() as log:
        log.append(b"x")
        child = fork()
        if child == 0:
            try:
                log.append(b"y")
            except ConflictError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert log.append(b"z").index == 1
