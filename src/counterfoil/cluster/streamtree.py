"""The tree of a stream in the database of a log."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from counterfoil.cluster.streamsession import StreamSession
from counterfoil.core.merkle import HASH_BYTES, Frontier, Hash, as_hash, split_hashes
from counterfoil.errors import UnavailableError, VerificationError
from counterfoil.ledger.run import Run, lay_out
from counterfoil.ledger.tree import Published, Tree

SLOT_BYTES: Final = 64
"""Width of the front of each payload, which can be replaced."""

_READ_AT_ONCE = 4096  # payloads
_REPLACED_AT_ONCE = 10_000  # slots of one transaction, well below a second
_LENGTH_BYTES = 4  # of a body, where one is laid out as in a file

# Ranges of both keys are named, and the generation is looked up first: a plan that joins by rows
# would be quadratic.
_SLOTS = """
SELECT generation, position, slot FROM stream_slots
WHERE stream = %(stream)s AND position >= %(first)s AND position < %(last)s
AND generation = (SELECT generation FROM streams WHERE number = %(stream)s)
"""
_PAYLOADS = f"""
SELECT slot, body FROM stream_records LEFT JOIN ({_SLOTS}) AS slots USING (position)
WHERE stream = %(stream)s AND position >= %(first)s AND position < %(last)s ORDER BY position
"""  # noqa: S608 our own words


class DatabaseTree(Tree):
    """What is committed of a stream, as of the last `refresh`; the writer has all.

    Args:
        session: The connection, the writer's or a reader's.
    """

    def __init__(self, session: StreamSession) -> None:
        super().__init__(session.name)
        self._session = session

    def refresh(self) -> None:
        """Ask how far the stream is."""
        with self._session.transaction("reading how far it is") as connection:
            row = connection.execute(
                "SELECT size, root FROM streams WHERE number = %s",
                (self._session.number,),
                binary=True,
            ).fetchone()
        if row is None:
            raise UnavailableError(
                f"{self.name} is not there any more", hint="It was moved; name where to."
            )
        size, root = int(row[0]), as_hash(bytes(row[1]), "root in the database")
        self._published = Published(Frontier(size), root, b"")
        if self._session.write:
            edge = Frontier.at(size, self.node)
            if edge.root() != root:
                raise VerificationError(
                    f"{self.name}: its {size} leaves lead to another root than was recorded",
                    hint="Restore the database from a backup.",
                )
            self._published = Published(edge, root, b"")

    def joined_hashes(self, tile_level: int, start: int, stop: int) -> bytes:
        """Read them, one after another."""
        query = (
            "SELECT string_agg(hash, '' ORDER BY position) FROM stream_nodes"
            " WHERE stream = %s AND position >= %s AND position < %s AND level = %s"
            if tile_level
            else "SELECT string_agg(leaf, '' ORDER BY position) FROM stream_records"
            " WHERE stream = %s AND position >= %s AND position < %s AND %s = 0"
        )
        with self._session.transaction("reading hashes") as connection:
            row = connection.execute(
                query, (self._session.number, start, stop, tile_level), binary=True
            ).fetchone()
        joined = bytes(row[0] or b"") if row is not None else b""
        if len(joined) != (stop - start) * HASH_BYTES:
            raise VerificationError(
                f"{self.name}: of the hashes {start} to {stop - 1} of level {8 * tile_level}, "
                f"{len(joined) // HASH_BYTES} are there",
                hint="Restore the database from a backup.",
            )
        return joined

    def payloads(self, start: int, stop: int) -> Iterator[bytes | None]:
        """Read them, some thousand at a time."""
        self._known(stop)
        for first in range(start, stop, _READ_AT_ONCE):
            last = min(stop, first + _READ_AT_ONCE)
            with self._session.transaction("reading records") as connection:
                rows = connection.execute(
                    _PAYLOADS,
                    {"stream": self._session.number, "first": first, "last": last},
                    binary=True,
                ).fetchall()
            if len(rows) != last - first:
                raise VerificationError(
                    f"{self.name}: of the records {first} to {last - 1}, {len(rows)} are there",
                    hint="Restore the database from a backup.",
                )
            for slot, body in rows:
                yield None if body is None else bytes(slot or bytes(SLOT_BYTES)) + bytes(body)

    def read_run(self, start: int, stop: int) -> Run:
        """Lay bodies out as a file would; those of erased records are empty."""
        bodies = [(payload or b"")[SLOT_BYTES:] for payload in self.payloads(start, stop)]
        laid = lay_out(bodies, array("Q", map(len, bodies)), _LENGTH_BYTES, 0)
        ends = array("Q", laid.ends)
        return Run(Path(self.name), start, laid.entries, 0, ends, _LENGTH_BYTES)

    def close(self) -> None:
        """Leave the session to its owner."""

    # Writing

    def commit(
        self, payloads: Sequence[bytes], leaves: bytes, seal: Callable[[int, Hash], bytes]
    ) -> bytes:
        """Append in one transaction; a payload with an all-zero slot is that of an erased record.

        Raises:
            ConflictError: somebody else has written since.
            UnavailableError: PostgreSQL did not do it, or it is not known whether it did:
                `refresh` finds out.
        """
        frontier = self._published.frontier.copy()
        first = frontier.size
        completed = frontier.extend(leaves)
        root = frontier.root()
        number = self._session.number
        bodies = [p[SLOT_BYTES:] if any(p[:SLOT_BYTES]) else None for p in payloads]
        slots = [
            (place, payload[:SLOT_BYTES])
            for place, payload in enumerate(payloads, first)
            if any(payload[:SLOT_BYTES])
        ]
        with self._session.change("recording") as connection:
            connection.execute(
                "INSERT INTO stream_records (stream, position, leaf, body)"
                " SELECT %s, %s + place - 1, leaf, body"
                " FROM unnest(%b::bytea[], %b::bytea[]) WITH ORDINALITY AS of (leaf, body, place)",
                (number, first, split_hashes(leaves), bodies),
            )
            connection.execute(
                "INSERT INTO stream_slots (stream, generation, position, slot)"
                " SELECT number, generation, position, slot FROM streams,"
                " unnest(%b::bigint[], %b::bytea[]) AS of (position, slot) WHERE number = %s",
                ([place for place, _ in slots], [slot for _, slot in slots], number),
            )
            for level, hashes in enumerate(completed):
                if level and hashes:
                    connection.execute(
                        "INSERT INTO stream_nodes (stream, level, position, hash)"
                        " SELECT %s, %s, %s + place - 1, hash"
                        " FROM unnest(%b::bytea[]) WITH ORDINALITY AS of (hash, place)",
                        (number, level, first >> 8 * level, split_hashes(hashes)),
                    )
            connection.execute(
                "UPDATE streams SET size = %s, root = %s WHERE number = %s",
                (frontier.size, root, number),
            )
        head = seal(frontier.size, root)
        self._published = Published(frontier, root, head)
        return head

    def scrub(self, indices: Sequence[int]) -> None:
        """Delete slots and bodies, in one transaction."""
        for index in indices:
            self._require_entry(index, self.size)
        places = (self._session.number, list(indices))
        with self._session.change("erasing") as connection:
            connection.execute(
                "UPDATE stream_records SET body = NULL WHERE stream = %s AND position = ANY(%s)",
                places,
            )
            connection.execute(
                "DELETE FROM stream_slots WHERE stream = %s AND position = ANY(%s)", places
            )

    def replace_slots(self, new: Callable[[int, bytes], bytes]) -> None:
        """Write the next generation of slots beside this one, then turn to it."""
        self._sweep()
        number = self._session.number
        for first in range(0, self.size, _REPLACED_AT_ONCE):
            with self._session.change("replacing keys") as connection:
                rows = connection.execute(
                    _SLOTS,
                    {"stream": number, "first": first, "last": first + _REPLACED_AT_ONCE},
                    binary=True,
                ).fetchall()
                connection.execute(
                    "INSERT INTO stream_slots (stream, generation, position, slot)"
                    " SELECT %s, * FROM unnest(%b::integer[], %b::bigint[], %b::bytea[])",
                    (
                        number,
                        [row[0] + 1 for row in rows],
                        [row[1] for row in rows],
                        [new(row[1], bytes(row[2])) for row in rows],
                    ),
                )
        with self._session.change("turning to new keys") as connection:
            connection.execute(
                "UPDATE streams SET generation = generation + 1 WHERE number = %s", (number,)
            )
        # If we stop here, the old slots are there still, and nobody reads them.
        self._sweep()

    def _sweep(self) -> None:
        """Delete slots of other generations, which an interrupted or a finished change left."""
        self._session.sweep(
            "stream_slots", "generation <> (SELECT generation FROM streams WHERE number = stream)"
        )
