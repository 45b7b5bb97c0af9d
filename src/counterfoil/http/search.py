"""Receipts, statements and what lies beside the log.

    GET /receipts/<index>     the receipt of an entry, for the newest checkpoint
    GET /find?subject=&predicate=&issuer=&last=     statements, newest last, each with its receipt
    GET /blobs/<sha256>       a statement that is too large for an entry

A receipt shows that an entry is in the log. That there are no others, no search can show: a copy
of all entries does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from counterfoil import ledger as ledgers
from counterfoil.errors import FormatError, UnavailableError
from counterfoil.http.problems import Problem
from counterfoil.http.sending import BYTES, TEXT, Reply
from counterfoil.http.service import Service
from counterfoil.http.tiles import YEAR_S

MAX_FOUND = 100
"""Statements of one answer; 5 MB at the most."""

DEFAULT_FOUND = 20

MAX_QUERY_CHARACTERS = 4096
"""Longest query: a subject, a predicate type and a key's label."""

SEARCH_WITHIN_S = 0.5
"""How long a search may look; the last ones of one subject, predicate or issuer take no time."""

REST = 3
"""How long searching rests after a search that was not quick, as a multiple of what it took."""

_QUICK_S = 0.05
_NAMES = {"subject", "predicate", "issuer", "last"}
_MAX_INDEX_DIGITS = 19  # of 2**63 - 1


class Search:
    """The routes of searching.

    Args:
        service: The ledger, and threads to read it in.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._reading = "public" if service.settings.public_read else "private"

    @property
    def routes(self) -> list[Route]:
        """What to serve."""
        return [
            Route("/receipts/{index}", self.receipt, methods=["GET"]),
            Route("/find", self.find, methods=["GET"]),
            Route("/blobs/{digest}", self.blob, methods=["GET"]),
        ]

    async def receipt(self, request: Request) -> Response:
        """Give the receipt of an entry."""
        self._service.require_reader(request)
        text = request.path_params["index"]
        is_index = text.isascii() and text.isdigit() and len(text) <= _MAX_INDEX_DIGITS
        if not is_index or str(int(text)) != text:
            raise _no_entry()
        receipt = await self._service.read(self._receipt, int(text))
        return Reply(receipt, headers={"Content-Type": TEXT, "Cache-Control": "no-cache"})

    async def find(self, request: Request) -> Response:
        """Find statements."""
        self._service.require_reader(request)
        asked = _parse_query(request.scope["query_string"].decode("latin-1"))
        body = await self._service.search(lambda: self._find(asked))
        headers = {"Content-Type": "application/json", "Cache-Control": "no-cache"}
        return Reply(body, headers=headers)

    async def blob(self, request: Request) -> Response:
        """Give what lies beside the log."""
        self._service.require_reader(request)
        data = await self._service.read(self._blob, request.path_params["digest"])
        headers = {
            "Content-Type": BYTES,
            "Cache-Control": f"{self._reading}, max-age={YEAR_S}, immutable",
        }
        return Reply(data, headers=headers)

    def _receipt(self, index: int) -> bytes:
        log = self._service.log
        if index >= log.size:
            log.refresh()
        if index >= log.size:
            raise _no_entry()
        return ledgers.format_receipt(log.receipt(index))

    def _find(self, asked: Mapping[str, str]) -> bytes:
        log = self._service.log
        log.refresh()
        size = log.size
        began = time.monotonic()
        try:
            found = log.find(
                subject=asked.get("subject"),
                predicate=asked.get("predicate"),
                issuer=asked.get("issuer"),
                last=int(asked.get("last", DEFAULT_FOUND)),
                within_s=SEARCH_WITHIN_S,
                shared=True,
            )
        finally:
            # Appending needs the index, too: however many search, most of the time is left to it.
            if (taken := time.monotonic() - began) > _QUICK_S:
                time.sleep(REST * taken)
        return orjson.dumps(
            {
                "size": size,
                "found": [
                    {
                        "index": one.index,
                        "entry": log.entry(one.index).decode(),
                        "receipt": ledgers.format_receipt(log.receipt(one.index)).decode(),
                    }
                    for one in found
                ],
            }
        )

    def _blob(self, digest: str) -> bytes:
        try:
            return self._service.log.blob(digest)
        except (FormatError, UnavailableError):
            raise Problem(
                404,
                "nothing lies beside the log under this digest",
                hint="It is the SHA-256 that an entry names, in lower-case hex.",
            ) from None


def _parse_query(text: str) -> dict[str, str]:
    """Read what is asked for, each at most once.

    Raises:
        Problem: 400.
    """
    if len(text) > MAX_QUERY_CHARACTERS:
        raise Problem(400, f"a query has at most {MAX_QUERY_CHARACTERS} characters")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict")
    except ValueError:
        raise Problem(400, "this is no query", hint="Write name=value&name=value.") from None
    asked = dict(pairs)
    if len(asked) < len(pairs) or not asked.keys() <= _NAMES:
        raise Problem(
            400, "a query has something twice or unknown", hint=f"Known are {sorted(_NAMES)}."
        )
    last = asked.get("last", "1")
    if not (last.isascii() and last.isdigit()) or not 1 <= int(last[:10]) <= MAX_FOUND:
        raise Problem(400, f"`last` is a number from 1 to {MAX_FOUND}")
    return asked


def _no_entry() -> Problem:
    return Problem(
        404,
        "the log has no entry of this index, at the size that is published",
        hint="Indices count from 0 and are written without zeros in front.",
    )
