"""Compile the contracts into src/counterfoil/chain/artifacts, so that users need no compiler.

    python contracts/compile.py            write them
    python contracts/compile.py --check    say which committed ones are not what the sources give

An artifact holds what a deployment and its verification need: ABI, creation bytecode, the
keccak256 of the code that is then at the address, where storage variables lie, the EIP-712 types
that are signed, and the compiler's settings. The same sources give the same bytes anywhere.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import vyper
from vyper.compiler import compile_from_file_input
from vyper.compiler.input_bundle import FileInput, FilesystemInputBundle
from vyper.utils import keccak256

SOURCES = Path(__file__).parent
ARTIFACTS = SOURCES.parent / "src" / "counterfoil" / "chain" / "artifacts"
EVM_VERSION = "paris"

# What is deployed; the other sources are parts of these, or what others call them by.
CONTRACTS = ("CheckpointAnchor", "ConsentRegistry", "IssuerRegistry", "ModelRegistry")

IMPORT = re.compile(r"^(?:from (\w+) )?import (\w+)$", re.MULTILINE)
TYPE = re.compile(r'keccak256\(\s*"(\w+)\(([^"]*)\)"\s*\)')


def sources_of(name: str) -> dict[str, bytes]:
    """Every source that `name` is made from, by its path, the files it imports included."""
    found: dict[str, bytes] = {}
    todo = [SOURCES / f"{name}.vy"]
    while todo:
        path = todo.pop()
        key = path.relative_to(SOURCES).as_posix()
        if key not in found:
            found[key] = path.read_bytes()
            for folder, module in IMPORT.findall(found[key].decode("utf-8")):
                stem = SOURCES / folder / module
                todo += [stem.with_suffix(end) for end in (".vy", ".vyi") if _exists(stem, end)]
    return dict(sorted(found.items()))


def artifact(name: str) -> dict[str, Any]:
    """Compile the contract `name`."""
    bundle = FilesystemInputBundle([SOURCES])
    source = bundle.load_file(f"{name}.vy")
    if not isinstance(source, FileInput):
        raise TypeError(f"{name}.vy is no source")
    out = compile_from_file_input(
        source, bundle, output_formats=("abi", "bytecode", "bytecode_runtime", "layout")
    )
    sources = sources_of(name)
    types = dict(
        match
        for text in sources.values()
        for match in TYPE.findall(text.decode("utf-8"))
        if match[0] != "EIP712Domain"
    )
    return {
        "contract": name,
        "compiler": f"vyper {vyper.__long_version__}",
        "evm_version": EVM_VERSION,
        "sources": {path: f"sha256:{sha256(text).hexdigest()}" for path, text in sources.items()},
        "runtime_code_hash": f"0x{keccak256(bytes.fromhex(out['bytecode_runtime'][2:])).hex()}",
        "slots": dict(_slots(out["layout"]["storage_layout"])),
        "signed_types": {kind: types[kind] for kind in sorted(types)},
        "abi": out["abi"],
        "bytecode": out["bytecode"],
    }


def _exists(stem: Path, end: str) -> bool:
    return stem.with_suffix(end).is_file()


def _slots(layout: dict[str, Any], prefix: str = "") -> list[tuple[str, int]]:
    """Flatten a storage layout: `module.variable` and its slot."""
    found = []
    for name, entry in layout.items():
        if "slot" in entry:
            found.append((prefix + name, entry["slot"]))
        else:
            found += _slots(entry, f"{prefix}{name}.")
    return sorted(found)


def main() -> int:
    """Write or compare every artifact."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args().check
    stale = []
    for name in CONTRACTS:
        path = ARTIFACTS / f"{name}.json"
        text = json.dumps(artifact(name), indent=1) + "\n"
        if check:
            if not path.is_file() or path.read_text("utf-8") != text:
                stale.append(name)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    if stale:
        sys.stderr.write(f"not what the sources give: {', '.join(stale)}; run `make contracts`\n")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
