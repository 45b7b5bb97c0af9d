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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, overload

from counterfoil.core.arguments import require, require_each, require_number
from counterfoil.core.canonical import JsonValue
from counterfoil.core.checkpoint import Checkpoint, LogKeys, sign_checkpoint
from counterfoil.core.envelope import Envelope, format_envelope, sign_envelope
from counterfoil.core.keys import Signer
from counterfoil.core.merkle import EMPTY_ROOT, Hash
from counterfoil.core.receipt import Receipt
from counterfoil.core.shard import handover_of
from counterfoil.core.statement import (
    Statement,
    Subject,
    format_statement,
    parse_statement,
    predicate_type,
)
from counterfoil.errors import ConflictError, UnavailableError
from counterfoil.ledger import blobs
from counterfoil.ledger.countersign import UnpublishedError
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.embedded import Embedded
from counterfoil.ledger.engine import Engine, Writer, Writers
from counterfoil.ledger.identity import write_identity
from counterfoil.ledger.keyfiles import load_key
from counterfoil.ledger.moved import EndedError
from counterfoil.ledger.once import check_since
from counterfoil.ledger.policyfile import read_policy
from counterfoil.ledger.reading import Found, LogReader
from counterfoil.ledger.sequencer import nothing_appended
from counterfoil.ledger.tree import Published, Tree
from counterfoil.ledger.treestore import TreeStore

PRINCIPALS = ("a list of principals", 'Write ["operator"].')  # where names of some are given
_BYTES = 'An entry is bytes: b"…", or `text.encode()`.'


@dataclass(frozen=True, slots=True)
class Attested(Found):
    """A statement just made, with its receipt."""

    receipt: Receipt


class Receipts(Sequence[Receipt]):
    """Receipts of entries, each computed when asked for."""

    def __init__(self, log: LogReader, indices: Sequence[int], published: Published) -> None:
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


class Log(LogReader):
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
        disk = disk or Disk()
        super().__init__(
            folder, engine or Embedded(folder, disk), clock=clock, random=random, disk=disk
        )
        # Becoming a writer may wait for witnesses; who only looks something up does not.
        self._writing = threading.Lock()
        self._writer: Writer | None = None
        self._views: list[Tree] = []
        self._is_closed = False

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

    # Writing

    def require_writer(self) -> None:
        """Become a writer now, and not only with the first entry.

        Raises:
            As `append`.
        """
        self._require_writer()

    def require_writable(self) -> None:
        """Refuse where nobody can append, before anything is kept that goes with a statement.

        A writer is not made, and who else writes is not asked.

        Raises:
            MovedError: the log was moved away.
            RefusedError: this is a copy.
            UnavailableError: it was closed.
        """
        self.require_open()
        (self._writer or self.engine).require_writable()

    def require_open(self) -> None:
        """Refuse once this was closed.

        Raises:
            UnavailableError: it was.
        """
        if self._is_closed:
            raise UnavailableError(
                f"the ledger in {self.engine.name} was closed here", hint="Open it again."
            )

    def append(self, entry: bytes) -> Receipt:
        """Append one entry.

        Returns:
            Its receipt, once it is durable, in the tree and under a published checkpoint.

        Raises:
            FormatError: no bytes, or more than 65,535 of them.
            ConflictError: another process writes here, or the folder is behind its witness.
            UnavailableError: the disk refused; whether the entry is in shows in the next call.
        """
        return self.append_many((entry,))[0]

    def append_many(self, entries: Iterable[bytes], *, since: int | None = None) -> Receipts:
        """Append entries in this order, next to each other, as one commit.

        Args:
            entries: At most 65,535 bytes each; they are taken one after another, once.
            since: Append none that stands in the log from this index on, whoever appended it, and
                whoever does at the same time; its receipt is that of the first one. Whoever has
                looked for the entries says here how large the log was then. None appends them in
                any case.

        Returns:
            Their receipts, computed when asked for; the entries are durable and published.

        Raises:
            As `append`; then none of them, or all, are in. With no entries, it finds out whether
            those of an earlier call are, and publishes them.
        """
        # Before they are queued: others wait there too, and are not to fail by this call.
        entries = require_each(entries, bytes, "a list of entries", _BYTES)
        if since is not None:
            since = require_number(since, "the index to look from", "Give the size it had then.")
        try:
            writer = self._require_writer()
        except UnpublishedError as error:  # a writer first finishes what another one left
            if not entries:
                raise
            raise nothing_appended(error) from error
        check_since(since, writer.tree.size)
        indices = writer.append(entries, since)
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
            As `require_writable`.
        """
        self.require_writable()
        about = require_each(subjects, Subject, "a list of subjects", "`model.subject` is one.")
        require(body, dict, "a predicate", 'Write {"reason": "…"}.')
        statement = Statement(about, predicate_type(predicate), body)
        signers = [self.principal_key(name) for name in require_each(by, str, *PRINCIPALS)]
        envelope = sign_envelope(format_statement(statement), *signers)
        format_envelope(envelope)
        return envelope

    def append_envelope(self, envelope: Envelope) -> Attested:
        """Append an envelope that somebody signed; the signatures are not checked here."""
        require(envelope, Envelope, "an envelope", "`sign` makes one; `parse_envelope` reads one.")
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
            restore = (
                f"Copy it, and {name}.vkey beside it, from the machine or backup that has it: "
                "another key of that name is none that the policy names."
            )
            trust = self.places.trust
            named = {one.name for one in read_policy(trust).principals} if trust.exists() else ()
            hints = {
                Writers.ANY: restore,
                Writers.SERVER: "Name a principal of yours whose key is here, where that can be "
                "said; what the operator signs is done where the ledger lives.",
            }
            raise UnavailableError(
                f"the principal {name!r} has no key on this machine: there is no {path}",
                hint=hints.get(
                    self.engine.writers,
                    restore
                    if name in named
                    else f"`counterfoil policy key {name}` makes one, for a policy to name.",
                ),
            )
        return load_key(path)

    @contextlib.contextmanager
    def alone(self) -> Iterator[Writer]:
        """Be the writer for a while, with nobody else in this process or another one.

        Raises:
            ConflictError: somebody writes already, or the folder is behind its witness.
        """
        with self._writing:
            if self._writer is not None:
                raise ConflictError(
                    f"{self.folder} is being written to here", hint="Close the ledger first."
                )
            with contextlib.closing(self._open_writer()) as writer:
                yield writer

    def close(self) -> None:
        """Settle, release the writer's lock, end the witness process; again is harmless."""
        self._is_closed = True
        if self._index is not None:
            self._index.close()
            self._index = None
        if self._finder is not None:
            self._finder.close()
            self._finder = None
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

    def _open_writer(self) -> Writer:
        """Ask the engine for a writer; a log that has ended gets none, wherever it lives."""
        writer = self.engine.write()
        try:
            size = writer.tree.size
            (last,) = writer.tree.bodies(size - 1, size) if size else (b"",)
            handover = handover_of(last, self.engine.keys, size)
        except BaseException:
            writer.close()
            raise
        if handover is None:
            return writer
        writer.close()
        raise EndedError(self.origin, handover.following.name)

    def _require_writer(self) -> Writer:
        """Become a writer, once."""
        self.require_open()
        with self._writing:
            if self._writer is None:
                writer = self._open_writer()
                # Other threads may be reading from it; it is closed with everything else.
                self._views.append(self._tree)
                self._tree, self._writer = writer.tree, writer
            return self._writer

    def _root_at(self, size: int) -> Hash | None:
        """Give the root at `size`; a writer who is alone knows that there is no such size."""
        if size > self.size and self._writer is not None and not self.engine.is_shared:
            return EMPTY_ROOT
        return super()._root_at(size)
