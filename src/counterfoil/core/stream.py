"""Streams: one system's private tree of records, whose roots the log holds as batch statements.

The front door to the format: `declaration` (what the system promises), `record` (what it writes),
`batch` (how the log learns of it), `ticket` (what a person holds), and here the receipt that ties
a record to a batch.

Source:
    docs/reference/streams.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from counterfoil.core.batch import (
    Batch,
    check_batch,
    check_belongs,
    check_equivocation,
    check_promises,
    format_batch,
    parse_batch,
)
from counterfoil.core.declaration import Replaced, StreamDeclaration, format_stream, parse_stream
from counterfoil.core.merkle import Hash, check_inclusion
from counterfoil.core.record import parse_record, record_leaf
from counterfoil.core.ticket import (
    LoggedBatch,
    Ticket,
    check_ticket_in_time,
    check_ticket_leaf,
    format_ticket,
    open_ticket,
    parse_ticket,
    sign_ticket,
)
from counterfoil.errors import VerificationError

__all__ = [
    "Batch",
    "LoggedBatch",
    "RecordReceipt",
    "Replaced",
    "StreamDeclaration",
    "Ticket",
    "check_batch",
    "check_equivocation",
    "check_promises",
    "check_record",
    "check_ticket_in_time",
    "check_ticket_leaf",
    "format_batch",
    "format_stream",
    "format_ticket",
    "open_ticket",
    "parse_batch",
    "parse_stream",
    "parse_ticket",
    "sign_ticket",
]


@dataclass(frozen=True, slots=True)
class RecordReceipt:
    """Where a record is in its stream, and what shows it.

    Args:
        record: R.
        index: Zero-based position in the stream.
        path: Inclusion proof, leaf to root, 32 bytes each.
        size: Size of the batch that the path leads to.
        root: Its root, 32 bytes.
    """

    record: bytes
    index: int
    path: tuple[Hash, ...]
    size: int
    root: Hash


def check_record(receipt: RecordReceipt, declaration: StreamDeclaration, batch: Batch) -> Hash:
    """Check that a record is in its stream; return its leaf, the record's handle.

    Args:
        receipt: Record, index and path.
        declaration: From a stream envelope that holds under the policy and is in the log.
        batch: From a batch envelope that holds under the policy and is in the log.

    Raises:
        FormatError: The record is malformed.
        VerificationError: Record, batch and declaration are not of one stream, or the receipt
            leads to another state than the batch's.
        ProofError: The index is outside the stream, or the path leads to another root.

    Source:
        docs/reference/streams.md, "Checking a record receipt", steps 3 to 5.
    """
    check_belongs(batch, declaration)
    if (receipt.size, receipt.root) != (batch.size, batch.root):
        raise VerificationError(
            f"the record's path leads to size {receipt.size}, the batch has {batch.size}"
            + (" and another root" if receipt.size == batch.size else ""),
            hint="Record and batch are from different moments; take both from one receipt.",
        )
    # (3) S, length, number of fields
    stream_id, _ = parse_record(receipt.record, len(declaration.fields))
    if stream_id != declaration.stream_id:
        raise VerificationError(
            "the record is of another stream", hint="Ask for the statement of its own stream."
        )
    # (4) index below size, (5) path
    leaf = record_leaf(receipt.record)
    check_inclusion(leaf, receipt.index, receipt.size, receipt.path, receipt.root)
    return leaf
