from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
before = sys.getrecursionlimit()
import counterfoil.chain as chains
{}
assert sys.getrecursionlimit() == before, sys.getrecursionlimit()
"""


@pytest.mark.parametrize(
    "use",
    [
        "[getattr(chains, name) for name in chains.__all__]",
        "import counterfoil.chain.provider",
        "import counterfoil.chain.typed",
    ],
)
def test_python_recurses_no_deeper_than_before(use):
    """What counts on the limit to end nesting without end still can, whatever the chain imports."""
    subprocess.run([sys.executable, "-c", CODE.format(use)], check=True)
