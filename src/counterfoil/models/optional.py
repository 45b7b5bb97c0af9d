"""Libraries that only some users need, imported where they are used.

The core of counterfoil installs without any machine learning; what is missing is named together
with the command that brings it.
"""

from __future__ import annotations

import importlib
from typing import Any

from counterfoil.errors import UnavailableError


def import_optional(module: str, install: str) -> Any:
    """Import `module`, or say how to get it.

    Args:
        module: Dotted name, as in an import statement.
        install: What `pip install` has to be given.

    Raises:
        UnavailableError: The library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise not_installed(error, module, f"pip install {install}") from error


def not_installed(
    error: ImportError, asked: str, hint: str = "Install it, or open this where it is."
) -> UnavailableError:
    """Make the error for a library that is missing: the one asked for, or one that it needs.

    Args:
        error: What importing it raised.
        asked: What was wanted, should the error not name what is missing.
        hint: How to get it.
    """
    missing = (error.name or asked).partition(".")[0]
    return UnavailableError(
        f"the Python library {missing} is needed here and is not installed", hint=hint
    )
