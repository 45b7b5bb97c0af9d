"""The decision stream of one system: declared once in the log, written here, stepped by batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from counterfoil.core.canonical import JsonValue
from counterfoil.core.envelope import sign_envelope
from counterfoil.core.merkle import EMPTY_ROOT
from counterfoil.core.record import SALT_BYTES, pad_row, seal_rows
from counterfoil.core.stream import (
    Batch,
    StreamDeclaration,
    Ticket,
    format_stream,
    parse_batch,
    parse_stream,
    sign_ticket,
)
from counterfoil.errors import FormatError, VerificationError
from counterfoil.ledger.log import Log
from counterfoil.ledger.trust import Trust, newest_heard
from counterfoil.vault.keystore import FileKeyStore
from counterfoil.vault.store import StreamStore

DECISION_FIELDS = ("kind", "about", "inputs", "output", "reasons")
MAX_DELAY_S = 24 * 3600  # after a ticket is due, its record must be in a batch by then
TICKET_KEY = "tickets"


def stream_folder(log: Log, declaration: StreamDeclaration) -> Path:
    """Tell where a stream is kept."""
    return log.folder / "private" / "streams" / declaration.stream_id.hex()


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
        write: bool = True,
    ) -> DecisionStream:
        """Open the newest stream of a system; a writer declares one where there is none.

        Raises:
            ConflictError: `write`, and there is a writer already.
            FormatError: not `write`, and the system has no stream.
        """
        found = newest_heard(log, predicate="stream", subject=system)
        if found is not None:
            declaration = parse_stream(found.envelope.in_toto)
        elif write:
            declaration = cls._declare(log, system, tuple(fields), pad_to)
        else:
            raise FormatError(
                f"the system {system!r} has no decision stream in {log.folder}",
                hint="It begins with the first decision.",
            )
        return cls.reopen(log, declaration, write=write)

    @classmethod
    def reopen(cls, log: Log, declaration: StreamDeclaration, *, write: bool) -> DecisionStream:
        """Open a stream that was declared, the newest of its system or an older one.

        Raises:
            As `open`.
        """
        folder = stream_folder(log, declaration)
        keys = FileKeyStore(log.places.vault_keys)
        clock, random = log.clock, log.random
        if write and not (folder / "tree.json").exists():
            store = StreamStore.create(
                folder, declaration.stream_id, keys, clock=clock, random=random
            )
        else:
            store = StreamStore.open(folder, keys, write=write, clock=clock, random=random)
        return cls(log, declaration, store)

    @staticmethod
    def _declare(log: Log, system: str, fields: tuple[str, ...], pad_to: int) -> StreamDeclaration:
        declaration = StreamDeclaration(
            log=log.origin,
            system=system,
            nonce=log.random(32),
            fields=fields,
            max_delay_s=MAX_DELAY_S,
            pad_to=pad_to,
            ticket_keys=(log.principal_key(TICKET_KEY).key,),
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
        """Write records; durable on return, and in the log with the next `publish`."""
        fields = self.declaration.fields
        salts = self.log.random(SALT_BYTES * len(fields) * len(rows))
        return self.store.append(seal_rows(self.id, fields, rows, salts), data_subjects)

    def newest_batch(self) -> Batch | None:
        """Read the newest batch that the log holds."""
        found = newest_heard(self.log, predicate="batch", subject=self.id.hex())
        return None if found is None else parse_batch(found.envelope.in_toto)

    def check_history(self) -> Batch | None:
        """Check that what is stored here extends the newest batch in the log, and return that.

        Raises:
            VerificationError: the log knows more of this stream than is stored here.
        """
        last = self.newest_batch()
        if last is not None and (
            last.size > self.store.size or self.store.root(last.size) != last.root
        ):
            raise VerificationError(
                f"the stream of {self.declaration.system} in {self.store.folder} is not the one "
                f"whose batch of {last.size} records is in the log",
                hint="It was restored from an older copy, or changed. Declare a new stream.",
            )
        return last

    def publish(self) -> Batch | None:
        """Bring the stream's new records under a batch statement in the log.

        Returns:
            The newest batch; None while the stream is empty.

        Raises:
            VerificationError: the log knows more of this stream than is stored here.
        """
        last = self.check_history()
        size_before, root_before = (last.size, last.root) if last else (0, EMPTY_ROOT)
        size = self._padded_size()
        if size <= size_before:
            return last
        now = int(self.log.clock())
        batch = Batch(
            stream=self.declaration.stream_id,
            log=self.log.origin,
            size_before=size_before,
            root_before=root_before,
            size=size,
            root=self.store.root(size),
            consistency=self.store.consistency(size_before, size),
            # A clock that went backwards must not stop the stream; the order is what is promised.
            closed=max(now, last.closed + 1) if last else now,
        )
        self.log.attest(batch.statement.subjects, "batch", dict(batch.statement.predicate))
        return batch

    def _padded_size(self) -> int:
        """Fill the stream up to a size that a batch may have, and give it.

        A reader cannot; it gives the last such size, and leaves the rest to the next batch.
        """
        excess = self.store.size % self.declaration.pad_to
        if excess and self.store.is_writer:
            pads = [pad_row(self.declaration.fields)] * (self.declaration.pad_to - excess)
            self.append(pads, [None] * len(pads))
            # If we stop here, the stream is padded, and the next batch takes it along.
            excess = 0
        return self.store.size - excess

    def ticket(self, index: int) -> bytes:
        """Sign a ticket for a record that is durable: a promise to whoever holds it."""
        ticket = Ticket(
            self.declaration.stream_id, index, self.store.leaf(index), int(self.log.clock())
        )
        return sign_ticket(ticket, self.log.principal_key(TICKET_KEY))

    def close(self) -> None:
        """Release the store."""
        self.store.close()
