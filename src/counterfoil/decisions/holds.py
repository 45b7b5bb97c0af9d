"""Legal holds: placed on people, kept as records of a private stream, released by other records.

A hold is about a person, so it stands in no statement. It is a record of the stream
`counterfoil/holds`, encrypted under the person's name like any other; its release is a second
record, whose field `about` is the leaf of the first. The stream is padded, so that the batches in
the log do not tell how many holds there are, up to `HOLD_PAD_TO` at a time; and its batches show
a hold that was taken out of the store.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final

from counterfoil.core.arguments import require
from counterfoil.core.canonical import JsonValue
from counterfoil.core.record import parse_disclosure
from counterfoil.core.retention import Hold
from counterfoil.core.text import shown
from counterfoil.decisions.kept import HOLDS, open_own
from counterfoil.decisions.stream import DecisionStream
from counterfoil.errors import ConflictError, FormatError
from counterfoil.ledger.log import Log
from counterfoil.vault.seal import check_subject

HOLD_PAD_TO: Final = 16  # a batch does not tell how many holds it covers, up to this many
HOLD_FIELDS: Final = ("kind", "about", "basis", "until", "by", "at")
_DAYS: Final = "Give a datetime.date, as `date(2099, 1, 1)`."
MAX_HOLD_TEXT: Final = 1000  # characters of a basis, a reason or a name: they share one field
_MIN_ID: Final = 8  # digits that name a hold; fewer would soon name another one too


@dataclass(frozen=True, slots=True)
class LegalHold:
    """A hold that somebody placed on a person.

    Args:
        person: As `data_subjects` name them.
        id: Its handle, the leaf of its record in hex.
        basis: The order, dispute or law.
        until: Unix seconds; None holds until it is released.
        placed_by: Who placed it.
        placed_at: When, Unix seconds by the ledger's clock.
        released_by: Who released it; None while it was not.
        released_at: When.
        reason: Why it was released.
    """

    person: str
    id: str
    basis: str
    until: int | None
    placed_by: str
    placed_at: int
    released_by: str | None = None
    released_at: int | None = None
    reason: str | None = None

    @property
    def short(self) -> str:
        """As many digits of its handle as name it."""
        return self.id[:_MIN_ID]

    @property
    def hold(self) -> Hold:
        """The duty that it is: who placed it, and who released it, stand in its basis."""
        basis = f"{self.basis}, placed by {self.placed_by} (hold {self.short})"
        ends = [at for at in (self.until, self.released_at) if at is not None]
        if self.released_by is not None:
            basis += f" and released by {self.released_by}"
        return Hold(basis, min(ends, default=None))


class Holds:
    """The legal holds of one ledger, opened by `open_holds`.

    Args:
        streams: The stream that they are kept in, and those before it, oldest first.
    """

    def __init__(self, streams: tuple[DecisionStream, ...]) -> None:
        self.streams = streams

    def list(self, person: str | None = None) -> tuple[LegalHold, ...]:
        """List holds, released ones and those that have ended included, oldest first.

        Args:
            person: Only those on this person.

        Raises:
            VerificationError: a record does not open, so that nobody can say whom it is about.
        """
        if person is not None:
            check_subject(person)
        found: dict[str, LegalHold] = {}
        for stream in self.streams:
            store = stream.store
            for index in store.live():
                about = store.subject(index)
                if about is None or person not in (None, about):
                    continue  # a pad is about nobody
                fields = map(parse_disclosure, store.disclosures(index))
                values = {field.name: field.value for field in fields}
                _take(found, about, store.leaf(index).hex(), values)
        return tuple(found.values())

    def place(self, person: str, basis: str, by: str, until: date | None) -> LegalHold:
        """Place a hold; see `People.hold`."""
        now = self._now()
        ends = None if until is None else _midnight(require(until, date, "a day", _DAYS))
        if ends is not None and ends <= now:
            raise FormatError(
                f"a hold until {until:%Y-%m-%d} has ended already",
                hint="Give a day to come, or none: then it runs until it is released.",
            )
        row = ("hold", None, _text(basis, "basis"), ends, _text(by, "name"), now)
        leaf = self._write(person, row)
        return LegalHold(person, leaf, basis, ends, by, now)

    def release(self, person: str, hold: str, by: str, reason: str) -> LegalHold:
        """Release a hold; see `People.release`."""
        require(hold, str, "the first digits of a hold", "`counterfoil person holds` lists them.")
        matching = [
            one for one in self.list(person) if len(hold) >= _MIN_ID and one.id.startswith(hold)
        ]
        if len(matching) != 1:
            raise FormatError(
                f"{shown(hold)} names {len(matching) or 'no'} hold{'s' * (len(matching) > 1)} "
                f"on {shown(person)}",
                hint=f"Give the first {_MIN_ID} digits of one that `counterfoil person holds` "
                "lists, or more.",
            )
        (placed,) = matching
        if placed.released_by is not None:
            raise ConflictError(
                f"hold {placed.short} was released already, by {placed.released_by}",
                hint="Nothing is left to do.",
            )
        now = self._now()
        row = ("release", placed.id, _text(reason, "reason"), None, _text(by, "name"), now)
        self._write(person, row)
        return replace(placed, released_by=by, released_at=now, reason=reason)

    def _now(self) -> int:
        return int(self.streams[-1].log.clock())

    def _write(self, person: str, values: Sequence[JsonValue]) -> str:
        """Write a record about a person; it is durable, and its batch in the log, on return."""
        stream = self.streams[-1]
        # Before anything is written: a hold whose batch is refused would be placed all the same.
        stream.require_publishable()
        (index,) = stream.append([values], [person])
        # If we stop here, the record counts already; the next batch takes it along.
        stream.publish()
        return stream.store.leaf(index).hex()


@contextlib.contextmanager
def open_holds(log: Log, *, write: bool) -> Iterator[Holds]:
    """Open the holds of a ledger; while they are open for writing, nobody else places one.

    Of a stream that another one was declared to replace, because its newest records were lost, what
    is left counts.

    Raises:
        ConflictError: somebody else places a hold, or erases.
        VerificationError: the log knows of holds that are not here.
    """
    with contextlib.ExitStack() as opened:
        if write:
            newest = DecisionStream.open(log, HOLDS, fields=HOLD_FIELDS, pad_to=HOLD_PAD_TO)
            newest.close()
        streams = []
        for stream, is_lost in open_own(log, HOLDS, opened, write=write):
            if is_lost:
                stream.check_remains()
            else:
                stream.check_history()
            streams.append(stream)
        yield Holds(tuple(streams))


def _take(
    found: dict[str, LegalHold], person: str, leaf: str, values: Mapping[str, JsonValue]
) -> None:
    """Add a hold to those found, or to one of them its release."""
    match values:
        case {
            "kind": "hold",
            "basis": str(basis),
            "until": int() | None as until,
            "by": str(by),
            "at": int(at),
        }:
            found[leaf] = LegalHold(person, leaf, basis, until, by, at)
        case {
            "kind": "release",
            "about": str(about),
            "basis": str(reason),
            "by": str(by),
            "at": int(at),
        }:
            # Where its hold was erased before it, there is nothing left to release.
            if about in found and found[about].person == person:
                found[about] = replace(found[about], released_by=by, released_at=at, reason=reason)
        case _:
            raise FormatError(
                f"record {leaf[:_MIN_ID]} of the stream {HOLDS} is neither a hold nor the release "
                "of one",
                hint="Another program wrote it; settle by hand what it says.",
            )


def _midnight(day: date) -> int:
    """Give the Unix second at which a day begins in UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _text(text: str, what: str) -> str:
    require(text, str, f"the {what} of a hold or release as a text", "Write it in quotes.")
    if not 0 < len(text) <= MAX_HOLD_TEXT or not text.strip():
        raise FormatError(
            f"the {what} of a hold or release has {len(text)} characters",
            hint=f"Write 1 to {MAX_HOLD_TEXT}, not only spaces.",
        )
    return text
