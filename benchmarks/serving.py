"""What recording decisions costs the process that serves them.

    python benchmarks/serving.py [--rate 10000] [--seconds 1] [--rounds 5] [--json]

One thread serves requests that arrive at a fixed rate: some 30 µs of numpy and Python each, and
one decision. Side by side, in rounds that take turns:

    none        nothing is recorded
    encode      the row is written as JSON by orjson and thrown away: the least a recorder can cost
    recorder    counterfoil's Recorder: rows go through shared memory to a process of their own
    thread      a thread of the same process hashes the rows, as a simple design would

A request counts from the moment it was due, or the one before it was done if that was later: what
its processing took, with all waiting for the processor or the interpreter lock, and without its
place in the queue of a machine that is too slow for the rate. Between requests the server gives
up the interpreter lock, as one that waits for the network does. Each figure is that of
the best round: other programs on the machine only add.

The row has 3 separately disclosable fields: inputs (12 numbers), output, and four reasons.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from counterfoil.core.record import SALT_BYTES, seal_rows
from counterfoil.decisions.recorder import Recorder
from counterfoil.vault.keystore import FileKeyStore
from counterfoil.vault.store import StreamStore

STREAM = bytes(32)
FIELDS = ("inputs", "output", "reasons")
INPUTS = {f"attribute_{n}": n * 1.5 for n in range(12)}
REASONS = ["Credit history", "Duration of the loan", "Savings", "Time at present employer"]
LAYERS = np.random.default_rng(1).normal(size=(8, 12, 12))
WARM_UP = 500  # requests at the beginning of a round that are not counted

Record = Callable[[tuple[Any, ...]], object]


def handle_request(number: int) -> tuple[Any, ...]:
    """Decide: the work of a small model behind a web framework."""
    values = np.fromiter(INPUTS.values(), dtype=float) + number % 7
    hidden = values
    for layer in LAYERS:
        hidden = np.tanh(layer @ hidden)
    score = float(1 / (1 + np.exp(-hidden.mean())))
    inputs = dict(zip(INPUTS, values.tolist(), strict=True))
    outcome = "refused" if score < 0.5 else "granted"
    output = {"outcome": outcome, "score": score, "threshold": 0.5, "model": "ab" * 32}
    return inputs, output, REASONS


@contextlib.contextmanager
def no_recording() -> Iterator[Record]:
    """Record nothing."""
    yield lambda row: row


@contextlib.contextmanager
def encoding() -> Iterator[Record]:
    """Write JSON only."""
    yield lambda row: [orjson.dumps(value) for value in row]


@contextlib.contextmanager
def recorder() -> Iterator[Record]:
    """Record durably, by a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        keys = FileKeyStore(Path(folder) / "keys")
        StreamStore.create(Path(folder) / "stream", STREAM, keys).close()
        with Recorder(Path(folder) / "stream", keys, FIELDS) as recorder:
            yield recorder.record


@contextlib.contextmanager
def hashing_thread() -> Iterator[Record]:
    """Hash in a thread; nothing is encrypted or written, so this is the least it could cost."""
    rows: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()

    def work() -> None:
        while (row := rows.get()) is not None:
            seal_rows(STREAM, FIELDS, [row], os.urandom(SALT_BYTES * len(FIELDS)))

    thread = threading.Thread(target=work)
    thread.start()
    yield rows.put
    rows.put(None)
    thread.join()


WAYS = {
    "none": no_recording,
    "encode": encoding,
    "recorder": recorder,
    "thread": hashing_thread,
}


def serve(record: Record, rate: float, seconds: float) -> tuple[list[int], list[int]]:
    """Serve for a while; return nanoseconds of each request and of each call of `record`."""
    clock = time.perf_counter_ns
    period = int(1e9 / rate)
    latencies, enqueuing = [], []
    due = done = clock() + period
    for number in range(WARM_UP + int(rate * seconds)):
        due += period
        while clock() < due:
            time.sleep(0)
        row = handle_request(number)
        before = clock()
        record(row)
        started = max(due, done)
        done = clock()
        latencies.append(done - started)
        enqueuing.append(done - before)
    return latencies[WARM_UP:], enqueuing[WARM_UP:]


def percentiles(nanoseconds: list[int]) -> dict[str, float]:
    """Give percentiles in microseconds."""
    ordered = sorted(nanoseconds)
    return {
        name: ordered[int(len(ordered) * share)] / 1000
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, default=10_000, help="decisions a second")
    parser.add_argument("--seconds", type=float, default=1, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()

    row = handle_request(0)
    row_bytes = sum(len(orjson.dumps(value)) for value in row)
    rounds: dict[str, list[dict[str, dict[str, float]]]] = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way, recording in WAYS.items():
            with recording() as record:
                latencies, enqueuing = serve(record, arguments.rate, arguments.seconds)
            rounds[way].append(
                {"request": percentiles(latencies), "enqueue": percentiles(enqueuing)}
            )
    result: dict[str, Any] = {
        "rate": arguments.rate,
        "fields": len(FIELDS),
        "row_bytes": row_bytes,
        "unit": "microseconds, best of rounds",
        "rounds": arguments.rounds,
    }
    for way, measured in rounds.items():
        result[way] = {
            what: {
                name: round(min(each[what][name] for each in measured), 1)
                for name in measured[0][what]
            }
            for what in ("request", "enqueue")
        }
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    print(
        f"{arguments.rate:,.0f} decisions a second, {len(FIELDS)} fields, {row_bytes} bytes of "
        f"JSON; microseconds, best of {arguments.rounds} rounds of {arguments.seconds:g} s\n"
    )
    print(f"{'':10}{'request':^30}{'enqueue':^30}")
    print(f"{'':10}" + 2 * "".join(f"{name:>10}" for name in ("p50", "p99", "p99.9")))
    for way in WAYS:
        figures = [*result[way]["request"].values(), *result[way]["enqueue"].values()]
        print(f"{way:10}" + "".join(f"{figure:10.1f}" for figure in figures))
    added = result["recorder"]["request"]["p99"] - result["none"]["request"]["p99"]
    threaded = result["thread"]["request"]["p99"] - result["none"]["request"]["p99"]
    print(f"\nRecording adds {added:.0f} µs to the request's p99, a hashing thread {threaded:.0f}.")


if __name__ == "__main__":
    main()
