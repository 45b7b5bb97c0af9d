"""Requests that principals sign: what counts, once, for how long, and where."""

from __future__ import annotations

import base64
import builtins
import hashlib
from dataclasses import replace

import pytest

import counterfoil as cf
from counterfoil.core.keys import Algorithm
from counterfoil.core.principals import Compromise
from counterfoil.ledger import RequestChecker, known_callers, sign_request, signedrequests
from counterfoil.ledger.keyfiles import generate_key
from counterfoil.ledger.signedrequests import Caller

NOW = 1_798_761_600.5
URL = "https://ledger.example/entries?a=%20b&c"
SIGNER = generate_key("risk-a", Algorithm.ED25519)
CALLERS = {SIGNER.key.label: Caller("risk-a", SIGNER.key)}


@pytest.fixture
def checker():
    return RequestChecker(["ledger.example"], clock=lambda: NOW)


def signed(method="POST", url=URL, body=b"{}", signer=SIGNER, now=NOW, **options):
    return sign_request(signer, method, url, {"X-Other": "1"}, body, now=now, **options)


def opened(checker, headers, method="POST", *, url=URL, body=b"{}", callers=CALLERS):
    request = checker.open_request(method, url, headers.items(), callers)
    request.check_body(body)
    return request.caller


def test_a_signed_request_says_whose_it_is(checker):
    """What a principal signs and sends is opened as its own, whatever else is sent with it."""
    headers = signed()
    assert headers["X-Other"] == "1"
    assert opened(checker, headers) == CALLERS[SIGNER.key.label]
    assert opened(checker, signed("GET", body=b""), "GET", body=b"").principal == "risk-a"
    assert "content-digest" not in signed("GET", body=b"")["Signature-Input"]


def test_what_is_signed_is_what_rfc_9421_says():
    """Put together by hand from the RFC, the signature base is the one that was signed."""
    headers = signed(random=bytes)
    digest = base64.b64encode(hashlib.sha256(b"{}").digest()).decode()
    parameters = headers["Signature-Input"].removeprefix("counterfoil=")
    base = (
        '"@method": POST\n'
        '"@authority": ledger.example\n'
        '"@path": /entries\n'
        '"@query": ?a=%20b&c\n'
        f'"content-digest": sha-256=:{digest}:\n'
        f'"@signature-params": {parameters}'
    )
    signature = headers["Signature"].removeprefix("counterfoil=:").removesuffix(":")
    SIGNER.key.verify(base.encode(), base64.b64decode(signature))
    assert f'keyid="{SIGNER.key.label}"' in parameters
    assert ";created=1798761600;" in parameters


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "PUT"},
        {"url": "https://ledger.example/entries"},
        {"url": "https://ledger.example/other?a=%20b&c"},
        {"url": "https://elsewhere.example/entries?a=%20b&c"},
        {"body": b"{ }"},
        {"body": b""},
        {"callers": {}},
    ],
)
def test_nothing_that_was_signed_can_be_changed(checker, changes):
    """Another method, address, query, host or body, and the signature does not count."""
    with pytest.raises(cf.SignatureError):
        opened(checker, signed(), **changes)


@pytest.mark.parametrize("name", ["Signature", "Signature-Input", "Content-Digest"])
def test_no_character_of_a_signature_can_be_changed(checker, name):
    """Any other character anywhere in the fields, or none of them, is refused by one error."""
    headers = signed()
    assert opened(RequestChecker(["ledger.example"], clock=lambda: NOW), headers)
    value = headers[name]
    for place in range(len(value)):
        other = "A" if value[place] != "A" else "B"
        if name == "Signature" and place == len(value) - len("A==:"):
            continue  # four of its six bits mean nothing, and readers of base64 let them pass
        changed = headers | {name: value[:place] + other + value[place + 1 :]}
        with pytest.raises(cf.SignatureError):
            opened(checker, changed)
    with pytest.raises(cf.SignatureError):
        opened(checker, {key: text for key, text in headers.items() if key != name})


@pytest.mark.parametrize(
    "field",
    [
        "",
        "x",
        "counterfoil=1",
        "counterfoil=(1 2)",
        "counterfoil=();tag=counterfoil",
        'counterfoil=();tag="counterfoil"',
        'counterfoil=("@method" "@method");tag="counterfoil";created=99999999999999;keyid="x"',
        'counterfoil=("@method";req);tag="counterfoil";keyid="é"',
        "(" * 5000,
    ],
)
def test_nonsense_is_no_signature(checker, field):
    """Whatever stands in the fields, one error comes of it."""
    with pytest.raises(cf.SignatureError):
        opened(checker, signed() | {"Signature-Input": field})
    with pytest.raises(cf.SignatureError):
        opened(checker, signed() | {"Signature": field})


def test_a_request_counts_once(checker):
    """Sent again it is refused, also where it is sent much later, while it would still count."""
    times = [NOW]
    checker = RequestChecker(["ledger.example"], clock=lambda: times[0])
    headers = signed(now=NOW + signedrequests.SIGNED_AHEAD_S)
    opened(checker, headers)
    for later in (0, 1, 60, 149):
        times[0] = NOW + later
        with pytest.raises(cf.SignatureError, match="was here before"):
            opened(checker, headers)
    times[0] = NOW + signedrequests.SIGNED_WITHIN_S + signedrequests.SIGNED_AHEAD_S + 1
    with pytest.raises(cf.SignatureError, match="s old"):
        opened(checker, headers)


@pytest.mark.parametrize(("age", "counts"), [(-32, False), (-29, True), (119, True), (122, False)])
def test_a_request_counts_for_a_while(checker, age, counts):
    """Signed too long ago, or further ahead than clocks differ, it is refused."""
    headers = signed(now=NOW - age)
    if counts:
        assert opened(checker, headers)
    else:
        with pytest.raises(cf.SignatureError, match="s old by this server's clock"):
            opened(checker, headers)


def test_a_signature_is_for_one_server(checker):
    """What was signed for another server is refused, although the same host was sent along."""
    url = "https://other.example/entries"
    with pytest.raises(cf.SignatureError, match="not this server"):
        opened(checker, signed(url=url), url=url)


@pytest.mark.parametrize("left_out", ["@method", "@authority", "@path", "@query"])
def test_everything_that_counts_has_to_be_signed(checker, monkeypatch, left_out):
    """A signature over less than a request is none, although it holds."""
    components = [one for one in signedrequests._COMPONENTS if one != left_out]
    with monkeypatch.context() as patch:
        patch.setattr(signedrequests, "_COMPONENTS", tuple(components))
        headers = signed()
    with pytest.raises(cf.SignatureError, match=f"{left_out} is not signed"):
        opened(checker, headers)


def test_a_body_whose_digest_is_not_signed_is_refused(checker):
    """What was signed without a body is not one with a body."""
    with pytest.raises(cf.SignatureError, match="digest of its body is not signed"):
        opened(checker, signed("GET", body=b""), "GET", body=b"{}")


def test_the_order_of_requests_means_nothing(checker):
    """Requests that overtake each other all count."""
    sent = [signed(now=NOW - age) for age in range(10)]
    for headers in sent:
        assert opened(checker, headers)


def test_memory_is_bounded_for_each_key(checker, monkeypatch):
    """Who signs more than is remembered waits, and nobody else does."""
    monkeypatch.setattr(signedrequests, "MAX_NONCES", 5)
    for _ in range(5):
        opened(checker, signed())
    with pytest.raises(cf.UnavailableError):
        opened(checker, signed())
    other = generate_key("risk-b", Algorithm.ED25519)
    callers = CALLERS | {other.key.label: Caller("risk-b", other.key)}
    assert opened(checker, signed(signer=other), callers=callers).principal == "risk-b"


def test_a_signature_of_somebody_in_between_does_no_harm(checker):
    """A proxy may add its own signature; ours is found by its tag."""
    headers = signed()
    headers["Signature-Input"] += ', proxy=("@method");created=1;keyid="p";tag="proxy"'
    headers["Signature"] += ", proxy=:AAAA:"
    assert opened(checker, headers)


def test_who_may_call_is_who_the_policy_names(tmp_path):
    """Principals' Ed25519 keys, and none that was stolen."""
    with cf.init(tmp_path / "ledger") as ledger:
        policy = ledger.policy.show()
        (operator,) = policy.principals
        post_quantum = generate_key("pq", Algorithm.COSIGNATURE_ML_DSA_44).key
        both = replace(operator, keys=(*operator.keys, post_quantum), algorithms=())
        assert list(known_callers(replace(policy, principals=(both,)), 5)) == [
            operator.keys[0].label
        ]
        stolen = replace(operator, compromised=(Compromise(operator.keys[0].label, 5),))
        policy = replace(policy, principals=(stolen,))
        assert known_callers(policy, 4)
        assert not known_callers(policy, 5)


def test_what_cannot_be_signed_is_said():
    """A key of another kind, a name that no header carries, an address that is none."""
    for key in (("pq", Algorithm.COSIGNATURE_ML_DSA_44), ("größe", Algorithm.ED25519)):
        with pytest.raises(cf.FormatError) as caught:
            signed(signer=generate_key(*key))
        assert caught.value.hint == "It takes an Ed25519 key with a name in ASCII."
    for url in ("/entries", "https://", "https://a b/", "https://host/ü"):
        with pytest.raises(cf.FormatError, match="cannot be signed"):
            signed(url=url)


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    """Whoever has no extra `client` is told how to get it."""
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("http_message_signatures"):
            raise ModuleNotFoundError(name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(cf.UnavailableError, match="http_message_signatures") as caught:
        signed()
    assert "counterfoil[client]" in caught.value.hint
