from __future__ import annotations

import boa
import pytest
from signers import addresses, domain_of, members

ZERO = b"\0" * 32
BANK, HOSPITAL = b"\xba" * 32, b"\x40" * 32
ED25519, SECP256K1 = 1, 2
KEY = b"\x0e" * 32
ADDRESS = b"\0" * 12 + b"\xad" * 20
FROM, TO = 1_000, 2_000


class Issuers:
    """The registry, and a committee of three of whom two sign."""

    def __init__(self, contract) -> None:
        self.members = members(1, 3)
        self.contract = contract.deploy(addresses(self.members), 2)
        self.epoch = 1

    def sign(self, signed, by=None, **message):
        message.setdefault("epoch", self.epoch)
        domain = domain_of(self.contract.address)
        return [m.sign(domain, signed, message) for m in by or self.members[1:]]

    def add(self, organisation=BANK, kind=ED25519, key=KEY, not_before=FROM, not_after=TO, **how):
        fields = {
            "organisation": organisation,
            "kind": kind,
            "key": key,
            "not_before": not_before,
            "not_after": not_after,
        }
        signatures = how.get("signatures") or self.sign("Key", **fields)
        self.contract.add(*fields.values(), signatures)

    def revoke(self, revoked_from, kind=ED25519, key=KEY, signatures=None):
        fields = {"kind": kind, "key": key, "revoked_from": revoked_from}
        self.contract.revoke(
            kind, key, revoked_from, signatures or self.sign("KeyRevocation", **fields)
        )


@pytest.fixture
def issuers(sources):
    return Issuers(sources["IssuerRegistry"])


def test_a_key_speaks_for_one_organisation_from_then_to_then(issuers):
    """Neither earlier nor later, nor for another one, nor as a key of another kind."""
    issuers.add()
    issuers.add(HOSPITAL, SECP256K1, ADDRESS, 0, 2**64 - 1)
    check = issuers.contract.check_issuer
    assert check(BANK, ED25519, KEY, FROM) == check(BANK, ED25519, KEY, TO - 1) == TO
    assert check(HOSPITAL, SECP256K1, ADDRESS, 0) == 2**64 - 1
    for at in (FROM - 1, TO):
        with boa.reverts("issuers: key is not valid then"):
            check(BANK, ED25519, KEY, at)
    for wrong in ((HOSPITAL, ED25519, KEY), (BANK, SECP256K1, KEY), (ZERO, ED25519, ADDRESS)):
        with boa.reverts("issuers: key is not the organisation's"):
            check(*wrong, FROM)
    assert issuers.contract.key_of(ED25519, KEY) == (BANK, FROM, TO, 0)


def test_a_revocation_is_final_and_has_its_time(issuers):
    """What was said before it stands; the key speaks no more, and cannot be added again."""
    issuers.add()
    issuers.revoke(1_500)
    check = issuers.contract.check_issuer
    assert check(BANK, ED25519, KEY, 1_499) == 1_500
    with boa.reverts("issuers: key is revoked"):
        check(BANK, ED25519, KEY, 1_500)
    for again in (1_500, 1_501, 2**64 - 1):
        with boa.reverts("issuers: key is revoked"):
            issuers.revoke(again)
    with boa.reverts("issuers: key is known already"):
        issuers.add(HOSPITAL)
    assert issuers.contract.key_of(ED25519, KEY) == (BANK, FROM, TO, 1_500)


def test_a_revocation_for_later_keeps_none_out_that_is_for_earlier(issuers):
    """Whoever holds a stolen key cannot save it by submitting first what was signed for later."""
    issuers.add()
    for_later = issuers.sign("KeyRevocation", kind=1, key=KEY, revoked_from=1_900)
    issuers.revoke(1_900, signatures=for_later)
    issuers.revoke(1_200)
    check = issuers.contract.check_issuer
    assert check(BANK, ED25519, KEY, 1_199) == 1_200
    for at in (1_200, 1_899):
        with boa.reverts("issuers: key is revoked"):
            check(BANK, ED25519, KEY, at)
    with boa.reverts("issuers: key is revoked"):
        issuers.revoke(1_900, signatures=for_later)


def test_a_revocation_after_the_end_changes_nothing_before(issuers):
    """`check_issuer` tells the earlier end."""
    issuers.add()
    issuers.revoke(TO + 5)
    assert issuers.contract.check_issuer(BANK, ED25519, KEY, FROM) == TO


def test_a_key_can_be_revoked_before_it_is_added(issuers):
    """What the committee signed and nobody submitted can be called back."""
    fields = {"organisation": BANK, "kind": 1, "key": KEY, "not_before": FROM, "not_after": TO}
    hanging = issuers.sign("Key", **fields)
    issuers.revoke(1)
    with boa.reverts("issuers: key is revoked"):
        issuers.add(signatures=hanging)
    with boa.reverts("issuers: key is not the organisation's"):
        issuers.contract.check_issuer(BANK, ED25519, KEY, FROM)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"organisation": ZERO}, "issuers: organisation is zero"),
        ({"kind": 0}, "issuers: kind is not known"),
        ({"kind": 3}, "issuers: kind is not known"),
        ({"key": ZERO}, "issuers: key is zero"),
        ({"kind": SECP256K1}, "issuers: key is no address"),
        ({"not_after": FROM}, "issuers: validity is empty"),
    ],
)
def test_what_is_no_key_is_refused(issuers, changed, reason):
    """Not by a quorum: such an entry would mean nothing, or everything."""
    with boa.reverts(reason):
        issuers.add(**changed)


def test_only_the_committee_adds_and_revokes(issuers):
    """One member, an outsider, another field or another epoch is not the quorum's word."""
    fields = {"organisation": BANK, "kind": 1, "key": KEY, "not_before": FROM, "not_after": TO}
    for reason, signatures in {
        "committee: too few signatures": issuers.sign("Key", by=issuers.members[:1], **fields),
        "committee: signer is no member": issuers.sign("Key", by=members(90, 2), **fields),
    }.items():
        with boa.reverts(reason):
            issuers.add(signatures=signatures)
    for field, value in {"not_after": TO + 1, "organisation": HOSPITAL, "epoch": 2}.items():
        with boa.reverts("committee: signer is no member"):
            issuers.add(signatures=issuers.sign("Key", **fields | {field: value}))
    issuers.add()
    with boa.reverts("issuers: time is zero"):
        issuers.revoke(0)
    later = issuers.sign("KeyRevocation", kind=1, key=KEY, revoked_from=1_501)
    with boa.reverts("committee: signer is no member"):
        issuers.revoke(1_500, signatures=later)
    issuers.revoke(1_501, signatures=later)


def test_the_committee_rotates(issuers):
    """The new members govern, keys stay, and what the old ones signed is void."""
    issuers.add()
    old = issuers.sign("KeyRevocation", kind=1, key=KEY, revoked_from=1)
    new = members(50, 2)
    rotation = {"committee": ZERO, "epoch": 2, "threshold": 1, "members": addresses(new)}
    given = issuers.sign("Rotation", **rotation)
    taken = issuers.sign("Rotation", by=new[:1], **rotation)
    issuers.contract.rotate(addresses(new), 1, given, taken)
    assert issuers.contract.committee_of() == (2, 1, addresses(new))
    with boa.reverts("committee: signer is no member"):
        issuers.revoke(1, signatures=old)
    issuers.members, issuers.epoch = new, 2
    assert issuers.contract.check_issuer(BANK, ED25519, KEY, FROM) == TO
    issuers.revoke(1)


def test_events_tell_what_happened(issuers):
    """An organisation's keys can be listed from events."""
    issuers.add()
    (event,) = issuers.contract.get_logs()
    assert (event.organisation, event.kind, event.key) == (BANK, ED25519, KEY)
    assert (event.not_before, event.not_after) == (FROM, TO)
    issuers.revoke(1_500)
    (event,) = issuers.contract.get_logs()
    assert (event.kind, event.key, event.revoked_from) == (ED25519, KEY, 1_500)
