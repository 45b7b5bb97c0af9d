"""A time-stamping authority for tests: real certificates and real CMS tokens, over HTTP.

Its clock, its certificates and what it puts into a token are the test's to choose, which no
program that makes honest tokens offers. That ours are such as others make is tested against
`openssl ts`.
"""

from __future__ import annotations

import datetime as dt
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY_S = 86_400
SHA256 = "2.16.840.1.101.3.4.2.1"
POLICY = "1.3.6.1.4.1.99999.1"


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + body


def integer(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    out = bytearray()
    for number in (first * 40 + second, *rest):
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.append(0x80 | number & 0x7F)
        out += bytes(reversed(septets))
    return der(0x06, bytes(out))


def parts_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The values inside a constructed one, one level down."""
    while data:
        size, start = data[1], 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(data[2:start])
        yield data[0], data[start : start + size]
        data = data[start + size :]


def read_request(data: bytes) -> tuple[bytes, bytes, int]:
    """Imprint as DER, the digest in it, and the nonce, of a TimeStampReq."""
    ((_, body),) = parts_of(data)
    values = list(parts_of(body))
    imprint = next(value for tag, value in values if tag == 0x30)
    nonces = [value for tag, value in values if tag == 0x02][1:]
    digest = list(parts_of(imprint))[1][1]
    return der(0x30, imprint), digest, int.from_bytes(nonces[0]) if nonces else 0


def subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC)


@dataclass
class Authority:
    """One authority; what a test changes, changes the next token."""

    name: str = "Test TSA"
    starts: float = field(default_factory=lambda: time.time() - 30 * DAY_S)
    ends: float = field(default_factory=lambda: time.time() + 365 * DAY_S)
    clock: Callable[[], float] = time.time
    usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.TIME_STAMPING,)
    is_critical: bool = True
    imprint: Callable[[bytes], bytes] = lambda imprint: imprint
    nonce: Callable[[int], int] = lambda nonce: nonce
    answer: Callable[[bytes], bytes] = lambda response: response
    policy: str = POLICY
    status: int = 0
    accuracy_s: int = 0
    asked: int = 0

    def __post_init__(self) -> None:
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._certificate(
            f"{self.name} root", self.root_key, None, time.time() + 3650 * DAY_S
        )
        self.renew()

    def renew(self, ends: float | None = None) -> None:
        """Take a new certificate, under the same root."""
        self.ends = self.ends if ends is None else ends
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._certificate(self.name, self.key, self.root, self.ends)

    @property
    def pem(self) -> str:
        return self.root.public_bytes(Encoding.PEM).decode()

    def stamp(self, request: bytes) -> bytes:
        """Answer a TimeStampReq with a TimeStampResp."""
        self.asked += 1
        if self.status not in {0, 1}:
            return der(0x30, der(0x30, integer(self.status)))
        imprint, _, nonce = read_request(request)
        made = moment(self.clock()).strftime("%Y%m%d%H%M%SZ").encode()
        info = der(
            0x30,
            integer(1),
            oid(self.policy),
            self.imprint(imprint),
            integer(x509.random_serial_number()),
            der(0x18, made),
            *([der(0x30, integer(self.accuracy_s))] if self.accuracy_s else []),
            integer(self.nonce(nonce)),
        )
        return self.answer(der(0x30, der(0x30, integer(self.status)), self._sign(info)))

    def _sign(self, info: bytes) -> bytes:
        sha256 = der(0x30, oid(SHA256))
        content = "1.2.840.113549.1.9.16.1.4"
        certificate = self.certificate.public_bytes(Encoding.DER)
        attributes = sorted(
            der(0x30, oid(kind), der(0x31, value))
            for kind, value in (
                ("1.2.840.113549.1.9.3", oid(content)),
                ("1.2.840.113549.1.9.4", der(0x04, _digest(info))),
                (
                    "1.2.840.113549.1.9.16.2.47",
                    der(0x30, der(0x30, der(0x30, der(0x04, _digest(certificate))))),
                ),
            )
        )
        signature = self.key.sign(der(0x31, *attributes), ec.ECDSA(hashes.SHA256()))
        signer = der(
            0x30,
            integer(1),
            der(
                0x30,
                self.certificate.issuer.public_bytes(),
                integer(self.certificate.serial_number),
            ),
            sha256,
            der(0xA0, *attributes),
            der(0x30, oid("1.2.840.10045.4.3.2")),
            der(0x04, signature),
        )
        signed = der(
            0x30,
            integer(3),
            der(0x31, sha256),
            der(0x30, oid(content), der(0xA0, der(0x04, info))),
            der(0xA0, certificate),
            der(0x31, signer),
        )
        return der(0x30, oid("1.2.840.113549.1.7.2"), der(0xA0, signed))

    def _certificate(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Certificate | None,
        ends: float,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject(name))
            .issuer_name(issuer.subject if issuer else subject(name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(moment(self.starts - DAY_S))
            .not_valid_after(moment(ends))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), True)
        )
        if issuer is not None and self.usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.usages), self.is_critical)
        return builder.sign(self.root_key, hashes.SHA256())


def _digest(data: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize()


@contextmanager
def serve(authority: Authority) -> Iterator[str]:
    """Answer requests over HTTP; gives the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Type"] != "application/timestamp-query":
                self.send_error(415)
                return
            answer = authority.stamp(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/tsa"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
