"""What a ledger elsewhere costs beside one at home, in one run: `python benchmarks/remote.py`.

A log is audited in its folder, and over HTTP from a server in another process of this machine, in
turns. The server is a bare loop over files, so that what is measured is the client. `--json`
prints the figures, `--quick` measures less.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import counterfoil
from counterfoil.ledger.export import export_site
from counterfoil.remote import Mirror

ENTRY_BYTES = 300  # a small statement in its envelope
BATCH = 1000
TURNS = 5


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    entries = 40_000 if options.quick else 200_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("COUNTERFOIL_BENCH")) as folder:
        figures = audits(Path(folder), entries)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:58} {value:>14,.2f}")


def audits(folder: Path, entries: int) -> dict[str, float]:
    """Audit one log at home and over HTTP, in turns."""
    os.environ["COUNTERFOIL_HOME"] = str(folder / "home")
    local = counterfoil.init(folder / "ledger")
    while local.size < entries:
        local.append_many([os.urandom(ENTRY_BYTES) for _ in range(BATCH)])
    export_site(local, folder / "site")
    trust = folder / "ledger" / "trust.toml"
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    server = multiprocessing.get_context("fork").Process(
        target=serve, args=(listener, folder / "site"), daemon=True
    )
    server.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    at_home: list[Spent] = []
    elsewhere: list[Spent] = []
    opening: list[float] = []
    mirroring = Spent(1, 1)
    try:
        for turn in range(TURNS):
            at_home.append(spent(local.audit))
            # Another home each turn: nothing was read before.
            os.environ["COUNTERFOIL_HOME"] = str(folder / f"reader{turn}")
            began = time.perf_counter()
            with counterfoil.open(url, trust=trust) as remote:
                opening.append(time.perf_counter() - began)
                elsewhere.append(spent(remote.audit))
            if turn == 0:
                mirror = Mirror(url, folder / "mirror")
                mirroring = spent(mirror.update)
                mirror.close()
    finally:
        server.terminate()
        server.join()
        local.close()
    home, away = median(at_home), median(elsewhere)
    return {
        "audit in its folder, entries a second": local.size / home.seconds,
        "audit over HTTP, entries a second": local.size / away.seconds,
        "over HTTP, of the speed in its folder": home.seconds / away.seconds,
        "audit in its folder, entries a second of the processor": local.size / home.processor,
        "audit over HTTP, entries a second of the processor": local.size / away.processor,
        "over HTTP, of that in its folder, by the processor": home.processor / away.processor,
        "mirroring over HTTP, entries a second": local.size / mirroring.seconds,
        "mirroring over HTTP, entries a second of the processor": local.size / mirroring.processor,
        "opening over HTTP, ms": 1e3 * statistics.median(opening),
    }


class Spent(NamedTuple):
    """What a call took, by the clock and by this process's processor time."""

    seconds: float
    processor: float


def spent(work: Callable[[], object]) -> Spent:
    """Time one call."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - began, time.process_time() - used)


def median(turns: list[Spent]) -> Spent:
    """Give the medians of several."""
    return Spent(*(statistics.median(figures) for figures in zip(*turns, strict=True)))


def serve(listener: socket.socket, folder: Path) -> None:
    """Answer GET requests with files, and do nothing else."""
    import asyncio  # noqa: PLC0415 in the server's process alone

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = folder / head.split(b" ", 2)[1].decode().lstrip("/")
                found = path.read_bytes() if path.is_file() else None
                status = b"404 Not Found" if found is None else b"200 OK"
                body = found or b""
                writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, sock=listener)
        await server.serve_forever()

    asyncio.run(run())


if __name__ == "__main__":
    main()
