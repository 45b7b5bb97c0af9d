"""JSON-RPC over HTTP, as far as a node that means harm can be let.

One request, one connection, one deadline for all of it, and a bound on the answer (see
`ledger.web`). What comes back is JSON that answers this request, or an `UnavailableError`. Whether
it is true is for others.
"""

from __future__ import annotations

import http
import itertools
import json

from counterfoil.core.canonical import JsonValue, parse_json
from counterfoil.errors import FormatError, UnavailableError
from counterfoil.ledger.web import ANSWER_WITHIN_S, MAX_ANSWER_BYTES, Peer, quoted


class NodeError(UnavailableError):
    """A node refused: `reason` in its words, `code` and `data` as it gave them."""

    def __init__(self, message: str, *, reason: str, code: int, data: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.code = code
        self.data = data


class Rpc:
    """A node, reached by its address. May be used by several threads.

    Args:
        url: `http://…` or `https://…`.
        answer_within_s: The deadline of each request, in seconds.
        max_answer_bytes: The longest answer.

    Raises:
        FormatError: the address is none.
    """

    def __init__(
        self,
        url: str,
        *,
        answer_within_s: float = ANSWER_WITHIN_S,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self.url = url
        self._max_answer_bytes = max_answer_bytes
        self._numbers = itertools.count(1)
        self._peer = Peer(
            url,
            what="node",
            hint="Check the address and the node, then try again; what was sent before stays sent. "
            "For a chain on this machine, `counterfoil chain dev` prints the address.",
            within_s=answer_within_s,
            keep=False,
        )
        self.name = self._peer.name

    def call(self, method: str, *params: JsonValue) -> JsonValue:
        """Ask, and give the result as the node gave it.

        Raises:
            NodeError: the node refused.
            UnavailableError: no answer, not in time, too long, or no answer to this.
        """
        number = next(self._numbers)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
        status, body = self.post(json.dumps(request).encode(), method)
        try:
            answer = parse_json(body, what="answer", max_bytes=self._max_answer_bytes)
        except FormatError as error:
            if status != http.HTTPStatus.OK:
                raise self._peer.unavailable(
                    method, f"it answers with HTTP status {status}"
                ) from None
            raise self._peer.unavailable(method, f"it answers nonsense: {error}") from error
        if not isinstance(answer, dict):
            raise self._peer.unavailable(method, "its answer is no object")
        if answer.get("error") is not None:
            raise self._refused(method, answer["error"])
        if answer.get("jsonrpc") != "2.0" or answer.get("id") != number or "result" not in answer:
            raise self._peer.unavailable(method, "it answers something else than was asked")
        return answer["result"]

    def post(self, body: bytes, doing: str) -> tuple[int, bytes]:
        """Send bytes, and give HTTP status and bytes of the answer.

        Raises:
            UnavailableError: no answer, not in time, or too long.
        """
        answer = self._peer.request(
            "POST",
            body=body,
            headers={"Content-Type": "application/json"},
            doing=doing,
            max_bytes=self._max_answer_bytes,
        )
        return answer.status, answer.body

    def _refused(self, method: str, error: JsonValue) -> NodeError:
        members = error if isinstance(error, dict) else {"message": str(error)}
        message, code, data = members.get("message"), members.get("code"), members.get("data")
        reason = quoted(str(message))
        return NodeError(
            f"the node at {self.name} refuses {method}: {reason}",
            reason=reason,
            code=code if isinstance(code, int) and not isinstance(code, bool) else 0,
            data=data if isinstance(data, str) else "",
            hint="Read what the node says; nothing is known to have changed.",
        )
