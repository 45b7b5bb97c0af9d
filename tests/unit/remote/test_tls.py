"""Over TLS a ledger elsewhere is read as well, from whom the system's authorities vouch for."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import counterfoil
from counterfoil.errors import UnavailableError

pytestmark = pytest.mark.usefixtures("reader")


@pytest.fixture
def certificate(tmp_path):
    """A certificate for localhost that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def secure(site, certificate, serve_site):
    """The same site over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return serve_site(site.folder, context)


def test_certificates_are_checked(local, policy, secure, certificate, monkeypatch):
    """Who cannot show a certificate that counts is asked nothing; who can is read as ever."""
    with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        counterfoil.open(secure.url, trust=policy)
    assert not secure.heard
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with counterfoil.open(secure.url, trust=policy) as remote:
        assert remote.audit() == local.audit()
