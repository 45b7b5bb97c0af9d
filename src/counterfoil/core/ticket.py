"""Tickets: a signed promise that a record has an index, given to a person with the outcome.

With it, whoever was decided about can prove that the record was later left out, changed or came
too late. It is a DSSE envelope by one of the stream's ticket keys.

Source:
    docs/reference/streams.md, "Ticket".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from counterfoil.core.batch import Batch, parse_batch
from counterfoil.core.canonical import check_integer
from counterfoil.core.declaration import StreamDeclaration, read_hash
from counterfoil.core.envelope import (
    Envelope,
    check_envelope,
    format_envelope,
    parse_envelope,
    sign_envelope,
)
from counterfoil.core.merkle import Hash, as_hash, check_inclusion
from counterfoil.core.statement import (
    SHA256,
    Statement,
    Subject,
    check_form,
    format_statement,
    parse_statement,
    predicate_type,
)
from counterfoil.core.text import parse_hex
from counterfoil.core.toml import Table
from counterfoil.errors import SplitViewError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from counterfoil.core.keys import Signer


@dataclass(frozen=True, slots=True)
class Ticket:
    """A promise: the record with this leaf is number `index`, in a batch soon after `due`.

    Args:
        stream: S, 32 bytes.
        index: The record's position in the stream.
        leaf: The record's handle, 32 bytes.
        due: Unix seconds; `max_delay_s` later a batch with the record must be in the log.
    """

    stream: Hash
    index: int
    leaf: Hash
    due: int

    def __post_init__(self) -> None:
        as_hash(self.stream, "stream of a ticket")
        as_hash(self.leaf, "leaf of a ticket")
        check_integer(self.index, "index of a ticket")
        check_integer(self.due, "due time of a ticket")

    @property
    def statement(self) -> Statement:
        """The ticket as a statement about its stream, whose id is the digest of its statement."""
        stream = self.stream.hex()
        return Statement(
            (Subject(stream, {SHA256: stream}),),
            predicate_type("ticket"),
            {"index": self.index, "leaf": self.leaf.hex(), "due": self.due},
        )


class LoggedBatch(NamedTuple):
    """A batch and when the log had it.

    Args:
        batch: Already checked.
        time: Unix seconds by which a quorum of witnesses had signed a checkpoint that covers it.
    """

    batch: Batch
    time: int


def format_ticket(ticket: Ticket) -> bytes:
    """Write a ticket's statement, the payload of its envelope."""
    return format_statement(ticket.statement)


def parse_ticket(payload: bytes) -> Ticket:
    """Read a ticket's statement; `format_ticket` of the result is `payload`.

    Who signed it is not looked at here; see `open_ticket`.

    Raises:
        FormatError: Not a ticket in its one form.
    """
    statement = parse_statement(payload)
    name = statement.subjects[0].name
    stream = as_hash(parse_hex(name, "stream of a ticket"), "stream of a ticket")

    def read(table: Table) -> Ticket:
        return Ticket(
            stream, table.integer("index"), read_hash(table, "leaf"), table.integer("due")
        )

    ticket = Table(statement.predicate, "ticket").read(read)
    check_form(ticket.statement, payload, "ticket")
    return ticket


def sign_ticket(ticket: Ticket, signer: Signer) -> bytes:
    """Put a ticket into a signed envelope, to be handed out."""
    return format_envelope(sign_envelope(format_ticket(ticket), signer))


def open_ticket(data: bytes, declaration: StreamDeclaration) -> Ticket:
    """Read a ticket and check that one of its stream's ticket keys signed it.

    Raises:
        FormatError: Not a ticket's envelope.
        SignatureError: No ticket key of this stream signed it.
        VerificationError: It is for another stream.
    """
    envelope = parse_envelope(data)
    check_envelope(envelope, declaration.ticket_keys)
    ticket = parse_ticket(envelope.in_toto)
    if ticket.stream != declaration.stream_id:
        raise VerificationError(
            f"the ticket is for stream {ticket.stream.hex()[:16]}, not for the declared one",
            hint="Take the stream statement that the ticket names.",
        )
    return ticket


def check_ticket_leaf(
    ticket: bytes,
    declaration: StreamDeclaration,
    batch: Envelope,
    leaf: Hash,
    path: Sequence[Hash],
) -> None:
    """Check that the record the ticket promised is the one that lies at its index.

    Args:
        ticket: The ticket's envelope, as handed out.
        declaration: The stream's.
        batch: Envelope of a batch that was checked under the policy and in the log.
        leaf: What lies at the ticket's index, 32 bytes.
        path: Inclusion proof of `leaf` in the batch, leaf to root.

    Raises:
        SplitViewError: Breach is proven: another leaf lies there. Carries both envelopes.
        ProofError: `path` does not show that `leaf` lies there; nothing is proven.
        VerificationError: Ticket and batch are not of this stream; nothing is proven.

    Source:
        docs/reference/streams.md, "Breach of a ticket".
    """
    promised = open_ticket(ticket, declaration)
    state = parse_batch(batch.in_toto)
    if state.stream != promised.stream:
        raise VerificationError(
            "ticket and batch are of different streams", hint="Take a batch of the ticket's stream."
        )
    check_inclusion(leaf, promised.index, state.size, path, state.root)
    if leaf != promised.leaf:
        raise SplitViewError(
            f"breach of a ticket: another record lies at index {promised.index}",
            a=ticket,
            b=format_envelope(batch),
            hint="Keep ticket, batch and path: together they are the proof.",
        )


def check_ticket_in_time(
    ticket: Ticket,
    declaration: StreamDeclaration,
    logged: Iterable[LoggedBatch],
    as_of: int,
) -> Batch | None:
    """Check that the log had a batch that reaches the ticket's index in time.

    Absence is claimed here, so `logged` must be complete: from one's own audited copy of the log.

    Args:
        ticket: As opened.
        declaration: The stream's.
        logged: Every batch of the stream in that copy.
        as_of: Quorum time of that copy's checkpoint, Unix seconds.

    Returns:
        A batch that reached the index in time; None where the time is not yet up.

    Raises:
        VerificationError: Breach is proven: the time is up, and no batch in it reached the index.

    Source:
        docs/reference/streams.md, "Breach of a ticket".
    """
    deadline = ticket.due + declaration.max_delay_s
    for batch, time in logged:
        if batch.stream == ticket.stream and time <= deadline and batch.size > ticket.index:
            return batch
    if as_of <= deadline:
        return None
    raise VerificationError(
        f"breach of a ticket: no batch in the log by {deadline} reaches index {ticket.index}",
        hint="The record was left out or came late; the ticket and the log are the proof.",
    )
