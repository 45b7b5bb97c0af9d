"""Who may come in: signed requests, mTLS, and what one caller can take up."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import ipaddress
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from counterfoil.errors import FormatError, UnavailableError
from counterfoil.ledger import sign_request
from counterfoil.remote.client import Client

from .conftest import SOON_S

READING = ["/checkpoint", "/tile/0/000.p/1", "/find", "/receipts/0", f"/blobs/{'0' * 64}"]


@pytest.mark.parametrize("path", READING)
def test_nobody_reads_without_a_signature_unless_reading_is_public(shared, path):
    """Closed by default: 401, and what signature would be accepted."""
    reply = shared.ask("GET", path)
    assert reply.status == 401
    assert '"@method" "@authority" "@path" "@query"' in reply.headers["accept-signature"]
    assert reply.headers["www-authenticate"]
    assert shared.ask("GET", path, by="auditor").status in {200, 404}
    assert shared.ask("GET", path, by="stranger").status == 401


def test_nobody_writes_without_a_signature(shared):
    """An envelope that anybody signed is not a request by them."""
    assert shared.post(shared.envelope("unsigned"), by=None).status == 401
    assert shared.post(shared.envelope("unsigned"), by="stranger").status == 401


def test_a_request_is_heard_once(shared):
    """Sent again, byte by byte the same, it is refused; one signed anew is not."""
    envelope = shared.envelope("replayed")
    kind = {"Content-Type": "application/json"}
    headers = shared.signed("POST", "/entries", envelope, headers=kind)
    assert shared.ask("POST", "/entries", envelope, headers=headers).status == 200
    reply = shared.ask("POST", "/entries", envelope, headers=headers)
    assert reply.status == 401
    assert "was here before" in reply.json["detail"]
    assert shared.post(envelope).status == 200


def test_of_a_herd_of_replays_one_is_heard(shared):
    """However many arrive at the same moment."""
    headers = shared.signed("GET", "/checkpoint")
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(shared.ask, "GET", "/checkpoint", headers=headers) for _ in range(16)]
    assert sorted(one.result().status for one in asked) == [200] + [401] * 15


@pytest.mark.parametrize(
    "change",
    [
        lambda headers, _: headers,
        lambda headers, _: headers | {"Content-Digest": "sha-256=:AAAA:"},
        lambda headers, _: headers | {"Signature": headers["Signature"].swapcase()},
    ],
)
def test_a_request_that_was_changed_on_its_way_is_refused(shared, change):
    """Another body, another digest, another signature."""
    envelope, other = shared.envelope("sent"), shared.envelope("put in its place")
    kind = {"Content-Type": "application/json"}
    headers = change(shared.signed("POST", "/entries", envelope, headers=kind), other)
    assert shared.ask("POST", "/entries", other, headers=headers).status == 401
    assert not any(
        other.decode() == one["entry"]
        for one in shared.ask("GET", "/find?last=100", by="auditor").json["found"]
    )


def test_a_signature_does_not_go_with_another_path_or_server(shared):
    """What was signed for one address counts at no other."""
    headers = shared.signed("GET", "/checkpoint")
    assert shared.ask("GET", "/find", headers=headers).status == 401
    headers = shared.signed("GET", "/checkpoint") | {"Host": "elsewhere.example"}
    assert shared.ask("GET", "/checkpoint", headers=headers).status == 401


@pytest.mark.parametrize("age", [3600, -3600])
def test_a_request_is_not_kept_for_later(shared, age):
    """Signed too long ago, or for a time to come."""
    headers = shared.signed("GET", "/checkpoint", now=time.time() - age)
    reply = shared.ask("GET", "/checkpoint", headers=headers)
    assert reply.status == 401
    assert "by this server's clock" in reply.json["detail"]


def test_requests_count_in_whatever_order_they_arrive(shared):
    """A slow one that was signed first is as good as the quick one that overtook it."""
    headers = [shared.signed("GET", "/checkpoint", now=time.time() - age) for age in (30, 10, 20)]
    for one in headers:
        assert shared.ask("GET", "/checkpoint", headers=one).status == 200


def test_who_is_new_in_the_policy_may_come_in_soon_and_who_is_gone_may_not(place, serve):
    """The adopted policy decides, without a restart."""
    served = serve()
    assert served.ask("GET", "/checkpoint", by="auditor").status == 200
    policy_file = next((place.home / "trust").glob("*.toml"))
    kept = policy_file.rename(policy_file.with_suffix(".kept"))

    def until(status):
        limit = time.monotonic() + SOON_S
        while served.ask("GET", "/checkpoint", by="auditor").status != status:
            assert time.monotonic() < limit
            time.sleep(0.2)

    until(401)
    envelope = served.envelope("without a policy")
    assert served.post(envelope).status == 401
    kept.rename(policy_file)
    until(200)
    assert served.post(envelope).status == 200


def test_callers_are_held_to_their_rate_each_for_itself(serve):
    """Whoever asks too often is told when to come back; others are not in its way."""
    served = serve("--public-read", "--rate", "5")
    replies = [served.ask("GET", "/checkpoint", by="risk") for _ in range(30)]
    late = [reply for reply in replies if reply.status == 429]
    assert late
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in late)
    assert served.ask("GET", "/checkpoint", by="auditor").status == 200
    time.sleep(int(late[-1].headers["retry-after"]))
    assert served.ask("GET", "/checkpoint", by="risk").status == 200


def test_false_signatures_are_not_looked_at_without_end(serve):
    """An address that sends many is told to wait, and its unsigned requests go on."""
    served = serve("--public-read")
    headers = served.signed("GET", "/checkpoint", by="stranger")
    replies = [served.ask("GET", "/checkpoint", headers=headers) for _ in range(80)]
    assert {reply.status for reply in replies} == {401, 429}
    assert replies[-1].headers["retry-after"]
    assert served.ask("GET", "/checkpoint").status == 200


def test_callers_have_so_many_requests_at_once(serve):
    """Slow bodies of one caller fill its own share, and nobody else's."""
    served = serve("--concurrency", "2")
    open_ones = []
    for number in range(2):
        connection = socket.create_connection(("127.0.0.1", served.port), timeout=SOON_S)
        body = served.envelope(number)
        kind = {"Content-Type": "application/json", "Host": f"127.0.0.1:{served.port}"}
        headers = served.signed("POST", "/entries", body, headers=kind)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST /entries HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:-1])
        open_ones.append((connection, body))
    until = time.monotonic() + SOON_S
    while b"requests_running 3.0" not in served.ask("GET", "/metrics").body:
        assert time.monotonic() < until
    assert served.post(served.envelope("third")).status == 429
    assert served.post(served.envelope("by another"), by="operator").status == 200
    for connection, body in open_ones:
        connection.sendall(body[-1:])
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        connection.close()
    assert served.post(served.envelope("third")).status == 200


def test_figures_are_for_this_machine_and_for_those_who_are_known(serve):
    """Behind a proxy nobody is this machine; whoever signs still sees them."""
    served = serve(
        "--behind-proxy", "--url", "https://ledger.example/log", authority="ledger.example"
    )

    def ask(**options):
        with contextlib.closing(served.connection()) as connection:
            connection.request("GET", "/metrics", headers=options.get("headers", {}))
            return connection.getresponse().status

    assert ask() == 403
    headers = {"Host": "ledger.example"}
    key = served.keys["auditor"]
    signed = sign_request(key, "GET", "https://ledger.example/log/metrics", headers, b"")
    assert ask(headers=signed) == 200
    assert served.ask("GET", "/healthz").status == 200


def test_a_proxy_says_whose_requests_it_brings(serve):
    """Each address behind it has a rate of its own, the last one it names."""
    options = ("--behind-proxy", "--url", "https://ledger.example", "--public-read", "--rate", "3")
    served = serve(*options)

    def ask(address):
        return served.ask("GET", "/checkpoint", headers={"X-Forwarded-For": address}).status

    statuses = [ask(f"10.0.0.{number}, 203.0.113.7") for number in range(30)]
    assert 429 in statuses
    assert ask("203.0.113.7, 203.0.113.8") == 200
    assert 429 in [ask(f"2001:db8::{number:x}") for number in range(1, 30)]
    assert ask("2001:db8:0:1::1") == 200


def certificate(name, issuer=None, *, authority=False):
    """A key and a certificate by `issuer`, or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by, by_key = (issuer[0].subject, issuer[1]) if issuer else (subject, key)
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(by_key, hashes.SHA256())
    )
    return made, key


def save(folder, name, pair):
    made, key = pair
    cert, key_file = folder / f"{name}.crt", folder / f"{name}.key"
    cert.write_bytes(made.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key_file.touch(mode=0o600)
    key_file.write_bytes(pem)
    return cert, key_file


@pytest.fixture
def certificates(tmp_path):
    authority = certificate("authority", authority=True)
    ca, _ = save(tmp_path, "ca", authority)
    return {
        "ca": ca,
        "server": save(tmp_path, "server", certificate("localhost", authority)),
        "client": save(tmp_path, "client", certificate("a client", authority)),
        "other": save(tmp_path, "other", certificate("somebody else")),
    }


def test_who_comes_through_mtls_is_known(serve, certificates):
    """A certificate by the authority opens the door, to read and to write; no other does."""
    cert, key = certificates["server"]
    client = ssl.create_default_context(cafile=str(certificates["ca"]))
    client.load_cert_chain(*certificates["client"])
    served = serve(
        "--tls-cert",
        cert,
        "--tls-key",
        key,
        "--client-ca",
        certificates["ca"],
        "--url",
        "https://localhost",
        tls=client,
    )
    assert served.ask("GET", "/checkpoint").status == 200
    assert served.post(served.envelope("by mtls"), by=None).status == 200
    assert served.post(served.envelope("refused", by="stranger"), by=None).status == 403
    for chain in (None, certificates["other"]):
        served.tls = ssl.create_default_context(cafile=str(certificates["ca"]))
        if chain:
            served.tls.load_cert_chain(*chain)
        with pytest.raises(OSError, match=r"(?i)alert|reset|closed|broken|EOF"):
            served.ask("GET", "/healthz")


def test_tls_without_clients_certificates_takes_signatures(serve, certificates):
    """A server with a certificate of its own; requests are signed for the name it has there."""
    cert, key = certificates["server"]
    client = ssl.create_default_context(cafile=str(certificates["ca"]))
    served = serve(
        "--tls-cert",
        cert,
        "--tls-key",
        key,
        "--url",
        "https://localhost:1",
        tls=client,
        authority="localhost:1",
    )
    assert served.ask("GET", "/checkpoint").status == 401
    assert served.ask("GET", "/checkpoint", by="auditor").status == 200
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(certificates["ca"])
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    served.tls = old
    with pytest.raises(OSError):  # noqa: PT011 whatever the library calls it
        served.ask("GET", "/healthz")


def test_bodies_that_drip_are_given_up(shared):
    """One deadline for all of a body; others are answered meanwhile."""
    body = shared.envelope("dripping")
    kind = {"Content-Type": "application/json", "Host": f"127.0.0.1:{shared.port}"}
    headers = shared.signed("POST", "/entries", body, headers=kind)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", shared.port), timeout=SOON_S) as drip:
        head = f"POST /entries HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n"
        drip.sendall(head.encode())
        stop = threading.Event()

        def send():
            with contextlib.suppress(OSError):
                for byte in body:
                    drip.sendall(bytes([byte]))
                    if stop.wait(0.2):
                        return

        thread = threading.Thread(target=send)
        thread.start()
        assert shared.ask("GET", "/checkpoint", by="auditor").status == 200
        answer = drip.recv(100)
        stop.set()
        thread.join()
    assert answer.startswith(b"HTTP/1.1 408")


def test_our_client_comes_through_mtls(serve, certificates, monkeypatch):
    """With a certificate it reads and appends unsigned; without one it says what is wrong."""
    cert, key = certificates["server"]
    client = ssl.create_default_context(cafile=str(certificates["ca"]))
    client.load_cert_chain(*certificates["client"])
    served = serve(
        *("--tls-cert", cert, "--tls-key", key, "--client-ca", certificates["ca"]),
        *("--url", "https://localhost"),
        tls=client,
    )
    served.ask("GET", "/checkpoint")
    url = f"https://localhost:{served.port}"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates["ca"]))
    question = functools.partial(Client, url, read_within_s=0.5, append_within_s=5.0)
    with pytest.raises(UnavailableError, match=r"(?i)alert|reset|closed|broken|EOF"):
        question().get("checkpoint", 10_000)
    monkeypatch.setenv("COUNTERFOIL_CLIENT_CERT", str(certificates["client"][0]))
    with pytest.raises(FormatError, match=r"client\.crt and .* are no certificate and its key"):
        question()
    monkeypatch.setenv("COUNTERFOIL_CLIENT_KEY", str(certificates["client"][1]))
    asked = question()
    assert asked.get("checkpoint", 10_000).startswith(b"counterfoil.local/")
    body = served.envelope("by our client")
    answer = asked.post("entries", body, "application/json", 1 << 20, doing="appending")
    assert answer.status == 200
    asked.close()
