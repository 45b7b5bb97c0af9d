"""Statements too large for an entry, beside the log in its object store: `blobs/ab/cdef…`."""

from __future__ import annotations

from counterfoil.cluster.objects import Objects
from counterfoil.errors import UnavailableError


class ObjectBlobs:
    """Bytes by their SHA-256, in an object store.

    Args:
        objects: The store.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def put(self, digest: str, data: bytes) -> None:
        """Make the object; it is durable then."""
        self._objects.create({_path(digest): data})

    def get(self, digest: str, size: int) -> bytes:
        """Read it."""
        (data,) = self._objects.get([_path(digest)], size)
        if data is None:
            raise UnavailableError(
                f"the {size} bytes of statement {digest[:12]}… are not beside the log",
                hint=f"Restore {_path(digest)} in {self._objects.name} from a backup.",
            )
        return data


def _path(digest: str) -> str:
    return f"blobs/{digest[:2]}/{digest[2:]}"
