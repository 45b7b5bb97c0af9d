"""What a log says, read: entries, receipts, proofs, and statements by what they are about.

Whatever is handed out is proven first: an entry by its leaf, a receipt by the checkpoint it is for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from counterfoil.core.arguments import require, require_number
from counterfoil.core.checkpoint import Checkpoint, open_checkpoint
from counterfoil.core.envelope import Envelope, parse_envelope
from counterfoil.core.merkle import Frontier, Hash, leaf_hash
from counterfoil.core.receipt import Receipt
from counterfoil.core.statement import Statement, parse_statement, predicate_type
from counterfoil.errors import CounterfoilError, FormatError, SignatureError, VerificationError
from counterfoil.ledger import blobs
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.engine import Engine, Finder
from counterfoil.ledger.index import Index, read_names
from counterfoil.ledger.places import Places
from counterfoil.ledger.run import Run
from counterfoil.ledger.tree import Published, Tree


@dataclass(frozen=True, slots=True)
class Found:
    """A statement in the log.

    Args:
        index: Its position.
        envelope: What was signed; whether the signatures count is for a policy to say.
        statement: What it says.
    """

    index: int
    envelope: Envelope
    statement: Statement


class LogReader:
    """A log as its readers see it, as of the last `refresh`.

    Args:
        folder: The ledger's folder: the log itself, unless it lives elsewhere, and what is private.
        engine: Where the log lives.
        clock: POSIX time in seconds.
        random: Gives that many random bytes.
        disk: How to write and sync.
    """

    def __init__(
        self,
        folder: Path,
        engine: Engine,
        *,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        disk: Disk,
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.random = random
        self.disk = disk
        self.engine = engine
        self.keys = engine.keys
        self.key = self.keys.key
        self.origin = self.key.name
        self.places = Places(self.origin)
        self._lock = threading.Lock()  # guards what is opened when it is first needed
        self._index: Index | None = None
        self._finder: Finder | None = None
        self._tree: Tree = engine.read()
        self._checked = self._state()
        self._require_own_checkpoint()

    @property
    def size(self) -> int:
        """Entries published, as of the last append or refresh."""
        return self._tree.size

    @property
    def root(self) -> Hash:
        """Root of the published tree."""
        return self._tree.root()

    def root_at(self, size: int) -> Hash:
        """Compute the root over the first `size` entries.

        Raises:
            FormatError: there are fewer.
        """
        return self._tree.root(_size(size))

    @property
    def checkpoint(self) -> bytes:
        """The newest checkpoint: a signed note, with the cosignatures it has."""
        return self._tree.head

    def unpublished(self) -> Checkpoint | None:
        """Find the signed checkpoint that waits for witnesses; None if none does, or none is seen.

        Raises:
            UnavailableError: the disk refuses.
        """
        found = self._tree.unpublished()
        if found is None:
            return None
        try:
            checkpoint = open_checkpoint(found.head, self.keys)
        except CounterfoilError:
            return None  # nothing of this log's
        is_whole = (checkpoint.size, checkpoint.root) == (found.frontier.size, found.root)
        return checkpoint if is_whole else None

    def waiting(self) -> list[bytes]:
        """Read the entries under `unpublished` that are not published; none where none are seen.

        Raises:
            UnavailableError: the disk refuses.
        """
        return [] if self.unpublished() is None else self._tree.waiting()

    def refresh(self) -> None:
        """See what others have published since."""
        self._tree.refresh()
        if self._state() == self._checked:
            return
        try:
            self._require_own_checkpoint()
        except SignatureError:
            # Somebody else may have handed the log over to a new key meanwhile.
            if not self.reload_keys():
                raise
            self._require_own_checkpoint()

    def reload_keys(self) -> bool:
        """Take over the log's keys as they are now; tell whether it has handed over since.

        Raises:
            FormatError: what says so is damaged.
        """
        keys = self.engine.keys
        if self.key not in keys.all[:-1]:
            return False
        self.keys, self.key = keys, keys.key
        return True

    def entry(self, index: int) -> bytes:
        """Read an entry.

        Raises:
            FormatError: there is no such entry.
            VerificationError: the disk no longer holds what the tree says.
        """
        index = _index(index)
        self._tree.leaf(index)  # says what is wrong with an index there is not
        (entry,) = self.checked(index, index + 1)
        return entry

    def resolve(self, entry: bytes) -> bytes:
        """Give what an entry stands for: itself, or bytes beside the log; see `blobs`."""
        return blobs.resolve(entry, self.engine.blobs)

    def blob(self, digest: str) -> bytes:
        """Read what lies beside the log, by its SHA-256 in hex.

        Raises:
            FormatError: this is no such digest.
            UnavailableError: nothing lies there.
            VerificationError: something else does.
        """
        return blobs.read_blob(digest, self.engine.blobs)

    def envelope(self, index: int) -> Envelope:
        """Read the envelope at `index`, from beside the log if it is too large for an entry."""
        return parse_envelope(self.resolve(self.entry(index)))

    def receipt(self, index: int) -> Receipt:
        """Make the receipt of an entry for the newest checkpoint.

        Raises:
            FormatError: there is no such entry.
            VerificationError: the disk disagrees with the checkpoint; nothing false is handed out.
        """
        return self._receipt_at(_index(index), self._tree.published)

    def receipt_under(self, index: int, note: bytes) -> Receipt:
        """Make the receipt of an entry for an older checkpoint, as this log signed it once.

        Raises:
            FormatError: no such entry was under it.
            VerificationError: it is not of this log, or of another history.
        """
        checkpoint = open_checkpoint(note, self.keys)
        frontier = Frontier.at(checkpoint.size, self._tree.node)
        return self._receipt_at(_index(index), Published(frontier, checkpoint.root, note))

    def consistency(self, old_size: int, size: int | None = None) -> tuple[Hash, ...]:
        """Prove that the tree of `size` (by default now) extends the one of `old_size`."""
        return self._tree.consistency(_size(old_size), None if size is None else _size(size))

    def find(
        self,
        *,
        subject: str | None = None,
        predicate: str | None = None,
        issuer: str | None = None,
        last: int | None = None,
        within_s: float | None = None,
        shared: bool = False,
    ) -> list[Found]:
        """Find statements, oldest first; each counts once, at its first occurrence.

        Args:
            subject: Name of a subject, or one of its digests in hex.
            predicate: Short name (`approval`) or full predicate type.
            issuer: Label of a signing key, as the envelope claims it.
            last: How many of the newest to give at most; None for all.
            within_s: How long to look them up, or `UnavailableError`; None for no bound.
            shared: Whether an index in the log's database will do, where there is one: it is
                there on a machine that has not read the log yet. What it finds is proven; whoever
                runs the database may have left something out of it.

        Raises:
            FormatError: nothing is called that, or a number is none.
            VerificationError: the shared index says of an entry what is not so.
        """
        for what, value in (("subject", subject), ("predicate", predicate), ("issuer", issuer)):
            if value is not None:
                require(value, str, f"a text as the {what}", "See `counterfoil log find`.")
        if last is not None:
            last = self._at_most(last)
        if predicate is not None and ":" not in predicate:
            predicate = predicate_type(predicate)
        names = (subject, predicate, issuer)
        finder = self._open_finder() if shared else None
        places = None
        if finder is not None:
            places = finder.find(*names, self.size, last=last, within_s=within_s)
            for place in places or ():
                self._require_named(place, *names)
        if places is None:
            places = self._open_index().find(*names, self.size, last=last, within_s=within_s)
        found = []
        for place in places:
            envelope = self.envelope(place)
            found.append(Found(place, envelope, parse_statement(envelope.in_toto)))
        return found

    def positions_of(self, entries: Sequence[bytes]) -> list[int | None]:
        """Find where each entry first stands; None for one that is not published, or no statement.

        Args:
            entries: As they stand in the log, so large ones as references.
        """
        found = self._open_index().positions(entries, self.size)
        return [
            # The index proves nothing; the leaf does.
            place if place is not None and self._tree.leaf(place) == leaf_hash(entry) else None
            for entry, place in zip(entries, found, strict=True)
        ]

    def entries(self, start: int, stop: int) -> Iterator[bytes]:
        """Read entries [start, stop), unchecked; `audit` checks them all.

        Raises:
            FormatError: not all of them are there.
        """
        return self._tree.bodies(*self._range(start, stop))

    @property
    def proves_entries(self) -> bool:
        """Whether whatever is read was proven on the way, as of a ledger elsewhere."""
        return self._tree.proves_entries

    def checked(self, start: int, stop: int) -> Iterator[bytes]:
        """Read entries [start, stop), each compared with its leaf.

        Raises:
            FormatError: not all of them are there.
            VerificationError: one is not what was logged.
        """
        return self._tree.checked(*self._range(start, stop))

    def read_entries(self, start: int, stop: int) -> list[bytes]:
        """Read entries [start, stop) at once and unchecked.

        Raises:
            FormatError: not all of them are there.
        """
        start, stop = self._range(start, stop)
        return self.read_run(start, stop).bodies() if start < stop else []

    def read_run(self, start: int, stop: int) -> Run:
        """Read them as they lie in the file: with `leaves()`, and `bodies()` to take them apart.

        Raises:
            FormatError: not all of them are there, or there are none.
        """
        start, stop = self._range(start, stop)
        if start >= stop:
            raise FormatError(
                f"a run has one entry at least, and none is from {start} to {stop}",
                hint="`read_entries` gives an empty list then.",
            )
        return self._tree.read_run(start, stop)

    def stored_hashes(self, tile_level: int, start: int, stop: int) -> bytes:
        """Read the stored hashes [start, stop) of level `8 * tile_level`, one after another."""
        return self._tree.joined_hashes(tile_level, start, stop)

    # Beneath

    def _range(self, start: int, stop: int) -> tuple[int, int]:
        """Check that the entries [start, stop) are there; none are anywhere."""
        start, stop = _index(start), _index(stop)
        if start < stop and (start < 0 or stop > self.size):
            raise FormatError(
                f"there are no entries from {start} to {stop}: {self.engine.name} has {self.size}, "
                "the first one is number 0",
                hint="Refresh a reader to see newer entries.",
            )
        return start, stop

    def _at_most(self, last: int) -> int:
        """Check how many of the newest are asked for; there are no more than entries."""
        last = require_number(last, "how many of the newest", "None gives all.")
        if last < 0:
            raise FormatError(
                f"of the newest {last} statements there are none", hint="None gives all."
            )
        return min(last, self.size)

    def _open_index(self) -> Index:
        with self._lock:
            if self._index is None:
                # Gates go by it, so it lies where writing in the ledger's folder does not reach it.
                read, root, path = self.checked, self._root_at, self.places.index
                self._index = Index(path, self.origin, read, self.resolve, root)
            return self._index

    def _open_finder(self) -> Finder | None:
        with self._lock:
            if self._finder is None:
                self._finder = self.engine.shared_index(self.checked, self.resolve, self._root_at)
            return self._finder

    def _require_named(
        self, place: int, subject: str | None, predicate: str | None, issuer: str | None
    ) -> None:
        """Check that an entry is what an index of others gave it out for."""
        named = read_names(self.entry(place), self.resolve)
        if named is None or not named.fits(subject, predicate, issuer):
            raise VerificationError(
                f"the index in {self.engine.name} gives entry {place} out for something else than "
                "it is",
                hint="Somebody changed the database; `UPDATE indexed SET root = sha256('')` there "
                "has the index made again.",
            )

    def _state(self) -> tuple[int, Hash, bytes]:
        published = self._tree.published
        return published.frontier.size, published.root, published.head

    def _receipt_at(self, index: int, published: Published) -> Receipt:
        return Receipt(index, self._tree.path(index, published), published.head)

    def _require_own_checkpoint(self) -> None:
        """Refuse a published checkpoint that is not this log's, or not of this tree."""
        size, root, note = self._state()
        checkpoint = open_checkpoint(note, self.keys)
        if (checkpoint.size, checkpoint.root) != (size, root):
            raise VerificationError(
                f"{self.engine.name}: the checkpoint and the tree it is stored with differ",
                hint="Restore it from a backup.",
            )
        # What a writer of this process takes over meanwhile is looked at by the next refresh.
        self._checked = size, root, note

    def _root_at(self, size: int) -> Hash | None:
        return self._tree.root_seen(size)


def _index(index: int) -> int:
    return require_number(index, "the index of an entry", "They count from 0.")


def _size(size: int) -> int:
    return require_number(size, "the size of a log", "`ledger.size` is the present one.")
