"""Fuzz parsers: `python tests/fuzz/run.py [TARGET…] --runs N`; `make fuzz` runs all of them.

Each target has a process of its own, one after another. Where atheris is installed, inputs that
reach new code are kept in tests/fuzz/corpus and changed further, also by the next run; elsewhere
changes are made of the seeds alone. What breaks a promise is kept in tests/fuzz/found, and
`--again FILE` tries it once more.

With `--tally FILE`, each run adds to it what it tried, and the next goes on from there.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gc
import mmap
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from ctypes import c_int64, sizeof
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha1, sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuzz.targets import Target

HERE = Path(__file__).resolve().parent
FOUND = HERE / "found"
CORPUS = HERE / "corpus"
MAX_MEMORY_MIB = 2048
HANGS_AFTER_S = 60
_SHOWN_LINES = 60  # of what a target that failed has said
_TOLD_EVERY_S = 60.0  # how far it is, where nobody looks at a terminal

sys.path.insert(0, str(HERE.parent))
try:
    import atheris
except ImportError:  # there are no wheels for this platform
    atheris: Any = None


def load() -> dict[str, Target]:
    """Import all that is fuzzed, so that it tells where it has been."""
    guide = (
        contextlib.nullcontext()
        if atheris is None
        else atheris.instrument_imports(include=["counterfoil"], enable_loader_override=False)
    )
    with guide:
        from fuzz.targets import all_targets  # noqa: PLC0415 not before it is guided

        remember_signatures()
        return all_targets()


def remember_signatures() -> None:
    """Check a true signature once: a case leaves most as they are, and they are half of its time.

    Which signatures are true is a matter of key, message and signature, and of nothing else.
    """
    from counterfoil.core import keys  # noqa: PLC0415 not before it is guided

    class Remembering:
        def __init__(self, key: keys.VerifierKey) -> None:
            self.verify = lru_cache(1 << 12)(original(key).verify)  # it raises for a false one

    original = keys._public_key
    keys._public_key = lru_cache(1 << 8)(Remembering)


def try_one(target: Target, data: bytes, count: c_int64) -> None:
    """Try one input and count it, and keep it where it breaks the promise."""
    from fuzz.targets import keeps_promise  # noqa: PLC0415

    try:
        keeps_promise(target, data)
    except Exception:
        (FOUND / f"{target.name}-crash-{sha256(data).hexdigest()[:12]}").write_bytes(data)
        raise
    finally:
        count.value += 1


def guided(target: Target, runs: int, seconds: int, seed: int, count: c_int64) -> None:
    """Run a target with atheris, which ends this process."""
    from fuzz.mutation import mutate  # noqa: PLC0415

    corpus = target.corpus
    folder = CORPUS / target.name
    folder.mkdir(parents=True, exist_ok=True)
    kept = len(list(folder.iterdir()))
    count.value = -kept  # an earlier run has counted these
    random = Random(seed)

    def change(data: bytes, max_size: int, _: int) -> bytes:
        if random.random() < 0.4:
            return bytes(atheris.Mutate(data, max_size))
        return mutate(data, random, target.form, corpus)[:max_size]

    for one in corpus:
        (folder / sha1(one, usedforsecurity=False).hexdigest()).write_bytes(one)
    options = (
        f"-runs={runs + kept}",
        f"-max_total_time={seconds}",
        f"-max_len={max(1024, max(map(len, corpus)) * 5 // 4)}",
        f"-timeout={HANGS_AFTER_S}",
        f"-rss_limit_mb={MAX_MEMORY_MIB}",
        f"-artifact_prefix={FOUND}/{target.name}-",
        f"-seed={seed}",
        "-reload=0",
    )
    atheris.Setup(
        [sys.argv[0], *options, str(folder)],
        lambda data: try_one(target, data, count),
        custom_mutator=change,
    )
    atheris.Fuzz()


def unguided(target: Target, runs: int, seconds: int, seed: int, count: c_int64) -> None:
    """Run a target without a guide, on other changes than the tests make."""
    from fuzz.targets import cases  # noqa: PLC0415

    ends = time.monotonic() + seconds if seconds else float("inf")
    for data in cases(target, runs, seed):
        try_one(target, data, count)
        if count.value % 4096 == 0 and time.monotonic() > ends:
            break


@dataclass
class Run:
    """What came of trying a target: a line of the table, and of a tally."""

    name: str
    cases: int = 0
    seconds: float = 0.0
    crashes: int = 0

    def __str__(self) -> str:
        rate = self.cases / self.seconds if self.seconds else 0
        return f"{self.name:20} {self.cases:>9} {self.seconds:>7.0f} s {rate:>7.0f}/s"


def run_one(target: Target, runs: int, seconds: int, seed: int, said: Path) -> Iterator[Run]:
    """Run a target in a process of its own: one `Run`, again and again until it has ended.

    Args:
        target: Which.
        runs: How many cases.
        seconds: At most so long; 0: no end.
        seed: Decides which cases.
        said: Where it tells more; its folder takes what it writes.
    """
    began = time.monotonic()
    run = Run(target.name)
    count = c_int64.from_buffer(mmap.mmap(-1, sizeof(c_int64)))
    # A copy of this process: what is fuzzed is imported once, and a crash ends nothing else.
    child = os.fork()
    if child == 0:
        told = said.open("w", errors="replace")
        try:
            os.dup2(told.fileno(), 2)
            tempfile.tempdir = str(said.parent)  # it ends without cleaning up
            gc.freeze()  # nothing that is there already is ever thrown away
            (unguided if atheris is None else guided)(target, runs, seconds, seed, count)
            os._exit(0)
        except BaseException:  # noqa: BLE001 whatever it is, it is told
            traceback.print_exc(file=told)
            told.flush()
            os._exit(1)
    ended = (0, 0)
    try:
        while ended == (0, 0):
            yield run
            time.sleep(0.1)
            ended = os.waitpid(child, os.WNOHANG)
            run.cases, run.seconds = max(0, count.value), time.monotonic() - began
            run.crashes = int(ended[1] != 0)
    finally:
        if ended == (0, 0):  # nobody waits for the rest
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            run.cases, run.seconds = max(0, count.value), time.monotonic() - began


def read_tally(tally: Path | None) -> dict[str, int]:
    """Cases of each target that earlier runs have tried."""
    done: dict[str, int] = {}
    if tally is not None and tally.exists():
        for name, count, *_ in csv.reader(tally.read_text().splitlines(), delimiter="\t"):
            done[name] = done.get(name, 0) + int(count)
    return done


def add_to_tally(tally: Path | None, run: Run) -> None:
    """Write down what a run has tried, as one line: several may write."""
    if tally is not None:
        with tally.open("a") as file:
            print(run.name, run.cases, round(run.seconds), run.crashes, sep="\t", file=file)


def _place() -> str | None:
    """Where files are kept in memory, if there is such a place."""
    shared = "/dev/shm"  # noqa: S108
    return shared if Path(shared).is_dir() else None


def follow(target: Target, runs: int, seconds: int, done: int, tally: Path | None) -> Run:
    """Run a target, show how far it is, and write down what came of it, also where it is ended."""
    shown, terminal = 0.0, sys.stderr.isatty()
    run = Run(target.name)
    with tempfile.TemporaryDirectory(prefix="counterfoil-fuzz-", dir=_place()) as folder:
        said = Path(folder) / "said"
        try:
            for run in run_one(target, runs, seconds, done + 1, said):
                if terminal:
                    print(f"\r{run}", end="", file=sys.stderr, flush=True)
                elif run.seconds - shown > _TOLD_EVERY_S:
                    shown = run.seconds
                    print(f"{run}  …", file=sys.stderr, flush=True)
        finally:
            add_to_tally(tally, run)
        result = "FAILED" if run.crashes else "ok" if run.cases >= runs else "ok so far"
        print(f"\r{run}  {result}" if terminal else f"{run}  {result}", flush=True)
        if run.crashes:
            print("\n".join(said.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]))
    return run


def run_all(
    targets: list[Target], wanted: dict[bool, int], seconds: int, tally: Path | None
) -> int:
    """Run targets one after another, and say in a table what came of each."""
    failed = 0
    reached = dict.fromkeys(wanted, 0)
    for target in targets:
        runs, done = wanted[target.flow], read_tally(tally).get(target.name, 0)
        if done < runs:
            run = follow(target, runs - done, seconds, done, tally)
            done += run.cases
            failed += run.crashes
        reached[target.flow] += done >= runs
    for flow, runs in wanted.items():
        if count := sum(one.flow is flow for one in targets):
            kind = "flows" if flow else "parsers"
            print(f"{reached[flow]} of {count} {kind} have {runs:,} cases.", flush=True)
    print(f"{failed} of {len(targets)} targets broke their promise.", flush=True)
    if failed:
        print(f"What did it is in {FOUND}.")
    return 1 if failed else 0


def end(number: int, _: object) -> None:
    """End by a signal, in order: what was tried is written down."""
    sys.exit(128 + number)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="which; all by default")
    parser.add_argument("--runs", type=int, default=1_000_000, help="cases of each parser")
    parser.add_argument("--flow-runs", type=int, default=100_000, help="cases of each flow")
    parser.add_argument(
        "--seconds", type=int, default=0, help="at most so long for each; 0: no end"
    )
    parser.add_argument("--tally", type=Path, help="count on from this file, and add to it")
    parser.add_argument("--again", type=Path, help="try one kept input")
    parser.add_argument("--list", action="store_true", help="print the names of all targets")
    asked = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    FOUND.mkdir(exist_ok=True)
    known = load()
    if unknown := set(asked.targets) - set(known):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = [known[name] for name in asked.targets or known]
    if asked.list:
        print("\n".join(f"{one.name} (flow)" if one.flow else one.name for one in chosen))
        return 0
    if asked.again is not None:
        from fuzz.targets import keeps_promise  # noqa: PLC0415

        accepted = keeps_promise(chosen[0], asked.again.read_bytes())
        print("accepted" if accepted else "refused")
        return 0
    wanted = {False: asked.runs, True: asked.flow_runs}
    return run_all(chosen, wanted, asked.seconds, asked.tally)


if __name__ == "__main__":
    sys.exit(main())
