"""The rows that say how far a log is, and the one way to change them: under the fence.

Whoever becomes leader raises `log.epoch`, in one transaction with reading the rest of that row. All
that it writes later looks, with the row locked, whether that is still the epoch: a leader that was
taken for dead finds out here, and changes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from counterfoil.cluster.database import Connection, Database
from counterfoil.cluster.tiletree import Head
from counterfoil.core.canonical import JsonValue
from counterfoil.core.checkpoint import LogKeys, earlier_from_json, earlier_to_json
from counterfoil.core.keys import VerifierKey, format_vkey, parse_vkey
from counterfoil.core.merkle import as_hash
from counterfoil.errors import ConflictError
from counterfoil.ledger.moved import EndedError, require_here
from counterfoil.ledger.once import Place

LEASE_S = 10
"""How long nothing may be heard of a leader before its connection is cut for it."""

_PLACES_KEPT = "1 hour"  # how long a caller can still ask where its entries came to stand
QUEUED, PUBLISHED = "queued", "published"  # what is notified


class Lead(NamedTuple):
    """What a new leader finds.

    Args:
        keys: The log's; whoever changes them begins an epoch, too.
        epoch: Its own; the newest.
        committed: What was committed last; perhaps it is not published.
        published: What readers see.
    """

    keys: LogKeys
    epoch: int
    committed: Head
    published: Head


class News(NamedTuple):
    """What those who wait look at.

    Args:
        head: What readers see.
        trouble: What keeps the leader from publishing; empty if nothing does.
        moved_to: Where the log went; empty if it is here.
    """

    head: Head
    trouble: str
    moved_to: str


class FencedError(Exception):
    """Somebody else leads by now; caught in this package."""


def channel(database: Database, about: str) -> str:
    """Name the channel of one log's notifications."""
    return f"{database.address.schema}_{about}"


def lock_key(database: Database) -> int:
    """Give the number of the advisory lock that the leader of a log holds."""
    return lock_number(database, "leader")


def _moving_key(database: Database) -> int:
    """Give the number of the lock that callers share, and that one takes to keep them out."""
    return lock_number(database, "moving")


def lock_number(database: Database, what: str) -> int:
    """Number an advisory lock of one log."""
    digest = sha256(f"counterfoil {what} {database.address.schema}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def create_rows(connection: Connection, keys: LogKeys, head: Head) -> None:
    """Make a log, whose tiles are all in the store."""
    connection.execute(
        "INSERT INTO log (vkey, earlier, size, root, checkpoint) VALUES (%s, %s, %s, %s, %s)",
        (format_vkey(keys.key), Jsonb(earlier_to_json(keys)), *head),
    )
    connection.execute("INSERT INTO published (size, root, checkpoint) VALUES (%s, %s, %s)", head)
    connection.execute("INSERT INTO leader DEFAULT VALUES")


def has_log(connection: Connection) -> bool:
    """Whether the rows of a log are there."""
    return connection.execute("SELECT FROM log").fetchone() is not None


def read_keys(database: Database, connection: Connection) -> LogKeys:
    """Read whose log this is.

    Raises:
        ConflictError: it is not there any more.
    """
    row = connection.execute("SELECT vkey, earlier FROM log").fetchone()
    return _keys(there(row, database))


def read_moved(connection: Connection) -> str:
    """Read where the log was moved to; empty if it is here."""
    row = connection.execute("SELECT coalesce(moved_to, '') FROM log").fetchone()
    return "" if row is None else str(row[0])


def keep_callers_out(connection: Connection, database: Database) -> None:
    """Let nobody queue anything until this connection ends; a leader goes on."""
    connection.execute("SELECT pg_advisory_lock(%s)", (_moving_key(database),))


def read_settled(connection: Connection) -> Head | None:
    """Read what is published, if nothing is queued or committed beyond it."""
    row = connection.execute(
        "SELECT published.size, published.root, published.checkpoint FROM published JOIN log"
        " USING (size) WHERE NOT EXISTS (SELECT FROM queue"
        " WHERE (SELECT first FROM placed WHERE placed.id = queue.id) IS NULL)",
        binary=True,
    ).fetchone()
    return None if row is None else _head(row)


def mark_moved(connection: Connection, to: str) -> None:
    """Say that a log that is settled lives elsewhere; no leader commits anything from here on."""
    connection.execute("UPDATE log SET moved_to = %s, epoch = epoch + 1", (to,))


def hand_over(
    connection: Connection, database: Database, keys: LogKeys, last: Head, begun: bytes
) -> None:
    """Have a log that is settled go on with another key, in a transaction.

    Args:
        connection: One that keeps callers out.
        database: Of the log.
        keys: All of its keys from now on.
        last: What is published, under a checkpoint that both keys have signed.
        begun: The same checkpoint by the new key alone. A leader that knows only the one before
            cannot take over from that, whatever its version.

    Raises:
        ConflictError: it has another key, or more entries, by now.
    """
    before = format_vkey(keys.earlier[-1].key)
    done = connection.execute(
        "UPDATE log SET vkey = %s, earlier = %s, checkpoint = %s, epoch = epoch + 1"
        " WHERE vkey = %s AND size = %s AND root = %s AND moved_to IS NULL",
        (format_vkey(keys.key), Jsonb(earlier_to_json(keys)), begun, before, last.size, last.root),
    )
    if done.rowcount != 1:
        raise ConflictError(
            f"the log in {database.address.name} went on before it was handed over",
            hint="Hand it over again.",
        )
    connection.execute("UPDATE published SET checkpoint = %s", (last.checkpoint,))
    tell(connection, database)


def mark_ended(connection: Connection, following: VerifierKey) -> None:
    """Say that nobody queues anything more; in the transaction that queues the last entry."""
    connection.execute("UPDATE log SET following = %s", (format_vkey(following),))


def hold_here(connection: Connection, database: Database) -> None:
    """Keep the log from being moved, ended or handed over until this transaction ends.

    Raises:
        MovedError: it was moved, or has ended.
    """
    connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (_moving_key(database),))
    require_open(connection, database)


def require_open(connection: Connection, database: Database) -> None:
    """Refuse to queue anything for a log that was moved, or has ended.

    Raises:
        MovedError: so it was.
    """
    row = connection.execute("SELECT coalesce(moved_to, ''), vkey, following FROM log").fetchone()
    moved_to, vkey, following = there(row, database)
    require_here(database.address.url, moved_to)
    if following is not None:
        raise EndedError(parse_vkey(vkey).name, parse_vkey(following).name)


def resume(connection: Connection, keys: LogKeys, head: Head) -> None:
    """Go on with a log that came back."""
    connection.execute(
        "UPDATE log SET vkey = %s, earlier = %s, size = %s, root = %s, checkpoint = %s,"
        " moved_to = NULL, epoch = epoch + 1",
        (format_vkey(keys.key), Jsonb(earlier_to_json(keys)), *head),
    )
    connection.execute("UPDATE published SET size = %s, root = %s, checkpoint = %s", head)
    connection.execute("DELETE FROM queue")  # all of it was published before the log left


def read_news(connection: Connection, database: Database) -> News:
    """Read what is published, and what keeps more from being so."""
    row = connection.execute(
        "SELECT published.size, published.root, published.checkpoint, trouble,"
        " coalesce(moved_to, '') FROM published, leader, log",
        binary=True,
    ).fetchone()
    row = there(row, database)
    return News(_head(row[:3]), *row[3:])


def read_committed(connection: Connection, database: Database) -> Head:
    """Read what is committed, whether it is published or not."""
    row = connection.execute("SELECT size, root, checkpoint FROM log", binary=True).fetchone()
    return _head(there(row, database))


def read_unpublished(connection: Connection) -> Head | None:
    """Read what is committed and not published; None if there is nothing."""
    row = connection.execute(
        "SELECT log.size, log.root, log.checkpoint FROM log, published"
        " WHERE log.size > published.size",
        binary=True,
    ).fetchone()
    return None if row is None else _head(row)


def lead(connection: Connection, database: Database, holder: str) -> Lead:
    """Begin a new epoch; nobody of an older one changes anything from here on.

    Raises:
        MovedError: the log was moved away.
    """
    with connection.transaction():
        led = connection.execute(
            "UPDATE log SET epoch = epoch + 1"
            " RETURNING epoch, size, root, checkpoint, moved_to, vkey, earlier",
            binary=True,
        )
        row = there(led.fetchone(), database)
        require_here(database.address.url, row[4] or "")
        connection.execute(
            "UPDATE leader SET epoch = %s, holder = %s, beat = clock_timestamp()", (row[0], holder)
        )
        shown = connection.execute("SELECT size, root, checkpoint FROM published", binary=True)
        published = there(shown.fetchone(), database)
    return Lead(_keys(row[5:]), row[0], _head(row[1:4]), _head(published))


def swap(
    connection: Connection, epoch: int, old: Head, new: Head, places: Mapping[int, Place]
) -> None:
    """Compare and swap the committed head, and place the calls that it covers, all or nothing.

    Args:
        connection: The leader's, in a transaction.
        epoch: The leader's.
        old: What it goes on from.
        new: What is committed now; the same if the calls add nothing to it.
        places: Of each call, by its number.

    Raises:
        FencedError: another leader was faster.
    """
    done = connection.execute(
        "UPDATE log SET size = %s, root = %s, checkpoint = %s"
        " WHERE epoch = %s AND size = %s AND root = %s AND moved_to IS NULL",
        (*new, epoch, old.size, old.root),
    )
    if done.rowcount != 1:
        raise FencedError
    firsts, counts = [one.first for one in places.values()], [one.added for one in places.values()]
    # One array of arrays would have to have them all of one length.
    indices = [_format_indices(one) for one in places.values()]
    connection.execute(
        "INSERT INTO placed (id, first, count, indices)"
        " SELECT id, first, count, indices::bigint[]"
        " FROM unnest(%s::bigint[], %s::bigint[], %s::integer[], %s::text[])"
        " AS given (id, first, count, indices)",
        ([*places], firsts, counts, indices),
    )
    copies = [number for number, one in places.items() if not one.added]
    if copies:
        # No bundle will ever hold their entries, for `prune` to go by.
        connection.execute("DELETE FROM queue WHERE id = ANY(%s)", (copies,))


def _format_indices(place: Place) -> str | None:
    """Write down where the entries of a call stand, unless the first one's place says so."""
    if place.added == len(place.indices):
        return None
    return f"{{{','.join(map(str, place.indices))}}}"


def publish(connection: Connection, database: Database, epoch: int, head: Head) -> None:
    """Show the committed head to readers, and tell those who wait; in a transaction.

    Raises:
        FencedError: another leader has taken over; or another head is committed, as the database
            was set back: a leader's epoch is also that of a backup made in its time.
    """
    fence = connection.execute(
        "SELECT FROM log WHERE epoch = %s AND size = %s AND root = %s FOR SHARE",
        (epoch, head.size, head.root),
    )
    if fence.rowcount != 1:
        raise FencedError
    connection.execute("UPDATE published SET size = %s, root = %s, checkpoint = %s", head)
    connection.execute("UPDATE leader SET trouble = '' WHERE trouble <> ''")
    tell(connection, database)


def tell(connection: Connection, database: Database) -> None:
    """Have those who wait look where their entries stand."""
    connection.execute("SELECT pg_notify(%s, '')", (channel(database, PUBLISHED),))


def report_trouble(connection: Connection, database: Database, epoch: int, trouble: str) -> None:
    """Tell those who wait why nothing is published."""
    with connection.transaction():
        connection.execute(
            "UPDATE leader SET trouble = %s WHERE epoch = %s AND trouble <> %s",
            (trouble, epoch, trouble),
        )
        tell(connection, database)


def withdraw(connection: Connection, epoch: int, ids: Sequence[int]) -> set[int]:
    """Take calls out of the queue again that have no place yet; returns which.

    Nobody gives them one meanwhile: whoever does so has this epoch, or waits for this row. Where
    another one leads, none is taken.
    """
    with connection.transaction():
        fence = connection.execute("SELECT FROM log WHERE epoch = %s FOR UPDATE", (epoch,))
        if fence.rowcount != 1:
            return set()
        gone = connection.execute(
            "DELETE FROM queue WHERE id = ANY(%s)"
            " AND (SELECT first FROM placed WHERE placed.id = queue.id) IS NULL RETURNING id",
            ([*ids],),
        ).fetchall()
    return {number for (number,) in gone}


def prune(connection: Connection, bound: int) -> None:
    """Forget calls whose entries all stand below `bound`, in full bundles in the store."""
    with connection.transaction():
        # Asked for each row, by its key: a join might be planned over all of `placed`.
        connection.execute(
            "DELETE FROM queue WHERE"
            " (SELECT first + placed.count FROM placed WHERE placed.id = queue.id) <= %s",
            (bound,),
        )
        connection.execute(
            "DELETE FROM placed WHERE at < clock_timestamp() - %s::interval"
            " AND first + count <= %s",
            (_PLACES_KEPT, bound),
        )


def beat(connection: Connection, epoch: int) -> None:
    """Say that the leader is alive."""
    connection.execute("UPDATE leader SET beat = clock_timestamp() WHERE epoch = %s", (epoch,))


def try_lock(connection: Connection, database: Database, key: VerifierKey) -> bool | None:
    """Take the lock that the leader holds, if nobody does; it is kept until the connection ends.

    Returns:
        Whether it was taken; None where the log does not sign with this key.
    """
    row = connection.execute(
        "SELECT pg_try_advisory_lock(%s) FROM log WHERE vkey = %s",
        (lock_key(database), format_vkey(key)),
    ).fetchone()
    return None if row is None else bool(row[0])


@contextlib.contextmanager
def indexing(connection: Connection, database: Database) -> Iterator[bool]:
    """Take the lock of whoever indexes for a while, if nobody does; tell whether it was taken."""
    key = lock_number(database, "indexing")
    if not _try_lock(connection, key):
        yield False
        return
    try:
        yield True
    finally:
        if not connection.broken:  # the lock goes with the connection
            connection.execute("SELECT pg_advisory_unlock(%s)", (key,))


def _try_lock(connection: Connection, key: int) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
    return row is not None and bool(row[0])


def end_silent_leader(connection: Connection, database: Database) -> None:
    """Cut the connection of a leader that nothing was heard of; its lock goes with it."""
    key = lock_key(database) % (1 << 64)
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks, leader"
        " WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND classid = %s AND objid = %s"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND beat < clock_timestamp() - make_interval(secs => %s)",
        (key >> 32, key & 0xFFFFFFFF, LEASE_S),
    )


def there(row: tuple[Any, ...] | None, database: Database) -> tuple[Any, ...]:
    """Give the row of a log that was opened; while a backup is restored, it may be gone.

    Raises:
        ConflictError: so it is.
    """
    if row is None:
        raise database.incomplete("the rows of its log are missing")
    return row


def _keys(row: tuple[str, JsonValue]) -> LogKeys:
    vkey, earlier = row
    return LogKeys(parse_vkey(vkey), earlier_from_json(earlier))


def _head(row: tuple[int, bytes, bytes]) -> Head:
    size, root, checkpoint = row
    return Head(size, as_hash(root, "root in the database"), bytes(checkpoint))
