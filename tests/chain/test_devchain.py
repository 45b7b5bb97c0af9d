"""The development chain: kept on the disk, ended with whoever started it, closed to others."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from counterfoil.chain import account as accounts
from counterfoil.chain import devchain
from counterfoil.chain.account import LocalAccount, account_path, create_account
from counterfoil.chain.devchain import GRANT_WEI, DevChain, dev_url
from counterfoil.chain.outbox import Outbox
from counterfoil.chain.proxy import MAX_BATCH, MAX_REQUEST_BYTES, METHODS
from counterfoil.chain.rpc import NodeError
from counterfoil.chain.transaction import Call
from counterfoil.errors import ConflictError, UnavailableError
from counterfoil.ledger.disk import Disk

TO = "0x00000000000000000000000000000000000000AA"
ACCOUNT = LocalAccount(b"\x07" * 32)

pytestmark = pytest.mark.usefixtures("anvil")


@pytest.fixture
def dev():
    """A development chain, and an account with money on it."""
    with DevChain() as running:
        running.grant(ACCOUNT.address)
        yield running


def until(true, within_s=10):
    """Wait until something is true."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def is_running(pid):
    """Whether a process is there and not a zombie."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text().partition(")")[2][:4]
    except FileNotFoundError:
        return False


def pay(outbox, number):
    outbox.submit(f"pay {number}", Call(TO, b"", 1))
    return outbox.wait(f"pay {number}", 20)


def test_what_is_final_is_there_after_the_next_start():
    """Blocks, balances and the chain's identity outlive the chain's end."""
    with DevChain() as dev:
        dev.grant(ACCOUNT.address)
        chain = dev.connect()
        genesis = chain.genesis
        with Outbox(chain, ACCOUNT) as outbox:
            receipt = pay(outbox, 1)
        url = dev.url
        assert dev_url() == url
    assert dev_url() is None
    with DevChain() as dev:
        chain = dev.connect()
        assert chain.genesis == genesis
        assert chain.block(receipt.block_number).hash == receipt.block_hash
        assert chain.tx_receipt(receipt.tx_hash) == receipt
        assert chain.balance_wei(TO) == 1


def test_a_killed_anvil_comes_back_and_nothing_is_lost_or_doubled(dev):
    """SIGKILLed in the middle of submissions, the chain goes on; each payment is made once."""
    chain = dev.connect()
    receipts = []
    with Outbox(chain, ACCOUNT) as outbox:
        for number, delay in enumerate((None, 0.0, 0.01, None, 0.03, 0.06, 0.1)):
            outbox.submit(f"pay {number}", Call(TO, b"", 1))
            if delay is not None:
                time.sleep(delay)
                os.kill(dev.pid, signal.SIGKILL)
            receipts.append(outbox.wait(f"pay {number}", 30))
    assert chain.balance_wei(TO) == len(receipts)
    assert chain.nonce(ACCOUNT.address) == len(receipts)
    for receipt in receipts:
        assert chain.block(receipt.block_number).hash == receipt.block_hash


def test_what_cannot_be_written_is_not_final():
    """With a disk that refuses, blocks are made and none of them is called final."""

    class Full(Disk):
        full = False

        def replace(self, folder, name, data, mode=0o644):
            if self.full and name == "state.json":
                raise OSError(28, "No space left on device")
            super().replace(folder, name, data, mode)

    disk = Full()
    with DevChain(disk=disk) as dev:
        dev.grant(ACCOUNT.address)
        chain = dev.connect()
        disk.full = True
        with Outbox(chain, ACCOUNT) as outbox:
            outbox.submit("pay", Call(TO, b"", 1))
            with pytest.raises(UnavailableError, match="not final"):
                outbox.wait("pay", 1)
            assert chain.head().number == 1
            assert chain.final().number == 0
            assert "No space left" in dev.trouble
            disk.full = False
            assert outbox.wait("pay", 20).succeeded


CHILD = """
import sys, time
from counterfoil.chain.account import LocalAccount
from counterfoil.chain.devchain import DevChain
from counterfoil.chain.outbox import Outbox
from counterfoil.chain.transaction import Call
dev = DevChain()
dev.grant(LocalAccount(bytes([7]) * 32).address)
print(dev.pid, dev._process.pid, flush=True)
with Outbox(dev.connect(), LocalAccount(bytes([7]) * 32)) as outbox:
    for number in range(1000):
        outbox.submit(f"pay {number}", Call("0x00000000000000000000000000000000000000AA", b"", 1))
        outbox.wait(f"pay {number}", 30)
        print(number, flush=True)
"""


@contextlib.contextmanager
def child():
    """A process of its own that runs a development chain and pays on it."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        anvil, guard = map(int, process.stdout.readline().split())
        yield process, anvil, guard
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_anvil_ends_with_a_parent_that_is_killed_and_its_word_is_kept():
    """SIGKILL of whoever runs the chain ends anvil; what was told final is there afterwards."""
    with child() as (process, anvil, _):
        told = [process.stdout.readline() for _ in range(3)]
        process.kill()
        told += process.stdout.readlines()
        final = int([line for line in told if line.endswith("\n")][-1]) + 1
        until(lambda: not is_running(anvil))
    assert dev_url() is not None  # nobody was there to take it away
    with DevChain() as dev:
        chain = dev.connect()
        paid = chain.balance_wei(TO)
        assert final <= paid <= final + 1
        with Outbox(chain, ACCOUNT) as outbox:
            for number in range(final + 1):
                assert pay(outbox, number).succeeded
        assert chain.balance_wei(TO) == final + 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the child")
def test_anvil_ends_with_a_guard_that_is_killed():
    """SIGKILL of the process between us and anvil leaves no anvil behind."""
    with child() as (process, anvil, guard):
        process.stdout.readline()
        os.kill(guard, signal.SIGKILL)
        until(lambda: not is_running(anvil))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the child")
def test_it_ends_although_a_forked_process_holds_the_pipe():
    """A process that was forked meanwhile, and lives on, keeps no anvil alive."""
    dev = DevChain()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child calls no thread of ours
        sleeper = os.fork()
    if sleeper == 0:
        time.sleep(60)
        os._exit(0)
    try:
        dev.close()
        until(lambda: not is_running(dev.pid))
    finally:
        os.kill(sleeper, signal.SIGKILL)
        os.waitpid(sleeper, 0)


def test_only_one_runs_at_a_time(dev):
    """A second chain in the same folder is refused while the first runs."""
    with pytest.raises(ConflictError, match="already has a writer"):
        DevChain()
    assert dev.connect().chain_id == 31337


def test_a_port_that_is_taken_is_said_and_leaves_nothing_running():
    """Asked for a port that somebody has, the chain does not start."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConflictError, match="cannot be had"),
    ):
        DevChain(port=taken.getsockname()[1])
    with DevChain():
        pass


def test_a_damaged_state_is_named(home):
    """A state that anvil cannot read is an error that says what to move away."""
    with DevChain() as dev:
        state = dev.folder / "state.json"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(UnavailableError, match="does not start") as caught:
        DevChain()
    assert str(state) in caught.value.hint
    assert home in state.parents


def test_without_anvil_it_is_said_how_to_get_it(monkeypatch):
    """Where there is no program, the error names the command that installs it."""
    monkeypatch.delenv("COUNTERFOIL_ANVIL")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnavailableError, match="no anvil") as caught:
        DevChain()
    assert "counterfoil chain install" in caught.value.hint


def test_accounts_of_this_user_have_money(dev, monkeypatch):
    """An account made while the chain runs is given something, once."""
    monkeypatch.setattr(accounts, "_SCRYPT_N", 2)
    account = create_account(account_path("operator"), "x")
    chain = dev.connect()
    until(lambda: chain.balance_wei(account.address) == GRANT_WEI)
    dev.raw.call("anvil_setBalance", account.address, "0x5")
    time.sleep(5 * devchain._TICK_S)
    assert chain.balance_wei(account.address) == 5


REFUSED = [
    "anvil_setBalance",
    "anvil_reset",
    "anvil_reorg",
    "anvil_dumpState",
    "evm_mine",
    "evm_increaseTime",
    "hardhat_setCode",
    "debug_traceTransaction",
    "txpool_content",
    "eth_accounts",
    "eth_sendTransaction",
    "eth_sign",
    "eth_signTransaction",
    "eth_newFilter",
    "personal_unlockAccount",
    "ETH_CALL",
    " eth_call",
    "eth_call\x00",
    "",
]


@pytest.mark.parametrize("method", REFUSED)
def test_other_methods_are_not_served(method, dev):
    """What a node of a real chain would not do for anyone is not done here, alone or in a batch."""
    chain = dev.connect()
    with pytest.raises(NodeError, match="not served here") as caught:
        chain.rpc.call(method)
    assert caught.value.code == -32601
    good = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    status, body = chain.rpc.post(
        json.dumps([good, good | {"id": 2, "method": method}]).encode(), "batch"
    )
    first, second = json.loads(body)
    assert status == 200
    assert first["result"] == hex(31337)
    assert second["error"]["code"] == -32601


def test_what_is_served_reads_or_hands_in():
    """No method that is passed on signs, mines, filters or changes anything by itself."""
    assert not [
        name
        for name in METHODS
        if not name.startswith(("eth_get", "net_", "web3_"))
        and name
        not in {
            "eth_blockNumber",
            "eth_call",
            "eth_chainId",
            "eth_createAccessList",
            "eth_estimateGas",
            "eth_feeHistory",
            "eth_gasPrice",
            "eth_maxPriorityFeePerGas",
            "eth_sendRawTransaction",
            "eth_syncing",
        }
    ]


BAD = {
    "no JSON": b"hello",
    "a number": b"5",
    "an empty batch": b"[]",
    "a large batch": b"[" + b",".join([b"{}"] * (MAX_BATCH + 1)) + b"]",
    "a batch in a batch": b'[[{"jsonrpc":"2.0","id":1,"method":"anvil_reset"}]]',
    "a name twice": b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","method":"anvil_reset"}',
    "deep": b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":' + b"[" * 50 + b"]" * 50 + b"}",
    "no array": b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":{}}',
    "no version": b'{"id":1,"method":"eth_chainId"}',
}


@pytest.mark.parametrize("what", BAD)
def test_requests_that_are_none_are_refused(what, dev):
    """What is no request of the one form is answered with an error, and passed on to nobody."""
    _, body = dev.connect().rpc.post(BAD[what], "request")
    answer = json.loads(body)
    for one in answer if isinstance(answer, list) else [answer]:
        assert one["error"]["code"] == -32600


def ask(dev, method="POST", headers=None, body=b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'):
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(dev.url.rpartition(":")[2]), timeout=10
    )
    try:
        connection.request(method, "/", body, headers or {})
        return connection.getresponse().status
    finally:
        connection.close()


def test_web_pages_and_other_names_are_refused(dev):
    """A page in a browser reaches nothing, by its own origin or by a name that leads here."""
    assert ask(dev) == 200
    assert ask(dev, headers={"Origin": "http://evil.example"}) == 403
    assert ask(dev, headers={"Origin": "null"}) == 403
    assert ask(dev, headers={"Host": "evil.example:80"}) == 403
    assert ask(dev, "GET", body=None) == 501
    assert ask(dev, "OPTIONS", body=None) == 501


@pytest.mark.parametrize("length", [str(MAX_REQUEST_BYTES + 1), "9" * 30, "-1", "1e3", ""])
def test_a_request_has_a_bounded_length(length, dev):
    """A request that says it is too long, or does not say how long, is not read."""
    assert ask(dev, headers={"Content-Length": length}, body=b"") == 413


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothing_listens_beyond_this_machine(dev):
    """Both anvil and the proxy listen on 127.0.0.1 alone."""
    ports = {int(url.rpartition(":")[2]) for url in (dev.url, dev.raw.url)}
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    found = {local.partition(":")[0] for local in listening if int(local[-4:], 16) in ports}
    assert found == {"0100007F"}
