"""The queue: calls of append that are durable, in the order in which they get their place.

A call is one row, however many entries it has. Its number says nothing about its index.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from counterfoil.cluster.database import Connection, Database
from counterfoil.cluster.edge import split_entries
from counterfoil.cluster.state import QUEUED, channel
from counterfoil.core.tile import MAX_ENTRY_BYTES
from counterfoil.errors import FormatError, VerificationError

MAX_CALL_BYTES = 64 << 20
"""Bytes of the entries of one call of append, each behind its length in two bytes."""

_MAX_TAKEN_CALLS = 1024  # that a leader looks at at a time
_MAX_TAKEN_ENTRIES = 4096  # of one commit, unless one call alone has more
_MAX_TAKEN_BYTES = 32 << 20  # likewise


class Call(NamedTuple):
    """A call in the queue.

    Args:
        id: Its number.
        entries: What it appends.
        since: From where on they may be there already; None if they are appended in any case.
    """

    id: int
    entries: list[bytes]
    since: int | None


class Committed(NamedTuple):
    """A call that has its place.

    Args:
        id: Its number.
        first: Where what it added begins.
        entries: What it added.
        indices: Where each of its entries stands.
    """

    id: int
    first: int
    entries: list[bytes]
    indices: Sequence[int]


def join_entries(entries: Sequence[bytes]) -> bytes:
    """Lay entries out as the queue and bundles hold them.

    Raises:
        FormatError: one, or all together, are too long.
    """
    lengths = array("Q", map(len, entries))
    longest = max(lengths, default=0)
    if longest > MAX_ENTRY_BYTES:
        raise FormatError(
            f"entry {lengths.index(longest)} of this call has {longest} bytes; the most is "
            f"{MAX_ENTRY_BYTES}",
            hint="Store it elsewhere and log its digest.",
        )
    total = sum(lengths) + 2 * len(lengths)
    if total > MAX_CALL_BYTES:
        raise FormatError(
            f"this call appends {total} bytes; the most is {MAX_CALL_BYTES}",
            hint="Append in several calls.",
        )
    return b"".join(chain.from_iterable((len(one).to_bytes(2), one) for one in entries))


def stage(
    connection: Connection, database: Database, calls: Sequence[tuple[int, bytes, int | None]]
) -> list[int]:
    """Put calls into the queue.

    Args:
        connection: In a transaction, see `hold_here`.
        database: Whose leader is told.
        calls: Of each how many entries it has, these, and from where on they may be there already.

    Returns:
        Their numbers.
    """
    ids: list[int] = []
    with connection.cursor(binary=True) as cursor:
        cursor.executemany(
            "INSERT INTO queue (count, entries, since) VALUES (%s, %b, %s) RETURNING id",
            calls,
            returning=True,
        )
        for _ in calls:
            ids.extend(number for (number,) in cursor.fetchall())
            cursor.nextset()
    connection.execute("SELECT pg_notify(%s, '')", (channel(database, QUEUED),))
    return ids


def take(connection: Connection) -> list[Call]:
    """Read the calls that come next: as many as fit into one commit, at least one if there is."""
    # The subquery is asked for each row, by its key: a join might be planned over all of `placed`.
    rows = connection.execute(
        "SELECT id, count, entries, since FROM ("
        " SELECT id, count, entries, since, row_number() OVER later AS place,"
        " sum(count) OVER later AS so_far,"
        " sum(octet_length(entries)) OVER later AS bytes_so_far"
        " FROM (SELECT * FROM queue WHERE (SELECT first FROM placed WHERE placed.id = queue.id)"
        " IS NULL ORDER BY id LIMIT %s) AS waiting WINDOW later AS (ORDER BY id)) AS counted"
        " WHERE place = 1 OR (so_far <= %s AND bytes_so_far <= %s) ORDER BY id",
        (_MAX_TAKEN_CALLS, _MAX_TAKEN_ENTRIES, _MAX_TAKEN_BYTES),
        binary=True,
    )
    return [Call(number, split_entries(data, count), since) for number, count, data, since in rows]


def committed_after(connection: Connection, size: int, stop: int) -> list[Committed]:
    """Read the calls that added the entries [size, stop).

    Raises:
        VerificationError: the queue no longer holds them all.
    """
    rows = connection.execute(
        "SELECT placed.id, placed.first, placed.indices, queue.count, queue.entries FROM placed"
        " JOIN queue USING (id) WHERE placed.count > 0 AND placed.first >= %s AND placed.first < %s"
        " ORDER BY placed.first",
        (size, stop),
        binary=True,
    )
    calls = [
        _committed(number, first, split_entries(data, count), indices)
        for number, first, indices, count, data in rows
    ]
    at = size
    for call in calls:
        if call.first != at:
            break
        at += len(call.entries)
    if at != stop:
        raise VerificationError(
            f"the queue does not hold the entries from {at} to {stop}, which were committed",
            hint="Somebody changed the database; restore it from a backup.",
        )
    return calls


def entries_between(connection: Connection, start: int, stop: int) -> list[bytes]:
    """Read the entries [start, stop), where some commit ended at `stop`.

    Raises:
        VerificationError: the queue no longer holds them all.
    """
    (first,) = connection.execute(
        "SELECT coalesce(max(placed.first), 0) FROM placed JOIN queue USING (id)"
        " WHERE placed.count > 0 AND placed.first <= %s",
        (start,),
    ).fetchone() or (0,)
    calls = committed_after(connection, first, stop)
    return [entry for call in calls for entry in call.entries][start - first :]


def _committed(
    number: int, first: int, entries: list[bytes], indices: list[int] | None
) -> Committed:
    if indices is None:
        return Committed(number, first, entries, range(first, first + len(entries)))
    added: list[bytes] = []
    for entry, index in zip(entries, indices, strict=True):
        if index == first + len(added):
            added.append(entry)
    return Committed(number, first, added, indices)


def newest(connection: Connection) -> int:
    """Give the number of the newest call in the queue; 0 if there is none."""
    (number,) = connection.execute("SELECT coalesce(max(id), 0) FROM queue").fetchone() or (0,)
    return int(number)


def is_published_to(connection: Connection, number: int) -> bool:
    """Whether every call up to a number, as far as it is in the queue, is published."""
    found = connection.execute(
        "SELECT FROM published, queue LEFT JOIN placed USING (id) WHERE queue.id <= %s"
        " AND (placed.id IS NULL OR placed.first + placed.count > published.size) LIMIT 1",
        (number,),
    )
    return found.rowcount == 0


def places_of(connection: Connection, ids: Iterable[int], size: int) -> dict[int, Sequence[int]]:
    """Look up where the entries of calls stand, as far as all of a call stand below `size`."""
    # Whatever was there already stands before what a call added itself.
    rows = connection.execute(
        "SELECT id, first, count, indices FROM placed WHERE id = ANY(%s) AND first + count <= %s",
        ([*ids], size),
        binary=True,
    )
    return {
        number: range(first, first + count) if indices is None else indices
        for number, first, count, indices in rows
    }
