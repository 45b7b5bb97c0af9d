"""The log as a site, for whoever verifies: C2SP tlog-tiles.

    GET /checkpoint                        the signed note; asked for anew each time
    GET /tile/<level>/<number>[.p/<w>]     hashes; never change
    GET /tile/entries/<number>[.p/<w>]     entries; never change, and come compressed where asked

Nothing here needs to be believed: the checkpoint is signed, and everything else leads to its root.
"""

from __future__ import annotations

import zlib

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from counterfoil import ledger as ledgers
from counterfoil.http.problems import Problem
from counterfoil.http.sending import BYTES, TEXT, Reply
from counterfoil.http.service import Service

YEAR_S = 365 * 24 * 3600
"""How long a cache may keep what never changes."""

_GZIP = 16 + zlib.MAX_WBITS  # how zlib calls that format
_LEVEL = 1  # entries are base64 in JSON: more work saves little


class Tiles:
    """The routes of the site.

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
            Route("/checkpoint", self.checkpoint, methods=["GET"]),
            Route("/tile/{path:path}", self.tile, methods=["GET"]),
        ]

    async def checkpoint(self, request: Request) -> Response:
        """Give the newest checkpoint, as the log published it."""
        self._service.require_reader(request)
        note = await self._service.read(self._newest)
        return Reply(note, headers={"Content-Type": TEXT, "Cache-Control": "no-cache"})

    async def tile(self, request: Request) -> Response:
        """Give a tile or an entry bundle, if the published size has it."""
        self._service.require_reader(request)
        # As it was sent: an address has one spelling.
        path = request.scope["raw_path"].decode("latin-1").removeprefix("/")
        is_bundle = path.startswith(ledgers.BUNDLES)
        squeeze = is_bundle and accepts_gzip(request.headers.get("accept-encoding", ""))
        data = await self._service.read(self._resource, path, squeeze)
        if data is None:
            raise Problem(
                404,
                "the log has no such tile, at the size that is published",
                hint="Paths follow from a checkpoint's size, as C2SP tlog-tiles says.",
            )
        headers = {
            "Content-Type": BYTES,
            "Cache-Control": f"{self._reading}, max-age={YEAR_S}, immutable",
        }
        if is_bundle:
            headers["Vary"] = "Accept-Encoding"
        if squeeze:
            headers["Content-Encoding"] = "gzip"
        return Reply(data, headers=headers)

    def _newest(self) -> bytes:
        self._service.log.refresh()
        return self._service.log.checkpoint

    def _resource(self, path: str, squeeze: bool) -> bytes | None:
        log = self._service.log
        data = ledgers.read_resource(log, path)
        if data is None:
            log.refresh()  # another process may have published it
            data = ledgers.read_resource(log, path)
        if data is None or not squeeze:
            return data
        packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
        return packer.compress(data) + packer.flush()


def accepts_gzip(field: str) -> bool:
    """Whether a field Accept-Encoding names gzip, and does not rule it out."""
    for one in field.lower().split(","):
        name, *parameters = (part.strip() for part in one.split(";"))
        if name in {"gzip", "x-gzip"}:
            quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
            return quality.strip("0.") != ""
    return False
