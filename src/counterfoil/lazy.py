"""Names that a package offers and loads when they are first used, so that importing it is cheap.

    if not TYPE_CHECKING:
        __getattr__, __dir__ = offer("counterfoil.ledger", {"Log": ".log", "open": ".log:read"})

The type checker sees plain imports beside it, and so knows every name and no others.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def offer(
    package: str, homes: Mapping[str, str], *, extra: str = ""
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the `__getattr__` and `__dir__` of a package (PEP 562).

    Args:
        package: Its full name.
        homes: For each name the module that has it, seen from the package (`.log`), and after a
            colon what it is called there, where that differs (`.front:open_ledger`). Nothing after
            the colon is the module itself.
        extra: Which extra of counterfoil brings the libraries that the modules import. Without
            it, a name that needs one of them is an `UnavailableError` that says how to get it.
    """

    def load(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, colon, called = homes[name].partition(":")
        try:
            home = importlib.import_module(module, package)
        except ModuleNotFoundError as error:
            if not extra or (error.name or "").startswith("counterfoil"):
                raise
            from counterfoil.errors import UnavailableError  # noqa: PLC0415 importing this is free

            raise UnavailableError(
                f"the Python library {error.name} is needed here and is not installed",
                hint=f"pip install 'counterfoil[{extra}]'",
            ) from error
        value: object = home if colon and not called else getattr(home, called or name)
        setattr(sys.modules[package], name, value)  # asked for once
        return value

    def names() -> list[str]:
        return sorted(homes)

    return load, names
