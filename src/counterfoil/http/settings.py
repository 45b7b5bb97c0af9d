"""What a server is told when it starts: where it listens, who may come in, and how much.

Closed unless it is opened: without TLS it listens on this machine alone, without `public_read`
nobody reads who has not signed, and nobody ever writes who has not signed or come through mTLS.
"""

from __future__ import annotations

import ipaddress
import signal
import stat
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from counterfoil.errors import FormatError, RefusedError

DEFAULT_LISTEN = "127.0.0.1:8080"
DEFAULT_RATE = 1000
"""Requests of one caller in a second."""

DEFAULT_CONCURRENCY = 128
"""Requests of one caller at the same time."""

ENDING_SIGNAL = signal.SIGUSR1
"""Tells a worker that it will be told to end."""

MAX_NOTICE_S = 600
"""Longest notice that a server gives before it ends."""

MAX_WORKERS = 64
_MAX_RATE = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it; `make_settings` checks that it fits together.

    Args:
        ledger: The ledger's folder or address.
        host: Address to listen at.
        port: Likewise.
        tls_cert: Certificate chain in PEM; None for plain HTTP.
        tls_key: Its key.
        client_ca: Who signs certificates of callers; whoever has none is not even heard.
        authority: What callers call this server: host, and port unless it is the scheme's.
        prefix: What the paths of its address begin with, where a proxy takes that off.
        is_https: Whether callers come by TLS, to us or to a proxy.
        public_read: Whether everybody may read.
        open_metrics: Whether everybody may read the metrics, too.
        behind_proxy: Whether a proxy in front says whose requests it brings.
        read_only: Whether no entries are taken.
        rate: Requests of one caller in a second.
        concurrency: Requests of one caller at the same time.
        workers: Processes.
        notice_s: Seconds between saying that it ends and taking nothing more.
    """

    ledger: str
    host: str
    port: int
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    authority: str = ""
    prefix: str = ""
    is_https: bool = False
    public_read: bool = False
    open_metrics: bool = False
    behind_proxy: bool = False
    read_only: bool = False
    rate: int = DEFAULT_RATE
    concurrency: int = DEFAULT_CONCURRENCY
    workers: int = 1
    notice_s: int = 0

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)

    @property
    def url(self) -> str:
        """The address that callers use."""
        return f"{'https' if self.is_https else 'http'}://{self.authority}{self.prefix}"

    @property
    def authorities(self) -> tuple[str, ...]:
        """What it may be called in a signature; this machine has several names for itself."""
        if not self.is_loopback or self.behind_proxy:
            return (self.authority,)
        names = (self.host if ":" not in self.host else f"[{self.host}]", "localhost")
        return (self.authority, *(f"{name}:{self.port}" for name in names))


def make_settings(
    ledger: str,
    *,
    listen: str = DEFAULT_LISTEN,
    url: str = "",
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    client_ca: Path | None = None,
    public_read: bool = False,
    open_metrics: bool = False,
    behind_proxy: bool = False,
    read_only: bool = False,
    rate: int = DEFAULT_RATE,
    concurrency: int = DEFAULT_CONCURRENCY,
    workers: int = 1,
    notice_s: int = 0,
) -> Settings:
    """Put settings together; refuse those that would be open by mistake.

    Args:
        ledger: The ledger's folder or address.
        listen: `HOST:PORT`.
        url: How callers reach it; by default at `listen`.
        tls_cert: See `Settings`, and so for the others.
        tls_key: Likewise.
        client_ca: Likewise.
        public_read: Likewise.
        open_metrics: Likewise.
        behind_proxy: Likewise.
        read_only: Likewise.
        rate: Likewise.
        concurrency: Likewise.
        workers: Likewise.
        notice_s: Likewise.

    Raises:
        FormatError: an address is none, or settings contradict each other.
        RefusedError: others would reach it without TLS, or others may read the key.
    """
    host, port = parse_listen(listen)
    if (tls_cert is None) != (tls_key is None) or (client_ca and tls_cert is None):
        raise FormatError(
            "TLS takes a certificate and its key",
            hint="Give --tls-cert and --tls-key, and --client-ca with both of them.",
        )
    if tls_key is not None and tls_key.exists() and tls_key.stat().st_mode & stat.S_IRWXO:
        raise RefusedError(
            f"everybody on this machine may use {tls_key}",
            reasons=(),
            hint=f"If nobody has read it, run: chmod o= {tls_key}",
        )
    if not is_loopback(host) and tls_cert is None and not behind_proxy:
        raise RefusedError(
            f"others would reach {host} without TLS",
            reasons=(),
            hint="Give --tls-cert and --tls-key; or --behind-proxy, if only a proxy that has TLS "
            "reaches it.",
        )
    for name, value, least, most in (
        ("--rate", rate, 1, _MAX_RATE),
        ("--concurrency", concurrency, 1, _MAX_RATE),
        ("--workers", workers, 1, MAX_WORKERS),
        ("--notice", notice_s, 0, MAX_NOTICE_S),
    ):
        if not least <= value <= most:
            raise FormatError(f"{name} is {value}", hint=f"Give a number from {least} to {most}.")
    is_https = tls_cert is not None
    if url:
        is_https, authority, prefix = _parse_url(url)
    elif is_loopback(host) and not behind_proxy:
        authority, prefix = f"{f'[{host}]' if ':' in host else host}:{port}", ""
    else:
        raise FormatError(
            "how do callers reach this server?",
            hint="Give --url https://…: requests are signed for it, and count nowhere else.",
        )
    return Settings(
        ledger=ledger,
        host=host,
        port=port,
        tls_cert=tls_cert,
        tls_key=tls_key,
        client_ca=client_ca,
        authority=authority,
        prefix=prefix,
        is_https=is_https,
        public_read=public_read,
        open_metrics=open_metrics,
        behind_proxy=behind_proxy,
        read_only=read_only,
        rate=rate,
        concurrency=concurrency,
        workers=workers,
        notice_s=notice_s,
    )


def parse_listen(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`; the host is an IP address, or `localhost`.

    Raises:
        FormatError: it is not that.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        host = ""
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) < 1 << 16:
        raise FormatError(
            f"{text!r} is nowhere to listen",
            hint="Give an address and a port, like 127.0.0.1:8080, 0.0.0.0:443 or [::1]:8080.",
        )
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    return ipaddress.ip_address(host).is_loopback


def _parse_url(url: str) -> tuple[bool, str, str]:
    """Read the address that callers use: whether it is https, its authority and its path."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urllib.parse.urlsplit(""), None
    is_plain = url.isascii() and url.isprintable() and " " not in url and "%" not in url
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or not is_plain
        or parts.username is not None
        or parts.query
        or parts.fragment
    ):
        raise FormatError(
            f"{url!r} is no address of a server",
            hint="Give scheme, host, port if it is not the usual one, and path if there is one.",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_https = parts.scheme == "https"
    usual = 443 if is_https else 80
    authority = host if port in {None, usual} else f"{host}:{port}"
    return is_https, authority, parts.path.rstrip("/")
