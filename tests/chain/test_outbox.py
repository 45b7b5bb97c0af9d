"""Transactions that reach a real chain once: dropped, reorganised, displaced, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from counterfoil.chain.shelf import DISPLACED, Pending, Settled
from counterfoil.chain.transaction import Call
from counterfoil.errors import ConflictError, RefusedError, UnavailableError

TO = "0x00000000000000000000000000000000000000AA"


def paid(node):
    """What reached the address that calls pay."""
    return int(node("eth_getBalance", TO, "latest"), 16)


def pool(node):
    """How many transactions wait in the node."""
    status = node("txpool_status")
    return int(status["pending"], 16) + int(status["queued"], 16)


def test_a_call_is_sent_once_however_often_it_is_submitted(node, open_outbox):
    """Submitting one key again, before and after it is final, sends nothing more."""
    outbox = open_outbox(node.url)
    for _ in range(3):
        outbox.submit("pay", Call(TO, b"", 1))
    first = outbox.wait("pay", 10)
    outbox.submit("pay", Call(TO, b"", 1))
    assert outbox.wait("pay", 10) == first
    assert paid(node) == 1
    assert outbox.pending() == ()
    assert [done.key for done in outbox.settled()] == ["pay"]


def test_several_are_under_way_at_once(start_node, open_outbox):
    """Each has a nonce of its own, and all become final."""
    node = start_node("--no-mining")
    outbox = open_outbox(node.url)
    for number in range(5):
        outbox.submit(f"pay {number}", Call(TO, b"", 1))
    assert [entry.nonce for entry in outbox.pending()] == [0, 1, 2, 3, 4]
    node("evm_mine")
    for number in reversed(range(5)):
        assert outbox.wait(f"pay {number}", 10).succeeded
    assert paid(node) == 5


def test_a_key_means_one_thing(node, open_outbox):
    """Another call under a key that is known is refused, while under way and when settled."""
    outbox = open_outbox(node.url)
    outbox.submit("pay", Call(TO, b"", 1))
    with pytest.raises(ConflictError, match="something else"):
        outbox.submit("pay", Call(TO, b"", 2))
    outbox.wait("pay", 10)
    with pytest.raises(ConflictError, match="something else"):
        outbox.submit("pay", Call(TO, b"", 2))
    assert paid(node) == 1


def test_another_process_takes_up_what_was_under_way(start_node, open_outbox):
    """What is on the disk when we stop is sent and finished by whoever opens the outbox next."""
    node = start_node("--no-mining")
    first = open_outbox(node.url)
    first.submit("pay", Call(TO, b"", 1))
    first.close()
    second = open_outbox(node.url)
    assert [entry.key for entry in second.pending()] == ["pay"]
    node("evm_mine")
    assert second.wait("pay", 10).succeeded
    assert paid(node) == 1


def test_two_processes_do_not_send_for_one_account(node, open_outbox):
    """A second outbox of the account is refused while the first is open."""
    open_outbox(node.url)
    with pytest.raises(ConflictError, match="already has a writer"):
        open_outbox(node.url)


def test_nothing_is_final_before_its_blocks_are(start_node, open_outbox, profile):
    """With two confirmations, a mined transaction is not final until two blocks are on top."""
    node = start_node("--no-mining")
    outbox = open_outbox(node.url, profile("confirmations", 2))
    outbox.submit("pay", Call(TO, b"", 1))
    node("evm_mine")
    node("evm_mine")
    with pytest.raises(UnavailableError, match="not final after"):
        outbox.wait("pay", 0.3)
    assert isinstance(outbox.find("pay"), Pending)
    node("evm_mine")
    assert outbox.wait("pay", 10).block_number == 1


def test_a_dropped_transaction_is_sent_again(start_node, open_outbox):
    """A node that forgets the transaction is given the same bytes again."""
    node = start_node("--no-mining")
    outbox = open_outbox(node.url)
    outbox.submit("pay", Call(TO, b"", 1))
    (entry,) = outbox.pending()
    sent = entry.attempts[-1].signed.hash
    assert pool(node) == 1
    node("anvil_dropTransaction", "0x" + sent.hex())
    assert pool(node) == 0
    outbox.step()
    assert pool(node) == 1
    node("evm_mine")
    assert outbox.wait("pay", 10).tx_hash == sent
    assert paid(node) == 1


def test_a_reorganised_transaction_is_sent_again(start_node, open_outbox, profile):
    """A block replaced by one without the transaction does not make it final, or lose it."""
    node = start_node("--no-mining")
    outbox = open_outbox(node.url, profile("confirmations", 3))
    outbox.submit("pay", Call(TO, b"", 1))
    node("anvil_mine", "0x2")
    outbox.step()
    (entry,) = outbox.pending()
    before = outbox.chain.tx_receipt(entry.attempts[-1].signed.hash)
    assert before is not None
    node("anvil_reorg", 2, [])
    assert outbox.chain.block(before.block_number).hash != before.block_hash
    outbox.step()
    assert isinstance(outbox.find("pay"), Pending)
    node("anvil_mine", "0x5")
    receipt = outbox.wait("pay", 10)
    assert receipt.block_hash != before.block_hash
    assert receipt.tx_hash == before.tx_hash
    assert paid(node) == 1


def test_a_snapshot_taken_back_loses_nothing(start_node, open_outbox, profile):
    """A chain set back before the transaction gets it again, once."""
    node = start_node("--no-mining")
    outbox = open_outbox(node.url, profile("confirmations", 2))
    snapshot = node("evm_snapshot")
    outbox.submit("pay", Call(TO, b"", 1))
    node("evm_mine")
    assert paid(node) == 1
    assert node("evm_revert", snapshot)
    assert paid(node) == 0
    outbox.step()
    node("anvil_mine", "0x3")
    assert outbox.wait("pay", 10).succeeded
    assert paid(node) == 1


def test_a_transaction_nobody_takes_offers_more(start_node, open_outbox, profile):
    """After a while more is offered at the same nonce, up to the profile's limit."""
    node = start_node("--no-mining")
    now = [1_000_000.0]
    limit = 4 * 10**9
    outbox = open_outbox(
        node.url, profile(bump_after_s=60, max_fee_wei=limit), clock=lambda: now[0]
    )
    outbox.submit("pay", Call(TO, b"", 1))
    outbox.step()
    assert len(outbox.pending()[0].attempts) == 1
    for _ in range(12):
        now[0] += 61
        outbox.step()
    (entry,) = outbox.pending()
    fees = [one.signed.transaction.max_fee_wei for one in entry.attempts]
    assert 2 < len(fees) < 12
    assert all(8 * new >= 9 * old for old, new in pairwise(fees))
    assert fees[-1] <= limit
    assert {one.signed.transaction.nonce for one in entry.attempts} == {0}
    assert pool(node) == 1
    node("evm_mine")
    assert outbox.wait("pay", 10).tx_hash == entry.attempts[-1].signed.hash
    assert paid(node) == 1


def test_a_clock_that_is_set_back_or_far_ahead_does_no_harm(start_node, open_outbox, profile):
    """Whatever the clock says, it is offered more once at most, and sent once."""
    node = start_node("--no-mining")
    now = [1_000_000.0]
    outbox = open_outbox(node.url, profile(bump_after_s=60), clock=lambda: now[0])
    outbox.submit("pay", Call(TO, b"", 1))
    for moment in (0.0, 10**9, 10**9 + 1, 5.0):
        now[0] = moment
        outbox.step()
    assert len(outbox.pending()[0].attempts) == 2
    node("evm_mine")
    assert outbox.wait("pay", 10).succeeded
    assert paid(node) == 1


def test_an_entry_on_both_sides_is_settled_again(node, open_outbox):
    """If we stopped while settling, the next look finishes it, and nothing is sent."""
    outbox = open_outbox(node.url)
    outbox.submit("pay", Call(TO, b"", 1))
    (entry,) = outbox.pending()
    outbox.wait("pay", 10)
    outbox._shelf.put(entry)
    outbox.submit("pay", Call(TO, b"", 1))
    assert outbox.wait("pay", 10).succeeded
    assert outbox.pending() == ()
    assert paid(node) == 1


def test_an_old_version_that_is_mined_after_all_counts(start_node, open_outbox, profile):
    """Whichever version gets into a block settles the key; the others can never count."""
    node = start_node("--no-mining")
    now = [1_000_000.0]
    outbox = open_outbox(node.url, profile(bump_after_s=60), clock=lambda: now[0])
    outbox.submit("pay", Call(TO, b"", 1))
    now[0] += 61
    outbox.step()
    old, new = (one.signed for one in outbox.pending()[0].attempts)
    node("anvil_dropTransaction", "0x" + new.hash.hex())
    node("eth_sendRawTransaction", "0x" + old.raw.hex())
    node("evm_mine")
    assert outbox.wait("pay", 10).tx_hash == old.hash
    assert paid(node) == 1


def test_a_taken_nonce_is_told_and_never_tried_again_by_itself(node, open_outbox, account):
    """A transaction of the same key made elsewhere displaces ours, and that is an error."""
    outbox = open_outbox(node.url)
    node("evm_setAutomine", False)
    outbox.submit("pay", Call(TO, b"", 1))
    (entry,) = outbox.pending()
    node("anvil_dropTransaction", "0x" + entry.attempts[-1].signed.hash.hex())
    node(
        "eth_sendTransaction",
        {"from": account.address, "to": account.address, "nonce": "0x0", "value": "0x0"},
    )
    node("evm_mine")
    with pytest.raises(ConflictError, match="took its nonce 0"):
        outbox.wait("pay", 10)
    done = outbox.find("pay")
    assert isinstance(done, Settled)
    assert done.outcome == DISPLACED
    with pytest.raises(ConflictError, match="took its nonce 0"):
        outbox.submit("pay", Call(TO, b"", 1))
    assert paid(node) == 0
    node("evm_setAutomine", True)
    outbox.submit("pay", Call(TO, b"", 1), again=True)
    assert outbox.wait("pay", 10).succeeded
    assert paid(node) == 1


def test_too_little_money_is_said_before_anything_is_sent(node, open_outbox, account):
    """An account that cannot pay is told what it has and what it needs."""
    outbox = open_outbox(node.url)
    node("anvil_setBalance", account.address, hex(10**12))
    with pytest.raises(UnavailableError, match=r"has 1000000000000 wei .* needs \d+") as caught:
        outbox.submit("pay", Call(TO, b"", 1))
    assert "Send at least" in caught.value.hint
    assert outbox.pending() == ()
    assert node("eth_getTransactionCount", account.address, "latest") == "0x0"


def test_running_out_of_gas_is_named(node, open_outbox):
    """A transaction that used all the gas it was given says so when it is final."""
    outbox = open_outbox(node.url)
    outbox.submit("deploy", Call(None, bytes.fromhex("5b600056")), gas=60_000)  # an endless loop
    with pytest.raises(RefusedError, match="ran out of gas: 60000 units"):
        outbox.wait("deploy", 10)


def test_more_gas_than_a_block_has_is_refused(node, open_outbox):
    """What no block can hold is not sent."""
    outbox = open_outbox(node.url)
    with pytest.raises(UnavailableError, match="and a block has"):
        outbox.submit("pay", Call(TO, b"", 1), gas=2**40)
    assert outbox.pending() == ()


def test_fees_above_the_profile_are_not_paid(node, open_outbox, profile):
    """However much a node advises, no more is offered than the profile allows."""
    outbox = open_outbox(node.url, profile(max_fee_wei=10**9))
    with pytest.raises(UnavailableError, match="allows 1000000000"):
        outbox.submit("pay", Call(TO, b"", 1))
    assert outbox.pending() == ()


def test_a_node_that_is_killed_and_comes_back_is_given_the_rest(start_node, open_outbox, tmp_path):
    """A node killed while a transaction waits: it is sent again to the node that comes back."""
    node = start_node("--no-mining", "--state", tmp_path / "state.json")
    outbox = open_outbox(node.url)
    outbox.submit("first", Call(TO, b"", 1))
    node("evm_mine")
    outbox.wait("first", 10)
    outbox.submit("second", Call(TO, b"", 2))
    # A clean end, so that there is a state; what waits in the pool is never in it.
    node.process.send_signal(signal.SIGINT)
    node.process.wait()
    with pytest.raises(UnavailableError, match="not final"):
        outbox.wait("second", 0.2)
    node.start()
    assert pool(node) == 0
    outbox.step()
    assert pool(node) == 1
    node("evm_mine")
    assert outbox.wait("second", 10).succeeded
    assert paid(node) == 3


CHILD = """
import sys
from counterfoil.chain.account import LocalAccount
from counterfoil.chain.node import connect
from counterfoil.chain.outbox import Outbox
from counterfoil.chain.profile import ChainProfile
from counterfoil.core.anchoring import Finality
from counterfoil.chain.transaction import Call
url, key, start = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3])
chain = connect(url, ChainProfile("test", 4711, Finality.IMMEDIATE, poll_s=0.01))
with Outbox(chain, LocalAccount(key)) as outbox:
    for number in range(start, 1000):
        outbox.submit(f"pay {number}", Call("0x00000000000000000000000000000000000000AA", b"", 1))
        print(f"submitted {number}", flush=True)
        outbox.wait(f"pay {number}", 30)
        print(f"final {number}", flush=True)
"""


def test_a_process_killed_at_any_moment_sends_nothing_twice(node, open_outbox, account):
    """Killed again and again while it pays, it pays each thing once at most, and tells no lie."""
    final = 0
    for delay in (0.0, 0.003, 0.006, 0.009, 0.012, 0.02):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, node.url, account._key.to_bytes().hex(), str(final)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        told = [child.stdout.readline() for _ in range(4)]
        time.sleep(delay)
        child.kill()
        told += child.stdout.readlines()
        child.wait()
        child.stdout.close()
        numbers = [int(line.split()[1]) for line in told if line.startswith("final ")]
        assert numbers, told
        final = max(numbers) + 1
        assert paid(node) >= final, "something was told final that is not there"
        assert paid(node) <= final + 1, "something was sent twice"
    outbox = open_outbox(node.url)
    for number in range(final + 1):
        outbox.submit(f"pay {number}", Call(TO, b"", 1))
        outbox.wait(f"pay {number}", 10)
    assert paid(node) == final + 1
