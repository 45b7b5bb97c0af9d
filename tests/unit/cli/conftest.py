"""A small ledger with data, a model and decisions, made once; each test gets its own copy."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import counterfoil
from counterfoil.cli import app

PEOPLE = ["007", "NA", "ann", "bob", "ann", "cid", "dan", "eve"]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pandas = pytest.importorskip("pandas")
    linear = pytest.importorskip("sklearn.linear_model")
    folder = tmp_path_factory.mktemp("template")
    rows = pandas.DataFrame({"income": range(8), "debt": [3, 1, 4, 1, 5, 9, 2, 6]})
    outcomes = [0, 0, 0, 0, 1, 0, 1, 1]
    rows.assign(outcome=outcomes).to_csv(folder / "train.csv", index=False)
    rows.assign(id=PEOPLE).to_csv(folder / "rows.csv", index=False)
    model_file = folder / "credit.pkl"
    model_file.write_bytes(pickle.dumps(linear.LogisticRegression().fit(rows, outcomes)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COUNTERFOIL_HOME", str(folder / "counterfoil-home"))
        with counterfoil.init(folder / "ledger", organisation="Example Bank") as ledger:
            data = ledger.data.add(folder / "train.csv", name="applicants", licence="CC-BY-4.0")
            with pytest.warns(UserWarning, match="opening it runs"):
                model = ledger.models.add(model_file, name="credit", trained_on=data)
            batch = model.decide(rows, data_subjects=PEOPLE, tickets=True)
    tickets = folder / "tickets"
    tickets.mkdir()
    for decision in batch:
        (tickets / f"{decision.index}.ticket.json").write_bytes(decision.ticket)
    return folder


@pytest.fixture
def place(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a user stands in, with ./ledger and the files it was made from."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(place: Path) -> Callable[..., Any]:  # noqa: ARG001 the user stands there
    """Runs a command line; a traceback, or another exit code than expected, fails the test."""

    def run(*words: object, exit_code: int = 0) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # printed, as outside of tests, and no error
            result = CliRunner().invoke(app, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result

    return run


@pytest.fixture
def ask(run: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a command line with --json and gives the object that it prints."""

    def ask(*words: object, exit_code: int = 0) -> Any:
        return json.loads(run(*words, "--json", exit_code=exit_code).stdout)

    return ask


@pytest.fixture
def start(place: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a command line as a process of its own."""

    def start(*words: object, **options: Any) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(
            [sys.executable, "-m", "counterfoil", *map(str, words)],
            cwd=place,
            env=environment,
            text=True,
            **pipes,
        )

    return start
