"""Asking a ledger's server: again where nothing is lost by it, and not for ever.

Reading can always be repeated, and so can appending: a server takes each entry once, by its
digest. So whatever was perhaps lost on the way is sent again, after a pause that doubles and that
no two clients share, or that the server asks for; until a deadline. What a server decided is
decided.
"""

from __future__ import annotations

import email.utils
import math
import os
import random
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from counterfoil.errors import (
    CounterfoilError,
    FormatError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.waits import waiting_for
from counterfoil.ledger.web import Answer, OversizedError, Peer, UnreachableError
from counterfoil.remote.refusals import refusal

READ_WITHIN_S = 20.0
"""How long a question is repeated that got no answer, or 429 or 503."""

APPEND_WITHIN_S = 60.0
"""How long the same is done with entries that are to be appended."""

REFUSED_WITHIN_S = 1.5
"""The same where connections are refused, or not taken in time, and the server was not heard yet:
the address is wrong, or nothing runs there. One that was heard may be starting again."""

MAX_PAGE_BYTES = 64 << 10
"""Longest page with which a server says that it has no such file, however short that would be."""

CERTIFICATE_VARIABLE, KEY_VARIABLE = "COUNTERFOIL_CLIENT_CERT", "COUNTERFOIL_CLIENT_KEY"
"""Environment variables that name our certificate, for servers that ask for one, and its key."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_LEAST_S = 0.1  # for a last question, when the time is almost up
# No such host, or one that cannot show a certificate: asking again is of no use.
_HOPELESS = (socket.gaierror, ssl.SSLCertVerificationError)
_WHO = 401
_BUSY = {429, 502, 503, 504}
_MISSING = {404, 410}
_GZIP = 16 + zlib.MAX_WBITS  # how zlib calls that format

Sign = Callable[[str, str, Mapping[str, str], bytes], Mapping[str, str]]


class _Question(NamedTuple):
    method: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    doing: str
    most: int


class Client:
    """A ledger's server. May be used by several threads.

    Args:
        url: As `check_address` gives it.
        sign: Gives all headers to send with a method, an address, headers and a body. What is
            appended is signed; what is read only once the server asked who reads.
        lacking: Says why requests are not signed, and what to do; empty where they are.
        read_within_s: See `READ_WITHIN_S`.
        append_within_s: See `APPEND_WITHIN_S`.
    """

    def __init__(
        self,
        url: str,
        *,
        sign: Sign | None = None,
        lacking: Callable[[], str] = lambda: "",
        read_within_s: float = READ_WITHIN_S,
        append_within_s: float = APPEND_WITHIN_S,
    ) -> None:
        self.url = url
        self._sign, self._lacking = sign, lacking
        self._sign_reads = False
        self._was_heard = False
        self._is_closed = threading.Event()
        self._read_within_s, self._append_within_s = read_within_s, append_within_s
        tls = _own_tls() if url.startswith("https:") else None
        self._peer = Peer(
            url,
            what="ledger",
            hint="Check the address and the server, then try again; nothing was half-done.",
            within_s=max(read_within_s, _LEAST_S),
            tls=tls,
        )
        self._appends = Peer(
            url,
            what="ledger",
            hint="The entries may be in or not; appending them again is safe, each is taken once.",
            within_s=max(append_within_s, _LEAST_S),
            tls=tls,
        )

    def get(self, path: str, most: int, *, fresh: bool = False) -> bytes | None:
        """Read a file of the server; None where it has none.

        Args:
            path: Below the address, without a slash in front.
            most: Bytes it has at most.
            fresh: Whether caches on the way are passed by.

        Raises:
            RefusedError: the server lets us not read it.
            UnavailableError: no answer within the time, or none that is a file.
        """
        doing = f"reading {path}"
        headers = {"Accept-Encoding": "gzip, identity"}
        if fresh:
            headers["Cache-Control"] = "no-cache"
        # What is not there may come as a page, and gzip adds to what is very short.
        question = _Question("GET", path, b"", headers, doing, max(most, MAX_PAGE_BYTES))
        answer = self._ask(self._peer, question, self._read_within_s)
        if answer.status == _WHO and self._sign is not None and not self._sign_reads:
            self._sign_reads = True
            answer = self._ask(self._peer, question, self._read_within_s)
        if answer.status in _MISSING:
            return None
        if answer.status != 200:
            raise self.refused(answer)
        return self._unpacked(answer, most, doing)

    def post(self, path: str, body: bytes, kind: str, most: int, *, doing: str) -> Answer:
        """Send something that may safely arrive twice, and give the answer.

        Raises:
            UnavailableError: no answer within the time, or that of a server that is busy.
        """
        question = _Question("POST", path, body, {"Content-Type": kind}, doing, most)
        return self._ask(self._appends, question, self._append_within_s)

    def refused(self, answer: Answer) -> CounterfoilError:
        """Make the error that a refusal stands for; where it asks who calls, we know what lacks."""
        lacking = self._lacking() if answer.status == _WHO else ""
        return refusal(answer, self.url, lacking=lacking)

    def close(self) -> None:
        """Close the connections that are kept, and ask nothing again."""
        self._is_closed.set()
        self._peer.close()
        self._appends.close()

    def _ask(self, peer: Peer, question: _Question, within_s: float) -> Answer:
        with waiting_for(peer.name):
            return self._ask_again(peer, question, within_s)

    def _ask_again(self, peer: Peer, question: _Question, within_s: float) -> Answer:
        method, path, body, headers, doing, most = question
        began = time.monotonic()
        until = began + within_s
        pause = _FIRST_PAUSE_S
        while True:
            # Signed anew each time: a signature says when it was made, and counts once.
            sent = headers
            if self._sign is not None and (method != "GET" or self._sign_reads):
                sent = self._sign(method, f"{self.url}/{path}", headers, body)
            wanted = 0.0
            try:
                left = max(until - time.monotonic(), _LEAST_S)
                answer = peer.request(
                    method, f"/{path}", body, sent, doing=doing, max_bytes=most, within_s=left
                )
            except OversizedError:
                raise
            except UnavailableError as error:
                if isinstance(error.__cause__, _HOPELESS):
                    raise
                lost = error
                until = min(until, began + self._worth(error))
            else:
                self._was_heard = True
                if answer.status not in _BUSY:
                    return answer
                lost = peer.unavailable(doing, f"HTTP {answer.status}")
                wanted = _retry_after(answer.headers.get("retry-after", ""))
            # Half of it by chance, so that those who failed together do not come back together.
            wait = max(wanted, pause * (0.5 + random.random() / 2))  # noqa: S311 no secret
            if time.monotonic() + wait > until:
                raise lost
            if self._is_closed.wait(wait):
                raise lost
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _worth(self, error: UnavailableError) -> float:
        """Say for how long in all it is worth to ask again after such an error."""
        is_refused = isinstance(error.__cause__, ConnectionRefusedError | UnreachableError)
        return REFUSED_WITHIN_S if is_refused and not self._was_heard else math.inf

    def _unpacked(self, answer: Answer, most: int, doing: str) -> bytes:
        """Give the file itself: logs may serve it compressed, asked or not (C2SP tlog-tiles)."""
        coding = answer.headers.get("content-encoding", "identity").strip().lower()
        if coding == "identity":
            if len(answer.body) > most:
                raise self._peer.unavailable(doing, f"more than {most} bytes of answer")
            return answer.body
        if coding != "gzip":
            raise self._peer.unavailable(doing, f"it is encoded as {coding}")
        unpacker = zlib.decompressobj(_GZIP)
        try:
            data = unpacker.decompress(answer.body, most + 1)
        except zlib.error as error:
            raise VerificationError(f"{doing} from {self._peer.name}: it is no gzip") from error
        if len(data) > most or not unpacker.eof or unpacker.unused_data:
            raise VerificationError(
                f"{doing} from {self._peer.name}: it unpacks to more than {most} bytes, or not "
                "to its end",
                hint="Somebody on the way, or the server, sends what no ledger holds.",
            )
        return data


def _own_tls() -> ssl.SSLContext | None:
    """Make what introduces us to servers with the certificate that the environment names, if any.

    Raises:
        FormatError: there is no such certificate and key; names the files.
    """
    certificate = os.environ.get(CERTIFICATE_VARIABLE)
    if not certificate:
        return None
    key = os.environ.get(KEY_VARIABLE) or certificate
    tls = ssl.create_default_context()
    try:
        # Without a passphrase of ours, the library would ask for one at the terminal.
        tls.load_cert_chain(certificate, key, password=b"")
    except OSError as error:
        raise FormatError(
            f"{certificate} and {key} are no certificate and its key: {error}",
            hint=f"{CERTIFICATE_VARIABLE} names a certificate in PEM, with those that lead to its "
            f"authority; {KEY_VARIABLE} its key, without a passphrase.",
        ) from error
    return tls


def _retry_after(value: str) -> float:
    """Read how long a server asks us to wait; 0 where it does not."""
    if value.isdigit():
        return float(value[:9])
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, moment.timestamp() - time.time())
