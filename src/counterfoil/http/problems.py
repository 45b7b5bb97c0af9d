"""Errors over HTTP: one JSON object each, as RFC 9457 has them.

    {"type": "urn:counterfoil:problem:PolicyError", "title": "Forbidden", "status": 403,
     "detail": "what is wrong", "hint": "what to do", "reasons": ["every one of them"]}

What is wrong with this machine is for its operator, who finds it in the log under the request's
number; a caller learns that it is so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import orjson
from starlette.responses import Response

from counterfoil import errors
from counterfoil.errors import CounterfoilError
from counterfoil.ledger import EndedError, MovedError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
_KIND = "urn:counterfoil:problem:"


class Problem(Exception):  # noqa: N818 what RFC 9457 calls it
    """A request that is not answered as asked.

    Args:
        status: HTTP status.
        detail: What is wrong.
        kind: Last word of its type.
        hint: What the caller can do.
        reasons: Every one of them, where there are several.
        headers: Sent along.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str = "",
        hint: str = "",
        reasons: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.kind, self.hint = status, detail, kind, hint
        self.reasons = tuple(reasons)
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Say it."""
        title = HTTPStatus(self.status).phrase
        body: dict[str, object] = {
            "type": f"{_KIND}{self.kind}" if self.kind else "about:blank",
            "title": title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.hint:
            body["hint"] = self.hint
        if self.reasons:
            body["reasons"] = list(self.reasons)
        headers = {"Cache-Control": "no-store", **self.headers}
        return Response(orjson.dumps(body), self.status, headers, MEDIA_TYPE)


def busy(status: int, detail: str, *, after_s: float = RETRY_AFTER_S, hint: str = "") -> Problem:
    """Make the problem of a request that may be sent again after a while."""
    whole = max(1, -int(-after_s // 1))
    said = hint or "Send it again; entries that are in already are not appended twice."
    headers = {"Retry-After": str(whole)}
    return Problem(status, detail, kind="TooManyRequests", hint=said, headers=headers)


def of_error(error: CounterfoilError) -> Problem:
    """Say over HTTP what went wrong in the ledger."""
    kind = kind_of(error)
    match error:
        case EndedError():
            return Problem(
                409, str(error), kind=kind, hint="Ask its operator where that is served."
            )
        case MovedError():
            return Problem(
                409,
                "the log of this server was moved, and nothing is appended here any more",
                kind=kind,
                hint="Ask its operator where it is served now.",
            )
        case errors.UnavailableError() | errors.ConflictError():
            # Another writer, a disk, a witness: of this machine, and perhaps over soon.
            return Problem(
                503,
                "the ledger cannot do this now",
                kind=kind,
                hint="Send it again; entries that are in already are not appended twice.",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        case errors.FormatError():
            return Problem(400, str(error), kind=kind, hint=error.hint)
        case errors.RefusedError():
            return Problem(403, str(error), kind=kind, hint=error.hint, reasons=error.reasons)
        case errors.PolicyError():
            return Problem(403, str(error), kind=kind, hint=error.hint)
    return broken()


def kind_of(error: CounterfoilError) -> str:
    """Name the class of an error as counterfoil.errors has it, which is what is documented."""
    return next(one.__name__ for one in type(error).__mro__ if one.__module__ == errors.__name__)


def broken() -> Problem:
    """Make the problem of a ledger, or of a server, that is not as it should be."""
    return Problem(
        500,
        "something is wrong with this server, and nothing was half-done",
        kind="Broken",
        hint="Its operator finds more in the log, under the number in X-Request-Id.",
    )
