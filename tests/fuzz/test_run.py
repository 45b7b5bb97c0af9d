"""A million cases may take several evenings: what one run has tried, the next does not repeat."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from fuzz import run
from fuzz.targets import Target


@pytest.fixture(autouse=True)
def unguided(monkeypatch, tmp_path):
    """Without atheris, which ends its process, and with a folder for what is found."""
    monkeypatch.setattr(run, "atheris", None)
    monkeypatch.setattr(run, "FOUND", tmp_path)


def recording(path: Path, forbidden: bytes = b"no case") -> Target:
    """A target that writes down what it was given."""

    def take(data: bytes) -> None:
        with path.open("a") as file:
            file.write(f"{data.hex()}\n")
        assert data != forbidden

    return Target("recording", take, lambda: [b"a seed of some length"])


def test_a_run_goes_on_from_where_the_last_one_stopped(tmp_path, capsys):
    tally, tried = tmp_path / "tally.tsv", tmp_path / "tried"
    targets = [recording(tried)]
    for wanted in (50, 50, 80):
        assert run.run_all(targets, {False: wanted}, 0, tally) == 0
        assert f"1 of 1 parsers have {wanted} cases." in capsys.readouterr().out
    cases = tried.read_text().splitlines()
    assert len(cases) == 80
    assert run.read_tally(tally) == {"recording": 80}
    assert cases[50:] != cases[:30]


def test_a_broken_promise_is_counted_shown_and_kept(tmp_path, capsys):
    tally = tmp_path / "tally.tsv"
    seed = b"a seed of some length"
    assert run.run_all([recording(tmp_path / "tried", seed)], {False: 50}, 0, tally) == 1
    assert run.read_tally(tally) == {"recording": 1}
    said = capsys.readouterr().out
    assert "AssertionError" in said
    assert "0 of 1 parsers have 50 cases." in said
    (kept,) = tmp_path.glob("recording-crash-*")
    assert kept.read_bytes() == seed


def test_what_was_tried_before_somebody_ended_it_counts(tmp_path, monkeypatch):
    tally, tried = tmp_path / "tally.tsv", tmp_path / "tried"

    def wait(seconds: float) -> None:
        time.sleep(seconds)
        if tried.exists() and tried.stat().st_size > 1000:
            raise KeyboardInterrupt

    monkeypatch.setattr(run, "time", SimpleNamespace(sleep=wait, monotonic=time.monotonic))
    with pytest.raises(KeyboardInterrupt):
        run.run_all([recording(tried)], {False: 10**9}, 0, tally)
    assert 0 < run.read_tally(tally)["recording"] <= len(tried.read_text().splitlines())
