"""docs/reference/chain.md names what a user of the chain can call, with the arguments it takes."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from counterfoil import chain

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "chain.md").read_text("utf-8")
CONTRACTS = [getattr(chain, name) for name in chain.CONTRACTS]
NOUNS = [chain.Chain, chain.Outbox, chain.DevChain, chain.Anchoring, *CONTRACTS]


def called(function: object) -> str:
    """Name and parameters of a function, as the page writes them: no types, no defaults."""
    words: list[str] = []
    stars = {"*", "*values"}
    for parameter in inspect.signature(function).parameters.values():  # type: ignore[arg-type]
        if parameter.kind is parameter.VAR_POSITIONAL:
            words.append(f"*{parameter.name}")
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not stars & set(words):
            words.append("*")
        words.append(parameter.name)
    return f"{function.__name__}({', '.join(word for word in words if word != 'self')})"


def methods(noun: type) -> set[str]:
    """The public methods of a class, as called; what makes one is not among them."""
    return {
        called(value)
        for name, value in inspect.getmembers(noun, inspect.isfunction)
        if not name.startswith("_")
    }


ROWS = r"\n\| --- \| --- \|\n((?:\|.*\n)+)"


def table(heading: str) -> set[str]:
    """The calls in the table below a heading row."""
    rows = re.search(
        rf"^\| `{heading}[^|]*\| \|\n\| --- \| --- \|\n((?:\|.*\n)+)", PAGE, re.MULTILINE
    )
    assert rows, f"there is no table of {heading}"
    return set(re.findall(r"^\| `(\w+\([^`]*\))` \|", rows[1], re.MULTILINE))


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.__name__)
def test_every_method_is_listed_with_its_arguments(noun: type):
    """What can be done with a chain, an outbox or a contract stands in its table, nothing else."""
    assert table(noun.__name__) == methods(noun)


def test_every_function_is_listed_with_its_arguments():
    """Functions of the front door stand in the tables of functions, nothing else does."""
    listed = set()
    for rows in re.findall(
        r"^\| function \| \|\n\| --- \| --- \|\n((?:\|.*\n)+)", PAGE, re.MULTILINE
    ):
        listed |= set(re.findall(r"^\| `(\w+\([^`]*\))` \|", rows, re.MULTILINE))
    mentioned = set(re.findall(r"`(\w+\([^`]*\))`", PAGE))
    functions = {
        called(value)
        for name in chain.__all__
        if callable(value := getattr(chain, name))
        and not inspect.isclass(value)
        and name != "parse_address"
    }
    assert listed <= functions
    assert functions <= listed | mentioned


def test_every_class_is_mentioned():
    """No class of the front door is without a word on the page."""
    classes = [name for name in chain.__all__ if inspect.isclass(getattr(chain, name))]
    missing = [name for name in classes if not re.search(rf"`{name}\b", PAGE)]
    assert not missing
