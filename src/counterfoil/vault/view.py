"""What can be read of a stream's private side: records decrypted and checked, proofs, subjects."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from types import TracebackType
from typing import Self

from counterfoil.core.merkle import Hash
from counterfoil.core.record import field_digest, format_record, record_leaf
from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.keeping import OpenPlace, StreamPlace, StreamTree, SubjectRows
from counterfoil.vault.epoch import EPOCH_NOTE, Epoch, parse_epoch
from counterfoil.vault.keystore import KeyStore
from counterfoil.vault.seal import (
    EpochKeys,
    Random,
    check_subject,
    open_payload,
    parse_row,
    subject_tag,
)
from counterfoil.vault.subjects import BATCH_ROWS

_READ_AT_ONCE = 1024  # payloads, some 1 MB, when many are decrypted


class StreamView:
    """Records of one stream, as of the last `refresh`; `StreamStore.open` makes one.

    An object may be used by several threads: one call at a time goes ahead.
    """

    def __init__(
        self, place: StreamPlace, opened: OpenPlace, keys: KeyStore, *, write: bool, random: Random
    ) -> None:
        self.place = place
        self.keystore = keys
        self.random = random
        self._opened = opened
        self._write = write
        self._lock = threading.RLock()
        try:
            self._open_epoch()
        except BaseException:
            opened.close()
            raise

    @property
    def stream(self) -> bytes:
        """The stream id."""
        return self._epoch.stream

    @property
    def epoch(self) -> Epoch:
        """The current epoch: when it ends, the keys in older backups are worthless."""
        return self._epoch

    @property
    def is_writer(self) -> bool:
        """Whether records can be added through this object."""
        return self._write

    @property
    def size(self) -> int:
        """Number of records, erased ones included."""
        return self._tree.size

    @property
    def _tree(self) -> StreamTree:
        return self._opened.tree

    def root(self, size: int | None = None) -> Hash:
        """Compute the root at `size` records, by default now."""
        with self._lock:
            return self._tree.root(size)

    def leaf(self, index: int) -> Hash:
        """Read the leaf hash of a record; it outlives the record."""
        with self._lock:
            return self._tree.leaf(index)

    def inclusion(self, index: int, size: int | None = None) -> tuple[Hash, ...]:
        """Prove that the record at `index` is in the tree of `size` records (by default now)."""
        with self._lock:
            return self._tree.inclusion(index, size)

    def consistency(self, old_size: int, size: int | None = None) -> tuple[Hash, ...]:
        """Prove that the tree of `size` records (by default now) extends that of `old_size`."""
        with self._lock:
            return self._tree.consistency(old_size, size)

    def disclosures(self, index: int) -> list[str]:
        """Decrypt the disclosures of a record, in the order of its fields.

        Raises:
            FormatError: there is no such record.
            UnavailableError: it was erased, or its key is not at hand.
            VerificationError: what is stored is not what the leaf commits to.
        """
        with self._lock:
            return list(self._open(index)[1])

    def record(self, index: int) -> bytes:
        """Recompute a record's bytes from its disclosures; raises as `disclosures` does."""
        return self._record(self.disclosures(index))

    def subject(self, index: int) -> str | None:
        """Decrypt whom a record is about; raises as `disclosures` does."""
        with self._lock:
            return self._open(index)[0]

    def find(self, subject: str, *, scan: bool = False) -> list[int]:
        """Find the records about a subject that are not erased, in order.

        Args:
            subject: As it was given to `append`.
            scan: Decrypt every record instead of asking the index, some 15,000 a second. An
                erasure should: the index is a file that a fault can damage.

        Raises:
            FormatError: `subject` is no name for a data subject.
            VerificationError: a record does not open, so that nobody can say whom it is about.
        """
        name = check_subject(subject)
        with self._lock:
            if scan:
                return self._about(subject, 0, self.size)
            self._index.check()
            places = self._caught_up().places(subject_tag(self._keys, name))
            # The writer's index may be ahead of what a reader has refreshed to.
            seen = [place for place in places if place < self.size]
            return [found for place in seen for found in self._about(subject, place, place + 1)]

    def remaining(self, leaves: Collection[Hash]) -> list[int]:
        """List the indices of the records with these leaves that are not erased.

        Nothing is decrypted: 32 bytes a record are looked through, and what has such a leaf.
        """
        with self._lock:
            found = []
            for first in range(0, self.size, _READ_AT_ONCE):
                last = min(self.size, first + _READ_AT_ONCE)
                hashes = self._tree.hashes(0, first, last)
                found += [first + at for at, leaf in enumerate(hashes) if leaf in leaves]
            return [one for one in found for _ in self._stored(one, one + 1)]

    def live(self) -> list[int]:
        """List the indices of the records that are not erased."""
        with self._lock:
            return [index for index, _, _ in self._stored(0, self.size)]

    def refresh(self) -> None:
        """Take over what the writer has published; for readers.

        Raises:
            UnavailableError: the disk refuses, or the key store has not the key of this epoch.
            VerificationError: the tree's head is damaged.
        """
        with self._lock:
            if self._read_epoch() == self._epoch:
                self._tree.refresh()
                return
            # The slots were replaced, and the old ones open no more.
            self._index.close()
            self._opened.close()
            self._opened = self.place.open(write=False)
            self._open_epoch()

    def close(self) -> None:
        """Write the index and release files and the writer's lock."""
        with self._lock:
            try:
                self._index.close()
            finally:
                self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Reading

    def _decrypt(
        self, index: int, leaf: Hash, payload: bytes
    ) -> tuple[str | None, tuple[str, ...]]:
        return parse_row(open_payload(self._keys, self.stream, index, leaf, payload))

    def _open(self, index: int) -> tuple[str | None, tuple[str, ...]]:
        """Decrypt a record and check that it is the one its leaf commits to."""
        leaf = self._tree.leaf(index)
        (payload,) = self._tree.payloads(index, index + 1)
        if payload is None:
            raise UnavailableError(f"record {index} of {self.place.name} was erased")
        subject, disclosures = self._decrypt(index, leaf, payload)
        if record_leaf(self._record(disclosures)) != leaf:
            raise VerificationError(
                f"record {index} of {self.place.name} opens, but is not what its leaf commits to",
                hint="Whoever wrote it had the keys. Its receipt proves what it was.",
            )
        return subject, disclosures

    def _record(self, disclosures: Sequence[str]) -> bytes:
        return format_record(self.stream, [field_digest(text) for text in disclosures])

    def _stored(self, start: int, stop: int) -> Iterator[tuple[int, Hash, bytes]]:
        """Read index, leaf and payload of the records [start, stop) that are not erased."""
        for first in range(start, stop, _READ_AT_ONCE):
            last = min(stop, first + _READ_AT_ONCE)
            leaves = self._tree.hashes(0, first, last)
            payloads = self._tree.payloads(first, last)
            for index, leaf, payload in zip(range(first, last), leaves, payloads, strict=True):
                if payload is not None:
                    yield index, leaf, payload

    def _about(self, subject: str, start: int, stop: int) -> list[int]:
        return [
            place
            for place, leaf, payload in self._stored(start, stop)
            if self._decrypt(place, leaf, payload)[0] == subject
        ]

    # The index

    def _caught_up(self) -> SubjectRows:
        """Bring the index to the size of the tree, by decrypting what it has not seen."""
        index = self._index
        if self._write and index.size > self.size:
            index.start_over(self._epoch.number)  # the tree was restored without it
        while index.size < self.size:
            start, stop = index.size, min(self.size, index.size + _READ_AT_ONCE)
            tags: list[bytes | None] = [None] * (stop - start)
            for place, leaf, payload in self._stored(start, stop):
                tags[place - start] = self._tag(place, leaf, payload)
            index.extend(tags)
            index.flush(at_least=BATCH_ROWS)
        return index

    def _tag(self, index: int, leaf: Hash, payload: bytes) -> bytes | None:
        """Compute the tag of a stored record; None if it has no subject or does not open."""
        try:
            subject, _ = self._decrypt(index, leaf, payload)
        except UnavailableError:
            if not self._write:  # the writer has changed the epoch, so refresh
                raise
            return None
        except (FormatError, VerificationError):
            # Damaged: `find(scan=True)` and every read of the record say so.
            return None
        return None if subject is None else subject_tag(self._keys, subject.encode())

    def _open_epoch(self) -> None:
        """Take the current epoch's keys and index into use."""
        epoch = self._read_epoch()
        self._epoch = epoch
        self._keys = EpochKeys.derive(epoch.number, self.keystore.key(self.stream, epoch.number))
        self._index = self._opened.subjects(epoch.number)

    def _read_epoch(self) -> Epoch:
        data = self._opened.note(EPOCH_NOTE)
        if data is None:
            raise FormatError(
                f"{self.place.name} holds no vault", hint="Create it with `counterfoil init`."
            )
        return parse_epoch(data, f"{self.place.name}: {EPOCH_NOTE}")
