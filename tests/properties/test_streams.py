from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core.keys import Algorithm, PrivateKey
from counterfoil.core.merkle import (
    EMPTY_ROOT,
    Hash,
    node_hash,
    prove_consistency,
    prove_inclusion,
    root_of,
)
from counterfoil.core.record import (
    SALT_BYTES,
    check_disclosures,
    field_digest,
    format_disclosure,
    format_record,
    parse_disclosure,
    parse_record,
    seal_rows,
)
from counterfoil.core.stream import (
    Batch,
    RecordReceipt,
    Replaced,
    StreamDeclaration,
    Ticket,
    check_batch,
    check_record,
    format_batch,
    format_stream,
    format_ticket,
    open_ticket,
    parse_batch,
    parse_stream,
    parse_ticket,
    sign_ticket,
)
from counterfoil.errors import CounterfoilError, FormatError, VerificationError

MAX = 2**53 - 1
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
hashes = st.binary(min_size=32, max_size=32).map(Hash)
counts = st.integers(0, MAX)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX, MAX) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
).filter(lambda value: "inf" not in repr(value))
field_names = st.lists(texts.filter(bool), min_size=1, max_size=5, unique=True).map(tuple)


@st.composite
def tables(draw):
    """Fields, rows for them, and salts."""
    fields = draw(field_names)
    rows = draw(st.lists(st.tuples(*[values] * len(fields)), max_size=4))
    salts = draw(st.randoms(use_true_random=False)).randbytes(SALT_BYTES * len(fields) * len(rows))
    return fields, rows, salts


@given(hashes, tables())
def test_every_field_of_every_record_can_be_shown(stream, table):
    """Sealing many rows at once is sealing each field by the format's rules, one by one."""
    fields, rows, salts = table
    sealed = seal_rows(stream, fields, rows, salts)
    assert len(sealed) == len(rows)
    at = 0
    for row, one in zip(rows, sealed, strict=True):
        for name, value, encoded in zip(fields, row, one.disclosures, strict=True):
            assert encoded == format_disclosure(salts[at : at + SALT_BYTES], name, value)
            at += SALT_BYTES
        assert one.record == format_record(stream, [field_digest(d) for d in one.disclosures])
        shown = check_disclosures(one.record, fields, one.disclosures)
        assert shown == dict(zip(fields, row, strict=True))


@given(st.binary(min_size=32, max_size=32), texts.filter(bool), values)
def test_a_disclosure_reads_back_as_it_was_written(salt, name, value):
    """Salt, name and value survive, whatever they hold."""
    encoded = format_disclosure(salt, name, value)
    found = parse_disclosure(encoded)
    assert (found.salt, found.name, found.value, found.encoded) == (salt, name, value, encoded)


@given(tables(), st.data())
def test_any_subset_shows_exactly_itself(table, data):
    """What is not disclosed is absent, and no order or choice reveals it."""
    fields, rows, salts = table
    for one in seal_rows(bytes(32), fields, rows, salts):
        shown = data.draw(st.lists(st.sampled_from(one.disclosures), unique=True))
        found = check_disclosures(one.record, fields, shown)
        assert set(found) == {parse_disclosure(encoded).name for encoded in shown}
        assert list(found) == [name for name in fields if name in found]


@given(st.text(max_size=80) | st.binary(max_size=80).map(lambda data: data.decode("latin-1")))
def test_arbitrary_text_is_a_disclosure_or_refused(text):
    """No text raises anything but our own errors."""
    for parse in (parse_disclosure, field_digest):
        try:
            parse(text)
        except FormatError as error:
            assert str(error)  # noqa: PT017 - the point is that no other error escapes


@given(st.binary(max_size=300), st.integers(0, 8))
def test_arbitrary_bytes_are_a_record_or_refused(data, n):
    """No bytes raise anything but our own errors, and what is read is written alike."""
    for record in (data, b"counterfoil/record/v1\n" + data):
        try:
            stream, digests = parse_record(record, n)
        except FormatError:
            continue
        assert format_record(stream, digests) == record


KEY = PrivateKey.from_private(
    "tickets", Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(bytes(32))
)
declarations = st.builds(
    StreamDeclaration,
    log=st.sampled_from(["log.example", "größe"]),
    system=texts.filter(lambda text: text and text.isprintable()),
    nonce=hashes,
    fields=field_names.map(lambda names: tuple(dict.fromkeys((*names, "kind")))),
    max_delay_s=counts,
    cadence_s=st.none() | st.integers(1, MAX),
    pad_to=st.integers(1, MAX),
    ticket_keys=st.sampled_from([(), (KEY.key,)]),
    replaces=st.none() | st.builds(Replaced, hashes, counts, hashes),
)
batches = st.builds(
    Batch,
    stream=hashes,
    log=st.just("log.example"),
    size_before=counts,
    root_before=hashes,
    size=counts,
    root=hashes,
    consistency=st.lists(hashes, max_size=5).map(tuple),
    closed=counts,
)
tickets = st.builds(Ticket, hashes, counts, hashes, counts)
FORMS = [
    (declarations, format_stream, parse_stream),
    (batches, format_batch, parse_batch),
    (tickets, format_ticket, parse_ticket),
]


@pytest.mark.parametrize(("made", "write", "read"), FORMS, ids=["stream", "batch", "ticket"])
@given(data=st.data())
def test_statements_and_their_values_are_inverses(made, write, read, data):
    """Whatever a value holds survives, and is written in one form."""
    value = data.draw(made)
    payload = write(value)
    assert read(payload) == value
    assert write(read(payload)) == payload


@pytest.mark.parametrize(("made", "write", "read"), FORMS, ids=["stream", "batch", "ticket"])
@given(data=st.data())
def test_a_changed_statement_says_something_else_or_nothing(made, write, read, data):
    """No byte can be changed without being refused or changing the value."""
    value = data.draw(made)
    payload = bytearray(write(value))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other = read(bytes(payload))
    except CounterfoilError:
        return
    assert other != value


@given(
    tickets.flatmap(
        lambda ticket: st.tuples(st.just(ticket), st.integers(0, 2000), st.integers(1, 255))
    )
)
def test_a_changed_ticket_is_no_ticket(case):
    """A flipped bit anywhere in what was handed out is noticed."""
    ticket, at, change = case
    stream = StreamDeclaration("log", "a", bytes(32), ("kind",), 1, ticket_keys=(KEY.key,))
    data = bytearray(sign_ticket(replace(ticket, stream=stream.stream_id), KEY))
    data[at % len(data)] ^= change
    with pytest.raises(CounterfoilError):
        open_ticket(bytes(data), stream)


def reader(leaves):
    def node(level, index):
        if level == 0:
            return leaves[index]
        return node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))

    return node


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.data())
def test_a_stream_that_grows_holds_and_any_other_does_not(growth, data):
    """Each honest step is accepted and each record found; one changed leaf breaks the chain."""
    stream = StreamDeclaration("log", "a", bytes(32), ("kind",), 1)
    count = sum(growth)
    sealed = seal_rows(
        stream.stream_id, ("kind",), [(i,) for i in range(count)], bytes(SALT_BYTES * count)
    )
    leaves = [one.leaf for one in sealed]
    node = reader(leaves)
    previous, size = None, 0
    for closed, step in enumerate(growth):
        before, size = size, size + step
        batch = Batch(
            stream.stream_id,
            "log",
            before,
            root_of(leaves[:before]) if before else EMPTY_ROOT,
            size,
            root_of(leaves[:size]) if size else EMPTY_ROOT,
            prove_consistency(before, size, node),
            closed,
        )
        check_batch(previous, batch, stream)
        forked = replace(batch, root=Hash(bytes(32)))
        if before or not size:
            with pytest.raises(VerificationError):
                check_batch(previous, forked, stream)
        previous = batch
    if not count:
        return
    index = data.draw(st.integers(0, count - 1))
    path = prove_inclusion(index, count, node)
    receipt = RecordReceipt(sealed[index].record, index, path, count, previous.root)
    assert check_record(receipt, stream, previous) == leaves[index]
    other = data.draw(st.integers(0, count - 1).filter(lambda i: i != index or count == 1))
    if other != index:
        with pytest.raises(VerificationError):
            check_record(replace(receipt, index=other), stream, previous)
        with pytest.raises(VerificationError):
            check_record(replace(receipt, record=sealed[other].record), stream, previous)
