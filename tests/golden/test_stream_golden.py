from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from counterfoil.core.envelope import check_envelope, parse_envelope
from counterfoil.core.keys import parse_vkey
from counterfoil.core.merkle import Hash
from counterfoil.core.record import (
    check_disclosures,
    field_digest,
    format_record,
    parse_disclosure,
    record_leaf,
)
from counterfoil.core.stream import (
    LoggedBatch,
    RecordReceipt,
    check_batch,
    check_equivocation,
    check_record,
    check_ticket_in_time,
    check_ticket_leaf,
    format_batch,
    format_stream,
    open_ticket,
    parse_batch,
    parse_stream,
)
from counterfoil.errors import (
    CounterfoilError,
    FormatError,
    ProofError,
    SplitViewError,
    VerificationError,
)

MAKER = runpy.run_path(str(Path(__file__).with_name("make_stream_vectors.py")))
VECTORS = json.loads(MAKER["VECTORS"].read_text("utf-8"))
STREAM = parse_stream(VECTORS["streams"][0]["payload"].encode())
ENVELOPES = [parse_envelope(text.encode()) for text in VECTORS["batches"]["chain"]]
CHAIN = [parse_batch(envelope.in_toto) for envelope in ENVELOPES]


def cases(*names):
    """Make a test case of each vector, named by its comment."""
    found = VECTORS
    for name in names:
        found = found[name]
    return pytest.mark.parametrize("case", found, ids=lambda case: case.get("comment", "case"))


def unhex(texts):
    return tuple(Hash(bytes.fromhex(text)) for text in texts)


def test_the_published_vectors_are_the_ones_made_here():
    """The format is frozen: code that writes one byte otherwise shows here."""
    assert MAKER["write"](MAKER["build"]()) == MAKER["VECTORS"].read_text("utf-8")


def test_the_page_shows_the_first_record():
    """The example on the format's page is the one in the vectors."""
    page = MAKER["VECTORS"].with_name("streams.md").read_text("utf-8")
    first = VECTORS["records"][0]["disclosures"][0]
    for shown in (
        f"S        {STREAM.stream_id.hex()}",
        f"D_0      {first}",
        f"d_0      {field_digest(first).hex()}",
        f"leaf     {VECTORS['records'][0]['leaf']}",
    ):
        assert shown in page


@cases("streams")
def test_streams_have_their_ids(case):
    """A stream statement reads back as written, and its hash is the stream's id."""
    declaration = parse_stream(case["payload"].encode())
    assert format_stream(declaration).decode() == case["payload"]
    assert declaration.stream_id.hex() == case["id"]


@cases("disclosures", "good")
def test_good_disclosures_are_read(case):
    """Any spelling that is unambiguous is accepted, and hashed as received."""
    found = parse_disclosure(case["encoded"])
    assert (found.salt.hex(), found.name, found.value) == (
        case["salt"],
        case["name"],
        case["value"],
    )
    assert field_digest(case["encoded"]).hex() == case["digest"]


@cases("disclosures", "bad")
def test_bad_disclosures_are_refused(case):
    """What two readers could understand differently is no disclosure."""
    with pytest.raises(FormatError):
        parse_disclosure(case["encoded"])


def test_records_are_made_of_their_disclosures():
    """Record and leaf follow from the disclosures and the stream's id alone."""
    for case in VECTORS["records"]:
        record = format_record(STREAM.stream_id, [field_digest(d) for d in case["disclosures"]])
        assert (record.hex(), record_leaf(record).hex()) == (case["record"], case["leaf"])


@cases("shown", "good")
def test_disclosures_show_fields(case):
    """What is shown comes back in the order of the fields; the rest is absent."""
    shown = check_disclosures(bytes.fromhex(case["record"]), STREAM.fields, case["disclosures"])
    assert list(shown.items()) == list(case["shows"].items())


@cases("shown", "bad")
def test_false_disclosures_show_nothing(case):
    """What a record does not commit to, or not there, is not shown by it."""
    with pytest.raises((FormatError, ProofError)):
        check_disclosures(bytes.fromhex(case["record"]), STREAM.fields, case["disclosures"])


def test_the_chain_of_batches_holds():
    """Signed by the writer, read back as written, each following from the one before."""
    writer = parse_vkey(VECTORS["keys"]["writer"]["vkey"])
    for envelope, before, batch in zip(ENVELOPES, [None, *CHAIN], CHAIN, strict=False):
        assert check_envelope(envelope, [writer]) == (writer,)
        assert format_batch(batch) == envelope.payload
        check_batch(before, batch, STREAM)


@cases("batches", "bad")
def test_bad_steps_are_refused(case):
    """A stream cannot take a step that its statement or its tree forbids."""
    before = None if case["after"] < 0 else CHAIN[case["after"]]
    batch = parse_batch(case["payload"].encode())
    with pytest.raises(VerificationError):
        check_batch(before, batch, STREAM)


@cases("batches", "malformed")
def test_malformed_batches_are_refused(case):
    """A batch has one form."""
    with pytest.raises(FormatError):
        parse_batch(case["payload"].encode())


@cases("equivocations")
def test_equivocation_is_proven_exactly_where_it_is(case):
    """Two batches that cannot both be honest raise with both envelopes; others do not."""
    a, b = parse_envelope(case["a"].encode()), parse_envelope(case["b"].encode())
    if not case["proves"]:
        check_equivocation(a, b)
        check_equivocation(b, a)
        return
    with pytest.raises(SplitViewError) as caught:
        check_equivocation(a, b)
    assert (caught.value.a, caught.value.b) == (case["a"].encode(), case["b"].encode())
    with pytest.raises(SplitViewError):
        check_equivocation(b, a)


def receipt_of(case):
    return RecordReceipt(
        bytes.fromhex(case["record"]),
        case["index"],
        unhex(case["path"]),
        case["size"],
        *unhex([case["root"]]),
    )


@cases("receipts", "good")
def test_good_receipts_hold(case):
    """A receipt gives the record's leaf."""
    leaf = check_record(receipt_of(case), STREAM, CHAIN[case["batch"]])
    assert leaf.hex() == VECTORS["records"][case["index"]]["leaf"]


@cases("receipts", "bad")
def test_bad_receipts_are_refused(case):
    """A changed receipt does not hold."""
    with pytest.raises((FormatError, VerificationError)):
        check_record(receipt_of(case), STREAM, CHAIN[case["batch"]])


@cases("tickets", "bad")
def test_bad_tickets_are_refused(case):
    """A ticket counts only under a ticket key of its stream."""
    with pytest.raises(CounterfoilError):
        open_ticket(case["envelope"].encode(), STREAM)


@cases("tickets", "leaf")
def test_tickets_name_their_record(case):
    """Another leaf at the ticket's index is breach, if a path shows it."""
    verdict = "kept"
    try:
        check_ticket_leaf(
            case["ticket"].encode(),
            STREAM,
            ENVELOPES[case["batch"]],
            *unhex([case["leaf"]]),
            unhex(case["path"]),
        )
    except SplitViewError:
        verdict = "breach"
    except ProofError:
        verdict = "nothing proven"
    assert verdict == case["verdict"]


@cases("tickets", "time")
def test_tickets_have_a_deadline(case):
    """A ticket is broken when its time is up and no batch in the log reached its index."""
    ticket = open_ticket(VECTORS["tickets"]["good"].encode(), STREAM)
    logged = [LoggedBatch(CHAIN[one["batch"]], one["time"]) for one in case["logged"]]
    try:
        batch = check_ticket_in_time(ticket, STREAM, logged, case["as_of"])
        verdict = "kept" if batch else "open"
    except VerificationError:
        verdict = "breach"
    assert verdict == case["verdict"]
