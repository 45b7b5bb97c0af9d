"""docs/reference/python.md names what a user can call, with the arguments that it takes."""

from __future__ import annotations

import inspect
import re
from functools import cached_property
from pathlib import Path

import pytest

import counterfoil
from counterfoil import cluster
from counterfoil.data import Datasets
from counterfoil.decisions import Decisions, People
from counterfoil.decisions.serving import Serving
from counterfoil.evidence import Evidence
from counterfoil.ledger.trust import Trust
from counterfoil.models import Models

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "python.md").read_text("utf-8")
NOUNS = [counterfoil.Ledger, Datasets, Models, Decisions, Serving, Evidence, People, Trust]


def section(title: str) -> str:
    """What stands below a heading, up to the next one."""
    return re.split(r"^#+ ", PAGE.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def called(function: object) -> str:
    """Name and parameters of a function, as the page writes them: no types, no defaults."""
    words: list[str] = []
    for parameter in inspect.signature(function).parameters.values():  # type: ignore[arg-type]
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        words.append(parameter.name)
    return f"{function.__name__}({', '.join(word for word in words if word != 'self')})"


SHARED = {called(getattr(cluster, name)) for name in cluster.__all__ if name != "Moved"}


def methods(noun: type) -> list[object]:
    """The public methods of a class, in order; what makes one is not asked for."""
    return [
        value
        for name, value in inspect.getmembers(noun, inspect.isfunction)
        if not name.startswith("_") and name != "create"
    ]


def test_every_public_name_has_a_line():
    """Whoever wonders what a name of `counterfoil` is finds one line about it."""
    names = re.findall(r"^\| `cf\.(\w+)` \| \S", section("The names"), re.MULTILINE)
    assert sorted(names) == sorted(counterfoil.__all__)


@pytest.mark.parametrize("name", ["init", "open", "verify"])
def test_functions_take_what_is_documented(name: str):
    """The three functions of the front door take the arguments that the page lists."""
    function = getattr(counterfoil, name)
    shown = called(function).replace("open_ledger(", "open(")
    assert f"| `{shown}` |" in section("Functions")


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.__name__)
def test_every_method_is_documented_with_its_arguments(noun: type):
    """What can be done with a ledger's nouns stands on one page, and nothing that cannot."""
    missing = [called(one) for one in methods(noun) if f"| `{called(one)}` |" not in PAGE]
    assert not missing, f"docs/reference/python.md has no row for {', '.join(missing)}"


def test_no_row_is_about_what_is_gone():
    """A method that the page shows exists."""
    known = {called(one) for noun in NOUNS for one in methods(noun)}
    known |= {"init(path, *, organisation, clock, random)", "open(url, *, trust, clock, random)"}
    known.add(called(counterfoil.verify))
    assert set(re.findall(r"^\| `(\w+\([^`]*\))` \|", PAGE, re.MULTILINE)) <= known


def test_every_name_of_the_shared_store_has_a_row():
    """What `counterfoil.cluster` offers stands on the page, with its arguments."""
    assert {row for row in SHARED if f"| `cluster.{row}` |" not in PAGE} == set()
    assert "| `cluster.Moved` |" in PAGE


def test_every_noun_of_a_ledger_has_a_section():
    """The nouns on the page are those that a ledger has."""
    nouns = [
        name
        for name, value in vars(counterfoil.Ledger).items()
        if isinstance(value, cached_property)
    ]
    assert sorted(re.findall(r"^### ([a-z]+)$", PAGE, re.MULTILINE)) == sorted(nouns)


def test_members_of_terms_are_those_that_exist():
    """The table of terms lists each of them, once."""
    members = re.findall(r"^\| `(\w+)` \|", section("`Terms` and `Action`"), re.MULTILINE)
    assert members == list(counterfoil.Terms.__dataclass_fields__)
