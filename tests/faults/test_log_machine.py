"""Every way to use and to lose a log, in any order, against a model that only keeps its word."""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.core.cosignature import find_cosignatures
from counterfoil.core.merkle import check_extension
from counterfoil.core.note import parse_note
from counterfoil.core.receipt import check_receipt, format_receipt
from counterfoil.errors import (
    ConflictError,
    SplitViewError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.keyfiles import load_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places

ORIGIN = "example.com/machine"
NO_FAULT = ("", 0)

WAYS = (
    "refused",
    "done-but-reported-refused",
    "killed-before",
    "killed-after",
    "killed-in-the-middle",
)


def faults(most):
    """A way to go wrong, at one of so many steps, or none; the first ones are the journal's."""
    return st.just(NO_FAULT) | st.tuples(
        st.sampled_from(WAYS), st.integers(1, 4) | st.integers(1, most)
    )


IN_COMMIT = faults(16)  # or in most of recovery
IN_CLOSING = faults(8)
CUTS = st.none() | st.integers(0, 1 << 32)  # where the power is cut: decides what that takes


class LogMachine(RuleBasedStateMachine):
    """One log, its witness, its writer, a reader, and a disk that fails at any step.

    The model: `entries` are those that are in, in their order; `unsure` are batches that were
    refused or interrupted, in theirs, each of which is in as a whole or not at all; `seen` is what
    left the log's process: receipts and signed checkpoints.
    """

    def __init__(self, root, monkeypatch, disk, near_witness, *, make_keys, outside):
        super().__init__()
        self.root, self.disk, self.witness = root, disk, near_witness
        self.folder = root / "ledger"
        monkeypatch.setenv("COUNTERFOIL_HOME", str(root / "home"))
        disk.install(monkeypatch.setattr)
        signer = make_keys(ORIGIN, witness=True)
        self.places = Places(ORIGIN)
        self.witness_key = load_key(self.places.witness / "key.pem").key
        self.seen = outside(signer.key)
        self.now = 1_800_000_000.0
        monkeypatch.setattr(near_witness, "clock", staticmethod(lambda: self.now))
        monkeypatch.setattr(near_witness, "overhears", self.overhear)
        self.log = self.reader = None
        self.entries, self.unsure = [], []
        self.ends = {0}  # sizes at which a batch ended
        self.batches = 0
        self.is_cut = False  # the power was, and nobody has written since
        self.fork = None  # a copy that somebody made of the folder, open for writing
        self.copies = 0
        self.is_overheard = True  # what the witness is asked counts as told to the world
        Log.create(self.folder, signer)

    # What happens to a log

    @rule(
        length=st.sampled_from([0, 40, 700]),
        fault=IN_COMMIT,
        nested=IN_COMMIT,
        cut=CUTS,
    )
    def append(self, length, fault, nested, cut):
        """An entry that was acknowledged is in, with a receipt that holds."""
        self.commit(1, length, lambda batch: [self.open().append(batch[0])], fault)
        self.aftermath(nested, cut)

    @rule(
        count=st.sampled_from([2, 7, 60, 260]),
        length=st.sampled_from([0, 40]),
        fault=IN_COMMIT,
        nested=IN_COMMIT,
        cut=CUTS,
    )
    def append_many(self, count, length, fault, nested, cut):
        """Entries that were acknowledged are in, next to each other, as many as they were."""
        self.commit(count, length, lambda batch: self.open().append_many(batch), fault)
        self.aftermath(nested, cut)

    @rule(fault=IN_COMMIT, nested=IN_COMMIT, cut=CUTS)
    def ask_again(self, fault, nested, cut):
        """Asked again, a witness cosigns what is published, and nothing else changes."""

        def act():
            self.open().ask_witnesses()
            return "done" if not self.disk.has_failed else "done, but for what the disk refused"

        if done := self.attempt(act, fault):
            self.wrote()
            is_there = (self.places.witness / "key.pem").exists()
            lines = find_cosignatures(parse_note(self.log.checkpoint), [self.witness_key])
            # A witness that cannot keep what it has seen cosigns nothing.
            assert lines or not is_there or done != "done"
        else:
            self.recover(nested)
        if cut is not None:
            self.die(cut)

    @precondition(lambda self: self.log is not None)
    @rule(is_killed=st.booleans(), fault=IN_CLOSING, cut=CUTS)
    def stop(self, is_killed, fault, cut):
        """A writer that closes or is killed lets the next one in, whatever the disk says to it."""
        if not is_killed:
            self.attempt(self.log.close, fault)
        self.die(cut)

    @precondition(lambda self: self.log is not None and self.log._writer is not None)
    @rule()
    def write_beside(self):
        """A second writer is refused, and changes nothing."""
        with Log(self.folder) as other, pytest.raises(ConflictError, match="already has a writer"):
            other.append(b"from a second writer")

    # What others see

    @rule(is_new=st.booleans())
    def look(self, is_new):
        """Another process sees a state that was published: whole batches, and never less again.

        After a power cut it may see an older one or refuse, until a writer has recovered.
        """
        try:
            if is_new or self.reader is None:
                self.leave()
                self.reader = Log(self.folder)
            before = self.reader.size
            self.reader.refresh()
            self.see(self.reader.checkpoint)
            tail = list(self.reader.entries(len(self.entries), self.reader.size))
        except VerificationError:
            # A head that was torn; whoever opens the log for writing has it in the journal.
            assert self.is_cut or self.log is None
            return
        assert self.is_cut or self.reader.size >= max(before, len(self.entries))
        if tail:
            self.take(tail)
        assert self.reader.size in self.ends

    @rule(data=st.data())
    def prove(self, data):
        """Whatever is in has a receipt, and any two sizes that were signed are one history."""
        self.recover()
        if self.entries:
            index = data.draw(st.integers(0, len(self.entries) - 1))
            check_receipt(self.entries[index], self.log.receipt(index), self.seen.key)
            assert self.log.entry(index) == self.entries[index]
        sizes = sorted(self.seen.roots)
        old, new = sorted(data.draw(st.tuples(*2 * [st.sampled_from(sizes)])))
        roots = self.seen.roots
        check_extension(old, roots[old], new, roots[new], self.log.consistency(old, new))

    # What happens around it

    @rule(is_there=st.booleans(), now=st.floats(1, 4e9))
    def turn(self, is_there, now):
        """The clock goes forwards or backwards, and the witness falls silent or answers again."""
        self.now = now
        key, away = (self.places.witness / name for name in ("key.pem", "away.pem"))
        if key.exists() != is_there:
            (away if is_there else key).rename(key if is_there else away)

    @precondition(lambda self: not self.unsure and not self.is_cut and self.fork is None)
    @rule()
    def copy(self):
        """Somebody copies the folder and opens the copy, too, for writing."""
        if (self.places.witness / "key.pem").exists():
            self.recover()
            self.copies += 1
            copy = self.root / f"copy-{self.copies}"
            shutil.copytree(self.folder, copy)
            self.fork = Log(copy)
            self.fork.append_many([])

    @precondition(lambda self: self.fork is not None)
    @rule(is_reopened=st.booleans())
    def write_in_the_copy(self, is_reopened):
        """Once the witness has seen more, the copy is refused and publishes nothing."""
        size = self.fork.size
        if open_checkpoint(self.memory(), self.seen.key).size > size:
            self.is_overheard = False
            if is_reopened:
                self.fork.close()
                self.fork = Log(self.fork.folder)
            with pytest.raises((ConflictError, SplitViewError)):
                self.fork.append(b"of a fork")
            with Log(self.fork.folder) as reader:
                assert reader.size == size
            self.is_overheard = True
            self.forget_the_copy()

    def teardown(self):
        """At last every promise is checked at once."""
        self.turn(is_there=True, now=1.0)
        self.leave()
        self.forget_the_copy()
        self.recover()
        self.seen.check(self.log)
        assert list(self.log.entries(0, self.log.size)) == self.entries
        self.log.close()
        self.look(is_new=True)
        self.leave()
        shutil.rmtree(self.root)

    # Beneath

    def open(self):
        if self.log is None:
            self.log = Log(self.folder, disk=self.disk)
        return self.log

    def commit(self, count, length, append, fault):
        self.batches += 1
        batch = [b"%d.%d " % (self.batches, place) + bytes(length) for place in range(count)]
        self.unsure.append(batch)

        def act():
            receipts = append(batch)
            return [(batch[place], format_receipt(receipts[place])) for place in (0, -1)]

        told = self.attempt(act, fault)
        if told is not None:
            self.wrote()
            assert self.entries[-count:] == batch
            for entry, receipt in told:
                self.seen.acknowledge(entry, receipt)

    def aftermath(self, nested, cut):
        """Let recovery break, too, and then perhaps the power."""
        if self.unsure:
            self.recover(nested)
        if cut is not None:
            self.die(cut)

    def recover(self, fault=NO_FAULT):
        """Open for writing, and find out what became of a commit that failed."""

        def act():
            return self.open()._require_writer().tree._sound_writer()

        if self.attempt(act, fault):
            self.wrote()

    def attempt(self, act, fault):
        """Act on a disk that goes wrong once; None where it was refused or killed."""
        self.disk.arm(*fault)
        try:
            return act()
        except (UnavailableError, VerificationError):
            # A torn head that cannot be mended at once says VerificationError.
            if not self.disk.has_failed:
                raise
            return None
        except self.disk.killed_error:
            self.die()
            return None
        finally:
            self.disk.arm()

    def die(self, cut=None):
        if self.log is not None:
            self.disk.release(self.log)
            self.log = None
        if cut is not None:
            self.leave()
            self.forget_the_copy()  # whoever had it open lost power, too
            self.disk.chance.seed(cut)
            self.disk.cut()
            self.is_cut = True

    def leave(self):
        if self.reader is not None:
            self.reader.close()
            self.reader = None

    def forget_the_copy(self):
        if self.fork is not None:
            self.disk.release(self.fork)
            shutil.rmtree(self.fork.folder)
            self.fork = None

    def wrote(self):
        """What a writer sees after a success is all there is."""
        self.is_cut = False
        assert self.log.size >= len(self.entries)
        self.take(list(self.log.entries(len(self.entries), self.log.size)))
        self.unsure.clear()
        self.see(self.log.checkpoint)

    def take(self, tail):
        """Find in what came behind the known entries whole batches, in their order."""
        while tail:
            assert self.unsure, f"nobody appended {tail[0][:20]}"
            batch = self.unsure.pop(0)
            if tail[0] == batch[0]:
                assert tail[: len(batch)] == batch, "half of a batch"
                del tail[: len(batch)]
                self.entries += batch
                self.ends.add(len(self.entries))

    def see(self, note):
        """Take note of a checkpoint that left the process, and of its cosignatures."""
        self.seen.see(note)
        if find_cosignatures(parse_note(note), [self.witness_key]):
            remembered = open_checkpoint(self.memory(), self.seen.key)
            assert remembered.size >= open_checkpoint(note, self.seen.key).size

    def overhear(self, note):
        if self.is_overheard:
            self.see(note)

    def memory(self):
        return self.witness(self.places.witness).memory()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux which file it is")
@pytest.mark.usefixtures("small_journal")
def test_a_log_keeps_its_word(  # noqa: PLR0917 fixtures are passed by name
    tmp_path, monkeypatch, mortal_disk, near_witness, make_keys, outside
):
    """No acknowledged entry is lost, no half of a batch is seen, and each size has one root.

    Whatever is done, in whatever order, and whatever step of it breaks in whatever way.
    """
    numbers = itertools.count()

    def begin():
        root = tmp_path / str(next(numbers))
        disk = mortal_disk(random.Random(0))  # noqa: S311 faults, not secrets
        return LogMachine(
            root, monkeypatch, disk, near_witness, make_keys=make_keys, outside=outside
        )

    run_state_machine_as_test(begin, settings=settings())
