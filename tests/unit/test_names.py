"""The names that a user imports."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import counterfoil
from counterfoil import errors

DOORS = ["counterfoil", *(f"counterfoil.{part}" for part in ("ledger", "data", "models"))]
DOORS += [f"counterfoil.{part}" for part in ("decisions", "evidence", "chain", "cluster")]


@pytest.mark.parametrize("package", DOORS)
def test_every_name_that_is_offered_loads(package: str):
    """What `dir` shows can be imported, and nothing else is shown."""
    module = importlib.import_module(package)
    assert set(dir(module)) <= set(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("package", DOORS)
def test_unknown_names_are_refused(package: str):
    """A mistyped name is an AttributeError that says where it was looked for."""
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'opne'"):
        importlib.import_module(package).opne  # noqa: B018 reading it is the test


def test_every_error_is_at_the_front_door():
    """Any error can be caught without knowing where it is defined."""
    known = {name for name, _ in inspect.getmembers(errors, inspect.isclass) if "Error" in name}
    assert known <= set(counterfoil.__all__)
    assert counterfoil.FormatError is errors.FormatError


def test_front_door_stays_small():
    """A newcomer can read all names at once."""
    assert len(counterfoil.__all__) <= 27


@pytest.mark.parametrize("package", DOORS)
def test_importing_a_package_loads_nothing_else(package: str):
    """Importing any package of ours is free; its modules are loaded when a name is used."""
    code = f"import sys, {package}; print(*(m for m in sys.modules if m.startswith('counterfoil')))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(shown.stdout.split()) == {"counterfoil", "counterfoil.lazy", package}


def test_star_import_gives_the_names():
    """`from counterfoil import *` gives what the documentation lists."""
    space: dict[str, object] = {}
    exec("from counterfoil import *", space)  # noqa: S102 a star import fits no test otherwise
    assert set(counterfoil.__all__) <= set(space)
