"""The private side of one stream: its tree, with every record encrypted and erasable.

    vault.json       the epoch (see `epoch`)
    index.sqlite     which records are about whom (see `subjects`); may be behind, never ahead
    erasing          an erasure under way (see `intent`)
    tree.json, …     the tree: `entries` holds the encrypted rows, `slots` their wrapped keys

The keys lie in a `KeyStore`, somewhere else. A record is recomputed from its disclosures, so the
tree's leaf also checks what was decrypted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from counterfoil.core.merkle import Hash
from counterfoil.core.record import Sealed
from counterfoil.errors import ConflictError, FormatError
from counterfoil.ledger.disk import Disk, reported
from counterfoil.ledger.treestore import TreeStore
from counterfoil.vault.epoch import EPOCH_S, STATE_FILE, Epoch, format_epoch
from counterfoil.vault.intent import read_intent
from counterfoil.vault.keystore import KeyStore
from counterfoil.vault.rotation import rewrap_slots
from counterfoil.vault.seal import (
    MAX_RECORDS,
    SLOT_BYTES,
    EpochKeys,
    Random,
    check_subject,
    format_row,
    seal_payloads,
    subject_tag,
)
from counterfoil.vault.subjects import BATCH_ROWS, SubjectIndex
from counterfoil.vault.view import StreamView

_STREAM_BYTES = 32

Clock = Callable[[], float]


class StreamStore(StreamView):
    """Records of one stream, encrypted; `create` or `open` makes one.

    One writer at a time, any number of readers; a reader's view is that of its last `refresh`.
    An object may be used by several threads: one call at a time goes ahead.
    """

    def __init__(
        self,
        tree: TreeStore,
        keys: KeyStore,
        *,
        write: bool,
        clock: Clock,
        random: Random,
        disk: Disk,
    ) -> None:
        super().__init__(tree, keys, write=write, random=random, disk=disk)
        self.clock = clock
        self._is_sure = True  # whether we know what the newest commit did

    @classmethod
    def create(
        cls,
        folder: Path,
        stream: bytes,
        keys: KeyStore,
        *,
        epoch_s: int = EPOCH_S,
        clock: Clock = time.time,
        random: Random = os.urandom,
        disk: Disk | None = None,
    ) -> StreamStore:
        """Make an empty store in a new folder and open it for writing.

        Args:
            folder: Must not hold a tree yet; only its owner can enter it afterwards.
            stream: Stream id, 32 bytes.
            keys: Where the wrapping keys go; outside the ledger's folder.
            epoch_s: Length of an epoch, seconds: how long a backup stays readable at most.
            clock: Unix seconds.
            random: Gives that many unpredictable bytes.
            disk: How to write and sync.

        Raises:
            ConflictError: there is a tree already.
            FormatError: `stream` is no stream id, or `epoch_s` is not positive.
            UnavailableError: disk or key store refuse.
        """
        if len(stream) != _STREAM_BYTES:
            raise FormatError(f"a stream id has {_STREAM_BYTES} bytes, not {len(stream)}")
        if epoch_s < 1:
            raise FormatError(f"an epoch of {epoch_s} s would end before it began")
        disk = disk or Disk()
        with reported(f"cannot make a vault in {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            if (folder / "tree.json").exists():
                raise ConflictError(f"{folder} holds a tree already", hint="Open it instead.")
            keys.key(stream, 1, create=True)
            # If we stop here or after the next step, there is no tree, and so no record: creating
            # again finds the same key.
            began = int(clock())
            epoch = Epoch(stream, 1, began, began + epoch_s)
            disk.replace(folder, STATE_FILE, format_epoch(epoch), mode=0o600)
        tree = TreeStore.create(folder, slot_bytes=SLOT_BYTES, disk=disk)
        return cls(tree, keys, write=True, clock=clock, random=random, disk=disk)

    @classmethod
    def open(
        cls,
        folder: Path,
        keys: KeyStore,
        *,
        write: bool,
        clock: Clock = time.time,
        random: Random = os.urandom,
        disk: Disk | None = None,
    ) -> StreamStore:
        """Open the store in `folder`, as the one writer or as a reader.

        A writer first finishes what was interrupted: a commit, a change of epoch, the destruction
        of records. It changes the epoch if the time has come. An erasure also has to be recorded:
        see `erase.Eraser.finish`.

        Raises:
            ConflictError: `write`, and there is a writer already.
            FormatError: the folder holds no store of ours.
            UnavailableError: the disk refuses, or the key store has not the key of this epoch.
            VerificationError: the tree's files disagree with each other.
        """
        disk = disk or Disk()
        tree = TreeStore.open(folder, write=write, disk=disk)
        store = cls(tree, keys, write=write, clock=clock, random=random, disk=disk)
        try:
            if write:
                store._finish_rotation()
                intent = read_intent(folder)
                if intent is not None:
                    store.destroy(intent.indices)
                store.rotate_if_due()
        except BaseException:
            store.close()
            raise
        return store

    # Writing

    def append(self, rows: Sequence[Sealed], subjects: Sequence[str | None]) -> range:
        """Append records, encrypted and durable when this returns, by one commit.

        Args:
            rows: From `seal_rows`, for this stream.
            subjects: Whom each is about, so that `find` finds it; None if about nobody.

        Returns:
            The indices they have.

        Raises:
            ConflictError: the store is open for reading only.
            FormatError: a subject's name cannot be used, or the stream is full; nothing happened.
            UnavailableError: the disk refused. The commit may or may not have happened; `size`
                tells once the next call succeeds.
        """
        if len(rows) != len(subjects):
            raise FormatError(f"{len(rows)} records came with {len(subjects)} subjects")
        names = [None if subject is None else check_subject(subject) for subject in subjects]
        with self._lock:
            tree = self._sure_tree()
            index = self._caught_up()
            # Before the commit, not after: a full disk must not refuse what has happened.
            index.flush(at_least=BATCH_ROWS)
            first = tree.size
            if first + len(rows) > MAX_RECORDS:
                raise FormatError(
                    f"{self.folder} would hold more than {MAX_RECORDS} records",
                    hint="Declare a new stream that replaces this one.",
                )
            if not rows:
                return range(first, first)
            keys = self._keys
            tags = [None if name is None else subject_tag(keys, name) for name in names]
            leaves = [row.leaf for row in rows]
            texts = [
                format_row(subject, row.disclosures)
                for subject, row in zip(subjects, rows, strict=True)
            ]
            payloads = seal_payloads(keys, self.stream, first, leaves, texts, random=self.random)
            self._is_sure = False
            tree.commit(payloads, b"".join(leaves), _head)
            self._is_sure = True
            # If we stop here, the index is behind; it catches up from the payloads.
            index.extend(tags)
            return range(first, tree.size)

    def destroy(self, indices: Sequence[int]) -> None:
        """Overwrite keys, payloads and index rows; leaf hashes stay. Doing it again is harmless.

        Nothing is asked and nothing is recorded here: use `erase.Eraser`.

        Raises:
            ConflictError: the store is open for reading only.
            FormatError: there is no such record.
            UnavailableError: the disk refuses; it is not finished, so ask again.
        """
        with self._lock:
            tree = self._sure_tree()
            index = self._caught_up()
            tree.scrub(indices)
            # If we stop here, only the index still says that these records were about one subject.
            index.forget(indices)

    def require_writer(self) -> None:
        """Check that this is the writer.

        Raises:
            ConflictError: it is a reader.
        """
        if not self._write:
            raise ConflictError(
                f"{self.folder} is open for reading only", hint="Open it for writing."
            )

    def rotate_if_due(self) -> bool:
        """Change the epoch if its end has come; tells whether it did."""
        with self._lock:
            is_due = self.clock() >= self._epoch.ends
            if is_due:
                self.rotate_epoch()
            return is_due

    def rotate_epoch(self) -> tuple[int, ...]:
        """Wrap the surviving keys anew and destroy the old wrapping key.

        From then on no backup made before opens anything, neither of erased records nor of
        others: make a new one.

        Returns:
            Indices of records that were damaged: their keys could not be carried over.

        Raises:
            ConflictError: the store is open for reading only.
            UnavailableError: disk or key store refuse; the next call that writes, or the next
                opening, finishes it.
        """
        with self._lock:
            self._sure_tree()
            following = self._epoch.next(int(self.clock()))
            self.keystore.key(self.stream, following.number, create=True)
            # If we stop here, there is a key that nothing was wrapped with; the next attempt
            # finds it.
            self._write_epoch(following)
            # From here on only forward: both keys exist, and a slot opens under one of them.
            return self._finish_rotation()

    # Epochs

    def _finish_rotation(self) -> tuple[int, ...]:
        """Carry out the change of epoch that `vault.json` announces, if it does."""
        epoch = self._epoch
        if not epoch.retiring:
            return ()
        self._keys = EpochKeys.derive(epoch.number, self.keystore.key(self.stream, epoch.number))
        damaged = rewrap_slots(self._tree, self.keystore, epoch, self._keys, self.random)
        # If we stop here, every slot is wrapped anew and the old key opens backups only.
        self.keystore.destroy(self.stream, epoch.retiring)
        # If we stop here, there is nothing left to do but to say so.
        self._write_epoch(epoch.settled())
        # Tags of the old epoch say nothing any more.
        self._index.start_over(epoch.number)
        self._caught_up()
        return damaged

    def _write_epoch(self, epoch: Epoch) -> None:
        with reported(f"cannot write {self.folder / STATE_FILE}"):
            self.disk.replace(self.folder, STATE_FILE, format_epoch(epoch), mode=0o600)
        self._epoch = epoch

    def _caught_up(self) -> SubjectIndex:
        if self._write:
            self._sure_tree()  # or we would miss a commit that happened and was reported as not
        return super()._caught_up()

    def _sure_tree(self) -> TreeStore:
        """Give the tree for writing, once what was interrupted is known and finished.

        Records are encrypted for the index they will have. After a refusal of the disk the commit
        may have happened, so the tree is opened anew, which finds out, before anything is sealed.
        """
        self.require_writer()
        if not self._is_sure:
            self._reopen()
            self._is_sure = True
        self._finish_rotation()
        return self._tree


def _head(size: int, root: Hash) -> bytes:
    """Publish nothing beside size and root: a stream's roots are signed as batches, in the log."""
    del size, root
    return b""
