"""Statements too large for an entry, at a server: sent with the entry, read by their digest."""

from __future__ import annotations

import threading
from collections import OrderedDict
from hashlib import sha256

from counterfoil.errors import RefusedError, UnavailableError, VerificationError
from counterfoil.remote.source import Source

BLOBS = "blobs"
"""Folder of a site in which they lie, each named by its digest in hex."""

MAX_READ_BLOBS = 64
"""Statements beside the log that are kept in memory after they were read: 4 MiB."""


class RemoteBlobs:
    """Bytes by their SHA-256 beside a log elsewhere; see `Blobs`.

    Args:
        source: Where they are read, under `BLOBS`.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._staged: dict[str, bytes] = {}
        self._read: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, digest: str, data: bytes) -> None:
        """Hold them until the entry that stands for them is sent: the server stores both."""
        with self._lock:
            self._staged[digest] = data

    def sent(self, digest: str) -> None:
        """Let go of what the server has."""
        with self._lock:
            self._staged.pop(digest, None)

    def get(self, digest: str, size: int) -> bytes:
        """Read them."""
        with self._lock:
            data = self._staged.get(digest) or self._read.get(digest)
        if data is None:
            data = self._fetch(digest, size)
            with self._lock:
                self._read[digest] = data
                if len(self._read) > MAX_READ_BLOBS:
                    self._read.popitem(last=False)
        return data

    def _fetch(self, digest: str, size: int) -> bytes:
        for fresh in (False, True):
            data = self._source.read(f"{BLOBS}/{digest}", size, fresh=fresh)
            if data is None:
                raise UnavailableError(
                    f"{self._source.name} does not have the {size} bytes of statement "
                    f"{digest[:12]}…",
                    hint="Read another copy of the log that has its blobs, too.",
                )
            if sha256(data).hexdigest() == digest:
                return data
        raise VerificationError(
            f"{self._source.name} serves other bytes than those of statement {digest[:12]}…",
            hint="Read another copy of the log that has its blobs, too.",
        )


def refuse_writing(name: str) -> RefusedError:
    """Make the error of a copy that nobody appends to."""
    return RefusedError(
        f"{name} is a copy that can only be read",
        reasons=(),
        hint="Append to the log itself, by its own address or folder.",
    )
