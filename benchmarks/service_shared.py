"""Receipts over HTTP by several servers, and with witnesses: `python benchmarks/service_shared.py`.

    servers     1, 2 and 4 `counterfoil serve` processes append to one log on PostgreSQL, tiles in a
                folder; 64 clients, spread over them
    witnessed   one server with a ledger in a folder and three witnesses, each a server of its own
                that has to have cosigned before an answer; 1 client, 8, 64

All run on the same two cores as their clients, and are measured as in `service.py`. Needs
PostgreSQL's programs. `--json` prints the figures, `--seconds` is how long each part takes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import counterfoil as cf
from counterfoil.core.keys import Signer
from counterfoil.ledger import OwnWitness
from service import envelope, measure, post, start_server

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
from servers import Postgres, free_port

Figures = dict[str, dict[str, float]]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: Figures = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("COUNTERFOIL_BENCH")) as place:
        os.environ["COUNTERFOIL_HOME"] = f"{place}/home"
        found.update(servers(Path(place), options.seconds))
        found.update(witnessed(Path(place), options.seconds))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        times = f"p50 {figures['p50_ms']:8.1f} ms   p99 {figures['p99_ms']:8.1f} ms"
        print(f"{name:28} {figures['per_s']:10,.0f} /s   {times}")


def servers(place: Path, seconds: float) -> Figures:
    """Several servers on one log."""
    found: Figures = {}
    database = Postgres()
    try:
        url = f"{database.url}?tiles=file://{place}/tiles"
        with cf.init(url) as ledger:
            signer = ledger.principal_key("operator")
        for count in (1, 2, 4):
            with serving([url] * count) as ports:
                found[f"{count} on PostgreSQL"] = load(
                    ports, signer, 64, seconds, f"{count} servers"
                )
    finally:
        database.close()
    return found


def witnessed(place: Path, seconds: float) -> Figures:
    """One server, whose checkpoints three others cosign."""
    found: Figures = {}
    folder = place / "ledger"
    with contextlib.ExitStack() as running:
        with cf.init(folder) as ledger:
            signer = ledger.principal_key("operator")
            listed = []
            for name in ("ada", "bob", "cyd"):
                own = OwnWitness.make(f"{name}.example/w")
                own.know(ledger.key)
                port = running.enter_context(witness(own.name))
                listed.append(own.listed(name, f"http://127.0.0.1:{port}"))
            policy = ledger.policy.show()
            ledger.policy.adopt(
                policy.followed_by(witnesses=(*policy.witnesses, *listed), quorum=4)
            )
        (port,) = running.enter_context(serving([str(folder)]))
        for clients in (1, 8, 64):
            name = f"3 witnesses, {clients} clients"
            found[name] = load([port], signer, clients, seconds, name)
    return found


def load(
    ports: list[int], signer: Signer, clients: int, seconds: float, mark: str
) -> dict[str, float]:
    """Let clients send one envelope a request, each to one of the servers."""
    each = max(4, int(min(800.0, 40.0 * clients) * seconds / clients))
    requests = [
        [
            post(
                signer,
                f"http://127.0.0.1:{ports[n % len(ports)]}",
                [envelope(signer, f"{mark} {n} {m}")],
            )
            for m in range(each)
        ]
        for n in range(clients)
    ]
    return measure([ports[n % len(ports)] for n in range(clients)], requests)


@contextlib.contextmanager
def serving(ledgers: list[str]) -> Iterator[list[int]]:
    """Run a server for each place."""
    ports = [free_port() for _ in ledgers]
    started = [start_server(one, port) for one, port in zip(ledgers, ports, strict=True)]
    try:
        yield ports
    finally:
        for one in started:
            os.killpg(one.pid, signal.SIGTERM)
        for one in started:
            one.wait()


@contextlib.contextmanager
def witness(name: str) -> Iterator[int]:
    """Run a witness as a server."""
    port = free_port()
    command = [sys.executable, "-m", "counterfoil", "log", "witness", "--name", name]
    process = subprocess.Popen(
        [*command, "--listen", f"127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                assert process.poll() is None
                time.sleep(0.05)
            else:
                break
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


if __name__ == "__main__":
    main()
