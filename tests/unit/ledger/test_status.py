from __future__ import annotations

import os
import shutil

import pytest

import counterfoil
from counterfoil.errors import SignatureError, UnavailableError
from counterfoil.ledger.log import Log
from counterfoil.ledger.status import Standing, read_status


def test_log_of_a_stranger_is_self_witnessed(make_log):
    """Without policy and witness there is no more to a log than its own word."""
    with Log(make_log()) as log:
        status = read_status(log)
    assert (status.grade, status.policy, status.witness) == ("self-witnessed", None, None)
    assert (status.size, status.writer) == (0, None)


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
