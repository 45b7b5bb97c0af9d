"""The order of the certificates in an authority's answer.

They are a set, which DER writes sorted. Some authorities send them as they lie in a file instead:
`openssl ts`, and older ones in Java. The library that checks time-stamps reads DER alone. Nobody
signed the order, so it is mended where an answer comes in, and what is kept is DER.

Source:
    RFC 3161, 2.4.2; RFC 5652, 5.1; X.690, 11.6.
"""

from __future__ import annotations

from typing import Annotated

from cryptography.hazmat import asn1


@asn1.sequence
class _SignedData:
    version: int
    digest_algorithms: asn1.TLV
    content: asn1.TLV
    certificates: Annotated[list[asn1.TLV] | None, asn1.Implicit(0)]
    revocations: Annotated[list[asn1.TLV] | None, asn1.Implicit(1)]
    signers: asn1.TLV


@asn1.sequence
class _Token:
    kind: asn1.TLV
    content: Annotated[_SignedData, asn1.Explicit(0)]


@asn1.sequence
class _Response:
    status: asn1.TLV
    token: _Token


def sort_certificates(response: bytes) -> bytes:
    """Sort the certificates of a TimeStampResp; what is none is given back as it is.

    Nothing is checked.
    """
    try:
        answer = asn1.decode_der(_Response, response)
    except ValueError:
        return response
    signed = answer.token.content
    if signed.certificates:
        signed.certificates.sort(key=asn1.encode_der)
    return asn1.encode_der(answer)
