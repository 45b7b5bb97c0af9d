"""Fuzz parsers: `python tests/fuzz/run.py [TARGET…] --runs N`; `make fuzz` runs all of them.

Each target has a process of its own, one after another. Where atheris is installed, inputs that
reach new code are kept and changed further; elsewhere changes are made of the seeds alone. What
breaks a promise is kept in tests/fuzz/found, and `--again FILE` tries it once more.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import tempfile
import time
import traceback
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuzz.targets import Target

HERE = Path(__file__).resolve().parent
FOUND = HERE / "found"
MAX_MEMORY_MIB = 2048
HANGS_AFTER_S = 60
_RUNS = re.compile(r"^#(\d+)\s|number_of_executed_units: (\d+)")
_SHOWN_LINES = 60  # of what a target that failed has said

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

        return all_targets()


def try_one(target: Target, data: bytes) -> None:
    """Try one input, and keep it where it breaks the promise."""
    from fuzz.targets import keeps_promise  # noqa: PLC0415

    try:
        keeps_promise(target, data)
    except Exception:
        (FOUND / f"{target.name}-crash-{sha256(data).hexdigest()[:12]}").write_bytes(data)
        raise


def guided(target: Target, runs: int, seconds: int) -> None:
    """Run a target with atheris, which ends this process."""
    from fuzz.mutation import mutate  # noqa: PLC0415

    corpus = target.corpus
    folder = Path(tempfile.mkdtemp())

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.4:
            return bytes(atheris.Mutate(data, max_size))
        return mutate(data, random, target.form, corpus)[:max_size]

    for at, seed in enumerate(corpus):
        (folder / str(at)).write_bytes(seed)
    options = (
        f"-runs={runs}",
        f"-max_total_time={seconds}",
        f"-max_len={max(1024, max(map(len, corpus)) * 5 // 4)}",
        f"-timeout={HANGS_AFTER_S}",
        f"-rss_limit_mb={MAX_MEMORY_MIB}",
        f"-artifact_prefix={FOUND}/{target.name}-",
        "-print_final_stats=1",
        "-seed=1",
    )
    atheris.Setup(
        [sys.argv[0], *options, str(folder)],
        lambda data: try_one(target, data),
        custom_mutator=change,
    )
    atheris.Fuzz()


def unguided(target: Target, runs: int, seconds: int) -> None:
    """Run a target without a guide, on other changes than the tests make."""
    from fuzz.targets import cases  # noqa: PLC0415

    ends = time.monotonic() + seconds if seconds else float("inf")
    at = 0
    for at, data in enumerate(cases(target, runs, seed=1), 1):
        try_one(target, data)
        if at % 4096 == 0:
            print(f"#{at} ", file=sys.stderr, flush=True)
            if time.monotonic() > ends:
                break
    print(f"number_of_executed_units: {at}", file=sys.stderr, flush=True)


def run_one(target: Target, runs: int, seconds: int, folder: str) -> tuple[int, bool, list[str]]:
    """Run a target in a process of its own: cases, whether it kept its promise, what was said."""
    # A copy of this process: what is fuzzed is imported once, and a crash ends nothing else.
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            os.dup2(writer, 2)
            tempfile.tempdir = folder  # it ends without cleaning up
            (unguided if atheris is None else guided)(target, runs, seconds)
            sys.stderr.flush()
            os._exit(0)
        except BaseException:  # noqa: BLE001 whatever it is, it is told
            traceback.print_exc()
            os._exit(1)
    os.close(writer)
    done, said = 0, []
    with os.fdopen(reader, errors="replace") as lines:
        for line in lines:
            said.append(line)
            if (found := _RUNS.search(line)) is not None:
                done = int(found[1] or found[2])
                if sys.stderr.isatty():
                    print(f"\r{target.name:20} {done:>9}", end="", file=sys.stderr, flush=True)
    _, status = os.waitpid(child, 0)
    return done, status == 0, said


def _place() -> str | None:
    """Where files are kept in memory, if there is such a place."""
    shared = "/dev/shm"  # noqa: S108
    return shared if Path(shared).is_dir() else None


def run_all(targets: list[Target], runs: int, seconds: int) -> int:
    """Run targets one after another, show how far each is, and say in a table what came of it."""
    failed = 0
    for target in targets:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="counterfoil-fuzz-", dir=_place()) as folder:
            done, kept, said = run_one(target, runs, seconds, folder)
        result = ("ok" if done >= runs else "ok so far") if kept else "FAILED"
        row = f"{target.name:20} {done:>9} {time.monotonic() - began:>7.0f} s  {result}"
        print(f"\r{row}" if sys.stderr.isatty() else row, flush=True)
        if not kept:
            failed += 1
            print("".join(said[-_SHOWN_LINES:]), flush=True)
    print(f"\n{len(targets)} targets, {failed} of which broke their promise.", flush=True)
    if failed:
        print(f"What did it is in {FOUND}.")
    return 1 if failed else 0


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="which; all by default")
    parser.add_argument("--runs", type=int, default=1_000_000, help="cases of each target")
    parser.add_argument(
        "--seconds", type=int, default=0, help="at most so long for each; 0: no end"
    )
    parser.add_argument("--again", type=Path, help="try one kept input")
    parser.add_argument("--list", action="store_true", help="print the names of all targets")
    asked = parser.parse_args()
    FOUND.mkdir(exist_ok=True)
    known = load()
    if unknown := set(asked.targets) - set(known):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = [known[name] for name in asked.targets or known]
    if asked.list:
        print("\n".join(known))
        return 0
    if asked.again is not None:
        from fuzz.targets import keeps_promise  # noqa: PLC0415

        accepted = keeps_promise(chosen[0], asked.again.read_bytes())
        print("accepted" if accepted else "refused")
        return 0
    return run_all(chosen, asked.runs, asked.seconds)


if __name__ == "__main__":
    sys.exit(main())
