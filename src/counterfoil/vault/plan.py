"""What the erasure of a person leaves until it is done in every stream and stated in the log.

    {"format": "counterfoil erasure plan v1", "sealed": "<base64>"}

The note `erasing-person` lies beside the stream of erasures. All of it is sealed with a key of its
own (AES-256-GCM, associated data: stream id), which the key store keeps as that stream's epoch 0:
who is erased, from how many records of each stream, and what each erasure's record will say. The
name is destroyed with the key once the log states it all.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from counterfoil.core.canonical import JsonValue, format_json, parse_canonical
from counterfoil.core.text import format_base64, parse_base64, parse_hex
from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.keeping import StreamPlace
from counterfoil.vault.intent import INTENT_EPOCH, open_sealed, seal
from counterfoil.vault.keystore import KeyStore
from counterfoil.vault.store import StreamStore

PLAN_NOTE: Final = "erasing-person"
_FORMAT: Final = "counterfoil erasure plan v1"
_MAX_BYTES: Final = 256 * 1024  # what a place takes as a note


@dataclass(frozen=True, slots=True)
class Plan:
    """The erasure of a person, decided and not finished.

    Args:
        person: As `data_subjects` named them.
        streams: Id of each stream, and how many records it had: later ones nobody was asked about.
        details: As `Eraser.carry_out` takes them.
    """

    person: str
    streams: tuple[tuple[bytes, int], ...]
    details: Mapping[str, JsonValue]


def put_plan(audit: StreamStore, plan: Plan) -> None:
    """Make a plan durable beside the stream of erasures: from here on there is only forward."""
    key = audit.keystore.key(audit.stream, INTENT_EPOCH, create=True)
    # If we stop here, a key is left that nothing was sealed with; the next plan uses it.
    streams: list[JsonValue] = [[stream.hex(), size] for stream, size in plan.streams]
    body: JsonValue = {"details": dict(plan.details), "person": plan.person, "streams": streams}
    audit.put_note(PLAN_NOTE, format_plan(seal(key, audit.stream, format_json(body), audit.random)))


def read_plan(audit: StreamStore) -> Plan | None:
    """Read the plan beside the stream of erasures, if there is one.

    Raises:
        FormatError: the note is no plan.
        UnavailableError: its key is not on this machine.
        VerificationError: it was changed.
    """
    data = audit.note(PLAN_NOTE)
    return None if data is None else _open_plan(data, audit.stream, audit.keystore)


def carry_plan(place: StreamPlace, stream: bytes, audit: StreamStore) -> None:
    """Carry a plan from beside a stream of erasures to the one that was declared to replace it.

    The plan's key is another than the stream's, and may be here where that is lost. A plan that
    does not open stays where it is: it is an older copy, of what is done, or lost as well.

    Args:
        place: Where the stream that was replaced is.
        stream: Its id.
        audit: The other one, open for writing, without a plan.
    """
    with closing(place.open(write=True)) as opened:
        data = opened.note(PLAN_NOTE)
        try:
            plan = None if data is None else _open_plan(data, stream, audit.keystore)
        except (FormatError, UnavailableError, VerificationError):
            return
        if plan is not None:
            put_plan(audit, plan)
            # If we stop here, it is there twice; to carry it out again finds nothing any more.
            opened.destroy_note(PLAN_NOTE)
            # If we stop here, the key that is left opens nothing.
            audit.keystore.destroy(stream, INTENT_EPOCH)


def _open_plan(data: bytes, stream: bytes, keys: KeyStore) -> Plan:
    sealed = parse_plan(data)
    key = keys.key(stream, INTENT_EPOCH)
    body = parse_canonical(open_sealed(key, stream, sealed), what="erasure plan")
    match body:
        case {"details": dict(details), "person": str(person), "streams": list(streams)}:
            return Plan(person, tuple(map(_read_stream, streams)), details)
    raise AssertionError("sealed under a key that only `put_plan` uses")


def remove_plan(audit: StreamStore) -> None:
    """Destroy the plan and its key, and with them the name; doing it again is harmless."""
    audit.destroy_note(PLAN_NOTE)
    # If we stop here, the key that is left opens nothing.
    audit.keystore.destroy(audit.stream, INTENT_EPOCH)


def format_plan(sealed: bytes) -> bytes:
    """Write the note's bytes."""
    return format_json({"format": _FORMAT, "sealed": format_base64(sealed)})


def parse_plan(data: bytes) -> bytes:
    """Read what the note's bytes seal; the inverse of `format_plan`.

    Raises:
        FormatError: they are not what `format_plan` writes.
    """
    match parse_canonical(data, what="erasure plan", max_bytes=_MAX_BYTES):
        case {"format": "counterfoil erasure plan v1", "sealed": str(sealed), **more} if not more:
            return parse_base64(sealed, "erasure plan: sealed")
    raise FormatError(
        f"{PLAN_NOTE} is no plan of an erasure",
        hint="Restore it from a copy of the ledger: an erasure was decided and is not finished.",
    )


def _read_stream(pair: JsonValue) -> tuple[bytes, int]:
    assert isinstance(pair, list)  # noqa: S101 as in `read_plan`
    stream, size = pair
    assert isinstance(size, int)  # noqa: S101 likewise
    return parse_hex(str(stream), "erasure plan: stream"), size
