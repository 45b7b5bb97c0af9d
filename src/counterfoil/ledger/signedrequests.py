"""Who calls over HTTP: requests signed with a principal's key, as RFC 9421 says.

    Content-Digest: sha-256=:<base64>:
    Signature-Input: counterfoil=("@method" "@authority" "@path" "@query" "content-digest");
        created=1798761600;keyid="risk-a+1a2b3c4d";alg="ed25519";nonce="…";tag="counterfoil"
    Signature: counterfoil=:<base64>:

Signed are the method, where the request goes, and the digest of its body. A signature counts for
two minutes, once, and at the server that it names: what a server hears cannot be said again to it,
nor by it to another. The scheme is not signed, as a proxy that ends TLS changes it.

What a principal signs here begins with `"@method": `, and so is no envelope, note or ticket.

Sources:
    RFC 9421, HTTP Message Signatures; RFC 9530, Digest Fields.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from counterfoil.core.keys import Algorithm, Signer, VerifierKey
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.text import format_base64url, shown
from counterfoil.errors import FormatError, SignatureError, UnavailableError

SIGNED_WITHIN_S = 120
"""How long ago a request may have been signed."""

SIGNED_AHEAD_S = 30
"""How far ahead of the server's clock the caller's may be."""

MAX_NONCES = 1 << 18
"""Requests of one key that are remembered against replay: 1,700 a second, while they count."""

MAX_SIGNATURE_CHARACTERS = 4096
"""Longest fields Signature-Input and Signature, each with all lines of its name."""

TAG = "counterfoil"
"""The signature that is meant, where others, of a proxy, stand beside it."""

_COMPONENTS = ("@method", "@authority", "@path", "@query")
_DIGEST = "content-digest"
_NONCE_BYTES = 16
_NONCE_CHARACTERS = range(16, 129)
_MAX_REASON_CHARACTERS = 200  # of what the library says

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a request.

    Args:
        principal: By the name that the trust policy has.
        key: One of its Ed25519 keys.
    """

    principal: str
    key: VerifierKey


def sign_request(
    signer: Signer,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float | None = None,
    random: Callable[[int], bytes] = os.urandom,
) -> dict[str, str]:
    """Sign a request; give all headers to send with it.

    Args:
        signer: Has an Ed25519 key of a principal that the server's trust policy names.
        method: Upper case.
        url: In full, as it will be asked for: scheme, host, path and query, encoded.
        headers: What else is sent. They are not signed.
        body: What is sent, after any encoding.
        now: POSIX time; None for that of this machine.
        random: Gives that many random bytes.

    Raises:
        FormatError: the key is of another kind, or the request cannot be signed.
        UnavailableError: the library is missing.
    """
    library = _library()
    label = signer.key.label
    if signer.key.algorithm is not Algorithm.ED25519 or not label.isascii():
        raise FormatError(
            f"requests cannot be signed with the key {label}",
            hint="It takes an Ed25519 key with a name in ASCII.",
        )
    sent = dict(headers)
    message = _Message(method, url, sent)
    components = (*_COMPONENTS, _DIGEST) if body or method not in {"GET", "HEAD"} else _COMPONENTS
    signing = library.HTTPMessageSigner(signature_algorithm=library.algorithms.ED25519)
    try:
        prepared = signing.prepare(
            message,
            key_id=label,
            created=datetime.fromtimestamp(int(time.time() if now is None else now), UTC),
            nonce=format_base64url(random(_NONCE_BYTES)),
            label=TAG,
            tag=TAG,
            covered_component_ids=components,
            body=body if _DIGEST in components else None,
        )
        signing.apply(message, prepared, signer.sign(prepared.signature_base))
    except library.HTTPMessageSignaturesException as error:
        raise FormatError(
            f"this request to {shown(url)} cannot be signed: {error}",
            hint="The method is upper case, and the address is encoded, http://… or https://….",
        ) from error
    return sent


def known_callers(policy: TrustPolicy, size: int) -> dict[str, Caller]:
    """Give who may call a server of the log by a policy: its principals, by their keys' labels.

    Args:
        policy: The adopted one.
        size: Of the log; a key that was compromised from there or before is left out.
    """
    return {
        key.label: Caller(principal.name, key)
        for principal in policy.principals
        for key in principal.keys
        if key.algorithm is Algorithm.ED25519
        and not any(
            one.key == key.label and one.from_index <= size for one in principal.compromised
        )
    }


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request whose signature holds.

    Args:
        caller: Who signed it.
        digests: The components about its body that were signed.
    """

    caller: Caller
    digests: Mapping[str, str]

    def check_body(self, body: bytes) -> None:
        """Check that the body is the one whose digest was signed.

        Raises:
            SignatureError: it is not, or there is one and no digest was signed.
        """
        library = _library()
        try:
            is_covered = library.ContentDigest.verify_components(self.digests, body)
        except library.HTTPMessageSignaturesException as error:
            raise _refused("the body is not the one that was signed") from error
        if body and not is_covered:
            raise _refused("the digest of its body is not signed")


class RequestChecker:
    """Tells who signed a request, once. May be used by several threads.

    Args:
        authorities: What callers may call this server: host, and port unless it is the scheme's.
        clock: POSIX time in seconds.
    """

    def __init__(
        self, authorities: Iterable[str], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._authorities = frozenset(one.lower() for one in authorities)
        self._clock = clock
        self._memory: dict[str, _Nonces] = {}
        self._lock = threading.Lock()

    def open_request(
        self, method: str, url: str, headers: Headers, callers: Mapping[str, Caller]
    ) -> SignedRequest:
        """Check the signature of a request, by its head alone; the body comes after.

        Args:
            method: As it was sent.
            url: In full, its host as it was sent.
            headers: All lines, by name.
            callers: Who may call, by the label of the key.

        Raises:
            SignatureError: it is not signed, not by one of these, for another server, too long
                ago, or was here before.
            UnavailableError: this key has signed more than can be remembered; soon it can again.
        """
        library = _library()
        lines = list(headers)
        for name in ("signature-input", "signature"):
            length = sum(len(value) for each, value in lines if each.lower() == name)
            if length > MAX_SIGNATURE_CHARACTERS:
                raise _refused(f"its field {name} has more than {MAX_SIGNATURE_CHARACTERS} bytes")
        verifying = _verifier()(
            signature_algorithm=library.algorithms.ED25519, key_resolver=_Keys(callers)
        )
        try:
            found = verifying.verify(
                _Message(method, url, _Lines(lines)),
                max_age=None,
                expect_tag=TAG,
            )
        except library.HTTPMessageSignaturesException as error:
            raise _refused(str(error) or "the signature is false") from error
        if len(found) != 1:
            raise _refused(f"{len(found)} signatures have the tag {TAG}")
        (one,) = found
        # Serialized, a component with a parameter is another one.
        if lacking := [name for name in _COMPONENTS if f'"{name}"' not in one.covered_components]:
            raise _refused(f"{', '.join(lacking)} is not signed")
        caller = callers[str(one.parameters["keyid"])]
        authority = one.covered_components['"@authority"']
        if authority not in self._authorities:
            raise _refused(f"it is signed for {shown(authority)}, which is not this server")
        self._remember(caller, one.parameters)
        digests = {
            name: value
            for name, value in one.covered_components.items()
            if name.startswith(f'"{_DIGEST}"')
        }
        return SignedRequest(caller, digests)

    def _remember(self, caller: Caller, parameters: Mapping[str, int | str]) -> None:
        """Refuse what is not fresh, and see to it that nothing is fresh twice."""
        now = self._clock()
        created, nonce = parameters.get("created"), parameters.get("nonce")
        expires = parameters.get("expires", now)
        if not isinstance(created, int) or not isinstance(nonce, str):
            raise _refused("it says no time and no nonce")
        if len(nonce) not in _NONCE_CHARACTERS:
            raise _refused(
                f"its nonce has not {_NONCE_CHARACTERS[0]} to {_NONCE_CHARACTERS[-1]} characters"
            )
        if not now - SIGNED_WITHIN_S <= created <= now + SIGNED_AHEAD_S or int(expires) < int(now):
            raise _refused(
                f"it is {now - created:.0f} s old by this server's clock, and counts for "
                f"{SIGNED_WITHIN_S} s",
            )
        with self._lock:
            memory = self._memory.setdefault(caller.key.label, _Nonces())
            memory.add(nonce, now)


@dataclass(slots=True)
class _Nonces:
    """What one key has signed lately, in a dozen sets of which the oldest is dropped whole."""

    seen: deque[tuple[float, set[bytes]]] = field(default_factory=deque)

    def add(self, nonce: str, now: float) -> None:
        while self.seen and self.seen[0][0] < now:
            self.seen.popleft()
        digest = sha256(nonce.encode()).digest()[:_NONCE_BYTES]
        if any(digest in nonces for _, nonces in self.seen):
            raise _refused("it was here before")
        if sum(len(nonces) for _, nonces in self.seen) >= MAX_NONCES:
            raise UnavailableError(
                f"this key has signed {MAX_NONCES} requests in {SIGNED_WITHIN_S} s",
                hint="Try again in a moment, and sign fewer requests with more entries each.",
            )
        # Signed ahead of our clock, it counts for that much longer. What arrives in the first
        # tenth of the time that a set is kept beyond that shares it.
        kept = SIGNED_WITHIN_S + SIGNED_AHEAD_S
        if not self.seen or now + kept > self.seen[-1][0]:
            self.seen.append((now + kept * 1.1, set()))
        self.seen[-1][1].add(digest)


@dataclass(slots=True)
class _Message:
    """A request as the library reads one."""

    method: str
    url: str
    headers: Any


class _Lines:
    """Field lines as they came, several of a name included."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        self._lines = lines

    def items(self) -> list[tuple[str, str]]:
        return self._lines


class _Keys:
    """Finds a caller's key for the library."""

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        self._callers = callers

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        if key_id not in self._callers:
            raise SignatureError(f"no principal of the trust policy has the key {shown(key_id)}")
        return Ed25519PublicKey.from_public_bytes(self._callers[key_id].key.public)


@cache
def _verifier() -> Any:
    """Make the library's verifier; how old a request may be is judged here, by a given clock."""
    library = _library()

    class Verifier(library.HTTPMessageVerifier):  # type: ignore[misc,name-defined]
        def validate_created_and_expires(self, *given: object, **more: object) -> None:
            del self, given, more

    return Verifier


def _library() -> Any:
    try:
        import http_message_signatures  # noqa: PLC0415 an extra
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"the Python library {error.name} is needed here and is not installed",
            hint="pip install 'counterfoil[client]'",
        ) from error
    return http_message_signatures


def _refused(reason: str) -> SignatureError:
    return SignatureError(
        f"the request's signature does not count: {reason[:_MAX_REASON_CHARACTERS]}",
        hint="Sign each request anew with a principal's key, as docs/reference/http.md says.",
    )
