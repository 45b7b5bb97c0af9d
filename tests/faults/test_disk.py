from __future__ import annotations

import os
import resource
import signal

import pytest

import counterfoil as cf
from counterfoil.core.receipt import format_receipt
from counterfoil.core.requirements import Mode
from counterfoil.core.statement import Subject
from counterfoil.errors import ConflictError, UnavailableError, VerificationError
from counterfoil.ledger.log import Log

ORIGIN = "example.com/disk"
ENTRY = bytes(2000)

pytestmark = pytest.mark.usefixtures("small_journal", "near_witness")


def fill(log, seen):
    """Append until the disk refuses."""
    for number in range(1000):
        entry = b"%d " % number + ENTRY
        seen.acknowledge(entry, format_receipt(log.append(entry)))


def test_a_full_disk_stops_the_log_and_nothing_else(small_disk, make_keys, outside):
    """It says that there is no room; with room it goes on, and nothing acknowledged is lost."""
    folder, _ = small_disk
    signer = make_keys(ORIGIN, witness=True)
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(64_000))
    Log.create(folder / "ledger", signer)
    seen = outside(signer.key)
    log = Log(folder / "ledger")
    for _ in range(3):
        with pytest.raises(UnavailableError, match="No space left") as caught:
            fill(log, seen)
        assert "free space" in caught.value.hint
        published = seen.look(folder / "ledger")
        assert published >= len(seen.told) > 20
    with pytest.raises(UnavailableError):
        log.attest([Subject("x", {"sha256": "ab" * 32})], "approval", {"stage": "x"})
    assert log.find(predicate="approval") == []  # the index has no room either, and needs none
    ballast.unlink()
    seen.acknowledge(b"room again", format_receipt(log.append(b"room again")))
    seen.check(log)
    log.close()
    with Log(folder / "ledger") as log:
        seen.check(log)


def test_where_there_is_no_room_no_ledger_is_made(small_disk):
    """`init` says so; once there is room, it makes the ledger."""
    folder, _ = small_disk
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(300_000))
    with pytest.raises(UnavailableError, match="No space left"):
        cf.init(folder / "ledger")
    with pytest.raises(cf.FormatError, match="no ledger"):
        cf.open(folder / "ledger")
    ballast.unlink()
    with cf.init(folder / "ledger") as ledger:
        assert ledger.policy.show().version == 1


def test_a_read_only_ledger_can_be_read(small_disk, make_keys, outside):
    """From a read-only disk everything is read, found and audited; appending says why not."""
    folder, remount = small_disk
    signer = make_keys(ORIGIN)
    Log.create(folder / "ledger", signer)
    seen = outside(signer.key)
    with Log(folder / "ledger") as log:
        made = log.attest([Subject("x", {"sha256": "ab" * 32})], "approval", {"stage": "x"})
        seen.acknowledge(log.entry(0), format_receipt(made.receipt))
    remount("ro")
    with Log(folder / "ledger") as log:
        seen.check(log)
        assert [found.index for found in log.find(subject="x")] == [0]
        with pytest.raises(UnavailableError, match="Read-only"):
            log.append(b"more")
        seen.check(log)
    assert cf.verify(folder / "ledger").facts["size"] == 1
    with pytest.raises(UnavailableError, match="Read-only"):
        cf.init(folder / "other")
    remount("rw")
    with Log(folder / "ledger") as log:
        log.append(b"more")
        seen.check(log)


def test_a_limit_on_file_sizes_is_a_full_disk(tmp_path, make_keys, outside, in_child):
    """Where a file may not grow, appending says so and a process without that limit goes on."""
    signer = make_keys(ORIGIN)
    Log.create(tmp_path / "ledger", signer)

    def act(tell):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        log = Log(tmp_path / "ledger")
        tell(b"before", log.append(b"before"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        try:
            for number in range(100):
                tell(b"%d" % number + ENTRY, log.append(b"%d" % number + ENTRY))
        except UnavailableError as error:
            return 7 if "too large" in str(error) else 8
        return 0

    code, told = in_child(act)
    assert code == 7
    seen = outside(signer.key)
    for entry, receipt in told:
        seen.acknowledge(entry, receipt)
    assert len(told) > 10
    with Log(tmp_path / "ledger") as log:
        log.append(b"after")
        seen.check(log)


@pytest.fixture
def killed(tmp_path, make_keys, in_child, outside):
    """A log whose writer was killed: its journal holds what the flat files may not."""
    signer = make_keys(ORIGIN)
    Log.create(tmp_path / "ledger", signer)

    def act(tell):
        log = Log(tmp_path / "ledger")
        for number in range(4):
            tell(b"%d" % number, log.append(b"%d" % number))
        os.kill(os.getpid(), signal.SIGKILL)

    code, told = in_child(act)
    assert code == -9
    seen = outside(signer.key)
    for entry, receipt in told:
        seen.acknowledge(entry, receipt)
    return tmp_path / "ledger", seen


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_journal_that_was_cut_takes_nothing_with_it(killed, keep):
    """After a kill, also a cut journal: what was acknowledged is in the other files already."""
    folder, seen = killed
    journal = folder / "log" / "journal"
    os.truncate(journal, int(journal.stat().st_size * keep))
    with Log(folder) as log:
        seen.acknowledge(b"after", format_receipt(log.append(b"after")))
        seen.check(log)


def test_a_journal_that_is_gone_is_named(killed):
    """Without its journal the log is read as before, and not written."""
    folder, seen = killed
    (folder / "log" / "journal").unlink()
    with Log(folder) as log:
        seen.check(log)
        with pytest.raises(UnavailableError, match="journal"):
            log.append(b"x")
        seen.check(log)


@pytest.mark.parametrize("name", ["entries", "ends", "level0", "head", "journal", "writer.lock"])
def test_a_link_in_a_files_place_is_not_followed(tmp_path, make_keys, name):
    """What a link leads to is never written, and the log says which file is one."""
    signer = make_keys(ORIGIN)
    Log.create(tmp_path / "ledger", signer)
    with Log(tmp_path / "ledger") as log:
        log.append(b"one")
    path = tmp_path / "ledger" / "log" / name
    elsewhere = path.rename(tmp_path / "elsewhere")
    before = elsewhere.read_bytes()
    path.symlink_to(elsewhere)
    with pytest.raises(UnavailableError, match=name), Log(tmp_path / "ledger") as log:
        log.append(b"two")
    assert elsewhere.read_bytes() == before


def test_an_older_head_signs_nothing(tmp_path, make_keys, outside):
    """A head file of an earlier time is a true earlier state to read, and stops the writer."""
    signer = make_keys(ORIGIN)
    Log.create(tmp_path / "ledger", signer)
    seen = outside(signer.key)
    head = tmp_path / "ledger" / "log" / "head"
    with Log(tmp_path / "ledger") as log:
        log.append(b"one")
    older = head.read_bytes()
    with Log(tmp_path / "ledger") as log:
        seen.acknowledge(b"two", format_receipt(log.append(b"two")))
    newer = head.read_bytes()
    head.write_bytes(older)
    with Log(tmp_path / "ledger") as log:
        assert seen.look(tmp_path / "ledger") == 1
        with pytest.raises(VerificationError, match=r"holds .* bytes where size"):
            log.append(b"other two")
    assert head.read_bytes() == older
    head.write_bytes(newer)
    with Log(tmp_path / "ledger") as log:
        log.append(b"three")
        seen.check(log)


def test_a_lost_identity_does_not_become_another_log(tmp_path, make_keys):
    """Without ledger.json, entries are not taken over by a new key; restored, all is as before."""
    signer = make_keys(ORIGIN)
    Log.create(tmp_path / "ledger", signer)
    with Log(tmp_path / "ledger") as log:
        log.append(b"one")
    identity = tmp_path / "ledger" / "ledger.json"
    data = identity.read_bytes()
    identity.unlink()
    before = {path: path.read_bytes() for path in (tmp_path / "ledger" / "log").iterdir()}
    with pytest.raises(ConflictError, match=r"ledger\.json is missing"):
        cf.init(tmp_path / "ledger")
    lock = tmp_path / "ledger" / "log" / "writer.lock"
    assert {path: path.read_bytes() for path in before if path != lock} == {
        path: data for path, data in before.items() if path != lock
    }
    identity.write_bytes(data)
    with Log(tmp_path / "ledger") as log:
        log.append(b"two")


def say_no(rows):
    return ["no" for _ in rows]


def test_a_clock_that_goes_backwards_stops_nothing(tmp_path):
    """Decisions, batches, a policy and their evidence stand; only the times are what they are."""
    now = [1_800_000_000.0]
    ledger = cf.init(tmp_path / "ledger", clock=lambda: now[0])
    model = ledger.models.add(say_no, name="f")
    first = model.decide([[1]], data_subjects=["ann"])[0]
    now[0] -= 86_400
    second = model.decide([[2]], data_subjects=["bob"])[0]
    ledger.models.approve("f", by=("operator",))
    ledger.policy.enforce("production", Mode.WARN)
    closed = [one.statement.predicate["closed"] for one in ledger.find(predicate="batch")]
    assert closed == sorted(set(closed))
    for decision in (first, second):
        assert cf.verify(decision.evidence()).trusted
    with pytest.raises(cf.RefusedError, match="months"):
        ledger.people.erase("ann", basis="GDPR Art. 17", approvers=("a", "b"))
    now[0] += 4 * 366 * 86_400
    ledger.people.erase("ann", basis="GDPR Art. 17", approvers=("a", "b"))
    now[0] -= 86_400
    assert ledger.people.export("ann") == {}
    assert cf.verify(second.evidence()).trusted
    ledger.close()
