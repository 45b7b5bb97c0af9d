from __future__ import annotations

import errno
import os

import pytest

from counterfoil.core import merkle
from counterfoil.errors import (
    ConflictError,
    CounterfoilError,
    FormatError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger import treestore
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.journal import JOURNAL_BYTES
from counterfoil.ledger.treestore import TreeStore


def entries(start, stop):
    return [b"entry %d " % i * (i % 5 + 1) for i in range(start, stop)]


def seal(size, root):
    return b"head of %d: " % size + root.hex().encode()


def commit(store, start, stop):
    bodies = entries(start, stop)
    return store.commit(bodies, merkle.leaf_hashes(bodies), seal)


def root_at(size):
    return merkle.root_of([merkle.leaf_hash(body) for body in entries(0, size)])


class SmallDisk(Disk):
    """Has room for a mebibyte of a file, and for no more."""

    def write(self, fd, data, offset):
        super().write(fd, memoryview(data)[: 1 << 20], offset)
        if len(data) > 1 << 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_tree_that_found_no_room_takes_none(tmp_path):
    """What a full disk let it write of the journal is given back: others need it."""
    with pytest.raises(UnavailableError, match="No space left"):
        TreeStore.create(tmp_path / "tree", disk=SmallDisk())
    assert sum(file.stat().st_size for file in (tmp_path / "tree").iterdir()) < 4096
    with TreeStore.create(tmp_path / "tree") as store:
        commit(store, 0, 3)


def test_what_was_committed_is_there_for_the_next_process(tmp_path):
    """Entries, leaves, proofs and head are the same after closing and opening."""
    with TreeStore.create(tmp_path / "t") as store:
        commit(store, 0, 1)
        commit(store, 1, 700)
        commit(store, 700, 701)
    with TreeStore.open(tmp_path / "t", write=True) as store:
        assert store.size == 701
        assert store.root() == root_at(701)
        assert store.head == seal(701, root_at(701))
        for index in (0, 1, 255, 256, 511, 512, 699, 700):
            body = entries(index, index + 1)[0]
            assert store.payload(index) == body
            merkle.check_inclusion(
                merkle.leaf_hash(body), index, 701, store.inclusion(index), root_at(701)
            )
        assert list(store.bodies(250, 520)) == entries(250, 520)
        merkle.check_consistency(300, root_at(300), 650, root_at(650), store.consistency(300, 650))
        commit(store, 701, 800)
        assert store.root() == root_at(800)


def test_readers_see_what_is_published_when_they_look(tmp_path):
    """A reader keeps its view until it refreshes, and cannot write."""
    with TreeStore.create(tmp_path / "t") as store:
        commit(store, 0, 3)
        with TreeStore.open(tmp_path / "t", write=False) as reader:
            commit(store, 3, 5)
            assert reader.size == 3
            assert reader.root() == root_at(3)
            reader.refresh()
            assert reader.size == 5
            assert reader.root(4) == root_at(4)
            with pytest.raises(ConflictError):
                commit(reader, 5, 6)


def test_there_is_one_writer(tmp_path):
    """A second writer is told who the first one is."""
    with (
        TreeStore.create(tmp_path / "t"),
        pytest.raises(ConflictError, match=f"process {os.getpid()}"),
    ):
        TreeStore.open(tmp_path / "t", write=True)


def test_the_journal_is_recycled(tmp_path):
    """Committing many times what the journal holds changes nothing for anyone."""
    with TreeStore.create(tmp_path / "t") as store:
        body = bytes(60_000)
        leaf = merkle.leaf_hash(body)
        for _ in range(3 * JOURNAL_BYTES // len(body)):
            store.commit([body], leaf, seal)
        size = store.size
    with TreeStore.open(tmp_path / "t", write=True) as store:
        assert store.size == size
        assert store.root() == merkle.root_of([leaf] * size)


def test_a_batch_larger_than_the_journal_is_one_commit(tmp_path):
    """All of it is there afterwards, although the journal had to grow for it."""
    with TreeStore.create(tmp_path / "t") as store:
        bodies = [bytes([i]) * 60_000 for i in range(120)]
        store.commit(bodies, merkle.leaf_hashes(bodies), seal)
        assert store.payload(119) == bodies[119]
        with pytest.raises(FormatError, match="65535"):
            store.commit([bytes(65_536)], merkle.leaf_hash(b""), seal)
        commit(store, 120, 121)
        assert store.size == 121


def test_a_call_has_a_largest_size(tmp_path, monkeypatch):
    """More bytes than a frame can hold are refused before anything is written."""
    monkeypatch.setattr(treestore, "MAX_COMMIT_BYTES", 2 * (2 + 100 + 32))
    with TreeStore.create(tmp_path / "t") as store:
        bodies = [bytes(100)] * 3
        with pytest.raises(FormatError, match="appends 402 bytes") as caught:
            store.commit(bodies, merkle.leaf_hashes(bodies), seal)
        assert caught.value.hint
        store.commit(bodies[:2], merkle.leaf_hashes(bodies[:2]), seal)
        assert store.size == 2


class Failing(Disk):
    """Counts steps; at the chosen one, refuses, or does it and reports failure."""

    def __init__(self, at, done):
        self.at, self.done, self.steps = at, done, 0

    def _step(self, act):
        self.steps += 1
        if self.steps != self.at:
            return act()
        if self.done:
            act()
        raise OSError(errno.EIO, "broken by the test")

    def write(self, fd, data, offset):
        return self._step(lambda: Disk.write(self, fd, data, offset))

    def sync(self, fd):
        return self._step(lambda: Disk.sync(self, fd))

    def sync_all(self, fds):
        for fd in fds:  # in order, so that a step is the same one each time
            self.sync(fd)

    def sync_folder(self, folder):
        return self._step(lambda: Disk.sync_folder(self, folder))


class Watching(Failing):
    """Fails from a step on, and looks at each what readers of the same process are shown."""

    store = None

    def _step(self, act):
        self.steps += 1
        if self.store is not None:
            assert self.store.head == seal(self.store.size, root_at(self.store.size))
        if not self.at or self.steps < self.at:
            return act()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_readers_go_on_while_nothing_can_be_written(tmp_path):
    """On a full disk a commit fails, and each try to find out what became of it.

    Size, root and head that readers of the same process are shown stay those of one state.
    """
    for at in range(1, 60):
        with TreeStore.create(tmp_path / f"t{at}") as store:
            commit(store, 0, 300)
        disk = Watching(0, done=False)
        with TreeStore.open(tmp_path / f"t{at}", write=True, disk=disk) as store:
            disk.store, disk.at, disk.steps = store, at, 0
            try:
                commit(store, 300, 310)
            except UnavailableError:
                assert store.size == 300
            else:
                disk.at = 0
                return
            for later in range(1, 60):
                disk.at, disk.steps = later, 0
                try:
                    store.find_out()
                except UnavailableError:
                    assert (store.size, store.head) == (300, seal(300, root_at(300)))
                    assert list(store.bodies(290, 300)) == entries(290, 300)
                else:
                    break
            disk.at = 0
            assert store.size in {300, 310}
            assert store.head == seal(store.size, root_at(store.size))


@pytest.mark.parametrize("done", [False, True], ids=["refused", "done-but-reported-refused"])
def test_a_commit_that_fails_at_any_step_leaves_the_old_state_or_the_new(tmp_path, done):
    """Whatever step breaks, the tree is the old or the new one, at once and after opening."""
    for at in range(1, 60):
        folder = tmp_path / f"t{at}"
        with TreeStore.create(folder) as store:
            commit(store, 0, 300)
        disk = Failing(0, done)
        store = TreeStore.open(folder, write=True, disk=disk)
        disk.at, disk.steps = at, 0
        try:
            commit(store, 300, 310)
        except UnavailableError:
            acknowledged = 300
        else:
            acknowledged = 310
        reached = disk.steps >= at
        disk.at = 0
        with TreeStore.open(folder, write=False) as reader:
            assert reader.size in {300, 310}
            assert reader.root() == root_at(reader.size)
        # The same object goes on, having found out what became of the commit.
        store.commit([b"next"], merkle.leaf_hash(b"next"), seal)
        assert store.size in {301, 311}
        assert store.size > acknowledged
        assert store.root(store.size - 1) == root_at(store.size - 1)
        store.close()
        with TreeStore.open(folder, write=True) as store:
            assert store.size in {301, 311}
            assert list(store.bodies(0, 300)) == entries(0, 300)
        if not reached:
            break
    else:
        pytest.fail("a commit has fewer steps than that")
    assert at > 5


@pytest.mark.parametrize("name", ["entries", "ends", "level0", "level1", "head", "journal"])
def test_a_flipped_bit_is_never_taken_for_the_truth(tmp_path, name):
    """Opening or reading says so, or the bit did not matter; no wrong entry comes out."""
    with TreeStore.create(tmp_path / "t") as store:
        commit(store, 0, 600)
    path = tmp_path / "t" / name
    data = path.read_bytes()
    for place in {0, len(data) // 3, len(data) // 2, len(data) - 1}:
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        try:
            with TreeStore.open(tmp_path / "t", write=False) as store:
                for index, body in enumerate(store.bodies(0, 600)):
                    leaf = merkle.leaf_hash(body)
                    merkle.check_inclusion(leaf, index, 600, store.inclusion(index), root_at(600))
                    assert body == entries(index, index + 1)[0]
        except CounterfoilError as error:
            assert str(error)  # noqa: PT017 any of ours will do, and none is also fine
        path.write_bytes(data)


def test_a_head_set_back_is_noticed(tmp_path):
    """Restoring the head alone, or cutting a file's tail, is refused when opening to write."""
    with TreeStore.create(tmp_path / "t") as store:
        commit(store, 0, 10)
    old = (tmp_path / "t" / "head").read_bytes()
    with TreeStore.open(tmp_path / "t", write=True) as store:
        commit(store, 10, 12)
    new = (tmp_path / "t" / "head").read_bytes()
    (tmp_path / "t" / "head").write_bytes(old)
    with pytest.raises(VerificationError, match="holds 384 bytes where size 10 makes 320"):
        TreeStore.open(tmp_path / "t", write=True)
    (tmp_path / "t" / "head").write_bytes(new)
    os.truncate(tmp_path / "t" / "level0", 11 * 32)
    with pytest.raises(VerificationError, match="ends before byte"):
        TreeStore.open(tmp_path / "t", write=True)


def test_scrubbed_payloads_are_gone_and_the_tree_stands(tmp_path):
    """After scrubbing, no file holds the payload; every root and the other payloads remain."""
    with TreeStore.create(tmp_path / "t", slot_bytes=8) as store:
        leaves = [merkle.leaf_hash(bytes([i])) for i in range(4)]
        payloads = [b"slot%04d" % i + b"secret number %d" % i for i in range(4)]
        store.commit(payloads, b"".join(leaves), seal)
        store.replace_slots(lambda index, slot: slot.replace(b"slot", b"new%d" % index))
        assert store.payload(2) == b"new20002secret number 2"
        store.scrub([2])
        with pytest.raises(UnavailableError, match="erased"):
            store.payload(2)
        assert store.payload(3) == b"new30003secret number 3"
        assert store.root() == merkle.root_of(leaves)
        assert store.leaf(2) == leaves[2]
        for path in (tmp_path / "t").iterdir():
            assert b"secret number 2" not in path.read_bytes()
            assert b"0002" not in path.read_bytes()
