"""What is committed is what the sources give, and what is then on the chain."""

from __future__ import annotations

import boa
import pytest
from compile import CONTRACTS, SOURCES
from eth_abi import encode
from eth_utils import keccak
from signers import TYPES, addresses, members
from vyper import ast as vy_ast
from vyper.ast import parse_to_ast

from conftest import artifact


def test_every_contract_has_an_artifact():
    """No contract is forgotten: whatever can be deployed is compiled and committed."""
    sources = {path.stem for path in SOURCES.glob("[A-Z]*.vy")}
    assert sources == set(CONTRACTS) == {artifact(name)["contract"] for name in CONTRACTS}


def test_the_sources_are_none_that_the_compiler_misreads():
    """Nothing in them is what Vyper up to 0.5.0b1 compiles to something else than is written.

    It reads other numbers after characters outside ASCII and after form feeds (CVE-2026-114114
    and -114116), chooses badly between values with `if` and `else` in one expression (-114115,
    -114117), and lets an offset of `create_from_blueprint` wrap around (-114118).
    """
    plain = set(range(0x20, 0x7F)) | {0x0A}
    sources = [*SOURCES.rglob("*.vy"), *SOURCES.rglob("*.vyi")]
    assert len(sources) > len(CONTRACTS)
    for path in sources:
        assert set(path.read_bytes()) <= plain, path.name
        tree = parse_to_ast(path.read_text("ascii"))
        assert not tree.get_descendants(vy_ast.IfExp), path.name
        assert not tree.get_descendants(vy_ast.Name, {"id": "create_from_blueprint"}), path.name


@pytest.mark.parametrize("name", CONTRACTS)
def test_code_at_an_address_has_the_stated_hash(name, anchor, log):
    """One hash for every deployment of a release, whatever it was constructed with."""
    one, three = (addresses(members(1, count)) for count in (1, 3))
    arguments = {
        "CheckpointAnchor": [()],
        "ConsentRegistry": [()],
        "IssuerRegistry": [(one, 1), (three, 2)],
        "ModelRegistry": [
            (anchor.address, log.id, one, 1, 1),
            (anchor.address, log.id, three, 3, 2),
        ],
    }[name]
    committed = artifact(name)
    types = [
        part["type"]
        for entry in committed["abi"]
        if entry["type"] == "constructor"
        for part in entry["inputs"]
    ]
    for values in arguments:
        code = bytes.fromhex(committed["bytecode"][2:]) + encode(types, values)
        address, _ = boa.env.deploy_code(bytecode=code)
        assert f"0x{keccak(boa.env.get_code(address)).hex()}" == committed["runtime_code_hash"]


@pytest.mark.parametrize("name", CONTRACTS)
def test_no_code_is_replaced_destroyed_or_lent(name):
    """What made a contract, and its code, are all there is to look at: nothing else ever runs."""
    code, at, found = bytes.fromhex(artifact(name)["bytecode"][2:]), 0, set()
    while at < len(code):
        found.add(code[at])
        at += 1 + max(0, code[at] - 0x5F) * (code[at] <= 0x7F)  # PUSH1 to PUSH32 have operands
    # CREATE, CALL, CALLCODE, DELEGATECALL, CREATE2, SELFDESTRUCT; reading others is all right.
    assert not found & {0xF0, 0xF1, 0xF2, 0xF4, 0xF5, 0xFF}


def test_signed_types_are_those_of_the_tests():
    """A field that is added to what members sign, or moved, is noticed here."""
    signed: dict[str, str] = {}
    for name in CONTRACTS:
        signed |= artifact(name)["signed_types"]
    assert signed == TYPES
