"""Answers: bounded in time, also where the caller reads one byte a second."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

SENT_WITHIN_S = 60.0
"""How long a long answer may take; then the connection is closed."""

_PIECE_BYTES = 64 << 10  # as much as lies in buffers anyhow

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"


class Reply(Response):
    """An answer whose bytes are at hand; a long one leaves as fast as the caller takes it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; if it is not taken in time, stop, and the server closes the connection."""
        body = bytes(self.body)
        if len(body) <= _PIECE_BYTES or scope["method"] == "HEAD":
            await super().__call__(scope, receive, send)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SENT_WITHIN_S):
                await self._send_pieces(body, send)

    async def _send_pieces(self, body: bytes, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        await send(start | {"headers": self.raw_headers})
        for at in range(0, len(body), _PIECE_BYTES):
            piece = body[at : at + _PIECE_BYTES]
            is_last = at + _PIECE_BYTES >= len(body)
            await send({"type": "http.response.body", "body": piece, "more_body": not is_last})
