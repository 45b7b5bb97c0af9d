"""A witness as a server: C2SP tlog-witness, for any number of logs.

    POST /add-checkpoint             check, remember, cosign
    POST /sign-subtree               check, cosign a part, where the witness has a key for that
    POST /sign-anchor                remember, and sign for a chain, where it is such a member
    GET  /<origin hash>/checkpoint   what it cosigned last of a log, for those who monitor that
    GET  /healthz                    whether it answers, and knows what it cosigned: 200, or 503

Nobody is asked who they are: a request counts by the log's signature on the checkpoint in it. What
is decided, and remembered before the reply leaves, is for `counterfoil.ledger`; here are only the
bounds of a request and the headers of a reply.

Source:
    C2SP tlog-witness v1.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from counterfoil import ledger as ledgers
from counterfoil.errors import CounterfoilError
from counterfoil.http.health import CHECKED_FOR_S

if TYPE_CHECKING:
    from counterfoil import chain as chains

BODY_WITHIN_S = 10.0
"""How long the body of a request may take to arrive, also where it does so byte by byte."""

NAME_VARIABLE = "COUNTERFOIL_WITNESS"
"""Environment variable that says which witness of this machine `own_app` serves."""

_LOG = logging.getLogger("counterfoil.witness")
_TEXT = "text/plain; charset=utf-8"


def witness_app(witness: ledgers.Witness, anchors: chains.AnchorDesk | None = None) -> Starlette:
    """Serve a witness.

    Args:
        witness: Decides and remembers; several processes may serve one folder.
        anchors: Signs what is to be anchored, by the same memory; None where it does not.
    """

    async def add_checkpoint(request: Request) -> Response:
        return await _answer(request, witness.add_checkpoint, ledgers.MAX_WITNESS_REQUEST_BYTES)

    async def monitored(request: Request) -> Response:
        try:
            kept = await run_in_threadpool(witness.cosigned, request.path_params["origin_hash"])
        except CounterfoilError as error:
            _LOG.error("what was cosigned cannot be shown: %s. %s", error, error.hint)
            return _said(500, "the witness cannot answer this now")
        if kept is None:
            return _said(404, "this witness has cosigned no checkpoint of such a log")
        return Response(kept, 200, {"Content-Type": _TEXT, "Cache-Control": "no-cache"})

    async def healthz(request: Request) -> Response:
        del request
        return await run_in_threadpool(health.tell)

    health = _Health(witness)
    routes = [
        Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
        Route("/{origin_hash}/checkpoint", monitored, methods=["GET"]),
        Route("/healthz", healthz, methods=["GET"]),
    ]
    if witness.signs_subtrees:

        async def sign_subtree(request: Request) -> Response:
            return await _answer(request, witness.sign_subtree, ledgers.MAX_WITNESS_REQUEST_BYTES)

        routes.append(Route("/sign-subtree", sign_subtree, methods=["POST"]))
    if anchors is not None:
        answer, most = anchors.answer, anchors.max_bytes

        async def sign_anchor(request: Request) -> Response:
            return await _answer(request, answer, most)

        routes.append(Route("/sign-anchor", sign_anchor, methods=["POST"]))
    return Starlette(routes=routes)


class _Health:
    """Whether a witness can tell what it cosigned; asking often costs nothing."""

    def __init__(self, witness: ledgers.Witness) -> None:
        self._witness = witness
        self._trouble, self._checked = "", -CHECKED_FOR_S

    def tell(self) -> Response:
        """Answer; what is wrong is told to the operator when it is new."""
        now = time.monotonic()
        if now - self._checked >= CHECKED_FOR_S:
            before, self._trouble, self._checked = self._trouble, "", now
            try:
                self._witness.check_memory()
            except CounterfoilError as error:
                self._trouble = f"{error}. {error.hint}"
            if self._trouble not in {"", before}:
                _LOG.error("%s", self._trouble)
        return _said(503, "not now") if self._trouble else _said(200, "ok")


def own_app() -> Starlette:
    """Serve the witness of this machine that `COUNTERFOIL_WITNESS` names, or the only one.

    A factory, for servers that import what they serve.
    """
    return named_app(os.environ.get(NAME_VARIABLE) or None)


def named_app(name: str | None) -> Starlette:
    """Serve a witness of this machine; one that has an account for anchors signs them, too.

    Where that account does not open, nothing is served.

    Args:
        name: Its name; None for the only one.
    """
    own = ledgers.OwnWitness.open(name)
    if own.seat is None:
        return witness_app(own.witness)
    from counterfoil import chain as chains  # noqa: PLC0415 an extra

    return witness_app(own.witness, chains.open_desk(own))


async def _answer(
    request: Request, decide: Callable[[bytes], tuple[int, bytes]], most: int
) -> Response:
    """Read a request within bounds, have it decided, and send what was decided."""
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            body = await _read_body(request, most)
    except TimeoutError:
        return _said(408, "the request did not arrive in time")
    except ClientDisconnect:
        return _said(400, "the request was cut short")
    if body is None:
        return _said(413, f"a request has at most {most} bytes")
    try:
        # In a thread, as it waits for the disk. It is not given up when the caller leaves: what
        # was begun is remembered, and asked again it is answered.
        status, said = await run_in_threadpool(decide, body)
    # What is wrong with this machine is for its operator alone.
    except CounterfoilError as error:
        _LOG.error("a request could not be decided: %s. %s", error, error.hint)
        return _said(500, "the witness cannot answer this now")
    except OSError:
        _LOG.exception("a request could not be decided")
        return _said(500, "the witness cannot answer this now")
    kind = ledgers.SIZE_TYPE if status == ledgers.STATUS_CONFLICT else _TEXT
    return Response(said, status, {"Content-Type": kind})


async def _read_body(request: Request, most: int) -> bytes | None:
    """Read the body, or None where it is longer than any request; the rest is not read then."""
    parts = []
    length = 0
    async for part in request.stream():
        length += len(part)
        if length > most:
            return None
        parts.append(part)
    return b"".join(parts)


def _said(status: int, words: str) -> Response:
    return PlainTextResponse(f"{words}\n", status)
