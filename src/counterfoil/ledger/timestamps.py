"""Time-stamps of RFC 3161: asked for, and checked against the certificates that a policy pins.

A time-stamp is an authority's signature under a digest and a time. What is stamped here are
checkpoints, as signed notes, cosignatures included; so the root, and all that is under it, existed
by then, and so did the signatures.

What the library does (`rfc3161-client`): the signature, the certificates up to a pinned root as of
the stamp's own time, that the signer's certificate is for time-stamping and for nothing else, the
digest, and the nonce. What is done here besides: bounds, the authority's policy, which digest
algorithms count, how late the time can have been, and until when the certificates are valid.

Not checked: whether a certificate was revoked. Lists of revocations are the authority's to hand
out, at any time later, and no stamp carries them.

Source:
    RFC 3161; RFC 5816.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from counterfoil.errors import (
    CounterfoilError,
    FormatError,
    PolicyError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.web import Peer

if TYPE_CHECKING:
    from counterfoil.core.authority import Authority

MAX_RESPONSE_BYTES = 64 << 10
"""Longest answer of an authority: a dozen certificates."""

MAX_SKEW_S = 300
"""How far an authority's clock and ours may be apart, in seconds."""

MAX_ACCURACY_S = 60
"""How inaccurate an authority may say that its clock is, in seconds; qualified ones promise one."""

STAMPED_WITHIN_S = 20.0
"""Time for an authority to answer, in seconds."""

_DIGESTS = {
    "2.16.840.1.101.3.4.2.1",  # SHA-256
    "2.16.840.1.101.3.4.2.2",  # SHA-384
    "2.16.840.1.101.3.4.2.3",  # SHA-512
}


@dataclass(frozen=True, slots=True)
class Timestamp:
    """What a time-stamp says.

    Args:
        time: By when, Unix seconds; the authority's own inaccuracy is added.
        until: When the first of its certificates ends, Unix seconds. From then on the signature
            alone shows nothing: nobody answers for that key any more.
    """

    time: int
    until: int


def ask_authority(
    authority: Authority, message: bytes, now: float, *, within_s: float = STAMPED_WITHIN_S
) -> tuple[bytes, Timestamp]:
    """Have an authority stamp a message; its answer was checked.

    Args:
        authority: As the policy names it, with an address.
        message: What is stamped; the authority sees its digest alone.
        now: Our clock, Unix seconds: an answer for another time is not taken.
        within_s: Time for the whole answer, in seconds.

    Raises:
        UnavailableError: no answer, not in time, too long, or one that does not hold; or the
            library is not installed.
    """
    rfc3161 = require_library()
    builder = rfc3161.TimestampRequestBuilder().data(message)
    request = builder.hash_algorithm(rfc3161.HashAlgorithm.SHA256).build()
    doing = f"a time-stamp of {authority.name}"
    peer = Peer(
        authority.url,
        what="authority",
        hint="See its `url` in the trust policy; the log goes on without it.",
        within_s=within_s,
        keep=False,
    )
    answer = peer.request(
        "POST",
        "",
        request.as_bytes(),
        {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"},
        doing=doing,
        max_bytes=MAX_RESPONSE_BYTES,
    )
    if answer.status != 200:
        raise peer.unavailable(doing, f"it answers {answer.status}")
    from counterfoil.ledger.stamporder import sort_certificates  # noqa: PLC0415 loads much

    response = sort_certificates(answer.body)
    try:
        stamp = check_timestamp(response, message, authority, nonce=request.nonce)
    except CounterfoilError as error:
        raise peer.unavailable(doing, f"its answer does not hold: {error}") from error
    if not -MAX_SKEW_S <= stamp.time - now <= MAX_SKEW_S + MAX_ACCURACY_S:
        raise peer.unavailable(
            doing, f"its clock and ours are {abs(stamp.time - now):.0f} s apart, or the answer old"
        )
    return response, stamp


def check_timestamp(
    response: bytes, message: bytes, authority: Authority, *, nonce: int | None = None
) -> Timestamp:
    """Check that an authority stamped this message.

    Whether its certificates are still valid now, and its time is not in the future, is for the
    caller: nothing here reads a clock.

    Args:
        response: The TimeStampResp, DER.
        message: What was stamped.
        authority: As the verifier's own policy names it.
        nonce: Of the request, if there was one.

    Raises:
        FormatError: it is no answer of an authority.
        PolicyError: it was made under a policy of the authority that does not count.
        UnavailableError: the library is not installed.
        VerificationError: it does not hold.
    """
    rfc3161 = require_library()
    if len(response) > MAX_RESPONSE_BYTES:
        raise _no_response(f"it has {len(response)} bytes, at most {MAX_RESPONSE_BYTES} are read")
    from cryptography import x509  # noqa: PLC0415 costs more than all else, and most need it never

    roots = x509.load_pem_x509_certificates(authority.root.encode())
    try:
        answer = rfc3161.decode_timestamp_response(response)
        info, signed = answer.tst_info, answer.signed_data
        digests = {one.dotted_string for one in signed.digest_algorithms}
        policy = info.policy.dotted_string
        time = math.ceil(info.gen_time.timestamp()) + _inaccuracy(info.accuracy)
        until = _ends(signed, roots)
    except Exception as error:
        # The library has several kinds of errors for bytes that are none, and none of its own.
        raise _no_response(f"it cannot be read: {error}") from error
    if not digests <= _DIGESTS:
        raise VerificationError(
            f"the time-stamp of {authority.name} rests on a digest that does not count",
            hint="SHA-256, SHA-384 and SHA-512 do.",
        )
    verifier = rfc3161.VerifierBuilder(roots=list(roots), nonce=nonce).build()
    try:
        verifier.verify_message(answer, message)
    except Exception as error:
        raise VerificationError(
            f"the time-stamp of {authority.name} does not hold: {_reason(error)}",
            hint="It is of something else, by somebody else, or was changed; see `root` in the "
            "trust policy.",
        ) from error
    if authority.policies and policy not in authority.policies:
        raise PolicyError(
            f"the time-stamp of {authority.name} was made under its policy {policy}",
            have=policy,
            need=" or ".join(authority.policies),
            hint="See `policies` of the authority in the trust policy.",
        )
    return Timestamp(time, until)


def require_library() -> Any:
    """Give the library, if it is installed.

    Raises:
        UnavailableError: it is not.
    """
    try:
        import rfc3161_client  # noqa: PLC0415 an extra
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"the Python library {error.name} is needed here and is not installed",
            hint="pip install 'counterfoil[timestamps]'",
        ) from error
    return rfc3161_client


def _inaccuracy(accuracy: Any) -> int:
    """How much later than it says the time can have been, in whole seconds."""
    if accuracy is None:
        return 0
    parts = (accuracy.seconds or 0, (accuracy.millis or 0) / 1e3, (accuracy.micros or 0) / 1e6)
    inaccuracy = math.ceil(sum(parts))
    if not 0 <= inaccuracy <= MAX_ACCURACY_S:
        raise ValueError(f"its time is accurate to {inaccuracy} s")
    return inaccuracy


def _ends(signed: Any, roots: Any) -> int:
    """When the first certificate on the way from the signer to a root ends, Unix seconds."""
    from cryptography import x509  # noqa: PLC0415 as above

    (signer,) = signed.signer_infos
    certificates = [x509.load_der_x509_certificate(data) for data in signed.certificates]
    found = [
        one
        for one in certificates
        if one.issuer == signer.issuer and one.serial_number == signer.serial_number
    ]
    way = found[:1]
    known = [*roots, *certificates]
    while way and way[-1] not in roots and len(way) <= len(known):
        way += [one for one in known if _is_issued_by(way[-1], one)][:1] or [way[-1]]
    return min(int(one.not_valid_after_utc.timestamp()) for one in way)


def _is_issued_by(certificate: Any, issuer: Any) -> bool:
    if certificate.issuer != issuer.subject:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 any of several kinds: it is not
        return False
    return True


def _reason(error: Exception) -> str:
    """Give the last words of a message of the library, which are what happened."""
    words = str(error).rpartition('data: "')[2].partition('"')[0]
    return words[:200]


def _no_response(why: str) -> FormatError:
    return FormatError(
        f"this is no answer of a time-stamping authority: {why}",
        hint="A stamp is a TimeStampResp of RFC 3161, DER.",
    )
