from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.core.batch import (
    Batch,
    check_batch,
    check_equivocation,
    format_batch,
    parse_batch,
)
from counterfoil.core.canonical import format_json
from counterfoil.core.declaration import StreamDeclaration
from counterfoil.core.envelope import check_envelope, parse_envelope, sign_envelope
from counterfoil.core.keys import Algorithm, PrivateKey
from counterfoil.core.merkle import EMPTY_ROOT, Hash, leaf_hash, node_hash, root_of
from counterfoil.errors import FormatError, ProofError, SplitViewError, VerificationError

WRITER = PrivateKey.from_private(
    "writer", Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
)
FREE = StreamDeclaration("log.example", "credit", bytes(32), ("kind", "output"), 60)
STRICT = replace(FREE, cadence_s=10, pad_to=2)
LEAVES = [leaf_hash(bytes([i])) for i in range(4)]
OTHER = Hash(bytes(32))


def step(declaration, size_before, size, closed, proof=()):
    roots = [root_of(LEAVES[:n]) for n in (size_before, size)]
    stream, log = declaration.stream_id, declaration.log
    return Batch(stream, log, size_before, roots[0], size, roots[1], tuple(proof), closed)


RIGHT = node_hash(LEAVES[2], LEAVES[3])
FIRST, SECOND = step(FREE, 0, 2, 7), step(FREE, 2, 4, 9, [RIGHT])


def test_a_batch_reads_back_as_it_was_written():
    """States, proof and time survive, in one spelling."""
    for batch in (FIRST, SECOND):
        assert parse_batch(format_batch(batch)) == batch
        assert format_batch(parse_batch(format_batch(batch))) == format_batch(batch)


def test_a_proof_may_be_as_long_as_a_tree_is_high():
    """64 hashes can be needed, for a tree no one will ever fill."""
    assert (
        len(parse_batch(format_batch(replace(FIRST, consistency=(OTHER,) * 64))).consistency) == 64
    )


def test_a_batch_is_about_its_streams_new_root():
    """Whoever looks a stream up in the log finds its batches under its id."""
    (subject,) = SECOND.statement.subjects
    assert (subject.name, subject.digest) == (
        FREE.stream_id.hex(),
        {"rfc9162_sha256": SECOND.root.hex()},
    )


def test_a_stream_without_rhythm_grows_at_any_time():
    """Each batch starts where the one before ended; the first from nothing; some add nothing."""
    check_batch(None, FIRST, FREE)
    check_batch(FIRST, SECOND, FREE)
    check_batch(SECOND, step(FREE, 4, 4, 10_000), FREE)
    check_batch(None, step(FREE, 0, 0, 7), FREE)


def test_a_stream_with_rhythm_has_a_batch_in_each_period():
    """Silence is provable where a rhythm was promised: even an empty period has its batch."""
    first, second = step(STRICT, 0, 2, 20), step(STRICT, 2, 2, 30)
    check_batch(None, first, STRICT)
    check_batch(first, second, STRICT)
    check_batch(second, step(STRICT, 2, 4, 40, [RIGHT]), STRICT)
    with pytest.raises(VerificationError, match="a batch was due at 40"):
        check_batch(second, step(STRICT, 2, 4, 50, [RIGHT]), STRICT)


@pytest.mark.parametrize(
    ("before", "batch", "why"),
    [
        (None, SECOND, "stands at 0"),
        (FIRST, FIRST, "stands at 2"),
        (FIRST, replace(SECOND, root_before=OTHER), "another root"),
        (None, replace(FIRST, root_before=OTHER), "another root"),
        (FIRST, replace(SECOND, closed=7), "not after"),
        (FIRST, replace(SECOND, closed=6), "not after"),
        (None, replace(FIRST, stream=OTHER), "not of the declared"),
        (None, replace(FIRST, log="elsewhere"), "for the log elsewhere"),
    ],
)
def test_a_step_from_elsewhere_is_refused(before, batch, why):
    """Order, stream and log are fixed; the error says which of them is not."""
    with pytest.raises(VerificationError, match=why):
        check_batch(before, batch, FREE)


@pytest.mark.parametrize(
    ("before", "batch"),
    [
        (None, replace(FIRST, consistency=(OTHER,))),
        (None, replace(FIRST, size=0)),
        (FIRST, replace(SECOND, consistency=())),
        (FIRST, replace(SECOND, consistency=(OTHER,))),
        (FIRST, replace(SECOND, consistency=(RIGHT, RIGHT))),
        (FIRST, replace(SECOND, root=OTHER)),
        (FIRST, replace(SECOND, size=2)),
        (SECOND, replace(step(FREE, 4, 2, 11), consistency=(RIGHT,))),
        (SECOND, replace(step(FREE, 4, 4, 11), root=OTHER)),
        (SECOND, replace(step(FREE, 4, 4, 11), consistency=(RIGHT,))),
    ],
)
def test_a_stream_only_grows(before, batch):
    """Without the one proof that fits, no record can be changed, removed or slipped in."""
    with pytest.raises(ProofError):
        check_batch(before, batch, FREE)


@pytest.mark.parametrize(("size", "closed", "why"), [(1, 20, "multiple of 2"), (2, 25, "of 10")])
def test_sizes_and_times_keep_their_promises(size, closed, why):
    """A padded stream has even sizes, a timed one round times."""
    with pytest.raises(VerificationError, match=why):
        check_batch(None, step(STRICT, 0, size, closed), STRICT)


@pytest.mark.parametrize(
    "change",
    [
        {"stream": bytes(31)},
        {"root": bytes(33)},
        {"root_before": b""},
        {"consistency": (bytes(31),)},
        {"consistency": (OTHER,) * 65},
        {"size": -1},
        {"size_before": 2**53},
        {"closed": -1},
    ],
)
def test_values_that_no_batch_has_cannot_be_held(change):
    """Hashes are 32 bytes, numbers whole and in range, proofs no longer than trees are high."""
    with pytest.raises(FormatError):
        replace(FIRST, **change)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["predicate"].pop("consistency"),
        lambda s: s["predicate"].update(more=1),
        lambda s: s["predicate"].update(size=True),
        lambda s: s["predicate"].update(size="2"),
        lambda s: s["predicate"].update(size=-1),
        lambda s: s["predicate"].update(consistency=["AAAA"]),
        lambda s: s["predicate"].update(consistency=[1]),
        lambda s: s["predicate"].update(root_before="00"),
        lambda s: s["subject"][0].update(name="credit"),
        lambda s: s["subject"][0].update(digest={"sha256": "00" * 32}),
        lambda s: s["subject"][0]["digest"].update(sha256="00" * 32),
        lambda s: s["subject"].append({"name": "a", "digest": {"sha256": "00" * 32}}),
        lambda s: s.update(predicateType="urn:counterfoil:predicate:stream:v1"),
    ],
)
def test_other_members_are_no_batch(change):
    """Exactly one subject and six members, each of its type."""
    value = json.loads(format_batch(FIRST))
    change(value)
    with pytest.raises(FormatError):
        parse_batch(format_json(value))


def signed(batch):
    return sign_envelope(format_batch(batch), WRITER)


def test_two_histories_of_one_stream_prove_equivocation():
    """The error carries both envelopes, which convince whoever trusts the writer's key."""
    a, b = signed(SECOND), signed(replace(SECOND, root=OTHER, closed=8))
    with pytest.raises(SplitViewError, match="two roots at size 4") as caught:
        check_equivocation(a, b)
    for data, batch in ((caught.value.a, SECOND), (caught.value.b, parse_batch(b.in_toto))):
        envelope = parse_envelope(data)
        assert check_envelope(envelope, [WRITER.key]) == (WRITER.key,)
        assert parse_batch(envelope.in_toto) == batch


def test_two_sizes_for_one_step_prove_equivocation():
    """One period has one end, even where both trees are honest."""
    longer = step(FREE, 0, 4, 7)
    with pytest.raises(SplitViewError, match="two batches at 7"):
        check_equivocation(signed(FIRST), signed(longer))


def test_honest_batches_prove_nothing():
    """Steps of one chain, other streams, and the same batch again contradict nothing."""
    foreign = replace(SECOND, stream=OTHER, root=OTHER)
    for a, b in ((FIRST, SECOND), (FIRST, FIRST), (SECOND, foreign), (EMPTY, FIRST)):
        check_equivocation(signed(a), signed(b))
        check_equivocation(signed(b), signed(a))


EMPTY = replace(step(FREE, 0, 0, 5), root=EMPTY_ROOT)


def test_only_batches_can_equivocate():
    """Bytes that were signed as something else are no proof against anybody."""
    other = sign_envelope(format_batch(FIRST), WRITER, payload_type="text/plain")
    with pytest.raises(FormatError):
        check_equivocation(signed(FIRST), other)
