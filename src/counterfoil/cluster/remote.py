"""Objects in an S3-compatible store, through `obstore`.

Endpoint and credentials come from the environment, as `obstore` reads it: `AWS_ENDPOINT_URL`,
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`; or from the machine's role.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import S3Store

from counterfoil.cluster.objects import at_once, not_what_was_logged
from counterfoil.errors import UnavailableError

REQUEST_WITHIN_S = 10
"""Time for one request to the object store."""

TRIES_WITHIN_S = 15
"""Time for a request and its repetitions."""

_TRIES = 3  # repetitions of a request that failed
_MAX_REASON_CHARACTERS = 300  # of the store's words that a message repeats
_WORDS = re.compile(r"<(Code|Message)>(.*?)</\1>")  # of the XML that S3 refuses with
_ROLE_ADDRESS = "http://169.254.169.254/"  # where a machine of a cloud learns its role


class RemoteObjects:
    """Objects in a bucket, below a prefix.

    Args:
        url: `s3://bucket/prefix`.

    Raises:
        UnavailableError: the store cannot be used as it is configured.
    """

    def __init__(self, url: str) -> None:
        self.name = url
        plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
        with self._reported("open"):
            self._store = S3Store.from_url(
                url,
                client_options={
                    "timeout": timedelta(seconds=REQUEST_WITHIN_S),
                    "connect_timeout": timedelta(seconds=REQUEST_WITHIN_S / 2),
                    "allow_http": plain,
                },
                retry_config={
                    "max_retries": _TRIES,
                    "retry_timeout": timedelta(seconds=TRIES_WITHIN_S),
                },
            )

    def create(self, objects: Mapping[str, bytes]) -> None:
        """Put objects that are not there yet."""
        at_once(self._create, objects.items())

    def replace(self, path: str, data: bytes) -> None:
        """Put an object."""
        with self._reported(f"write {path}"):
            obstore.put(self._store, path, data, use_multipart=False)

    def get(self, paths: Iterable[str], most: int) -> list[bytes | None]:
        """Get objects."""
        return at_once(lambda path: self._get(path, most), paths)

    def remove_below(self, prefix: str) -> None:
        """Delete what a listing shows."""
        with self._reported(f"remove {prefix}"):
            for found in obstore.list(self._store, prefix):
                obstore.delete(self._store, [one["path"] for one in found])

    def _create(self, made: tuple[str, bytes]) -> None:
        path, data = made
        with self._reported(f"write {path}"):
            try:
                # In one piece: the condition is not looked at when an object is put in several.
                obstore.put(self._store, path, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                if self._get(path, len(data)) != data:
                    raise not_what_was_logged(self.name, path) from None

    def _get(self, path: str, most: int) -> bytes | None:
        with self._reported(f"read {path}"):
            try:
                found = obstore.get(self._store, path)
            except (NotFoundError, FileNotFoundError):  # `get` raises Python's own
                return None
            if found.meta["size"] > most:
                raise not_what_was_logged(self.name, path)
            return found.bytes().to_bytes()

    @contextlib.contextmanager
    def _reported(self, doing: str) -> Iterator[None]:
        """Turn the store's refusal into ours."""
        try:
            yield
        except (BaseError, OSError) as error:
            raise UnavailableError(
                f"{self.name}: cannot {doing}: {_why(error)[:_MAX_REASON_CHARACTERS]}",
                hint="Check the object store, its address and credentials; nothing was half-done.",
            ) from error


def _why(error: Exception) -> str:
    """Say why a store refused, in its own words where they can be found."""
    said = " ".join(str(error).partition("Debug source")[0].split())
    if _ROLE_ADDRESS in said:  # asked when there is nothing in the environment
        return (
            "no credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and this "
            "machine has no role"
        )
    words = [found[2] for found in _WORDS.finditer(said)]
    return ": ".join(words) or said
