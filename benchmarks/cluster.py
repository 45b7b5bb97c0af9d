"""What a log on PostgreSQL costs, in one run: `python benchmarks/cluster.py`.

Receipts a second for 64 clients in 1, 2 and 4 processes, and batches of 1,000 beside PostgreSQL's
own COPY of the same bytes into a table. The server is started here with its defaults and its data
in COUNTERFOIL_BENCH, or the system's temporary folder; tiles go into a folder, and into SeaweedFS
over S3, its data beside them. `--json` prints the figures, `--quick` measures less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import servers

from counterfoil.cluster import create_log, open_log
from counterfoil.core.keys import Algorithm
from counterfoil.ledger.keyfiles import generate_key, save_key
from counterfoil.ledger.places import Places

ENTRY_BYTES = 300  # a small statement in its envelope
BATCH = 1000
CLIENTS = 64

# One process with some of the clients: it starts when told, and says how many receipts it got.
CLIENT = """
import os, sys, threading, time
from counterfoil.cluster import open_log
url, clients, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
log = open_log(url)
log.append(os.urandom(300))
print("ready", flush=True)
sys.stdin.readline()
until = time.monotonic() + seconds
counts = [0] * clients
def work(number):
    while time.monotonic() < until:
        log.append(os.urandom(300))
        counts[number] += 1
threads = [threading.Thread(target=work, args=(n,)) for n in range(clients)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sum(counts), flush=True)
log.close()
"""


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    seconds = 3.0 if options.quick else 10.0
    figures: dict[str, float] = {}
    place = os.environ.get("COUNTERFOIL_BENCH")
    with tempfile.TemporaryDirectory(dir=place) as folder:
        os.environ["COUNTERFOIL_HOME"] = f"{folder}/home"
        tempfile.tempdir = place
        postgres, seaweedfs = servers.Postgres(), servers.SeaweedFS()
        os.environ.update(seaweedfs.environment)
        try:
            for kind, tiles in (
                ("folder", f"file://{folder}/tiles"),
                ("seaweedfs", f"s3://{servers.BUCKET}"),
            ):
                for processes in (1, 2, 4):
                    url = make_log(postgres, f"{kind}_{processes}", tiles)
                    rate = receipts(url, processes, seconds)
                    figures[f"receipts/s, {CLIENTS} clients, {processes} processes, {kind}"] = rate
                url = make_log(postgres, f"{kind}_batches", tiles)
                figures.update(batches(postgres, url, kind, rounds=5 if options.quick else 20))
        finally:
            seaweedfs.close()
            postgres.close()
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:58} {value:>14,.2f}", flush=True)


def make_log(postgres: servers.Postgres, name: str, tiles: str) -> str:
    """Make an empty log without a witness."""
    signer = generate_key(f"bench.example/{name}", Algorithm.ED25519)
    save_key(Places(signer.key.name).keys / "log.pem", signer)
    url = f"{postgres.url}?tiles={tiles}/{name}&schema={name}"
    create_log(url, lambda: signer)
    return url


def receipts(url: str, processes: int, seconds: float) -> float:
    """Receipts a second of all clients together."""
    command = [sys.executable, "-c", CLIENT, url, str(CLIENTS // processes), str(seconds)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    begun = time.monotonic()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    total = 0
    for process in running:
        assert process.stdout is not None
        total += int(process.stdout.readline())
    took = time.monotonic() - begun
    for process in running:
        process.communicate()
    return total / took


def batches(postgres: servers.Postgres, url: str, kind: str, rounds: int) -> dict[str, float]:
    """Batches of 1,000: ours, and COPY of the same entries, in turns."""
    ours, copied = [], []
    with (
        open_log(url) as log,
        psycopg.connect(postgres.url, autocommit=True) as connection,
    ):
        connection.execute("CREATE TABLE IF NOT EXISTS plain (entry bytea)")
        log.append(b"warm")
        for _ in range(rounds):
            entries = [os.urandom(ENTRY_BYTES) for _ in range(BATCH)]
            at = time.perf_counter()
            log.append_many(entries)
            ours.append(time.perf_counter() - at)
            at = time.perf_counter()
            with connection.cursor().copy("COPY plain FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["bytea"])
                for entry in entries:
                    copy.write_row((entry,))
            copied.append(time.perf_counter() - at)
    ratio = statistics.median(a / b for a, b in zip(copied, ours, strict=True))
    return {
        f"entries/s, batches of 1,000, {kind}": BATCH / statistics.median(ours),
        f"rows/s, COPY of the same, {kind}": BATCH / statistics.median(copied),
        f"ratio, {kind}": ratio,
    }


if __name__ == "__main__":
    main()
