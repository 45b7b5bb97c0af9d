"""Whether a server lives, and whether it works.

    GET /healthz    200 while the process answers at all
    GET /readyz     200 while the tree can be read and, unless it is read-only, written, and while
                    it has not given notice that it ends; else 503. `writer` is `moved` as soon
                    as the log is elsewhere, for which this server has to be ended

Everybody may ask. What exactly is wrong is in the log, for the operator.
"""

from __future__ import annotations

import logging
import time

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from counterfoil import ledger as ledgers
from counterfoil.errors import CounterfoilError
from counterfoil.http.sending import TEXT, Reply
from counterfoil.http.service import Service

CHECKED_FOR_S = 1.0
"""How long an answer about the disk holds, so that asking often costs nothing."""

_WORKING = {"ok", "read-only"}
_LOG = logging.getLogger("counterfoil.http")


class Health:
    """The routes of health.

    Args:
        service: The ledger.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tree = ("unknown", 0.0)
        self._is_moved = False

    @property
    def routes(self) -> list[Route]:
        """What to serve."""
        return [
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
        ]

    async def healthz(self, request: Request) -> Response:
        """Say that the process answers."""
        del request
        return Reply(b"ok\n", headers={"Content-Type": TEXT, "Cache-Control": "no-store"})

    async def readyz(self, request: Request) -> Response:
        """Say whether it works."""
        del request
        state, checked = self._tree
        now = time.monotonic()
        if now - checked > CHECKED_FOR_S:
            state = await self._service.read(self._look)
            self._tree = (state, now)
            self._service.intake.look()
        writer = "ok"
        if self._is_moved:
            writer = "moved"
        elif self._service.settings.read_only:
            writer = "read-only"
        elif self._service.intake.trouble:
            writer = "not now"
        is_ready = state == "ok" and writer in _WORKING and not self._service.is_ending
        ending = self._service.is_ending
        body = orjson.dumps({"ready": is_ready, "tree": state, "writer": writer, "ending": ending})
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        if not is_ready:
            headers["Retry-After"] = "1"
        return Reply(body, 200 if is_ready else 503, headers)

    def _look(self) -> str:
        log = self._service.log
        try:
            log.refresh()
            if log.size:
                log.receipt(log.size - 1)  # reads the right edge, and checks it against the root
            moved = log.engine.moved_to()
            if moved and not self._is_moved:
                _LOG.error("the log in %s was moved to %s; end this server", log.engine.name, moved)
            following = ledgers.shard_after(log)
            if following is not None and not self._is_moved:
                _LOG.error("the log has ended, and goes on as %s; end this server", following.name)
            self._is_moved = bool(moved) or following is not None
        except CounterfoilError as error:
            _LOG.error("the log cannot be read: %s", error)
            return "not now"
        return "ok"
