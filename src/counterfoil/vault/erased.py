"""What tells that a stream was put back as it was before an erasure: the notes of the newest one.

    {"format": "counterfoil erased v1", "newest": {"<stream id, hex>": 32}}

`erased` lies beside a stream that records were erased from: by stream of erasures, the newest
record there that is about this one. `erased-from` lies beside a stream of erasures: by stream, the
newest record there that is about it. The first is written first, so it is behind the second only
where an older copy was put in its place. To compare them takes two notes for each stream, however
many erasures there were; no record is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from counterfoil.core.canonical import format_json, parse_canonical
from counterfoil.core.text import parse_hex
from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.keeping import StreamPlace, Streams
from counterfoil.vault.keystore import FileKeyStore
from counterfoil.vault.store import StreamStore

ERASED_NOTE: Final = "erased"
ERASED_FROM_NOTE: Final = "erased-from"
_FORMAT: Final = "counterfoil erased v1"
_MAX_BYTES: Final = 256 * 1024  # what a place takes as a note; a plan lists as many streams


def format_erased(newest: Mapping[bytes, int]) -> bytes:
    """Write the bytes of such a note."""
    return format_json(
        {"format": _FORMAT, "newest": {stream.hex(): record for stream, record in newest.items()}}
    )


def parse_erased(data: bytes) -> dict[bytes, int]:
    """Read the bytes of such a note; the inverse of `format_erased`.

    Raises:
        FormatError: they are not what `format_erased` writes.
    """
    match parse_canonical(data, what="note of erasures", max_bytes=_MAX_BYTES):
        case {"format": "counterfoil erased v1", "newest": dict(newest), **more} if not more:
            records = {
                parse_hex(stream, "note of erasures: stream", size=32): record
                for stream, record in newest.items()
                if isinstance(record, int) and not isinstance(record, bool) and record >= 0
            }
            if len(records) == len(newest):
                return records
    raise FormatError(
        "the note of the newest erasures does not say which they are",
        hint="Put the file back from a copy of the ledger.",
    )


def mark_erased(store: StreamStore, audit: bytes, record: int) -> None:
    """Note beside a stream the newest erasure from it; doing it again is harmless."""
    _mark(store, ERASED_NOTE, audit, record)


def mark_erased_from(audit: StreamStore, stream: bytes, record: int) -> None:
    """Note the same beside the stream of erasures, afterwards."""
    _mark(audit, ERASED_FROM_NOTE, stream, record)


def find_set_back(streams: Streams, keys: Path) -> set[bytes]:
    """Find the streams that open here, and are as they were before the newest erasure from them.

    Where a place keeps copies, an erasure ends the epoch, and nothing that was put back opens.

    Args:
        streams: All of a log.
        keys: The folder of their keys, which is asked only of a stream that is older.

    Raises:
        FormatError: what lies beside the stream of erasures is damaged; so `VerificationError`.
        UnavailableError: a place refuses.
    """
    found = set()
    for audit in streams.with_note(ERASED_FROM_NOTE):
        place = streams.place(audit)
        newest = {} if place.keeps_copies else _read(place, ERASED_FROM_NOTE)
        for stream, record in newest.items():
            # Not here, damaged or without a key: whoever needs it is told, and it opens nobody.
            with suppress(FormatError, UnavailableError, VerificationError):
                there = streams.place(stream)
                if _read(there, ERASED_NOTE).get(audit, -1) < record:
                    StreamStore.open(there, FileKeyStore(keys), write=False).close()
                    found.add(stream)
    return found


def _read(place: StreamPlace, note: str) -> dict[bytes, int]:
    with closing(place.open(write=False)) as opened:
        data = opened.note(note)
    return {} if data is None else parse_erased(data)


def _mark(store: StreamStore, note: str, other: bytes, record: int) -> None:
    data = store.note(note)
    newest = {} if data is None else parse_erased(data)
    if newest.get(other, -1) < record:
        store.put_note(note, format_erased({**newest, other: record}))
