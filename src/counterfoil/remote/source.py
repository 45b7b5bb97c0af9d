"""Where the files of a tlog-tiles site come from: a server, a folder, or a folder before a server.

A source is believed in nothing; who reads from it checks.

Source:
    C2SP tlog-tiles, "APIs".
"""

from __future__ import annotations

import urllib.parse
from pathlib import Path
from typing import Protocol

from counterfoil.core.checkpoint import parse_checkpoint
from counterfoil.core.note import MAX_NOTE_BYTES, parse_note
from counterfoil.errors import FormatError, UnavailableError, VerificationError
from counterfoil.ledger.disk import read_file
from counterfoil.remote.client import Client

CHECKPOINT = "checkpoint"

ELSEWHERE_WITHIN_S = 5.0
"""How long another address of a log is asked what its tree was."""


class Source(Protocol):
    """Files by their paths below the log's prefix. May be used by several threads.

    `read` gives what lies there, at most `most` bytes, believed by nobody; None where there is
    nothing. It raises `UnavailableError` where that cannot be told, and `VerificationError` where
    it is plainly nothing that a log serves.
    """

    @property
    def name(self) -> str:
        """What errors call it."""

    def read(self, path: str, most: int, *, fresh: bool = False) -> bytes | None:
        """Read a file; `fresh` passes caches by."""

    def close(self) -> None:
        """Release what is held open."""


class HttpSource:
    """A server's."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.name = client.url

    def read(self, path: str, most: int, *, fresh: bool = False) -> bytes | None:
        """Ask the server."""
        return self._client.get(path, most, fresh=fresh)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()


class FolderSource:
    """A folder's: an exported site, or a mirror.

    Args:
        folder: Where `checkpoint` lies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = str(folder)

    def read(self, path: str, most: int, *, fresh: bool = False) -> bytes | None:
        """Read the file."""
        del fresh  # it always is
        file = self._folder / path
        if not file.exists():
            return None
        try:
            return read_file(file, most)
        except FormatError as error:
            raise VerificationError(
                f"{file} is nothing that a log holds", hint="Restore it from the log's own site."
            ) from error

    def close(self) -> None:
        """Nothing is held open."""


class FallbackSource:
    """A folder's files where they hold, else a server's: `first` is what was fetched before.

    Args:
        first: Asked first.
        second: Asked where the first has nothing, and by `again`.
    """

    def __init__(self, first: FolderSource, second: Source) -> None:
        self._first, self._second = first, second
        self.name = second.name

    def read(self, path: str, most: int, *, fresh: bool = False) -> bytes | None:
        """Read from the first that has it; a checkpoint always from the second."""
        if path != CHECKPOINT and not fresh:
            try:
                data = self._first.read(path, most)
            except (VerificationError, UnavailableError):
                data = None  # damaged: it is fetched anew
            if data is not None:
                return data
        return self._second.read(path, most, fresh=fresh)

    def close(self) -> None:
        """Close both."""
        self._first.close()
        self._second.close()


def open_source(address: str) -> Source:
    """Open a site by the address under which this machine remembers it; no request is signed.

    Raises:
        FormatError: it is none any more.
    """
    if address.startswith("file://"):
        return FolderSource(Path(urllib.parse.unquote(urllib.parse.urlsplit(address).path)))
    return HttpSource(Client(address, read_within_s=ELSEWHERE_WITHIN_S))


def read_checkpoint(source: Source) -> bytes:
    """Read the newest checkpoint; nothing of what it says is checked.

    Raises:
        FormatError: it is none.
        UnavailableError: there is none.
    """
    note = source.read(CHECKPOINT, MAX_NOTE_BYTES, fresh=True)
    if note is None:
        raise UnavailableError(
            f"{source.name} has no checkpoint",
            hint="Is this the address of a log? Its site begins where `checkpoint` lies.",
        )
    try:
        parse_checkpoint(parse_note(note).text)
    except FormatError as error:
        where = f"{source.name.rstrip('/')}/{CHECKPOINT}"
        raise FormatError(f"{where}: {error}", hint=error.hint) from error
    return note
