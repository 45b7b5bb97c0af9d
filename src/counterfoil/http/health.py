"""Whether a server lives, and whether it works.

    GET /healthz    200 while the process answers at all
    GET /readyz     200 while the tree can be read and, unless it is read-only, written, and while
                    it has not given notice that it ends; else 503. `writer` is `moved` as soon
                    as the log is elsewhere, for which this server has to be ended, and `set back`
                    as long as the database has fewer entries than this server has shown

Everybody may ask. What exactly is wrong is in the log, for the operator.
"""

from __future__ import annotations

import logging
import time

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import counterfoil
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
        self._gone = ""  # why nothing is appended here, whatever became of the last append

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
        if self._gone:
            writer = self._gone
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
            self._gone = self._look_where(log)
        except CounterfoilError as error:
            _LOG.error("the log cannot be read: %s", error)
            return "not now"
        return "ok"

    def _look_where(self, log: counterfoil.Ledger) -> str:
        """Find out whether the log went on elsewhere, and say so in the log when it is news."""
        name, moved, following = log.engine.name, log.engine.moved_to(), ledgers.shard_after(log)
        gone, why = "", ""
        # A standby that is behind its primary all the time never has fewer than it has shown here.
        shown, has = log.size, log.engine.reached()
        if moved:
            gone, why = "moved", f"the log in {name} was moved to {moved}; end this server"
        elif following is not None:
            gone = "moved"
            why = f"the log has ended, and goes on as {following.name}; end this server"
        elif has is not None and has < shown:
            gone = "set back"
            why = f"{name} has {has} entries, and {shown} of this log were shown already"
        if gone != self._gone and why:
            _LOG.error("%s", why)
        return gone
