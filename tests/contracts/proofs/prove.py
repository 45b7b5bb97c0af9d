"""Prove of the committed bytecode, by symbolic execution, what AnchorGrows.t.sol states.

`make prove` runs this where halmos is installed, with forge and solc in node_modules beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from halmos import sevm
from halmos.__main__ import COUNTEREXAMPLE, PASS, _main

HERE = Path(__file__).parent
ARTIFACT = HERE.parents[2] / "src/counterfoil/chain/artifacts/CheckpointAnchor.json"
TOOLS = Path(sys.prefix)

# What is proven, and for which lengths of the arrays that are sent. Their contents are any.
PROOFS = {
    "check_open_log": "members={1,2}",
    "check_rotate": "members=1,signatures={0,1},acceptances={0,1}",
    "check_report_split": "signaturesA={0,1},signaturesB={0,1}",
    "check_advance": "proof={0,1,2},signatures={0,1}",
}
REFUTED = {"check_no_call_succeeds": "proof=1,signatures=1"}

# Loops that depend on a symbolic value run to their end: eight steps at sizes below 256.
LOOP = 10
FOUNDRY = """
[profile.default]
src = "src"
test = "src"
out = "out"
evm_version = "paris"
offline = true
"""


class _Sorts:
    """Bit vectors by width; halmos 0.3.3 asks for SHA-256's 65 bytes of input as 65 bits."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getitem__(self, bits: int) -> Any:
        return self._real[65 * 8 if bits == 65 else bits]


def project(folder: Path) -> None:
    """Lay out a forge project with the statements, and the bytecode as a constant."""
    code = json.loads(ARTIFACT.read_text("utf-8"))["bytecode"].removeprefix("0x")
    (folder / "src").mkdir()
    shutil.copy(HERE / "AnchorGrows.t.sol", folder / "src")
    (folder / "src" / "Code.sol").write_text(
        "// SPDX-License-Identifier: Apache-2.0\npragma solidity ^0.8.20;\n\n"
        f'bytes constant CODE = hex"{code}";\n',
        "utf-8",
    )
    (folder / "foundry.toml").write_text(f'{FOUNDRY}solc = "{HERE / "solc"}"\n', "utf-8")


def run(folder: Path, function: str, lengths: str) -> str:
    """Execute one statement; return "proven", "refuted" or why neither."""
    result = _main(
        [
            *("--root", str(folder), "--contract", "AnchorGrows", "--function", function),
            *("--storage-layout", "generic", "--loop", str(LOOP), "--array-lengths", lengths),
            *("--solver-timeout-assertion", "0"),
        ]
    )
    outcomes = [test for tests in (result.test_results or {}).values() for test in tests]
    if len(outcomes) != 1:
        return "not run"
    (outcome,) = outcomes
    if outcome.num_bounded_loops:
        return "a loop was cut short"
    return {PASS: "proven", COUNTEREXAMPLE: "refuted"}.get(
        outcome.exitcode, f"halmos gave up, code {outcome.exitcode}"
    )


def main() -> int:
    """Run every statement, and fail if one is not what it should be."""
    sevm.BitVecSorts = _Sorts(sevm.BitVecSorts)
    forge = next((TOOLS / "node_modules" / "@foundry-rs").glob("forge-*/bin"))
    os.environ["PATH"] = f"{forge}{os.pathsep}{os.environ['PATH']}"
    os.environ["COUNTERFOIL_PROOFS"] = str(TOOLS)
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        project(Path(name))
        for cases, expected in ((PROOFS, "proven"), (REFUTED, "refuted")):
            for function, lengths in cases.items():
                started = time.monotonic()
                outcome = run(Path(name), function, lengths)
                wrong += outcome != expected
                sys.stdout.write(
                    f"{function}, {lengths}: {outcome}, as {'' if outcome == expected else 'not '}"
                    f"expected; {time.monotonic() - started:.0f} s\n"
                )
    return wrong


if __name__ == "__main__":
    sys.exit(main())
