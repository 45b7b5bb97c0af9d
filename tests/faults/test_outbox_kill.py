"""The outbox broken at every step of its disk, on a real chain: nothing is ever sent twice."""

from __future__ import annotations

from hashlib import sha256

import pytest

from counterfoil.chain.account import LocalAccount
from counterfoil.chain.devchain import DevChain
from counterfoil.chain.outbox import Outbox
from counterfoil.chain.transaction import Call
from counterfoil.errors import UnavailableError

LIVED, REFUSED = 0, 3
MOST_STEPS = 30


@pytest.fixture
def dev(anvil):
    """A chain for all steps of a table."""
    del anvil  # found by its variable
    with DevChain() as running:
        yield running


def test_nothing_is_sent_twice_wherever_the_outbox_stops(dev, fault, step_disk, in_child):
    """Killed, torn or refused at any step of the disk, the next outbox sends it once in all."""
    chain = dev.connect()
    stopped = 0
    for at in range(1, MOST_STEPS):
        seed = sha256(f"{fault} {at}".encode()).digest()
        account, target = LocalAccount(seed), "0x" + seed[:20].hex()
        call = Call(target, b"", 1)
        dev.raw.call("anvil_setBalance", account.address, hex(10**18))

        def act(_tell, account=account, call=call, at=at):
            disk = step_disk(fault, at)
            try:
                with Outbox(chain, account, disk=disk) as outbox:
                    outbox.submit("pay", call)
                    outbox.wait("pay", 20)
            except UnavailableError:
                return REFUSED
            return LIVED

        code, _ = in_child(act)
        stopped += code != LIVED
        if code == LIVED:
            assert chain.balance_wei(target) == 1, "told final and not there"
        with Outbox(chain, account, disk=step_disk()) as outbox:
            outbox.submit("pay", call)
            assert outbox.wait("pay", 20).succeeded
        assert chain.balance_wei(target) == 1
        assert chain.nonce(account.address) == 1, "sent twice"
        if code == LIVED and at > 8:
            break
    else:
        pytest.fail("the table has no end")
    # Making the folder, and three steps each of writing down, settling and taking away; what is
    # refused while settling is tried again by `wait`.
    assert stopped >= (8 if fault.startswith("killed") else 4), "the steps were not met"
