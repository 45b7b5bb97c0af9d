"""What the ledger costs, side by side with peers, in one run: `python benchmarks/ledger.py`.

Figures are medians; ratios are what to look at, as they move less from machine to machine than
seconds do. What waits for the disk is measured by the clock, what only computes by the processor
time it takes, which other programs disturb less. `--json` prints the figures, `--quick` measures
less.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from counterfoil.core.keys import Algorithm
from counterfoil.core.merkle import (
    Frontier,
    Hash,
    check_inclusion,
    leaf_hashes,
    prove_inclusion,
    split_hashes,
)
from counterfoil.core.record import SALT_BYTES, seal_rows
from counterfoil.ledger.audit import audit
from counterfoil.ledger.keyfiles import generate_key, save_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places
from counterfoil.vault import FileKeyStore, StreamStore

ENTRY_BYTES = 300  # a small statement in its envelope
BATCH = 1000
TURN = 25  # batches: as many as it takes for a log to recycle its journal and SQLite its own
WARM_MIB = 512  # about what the files of this benchmark take of the page cache


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    scale = 1 if options.quick else 5
    with tempfile.TemporaryDirectory(dir=os.environ.get("COUNTERFOIL_BENCH")) as folder:
        os.environ["COUNTERFOIL_HOME"] = f"{folder}/home"
        warm(Path(folder))
        figures: dict[str, float] = {}
        for measure in (appending, single, proving, auditing, recording, starting):
            found = measure(Path(folder), scale)
            figures.update(found)
            if not options.json:
                for name, value in found.items():
                    print(f"{name:58} {value:>14,.2f}", flush=True)
    if options.json:
        print(json.dumps(figures, indent=2))


def warm(folder: Path) -> None:
    """Use memory for files once, which costs a virtual machine more than all later uses."""
    path = folder / "warm"
    with path.open("wb") as file:
        for _ in range(WARM_MIB):
            file.write(bytes(1 << 20))
    path.unlink()


def make_log(folder: Path, name: str) -> Log:
    """Make a log without a witness."""
    signer = generate_key(f"bench.example/{name}", Algorithm.ED25519)
    save_key(Places(signer.key.name).keys / "log.pem", signer)
    Log.create(folder / name, signer)
    return Log(folder / name)


def entries(count: int) -> list[bytes]:
    """Make entries that are all different."""
    return [i.to_bytes(8, "big") + os.urandom(ENTRY_BYTES - 8) for i in range(count)]


def appending(folder: Path, scale: int) -> dict[str, float]:
    """Durable appends in batches of 1,000: ours, plain SQLite, pymerkle's SqliteTree."""
    batches = [entries(BATCH) for _ in range(TURN)]
    log = make_log(folder, "batches")
    database = sqlite3.connect(folder / "plain.sqlite")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE entries (position INTEGER PRIMARY KEY, entry BLOB)")

    def plain(batch: list[bytes]) -> None:
        with database:
            database.executemany("INSERT INTO entries (entry) VALUES (?)", [(e,) for e in batch])

    ways = {
        "ours": log.append_many,
        "SQLite": plain,
        "pymerkle": _pymerkle(folder),
        "aics-tlog": _aics_tlog(folder),
    }
    # In turns, so that all meet the same moments of a shared machine.
    turns: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(1 + 4 * scale):
        for way, append in ways.items():
            start = time.perf_counter()
            for batch in batches if append else ():
                append(batch)
            turns[way].append(time.perf_counter() - start)
    log.close()
    database.close()
    ours, sqlite, pymerkle, aics = (statistics.median(times[1:]) for times in turns.values())
    found = {
        "append, batches of 1,000: entries/s": BATCH * TURN / ours,
        "  plain SQLite, WAL, synchronous=FULL: rows/s": BATCH * TURN / sqlite,
        "  ratio to plain SQLite": sqlite / ours,
    }
    if ways["pymerkle"] is not None:
        found["  pymerkle SqliteTree: entries/s"] = BATCH * TURN / pymerkle
        found["  ratio to pymerkle"] = pymerkle / ours
    if ways["aics-tlog"] is not None:
        found["  aics-tlog: entries/s"] = BATCH * TURN / aics
        found["  ratio to aics-tlog"] = aics / ours
    return found


def _pymerkle(folder: Path):  # noqa: ANN202
    try:
        from pymerkle import SqliteTree  # noqa: PLC0415 a peer, in the test environment only
    except ImportError:
        return None
    tree = SqliteTree(str(folder / "pymerkle.sqlite"))
    return tree.append_entries


# In their own Python: a batch from standard input, durably, with a signed checkpoint.
AICS_TLOG = """
import sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from aics_tlog import Checkpoint, DirectoryTileStore, IncrementalTileWriter, sign_checkpoint
key = Ed25519PrivateKey.generate()
store = DirectoryTileStore(sys.argv[1])
writer = IncrementalTileWriter(store)
width, count = int(sys.argv[2]), int(sys.argv[3])
while data := sys.stdin.buffer.read(width * count):
    writer.append([data[at : at + width] for at in range(0, len(data), width)])
    head = Checkpoint("bench.example/aics", writer.size, writer.root())
    store.write_checkpoint(sign_checkpoint(head, key, head.origin).to_bytes())
    sys.stdout.write("k")
    sys.stdout.flush()
"""


def _aics_tlog(folder: Path):  # noqa: ANN202
    python = Path(__file__).parents[1] / ".venv-aics" / "bin" / "python"
    if not python.exists():  # `make peers` makes it
        return None
    words = [str(python), "-c", AICS_TLOG, str(folder / "aics"), str(ENTRY_BYTES), str(BATCH)]
    peer = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def append(batch: list[bytes]) -> None:
        peer.stdin.write(b"".join(batch))
        peer.stdin.flush()
        assert peer.stdout.read(1) == b"k"

    return append


def single(folder: Path, scale: int) -> dict[str, float]:
    """One durable append against a bare fdatasync of the same bytes, in turns."""
    log = make_log(folder, "single")
    log.append(b"warm")
    fd = os.open(folder / "bare", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, bytes(4 << 20), 0)
    os.fsync(fd)
    ours, bare = [], []
    for number, entry in enumerate(entries(400 * scale)):
        start = time.perf_counter()
        log.append(entry)
        middle = time.perf_counter()
        os.pwrite(fd, entry + bytes(400), number * 700)
        os.fdatasync(fd)
        bare.append(time.perf_counter() - middle)
        ours.append(middle - start)
    log.close()
    os.close(fd)
    return {
        "one durable append: µs": statistics.median(ours) * 1e6,
        "  bare pwrite and fdatasync: µs": statistics.median(bare) * 1e6,
        "  ratio to bare fdatasync": statistics.median(ours) / statistics.median(bare),
    }


def proving(folder: Path, scale: int) -> dict[str, float]:  # noqa: ARG001
    """Inclusion checks at size 10**6, against the hashing they cannot do without."""
    size = 10**6
    joined = leaf_hashes([i.to_bytes(8, "big") for i in range(size)])
    leaves = split_hashes(joined)
    layers = [leaves]
    while len(layers[-1]) > 1:
        row = layers[-1]
        layers.append(
            [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row) - 1, 2)]
        )
    frontier = Frontier()
    frontier.extend(joined)
    root = frontier.root()
    picked = range(0, size, 50 if scale > 1 else 250)
    received = [
        (i, b"".join(prove_inclusion(i, size, lambda level, n: layers[level][n]))) for i in picked
    ]
    ours = bare = 0.0
    for first in range(0, len(received), 100):
        # As a verifier has them: just read from a receipt, not scattered over a whole tree.
        paths = [
            (i, tuple([Hash(path[at : at + 32]) for at in range(0, len(path), 32)]))
            for i, path in received[first : first + 100]
        ]
        start = time.process_time()
        for index, path in paths:
            check_inclusion(leaves[index], index, size, path, root)
        middle = time.process_time()
        for _index, path in paths:
            for sibling in path:
                sha256(b"\x01" + sibling + root).digest()
        bare += time.process_time() - middle
        ours += middle - start
    return {
        "inclusion checks at size 1,000,000: /s": len(received) / ours,
        "  only their hashes: /s": len(received) / bare,
        "  checks: time relative to only hashing": ours / bare,
    }


def auditing(folder: Path, scale: int) -> dict[str, float]:
    """A whole audit, signatures of entries not included."""
    log = make_log(folder, "audit")
    count = 100_000 * scale
    for start in range(0, count, 5000):
        log.append_many(entries(min(5000, count - start)))
    data = [os.urandom(ENTRY_BYTES) for _ in range(10_000)]
    ours, bare = [], []
    for _ in range(5):
        start_s = time.process_time()
        audit(log)
        ours.append(count / (time.process_time() - start_s))
        start_s = time.process_time()
        for entry in data:
            sha256(b"\x00" + entry).digest()
            sha256(b"\x01" + entry[:64]).digest()
        bare.append(len(data) / (time.process_time() - start_s))
    log.close()
    return {
        "audit: entries/s": statistics.median(ours),
        "  only their two hashes each: /s": statistics.median(bare),
        "  audit: time relative to only hashing": statistics.median(bare) / statistics.median(ours),
    }


def recording(folder: Path, scale: int) -> dict[str, float]:
    """Stream records with inputs, output and reasons, encrypted and durable, by subject or not."""
    fields = ("inputs", "output", "reasons")
    stream = os.urandom(32)
    row = (
        {f"feature_{i}": i * 1.25 for i in range(20)},
        {"outcome": "refused", "score": 0.31251, "decided": "2026-11-22T10:00:00Z"},
        {"method": "ebm-terms", "terms": [[f"feature_{i}", -0.125 * i] for i in range(4)]},
    )
    found = {}
    for name, subject in (("no named subject", None), ("a named subject each", "person {}")):
        keys = FileKeyStore(folder / f"vault-keys-{name[0]}")
        store = StreamStore.create(folder / f"stream-{name[0]}", stream, keys)
        times, computing = [], []
        for number in range(12 * scale):
            rows = [row] * BATCH
            subjects = [subject and subject.format(number * BATCH + i) for i in range(BATCH)]
            start, start_s = time.perf_counter(), time.process_time()
            salts = os.urandom(SALT_BYTES * len(fields) * BATCH)
            store.append(seal_rows(stream, fields, rows, salts), subjects)
            times.append(time.perf_counter() - start)
            computing.append(time.process_time() - start_s)
        store.close()
        every, computed = statistics.median(times), statistics.median(computing)
        found[f"stream records, 3 disclosable fields, {name}: /s"] = BATCH / every
        found[f"  {name}, by processor time: /s"] = BATCH / computed
    return found


def starting(folder: Path, scale: int) -> dict[str, float]:  # noqa: ARG001
    """Time to import, and to print the help, in a fresh process, bytecode compiled."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def best(*command: str) -> float:
        times = []
        for _ in range(7):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, *command], env=environment, check=True, capture_output=True
            )
            times.append(time.perf_counter() - start)
        return statistics.median(times[1:])

    return {
        "bare interpreter: s": best("-c", "pass"),
        "import counterfoil: s": best("-c", "import counterfoil"),
        "counterfoil --help: s": best("-m", "counterfoil", "--help"),
    }


if __name__ == "__main__":
    main()
