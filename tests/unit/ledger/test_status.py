from __future__ import annotations

import os
import shutil

import pytest

import counterfoil
from counterfoil.core.keys import Algorithm
from counterfoil.core.policy import format_policy
from counterfoil.core.quorum import Witness
from counterfoil.errors import SignatureError, UnavailableError, VerificationError
from counterfoil.ledger import status
from counterfoil.ledger.keyfiles import generate_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.status import Standing, check_memory, read_status


def test_log_of_a_stranger_is_self_witnessed(make_log):
    """Without policy and witness there is no more to a log than its own word."""
    with Log(make_log()) as log:
        found = read_status(log)
    assert (found.grade, found.policy, found.witness) == ("self-witnessed", None, None)
    assert (found.size, found.waiting, found.writer) == (0, 0, None)


def test_witness_that_has_seen_nothing_is_fresh(make_log):
    """A witness that was never asked remembers nothing."""
    with Log(make_log(witness=True)) as log:
        assert read_status(log).witness.standing is Standing.FRESH


def test_witness_remembers_what_it_cosigned(make_log):
    """After an append the witness's memory is the log's own checkpoint."""
    with Log(make_log(witness=True)) as log:
        log.append(b"one")
        memory = read_status(log).witness
        assert memory.standing is Standing.SAME
        assert (memory.checkpoint.size, memory.checkpoint.root) == (1, log.root)
        assert memory.key.startswith("witness.example+")


def test_folder_can_be_ahead_behind_or_contradict(make_log, tmp_path):
    """A silent witness, a restored snapshot and a rewritten history are three different things."""
    folder = make_log(witness=True)
    with Log(folder) as log:
        log.append(b"one")
        witness = log.places.witness
    shutil.copytree(folder, tmp_path / "snapshot")
    with Log(folder) as log:
        log.append(b"two")
    with Log(tmp_path / "snapshot") as log:
        assert read_status(log).witness.standing is Standing.BEHIND
    shutil.move(witness, tmp_path / "away")  # the operator goes on without the witness
    with Log(tmp_path / "snapshot") as log:
        log.append_many([b"other", b"history"])
    with Log(folder) as log:
        log.append(b"three")
    shutil.move(tmp_path / "away", witness)
    with Log(folder) as log:
        assert read_status(log).witness.standing is Standing.AHEAD
    with Log(tmp_path / "snapshot") as log:
        assert read_status(log).witness.standing is Standing.CONTRADICTS


def test_memory_of_another_key_is_not_believed(make_log):
    """A checkpoint that the log did not sign is no memory of it."""
    with Log(make_log(witness=True)) as log:
        log.append(b"one")
        (memory,) = log.places.witness.glob("*.checkpoint")
        memory.write_bytes(memory.read_bytes().replace(b"\n1\n", b"\n2\n"))
        with pytest.raises(SignatureError):
            read_status(log)


def test_writer_is_named_while_it_writes(make_log):
    """Readers learn which process writes, and that nobody does once it has closed."""
    folder = make_log()
    with Log(folder) as reader:
        with Log(folder) as writer:
            writer.append(b"one")
            assert read_status(reader).writer == os.getpid()
        assert read_status(reader).writer is None


def test_asking_does_not_keep_a_writer_out(make_log):
    """Whoever asks for the status takes no lock that lasts."""
    folder = make_log()
    with Log(folder) as reader, Log(folder) as writer:
        writer.append(b"one")
        writer.close()
        read_status(reader)
        with Log(folder) as another:
            another.append(b"two")


def test_unmet_quorum_is_said(tmp_path):
    """A policy that asks for more witnesses than signed is not passed over in silence."""
    with counterfoil.init(tmp_path / "ledger") as ledger:
        trust, witness = ledger.places.trust, ledger.places.witness
    shutil.move(witness, tmp_path / "away")
    with counterfoil.open(tmp_path / "ledger") as ledger:
        ledger.append(b"not cosigned")
        asking = trust.read_text().replace("quorum = 0", "quorum = 1")
        trust.write_text(asking.rpartition("# digest")[0])
        assert "the policy asks for 1" in read_status(ledger).lacking
        with pytest.raises(UnavailableError, match="not published"):
            ledger.append(b"durable, and shown to nobody yet")
    shutil.move(tmp_path / "away", witness)
    with counterfoil.open(tmp_path / "ledger") as ledger:
        ledger.append(b"cosigned")
        assert read_status(ledger).lacking == ""
        assert ledger.entry(ledger.size - 2) == b"durable, and shown to nobody yet"


@pytest.fixture
def waiting(tmp_path, monkeypatch):
    """A ledger with two entries that lack the cosignature of somebody who does not answer."""
    monkeypatch.setattr(status, "_PUBLISHING_S", 0.1)
    folder = tmp_path / "ledger"
    with counterfoil.init(folder) as ledger:
        ledger.append(b"seen")
        shutil.copytree(folder, tmp_path / "snapshot")
        policy = ledger.policy.show()
        key = generate_key("mute", Algorithm.COSIGNATURE_ED25519).key
        mute = Witness("mute", key, "Mute LLP", url="http://127.0.0.1:9/w")
        asking = policy.followed_by(witnesses=(*policy.witnesses, mute), quorum=2)
        ledger.places.trust.write_text(format_policy(asking))
        with pytest.raises(UnavailableError, match="1 witness cosigned"):
            ledger.append_many([b"durable", b"too"])
    return folder


def test_entries_that_wait_for_a_witness_are_no_set_back(waiting):
    """The local witness has cosigned them, and the journal holds them: they are counted."""
    with counterfoil.open(waiting) as ledger:
        found = read_status(ledger)
        assert (found.waiting, found.witness.standing) == (2, Standing.WAITING)
        assert found.witness.checkpoint.size == ledger.size + 2
        check_memory(ledger)


@pytest.mark.parametrize("taken", ["journal", "folder", "other"])
def test_a_set_back_is_seen_beside_entries_that_wait(waiting, tmp_path, taken):
    """Without the journal, with an older one, or with that of another history, it is behind."""
    journal = waiting / "log" / "journal"
    if taken == "journal":
        journal.write_bytes(bytes(journal.stat().st_size))
    elif taken == "folder":
        waiting = tmp_path / "snapshot"
    else:  # the same journal, beside leaves that it does not go on from
        with (waiting / "log" / "level0").open("r+b") as leaves:
            leaves.seek(-4 * 32, os.SEEK_END)
            leaves.write(bytes(32))
    with counterfoil.open(waiting) as ledger:
        found = read_status(ledger)
        assert (found.waiting, found.witness.standing) == (0, Standing.BEHIND)
        with pytest.raises(VerificationError, match="restored snapshot"):
            check_memory(ledger)
