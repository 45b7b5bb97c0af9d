"""A million cases may take several evenings: what one run has tried, the next does not repeat."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from fuzz import run
from fuzz.targets import Target

SEED = b"a seed of some length"


def fuzz(folder: Path, runs: int, broken_by: bytes = b"-") -> subprocess.Popen[str]:
    """Start this file in a process of its own: what is fuzzed is a fork, which threads forbid."""
    words = [sys.executable, __file__, str(folder), str(runs), broken_by.hex()]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def tried(folder: Path) -> list[str]:
    """The cases, as far as they were written down."""
    path = folder / "tried"
    return path.read_text().splitlines() if path.exists() else []


def test_a_run_goes_on_from_where_the_last_one_stopped(tmp_path):
    for runs in (50, 50, 80):
        said, _ = fuzz(tmp_path, runs).communicate()
        assert f"1 of 1 parsers have {runs} cases." in said
    cases = tried(tmp_path)
    assert len(cases) == 80
    assert run.read_tally(tmp_path / "tally.tsv") == {"recording": 80}
    assert cases[50:] != cases[:30]


def test_a_broken_promise_is_counted_shown_and_kept(tmp_path):
    fuzzing = fuzz(tmp_path, 50, broken_by=SEED)
    said, _ = fuzzing.communicate()
    assert fuzzing.returncode == 1
    assert "AssertionError" in said
    assert "0 of 1 parsers have 50 cases." in said
    assert run.read_tally(tmp_path / "tally.tsv") == {"recording": 1}
    (kept,) = tmp_path.glob("recording-crash-*")
    assert kept.read_bytes() == SEED


def test_what_was_tried_before_somebody_ended_it_counts(tmp_path):
    fuzzing = fuzz(tmp_path, 10**9)
    while len(tried(tmp_path)) < 100:
        time.sleep(0.05)
    fuzzing.send_signal(signal.SIGTERM)
    fuzzing.communicate()
    assert fuzzing.returncode == 128 + signal.SIGTERM
    count = run.read_tally(tmp_path / "tally.tsv")["recording"]
    assert count + 1 >= 100
    assert count in {len(tried(tmp_path)), len(tried(tmp_path)) - 1}


def main(folder: str, runs: str, broken_by: str) -> int:
    """Fuzz a target that writes down what it was given, without atheris."""

    def take(data: bytes) -> None:
        with (Path(folder) / "tried").open("a") as file:
            file.write(f"{data.hex()}\n")
        assert data != bytes.fromhex(broken_by)

    run.atheris = None
    run.FOUND = Path(folder)
    signal.signal(signal.SIGTERM, run.end)
    target = Target("recording", take, lambda: [SEED])
    return run.run_all([target], {False: int(runs)}, 0, Path(folder) / "tally.tsv")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
