"""What a log costs as it grows: `python benchmarks/growth.py`.

At each size: one durable append, a proof made and checked, what it weighs, and memory. Entries are
64 bytes. Subtrees are those of the last 2**12 entries, cosigned with ML-DSA-44 as a witness does.
`--json` prints the figures, `--quick` stops at 10**6.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from counterfoil.core.cosignature import (
    check_cosignature,
    check_subtree_cosignature,
    cosign,
    cosign_subtree,
)
from counterfoil.core.keys import Algorithm
from counterfoil.core.merkle import HASH_BYTES, check_consistency, check_inclusion
from counterfoil.core.note import parse_note
from counterfoil.core.subtree import Subtree, check_subtree, cover
from counterfoil.ledger.keyfiles import generate_key, save_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places

SIZES = (10**4, 10**6, 10**7)
SUBTREE = 2**12
ROUNDS = 300


def main() -> None:
    """Grow a log and measure it at each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("COUNTERFOIL_BENCH")) as folder:
        os.environ["COUNTERFOIL_HOME"] = f"{folder}/home"
        signer = generate_key("bench.example/growth", Algorithm.ED25519)
        save_key(Places(signer.key.name).keys / "log.pem", signer)
        Log.create(Path(folder, "log"), signer)
        figures = {}
        with Log(Path(folder, "log")) as log:
            for size in SIZES[:2] if options.quick else SIZES:
                grow(log, size)
                figures[size] = measure(log)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name in next(iter(figures.values())):
        values = (f"{found[name]:>12,.1f}" for found in figures.values())
        print(f"{name:44}", *values)


def grow(log: Log, size: int) -> None:
    """Append until it has so many entries."""
    while log.size < size:
        log.append_many([i.to_bytes(8, "big") * 8 for i in range(min(5000, size - log.size))])
    os.sync()  # what is left to write of these would be waited for by those that are measured


def measure(log: Log) -> dict[str, float]:
    """Measure at its present size; medians in microseconds of the clock."""
    found = {"entries": float(log.size)}
    found["one durable append: µs"] = median(lambda _: log.append(b"x" * 64))
    size, root, node = log.size, log.root, log._tree.node
    step = size // ROUNDS
    paths = [log._tree.inclusion(i * step) for i in range(ROUNDS)]
    leaves = [log._tree.leaf(i * step) for i in range(ROUNDS)]
    found["receipt made and checked: µs"] = median(lambda i: log.receipt(i * step))
    found["inclusion proof checked: µs"] = median(
        lambda i: check_inclusion(leaves[i], i * step, size, paths[i], root)
    )
    found["inclusion proof: bytes"] = statistics.mean(map(len, paths)) * HASH_BYTES
    old = size - SUBTREE
    proof, old_root = log.consistency(old), log.root_at(old)
    found["consistency proof made: µs"] = median(lambda _: log.consistency(old))
    found["consistency proof checked: µs"] = median(
        lambda _: check_consistency(old, old_root, size, root, proof)
    )
    part = max(cover(size - SUBTREE, size), key=lambda one: one.size)
    found.update(measure_subtree(log, part, node))
    found["peak memory so far: MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def measure_subtree(log: Log, part: Subtree, node: Callable[[int, int], bytes]) -> dict[str, float]:
    """Measure a subtree and its cosignature beside that of the checkpoint."""
    witness = generate_key("bench.example/witness", Algorithm.COSIGNATURE_ML_DSA_44)
    size, root, part_root = log.size, log.root, part.root(node)
    proof, text = part.prove_consistency(size, node), parse_note(log.checkpoint).text
    middle = part.start + part.size // 2
    path, leaf = part.prove_inclusion(middle, node), log._tree.leaf(middle)
    whole = cosign(text, 1_800_000_000, witness)
    line = cosign_subtree(log.origin, part, part_root, witness)
    return {
        "subtree proven to be in the log: µs": median(lambda _: part.prove_consistency(size, node)),
        "  checked, before it is cosigned: µs": median(
            lambda _: check_subtree(part, part_root, size, root, proof)
        ),
        "inclusion in the subtree checked: µs": median(
            lambda _: check_inclusion(leaf, middle - part.start, part.size, path, part_root)
        ),
        "  its proof: bytes": float(len(path) * HASH_BYTES),
        "subtree cosigned, ML-DSA-44: µs": median(
            lambda _: cosign_subtree(log.origin, part, part_root, witness)
        ),
        "  checked: µs": median(
            lambda _: check_subtree_cosignature(log.origin, part, part_root, line, witness.key)
        ),
        "checkpoint's cosignature checked: µs": median(
            lambda _: check_cosignature(text, whole, witness.key)
        ),
        "a cosignature: bytes": float(len(line.signature)),
    }


def median(work: Callable[[int], object]) -> float:
    """Do some work often; the median of what it takes, in microseconds."""
    times = []
    for number in range(ROUNDS):
        start = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


if __name__ == "__main__":
    main()
