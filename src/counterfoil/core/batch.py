"""Batches: the statements in the log that lead a stream from one state to the next.

Each batch states (size, root) before and now, and proves with RFC 9162 consistency that the one
extends the other; so a stream can only grow. Signatures and the log are checked before: the
functions here take what stands in envelopes that hold under the policy and are in the log.

Source:
    docs/reference/streams.md, "Batch statement".
"""

from __future__ import annotations

from dataclasses import dataclass

from counterfoil.core.canonical import check_integer
from counterfoil.core.declaration import StreamDeclaration, read_hash
from counterfoil.core.envelope import Envelope, format_envelope
from counterfoil.core.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    MAX_PROOF_HASHES,
    Hash,
    as_hash,
    check_extension,
)
from counterfoil.core.statement import (
    RFC9162_SHA256,
    Statement,
    Subject,
    check_form,
    format_statement,
    parse_statement,
    predicate_type,
)
from counterfoil.core.text import format_base64, parse_base64, parse_hex
from counterfoil.core.toml import Table
from counterfoil.errors import FormatError, SplitViewError, VerificationError


@dataclass(frozen=True, slots=True)
class Batch:
    """A step of a stream from one state to the next.

    Args:
        stream: S, 32 bytes.
        log: Origin of the log that receives it.
        size_before: Records before.
        root_before: Root before, 32 bytes.
        size: Records now.
        root: Root now, 32 bytes.
        consistency: Proof from before to now; empty where the sizes are equal or nothing was
            there before.
        closed: Unix seconds, by the writer's clock; strictly increasing.
    """

    stream: Hash
    log: str
    size_before: int
    root_before: Hash
    size: int
    root: Hash
    consistency: tuple[Hash, ...]
    closed: int

    def __post_init__(self) -> None:
        for value in (self.stream, self.root_before, self.root, *self.consistency):
            as_hash(value, "hash in a batch")
        for number in (self.size_before, self.size, self.closed):
            check_integer(number, "number in a batch")
        if len(self.consistency) > MAX_PROOF_HASHES + 1:
            raise FormatError("a consistency proof in a batch is longer than any tree needs")

    @property
    def statement(self) -> Statement:
        """The batch statement."""
        return Statement(
            (Subject(self.stream.hex(), {RFC9162_SHA256: self.root.hex()}),),
            predicate_type("batch"),
            {
                "log": self.log,
                "size_before": self.size_before,
                "root_before": self.root_before.hex(),
                "size": self.size,
                "consistency": [format_base64(value) for value in self.consistency],
                "closed": self.closed,
            },
        )


def format_batch(batch: Batch) -> bytes:
    """Write a batch statement, the payload of an envelope."""
    return format_statement(batch.statement)


def parse_batch(payload: bytes) -> Batch:
    """Read a batch statement; `format_batch` of the result is `payload`.

    Raises:
        FormatError: Not a batch statement in its one form.
    """
    statement = parse_statement(payload)
    subject = statement.subjects[0]
    stream = as_hash(parse_hex(subject.name, "stream of a batch"), "stream of a batch")
    root = as_hash(parse_hex(subject.digest.get(RFC9162_SHA256, ""), "root"), "root of a batch")

    def read(table: Table) -> Batch:
        return Batch(
            stream=stream,
            log=table.text("log"),
            size_before=table.integer("size_before"),
            root_before=read_hash(table, "root_before"),
            size=table.integer("size"),
            root=root,
            consistency=tuple(
                Hash(parse_base64(text, "consistency", size=HASH_BYTES))
                for text in table.texts("consistency")
            ),
            closed=table.integer("closed"),
        )

    batch = Table(statement.predicate, "batch statement").read(read)
    check_form(batch.statement, payload, "batch statement")
    return batch


def check_batch(previous: Batch | None, batch: Batch, declaration: StreamDeclaration) -> None:
    """Check that `batch` is a step that its stream may take from where `previous` left it.

    Args:
        previous: The batch before, already checked; None for the first.
        batch: What is checked.
        declaration: The stream's own promises.

    Raises:
        VerificationError: It is of another stream or log, starts from another state, is not
            padded, not on time or not later than the one before.
        ProofError: The consistency proof does not hold.

    Source:
        docs/reference/streams.md, "Checking a batch".
    """
    check_belongs(batch, declaration)
    before = (0, EMPTY_ROOT) if previous is None else (previous.size, previous.root)
    if (batch.size_before, batch.root_before) != before:
        raise VerificationError(
            f"the batch starts from size {batch.size_before}, the stream stands at {before[0]}"
            + (" with another root" if batch.size_before == before[0] else ""),
            hint="Batches must be checked in the order of the log, none left out.",
        )
    check_promises(batch, declaration)
    _check_closed(previous, batch, declaration.cadence_s)
    check_extension(batch.size_before, batch.root_before, batch.size, batch.root, batch.consistency)


def check_equivocation(a: Envelope, b: Envelope) -> None:
    """Check that two signed batches do not prove their signer a liar.

    Both of these are proof: two states of one stream with equal size and different roots, where
    each batch states two, the one before and the one now; and two batches of one stream with
    equal `size_before` and `closed` and different (size, root).

    Args:
        a: A batch's envelope whose signature was checked.
        b: Another's; order does not matter.

    Raises:
        SplitViewError: They cannot both be honest; carries both envelopes.
        FormatError: One is not a batch.

    Source:
        docs/reference/streams.md, "Proof of equivocation".
    """
    one, other = parse_batch(a.in_toto), parse_batch(b.in_toto)
    if one.stream != other.stream:
        return
    for size, root in ((one.size_before, one.root_before), (one.size, one.root)):
        for its_size, its_root in (
            (other.size_before, other.root_before),
            (other.size, other.root),
        ):
            if size == its_size and root != its_root:
                raise _equivocation(a, b, f"has two roots at size {size}")
    if (one.size_before, one.closed) == (other.size_before, other.closed) and (
        one.size != other.size
    ):
        raise _equivocation(a, b, f"closed two batches at {one.closed}")


def check_promises(batch: Batch, declaration: StreamDeclaration) -> None:
    """Check what a stream promises of every batch, by itself: its padding, and when it closes.

    Raises:
        VerificationError: The batch keeps one of them not.
    """
    if batch.size % declaration.pad_to:
        raise VerificationError(
            f"the batch has size {batch.size}, not a multiple of {declaration.pad_to}",
            hint="The stream promised to pad; its sizes say more than they should.",
        )
    if declaration.cadence_s is not None and batch.closed % declaration.cadence_s:
        raise VerificationError(
            f"the batch closed at {batch.closed}, not a multiple of {declaration.cadence_s}",
            hint="The stream promised a rhythm that this batch does not keep.",
        )


def check_belongs(batch: Batch, declaration: StreamDeclaration) -> None:
    """Check that a batch is of the declared stream and for its log.

    Raises:
        VerificationError: It is not.
    """
    if batch.stream != declaration.stream_id:
        raise VerificationError(
            f"the batch is of stream {batch.stream.hex()[:16]}, not of the declared one",
            hint="Take the stream statement that the batch names.",
        )
    if batch.log != declaration.log:
        raise VerificationError(
            f"the batch is for the log {batch.log}, the stream for {declaration.log}",
            hint="A stream writes into one log; the batch counts nowhere.",
        )


def _check_closed(previous: Batch | None, batch: Batch, cadence_s: int | None) -> None:
    if previous is not None and batch.closed <= previous.closed:
        raise VerificationError(
            f"the batch closed at {batch.closed}, not after the one before, {previous.closed}",
            hint="Its writer's clock went backwards.",
        )
    if cadence_s is None:
        return
    if previous is not None and batch.closed != previous.closed + cadence_s:
        raise VerificationError(
            f"after {previous.closed} a batch was due at {previous.closed + cadence_s}, "
            f"the next one closed at {batch.closed}",
            hint="The stream was silent although it promised one batch in each period.",
        )


def _equivocation(a: Envelope, b: Envelope, what: str) -> SplitViewError:
    return SplitViewError(
        f"the stream {what}: its signer shows different people different records",
        a=format_envelope(a),
        b=format_envelope(b),
        hint="Keep both envelopes: together they are the proof, whoever holds them.",
    )
