from __future__ import annotations

import subprocess
import sys

import pytest

from counterfoil import lazy
from counterfoil.errors import UnavailableError

WITHOUT = """
import sys
class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"web3", "rlp", "coincurve"} or name.startswith("eth_"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nowhere())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run something on a machine where the extra is not installed."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, check=False
    )


def test_a_name_that_needs_an_extra_says_how_to_get_it():
    """Without the extra, using the chain is an error that names the command that brings it."""
    done = run(
        "import counterfoil as cf\n"
        "try: cf.chain.connect('http://x')\n"
        "except cf.UnavailableError as error: print(error, '|', error.hint)"
    )
    assert "is needed here and is not installed" in done.stdout, done.stderr
    assert "pip install 'counterfoil[chain]'" in done.stdout


def test_the_command_line_works_without_the_extra():
    """Help and every other command do without it; those of the chain say what is missing."""
    assert run("from counterfoil.cli import app; app(['chain', '--help'])").returncode == 0
    done = run("from counterfoil.cli import app; app(['chain', 'status', '--rpc', 'http://x'])")
    assert done.returncode == UnavailableError.exit_code
    assert "hint: pip install 'counterfoil[chain]'" in done.stderr


def test_a_module_of_ours_that_is_missing_is_our_bug():
    """Only what an extra brings is excused."""
    load, _ = lazy.offer("counterfoil", {"x": ".nowhere"}, extra="chain")
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        load("x")
