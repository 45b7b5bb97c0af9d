"""HTTP to a server that may mean harm: bounded in time and in bytes.

Each request has one deadline, also where the answer arrives byte by byte, and a bound on its
length. No redirect is followed, and no proxy asked. Whether an answer is true is for others. An
address may hold an access key in its path, so messages name the host alone.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from counterfoil.errors import FormatError, UnavailableError
from counterfoil.ledger.waits import waiting_for

MAX_URL_CHARACTERS = 2_000
"""Longest address of a server: a host and an access key."""

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""Longest answer, unless who asks says otherwise: a block with the hashes of all its transactions
has some 200 KiB."""

ANSWER_WITHIN_S = 20.0
"""Time for a request and its whole answer, also where it arrives byte by byte."""

CONNECT_WITHIN_S = 5.0
"""Time of it to get a connection: a host that swallows packets has not answered three by then."""

_MAX_REASON_CHARACTERS = 300  # of a server's words that a message repeats
_MAX_IDLE = 8  # connections kept for the next requests
_PIECE_BYTES = 128 << 10  # read at a time: a bundle of entries is mostly shorter


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Args:
        status: HTTP status.
        headers: By name, in lower case; of several of one name, the last.
        body: At most as many bytes as were allowed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Peer:
    """A server, reached by its address. May be used by several threads.

    Args:
        url: `http://…` or `https://…`; paths of requests are appended to its own.
        what: What errors call it.
        hint: What errors recommend.
        within_s: The deadline of each request, in seconds.
        keep: Whether to use connections again. A request over one that the server closed just then
            is sent once more, so all of them must be safe to repeat.
        tls: Whom to believe, and with which certificate to introduce oneself; None for the
            system's authorities and no certificate.

    Raises:
        FormatError: the address is none.
    """

    def __init__(
        self,
        url: str,
        *,
        what: str = "server",
        hint: str = "Check the address and the server, then try again.",
        within_s: float = ANSWER_WITHIN_S,
        keep: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.url = url
        self._what, self._hint, self._within_s, self._keep = what, hint, within_s, keep
        try:
            parts = urllib.parse.urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            parts = urllib.parse.urlsplit("")
            self._host = ""
        is_plain = url.isascii() and url.isprintable() and " " not in url
        if parts.scheme not in {"http", "https"} or not self._host or not is_plain:
            raise FormatError(
                f"the address of a {what} is http://… or https://…, and this is not one", hint=hint
            )
        if parts.username is not None or parts.fragment or len(url) > MAX_URL_CHARACTERS:
            raise FormatError(
                f"the address of the {what} at {self._host} has a user, a fragment, or is too long",
                hint="Give host, port and path alone.",
            )
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls = None
        if parts.scheme == "https":
            self._tls = tls or ssl.create_default_context()
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self.name = f"{parts.scheme}://{parts.netloc}"

    def request(
        self,
        method: str,
        path: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        doing: str,
        max_bytes: int = MAX_ANSWER_BYTES,
        within_s: float | None = None,
    ) -> Answer:
        """Ask, and give the answer, whatever its status.

        Args:
            method: Of HTTP.
            path: Appended to the path of the address.
            body: What is sent.
            headers: By name.
            doing: What for; begins the message of an error.
            max_bytes: Longest answer.
            within_s: The deadline of this request, where it is earlier than that of each.

        Raises:
            UnavailableError: no answer, not in time, or cut short.
            OversizedError: too long.
        """
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        target = self._target.rstrip("/") + path if path else self._target
        asked = (method, target, body, {"Accept-Encoding": "identity", **(headers or {})})
        within = min(self._within_s, within_s if within_s is not None else self._within_s)
        until = time.monotonic() + within
        with waiting_for(self.name):
            if connection is not None:
                with contextlib.suppress(_ClosedError):
                    return self._exchange(
                        connection, asked, doing, max_bytes, until=until, is_fresh=False
                    )
            fresh = self._connection(min(within, CONNECT_WITHIN_S))
            return self._exchange(fresh, asked, doing, max_bytes, until=until, is_fresh=True)

    def close(self) -> None:
        """Close the connections that are kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def unavailable(self, doing: str, reason: str) -> UnavailableError:
        """Make the error that names this server and a reason, in words that may be its own."""
        return UnavailableError(f"{doing} from {self.name}: {quoted(reason)}", hint=self._hint)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        asked: tuple[str, str, bytes, Mapping[str, str]],
        doing: str,
        max_bytes: int,
        *,
        until: float,
        is_fresh: bool,
    ) -> Answer:
        within = max(until - time.monotonic(), 0.001)
        # Called like the class that it stands for.
        connection.response_class = partial(_Response, until)  # type: ignore[assignment]
        is_done = False
        try:
            if connection.sock is None:
                _connect(connection)
            connection.sock.settimeout(max(until - time.monotonic(), 0.001))
            connection.request(*asked)
            with connection.getresponse() as response:
                body = response.read(max_bytes + 1)
                complete = response.length in {None, 0}
                closes = response.will_close
            is_done = complete and not closes and len(body) <= max_bytes
        except (OSError, http.client.HTTPException, ValueError) as error:
            late = isinstance(error, TimeoutError)
            if not is_fresh and not late and isinstance(error, ConnectionError):
                raise _ClosedError from error
            reason = str(error)
            if late and not isinstance(error, UnreachableError):
                reason = f"no answer within {within:.3g} s"
            raise self.unavailable(doing, reason or type(error).__name__) from error
        finally:
            if not (is_done and self._keep and self._put_back(connection)):
                connection.close()
        if len(body) > max_bytes:
            why = self.unavailable(doing, f"more than {max_bytes} bytes of answer")
            raise OversizedError(str(why), hint=why.hint)
        if not complete:
            raise self.unavailable(doing, "the answer ends too early")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, body)

    def _put_back(self, connection: http.client.HTTPConnection) -> bool:
        with self._lock:
            if len(self._idle) < _MAX_IDLE:
                self._idle.append(connection)
                return True
        return False

    def _connection(self, within: float) -> http.client.HTTPConnection:
        """Prepare a connection that has to stand in time."""
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=within)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=within, context=self._tls
        )


def quoted(words: str) -> str:
    """Keep of a server's words what a message repeats: one line, and not too long."""
    return " ".join(words.split())[:_MAX_REASON_CHARACTERS]


def _connect(connection: http.client.HTTPConnection) -> None:
    try:
        connection.connect()
    except TimeoutError as error:
        raise UnreachableError(f"no connection within {connection.timeout:.3g} s") from error


class _Response(http.client.HTTPResponse):
    """An answer that has to be complete by one moment.

    A socket's timeout is one for each byte, and so none for a server that drips: it is set anew
    before each piece.

    Args:
        until: That moment, by the monotonic clock.
        sock: Where the answer comes from.
    """

    def __init__(self, until: float, sock: socket.socket, **given: Any) -> None:
        super().__init__(sock, **given)
        self.fp = io.BufferedReader(_Pieces(sock, self.fp, until), _PIECE_BYTES)


class _Pieces(io.RawIOBase):
    """Reads a socket piece by piece; `held` keeps it open as long as this is."""

    def __init__(self, sock: socket.socket, held: io.BufferedReader, until: float) -> None:
        self._sock, self._held, self._until = sock, held, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        self._held.close()
        super().close()


class OversizedError(UnavailableError):
    """An answer is longer than was allowed; asking again is of no use."""


class UnreachableError(TimeoutError):
    """A host did not take a connection in time; the cause of an `UnavailableError`."""


class _ClosedError(Exception):
    """The server closed a connection that was kept."""
