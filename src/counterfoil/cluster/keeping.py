"""Files of a log that are private, in its database: encrypted by the vault, in parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from counterfoil.cluster.address import parse_address
from counterfoil.cluster.streams import DatabaseStreams


class DatabaseParts:
    """The files of the log at an address.

    Args:
        streams: How to reach its database.
    """

    def __init__(self, streams: DatabaseStreams) -> None:
        self._transaction = streams.transaction
        self.name = parse_address(streams.url).name

    def names(self) -> list[str]:
        """List them."""
        with self._transaction("looking for private files") as connection:
            rows = connection.execute("SELECT DISTINCT name FROM private_files ORDER BY name")
            return [str(row[0]) for row in rows]

    def has(self, name: str) -> bool:
        """Whether it has a first part."""
        with self._transaction("looking for a private file") as connection:
            query = "SELECT FROM private_files WHERE name = %s AND part = 0"
            return connection.execute(query, (name,)).rowcount == 1

    def read(self, name: str) -> Iterator[bytes]:
        """Read part by part, as they were at one moment."""
        with self._transaction("reading a private file") as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            part = 0
            while True:
                row = connection.execute(
                    "SELECT data FROM private_files WHERE name = %s AND part = %s",
                    (name, part),
                    binary=True,
                ).fetchone()
                if row is None:
                    return
                yield bytes(row[0])
                part += 1

    def write(self, name: str, parts: Iterable[bytes]) -> None:
        """Write them in one transaction."""
        with self._transaction("keeping a private file") as connection:
            connection.execute("DELETE FROM private_files WHERE name = %s", (name,))
            for part, data in enumerate(parts):
                connection.execute(
                    "INSERT INTO private_files (name, part, data) VALUES (%s, %s, %s)",
                    (name, part, data),
                )

    def remove(self, name: str) -> None:
        """Delete its rows; what lives on of them is encrypted."""
        with self._transaction("removing a private file") as connection:
            connection.execute("DELETE FROM private_files WHERE name = %s", (name,))


class DatabaseKeeping:
    """All that is private of the log at an address.

    Args:
        url: The log's.
    """

    def __init__(self, url: str) -> None:
        self.streams = DatabaseStreams(url)
        self.files = DatabaseParts(self.streams)
