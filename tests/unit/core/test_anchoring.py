from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from counterfoil.core.anchoring import AnchorKey, ChainRules, Finality, binding_of
from counterfoil.core.keys import Algorithm
from counterfoil.core.policy import format_policy, parse_policy, policy_from_json, policy_to_json
from counterfoil.core.text import format_base64
from counterfoil.errors import FormatError

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "trust-policy.md"
RULES = ChainRules(
    id=1337,
    contract="0x" + "5f" * 20,
    code_hash="ab" * 32,
    slot=3,
    log="cd" * 32,
    threshold=1,
    operators=("Northbank", "Auditor LLP"),
    finality=Finality.IMMEDIATE,
    validators=("0x" + "70" * 20,),
    blocks=("ef" * 32,),
)


@pytest.fixture
def anchor(bank):
    signer = bank.key("auditor", Algorithm.COSIGNATURE_ED25519)
    address = "0x" + "12" * 20
    by_witness = format_base64(signer.sign(binding_of(signer.key, address).encode()))
    return AnchorKey(address, by_witness, "0x" + "34" * 65)


@pytest.fixture
def policy(bank, anchor):
    own, auditor = bank.policy().witnesses
    return replace(bank.policy(), witnesses=(own, replace(auditor, anchor=anchor)), chain=RULES)


def test_a_policy_with_a_chain_survives_its_file(policy):
    """Chain and anchor keys are written and read back, as TOML and as canonical JSON."""
    assert parse_policy(format_policy(policy)) == policy
    assert policy_from_json(policy_to_json(policy)) == policy


def test_a_policy_without_a_chain_is_what_it_was(bank):
    """What was signed before there were anchors has the digest that it had."""
    assert {"chain", "anchor"}.isdisjoint(policy_to_json(bank.policy()))
    assert b"anchor" not in str(policy_to_json(bank.policy())["witness"]).encode()


def test_the_example_in_the_reference_is_read():
    """The chain section of the documentation fits into a policy as it stands."""
    whole, *_, chain = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    witness = chain.split("[chain]")[0].replace('name = "auditor"', 'name = "second"')
    policy = parse_policy(whole + "\n" + witness + "[chain]" + chain.split("[chain]")[1])
    assert policy.chain is not None
    assert policy.chain.operators == ("Northbank", "Auditor LLP")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("id = 1337", "id = 0", "has an id"),
        ('"Northbank", "Auditor LLP"]\nfinality', "]\nfinality", "somebody who runs it"),
        ('"Northbank", "Auditor LLP"]\nfin', '"Northbank", "Northbank"]\nfin', "there twice"),
        ("threshold = 1\noperators", "threshold = 2\noperators", "have an anchor key"),
        ("threshold = 1\noperators", "threshold = 0\noperators", "has an id, a threshold"),
        ("0x5f", "0x5F", "is no address"),
        ("0x7070", "0x70", "is no address"),
        ("abab", "ab", "code_hash"),
        ("cdcd", "cd", "log"),
        ("efef", "ef", "block"),
        ('"immediate"', '"soon"', "unknown finality"),
        ('"immediate"', '"confirmations"', "do not fit"),
        ("confirmations = 0", "confirmations = 3", "do not fit"),
        ("slot = 3", "slot = -1", '"slot" must be'),
        ("blocks =", "block =", "unknown key"),
        ('address = "0x12', 'address = "0x13', "has not signed for the anchor key"),
        ('by_address = "0x34', 'by_address = "0x', "no signature of an anchor key"),
    ],
)
def test_what_cannot_be_meant_is_refused(policy, old, new, says):
    """A chain section that could not work, or an anchor key nobody signed for, is no policy."""
    text = format_policy(policy)
    assert old in text
    with pytest.raises(FormatError, match=re.escape(says)):
        parse_policy(text.replace(old, new, 1))


def test_a_list_of_validators_has_an_end():
    """A policy cannot make a verifier compare each seal with thousands of addresses."""
    many = tuple(f"0x{number:040x}" for number in range(129))
    with pytest.raises(FormatError, match="128 at most"):
        replace(RULES, validators=many)


def test_an_anchor_key_belongs_to_one_witness(policy):
    """One address under two witnesses would be two members with one voice."""
    own, auditor = policy.witnesses
    with pytest.raises(FormatError, match="has not signed"):
        replace(policy, witnesses=(replace(own, anchor=auditor.anchor), auditor))
