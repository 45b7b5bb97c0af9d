"""Servers: what this machine shows to others over HTTP. Needs the extra `server`.

run       a server process, and how it ends      settings   what one is told when it starts
app       a ledger: all routes together          witness    a witness for other logs
tiles     the log as a site (tlog-tiles)         intake     entries taken in, many at a time
entries   `POST /entries`                        search     receipts, and statements
callers   who calls, and what they may           limits     how often, how much, how long
health    whether it lives, and whether it works metrics    what happened, for Prometheus
problems  errors, as RFC 9457 has them           logs       one JSON object a line
sending   answers, bounded in time               openapi    the description of all that
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.lazy import offer

if TYPE_CHECKING:
    from counterfoil.http.run import serve_ledger as serve_ledger
    from counterfoil.http.run import serve_witness as serve_witness
    from counterfoil.http.settings import Settings as Settings
    from counterfoil.http.settings import make_settings as make_settings

_HOMES = {
    "Settings": ".settings",
    "make_settings": ".settings",
    "serve_ledger": ".run",
    "serve_witness": ".run",
}

__all__ = [*_HOMES]  # noqa: PLE0604 every key is a string

if not TYPE_CHECKING:
    __getattr__, __dir__ = offer(__name__, _HOMES, extra="server")
