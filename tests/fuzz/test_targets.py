"""The table of targets is whole, and each of them keeps its promise in some cases of many.

`make fuzz` tries a million of each, guided by coverage; these here are the same every time.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import counterfoil
from fuzz.targets import all_targets, cases, keeps_promise

TARGETS = all_targets()
PARSERS = re.compile(r"parse_\w+|open_(?:note|checkpoint|ticket)|\w+_from_json")
PACKAGES = ("core", "ledger", "vault", "data", "models", "decisions", "evidence", "chain")


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_project_writes_is_accepted(name):
    """Every parser takes what our own code made, so the cases below begin at something real."""
    target = TARGETS[name]
    assert target.corpus
    for seed in target.seeds:
        target.take(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_read_or_refused(name):
    """No input makes a parser fail in another way than by saying what is wrong, or keeps it busy.

    What is accepted, and can be written, is what came.
    """
    target = TARGETS[name]
    for number, data in enumerate(cases(target, target.tries)):
        try:
            keeps_promise(target, data)
        except Exception as error:
            raise AssertionError(f"case {number} of {name}, {data[:80]!r}: {error!r}") from error


def public_parsers() -> set[object]:
    """Every public function that reads what came from outside, by the words of its name."""
    found: set[object] = set()
    for package in PACKAGES:
        folder = Path(counterfoil.__file__).parent / package
        for module in pkgutil.iter_modules([str(folder)], f"counterfoil.{package}."):
            for name, value in vars(importlib.import_module(module.name)).items():
                if inspect.isfunction(value) and PARSERS.fullmatch(name):
                    found.add(value)
    return found


def test_no_parser_is_left_out():
    """A new parser is not fuzzed by chance: without a target for it, this fails."""
    covered = {parser for target in TARGETS.values() for parser in target.covers}
    names = {f"{one.__module__}.{one.__name__}" for one in public_parsers() - covered}
    assert not names
    assert covered <= public_parsers()
