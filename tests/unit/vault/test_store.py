from __future__ import annotations

import os
import shutil
import stat
import threading

import pytest

from counterfoil.core.merkle import check_consistency, check_inclusion, root_of
from counterfoil.core.record import check_disclosures, record_leaf
from counterfoil.errors import ConflictError, FormatError, UnavailableError, VerificationError
from counterfoil.ledger.disk import Disk
from counterfoil.vault import FileKeyStore, StreamStore, store
from counterfoil.vault.folder import FolderPlace
from counterfoil.vault.seal import SLOT_BYTES, unwrap
from counterfoil.vault.subjects import SubjectIndex

FIELDS = ("kind", "inputs", "output")


def test_records_come_back(vault):
    """What was appended is there at once, and after the store was closed and opened."""
    first = vault.create()
    sealed = vault.seal(vault.decision("anna"), vault.decision("bert"))
    assert first.append(sealed, ["anna", None]) == range(2)
    first.close()
    again = vault.open()
    for index, row in enumerate(sealed):
        assert again.disclosures(index) == list(row.disclosures)
        assert again.record(index) == row.record
        assert again.leaf(index) == row.leaf
    assert [again.subject(index) for index in range(2)] == ["anna", None]
    values = check_disclosures(again.record(0), FIELDS, again.disclosures(0))
    assert values["inputs"] == {"name": "needle-anna", "income": 1234.5}


def test_proofs_hold(vault):
    """The tree's proofs are RFC 9162's, over the records' leaves."""
    one = vault.create()
    vault.fill(one, "anna", "bert", "cleo")
    old = one.root()
    vault.fill(one, "dora", "emil")
    assert one.root() == root_of([one.leaf(index) for index in range(5)])
    check_inclusion(one.leaf(3), 3, 5, one.inclusion(3), one.root())
    check_consistency(3, old, 5, one.root(), one.consistency(3))
    assert one.root(3) == old


def test_an_append_is_durable_without_closing(vault, monkeypatch):
    """When `append` returns, another process sees the records; one sync made them durable."""
    one = vault.create()
    syncs = []
    disk = one._opened._disk
    monkeypatch.setattr(disk, "sync", lambda fd: syncs.append(Disk.sync(disk, fd)))
    vault.fill(one, "anna", "bert")
    assert len(syncs) == 1
    assert vault.open(write=False).subject(1) == "bert"


def test_the_disk_holds_no_plaintext(vault):
    """Neither a value nor a subject's name can be read from any file of stream or key store."""
    one = vault.create()
    vault.fill(one, "anna-4711")
    one.close()
    assert vault.files_with(b"needle") == []
    assert vault.files_with(b"anna-4711") == []


def test_the_folder_is_private(vault):
    """Only the owner can enter a stream's folder."""
    vault.create()
    assert stat.S_IMODE(vault.folder.stat().st_mode) == 0o700


def test_the_key_store_opens_it(vault, tmp_path):
    """Without the stream's keys nothing opens."""
    vault.create().close()
    with pytest.raises(UnavailableError, match="no key"):
        vault.open(keys=FileKeyStore(tmp_path / "other-keys"))


def test_no_two_records_share_a_key(vault):
    """A record that must be kept does not keep alive the key of one that was erased."""
    one = vault.create()
    vault.fill(one, "anna", "anna", "anna")
    slots = [one._tree.payload(index)[:SLOT_BYTES] for index in range(3)]
    assert len({unwrap(one._keys, one.stream, n, slot) for n, slot in enumerate(slots)}) == 3


def test_one_writer(vault):
    """A second writer is told so; readers are welcome."""
    vault.create()
    with pytest.raises(ConflictError, match="writer"):
        vault.open()
    vault.open(write=False)


def test_a_reader_changes_nothing(vault):
    """A reader's attempts to write are refused before anything happens, keys included."""
    one = vault.create()
    vault.fill(one, "anna")
    reader = vault.open(write=False)
    for attempt in (
        lambda: vault.fill(reader, "bert"),
        lambda: reader.destroy([0]),
        reader.rotate_epoch,
    ):
        with pytest.raises(ConflictError, match="reading only"):
            attempt()
    assert len(list(vault.keys.folder.iterdir())) == 1


def test_a_reader_follows(vault):
    """A reader sees new records after `refresh`, finds them, and survives a change of epoch."""
    one = vault.create()
    vault.fill(one, "anna")
    reader = vault.open(write=False)
    vault.fill(one, "anna", "bert")
    assert (reader.size, reader.find("anna")) == (1, [0])
    reader.refresh()
    assert (reader.size, reader.find("anna")) == (3, [0, 1])
    one.rotate_epoch()
    vault.fill(one, "anna")
    reader.refresh()
    assert (reader.subject(3), reader.find("anna")) == ("anna", [0, 1, 3])
    one.destroy([0])
    reader.refresh()
    assert reader.find("anna") == [1, 3]


def test_a_reader_knows_less_than_the_index(vault):
    """An index that the writer took further does not show a reader what it has not refreshed."""
    one = vault.create()
    vault.fill(one, "anna")
    reader = vault.open(write=False)
    vault.fill(one, "anna")
    one._index.flush()
    assert reader.find("anna") == [0]
    late = vault.open(write=False)
    assert late.find("anna") == [0, 1]


def test_an_index_ahead_of_its_stream_starts_over(vault, tmp_path):
    """If a stream is restored without its index, the index is rebuilt rather than believed."""
    one = vault.create()
    vault.fill(one, "anna")
    one.close()
    shutil.copytree(vault.folder, tmp_path / "backup")
    one = vault.open()
    vault.fill(one, "bert", "anna")
    one.close()
    shutil.copy(vault.folder / "index.sqlite", tmp_path / "backup")
    one = vault.open(folder=tmp_path / "backup")
    vault.fill(one, "anna")
    assert one.find("anna") == [0, 1]
    assert one._index.size == 2


def test_find_agrees_with_a_scan(vault):
    """The index finds what decrypting everything finds, also after it was lost."""
    one = vault.create()
    vault.fill(one, "anna", "bert", "anna")
    one.append(vault.seal(vault.decision("nobody")), [None])
    one.destroy([0])
    assert one.find("anna") == one.find("anna", scan=True) == [2]
    assert one.find("cleo") == one.find("cleo", scan=True) == []
    one.close()
    (vault.folder / "index.sqlite").unlink()
    assert vault.open().find("anna") == [2]


def test_an_index_that_is_behind_catches_up(vault):
    """What a crash kept from the index is read from the payloads, and erased ones are skipped."""
    one = vault.create()
    vault.fill(one, *(f"person-{n % 7}" for n in range(1500)))
    one.destroy([0])
    vault.fill(one, "person-0", "person-1")
    one._index._waiting.clear()  # as a kill does
    one._index._waiting_rows = 0
    one._index._database.close()
    one._tree.close()
    again = vault.open(write=True)
    assert again.find("person-0") == [*range(7, 1500, 7), 1500]
    assert again.find("person-1")[-1] == 1501


def test_a_lying_index_is_not_believed(vault):
    """A row that names another's record does not make it the subject's."""
    one = vault.create()
    vault.fill(one, "anna", "bert")
    tag = next(tag for tag, places in one._index._waiting.items() if places == [0])
    one._index._waiting[tag].append(1)
    assert one.find("anna") == [0]


def test_a_changed_payload_is_noticed(vault):
    """A record whose stored bytes were changed is an error wherever it is read."""
    one = vault.create()
    vault.fill(one, "anna", "bert")
    one.close()
    path = vault.folder / "entries"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    again = vault.open()
    for read in (again.disclosures, again.record, again.subject):
        with pytest.raises(VerificationError, match="record 0"):
            read(0)
    with pytest.raises(VerificationError, match="record 0"):
        again.find("bert", scan=True)
    assert again.find("bert") == [1]
    assert vault.fill(again, "cleo") == range(2, 3)


def test_a_record_must_match_its_leaf(vault):
    """Disclosures under a leaf that does not commit to them are refused, though they decrypt."""
    one = vault.create()
    honest, other = vault.seal(vault.decision("anna"), vault.decision("bert"))
    one.append([honest._replace(disclosures=other.disclosures)], [None])
    with pytest.raises(VerificationError, match="leaf"):
        one.disclosures(0)


def test_a_destroyed_record_is_gone(vault):
    """A destroyed record does not open, its neighbours do, and the root stands."""
    one = vault.create()
    vault.fill(one, "anna", "bert", "cleo")
    root, leaf = one.root(), one.leaf(1)
    one.destroy([1])
    with pytest.raises(UnavailableError, match="erased"):
        one.disclosures(1)
    assert (one.subject(0), one.subject(2)) == ("anna", "cleo")
    assert (one.root(), one.leaf(1)) == (root, leaf)
    assert one.find("bert") == []
    check_inclusion(record_leaf(one.record(2)), 2, 3, one.inclusion(2), root)


def test_nothing_of_a_destroyed_record_is_on_the_disk(vault):
    """Neither its stored bytes, its key, nor its subject's tag is in any file."""
    one = vault.create()
    vault.fill(one, "anna", "bert")
    one._index.flush()
    payload = one._tree.payload(1)
    key = unwrap(one._keys, one.stream, 1, payload[:SLOT_BYTES])
    tag = next(
        row[0] for row in one._index._database.execute("SELECT tag FROM record WHERE place = 1")
    )
    needles = (payload[4:SLOT_BYTES], payload[SLOT_BYTES:], key, tag)
    assert any(vault.files_with(needle) for needle in needles)
    one.destroy([1])
    assert [vault.files_with(needle) for needle in needles] == [[]] * 4
    one.close()
    assert [vault.files_with(needle) for needle in needles] == [[]] * 4


@pytest.mark.parametrize(
    ("subjects", "match"), [([], "0 subjects"), ([""], "0 bytes"), (["\ud800"], "UTF-8")]
)
def test_unusable_subjects_are_refused(vault, subjects, match):
    """Subjects that are missing or cannot be written are refused, and nothing is appended."""
    one = vault.create()
    with pytest.raises(FormatError, match=match):
        one.append(vault.seal(vault.decision("anna")), subjects)
    assert one.size == 0


def test_a_stream_has_an_end(vault, monkeypatch):
    """More records than one key may wrap are refused, and the stream can be replaced."""
    monkeypatch.setattr(store, "MAX_RECORDS", 2)
    one = vault.create()
    vault.fill(one, "anna", "bert")
    with pytest.raises(FormatError, match="more than 2 records") as caught:
        vault.fill(one, "cleo")
    assert "replaces" in caught.value.hint


def test_appending_nothing_is_nothing(vault):
    """An empty batch has an empty range and makes no commit."""
    assert vault.create().append([], []) == range(0)


@pytest.mark.parametrize("after", [False, True])
def test_a_refused_commit_does_not_spoil_the_next(vault, failing_disk, after):
    """Whether or not a refused append happened, every record there is opens at its index."""
    vault.create().close()
    for at in range(20):
        disk = failing_disk(10**9, after=after)
        one = vault.open(disk=disk)
        before = one.size
        disk.left = at
        try:
            vault.fill(one, "anna", "bert")
        except UnavailableError:
            taken = vault.fill(one, "cleo")
        else:
            disk.left = 10**9
            return
        assert taken.start - before in {0, 2}
        assert one.subject(taken.start) == "cleo"
        assert [one.subject(n) for n in range(before, taken.start)] in ([], ["anna", "bert"])
        assert taken.start in one.find("cleo")
        one.close()
    pytest.fail("an append took more than 20 steps")


def test_a_full_index_does_not_refuse_what_happened(vault, monkeypatch):
    """If the index cannot be written, the append is refused before its commit, not after."""
    one = vault.create()
    vault.fill(one, "anna")

    def refuse(*_, **__):
        raise UnavailableError("no room (test)")

    monkeypatch.setattr(SubjectIndex, "flush", refuse)
    with pytest.raises(UnavailableError):
        vault.fill(one, "bert")
    monkeypatch.undo()
    assert one.size == 1


@pytest.mark.parametrize("after", [False, True])
def test_creation_can_be_repeated(vault, failing_disk, tmp_path, after):
    """Whichever step of creating a store is refused, creating it again works."""
    for at in range(60):
        folder = tmp_path / f"stream-{at}"
        create = (folder, vault.stream, vault.keys)
        disk = failing_disk(at, after=after)
        try:
            one = StreamStore.create(FolderPlace(folder, disk), *create[1:])
        except UnavailableError:
            if (folder / "tree.json").exists():
                again = StreamStore.open(folder, vault.keys, write=True)
            else:
                again = StreamStore.create(*create)
            assert vault.fill(again, "anna") == range(1)
            again.close()
            shutil.rmtree(folder)
        else:
            disk.left = 10**9
            one.close()
            return
    pytest.fail("creating a store took more than 60 steps")


def test_creating_over_a_store_is_refused(vault):
    """A stream is never overwritten by a new one."""
    vault.create()
    with pytest.raises(ConflictError):
        vault.create()


@pytest.mark.parametrize(("stream", "epoch_s"), [(b"S" * 31, 10), (b"S" * 32, 0)])
def test_impossible_stores_are_refused(vault, tmp_path, stream, epoch_s):
    """A stream id has 32 bytes, and an epoch lasts."""
    with pytest.raises(FormatError):
        StreamStore.create(tmp_path / "new", stream, vault.keys, epoch_s=epoch_s)


def test_another_folder_is_no_store(vault, tmp_path):
    """A folder without a vault is named as such."""
    with pytest.raises(FormatError):
        vault.open(folder=tmp_path / "nowhere", write=False)


def test_threads_take_turns(vault):
    """One thread may read while another appends."""
    one = vault.create()
    vault.fill(one, "anna")
    errors = []

    def read():
        try:
            for _ in range(60):
                assert one.subject(one.size - 1) in {"anna", "bert"}
                one.find("bert")
        except BaseException as error:  # noqa: BLE001 an assertion in a thread is reported by the test
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(20):
        vault.fill(one, "bert", "bert")
    thread.join()
    assert errors == []


def test_randomness_is_injected(vault):
    """All randomness comes from the function handed in."""
    drawn = []

    def random(count):
        drawn.append(count)
        return os.urandom(count)

    one = vault.create(random=random)
    drawn.clear()
    vault.fill(one, "anna", "bert")
    assert drawn == [2 * 56]
