"""Time-stamping authorities in a policy: what their root certificates may be."""

from __future__ import annotations

import base64
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from counterfoil.core.authority import Authority
from counterfoil.errors import FormatError

VERSION = bytes.fromhex("a003020102")
KEY_USAGE, BASIC_CONSTRAINTS = bytes.fromhex("0603551d0f"), bytes.fromhex("0603551d13")


@pytest.fixture(scope="module")
def root() -> bytes:
    """A root certificate, DER."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2036, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(*[True] * 7, *[False] * 2), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a")]), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def named(root: bytes) -> Authority:
    body = base64.encodebytes(root).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"
    return Authority("notary", "Notary Ltd", pem)


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        (VERSION, VERSION[:-1] + b"\x0a"),
        (KEY_USAGE, BASIC_CONSTRAINTS),
        (b"\x30\x03\x82\x01a", b"\x30\x03\xa3\x01a"),
    ],
    ids=["of version 11", "an extension twice", "an X.400 address"],
)
def test_a_certificate_that_nobody_makes_is_no_root(root, part, instead):
    """The library has an error of its own kind for each of these."""
    assert named(root).root
    assert root.count(part) == 1
    with pytest.raises(FormatError, match="no root certificates that can be read"):
        named(root.replace(part, instead))
