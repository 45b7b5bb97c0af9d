from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.core.batch import Batch, format_batch
from counterfoil.core.canonical import format_json
from counterfoil.core.declaration import StreamDeclaration
from counterfoil.core.envelope import format_envelope, parse_envelope, sign_envelope
from counterfoil.core.keys import Algorithm, PrivateKey
from counterfoil.core.merkle import EMPTY_ROOT, Hash, leaf_hash, node_hash
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
from counterfoil.errors import (
    FormatError,
    ProofError,
    SignatureError,
    SplitViewError,
    VerificationError,
)


def signer(seed):
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
    return PrivateKey.from_private("tickets", Algorithm.ED25519, private)


KEY, STRANGER = signer(1), signer(2)
STREAM = StreamDeclaration(
    "log.example", "credit", bytes(32), ("kind",), 60, ticket_keys=(KEY.key,)
)
A, B = leaf_hash(b"a"), leaf_hash(b"b")
BATCH = Batch(STREAM.stream_id, STREAM.log, 0, EMPTY_ROOT, 2, node_hash(A, B), (), 50)
TICKET = Ticket(STREAM.stream_id, 1, B, 100)
HANDED_OUT = sign_ticket(TICKET, KEY)
LOGGED = sign_envelope(format_batch(BATCH), STRANGER)


def test_a_ticket_reads_back_as_it_was_written():
    """Stream, index, leaf and due time survive, and the ticket key's signature holds."""
    assert parse_ticket(format_ticket(TICKET)) == TICKET
    assert open_ticket(HANDED_OUT, STREAM) == TICKET


def test_a_ticket_is_about_its_streams_statement():
    """A stream's id is the digest of the statement that declares it."""
    (subject,) = TICKET.statement.subjects
    assert subject.digest == {"sha256": subject.name}
    assert subject.name == STREAM.stream_id.hex()


def test_a_ticket_counts_under_a_ticket_key_only():
    """Nobody can make a system break a promise that it never gave."""
    with pytest.raises(SignatureError):
        open_ticket(sign_ticket(TICKET, STRANGER), STREAM)
    with pytest.raises(SignatureError):
        open_ticket(HANDED_OUT, replace(STREAM, ticket_keys=()))


def test_a_ticket_counts_for_its_stream_only():
    """The same key may sign tickets of two streams; they are not exchangeable."""
    with pytest.raises(VerificationError, match="not for the declared"):
        open_ticket(HANDED_OUT, replace(STREAM, nonce=bytes([1] * 32)))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["predicate"].pop("due"),
        lambda s: s["predicate"].update(more=1),
        lambda s: s["predicate"].update(index=True),
        lambda s: s["predicate"].update(leaf="00"),
        lambda s: s["subject"][0].update(name="00" * 32),
        lambda s: s["subject"][0].update(name="credit"),
        lambda s: s["subject"][0]["digest"].update(sha256="00" * 32),
        lambda s: s["subject"].append({"name": "a", "digest": {"sha256": "00" * 32}}),
        lambda s: s.update(predicateType="urn:counterfoil:predicate:batch:v1"),
    ],
)
def test_other_members_are_no_ticket(change):
    """A signed promise has one form, so that it cannot be argued about."""
    value = json.loads(format_ticket(TICKET))
    change(value)
    payload = format_json(value)
    with pytest.raises(FormatError):
        parse_ticket(payload)
    with pytest.raises(FormatError):
        open_ticket(format_envelope(sign_envelope(payload, KEY)), STREAM)


def test_bytes_signed_as_something_else_are_no_ticket():
    """The payload's type is under the signature, and must be that of a statement."""
    other = sign_envelope(format_ticket(TICKET), KEY, payload_type="text/plain")
    with pytest.raises(FormatError, match="signed as"):
        open_ticket(format_envelope(other), STREAM)


@pytest.mark.parametrize(
    "change", [{"stream": b""}, {"leaf": bytes(31)}, {"index": -1}, {"due": -1}]
)
def test_values_that_no_ticket_has_cannot_be_held(change):
    """Hashes are 32 bytes; index and time are whole and not negative."""
    with pytest.raises(FormatError):
        replace(TICKET, **change)


def test_a_promise_kept_is_quiet():
    """The promised record lies at its index."""
    check_ticket_leaf(HANDED_OUT, STREAM, LOGGED, B, [A])


def test_another_record_at_the_index_is_breach():
    """Ticket and batch contradict each other, and the error carries both."""
    promised = sign_ticket(replace(TICKET, leaf=leaf_hash(b"promised")), KEY)
    with pytest.raises(SplitViewError, match="index 1") as caught:
        check_ticket_leaf(promised, STREAM, LOGGED, B, [A])
    assert caught.value.a == promised
    assert parse_envelope(caught.value.b) == LOGGED


@pytest.mark.parametrize(("leaf", "path"), [(A, [B]), (leaf_hash(b"c"), [A]), (B, []), (B, [A, A])])
def test_a_false_path_proves_nothing(leaf, path):
    """Whoever claims breach must show what lies there."""
    with pytest.raises(ProofError):
        check_ticket_leaf(HANDED_OUT, STREAM, LOGGED, leaf, path)


def test_a_batch_of_another_stream_proves_nothing():
    """Index 1 of another stream has another record, rightly."""
    foreign = sign_envelope(format_batch(replace(BATCH, stream=Hash(bytes(32)))), STRANGER)
    with pytest.raises(VerificationError, match="different streams") as caught:
        check_ticket_leaf(HANDED_OUT, STREAM, foreign, B, [A])
    assert not isinstance(caught.value, SplitViewError)


def test_a_batch_in_time_keeps_the_promise():
    """Up to the last second of due and delay, by the quorum's time."""
    for time in (0, 100, 160):
        assert check_ticket_in_time(TICKET, STREAM, [LoggedBatch(BATCH, time)], 10_000) == BATCH


@pytest.mark.parametrize(
    "logged",
    [
        [],
        [LoggedBatch(BATCH, 161)],
        [LoggedBatch(replace(BATCH, size=1, root=A), 50)],
        [LoggedBatch(replace(BATCH, stream=Hash(bytes(32))), 50)],
    ],
)
def test_without_one_the_promise_is_broken_once_its_time_is_up(logged):
    """Late, too short or of another stream: none of these keeps it; before, nobody can tell."""
    assert check_ticket_in_time(TICKET, STREAM, logged, 160) is None
    with pytest.raises(VerificationError, match="by 160 reaches index 1"):
        check_ticket_in_time(TICKET, STREAM, logged, 161)
