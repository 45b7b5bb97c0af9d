"""What records of streams cost on PostgreSQL, and in a folder: `python benchmarks/vault.py`.

Batches of 1,000 of the same records, encrypted and durable, in turns at both places; single ones;
finding a person's; and erasing one of many, which on PostgreSQL wraps the keys of all others anew.
The server is started here with its defaults, and its data in COUNTERFOIL_BENCH, or the system's
temporary folder, as the folder's stream is. `--json` prints the figures, `--quick` measures less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import servers

from counterfoil.cluster import DatabaseKeeping, create_log
from counterfoil.core.keys import Algorithm
from counterfoil.core.record import SALT_BYTES, seal_rows
from counterfoil.ledger.keyfiles import generate_key
from counterfoil.vault import Eraser, ErasureRequest, FileKeyStore, StreamStore, request_digest
from counterfoil.vault.folder import FolderStreams

FIELDS = ("inputs", "output", "reasons")
ROW = (
    {f"feature_{i}": i * 1.25 for i in range(20)},
    {"outcome": "refused", "score": 0.31251, "decided": "2026-11-22T10:00:00Z"},
    {"method": "ebm-terms", "terms": [[f"feature_{i}", -0.125 * i] for i in range(4)]},
)
BATCH = 1000
REQUEST = ErasureRequest("GDPR Art. 17", request_digest(b""), ("a", "b"))
STREAMS = (b"S" * 32, b"A" * 32)
PLACES = ("folder", "PostgreSQL")


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    sizes = (10_000,) if options.quick else (10_000, 100_000)
    figures: dict[str, float] = {}
    place = os.environ.get("COUNTERFOIL_BENCH")
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        os.environ["COUNTERFOIL_HOME"] = f"{folder}/home"
        tempfile.tempdir = place
        postgres = servers.Postgres()
        try:
            url = f"{postgres.url}?tiles=file://{folder}/tiles"
            create_log(url, lambda: generate_key("bench.example/vault", Algorithm.ED25519))
            streams = (FolderStreams(folder / "ledger"), DatabaseKeeping(url).streams)
            keys = FileKeyStore(folder / "vault-keys")
            made = {
                place: [
                    StreamStore.create(where.place(one), one, keys)
                    for one in (b"S" * 32, b"A" * 32)
                ]
                for place, where in zip(PLACES, streams, strict=True)
            }
            done = 0
            for size in sizes:
                figures.update(recording(made, done, size))
                figures.update(using(made, size))
                done = size
        finally:
            postgres.close()
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:58} {value:>14,.3f}", flush=True)


def recording(made: dict[str, list[StreamStore]], done: int, size: int) -> dict[str, float]:
    """Fill all streams up to a size, in turns."""
    times: dict[str, list[float]] = {place: [] for place in PLACES}
    for first in range(done, size, BATCH):
        for place in PLACES:
            times[place].append(timed(fill, made[place][0], first, BATCH))
    ratio = statistics.median(
        a / b for a, b in zip(times["folder"], times["PostgreSQL"], strict=True)
    )
    rates = {
        f"records/s up to {size:,}, {place}": BATCH / statistics.median(times[place])
        for place in PLACES
    }
    return rates | {f"  PostgreSQL relative to a folder, up to {size:,}": ratio}


def using(made: dict[str, list[StreamStore]], size: int) -> dict[str, float]:
    """One record more, a person found, and one erased."""
    found = {}
    for place, (store, audit) in made.items():
        single = statistics.median(timed(fill, store, size, 1) for _ in range(50))
        found[f"one record, {place}, at {size:,}: ms"] = 1e3 * single
        store.find("person 3")
        asked = statistics.median(timed(store.find, "person 7") for _ in range(50))
        found[f"one person found, {place}, at {size:,}: ms"] = 1e3 * asked
        (index,) = store.find(f"person {size // 2}")
        erased = timed(Eraser(store, audit, rules=()).erase, [index], REQUEST)
        found[f"one record erased, {place}, at {size:,}: s"] = erased
    return found


def fill(store: StreamStore, first: int, count: int) -> None:
    """Append records about a person each."""
    salts = os.urandom(SALT_BYTES * len(FIELDS) * count)
    people = [f"person {first + number}" for number in range(count)]
    store.append(seal_rows(store.stream, FIELDS, [ROW] * count, salts), people)


def timed(act: Callable[..., object], *given: object) -> float:
    """Seconds that something takes."""
    begun = time.perf_counter()
    act(*given)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
