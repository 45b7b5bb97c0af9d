"""JSON-RPC over HTTP, as far as a node that means harm can be let.

One request, one connection, one deadline for all of it, and a bound on the answer. What comes back
is JSON that answers this request, or an `UnavailableError`. Whether it is true is for others.

No redirect is followed, and no proxy asked. An address may hold an access key in its path, so
messages name the host alone.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
import ssl
import threading
import urllib.parse

from counterfoil.core.canonical import JsonValue, parse_json
from counterfoil.errors import FormatError, UnavailableError

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""Longest answer: a block with the hashes of all its transactions has some 200 KiB."""

MAX_URL_CHARACTERS = 2_000
"""Longest address of a node: a host and an access key."""

ANSWER_WITHIN_S = 20.0
"""Time for a request and its whole answer, also where it arrives byte by byte."""

_MAX_REASON_CHARACTERS = 300  # of a node's words that a message repeats
_HINT = "Check the address and the node, then try again; what was sent before stays sent."


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
        self._answer_within_s = answer_within_s
        self._max_answer_bytes = max_answer_bytes
        self._numbers = itertools.count(1)
        try:
            parts = urllib.parse.urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            parts = urllib.parse.urlsplit("")
            self._host = ""
        is_plain = url.isascii() and url.isprintable() and " " not in url
        if parts.scheme not in {"http", "https"} or not self._host or not is_plain:
            raise FormatError(
                "the address of a node is http://… or https://…, and this is not one",
                hint="For a chain on this machine: counterfoil chain dev prints its address.",
            )
        if parts.username is not None or parts.fragment or len(url) > MAX_URL_CHARACTERS:
            raise FormatError(
                f"the address of the node at {self._host} has a user, a fragment, or is too long",
                hint="Give host, port and path alone.",
            )
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self.name = f"{parts.scheme}://{parts.netloc}"

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
                raise self._unavailable(method, f"it answers with HTTP status {status}") from None
            raise self._unavailable(method, f"it answers nonsense: {error}") from error
        if not isinstance(answer, dict):
            raise self._unavailable(method, "its answer is no object")
        if answer.get("error") is not None:
            raise self._refused(method, answer["error"])
        if answer.get("jsonrpc") != "2.0" or answer.get("id") != number or "result" not in answer:
            raise self._unavailable(method, "it answers something else than was asked")
        return answer["result"]

    def post(self, body: bytes, doing: str) -> tuple[int, bytes]:
        """Send bytes, and give HTTP status and bytes of the answer.

        Raises:
            UnavailableError: no answer, not in time, or too long.
        """
        connection = self._connection()
        too_late = threading.Event()

        def cut() -> None:
            too_late.set()
            if connection.sock is not None:
                # Whoever waits for the next byte is woken, and finds the end of the answer.
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

        # A timeout of the socket is one for each byte, and so none for a node that drips.
        timer = threading.Timer(self._answer_within_s, cut)
        timer.daemon = True
        timer.start()
        try:
            connection.request(
                "POST",
                self._target,
                body,
                {"Content-Type": "application/json", "Accept-Encoding": "identity"},
            )
            with connection.getresponse() as response:
                data = response.read(self._max_answer_bytes + 1)
                complete = response.length in {None, 0}
        except (OSError, http.client.HTTPException, ValueError) as error:
            late = too_late.is_set() or isinstance(error, TimeoutError)
            reason = f"no answer within {self._answer_within_s:g} s" if late else str(error)
            raise self._unavailable(doing, reason or type(error).__name__) from error
        finally:
            timer.cancel()
            connection.close()
        if too_late.is_set():
            raise self._unavailable(doing, f"no answer within {self._answer_within_s:g} s")
        if len(data) > self._max_answer_bytes:
            raise self._unavailable(doing, f"more than {self._max_answer_bytes} bytes of answer")
        if not complete:
            raise self._unavailable(doing, "the answer ends too early")
        return response.status, data

    def _connection(self) -> http.client.HTTPConnection:
        within = self._answer_within_s
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=within)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=within, context=self._tls
        )

    def _refused(self, method: str, error: JsonValue) -> NodeError:
        members = error if isinstance(error, dict) else {"message": str(error)}
        message, code, data = members.get("message"), members.get("code"), members.get("data")
        reason = " ".join(str(message).split())[:_MAX_REASON_CHARACTERS]
        return NodeError(
            f"the node at {self.name} refuses {method}: {reason}",
            reason=reason,
            code=code if isinstance(code, int) and not isinstance(code, bool) else 0,
            data=data if isinstance(data, str) else "",
            hint="Read what the node says; nothing is known to have changed.",
        )

    def _unavailable(self, doing: str, reason: str) -> UnavailableError:
        reason = " ".join(reason.split())[:_MAX_REASON_CHARACTERS]
        return UnavailableError(f"{doing} from {self.name}: {reason}", hint=_HINT)
