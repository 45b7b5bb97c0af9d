"""The index of a log in its database, which all machines that search the log share.

A process that writes keeps it near the log, with rests in between; whoever finds it behind takes in
what is missing. One process at a time does, and a batch of entries and how far the index is are one
transaction: a crash leaves nothing half indexed. It covers a size and the root there; one of
another history is emptied and made again.

It is a convenience. What it finds is proven as it is read; whoever runs the database can leave rows
out, which no proof shows. What must not miss a statement asks the index of its own machine.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from psycopg import errors

from counterfoil.cluster import state
from counterfoil.cluster.database import QUERY_WITHIN_S, Connection, Database
from counterfoil.cluster.lost import set_back
from counterfoil.core.merkle import EMPTY_ROOT
from counterfoil.errors import ConflictError, CounterfoilError, UnavailableError
from counterfoil.ledger.index import Named, Read, Resolve, Root, read_names, too_slow
from counterfoil.ledger.tree import Tree

BATCH = 256
"""Entries between two commits of the index: a bundle."""

REST = 9
"""How long a process rests after a batch while the log grows, as a multiple of what it took."""

INDEXED_WITHIN_S = 30.0
"""How long another process that indexes may take for a batch."""

_LOOK_S = 0.05  # between looks how far another process is
_FOLLOW_S = 1.0  # between looks whether the log has grown
_COVERED = "SELECT indexed.size, indexed.root, published.size FROM indexed, published"


class _Covered(NamedTuple):
    size: int
    is_ours: bool


class SharedIndex:
    """The index of one log. May be used by several threads.

    Args:
        database: Of the log; closed with this.
        read: Gives entries of the log, checked.
        resolve: Gives the envelope an entry stands for (see `blobs`).
        root: Gives the log's root at a size; None for one that only others have seen yet.
    """

    def __init__(self, database: Database, read: Read, resolve: Resolve, root: Root) -> None:
        self._database = database
        self._read, self._resolve, self._root = read, resolve, root

    def find(
        self,
        subject: str | None,
        predicate: str | None,
        issuer: str | None,
        size: int,
        *,
        last: int | None = None,
        within_s: float | None = None,
    ) -> list[int] | None:
        """Find positions below `size`, ascending, as `Index.find` does.

        Returns:
            None where the index is behind, and this role may not bring it up to date.
        """
        wanted = {"subject": subject, "issuer": issuer, "predicate": predicate}
        try:
            names = [_hash(kind, text) for kind, text in wanted.items() if text is not None]
        except UnicodeEncodeError:
            return []  # half a surrogate pair, which no statement holds
        # Walked is what has the fewest rows as a rule, from the newest on. Others are asked for
        # each row, by their key: a join might be planned over all of them.
        there = "(SELECT true FROM names WHERE name = %s AND position = walked.position)"
        conditions = ["position < %s", *(["name = %s"] if names else []), *[there] * len(names[1:])]
        query = (
            f"SELECT position FROM {'names' if names else 'statements'} AS walked"  # noqa: S608 ours
            f" WHERE {' AND '.join(conditions)} ORDER BY position DESC LIMIT %s"
        )
        if not self._catch_up(size):
            return None
        within_s = QUERY_WITHIN_S if within_s is None else within_s
        with self._database.transaction("searching") as connection:
            limit = f"{max(1, round(within_s * 1000))}"
            connection.execute("SELECT set_config('statement_timeout', %s, true)", (limit,))
            try:
                found = connection.execute(query.encode(), (size, *names, last)).fetchall()
            except errors.QueryCanceled as error:
                raise too_slow(within_s) from error
        return [position for (position,) in reversed(found)]

    def advance(self, size: int) -> int | None:
        """Take in a batch of entries below `size`.

        Returns:
            How far the index is then; None where another process is about it.
        """
        with (
            self._database.connection("indexing") as connection,
            state.indexing(connection, self._database) as is_alone,
        ):
            return self._take_in(connection, size) if is_alone else None

    def close(self) -> None:
        """Release the connections."""
        self._database.close()

    def _catch_up(self, size: int) -> bool:
        """Have the entries up to `size` taken in, here or by another process.

        Returns:
            Whether they are.

        Raises:
            ConflictError: the database was set back.
            UnavailableError: another process takes them in, and does not get on.
        """
        with self._database.transaction("reading the index") as connection:
            covered = self._covered(connection, size)
            if covered.is_ours and covered.size >= size:
                return True
            row = connection.execute("SELECT has_table_privilege('names', 'INSERT')").fetchone()
        if row != (True,):
            return False
        with self._database.connection("indexing") as connection:
            until, seen = time.monotonic() + INDEXED_WITHIN_S, covered
            while not (covered.is_ours and covered.size >= size):
                with state.indexing(connection, self._database) as is_alone:
                    while is_alone and self._take_in(connection, size) < size:
                        pass
                covered = self._covered(connection, size)
                if covered != seen:
                    until, seen = time.monotonic() + INDEXED_WITHIN_S, covered
                elif time.monotonic() > until:
                    raise UnavailableError(
                        f"another process indexes {self._database.address.name}, and has not got "
                        f"on for {INDEXED_WITHIN_S:g} s",
                        hint="Search again, or end that process.",
                    )
                if not is_alone:
                    time.sleep(_LOOK_S)
        return True

    def _take_in(self, connection: Connection, size: int) -> int:
        """Index a batch of entries below `size`, alone; return how far the index is then."""
        done, is_ours = self._covered(connection, size)
        if not is_ours:
            with connection.transaction():
                connection.execute("TRUNCATE statements, names")
                connection.execute("UPDATE indexed SET size = 0, root = %s", (EMPTY_ROOT,))
            done = 0
        stop = min(size, done + BATCH)
        if stop <= done:
            return done
        # Read before the transaction, which must not stand while a store is slow.
        named = {
            place: found
            for place, entry in enumerate(self._read(done, stop), done)
            if (found := read_names(entry, self._resolve)) is not None
        }
        with connection.transaction():
            # What a crash of the server forgets is whole transactions, the newest ones.
            connection.execute("SET LOCAL synchronous_commit = off")
            moved = connection.execute(
                "UPDATE indexed SET size = %s, root = %s WHERE size = %s",
                (stop, self._root(stop), done),
            )
            if moved.rowcount != 1:
                raise ConflictError(
                    f"the index of {self._database.address.name} was changed by somebody who does "
                    "not hold its lock",
                    hint="Search again.",
                )
            new = connection.execute(
                "INSERT INTO statements SELECT * FROM unnest(%s::bigint[], %s::bytea[])"
                " ON CONFLICT (digest) DO NOTHING RETURNING position",
                ([*named], [one.digest for one in named.values()]),
            ).fetchall()
            rows = [(name, place) for (place,) in new for name in _hashes(named[place])]
            connection.execute(
                "INSERT INTO names SELECT * FROM unnest(%s::bytea[], %s::bigint[])",
                ([name for name, _ in rows], [place for _, place in rows]),
            )
        return stop

    def _covered(self, connection: Connection, shown: int) -> _Covered:
        """Find out how far the index is, and whether it is of this log's history.

        Raises:
            ConflictError: the database was set back from what was shown of the log. What is put
                into the index beyond what is published there would be taken out again by others.
        """
        row = connection.execute(_COVERED, binary=True).fetchone()
        size, root, published = state.there(row, self._database)
        if published < shown:
            raise set_back(self._database.address.name, published, shown)
        return _Covered(size, size <= published and self._root(size) in {None, root})


class Follower(threading.Thread):
    """Keeps the index near the log, in a process that writes, until stopped.

    Args:
        index: Closed when this ends.
        tree: What is published.
    """

    def __init__(self, index: SharedIndex, tree: Tree) -> None:
        super().__init__(name="counterfoil-index", daemon=True)
        self._index, self._tree = index, tree
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End soon."""
        self._stopped.set()

    def run(self) -> None:
        """Take in what is published, a batch after another."""
        done, seen, pause = 0, 0, _FOLLOW_S
        while not self._stopped.wait(pause):
            began, pause = time.monotonic(), _FOLLOW_S
            grown, seen = self._tree.size > seen, self._tree.size
            if done == seen:
                continue
            # Whoever searches meets the same error, and has a use for it.
            with contextlib.suppress(CounterfoilError):
                taken = self._index.advance(seen)
                if taken is not None:
                    done = taken
                    if done < seen:
                        pause = (REST if grown else 1) * (time.monotonic() - began)
        self._index.close()


def _hashes(named: Named) -> Iterator[bytes]:
    yield _hash("predicate", named.predicate)
    yield from (_hash("issuer", key) for key in named.keys)
    yield from (_hash("subject", name) for name in named.subjects)


def _hash(kind: str, text: str) -> bytes:
    return sha256(f"{kind}\0{text}".encode()).digest()
