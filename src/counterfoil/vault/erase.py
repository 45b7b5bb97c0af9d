"""Erasure: records destroyed so that nobody can open them, and a record that says so.

    0. nothing obliges anyone to keep them, and two people approved            (else: refused)
    1. the intent is durable: which records, and, sealed, what will be recorded
    2. keys, payloads and index rows are overwritten
    3. the erasure is recorded in a padded stream of its own
    4. the intent and its key are overwritten

Before step 1 nothing has happened. From then on there is only forward: whoever opens the store
does step 2 again, and `finish` does 2 to 4, by the same code. An erasure is recorded once, as its
record is found by the identifier that the intent carries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.core.merkle import Hash, as_hash
from counterfoil.core.record import SALT_BYTES, pad_row, parse_disclosure, seal_rows
from counterfoil.core.retention import DEFAULT_RETENTION, Hold
from counterfoil.core.text import parse_hex
from counterfoil.errors import FormatError, RefusedError
from counterfoil.vault.erased import mark_erased, mark_erased_from
from counterfoil.vault.hold import HoldRule, check_hold, last_first
from counterfoil.vault.intent import (
    INTENT_EPOCH,
    MAX_ERASED,
    Intent,
    is_ascending,
    open_details,
    seal_details,
)
from counterfoil.vault.seal import Random
from counterfoil.vault.store import StreamStore

ERASURE_FIELDS: Final = (
    "kind",
    "stream",
    "leaves",
    "basis",
    "request",
    "hold",
    "approvers",
    "live_erased_at",
    "final_by",
    "not_touched",
)
"""Fields of the stream that erasures are recorded in."""

NOT_TOUCHED: Final = (
    "models trained on the data, which may have memorised some of it",
    "evidence and receipts already handed out, which still open",
    "data sets, and the salts and leaves in `private/data` that a row can be guessed with",
    "copies that others made, and backups until `final_by`",
    "what a drive keeps of overwritten blocks",
    "leaf hashes, roots and signed statements, which say nothing about the person",
)
_MAX_TEXT = 1000  # characters of a basis or an approver: they share one field's 48 KiB
_MAX_FIELD_BYTES = 47 * 1024  # holds have one such field for themselves; so has what is left
_ID_BYTES = 32
OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    """What was asked for, on what ground, and who agreed.

    Args:
        basis: Why, for instance "GDPR Art. 17(1)(b): consent withdrawn".
        request: SHA-256 of the request as it was received, 32 bytes; None if none came in writing.
        approvers: Two different people or roles, as the organisation names them.
    """

    basis: str
    request: bytes | None
    approvers: tuple[str, str]


@dataclass(frozen=True, slots=True)
class ErasureCertificate:
    """What an erasure did and did not do.

    Args:
        stream: Id of the stream that the records belonged to.
        leaves: Their leaf hashes, which stay.
        live_erased_at: Unix seconds; from then on the live store could not open them.
        final_by: Unix seconds; by then the epoch ends and old backups open nothing either.
        record: Index of the erasure's own record in the erasure stream.
        not_touched: What no erasure here reaches.
        basis: Why.
        request: SHA-256 of the request; None if none came in writing.
        approvers: Who agreed.
        audit: Id of the erasure stream.
    """

    stream: bytes
    leaves: tuple[Hash, ...]
    live_erased_at: int
    final_by: int
    record: int
    not_touched: tuple[str, ...]
    basis: str
    request: bytes | None
    approvers: tuple[str, ...]
    audit: bytes


def _ignore(step: str) -> None:
    """Do nothing at a step."""
    del step


@dataclass(frozen=True, slots=True)
class Eraser:
    """Erases records of one stream and records it in another.

    Args:
        store: Where the records are; open for writing.
        audit: The erasure stream, with `ERASURE_FIELDS`; its keys and retention are its own.
        pad_to: The erasure stream's size is always a multiple of this, so that its growth does
            not count erasures.
        rules: Retention that applies by itself.
        on_step: Told the name of each step once it is done: "intended", "destroyed", "recorded",
            "finished".
    """

    store: StreamStore
    audit: StreamStore
    pad_to: int = 1
    rules: Sequence[HoldRule] = DEFAULT_RETENTION
    on_step: OnStep = _ignore

    def erase(
        self, indices: Sequence[int], request: ErasureRequest, *, placed: Sequence[Hold] = ()
    ) -> ErasureCertificate:
        """Destroy records and record it; when this returns, nothing of them is left on the disk.

        Finishes an interrupted erasure first.

        Args:
            indices: Ascending, at most `MAX_ERASED`; more are several erasures.
            request: Why, and who approved.
            placed: Holds that somebody placed on these records.

        Raises:
            ConflictError: one of the stores is open for reading only.
            FormatError: there are no such records, too many, or the request is malformed.
            RefusedError: the records must be kept, or two different approvers are missing.
            UnavailableError: a record is erased already; or the disk refused: then either nothing
                happened, or the erasure is under way and `finish` completes it.
            VerificationError: a record does not open, so that no hold can be ruled out.
        """
        check_request(request)
        _check_indices(indices)
        self.audit.require_writer()
        self.finish()
        records = [
            {field.name: field.value for field in map(parse_disclosure, texts)}
            for texts in map(self.store.disclosures, indices)
        ]
        ended = check_hold(records, self.store.clock(), rules=self.rules, placed=placed)
        return self.carry_out(indices, erasure_details(request, ended, self.store.random))

    def carry_out(
        self, indices: Sequence[int], details: Mapping[str, JsonValue]
    ) -> ErasureCertificate:
        """Do what was decided: steps 1 to 4. Nothing is asked any more.

        Args:
            indices: As `erase` takes them.
            details: From `erasure_details`.

        Raises:
            As `erase`.
        """
        _check_indices(indices)
        stream = self.store.stream
        key = self.store.keystore.key(stream, INTENT_EPOCH, create=True)
        # If we stop here, a key is left that nothing was sealed with; `finish` destroys it.
        intent = seal_details(key, stream, indices, format_json({**details}), self.store.random)
        self.store.put_intent(intent)  # 1
        self.on_step("intended")
        return self._carry_out(intent)

    def finish(self) -> ErasureCertificate | None:
        """Complete an erasure that was interrupted; None if there was none.

        Raises:
            ConflictError: the store is open for reading only.
            FormatError: the intent is not one.
            UnavailableError: the disk refuses; ask again.
            VerificationError: the intent was changed.
        """
        self.store.require_writer()
        intent = self.store.intent()
        if intent is not None:
            return self._carry_out(intent)
        self._tidy()
        return None

    def _carry_out(self, intent: Intent) -> ErasureCertificate:
        """Do steps 2 to 4; every one may have been done before."""
        stream, keystore = self.store.stream, self.store.keystore
        key = keystore.key(stream, INTENT_EPOCH)
        details = _parse_details(open_details(key, stream, intent))
        self.store.destroy(intent.indices)  # 2
        self.on_step("destroyed")
        # If we stop here, the records are gone and only the intent says why.
        certificate = self._record(intent, details)  # 3
        self.on_step("recorded")
        # If we stop here, the record is found again by its identifier.
        mark_erased(self.store, self.audit.stream, certificate.record)
        mark_erased_from(self.audit, stream, certificate.record)
        self._tidy()  # 4
        self.on_step("finished")
        return certificate

    def _tidy(self) -> None:
        """Remove the intent and destroy its key, or what an interruption left of them."""
        self.store.remove_intent()
        # If we stop here, the key that is left opens nothing.
        self.store.keystore.destroy(self.store.stream, INTENT_EPOCH)

    def _record(self, intent: Intent, details: Mapping[str, JsonValue]) -> ErasureCertificate:
        """Record an erasure, unless that was done before we were interrupted."""
        identifier = str(details["id"])
        leaves = tuple(self.store.leaf(index) for index in intent.indices)
        recorded = [
            one
            for one in read_certificates(self.audit, identifier)
            if (one.stream, one.leaves) == (self.store.stream, leaves)
        ]
        if not recorded:
            # An epoch that should have ended would make `final_by` lie in the past.
            self.store.rotate_if_due()
            erased = int(self.store.clock())
            values: dict[str, JsonValue] = {
                "kind": "erasure",
                "stream": self.store.stream.hex(),
                "leaves": [leaf.hex() for leaf in leaves],
                **{name: details[name] for name in ("basis", "request", "hold", "approvers")},
                "live_erased_at": erased,
                "final_by": self.store.final_by(erased),
                # An intent that a version before this one left does not say.
                "not_touched": details.get("not_touched", list(NOT_TOUCHED)),
            }
            pads = -(self.audit.size + 1) % self.pad_to
            rows = [[values[name] for name in ERASURE_FIELDS], *[pad_row(ERASURE_FIELDS)] * pads]
            salts = self.store.random(SALT_BYTES * len(ERASURE_FIELDS) * len(rows))
            sealed = seal_rows(self.audit.stream, ERASURE_FIELDS, rows, salts)
            index, *_ = self.audit.append(sealed, [identifier, *[None] * pads])
            recorded = [read_certificate(self.audit, index)]
        return recorded[0]


def read_certificates(audit: StreamStore, identifier: str) -> list[ErasureCertificate]:
    """Read what was recorded of one decision to erase: a certificate for each stream, or more.

    Args:
        audit: The erasure stream.
        identifier: The decision's, as `erasure_details` drew it.
    """
    return [read_certificate(audit, index) for index in audit.find(identifier)]


def read_certificate(audit: StreamStore, index: int) -> ErasureCertificate:
    """Read the certificate of an erasure from its record in the erasure stream.

    Raises:
        FormatError: the record is not one of an erasure.
        UnavailableError: see `StreamStore.disclosures`; so `VerificationError`.
    """
    texts = audit.disclosures(index)
    values = {field.name: field.value for field in map(parse_disclosure, texts)}
    match values:
        case {
            "kind": "erasure",
            "stream": str(stream),
            "leaves": list(leaves),
            "live_erased_at": int(erased),
            "final_by": int(final),
            "not_touched": list(untouched),
            "basis": str(basis),
            "request": str() | None as request,
            "approvers": list(approvers),
        }:
            return ErasureCertificate(
                parse_hex(stream, "erasure: stream", size=32),
                tuple(as_hash(parse_hex(str(leaf), "erasure: leaf"), "leaf") for leaf in leaves),
                erased,
                final,
                index,
                tuple(map(str, untouched)),
                basis,
                None if request is None else parse_hex(request, "erasure: request"),
                tuple(map(str, approvers)),
                audit.stream,
            )
    raise FormatError(
        f"record {index} of {audit.place.name} is no erasure",
        hint="Erasures are recorded in a stream of their own; pad records fill it up.",
    )


def request_digest(request: bytes) -> bytes:
    """Digest a request for erasure as it was received, for `ErasureRequest`."""
    return sha256(request).digest()


def check_request(request: ErasureRequest) -> None:
    """Check that an erasure has a ground, and that two people approved it.

    Raises:
        FormatError: a text is empty or too long, or the digest is none.
        RefusedError: both approvers are the same one, however written.
    """
    if request.request is not None:
        as_hash(request.request, "digest of the request")
    texts = (request.basis, *request.approvers)
    if not all(text.strip() and len(text) <= _MAX_TEXT for text in texts):
        raise FormatError(
            f"basis and approvers have 1 to {_MAX_TEXT} characters each, not only spaces",
            hint="Name the article of the law, and the approvers as your records do.",
        )
    # Nobody becomes two people by a capital letter or a space.
    approved = {"".join(name.casefold().split()) for name in request.approvers}
    if len(approved) != 2:
        raise RefusedError(
            "the erasure was not approved",
            reasons=(f"it takes two different approvers, not {len(approved)}",),
            hint="Ask a second person.",
        )


def erasure_details(
    request: ErasureRequest, ended: Sequence[Hold], random: Random
) -> dict[str, JsonValue]:
    """Give what an erasure's record will say, under an identifier of the decision's own.

    Args:
        request: Why, and who approved.
        ended: The holds that have ended.
        random: Gives that many unpredictable bytes.

    Raises:
        FormatError: the holds do not fit into a record.
    """
    holds: dict[str, str] = {}
    for hold in sorted(ended, key=last_first):
        # Each decision has its own day; of those on one ground, the last to end says it all.
        holds.setdefault(hold.basis, hold.ends)
    listed: list[JsonValue] = [{"basis": basis, "ended": ends} for basis, ends in holds.items()]
    if len(format_json(listed)) > _MAX_FIELD_BYTES:
        # Now, and not when the records are destroyed and cannot be recorded as erased.
        raise FormatError(
            f"the {len(listed)} holds that have ended do not fit into the erasure's record",
            hint="Place holds with a shorter basis: a reference to the order will do.",
        )
    return {
        "approvers": list(request.approvers),
        "basis": request.basis,
        "hold": listed,
        "id": random(_ID_BYTES).hex(),
        "not_touched": [*NOT_TOUCHED],
        "request": None if request.request is None else request.request.hex(),
    }


def leave(details: Mapping[str, JsonValue], aside: Mapping[str, str]) -> dict[str, JsonValue]:
    """Have what an erasure's record will say name systems that it does not reach.

    Args:
        details: From `erasure_details`.
        aside: The systems, and why each is not reached.

    Raises:
        FormatError: they do not fit into a record.
    """
    left = (f"records of {system}, which {why}" for system, why in aside.items())
    known = details.get("not_touched", [*NOT_TOUCHED])  # a plan of a version before did not say
    assert isinstance(known, list), "as `erasure_details` made it"  # noqa: S101 our own bug
    listed: list[JsonValue] = [*dict.fromkeys((*map(str, known), *left))]
    if len(format_json(listed)) > _MAX_FIELD_BYTES:
        raise FormatError(
            f"the {len(aside)} systems that are left do not fit into the erasure's record",
            hint="Put some of them back first.",
        )
    return {**details, "not_touched": listed}


def _check_indices(indices: Sequence[int]) -> None:
    if not is_ascending(indices):
        raise FormatError(
            f"one erasure takes 1 to {MAX_ERASED} records, in ascending order, each once",
            hint="Erase in several calls.",
        )


def _parse_details(data: bytes) -> Mapping[str, JsonValue]:
    """Read what the intent sealed; we wrote it, so its members are what they must be."""
    details = parse_canonical(data, what="erasure intent")
    assert isinstance(details, dict), "sealed under a key that only `erase` uses"  # noqa: S101 our own bug
    return details
