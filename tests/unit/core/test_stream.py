from __future__ import annotations

from dataclasses import replace

import pytest

from counterfoil.core.merkle import EMPTY_ROOT, Hash, leaf_hash, node_hash
from counterfoil.core.record import record_leaf, seal_rows
from counterfoil.core.stream import Batch, RecordReceipt, StreamDeclaration, check_record
from counterfoil.errors import FormatError, ProofError, VerificationError

STREAM = StreamDeclaration("log.example", "credit", bytes(32), ("kind", "output"), 60)
SUCCESSOR = replace(STREAM, nonce=bytes([1] * 32))
FIRST, SECOND = seal_rows(
    STREAM.stream_id, STREAM.fields, [["decision", 1], ["decision", 2]], bytes(range(128))
)
ROOT = node_hash(FIRST.leaf, SECOND.leaf)
BATCH = Batch(STREAM.stream_id, STREAM.log, 0, EMPTY_ROOT, 2, ROOT, (), 50)
RECEIPT = RecordReceipt(SECOND.record, 1, (FIRST.leaf,), 2, ROOT)


def test_a_record_in_its_stream_gives_its_handle():
    """The leaf, by which reviews and appeals name the record."""
    assert check_record(RECEIPT, STREAM, BATCH) == SECOND.leaf == record_leaf(SECOND.record)
    first = RecordReceipt(FIRST.record, 0, (SECOND.leaf,), 2, ROOT)
    assert check_record(first, STREAM, BATCH) == FIRST.leaf


def test_a_record_holds_at_its_own_place_only():
    """Another index, path or record leads to another root."""
    for change in (
        {"index": 0},
        {"index": 2},
        {"index": -1},
        {"path": ()},
        {"path": (SECOND.leaf,)},
        {"path": (FIRST.leaf, FIRST.leaf)},
        {"record": FIRST.record},
    ):
        with pytest.raises(ProofError):
            check_record(replace(RECEIPT, **change), STREAM, BATCH)


def test_record_batch_and_declaration_are_of_one_stream():
    """None of the three can be taken from elsewhere, whatever the path says."""
    foreign = seal_rows(SUCCESSOR.stream_id, STREAM.fields, [["decision", 1]], bytes(64))[0]
    root = node_hash(FIRST.leaf, foreign.leaf)
    there = replace(RECEIPT, record=foreign.record, root=root)
    with pytest.raises(VerificationError, match="record is of another stream"):
        check_record(there, STREAM, replace(BATCH, root=root))
    with pytest.raises(VerificationError, match="not of the declared"):
        check_record(RECEIPT, SUCCESSOR, BATCH)
    with pytest.raises(VerificationError, match="for the log"):
        check_record(RECEIPT, STREAM, replace(BATCH, log="elsewhere"))


def test_the_path_leads_to_the_batch_that_was_logged():
    """A root that no batch states is nobody's word."""
    other = leaf_hash(b"other")
    lone = RecordReceipt(SECOND.record, 0, (), 1, SECOND.leaf)
    for receipt in (lone, replace(RECEIPT, root=other), replace(RECEIPT, size=3)):
        with pytest.raises(VerificationError, match="path leads to size"):
            check_record(receipt, STREAM, BATCH)


def test_a_record_has_the_fields_of_its_stream():
    """One digest less or more is another record, even under a root that holds it."""
    for record in (SECOND.record[:-32], SECOND.record + bytes(32), b""):
        root = node_hash(FIRST.leaf, record_leaf(record))
        with pytest.raises(FormatError):
            check_record(
                replace(RECEIPT, record=record, root=root), STREAM, replace(BATCH, root=root)
            )


def test_hashes_of_other_widths_are_refused():
    """A sibling of 31 or 33 bytes is not a hash."""
    for size in (31, 33):
        with pytest.raises(FormatError):
            check_record(replace(RECEIPT, path=(Hash(bytes(size)),)), STREAM, BATCH)
