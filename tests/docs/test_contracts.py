"""docs/reference/contracts.md says what the contracts have, say and sign, leaving nothing out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "contracts.md").read_text("utf-8")
ARTIFACTS = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted((ROOT / "src/counterfoil/chain/artifacts").glob("*.json"))
}
SOURCES = [path.read_text("utf-8") for path in sorted((ROOT / "contracts").glob("*.vy"))]
REASON = re.compile(r'"((?:anchor|committee|consents|issuers|models|rfc9162): [^"]+)"')


def section(name: str) -> str:
    """What the page says about one contract."""
    return PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]


def called(entry: dict[str, Any]) -> str:
    """A function or an event as the page writes it."""
    return f"`{entry['name']}({', '.join(part['name'] for part in entry['inputs'])})`"


@pytest.mark.parametrize("name", ARTIFACTS)
def test_every_function_and_event_is_documented(name: str):
    """What can be called or followed has a row, with its parameters, and no row has more."""
    abi = ARTIFACTS[name]["abi"]
    there = {called(entry) for entry in abi if entry["type"] in {"function", "event"}}
    assert set(re.findall(r"^\| (`\w+\(.*?\)`) \|", section(name), re.MULTILINE)) == there
    constructor = [
        part["name"] for entry in abi if entry["type"] == "constructor" for part in entry["inputs"]
    ]
    assert all(f"`{argument}`" in section(name) for argument in constructor)


@pytest.mark.parametrize("name", ARTIFACTS)
def test_every_storage_variable_is_at_its_slot(name: str):
    """Whoever reads storage without the contract's help finds the right place."""
    slots = {}
    for first, last, variables in re.findall(
        r"^\| (\d+)(?: to (\d+))? \| (`.*?`) \|", section(name), re.MULTILINE
    ):
        names = re.findall(r"`([\w.]+)`", variables)
        assert len(names) == int(last or first) - int(first) + 1
        slots |= {variable: int(first) + offset for offset, variable in enumerate(names)}
    assert slots == ARTIFACTS[name]["slots"]


def test_every_signed_type_is_documented():
    """A wallet or another implementation signs the fields that the page names."""
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", PAGE, re.MULTILINE))
    types: dict[str, str] = {}
    for artifact in ARTIFACTS.values():
        types |= artifact["signed_types"]
    assert rows == types


def test_every_reason_is_documented():
    """Whoever meets a reason finds what to do about it, and every refusal of ours has a reason."""
    said = {reason for source in SOURCES for reason in REASON.findall(source)}
    rows = re.findall(r"^\| `([a-z0-9]+: [^`]+)` \| .+ \|$", PAGE, re.MULTILINE)
    assert rows == sorted(said)
    for source in SOURCES:
        assert source.count("assert ") == len(REASON.findall(source))
