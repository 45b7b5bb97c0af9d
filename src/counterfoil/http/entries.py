"""`POST /entries`: one envelope or many, answered with receipts once they are published.

    Content-Type: application/json        one envelope, as canonical JSON
    Content-Type: application/x-ndjson    one a line

The answer names them in the order given: `{"entries": [{"index", "digest", "receipt"}]}`. Sending
the same again is answered alike, and appends nothing: an envelope is known by its digest. All of
a request's envelopes are let in, or none.
"""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from counterfoil import ledger as ledgers
from counterfoil.errors import CounterfoilError, FormatError, UnavailableError
from counterfoil.http.callers import Who, unauthenticated
from counterfoil.http.problems import Problem, kind_of, of_error
from counterfoil.http.sending import Reply
from counterfoil.http.service import Service

ONE, MANY = "application/json", "application/x-ndjson"

MAX_ENTRIES = 1000
"""Envelopes of one request."""

MAX_BODY_BYTES = 8 << 20
"""Bytes of one request."""

_MAX_REASONS = 20


class Entries:
    """The route of writing.

    Args:
        service: The ledger.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def routes(self) -> list[Route]:
        """What to serve."""
        return [Route("/entries", self.post, methods=["POST"])]

    async def post(self, request: Request) -> Response:
        """Take envelopes in."""
        service = self._service
        who: Who = request.scope["who"]
        if not who.is_known:
            raise unauthenticated(
                "whoever writes signs the request",
                "Sign it with a key of a principal that the trust policy names (RFC 9421).",
            )
        if service.settings.read_only:
            raise Problem(403, "this server takes no entries", hint="It was started read-only.")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in {ONE, MANY} or request.headers.get("content-encoding"):
            raise Problem(
                415,
                f"a body is {ONE} or {MANY}, not compressed",
                hint="One envelope, or one a line.",
                headers={"Accept": f"{ONE}, {MANY}"},
            )
        async with service.limits.body(request, MAX_BODY_BYTES) as body:
            admitted = await service.read(self._admit, who, kind, body)
        logged = await service.intake.take(admitted)
        answer = {
            "entries": [
                {
                    "index": one.index,
                    "digest": entry.digest.hex(),
                    "receipt": one.receipt.decode(),
                }
                for entry, one in zip(admitted, logged, strict=True)
            ]
        }
        headers = {"Content-Type": ONE, "Cache-Control": "no-store"}
        return Reply(orjson.dumps(answer), headers=headers)

    def _admit(self, who: Who, kind: str, body: bytes) -> list[ledgers.Admitted]:
        """Let all envelopes in, or say of each why not."""
        if who.signed is not None:
            try:
                who.signed.check_body(body)
            except CounterfoilError as error:
                raise unauthenticated(str(error), error.hint) from error
        lines = [body] if kind == ONE else body.removesuffix(b"\n").split(b"\n")
        if not 1 <= len(lines) <= MAX_ENTRIES:
            raise Problem(
                413,
                f"{len(lines)} envelopes in one request; the most is {MAX_ENTRIES}",
                hint="Send them in several requests.",
            )
        admitted: list[ledgers.Admitted] = []
        refused: dict[int, CounterfoilError] = {}
        for number, line in enumerate(lines):
            try:
                admitted.append(self._service.admission.admit(line))
            except UnavailableError:
                raise
            except CounterfoilError as error:
                refused[number] = error
        if refused:
            raise self._refusal(refused, len(lines))
        return admitted

    def _refusal(self, refused: dict[int, CounterfoilError], count: int) -> Problem:
        """Say which envelopes are not let in, and why; no envelope of the request is."""
        self._service.metrics.refused.inc(len(refused))
        malformed = {n: one for n, one in refused.items() if isinstance(one, FormatError)}
        first = next(iter((malformed or refused).values()))
        reasons = [
            f"envelope {number + 1}: {error}" if count > 1 else str(error)
            for number, error in list(refused.items())[:_MAX_REASONS]
        ]
        if malformed:
            problem = of_error(first)
            problem.detail = "what was sent are not envelopes, and nothing was appended"
        else:
            problem = Problem(
                403,
                "the trust policy does not let these be said, and nothing was appended",
                kind=kind_of(first),
                hint=first.hint,
            )
        problem.reasons = tuple(reasons)
        return problem
