"""Which records of a stream are about whom, in the database: tags of one epoch."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from counterfoil.cluster.streamsession import StreamSession
from counterfoil.errors import ConflictError, UnavailableError

_AT_ONCE = 10_000  # rows of one query


class StreamTags:
    """The index of one stream in one epoch; see `ledger.keeping.SubjectRows`.

    Rows wait in memory until `flush`. A reader that finds tags of another epoch goes without.

    Args:
        session: The connection, the writer's or a reader's.
        epoch: Whose tags.
    """

    def __init__(self, session: StreamSession, epoch: int) -> None:
        self.size = 0
        self._session = session
        self._epoch = epoch
        self._waiting: dict[bytes, list[int]] = {}
        self._waiting_rows = 0
        with session.transaction("reading its index") as connection:
            row = connection.execute(
                "SELECT tag_epoch, tagged FROM streams WHERE number = %s", (session.number,)
            ).fetchone()
        self._is_stored = row is not None and row[0] == epoch
        if row is not None and self._is_stored:
            self.size = int(row[1])
        elif session.write:
            self.start_over(epoch)

    def extend(self, tags: Sequence[bytes | None]) -> None:
        """Note whom the next records are about; None for a record without a named subject."""
        for place, tag in enumerate(tags, self.size):
            if tag is not None:
                self._waiting.setdefault(tag, []).append(place)
                self._waiting_rows += 1
        self.size += len(tags)

    def check(self) -> None:
        """Do nothing: that its rows are whole is for PostgreSQL to see to."""

    def places(self, tag: bytes) -> list[int]:
        """Find every record of a subject, in order."""
        found = set(self._waiting.get(tag, ()))
        if self._is_stored:
            with self._session.transaction("searching its index") as connection:
                rows = connection.execute(
                    "SELECT position FROM stream_tags"
                    " WHERE stream = %s AND epoch = %s AND tag = %s",
                    (self._session.number, self._epoch, tag),
                )
                found.update(position for (position,) in rows)
        return sorted(found)

    def flush(self, *, at_least: int = 1) -> None:
        """Write what waits, if that many rows do."""
        if not self._session.write or self._waiting_rows < at_least:
            return
        rows = sorted((tag, place) for tag, places in self._waiting.items() for place in places)
        number = self._session.number
        with self._session.change("writing its index") as connection:
            for start in range(0, len(rows), _AT_ONCE):
                part = rows[start : start + _AT_ONCE]
                connection.execute(
                    "INSERT INTO stream_tags (stream, epoch, tag, position)"
                    " SELECT %s, %s, * FROM unnest(%b::bytea[], %b::bigint[])"
                    " ON CONFLICT DO NOTHING",
                    (number, self._epoch, [tag for tag, _ in part], [place for _, place in part]),
                )
            connection.execute(
                "UPDATE streams SET tagged = %s WHERE number = %s", (self.size, number)
            )
        self._waiting.clear()
        self._waiting_rows = 0

    def forget(self, places: Sequence[int]) -> None:
        """Do nothing: here an epoch ends with each erasure, and all its tags go with it."""
        del places

    def start_over(self, epoch: int) -> None:
        """Begin with this epoch, and delete the rows of all others."""
        with self._session.change("beginning its index anew") as connection:
            connection.execute(
                "UPDATE streams SET tag_epoch = %s, tagged = 0 WHERE number = %s",
                (epoch, self._session.number),
            )
        # If we stop here, those rows say nothing any more; the next change deletes them.
        self._session.sweep(
            "stream_tags", "epoch <> (SELECT tag_epoch FROM streams WHERE number = stream)"
        )
        self._epoch = epoch
        self.size = 0
        self._is_stored = True
        self._waiting.clear()
        self._waiting_rows = 0

    def close(self) -> None:
        """Write what waits, if that is possible; whoever opens it next reads the rest anew."""
        with contextlib.suppress(ConflictError, UnavailableError):
            self.flush()
