from __future__ import annotations

import boa
import pytest

DATASET, PURPOSE = b"\xda" * 32, b"\x90" * 32
ZERO = b"\0" * 32
HOSPITAL, LABORATORY, STRANGER = (boa.env.generate_address() for _ in range(3))


@pytest.fixture
def consents(sources):
    return sources["ConsentRegistry"].deploy()


@pytest.fixture
def granted(consents):
    """The hospital lets the laboratory use a data set for an hour."""
    with boa.env.prank(HOSPITAL):
        consents.grant(DATASET, PURPOSE, LABORATORY, boa.env.timestamp + 3_600)
    return consents


def test_a_grant_holds_for_what_it_says_until_it_expires(granted):
    """Not for another grantor, data set, purpose or grantee, and not a second longer."""
    expires = boa.env.timestamp + 3_600
    call = (HOSPITAL, DATASET, PURPOSE, LABORATORY)
    assert granted.check_consent(*call) == expires
    for at, other in enumerate((LABORATORY, ZERO, DATASET, STRANGER)):
        with boa.reverts("consents: nothing is granted"):
            granted.check_consent(*call[:at], other, *call[at + 1 :])
    boa.env.time_travel(seconds=3_599)
    granted.check_consent(*call)
    boa.env.time_travel(seconds=1)
    with boa.reverts("consents: grant has expired"):
        granted.check_consent(*call)
    assert granted.grant_of(*call) == (expires, 0)


def test_a_withdrawal_is_final(granted):
    """Nothing brings the grant back; only its grantor can withdraw it, and once."""
    for stranger in (STRANGER, LABORATORY):
        with boa.env.prank(stranger), boa.reverts("consents: nothing is granted"):
            granted.withdraw(DATASET, PURPOSE, LABORATORY)
    with boa.env.prank(HOSPITAL):
        granted.withdraw(DATASET, PURPOSE, LABORATORY)
        for _ in range(2):
            with boa.reverts("consents: grant is withdrawn"):
                granted.check_consent(HOSPITAL, DATASET, PURPOSE, LABORATORY)
            with boa.reverts("consents: grant is withdrawn"):
                granted.grant(DATASET, PURPOSE, LABORATORY, boa.env.timestamp + 3_600)
            with boa.reverts("consents: grant is withdrawn"):
                granted.withdraw(DATASET, PURPOSE, LABORATORY)
            boa.env.time_travel(seconds=10_000)
        granted.grant(b"\xdb" * 32, PURPOSE, LABORATORY, boa.env.timestamp + 3_600)
    assert granted.grant_of(HOSPITAL, DATASET, PURPOSE, LABORATORY)[1] != 0


def test_a_grant_can_be_prolonged_and_shortened(granted):
    """By its grantor, who says the new end."""
    call = (HOSPITAL, DATASET, PURPOSE, LABORATORY)
    for seconds in (7_200, 60):
        expires = boa.env.timestamp + seconds
        with boa.env.prank(HOSPITAL):
            granted.grant(DATASET, PURPOSE, LABORATORY, expires)
        assert granted.check_consent(*call) == expires
        assert granted.grant_of(*call) == (expires, 0)


def test_what_is_no_grant_is_refused(consents):
    """No data set, no grantee, or an end that is now."""
    now = boa.env.timestamp
    with boa.reverts("consents: data set is zero"):
        consents.grant(ZERO, PURPOSE, LABORATORY, now + 1)
    with boa.reverts("consents: grantee is zero"):
        consents.grant(DATASET, PURPOSE, "0x" + "00" * 20, now + 1)
    with boa.reverts("consents: grant has expired"):
        consents.grant(DATASET, PURPOSE, LABORATORY, now)


def test_events_tell_what_happened(granted):
    """Grants and withdrawals can be followed from outside."""
    (event,) = granted.get_logs()
    assert (event.grantor, event.dataset, event.grantee) == (HOSPITAL, DATASET, LABORATORY)
    assert (event.purpose, event.expires) == (PURPOSE, boa.env.timestamp + 3_600)
    with boa.env.prank(HOSPITAL):
        granted.withdraw(DATASET, PURPOSE, LABORATORY)
    (event,) = granted.get_logs()
    assert (event.grantor, event.dataset, event.grantee) == (HOSPITAL, DATASET, LABORATORY)
    assert event.purpose == PURPOSE
