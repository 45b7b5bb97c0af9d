"""A ledger as an ASGI application: every route, and what every request passes on its way.

A request is numbered, its caller told and counted, and its answer logged. Errors leave as problems
(see `problems`); a bug is logged with its traceback, and the caller gets its number.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import counterfoil
from counterfoil.errors import CounterfoilError
from counterfoil.http.callers import Who
from counterfoil.http.entries import Entries
from counterfoil.http.health import Health
from counterfoil.http.logs import FIELDS
from counterfoil.http.metrics import metrics_route
from counterfoil.http.openapi import openapi_route
from counterfoil.http.problems import Problem, broken, of_error
from counterfoil.http.search import Search
from counterfoil.http.service import Service
from counterfoil.http.settings import ENDING_SIGNAL, Settings
from counterfoil.http.tiles import Tiles

_LOG = logging.getLogger("counterfoil.http")
_ALWAYS = {"/healthz", "/readyz"}  # whoever asks these is neither told nor counted
_REQUEST_BYTES = 8
_SHOWN_CHARACTERS = 200  # of a path, in the log


def ledger_app(settings: Settings) -> ASGIApp:
    """Serve a ledger; it is opened when the server starts, and closed when all is answered.

    Args:
        settings: Which ledger, and who may come in.
    """
    service = Service(settings, counterfoil.open(settings.ledger))
    routes = routes_of(service)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        await service.open()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(ENDING_SIGNAL, service.give_notice)
        try:
            yield
        finally:
            await service.close()

    handlers: dict[Any, Any] = {
        Problem: _on_problem,
        CounterfoilError: _on_error,
        HTTPException: _on_http,
        Exception: _on_bug,
    }
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    app.router.redirect_slashes = False  # an address has one spelling
    return Passage(app, service)


def routes_of(service: Service) -> list[Route]:
    """List every route."""
    return [
        *Tiles(service).routes,
        *Entries(service).routes,
        *Search(service).routes,
        *Health(service).routes,
        metrics_route(service.metrics, is_open=service.settings.open_metrics),
        openapi_route(),
    ]


class Passage:
    """What every request passes: who calls, how often, and what came of it.

    Args:
        app: Answers.
        service: The ledger.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number = secrets.token_hex(_REQUEST_BYTES)
        began = time.perf_counter()
        status, is_whole = 0, False

        async def numbered(message: Message) -> None:
            nonlocal status, is_whole
            if message["type"] == "http.response.start":
                status = message["status"]
                more = [
                    (b"x-request-id", number.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
                message = {**message, "headers": [*message["headers"], *more]}
            is_whole = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        metrics = self._service.metrics
        metrics.running.inc()
        try:
            await self._pass(scope, receive, numbered)
        except Exception:
            _LOG.exception("a request failed", extra={FIELDS: {"request": number}})
            if not is_whole:  # the server closes the connection
                raise
        finally:
            metrics.running.dec()
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "other")
            metrics.answered(scope["method"], route, status, seconds)
            _log_answer(scope, number, route, status, seconds)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in _ALWAYS:
            await self._app(scope, receive, send)
            return
        try:
            who = self._service.callers.identify(scope)
            scope["who"] = who
            with self._service.limits.admit(who.name):
                await self._app(scope, receive, send)
        except Problem as problem:
            await problem.response()(scope, receive, send)


def shown_path(scope: Scope) -> str:
    """Give as much of a request's path as a log needs."""
    return str(scope["path"])[:_SHOWN_CHARACTERS]


async def _on_problem(request: Request, error: Problem) -> Response:
    del request
    return error.response()


async def _on_error(request: Request, error: CounterfoilError) -> Response:
    problem = of_error(error)
    if problem.status >= 500:
        _LOG.error("%s %s: %s", request.method, shown_path(request.scope), error)
    return problem.response()


async def _on_http(request: Request, error: HTTPException) -> Response:
    del request
    says = {404: "nothing is served at this path", 405: "not by this method"}
    detail = says.get(error.status_code, error.detail)
    return Problem(error.status_code, detail, headers=error.headers).response()


async def _on_bug(request: Request, error: Exception) -> Response:
    del request, error  # which is raised again, and logged where the request's number is known
    return broken().response()


def _log_answer(scope: Scope, number: str, route: str, status: int, seconds: float) -> None:
    if scope["path"] in _ALWAYS and status < 400:
        return
    who: Who | None = scope.get("who")
    fields = {
        "request": number,
        "method": scope["method"],
        "route": route,
        "path": shown_path(scope),
        "status": status,
        "caller": who.name if who else None,
        "principal": who.principal or None if who else None,
        "ms": round(seconds * 1000, 2),
    }
    _LOG.info("answered", extra={FIELDS: fields})
