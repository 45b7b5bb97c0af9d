"""The address of a ledger elsewhere, and the folder of this machine that belongs to it.

`http://` is for this machine alone: what is read is proven either way, but who reads what, and
what is appended, is nobody else's business.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from hashlib import sha256
from pathlib import Path

from counterfoil.errors import FormatError
from counterfoil.ledger.keyfiles import home

_READABLE_CHARACTERS = 40


def is_address(text: str) -> bool:
    """Tell an address from a path and from what other engines open."""
    return text.lower().startswith(("https://", "http://"))


def check_address(url: str) -> str:
    """Give the address of a ledger in its one spelling, without a slash at its end.

    Raises:
        FormatError: it is none, or `http://` to another machine.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
    except ValueError:
        parts, host, port = urllib.parse.urlsplit(""), "", None
    if parts.scheme not in {"https", "http"} or not host or parts.query or parts.fragment:
        raise FormatError(
            "the address of a ledger is https://host/path, and this is not one",
            hint="No query and no fragment; or give the path of a folder.",
        )
    if parts.username is not None or not (url.isascii() and url.isprintable()) or " " in url:
        raise FormatError(
            f"the address of the ledger at {host} has a user, or unusual characters",
            hint="Give host, port and path alone.",
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise FormatError(
            f"{host} is another machine, and http:// is not encrypted",
            hint="Use https://; http:// is for this machine alone.",
        )
    shown = f"[{host}]" if ":" in host else host
    default = {"https": 443, "http": 80}[parts.scheme]
    netloc = shown if port in {None, default} else f"{shown}:{port}"
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}"


def folder_of(url: str) -> Path:
    """Give the folder in which everything about the ledger at an address is kept.

    Args:
        url: As `check_address` gives it.
    """
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", url.partition("://")[2])[:_READABLE_CHARACTERS]
    return home() / "remote" / f"{readable.strip('-.')}-{sha256(url.encode()).hexdigest()[:12]}"


def is_loopback(host: str) -> bool:
    """Tell this machine from others."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
