"""A ledger, and an authority that stamps it over HTTP."""

from __future__ import annotations

import time
from dataclasses import replace

import authorities
import pytest

import counterfoil as cf
from counterfoil.core.authority import Authority


@pytest.fixture
def tsa():
    """An authority; a test changes what it does."""
    return authorities.Authority()


@pytest.fixture
def address(tsa):
    """Where it is asked."""
    with authorities.serve(tsa) as url:
        yield url


@pytest.fixture
def named(tsa, address):
    """The authority as a policy names it."""
    return Authority("notary", "Notary Ltd", tsa.pem, address)


class Clock:
    """A ledger's clock, that a test can set ahead."""

    def __init__(self):
        self.ahead_s = 0

    def __call__(self):
        return time.time() + self.ahead_s


@pytest.fixture
def clock(tsa):
    """One clock for the ledger and the authority."""
    clock = Clock()
    tsa.clock = clock
    return clock


@pytest.fixture
def ledger(tmp_path, named, clock):
    """A ledger of Northbank whose policy names the authority."""
    with cf.init(tmp_path / "ledger", organisation="Northbank", clock=clock) as ledger:
        policy = ledger.policy.show().followed_by(authorities=(named,))
        ledger.policy.adopt(policy)
        yield ledger


@pytest.fixture
def policy(ledger):
    """What a verifier of its evidence brings."""
    return ledger.policy.show()


@pytest.fixture
def with_authority(policy):
    """Makes the policy of a verifier who knows the authority otherwise."""

    def change(**changes):
        (one,) = policy.authorities
        return replace(policy, authorities=(replace(one, **changes),))

    return change
