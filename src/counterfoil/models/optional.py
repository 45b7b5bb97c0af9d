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
        missing = (error.name or module).partition(".")[0]  # of what the library itself needs, too
        raise UnavailableError(
            f"the Python library {missing} is needed here and is not installed",
            hint=f"pip install {install}",
        ) from error
