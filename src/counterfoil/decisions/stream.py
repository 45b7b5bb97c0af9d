"""The decision stream of one system: declared once in the log, written here, stepped by batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from counterfoil.core.arguments import require
from counterfoil.core.canonical import JsonValue
from counterfoil.core.envelope import format_envelope, sign_envelope
from counterfoil.core.merkle import EMPTY_ROOT, Hash
from counterfoil.core.record import SALT_BYTES, pad_row, seal_rows
from counterfoil.core.stream import (
    Batch,
    Replaced,
    StreamDeclaration,
    Ticket,
    check_batch,
    format_stream,
    parse_batch,
    parse_stream,
    sign_ticket,
)
from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.engine import Writers
from counterfoil.ledger.keeping import Streams
from counterfoil.ledger.log import Log
from counterfoil.ledger.trust import Trust, heard_in, newest_heard
from counterfoil.vault.folder import FolderStreams
from counterfoil.vault.keystore import FileKeyStore
from counterfoil.vault.store import StreamStore

DECISION_FIELDS = ("kind", "about", "inputs", "output", "reasons")
MAX_DELAY_S = 24 * 3600  # after a ticket is due, its record must be in a batch by then
MAX_LATE_BATCHES = 10_000  # stated at once: a week of minutes, a year of hours
TICKET_KEY = "tickets"
OWN_SYSTEMS = "counterfoil/"  # begins the names of our own streams: no model can be called that


class Rooted(Protocol):
    """A tree, or a store that has one."""

    @property
    def size(self) -> int:
        """Records, erased ones included."""

    def root(self, size: int | None = None) -> Hash:
        """Compute the root at `size` records."""


def streams_of(log: Log) -> Streams:
    """Tell where all streams of a log are kept; there may be none."""
    keeping = log.engine.keeping
    return FolderStreams(log.folder, log.random) if keeping is None else keeping.streams


class DecisionStream:
    """One system's stream, open for writing or reading.

    Args:
        log: Where it is declared and its batches go.
        declaration: What it promised.
        store: Its records.
    """

    def __init__(self, log: Log, declaration: StreamDeclaration, store: StreamStore) -> None:
        self.log = log
        self.declaration = declaration
        self.store = store

    @classmethod
    def open(
        cls,
        log: Log,
        system: str,
        *,
        fields: Sequence[str] = DECISION_FIELDS,
        pad_to: int = 1,
        cadence_s: int | None = None,
        write: bool = True,
    ) -> DecisionStream:
        """Open the newest stream of a system; a writer declares one where there is none.

        Args:
            log: Where it is declared.
            system: Whose stream.
            fields: As it is declared, where it is.
            pad_to: Likewise.
            cadence_s: Likewise.
            write: Whether to write.

        Raises:
            ConflictError: `write`, and there is a writer already, or the log was moved away.
            FormatError: not `write`, and the system has no stream.
            RefusedError: `write`, and this is a copy.
        """
        require(system, str, "the name of a system", "It is the name of its model.")
        found = newest_heard(log, predicate="stream", subject=system)
        if found is not None:
            declaration = parse_stream(found.envelope.in_toto)
        elif write:
            declaration = cls._declare(log, system, tuple(fields), pad_to, cadence_s)
        else:
            raise FormatError(
                f"the system {system!r} has no decision stream in {log.engine.name}",
                hint="It begins with the first decision.",
            )
        return cls.reopen(log, declaration, write=write)

    @classmethod
    def reopen(cls, log: Log, declaration: StreamDeclaration, *, write: bool) -> DecisionStream:
        """Open a stream that was declared, the newest of its system or an older one.

        Raises:
            UnavailableError: its records are not here, and it is not for us to begin it; or their
                key is not.
            VerificationError: `write`, and nothing is here of what the log knows of it.
            As `open`.
        """
        place = streams_of(log).place(declaration.stream_id)
        is_there = place.exists()
        if write:
            log.require_writable()  # or a store would be made where none is to be
        if not is_there:
            if not write or _is_elsewhere(log, declaration):
                raise _not_here(log, declaration)
            last = newest_batch(log, declaration.stream_id)
            if last is not None:
                # An empty one here would be in the way of the records when they are put back.
                raise _set_back(declaration, last, 0, place.name)
        keys = FileKeyStore(log.places.vault_keys)
        clock, random = log.clock, log.random
        if not is_there:
            store = StreamStore.create(
                place, declaration.stream_id, keys, clock=clock, random=random
            )
            return cls(log, declaration, store)
        try:
            store = StreamStore.open(place, keys, write=write, clock=clock, random=random)
        except UnavailableError as error:
            if declaration.system.startswith(OWN_SYSTEMS):
                way = "Where its key is gone for good: `counterfoil person recover`."
                error.hint = f"{error.hint} {way}".strip()
            raise
        return cls(log, declaration, store)

    @classmethod
    def replace(cls, log: Log, old: StreamDeclaration, last: Batch | None) -> DecisionStream:
        """Declare a stream in the place of one whose newest records are lost, and open it.

        Args:
            log: Where both are declared.
            old: What the lost one promised; so does this one.
            last: The newest batch that the log has of it, if it has one.

        Raises:
            PolicyError: the trust policy lets nobody here declare it; or as `open`.
        """
        size, root = (last.size, last.root) if last else (0, EMPTY_ROOT)
        lost = Replaced(old.stream_id, size, root)
        made = cls._declare(log, old.system, old.fields, old.pad_to, replaces=lost)
        return cls.reopen(log, made, write=True)

    @staticmethod
    def _declare(
        log: Log,
        system: str,
        fields: tuple[str, ...],
        pad_to: int = 1,
        cadence_s: int | None = None,
        *,
        replaces: Replaced | None = None,
    ) -> StreamDeclaration:
        log.require_writable()
        declaration = StreamDeclaration(
            log=log.origin,
            system=system,
            nonce=log.random(32),
            fields=fields,
            max_delay_s=MAX_DELAY_S,
            pad_to=pad_to,
            cadence_s=cadence_s,
            ticket_keys=(log.principal_key(TICKET_KEY).key,),
            replaces=replaces,
        )
        envelope = sign_envelope(format_stream(declaration), log.principal_key("operator"))
        # A stream that nobody may declare would be declared, and lost, each time it is opened.
        Trust(log).check(envelope)
        log.append_envelope(envelope)
        # If we stop here, the stream is declared and empty; opening it makes its store.
        return declaration

    @property
    def id(self) -> bytes:
        """S, 32 bytes."""
        return self.declaration.stream_id

    def append(
        self, rows: Sequence[Sequence[JsonValue]], data_subjects: Sequence[str | None]
    ) -> range:
        """Write records; durable on return, and in the log with the next `publish`.

        A batch that is due is closed before, so that it holds nothing younger than it says.

        Raises:
            VerificationError: as `check_history`; nothing was written.
        """
        if self.declaration.cadence_s is not None:
            self.publish()
        else:
            self.check_history()  # or there would be records whose batch nobody can state
        return self._append(rows, data_subjects)

    def _append(
        self, rows: Sequence[Sequence[JsonValue]], data_subjects: Sequence[str | None]
    ) -> range:
        fields = self.declaration.fields
        salts = self.log.random(SALT_BYTES * len(fields) * len(rows))
        return self.store.append(seal_rows(self.id, fields, rows, salts), data_subjects)

    def newest_batch(self) -> Batch | None:
        """Read the newest batch that the log holds."""
        return newest_batch(self.log, self.id)

    def check_history(self) -> Batch | None:
        """Check that what is stored here extends the newest batch in the log, and return that.

        Raises:
            VerificationError: the log knows more of this stream than is stored here.
        """
        last = self.newest_batch()
        if last is not None and not extends(self.store, last):
            raise _set_back(self.declaration, last, self.store.size, self.store.place.name)
        return last

    def reaches(self, size: int) -> bool:
        """Tell whether the first `size` records are here, as far as batches in the log tell."""
        if self.store.size < size:
            return False
        for found in reversed(heard_in(self.log, predicate="batch", subject=self.id.hex())):
            batch = parse_batch(found.envelope.in_toto)
            if batch.size <= size:
                return extends(self.store, batch)
        return True

    def check_remains(self) -> None:
        """Check that what is left of a stream whose newest records are lost was not changed.

        Raises:
            VerificationError: it is not the beginning of what the log has batches of.
        """
        if not self.reaches(self.store.size):
            raise VerificationError(
                f"what is left of the stream of {self.declaration.system} in "
                f"{self.store.place.name} is not what its batches in the log say",
                hint="It was changed. Put a copy back that is what was recorded.",
            )

    def require_publishable(self) -> None:
        """Check that a batch could be stated now, with nothing written: history, keys, policy.

        Raises:
            PolicyError: nobody whose key is here may state it.
            UnavailableError: a key is not on this machine.
            VerificationError: as `check_history`.
        """
        last = self.check_history()
        stated = self._batch(last, last.size if last else 0, int(self.log.clock())).statement
        envelope = self.log.sign(stated.subjects, "batch", dict(stated.predicate))
        Trust(self.log).check(envelope)

    def publish(self) -> Batch | None:
        """Bring the stream's new records under a batch statement in the log, when one is due.

        With a cadence one is due for each period that has ended since the last, also where nothing
        changed; periods that were missed are closed now, late, which the log shows.

        Returns:
            The newest batch; None while there was nothing to state.

        Raises:
            VerificationError: the log knows more of this stream than is stored here, or more than
                `MAX_LATE_BATCHES` periods were missed.
        """
        last = self.check_history()
        closings = self.due(last)
        if not closings:
            return last
        size = max(self._padded_size(), last.size if last else 0)
        if self.declaration.cadence_s is None and last is not None and size == last.size:
            return last  # a reader, and what is new fills no batch
        envelopes: list[bytes] = []
        for closed in closings:
            last = self._batch(last, size, closed)
            subjects, predicate = last.statement.subjects, dict(last.statement.predicate)
            envelopes.append(format_envelope(self.log.sign(subjects, "batch", predicate)))
        self.log.append_many(envelopes)
        return last

    def due(self, last: Batch | None) -> Sequence[int]:
        """Tell when each batch that is due closes, Unix seconds; none is an answer too.

        Args:
            last: The newest batch in the log.

        Raises:
            VerificationError: so many are due that the stream has broken its promise.
        """
        now = int(self.log.clock())
        cadence_s = self.declaration.cadence_s
        if cadence_s is None:
            if self.store.size <= (last.size if last else 0):
                return ()
            # A clock that went backwards must not stop the stream; the order is what is promised.
            return (max(now, last.closed + 1) if last else now,)
        newest = now - now % cadence_s
        due = range(last.closed + cadence_s if last else newest, newest + 1, cadence_s)
        if len(due) > MAX_LATE_BATCHES:
            raise VerificationError(
                f"the stream of {self.declaration.system} promised a batch every {cadence_s} s, "
                f"and has missed {len(due)}",
                hint="Add the model under another name: it begins a stream of its own.",
            )
        return due

    def _batch(self, last: Batch | None, size: int, closed: int) -> Batch:
        size_before, root_before = (last.size, last.root) if last else (0, EMPTY_ROOT)
        return Batch(
            stream=self.declaration.stream_id,
            log=self.log.origin,
            size_before=size_before,
            root_before=root_before,
            size=size,
            root=self.store.root(size),
            consistency=self.store.consistency(size_before, size),
            closed=closed,
        )

    def _padded_size(self) -> int:
        """Fill the stream up to a size that a batch may have, and give it.

        A reader cannot; it gives the last such size, and leaves the rest to the next batch.
        """
        excess = self.store.size % self.declaration.pad_to
        if excess and self.store.is_writer:
            pads = [pad_row(self.declaration.fields)] * (self.declaration.pad_to - excess)
            self._append(pads, [None] * len(pads))
            # If we stop here, the stream is padded, and the next batch takes it along.
            excess = 0
        return self.store.size - excess

    def check_batches(self) -> list[str]:
        """Check every batch in the log against the one before and the stream's promises.

        Returns:
            What is broken, in words. Who may state batches is asked; whether the log holds others
            that it does not show here is not.
        """
        broken: list[str] = []
        last: Batch | None = None
        for found in heard_in(self.log, predicate="batch", subject=self.id.hex()):
            try:
                batch = parse_batch(found.envelope.in_toto)
                check_batch(last, batch, self.declaration)
            except (FormatError, VerificationError) as error:
                broken.append(f"the batch at entry {found.index} is none: {error}")
            else:
                last = batch
        if last is not None and not extends(self.store, last):
            broken.append(
                f"the log has a batch of {last.size} records, and the {self.store.size} in "
                f"{self.store.place.name} are not those: an older copy was restored, or it was "
                "changed"
            )
        cadence_s = self.declaration.cadence_s
        if cadence_s is not None and last is not None:
            # Its period has to end, and whoever closes it has until the next one ends.
            missing = (int(self.log.clock()) - last.closed) // cadence_s - 1
            if missing > 0:
                broken.append(f"no batch came in the last {missing} periods of {cadence_s} s")
        return broken

    def ticket(self, index: int) -> bytes:
        """Sign a ticket for a record that is durable: a promise to whoever holds it."""
        ticket = Ticket(
            self.declaration.stream_id, index, self.store.leaf(index), int(self.log.clock())
        )
        return sign_ticket(ticket, self.log.principal_key(TICKET_KEY))

    def close(self) -> None:
        """Release the store."""
        self.store.close()


def newest_batch(log: Log, stream: bytes) -> Batch | None:
    """Read the newest batch of a stream that a log holds."""
    found = newest_heard(log, predicate="batch", subject=stream.hex())
    return None if found is None else parse_batch(found.envelope.in_toto)


def extends(tree: Rooted, batch: Batch) -> bool:
    """Tell whether what is stored of a stream is, or goes on from, what a batch in the log says."""
    return tree.size >= batch.size and tree.root(batch.size) == batch.root


def _set_back(
    declaration: StreamDeclaration, last: Batch, kept: int, place: str
) -> VerificationError:
    """Make the error of a stream that the log knows more of than is stored here."""
    remedy = (
        "`counterfoil person recover` goes on without them."
        if declaration.system.startswith(OWN_SYSTEMS)
        else "what is here stays readable, and the model goes on under another name, which "
        "begins a stream of its own."
    )
    return VerificationError(
        f"the stream of {declaration.system} in {place} is not the one whose batch of {last.size} "
        f"records is in the log: {kept} are here",
        hint="It was restored from an older copy, or changed. Put the newest copy back; "
        f"where the newest records are lost, {remedy}",
    )


def _is_elsewhere(log: Log, declaration: StreamDeclaration) -> bool:
    """Tell whether somebody else has begun a stream, behind the server that keeps the log."""
    if log.engine.writers is not Writers.SERVER:
        return False
    return newest_batch(log, declaration.stream_id) is not None


def _not_here(log: Log, declaration: StreamDeclaration) -> UnavailableError:
    """Make the error of a stream whose records are elsewhere; the log is only told of them."""
    moved_to = log.engine.moved_to()
    where = streams_of(log).place(declaration.stream_id).name
    return UnavailableError(
        f"the records of {declaration.system} are not in {where}",
        hint=f"The log was moved to {moved_to}, and they went along: name that place."
        if moved_to
        else "They lie with whoever recorded them; the log has only what their batches commit to.",
    )
