"""The private side of one stream: its tree, with every record encrypted and erasable.

It lies in a place (see `ledger.keeping`), and the keys lie in a `KeyStore`, somewhere else.
A record is recomputed from its disclosures, so the tree's leaf also checks what was decrypted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from counterfoil.core.merkle import Hash
from counterfoil.core.record import Sealed
from counterfoil.errors import ConflictError, FormatError
from counterfoil.ledger.keeping import OpenPlace, StreamPlace, StreamTree, SubjectRows
from counterfoil.vault.epoch import EPOCH_NOTE, EPOCH_S, Epoch, format_epoch
from counterfoil.vault.folder import FolderPlace
from counterfoil.vault.intent import INTENT_NOTE, Intent, format_intent, parse_intent
from counterfoil.vault.keystore import KeyStore
from counterfoil.vault.rotation import rewrap_slots
from counterfoil.vault.seal import (
    MAX_RECORDS,
    EpochKeys,
    Random,
    check_subject,
    format_row,
    seal_payloads,
    subject_tag,
)
from counterfoil.vault.subjects import BATCH_ROWS
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
        place: StreamPlace,
        opened: OpenPlace,
        keys: KeyStore,
        *,
        write: bool,
        clock: Clock,
        random: Random,
    ) -> None:
        super().__init__(place, opened, keys, write=write, random=random)
        self.clock = clock
        self._is_sure = True  # whether we know what the newest commit did

    @classmethod
    def create(
        cls,
        where: Path | StreamPlace,
        stream: bytes,
        keys: KeyStore,
        *,
        epoch_s: int = EPOCH_S,
        clock: Clock = time.time,
        random: Random = os.urandom,
    ) -> StreamStore:
        """Make an empty store and open it for writing.

        Args:
            where: A place that holds no stream yet, or a folder to be one.
            stream: Stream id, 32 bytes.
            keys: Where the wrapping keys go; outside that place.
            epoch_s: Length of an epoch, seconds: how long a backup stays readable at most.
            clock: Unix seconds.
            random: Gives that many unpredictable bytes.

        Raises:
            ConflictError: there is a stream already.
            FormatError: `stream` is no stream id, or `epoch_s` is not positive.
            UnavailableError: place or key store refuse.
        """
        if len(stream) != _STREAM_BYTES:
            raise FormatError(f"a stream id has {_STREAM_BYTES} bytes, not {len(stream)}")
        if epoch_s < 1:
            raise FormatError(f"an epoch of {epoch_s} s would end before it began")
        place = _as_place(where, random)
        if place.exists():
            raise ConflictError(f"{place.name} holds a stream already", hint="Open it instead.")
        keys.key(stream, 1, create=True)
        # If we stop here, there is no stream, and so no record: creating again finds the same key.
        began = int(clock())
        epoch = format_epoch(Epoch(stream, 1, began, began + epoch_s))
        opened = place.create(EPOCH_NOTE, epoch)
        return cls(place, opened, keys, write=True, clock=clock, random=random)

    @classmethod
    def open(
        cls,
        where: Path | StreamPlace,
        keys: KeyStore,
        *,
        write: bool,
        clock: Clock = time.time,
        random: Random = os.urandom,
    ) -> StreamStore:
        """Open a store, as the one writer or as a reader.

        A writer first finishes what was interrupted: a commit, a change of epoch, the destruction
        of records. It changes the epoch if the time has come. An erasure also has to be recorded:
        see `erase.Eraser.finish`.

        Raises:
            ConflictError: `write`, and there is a writer already.
            FormatError: there is no stream of ours.
            UnavailableError: the place refuses, or the key store has not the key of this epoch.
            VerificationError: what is stored contradicts itself.
        """
        place = _as_place(where, random)
        opened = place.open(write=write)
        store = cls(place, opened, keys, write=write, clock=clock, random=random)
        try:
            if write:
                store._finish_rotation()
                intent = store.intent()
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
                    f"{self.place.name} would hold more than {MAX_RECORDS} records",
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

        Where copies of what is overwritten live on, the epoch ends with it: nothing opens them.
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
            if self.place.keeps_copies:
                self.rotate_epoch()

    def note(self, name: str) -> bytes | None:
        """Read a note beside the stream; None if it is not there."""
        with self._lock:
            return self._opened.note(name)

    def put_note(self, name: str, data: bytes) -> None:
        """Write a note, or replace it; it is durable on return."""
        with self._lock:
            self._opened.put_note(name, data)

    def destroy_note(self, name: str) -> None:
        """Take a note away, durably; doing it again is harmless."""
        with self._lock:
            self._opened.destroy_note(name)

    def intent(self) -> Intent | None:
        """Read what an erasure under way left, if there is one."""
        data = self.note(INTENT_NOTE)
        return None if data is None else parse_intent(data)

    def put_intent(self, intent: Intent) -> None:
        """Make the intent of an erasure durable."""
        self.put_note(INTENT_NOTE, format_intent(intent))

    def remove_intent(self) -> None:
        """Take the intent away, durably; doing it again is harmless."""
        self.destroy_note(INTENT_NOTE)

    def final_by(self, erased: int) -> int:
        """Tell until when old copies may open what was destroyed at a time, Unix seconds."""
        return erased if self.place.keeps_copies else self._epoch.ends

    def require_writer(self) -> None:
        """Check that this is the writer.

        Raises:
            ConflictError: it is a reader.
        """
        if not self._write:
            raise ConflictError(
                f"{self.place.name} is open for reading only", hint="Open it for writing."
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
        self._opened.put_note(EPOCH_NOTE, format_epoch(epoch))
        self._epoch = epoch

    def _caught_up(self) -> SubjectRows:
        if self._write:
            self._sure_tree()  # or we would miss a commit that happened and was reported as not
        return super()._caught_up()

    def _sure_tree(self) -> StreamTree:
        """Give the tree for writing, once what was interrupted is known and finished.

        Records are encrypted for the index they will have. After a refusal the commit may have
        happened, which is found out before anything is sealed.
        """
        self.require_writer()
        if not self._is_sure:
            self._opened.find_out()
            self._is_sure = True
        self._finish_rotation()
        return self._tree


def _as_place(where: Path | StreamPlace, random: Random) -> StreamPlace:
    return FolderPlace(where, random=random) if isinstance(where, Path) else where


def _head(size: int, root: Hash) -> bytes:
    """Publish nothing beside size and root: a stream's roots are signed as batches, in the log."""
    del size, root
    return b""
