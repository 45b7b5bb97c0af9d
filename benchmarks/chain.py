"""What anchoring costs, on a development chain: `python benchmarks/chain.py`.

Needs anvil (`counterfoil chain install`). Seconds are those of this machine and of a chain that
makes a block whenever it is sent something; gas is the same everywhere. `--json` prints the
figures, `--quick` measures less.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import counterfoil as cf
from counterfoil import chain as chains
from counterfoil.chain.binding import bind
from counterfoil.chain.join import rules_for
from counterfoil.chain.member import LocalMember
from counterfoil.core.anchoring import ChainRules
from counterfoil.core.keys import Algorithm
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import Witness
from counterfoil.ledger.keyfiles import generate_key, save_key
from counterfoil.ledger.localwitness import LocalWitness
from counterfoil.ledger.ownwitness import OwnWitness
from counterfoil.ledger.witness import Witness as Memory

GAS_PRICE_WEI = 10**9  # the price at which costs are stated: 1 gwei
MEMBERS = ("alpha", "beta", "gamma", "delta", "epsilon")
THRESHOLD = 3
SENTENCE = "a long sentence"


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    found = chains.find_anvil()
    if found is None:
        sys.exit("there is no anvil: counterfoil chain install")
    os.environ["COUNTERFOIL_ANVIL"] = str(found)
    with tempfile.TemporaryDirectory(dir=os.environ.get("COUNTERFOIL_BENCH")) as name:
        os.environ["COUNTERFOIL_HOME"] = f"{name}/home"
        with chains.DevChain(Path(name) / "dev") as dev:
            rounds = 3 if options.quick else 15
            figures = measure(Path(name), dev, rounds, quick=options.quick)
            figures |= measure_http(Path(name), dev, rounds)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:70} {value:>16,.4f}")


def measure(folder: Path, dev: chains.DevChain, rounds: int, *, quick: bool) -> dict[str, float]:
    """Anchor again and again: by three of five members, each with a witness of its own."""
    account = chains.LocalAccount(b"\1" * 32)
    dev.grant(account.address)
    ledger = cf.init(folder / "ledger", organisation="Bench")
    members = join(folder, ledger, dev, account)
    figures = {}
    with chains.Outbox(dev.connect(), account) as outbox:
        anchoring = chains.Anchoring(ledger, outbox, members)
        anchoring.run()
        times = anchor_again(ledger, anchoring, rounds)
        figures["append to final anchor, 3 of 5 members: s, median"] = statistics.median(times)
        figures["the same, largest"] = max(times)
        figures["anchors of one log after another: /s"] = 1 / statistics.median(times)
        for entries in (10**2, 10**4) if quick else (10**2, 10**4, 10**6):
            for start in range(0, entries, 10_000):
                count = min(10_000, entries - start)
                ledger.append_many([os.urandom(64) for _ in range(count)])
            (made,) = anchoring.run()
            gas = made.statement.predicate["gas"]
            figures[f"gas of an anchor over {entries:,} new entries"] = gas
            figures[f"  gwei an entry, at 1 gwei a unit of gas: {entries:,} entries"] = (
                gas * GAS_PRICE_WEI / entries / 10**9
            )
        figures |= submitting(outbox, rounds * 10)
    for member in members:
        member.witness.close()
    ledger.close()
    return figures


def measure_http(folder: Path, dev: chains.DevChain, rounds: int) -> dict[str, float]:
    """Anchor likewise, by three members who are servers: witnesses of the log, too."""
    account = chains.LocalAccount(b"\7" * 32)
    dev.grant(account.address)
    with (
        cf.init(folder / "another", organisation="Bench") as ledger,
        serving(folder, ledger) as witnesses,
        chains.Outbox(dev.connect(), account) as outbox,
    ):
        old = ledger.policy.show()
        drafted = old.followed_by(witnesses=(*old.witnesses, *witnesses))
        address = chains.deploy(outbox, "CheckpointAnchor").address
        contract = chains.CheckpointAnchor.open(outbox.chain, address)
        rules = rules_for(drafted, outbox.chain, contract, threshold=THRESHOLD, operators=MEMBERS)
        ledger.policy.adopt(old.followed_by(witnesses=drafted.witnesses, chain=rules))
        policy = ledger.policy.show()
        for name in MEMBERS[:THRESHOLD]:
            with at_home(folder / f"{name}-home"):
                chains.agree(policy)
        with chains.members_here(policy, account) as members:
            anchoring = chains.Anchoring(ledger, outbox, members)
            anchoring.run()
            times = anchor_again(ledger, anchoring, rounds)
    return {
        "append to final anchor, 3 members over HTTP: s, median": statistics.median(times),
        "the same over HTTP, largest": max(times),
    }


def anchor_again(ledger: cf.Ledger, anchoring: chains.Anchoring, rounds: int) -> list[float]:
    """Append and anchor, and say how long each time took."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        ledger.append_many([os.urandom(300) for _ in range(100)])
        anchoring.run()
        times.append(time.perf_counter() - began)
    return times


@contextlib.contextmanager
def at_home(home: Path) -> Iterator[None]:
    """Be on another machine: one with a home of its own."""
    before, os.environ["COUNTERFOIL_HOME"] = os.environ["COUNTERFOIL_HOME"], str(home)
    try:
        yield
    finally:
        os.environ["COUNTERFOIL_HOME"] = before


@contextlib.contextmanager
def serving(folder: Path, ledger: cf.Ledger) -> Iterator[list[Witness]]:
    """Run three members as server processes, and give them as a policy lists them."""
    os.environ["COUNTERFOIL_PASSPHRASE"] = SENTENCE
    listed, ports, servers = [], [], []
    try:
        for name in MEMBERS[:THRESHOLD]:
            with socket.create_server(("127.0.0.1", 0)) as free:
                ports.append(free.getsockname()[1])
            with at_home(folder / f"{name}-home"):
                account = chains.create_account(chains.account_path(name), SENTENCE)
                own = OwnWitness.make(f"{name}.example/served")
                own.know(ledger.key)
                chains.seat_witness(own, account, name=name)
                listed.append(own.listed(name, f"http://127.0.0.1:{ports[-1]}"))
                command = f"-m granian --interface asgi --factory --no-log --port {ports[-1]}"
                servers.append(
                    subprocess.Popen(
                        [sys.executable, *command.split(), "counterfoil.http.witness:own_app"],
                        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                    )
                )
        for port in ports:
            wait_for(port)
        yield listed
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait()


def wait_for(port: int) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        finally:
            connection.close()
        time.sleep(0.1)


def join(
    folder: Path, ledger: cf.Ledger, dev: chains.DevChain, account: chains.LocalAccount
) -> list[LocalMember]:
    """Adopt a policy with five members, and give them back."""
    keys, witnesses = {}, []
    for number, name in enumerate(MEMBERS):
        signer = generate_key(f"{name}.example", Algorithm.COSIGNATURE_ED25519)
        save_key(folder / name / "key.pem", signer)
        Memory(folder / name, signer, clock=time.time).know(ledger.key)
        keys[name] = chains.LocalAccount(bytes([number + 2]) * 32)
        anchor = bind(signer, keys[name])
        witnesses.append(Witness(name, signer.key, name, anchor))
    old = ledger.policy.show()
    drafted = old.followed_by(witnesses=(*old.witnesses, *witnesses))
    with chains.Outbox(dev.connect(), account) as outbox:
        address = chains.deploy(outbox, "CheckpointAnchor").address
        contract = chains.CheckpointAnchor.open(outbox.chain, address)
    rules: ChainRules = rules_for(
        drafted, dev.connect(), contract, threshold=THRESHOLD, operators=MEMBERS
    )
    policy: TrustPolicy = old.followed_by(witnesses=drafted.witnesses, chain=rules)
    ledger.policy.adopt(policy)
    return [LocalMember(policy, LocalWitness(folder / name), keys[name]) for name in MEMBERS]


def submitting(outbox: chains.Outbox, count: int) -> dict[str, float]:
    """How many transactions the outbox brings to a final block, one after another and at once."""
    call = chains.Call("0x00000000000000000000000000000000000000AA", b"", 1)
    began = time.perf_counter()
    for number in range(count):
        outbox.submit(f"one {number}", call)
        outbox.wait(f"one {number}")
    alone = count / (time.perf_counter() - began)
    began = time.perf_counter()
    for number in range(count):
        if number % 50 == 0 and number:
            outbox.wait(f"many {number - 1}")
        outbox.submit(f"many {number}", call)
    outbox.wait(f"many {count - 1}")
    return {
        "plain transactions, each final before the next: /s": alone,
        "plain transactions, 50 under way: /s": count / (time.perf_counter() - began),
    }


if __name__ == "__main__":
    main()
