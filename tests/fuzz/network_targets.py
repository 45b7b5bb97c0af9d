"""Targets in what others send over a network: witnesses, offers, web servers."""

from __future__ import annotations

import http.client
import io
import ssl
from functools import cache

from counterfoil.core.note import parse_note
from counterfoil.core.quorum import Witness
from counterfoil.errors import FormatError
from counterfoil.ledger.httpwitness import lines_that_hold
from counterfoil.ledger.localwitness import read_reply
from counterfoil.ledger.swap import Offer, format_offer, parse_offer
from counterfoil.ledger.web import Peer
from counterfoil.ledger.witness import Witness as Deciding
from fuzz import seeds
from fuzz.file_targets import NoSync, folder
from fuzz.seeds import LOG, NOW, OUTSIDE, QUANTUM
from fuzz.targets import Target, text_of

STATUSES = (200, 409, 422, 500, 403)
TLS = ssl.create_default_context()  # the system's certificates are many: they are read once


@cache
def deciding() -> Deciding:
    """A witness that knows the log."""
    place = folder() / "witness"
    place.mkdir()
    witness = Deciding(place, OUTSIDE, QUANTUM, clock=lambda: NOW, disk=NoSync())
    witness.know(LOG.key)
    return witness


def take_add_checkpoint(data: bytes) -> None:
    """What it remembers is forgotten, so that each case stands alone."""
    for kept in (folder() / "witness").glob("*.checkpoint") if deciding() else ():
        kept.unlink()
    _check_answer(*deciding().add_checkpoint(data))


def take_sign_subtree(data: bytes) -> None:
    _check_answer(*deciding().sign_subtree(data))


def _check_answer(status: int, body: bytes) -> None:
    assert status in {200, 400, 403, 404, 409, 422}
    assert body.endswith(b"\n")
    body.decode()
    if status == 200:
        assert len(parse_note(b"-\n\n" + body).signatures) in {1, 2}
    else:
        raise FormatError(f"refused with {status}")


def take_reply(data: bytes) -> None:
    """The first byte says the status; what is no cosignature is told by an error of its own."""
    lines = read_reply(STATUSES[data[0] % len(STATUSES)] if data else 200, data[1:])
    text = parse_note(seeds.checkpoint(seeds.SIZE)).text
    if not lines_that_hold(text, lines, (OUTSIDE.key, QUANTUM.key)):
        raise FormatError("nobody we know")


def offer() -> bytes:
    """An offer of a log and a witness with two keys."""
    witness = Witness(
        "auditor.example/w", OUTSIDE.key, "Auditor", None, "https://w.example", QUANTUM.key
    )
    return format_offer(Offer(LOG.key, witness), (LOG, OUTSIDE, QUANTUM))


def take_offer(data: bytes) -> None:
    parse_offer(data)


class _Socket:
    """The end of a connection from which everything has come already."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def makefile(self, *_: object) -> io.BytesIO:
        """Read what came."""
        return self._data

    def recv_into(self, buffer: memoryview) -> int:
        """Read what came."""
        return self._data.readinto(buffer)

    def settimeout(self, _: float) -> None:
        """Wait for nothing."""

    def sendall(self, _: object) -> None:
        """Send nowhere."""

    def shutdown(self, _: int) -> None:
        """End nothing."""

    def close(self) -> None:
        """Close nothing."""


class _Scripted(Peer):
    """A server whose answer is known beforehand."""

    answer = b""

    def _connection(self, within: float) -> http.client.HTTPConnection:
        made = http.client.HTTPConnection("w.example", 80, timeout=within)
        made.sock = _Socket(self.answer)
        return made


def take_web(data: bytes) -> None:
    peer = _Scripted("http://w.example/prefix", keep=False)
    peer.answer = data
    answer = peer.request("POST", "/add-checkpoint", b"body", doing="a test", max_bytes=4096)
    assert len(answer.body) <= 4096
    answer.headers.get("content-type", "").partition(";")


def take_url(data: bytes) -> None:
    Peer(text_of(data), tls=TLS)


TARGETS = (
    Target(
        "witness",
        take_add_checkpoint,
        lambda: seeds.witness_requests()[:1],
        more=lambda: seeds.witness_requests()[1:],
    ),
    Target("witness-subtree", take_sign_subtree, seeds.subtree_requests),
    Target(
        "witness-reply", take_reply, lambda: seeds.replies()[:1], more=lambda: seeds.replies()[1:]
    ),
    Target("offer", take_offer, lambda: [offer()], "json", covers=(parse_offer,)),
    Target(
        "web",
        take_web,
        lambda: (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n11\n",
            (
                b"HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"3\r\n11\n\r\n0\r\nA: b\r\n\r\n"
            ),
            b"HTTP/1.0 200 OK\r\n\r\nbody",
        ),
    ),
    Target("url", take_url, lambda: (b"https://w.example:443/a?b", b"http://[::1]:8080/")),
)
