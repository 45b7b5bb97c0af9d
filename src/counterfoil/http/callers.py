"""Who calls, and what they may: by a signature on the request, or by coming through mTLS.

A signature says which principal calls (RFC 9421). The server's TLS may also ask every caller for a
certificate; which one it was, this program is not told, so that guards the door and says no name.
What somebody may have the ledger say is another question, and is answered by the trust policy for
each envelope.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.types import Scope

from counterfoil import ledger as ledgers
from counterfoil.errors import CounterfoilError, SignatureError, UnavailableError
from counterfoil.http.limits import Rates
from counterfoil.http.problems import Problem, busy
from counterfoil.http.settings import Settings, is_loopback

FALSE_RATE = 5.0
"""Requests in a second, from one address, whose signature may be looked at although it is false."""

FALSE_BURST = 50.0
"""The same, at once."""

_IPV6_PREFIX = 64  # of which one customer of a provider has at least one
_LOG = logging.getLogger("counterfoil.http")
_ACCEPT_SIGNATURE = (
    f'{ledgers.TAG}=("@method" "@authority" "@path" "@query" "content-digest")'
    f';created;keyid;alg="ed25519";nonce;tag="{ledgers.TAG}"'
)


@dataclass(frozen=True, slots=True)
class Who:
    """Who sent a request.

    Args:
        name: By which its requests are counted: a key's label, or an address.
        principal: Whose key it is; empty where the request is not signed.
        signed: The signature, for the body is still to be held against it.
        is_known: Whether it has signed, or come through mTLS.
        is_local: Whether it comes from this machine, and through no proxy.
    """

    name: str
    principal: str = ""
    signed: ledgers.SignedRequest | None = None
    is_known: bool = False
    is_local: bool = False


class Callers:
    """Tells who calls, by the trust policy as it was last looked at.

    Args:
        settings: Who may come in.
        admission: Has the trust policy.
        size: Gives the log's size.
        clock: POSIX time in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        admission: ledgers.Admission,
        size: Callable[[], int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._admission, self._size = settings, admission, size
        self._checker = ledgers.RequestChecker(settings.authorities, clock=clock)
        self._false = Rates(FALSE_RATE, FALSE_BURST)
        self._scheme = "https" if settings.is_https else "http"
        self.known: Mapping[str, ledgers.Caller] = {}

    def reload(self) -> None:
        """Look at the trust policy again; without a good one, nobody is known."""
        try:
            self.known = ledgers.known_callers(self._admission.policy, self._size())
        except CounterfoilError as error:
            if self.known:
                _LOG.warning("nobody may call any more: %s", error)
            self.known = {}

    def identify(self, scope: Scope) -> Who:
        """Tell who sent a request.

        Raises:
            Problem: 401 if it is signed and the signature does not count; 429 if that happens too
                often.
        """
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        address = self._address(scope, headers)
        is_local = not self._settings.behind_proxy and is_loopback(address)
        name = f"address {_network(address)}"
        if not any(each in {"signature", "signature-input"} for each, _ in headers):
            is_known = self._settings.client_ca is not None
            return Who(name, is_known=is_known, is_local=is_local)
        if wait := self._false.wait(name):
            raise busy(429, "too many false signatures come from there", after_s=wait)
        host = next((value for each, value in headers if each == "host"), "")
        target = scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        url = f"{self._scheme}://{host}{self._settings.prefix}{target}" + f"?{query}" * bool(query)
        try:
            signed = self._checker.open_request(scope["method"], url, headers, self.known)
        except UnavailableError as error:
            raise busy(429, str(error), hint=error.hint) from error
        except SignatureError as error:
            self._false.take(name)
            raise unauthenticated(str(error), error.hint) from error
        caller = signed.caller
        return Who(caller.key.label, caller.principal, signed, is_known=True, is_local=is_local)

    def _address(self, scope: Scope, headers: list[tuple[str, str]]) -> str:
        """Give the address a request comes from; a proxy of ours says it last of all."""
        peer = (scope.get("client") or ("",))[0]
        if self._settings.behind_proxy:
            said = [value for name, value in headers if name == "x-forwarded-for"]
            peer = said[-1].rpartition(",")[2].strip() if said else peer
        try:
            return str(ipaddress.ip_address(peer))
        except ValueError:
            return "0.0.0.0"  # noqa: S104 an address that nobody has


def unauthenticated(detail: str, hint: str) -> Problem:
    """Ask for a signature."""
    headers = {"WWW-Authenticate": "Signature", "Accept-Signature": _ACCEPT_SIGNATURE}
    return Problem(401, detail, kind="SignatureError", hint=hint, headers=headers)


def _network(address: str) -> str:
    """Give what counts as one caller: an address, or the network that one has in IPv6."""
    found = ipaddress.ip_address(address)
    if found.version == 4:
        return address
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False).network_address)
