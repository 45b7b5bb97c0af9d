"""Single time-stamps: asked for over HTTP, and checked as a stranger's word."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace

import authorities
import pytest
from authorities import DAY_S, POLICY, SHA256, der, oid
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from counterfoil.core.authority import Authority
from counterfoil.errors import (
    CounterfoilError,
    FormatError,
    PolicyError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.timestamps import (
    MAX_ACCURACY_S,
    MAX_RESPONSE_BYTES,
    ask_authority,
    check_timestamp,
)

NOTE = b"example.org/log\n1\nAAAA\n"


def ask(named, **more):
    return ask_authority(named, NOTE, time.time(), **more)


def test_an_authority_says_when_and_until_when(named, tsa):
    """The answer holds for what was asked about, by the clock and certificate of the authority."""
    response, stamp = ask(named)
    assert abs(stamp.time - time.time()) < 5
    assert stamp.until == int(tsa.ends)
    assert check_timestamp(response, NOTE, named) == stamp
    with pytest.raises(VerificationError, match="Mismatch"):
        check_timestamp(response, NOTE + b"x", named)


def test_what_ends_first_on_the_way_to_the_root_counts(named, tsa):
    """A root that ends before the signer's certificate takes it along."""
    tsa.renew(ends=time.time() + 9000 * DAY_S)
    _, stamp = ask(named)
    assert stamp.until == int(tsa.root.not_valid_after_utc.timestamp())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"imprint": lambda _: der(0x30, der(0x30, oid(SHA256)), der(4, bytes(32)))}, "Mismatch"),
        ({"nonce": lambda nonce: nonce + 1}, "Nonce mismatch"),
        ({"clock": lambda: time.time() + 3 * 3600}, "clock"),
        ({"clock": lambda: time.time() - 3 * 3600}, "answer old"),
        ({"status": 2}, "cannot be read"),
        ({"status": 1}, "PKIStatus is not GRANTED"),
        ({"answer": lambda _: b"good morning"}, "cannot be read"),
        ({"answer": lambda _: b""}, "cannot be read"),
        ({"answer": lambda response: response + b"x"}, "cannot be read"),
        ({"answer": lambda _: bytes(MAX_RESPONSE_BYTES + 1)}, "bytes of answer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_that_does_not_hold_is_none(named, tsa, changes, why):
    """Another digest, another nonce, another day, a refusal, nonsense and too much of it."""
    for name, value in changes.items():
        setattr(tsa, name, value)
    with pytest.raises(UnavailableError, match=why):
        ask(named)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"usages": ()}, "purpose"),
        ({"usages": (ExtendedKeyUsageOID.SERVER_AUTH,)}, "purpose"),
        ({"is_critical": False}, "purpose"),
        ({"ends": time.time() - DAY_S}, "expired"),
        ({"starts": time.time() + 2 * DAY_S}, "not yet valid"),
    ],
    ids=["no usage", "for servers", "not critical", "expired", "to come"],
)
def test_a_certificate_that_is_not_for_this_counts_nothing(changes, why):
    """Only who may stamp, and may do so then, stamps."""
    tsa = authorities.Authority(**changes)
    with authorities.serve(tsa) as url, pytest.raises(UnavailableError, match=why):
        ask(Authority("notary", "Notary Ltd", tsa.pem, url))


def test_only_pinned_roots_count(named):
    """Somebody else's authority, of the same name even, is nobody."""
    response, _ = ask(named)
    other = replace(named, root=authorities.Authority().pem)
    with pytest.raises(VerificationError, match="signature"):
        check_timestamp(response, NOTE, other)
    stranger = replace(named, root=authorities.Authority("Another").pem)
    with pytest.raises(VerificationError, match="issuer certificate"):
        check_timestamp(response, NOTE, stranger)
    both = replace(named, root=authorities.Authority("Another").pem + named.root)
    assert check_timestamp(response, NOTE, both)


def test_only_listed_policies_of_the_authority_count(named):
    """An authority also stamps by lesser rules; a policy can say which ones count."""
    response, _ = ask(replace(named, policies=(POLICY,)))
    with pytest.raises(PolicyError, match=POLICY):
        check_timestamp(response, NOTE, replace(named, policies=("1.2.3",)))


def test_an_inaccurate_clock_makes_the_time_later(named, tsa):
    """Existed *by* then: what the authority says it may be wrong by is added."""
    tsa.accuracy_s = 7
    _, stamp = ask(named)
    assert 6 <= stamp.time - time.time() <= 9
    tsa.accuracy_s = MAX_ACCURACY_S + 1
    with pytest.raises(UnavailableError, match="accurate to"):
        ask(named)


def test_a_silent_authority_is_not_waited_for(named):
    """It takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = replace(named, url=f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(UnavailableError, match=r"no answer within 0\.3 s"):
            ask(silent, within_s=0.3)
    with pytest.raises(UnavailableError):
        ask(silent, within_s=5)


def test_no_changed_bit_of_an_answer_changes_what_it_says(named):
    """Damage is refused, or was where nothing is said; no other error comes out."""
    response, stamp = ask(named)
    for place in range(len(response)):
        damaged = bytearray(response)
        damaged[place] ^= 1 << place % 8
        with contextlib.suppress(CounterfoilError):
            assert check_timestamp(bytes(damaged), NOTE, named) == stamp


def test_without_the_library_it_says_what_to_install(named, monkeypatch):
    """The extra is not there."""
    response, _ = ask(named)
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(UnavailableError) as refused:
        check_timestamp(response, NOTE, named)
    assert "counterfoil[timestamps]" in refused.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"root": ""},
        {"root": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        {"url": "ftp://notary.example"},
        {"url": "https://a@notary.example"},
        {"name": "../notary"},
        {"policies": ("policy",)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_policy_takes_no_authority_that_could_not_work(named, changes):
    """What cannot be asked, or believed, is refused when the policy is read."""
    with pytest.raises(FormatError):
        replace(named, **changes)


def test_a_signers_own_certificate_is_no_root(named, tsa):
    """What is pinned is whoever answers for the authority's keys, not a key of a year."""
    with pytest.raises(FormatError):
        replace(named, root=tsa.certificate.public_bytes(Encoding.PEM).decode())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
@pytest.mark.parametrize("more", [0, 2])
def test_stamps_of_another_program_hold(tmp_path, named, tsa, more):
    """`openssl ts` reads our requests, and makes stamps that we read.

    It sends certificates as they lie in a file; what is kept of that holds for those who read DER.
    """
    others = [authorities.Authority().root for _ in range(more)]
    others.sort(key=lambda one: one.public_bytes(Encoding.DER), reverse=True)
    files = {
        "key.pem": tsa.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "tsa.pem": tsa.certificate.public_bytes(Encoding.PEM),
        "serial": b"01\n",
        "more.pem": b"".join(one.public_bytes(Encoding.PEM) for one in others),
        "tsa.cnf": (
            b"[tsa]\ndefault_tsa = it\n[it]\nserial = serial\nsigner_cert = tsa.pem\n"
            b"signer_key = key.pem\nsigner_digest = sha256\ndefault_policy = 1.2.3.4\n"
            b"digests = sha256\naccuracy = secs:1\ness_cert_id_alg = sha256\n"
            + (b"certs = more.pem\n" if more else b"")
        ),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)

    def stamp(request):
        (tmp_path / "request").write_bytes(request)
        subprocess.run(
            [
                "openssl",
                "ts",
                "-reply",
                "-config",
                "tsa.cnf",
                "-queryfile",
                "request",
                "-out",
                "reply",
            ],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        return (tmp_path / "reply").read_bytes()

    tsa.stamp = stamp
    response, found = ask(replace(named, policies=("1.2.3.4",)))
    assert check_timestamp(response, NOTE, named) == found
    assert found.until == int(tsa.ends)
    assert all(one.public_bytes(Encoding.DER) in response for one in others)
