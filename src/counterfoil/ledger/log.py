"""The log: where statements live, and what is true of them when a call returns.

`append` returns a receipt once the entry is durable, in the tree, and covered by a published
checkpoint. A `Log` reads until it is first asked to write; then it becomes a writer, of which an
embedded log has one (see `sequencer`). Where the entries live is for its engine.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, overload

from counterfoil.core.canonical import JsonValue
from counterfoil.core.checkpoint import Checkpoint, LogKeys, open_checkpoint, sign_checkpoint
from counterfoil.core.envelope import Envelope, format_envelope, parse_envelope, sign_envelope
from counterfoil.core.keys import Signer
from counterfoil.core.merkle import EMPTY_ROOT, Frontier, Hash, leaf_hash
from counterfoil.core.receipt import Receipt
from counterfoil.core.statement import (
    Statement,
    Subject,
    format_statement,
    parse_statement,
    predicate_type,
)
from counterfoil.errors import ConflictError, SignatureError, UnavailableError, VerificationError
from counterfoil.ledger import blobs
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.embedded import Embedded
from counterfoil.ledger.engine import Engine, Writer
from counterfoil.ledger.identity import write_identity
from counterfoil.ledger.index import Index
from counterfoil.ledger.keyfiles import load_key
from counterfoil.ledger.places import Places
from counterfoil.ledger.run import Run
from counterfoil.ledger.tree import Published, Tree
from counterfoil.ledger.treestore import TreeStore


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


@dataclass(frozen=True, slots=True)
class Attested(Found):
    """A statement just made, with its receipt."""

    receipt: Receipt


class Receipts(Sequence[Receipt]):
    """Receipts of entries, each computed when asked for."""

    def __init__(self, log: Log, indices: Sequence[int], published: Published) -> None:
        self._log, self._indices, self._published = log, indices, published

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, place: int) -> Receipt: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Receipt]: ...
    def __getitem__(self, place: int | slice) -> Receipt | Sequence[Receipt]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return self._log._receipt_at(self._indices[place], self._published)  # noqa: SLF001 one module


class Log:
    """A transparency log.

    Args:
        folder: The ledger's folder: the log itself, unless it lives elsewhere, and what is private.
        engine: Where the log lives; None for the folder.
        clock: POSIX time in seconds.
        random: Gives that many random bytes.
        disk: How to write and sync.
    """

    def __init__(
        self,
        folder: Path,
        *,
        engine: Engine | None = None,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
        disk: Disk | None = None,
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.random = random
        self.disk = disk or Disk()
        self.engine: Engine = engine or Embedded(folder, self.disk)
        self.keys = self.engine.keys
        self.key = self.keys.key
        self.origin = self.key.name
        self.places = Places(self.origin)
        self._writer: Writer | None = None
        self._writer_lock = threading.Lock()
        self._views: list[Tree] = []
        self._index: Index | None = None
        self._tree: Tree = self.engine.read()
        self._require_own_checkpoint()

    @staticmethod
    def create(folder: Path, signer: Signer, *, disk: Disk | None = None) -> None:
        """Make an empty log; the name of the signer's key is its origin.

        Raises:
            ConflictError: the folder holds a ledger already.
            UnavailableError: the disk refuses.
        """
        disk = disk or Disk()
        if not (folder / "log" / "tree.json").exists():
            TreeStore.create(folder / "log", disk=disk).close()
        with TreeStore.open(folder / "log", write=True, disk=disk) as tree:
            if (folder / "ledger.json").exists():
                raise ConflictError(f"{folder} holds a ledger already", hint="Open it instead.")
            if tree.size:
                raise ConflictError(
                    f"{folder} holds the log of a ledger whose ledger.json is missing",
                    hint="Restore ledger.json from a backup.",
                )
            tree.publish(sign_checkpoint(Checkpoint(signer.key.name, 0, tree.root()), signer))
            # If we stop before this, there is no ledger yet, and making it again is harmless.
            write_identity(folder, LogKeys(signer.key), disk)

    # Reading

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
        return self._tree.root(size)

    @property
    def checkpoint(self) -> bytes:
        """The newest checkpoint: a signed note, with the cosignatures it has."""
        return self._tree.head

    def refresh(self) -> None:
        """See what others have published since."""
        before = self._state()
        self._tree.refresh()
        if self._state() == before:
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
            VerificationError: the disk no longer holds what the tree says.
        """
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
        return self._receipt_at(index, self._tree.published)

    def receipt_under(self, index: int, note: bytes) -> Receipt:
        """Make the receipt of an entry for an older checkpoint, as this log signed it once.

        Raises:
            FormatError: no such entry was under it.
            VerificationError: it is not of this log, or of another history.
        """
        checkpoint = open_checkpoint(note, self.keys)
        frontier = Frontier.at(checkpoint.size, self._tree.node)
        return self._receipt_at(index, Published(frontier, checkpoint.root, note))

    def consistency(self, old_size: int, size: int | None = None) -> tuple[Hash, ...]:
        """Prove that the tree of `size` (by default now) extends the one of `old_size`."""
        return self._tree.consistency(old_size, size)

    def find(
        self,
        *,
        subject: str | None = None,
        predicate: str | None = None,
        issuer: str | None = None,
        last: int | None = None,
        within_s: float | None = None,
    ) -> list[Found]:
        """Find statements, oldest first; each counts once, at its first occurrence.

        Args:
            subject: Name of a subject, or one of its digests in hex.
            predicate: Short name (`approval`) or full predicate type.
            issuer: Label of a signing key, as the envelope claims it.
            last: How many of the newest to give at most; None for all.
            within_s: How long to look them up, or `UnavailableError`; None for no bound.
        """
        if predicate is not None and ":" not in predicate:
            predicate = predicate_type(predicate)
        found = []
        index = self._open_index()
        what = (subject, predicate, issuer, self.size)
        for place in index.find(*what, last=last, within_s=within_s):
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
        """Read entries [start, stop), unchecked; `audit` checks them all."""
        return self._tree.bodies(start, stop)

    @property
    def proves_entries(self) -> bool:
        """Whether whatever is read was proven on the way, as of a ledger elsewhere."""
        return self._tree.proves_entries

    def checked(self, start: int, stop: int) -> Iterator[bytes]:
        """Read entries [start, stop), each compared with its leaf.

        Raises:
            VerificationError: one is not what was logged.
        """
        return self._tree.checked(start, stop)

    def read_entries(self, start: int, stop: int) -> list[bytes]:
        """Read entries [start, stop), at least one, at once and unchecked."""
        return self.read_run(start, stop).bodies()

    def read_run(self, start: int, stop: int) -> Run:
        """Read them as they lie in the file: with `leaves()`, and `bodies()` to take them apart."""
        return self._tree.read_run(start, stop)

    def stored_hashes(self, tile_level: int, start: int, stop: int) -> bytes:
        """Read the stored hashes [start, stop) of level `8 * tile_level`, one after another."""
        return self._tree.joined_hashes(tile_level, start, stop)

    # Writing

    def require_writer(self) -> None:
        """Become a writer now, and not only with the first entry.

        Raises:
            As `append`.
        """
        self._require_writer()

    def append(self, entry: bytes) -> Receipt:
        """Append one entry.

        Returns:
            Its receipt, once it is durable, in the tree and under a published checkpoint.

        Raises:
            FormatError: more than 65,535 bytes.
            ConflictError: another process writes here, or the folder is behind its witness.
            UnavailableError: the disk refused; whether the entry is in shows in the next call.
        """
        return self.append_many((entry,))[0]

    def append_many(self, entries: Sequence[bytes]) -> Receipts:
        """Append entries in this order, next to each other, as one commit.

        Returns:
            Their receipts, computed when asked for; the entries are durable and published.

        Raises:
            As `append`; then none of them, or all, are in. With no entries, it finds out whether
            those of an earlier call are, and publishes them.
        """
        indices = self._require_writer().append(entries)
        return Receipts(self, indices, self._tree.published)

    def ask_witnesses(self) -> dict[str, str]:
        """Ask those who have not cosigned the newest checkpoint, and publish it with their lines.

        The next append would ask them, too. Receipts made from now on carry what came.

        Returns:
            Who is silent still, by name in the policy, and why.

        Raises:
            As `append`.
        """
        self._require_writer().ask_witnesses()
        return dict(self.engine.witnesses.silences)

    def attest(
        self,
        subjects: Sequence[Subject],
        predicate: str,
        body: dict[str, JsonValue],
        *,
        by: Sequence[str] = ("operator",),
    ) -> Attested:
        """State something, sign it, and append it.

        Args:
            subjects: What it is about.
            predicate: Short name of the predicate type.
            body: The predicate.
            by: Local principals whose keys sign.

        Raises:
            As `append`; FormatError also where the statement is not one.
        """
        return self.append_envelope(self.sign(subjects, predicate, body, by=by))

    def sign(
        self,
        subjects: Sequence[Subject],
        predicate: str,
        body: dict[str, JsonValue],
        *,
        by: Sequence[str] = ("operator",),
    ) -> Envelope:
        """Make and sign the envelope that `attest` appends; nothing is written.

        Raises:
            FormatError: this is no statement, or too long a one.
            UnavailableError: a key is not on this machine.
        """
        statement = Statement(tuple(subjects), predicate_type(predicate), body)
        signers = [self.principal_key(name) for name in by]
        envelope = sign_envelope(format_statement(statement), *signers)
        format_envelope(envelope)
        return envelope

    def append_envelope(self, envelope: Envelope) -> Attested:
        """Append an envelope that somebody signed; the signatures are not checked here."""
        statement = parse_statement(envelope.in_toto)
        data = format_envelope(envelope)
        entry = blobs.shorten(data, self.engine.blobs)
        receipt = self.append(entry)
        return Attested(receipt.index, envelope, statement, receipt)

    def principal_key(self, name: str) -> Signer:
        """Load the key of a local principal, from outside the ledger's folder.

        Raises:
            UnavailableError: it is not on this machine; or as `load_key`.
        """
        path = self.places.key(name)
        if not path.exists():
            raise UnavailableError(
                f"the principal {name!r} has no key on this machine: there is no {path}",
                hint=f"`counterfoil policy key {name}` makes one, for a policy to name.",
            )
        return load_key(path)

    @contextlib.contextmanager
    def alone(self) -> Iterator[Writer]:
        """Be the writer for a while, with nobody else in this process or another one.

        Raises:
            ConflictError: somebody writes already, or the folder is behind its witness.
        """
        with self._writer_lock:
            if self._writer is not None:
                raise ConflictError(
                    f"{self.folder} is being written to here", hint="Close the ledger first."
                )
            with contextlib.closing(self.engine.write()) as writer:
                yield writer

    def close(self) -> None:
        """Settle, release the writer's lock, end the witness process."""
        if self._index is not None:
            self._index.close()
            self._index = None
        if self._writer is not None:
            self._writer.close()
        else:
            self._tree.close()
        while self._views:
            self._views.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Beneath

    def _require_writer(self) -> Writer:
        """Become a writer, once."""
        with self._writer_lock:
            if self._writer is None:
                writer = self.engine.write()
                # Other threads may be reading from it; it is closed with everything else.
                self._views.append(self._tree)
                self._tree, self._writer = writer.tree, writer
            return self._writer

    def _open_index(self) -> Index:
        with self._writer_lock:
            if self._index is None:
                # Gates go by it, so it lies where writing in the ledger's folder does not reach it.
                read, root, path = self.checked, self._root_at, self.places.index
                self._index = Index(path, self.origin, read, self.resolve, root)
            return self._index

    def _state(self) -> tuple[int, Hash, bytes]:
        published = self._tree.published
        return published.frontier.size, published.root, published.head

    def _receipt_at(self, index: int, published: Published) -> Receipt:
        return Receipt(index, self._tree.path(index, published), published.head)

    def _require_own_checkpoint(self) -> None:
        """Refuse a published checkpoint that is not this log's, or not of this tree."""
        checkpoint = open_checkpoint(self.checkpoint, self.keys)
        if (checkpoint.size, checkpoint.root) != (self.size, self.root):
            raise VerificationError(
                f"{self.engine.name}: the checkpoint and the tree it is stored with differ",
                hint="Restore it from a backup.",
            )

    def _root_at(self, size: int) -> Hash | None:
        """Give the root at `size`; None where one cannot tell, as others may have appended."""
        if size <= self.size:
            return self._tree.root(size)
        return None if self._writer is None or self.engine.is_shared else EMPTY_ROOT
