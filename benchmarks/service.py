"""What a ledger's server takes and gives, over sockets, on this machine.

    python benchmarks/service.py [--clients 64] [--seconds 5] [--json]

A `counterfoil serve` process with a ledger on this disk, and clients in processes of their own on
the same machine, each with one connection that it keeps:

    one         one envelope a request; answered with a receipt once durable and published
    fifty       fifty envelopes a request
    again       one envelope that is in already
    tiles       full tiles of hashes, 8 KiB
    bundles     full entry bundles, compressed

Requests are signed before the clock runs, as clients have machines of their own; what the server
does is all in: signatures, trust policy, index, disk, witness, receipts. The processor time is that
of the server's worker, for each entry or file; other programs on the machine change it little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import counterfoil as cf
from counterfoil.core.envelope import format_envelope, sign_envelope
from counterfoil.core.keys import Signer
from counterfoil.core.statement import Statement, Subject, format_statement, predicate_type
from counterfoil.ledger import sign_request

PROCESSES = 2
DIGEST = {"sha256": "ab" * 32}
JSON, LINES = "application/json", "application/x-ndjson"


def envelope(signer: Signer, name: str) -> bytes:
    """An approval, some 600 bytes."""
    body = {"stage": "production", "comment": name}
    statement = Statement((Subject("credit", DIGEST),), predicate_type("approval"), body)
    return format_envelope(sign_envelope(format_statement(statement), signer))


def post(signer: Signer, url: str, envelopes: list[bytes]) -> bytes:
    """A signed request, as it goes over the wire."""
    body = b"\n".join(envelopes)
    kind = JSON if len(envelopes) == 1 else LINES
    host = url.partition("://")[2]
    headers = {"Host": host, "Content-Type": kind, "Content-Length": str(len(body))}
    headers = sign_request(signer, "POST", f"{url}/entries", headers, body)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /entries HTTP/1.1\r\n{head}\r\n".encode() + body


def get(url: str, path: str) -> bytes:
    """A request for a file."""
    host = url.partition("://")[2]
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\n\r\n".encode()


async def client(port: int, requests: list[bytes], taken: list[float]) -> None:
    """Send requests one after another over one connection; note how long each takes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 25)
    for request in requests:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        taken.append(time.perf_counter() - began)
    writer.close()


def run_clients(
    ports: list[int], requests: list[list[bytes]], start: float, queue: multiprocessing.Queue
) -> None:
    """Run clients of one process from a moment on."""
    taken: list[float] = []

    async def run() -> None:
        await asyncio.sleep(max(0.0, start - time.time()))
        pairs = zip(ports, requests, strict=True)
        await asyncio.gather(*[client(port, one, taken) for port, one in pairs])

    asyncio.run(run())
    queue.put((time.time(), taken))


def processor_s(port: int) -> float:
    """Read how much processor time the server's worker has taken."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
        text = reply.read().decode()
    (line,) = [one for one in text.splitlines() if one.startswith("process_cpu_seconds_total ")]
    return float(line.split()[1])


def measure(ports: list[int], requests: list[list[bytes]], entries: int = 1) -> dict[str, float]:
    """Let all clients run at the same time, each at one port; give rates and times."""
    used = sum(map(processor_s, set(ports)))
    queue: multiprocessing.Queue = multiprocessing.Queue()
    start = time.time() + 1.0
    processes = [
        multiprocessing.Process(
            target=run_clients,
            args=(ports[n::PROCESSES], requests[n::PROCESSES], start, queue),
        )
        for n in range(PROCESSES)
    ]
    for one in processes:
        one.start()
    ended, taken = 0.0, []
    for _ in processes:
        end, times = queue.get()
        ended = max(ended, end)
        taken += times
    for one in processes:
        one.join()
    taken.sort()
    return {
        "requests": len(taken),
        "per_s": len(taken) * entries / (ended - start),
        "processor_us": (sum(map(processor_s, set(ports))) - used) * 1e6 / (len(taken) * entries),
        "p50_ms": taken[len(taken) // 2] * 1000,
        "p99_ms": taken[len(taken) * 99 // 100] * 1000,
    }


def start_server(ledger: str, port: int) -> subprocess.Popen[str]:
    """Start a server, and wait until it is ready."""
    command = [sys.executable, "-m", "counterfoil", "serve", "--ledger", ledger, "--json"]
    command += ["--listen", f"127.0.0.1:{port}", "--public-read", "--rate", "1000000"]
    server = subprocess.Popen(
        [*command, "--concurrency", "1000"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert server.poll() is None
            time.sleep(0.05)
        else:
            return server


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5, help="about how long each part takes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["COUNTERFOIL_HOME"] = f"{place}/home"
        folder = Path(place, "ledger")
        with cf.init(folder) as ledger:
            signer = ledger.principal_key("operator")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        server = start_server(str(folder), port)
        try:
            found = run(port, signer, options.clients, options.seconds)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        per_s, p50, p99 = figures["per_s"], figures["p50_ms"], figures["p99_ms"]
        used = figures["processor_us"]
        times = f"p50 {p50:8.1f} ms   p99 {p99:8.1f} ms"
        print(f"{name:8} {per_s:10,.0f} /s   {times}   processor {used:6.0f} µs each")


def run(port: int, signer: Signer, clients: int, seconds: float) -> dict[str, dict[str, float]]:
    """Run all parts; what each of them asks for is made before it begins."""
    url, ports = f"http://127.0.0.1:{port}", [port] * clients

    def spread(make: Callable[[int], bytes], per_s: float) -> list[list[bytes]]:
        each = max(2, int(per_s * seconds / clients))
        return [[make(n * each + m) for m in range(each)] for n in range(clients)]

    def one(number: int) -> bytes:
        return post(signer, url, [envelope(signer, f"one {number}")])

    def fifty(number: int) -> bytes:
        return post(signer, url, [envelope(signer, f"fifty {number} {m}") for m in range(50)])

    def again(number: int) -> bytes:
        del number
        return post(signer, url, [envelope(signer, "one 0")])

    return {
        "one": measure(ports, spread(one, 800)),
        "fifty": measure(ports, spread(fifty, 40), 50),
        "again": measure(ports, spread(again, 800)),
        "tiles": measure(ports, spread(lambda n: get(url, f"/tile/0/{n % 3:03}"), 1500)),
        "bundles": measure(ports, spread(lambda n: get(url, f"/tile/entries/{n % 3:03}"), 600)),
    }


if __name__ == "__main__":
    main()
