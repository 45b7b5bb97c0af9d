from __future__ import annotations

import shutil
import threading

import pytest

from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.core.envelope import sign_envelope
from counterfoil.core.merkle import check_consistency
from counterfoil.core.note import parse_note
from counterfoil.core.receipt import check_receipt
from counterfoil.core.statement import Subject
from counterfoil.errors import (
    ConflictError,
    FormatError,
    SplitViewError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.audit import audit
from counterfoil.ledger.blobs import MAX_INLINE_BYTES
from counterfoil.ledger.log import Log

SUBJECT = Subject("credit", {"sha256": "ab" * 32})


def test_a_receipt_proves_its_entry_to_somebody_who_has_only_the_key(make_log):
    """Entry, receipt and the log's key are enough, and another entry does not fit."""
    with Log(make_log()) as log:
        receipts = [log.append(b"entry %d" % i) for i in range(20)]
        many = log.append_many([b"batch %d" % i for i in range(600)])
        key = log.key
    for index, receipt in enumerate(receipts):
        checkpoint = check_receipt(b"entry %d" % index, receipt, key)
        assert checkpoint.size == index + 1
        with pytest.raises(VerificationError):
            check_receipt(b"another", receipt, key)
    assert len(many) == 600


def test_receipts_of_a_batch_are_there_when_asked_for(make_log):
    """Each of many receipts proves its own entry, later too."""
    with Log(make_log()) as log:
        many = log.append_many([b"batch %d" % i for i in range(600)])
        log.append(b"later")
        for index in (0, 255, 256, 599, -1):
            entry = b"batch %d" % (index % 600)
            assert check_receipt(entry, many[index], log.key).size == 600
        with pytest.raises(IndexError):
            many[600]
        assert check_receipt(b"batch 7", log.receipt(7), log.key).size == 601


def test_appending_nothing_is_no_commit(make_log):
    """An empty batch changes nothing."""
    with Log(make_log()) as log:
        before = log.checkpoint
        assert len(log.append_many([])) == 0
        assert log.checkpoint == before


def test_the_log_grows_consistently_across_processes(make_log):
    """Checkpoints of any two moments are proven to be of one history."""
    folder = make_log()
    checkpoints = []
    for _ in range(4):
        with Log(folder) as log:
            log.append_many([b"x"] * 70)
            checkpoints.append(open_checkpoint(log.checkpoint, log.key))
    with Log(folder) as log:
        for old in checkpoints:
            for new in checkpoints[checkpoints.index(old) :]:
                proof = log.consistency(old.size, new.size)
                check_consistency(old.size, old.root, new.size, new.root, proof)


def test_threads_share_commits_and_every_entry_has_its_own_place(make_log):
    """Entries of 8 threads are all in, each where its receipt says."""
    with Log(make_log()) as log:
        receipts = {}

        def work(thread):
            for i in range(25):
                entry = b"%d/%d" % (thread, i)
                receipts[entry] = log.append(entry)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert log.size == 200
        assert sorted(receipt.index for receipt in receipts.values()) == list(range(200))
        for entry, receipt in receipts.items():
            check_receipt(entry, receipt, log.key)
            assert log.entry(receipt.index) == entry


def test_statements_are_found_by_what_they_say(make_log):
    """Search by subject name, digest, predicate and key; a copy counts once."""
    folder = make_log()
    with Log(folder) as log:
        log.append(b"not a statement")
        made = log.attest([SUBJECT], "approval", {"stage": "production"})
        log.append_envelope(made.envelope)
        other = log.attest([Subject("other", {"sha256": "cd" * 32})], "revocation", {"reason": "x"})
        assert [found.index for found in log.find(subject="credit")] == [made.index]
        assert [found.index for found in log.find(subject="ab" * 32)] == [made.index]
        assert [found.index for found in log.find(predicate="revocation")] == [other.index]
        label = log.principal_key("operator").key.label
        assert [f.index for f in log.find(issuer=label)] == [made.index, other.index]
        assert log.find(subject="nobody") == []
    (folder / "index.sqlite").write_bytes(b"garbage" * 1000)
    with Log(folder) as log:
        assert [found.index for found in log.find(subject="credit")] == [made.index]


def test_a_large_statement_lies_beside_the_log(make_log):
    """The entry holds its digest; losing or changing the bytes is said."""
    folder = make_log()
    with Log(folder) as log:
        made = log.attest([SUBJECT], "evaluation", {"comment": "x" * (MAX_INLINE_BYTES + 1)})
        assert len(log.entry(made.index)) < 200
        assert log.envelope(made.index) == made.envelope
        assert log.find(predicate="evaluation")[0].statement == made.statement
        (blob,) = [path for path in (folder / "blobs").rglob("*") if path.is_file()]
        data = blob.read_bytes()
        blob.write_bytes(data[:999] + bytes([data[999] ^ 1]) + data[1000:])
        with pytest.raises(VerificationError):
            log.envelope(made.index)
        blob.unlink()
        with pytest.raises(UnavailableError):
            log.envelope(made.index)


def test_an_entry_that_is_too_long_is_refused_and_nothing_happens(make_log):
    """65,535 bytes are the most; one more leaves the log as it was."""
    with Log(make_log()) as log:
        log.append(bytes(65_535))
        with pytest.raises(FormatError, match="65536"):
            log.append(bytes(65_536))
        assert log.size == 1
        log.append(b"next")


def test_an_audit_names_the_first_bad_place(make_log):
    """A changed entry, a changed leaf and a changed tile each are found and named."""
    folder = make_log()
    with Log(folder) as log:
        log.append_many([b"entry %d" % i for i in range(1000)])
        report = audit(log)
        assert (report.size, report.root) == (1000, log.root)
    for name, place, said in (
        ("entries", 300 * 10, "entry 2"),
        ("level0", 700 * 32, "entry 700 "),
        ("level1", 32, "entries 256 to 511"),
    ):
        path = folder / "log" / name
        data = path.read_bytes()
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with Log(folder) as log, pytest.raises(VerificationError, match=said):
            audit(log)
        path.write_bytes(data)
    with Log(folder) as log:
        audit(log)


def test_the_witness_cosigns_and_remembers(make_log):
    """Each new checkpoint carries the witness's line."""
    with Log(make_log(witness=True)) as log:
        log.append(b"one")
        names = [signature.name for signature in parse_note(log.checkpoint).signatures]
        assert names == [log.origin, "witness.example"]


def test_a_restored_snapshot_does_not_sign(make_log, tmp_path):
    """A folder that is behind its witness refuses to append, and says why."""
    folder = make_log(witness=True)
    with Log(folder) as log:
        log.append(b"one")
    shutil.copytree(folder, tmp_path / "snapshot")
    with Log(folder) as log:
        log.append(b"two")
    with (
        Log(tmp_path / "snapshot") as log,
        pytest.raises(ConflictError, match="restored from a snapshot"),
    ):
        log.append(b"other two")


def test_two_copies_that_went_on_are_a_split_view(make_log, tmp_path):
    """The second copy to meet the witness is refused, with both checkpoints as evidence."""
    folder = make_log(witness=True)
    with Log(folder) as log:
        log.append(b"one")
    shutil.copytree(folder, tmp_path / "copy")
    witness = Log(folder).places.witness
    # The copy goes on where the witness cannot see it.
    hidden = witness.rename(witness.with_name("hidden"))
    with Log(tmp_path / "copy") as log:
        log.append(b"two")
        log.append(b"three")
    hidden.rename(witness)
    with Log(folder) as log:
        log.append(b"other two")
    with Log(tmp_path / "copy") as log, pytest.raises(SplitViewError) as caught:
        log.append(b"four")
    a = open_checkpoint(caught.value.a, log.key)
    b = open_checkpoint(caught.value.b, log.key)
    assert (a.size, b.size) == (3, 2)


def test_without_its_witness_a_log_goes_on(make_log, tmp_path):
    """Entries are durable and receipted; that the cosignature is missing is said, and it comes."""
    folder = make_log(witness=True)
    places = Log(folder).places
    (places.witness / "key.pem").rename(tmp_path / "key.pem")
    with Log(folder) as log:
        with pytest.warns(UserWarning, match="witness has not cosigned.*key.pem") as said:
            _ = [log.append(entry) for entry in (b"one", b"and one more")]
        assert len(said) == 1
        assert len(parse_note(log.checkpoint).signatures) == 1
    (tmp_path / "key.pem").rename(places.witness / "key.pem")
    with Log(folder) as log:
        log.append(b"two")
        assert len(parse_note(log.checkpoint).signatures) == 2


def test_without_its_key_a_witness_still_remembers(make_log, tmp_path):
    """A folder that was set back does not sign because the witness that knows can only be read."""
    folder = make_log(witness=True)
    with Log(folder) as log:
        log.append(b"one")
    shutil.copytree(folder, tmp_path / "snapshot")
    with Log(folder) as log:
        log.append(b"two")
    (log.places.witness / "key.pem").unlink()
    with (
        Log(tmp_path / "snapshot") as log,
        pytest.raises(ConflictError, match="restored from a snapshot"),
    ):
        log.append(b"other two")
    with Log(folder) as log:
        log.append(b"three")
        assert len(parse_note(log.checkpoint).signatures) == 1


def test_a_folder_without_a_ledger_says_how_to_make_one(tmp_path):
    """The error names the command."""
    with pytest.raises(FormatError, match="no ledger"):
        Log(tmp_path)


def test_the_wrong_log_key_cannot_append(make_log):
    """A key file of another log is refused by name."""
    folder = make_log()
    other = make_log("other", origin="example.com/other")
    keys = Log(folder).places.keys
    for name in ("log.pem", "log.vkey"):
        (Log(other).places.keys / name).replace(keys / name)
    with Log(folder) as log, pytest.raises(ConflictError, match="not the key of"):
        log.append(b"x")


def test_an_unsigned_envelope_is_nobodys_statement(make_log):
    """An envelope without signatures is refused where it is made."""
    with Log(make_log()) as log, pytest.raises(FormatError):
        log.append_envelope(sign_envelope(b"{}"))


def test_no_receipt_is_made_of_an_entry_that_is_not_there(make_log):
    """Whoever asks for one is told how many there are, also under an older checkpoint."""
    with Log(make_log()) as log:
        log.append(b"one")
        older = log.checkpoint
        log.append(b"two")
        for index in (2, -1, 2**62):
            with pytest.raises(FormatError, match=r"there is no entry .* has 2,"):
                log.receipt(index)
        with pytest.raises(FormatError, match=r"there is no entry .* has 1,"):
            log.receipt_under(1, older)
