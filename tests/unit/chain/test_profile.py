from __future__ import annotations

import pytest

from counterfoil.chain.profile import (
    DEV,
    PROFILES,
    ChainProfile,
    known_profile,
    parse_finality,
)
from counterfoil.core.anchoring import Finality
from counterfoil.errors import FormatError


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("finalized", (Finality.FINALIZED, 0)),
        ("immediate", (Finality.IMMEDIATE, 0)),
        ("12", (Finality.CONFIRMATIONS, 12)),
    ],
)
def test_a_rule_is_a_word_or_a_number(text: str, rule: tuple[Finality, int]):
    """A person writes a rule in one word, or as a number of blocks."""
    assert parse_finality(text) == rule
    assert ChainProfile("mine", 7, *rule).rule.startswith(text)


@pytest.mark.parametrize(
    "text", ["", "latest", "confirmations", "012", "-1", "10001", "1.5", "Finalized"]
)
def test_other_rules_are_refused(text: str):
    """What is no rule is never taken for one."""
    with pytest.raises(FormatError):
        parse_finality(text)


@pytest.mark.parametrize(
    ("rule", "confirmations"),
    [("finalized", 1), ("immediate", 1), ("confirmations", 0), ("confirmations", -1)],
)
def test_a_rule_that_says_two_things_does_not_exist(rule: str, confirmations: int):
    """Confirmations belong to the rule that counts them."""
    with pytest.raises(FormatError, match="do not fit"):
        ChainProfile("mine", 7, Finality(rule), confirmations)


@pytest.mark.parametrize(
    "changed",
    [
        {"chain_id": 0},
        {"chain_id": 2**53},
        {"evm_version": "london"},
        {"genesis": b"short"},
        {"poll_s": 0},
        {"bump_after_s": -1},
        {"max_fee_wei": -1},
    ],
)
def test_a_profile_out_of_range_is_refused(changed: dict[str, object]):
    """A profile with a value that cannot be meant does not exist."""
    fields = {"name": "mine", "chain_id": 7, "finality": Finality.IMMEDIATE}
    with pytest.raises(FormatError):
        ChainProfile(**(fields | changed))


def test_code_runs_on_its_version_and_later_ones():
    """A chain is believed to run what was compiled for its version or an older one."""
    profile = ChainProfile("mine", 7, Finality.IMMEDIATE, evm_version="shanghai")
    assert profile.runs("paris")
    assert profile.runs("shanghai")
    assert not profile.runs("cancun")
    assert not profile.runs("unheard of")


def test_known_chains_have_one_profile_each():
    """A chain id finds one profile; no chain without finality is among them."""
    assert len({profile.chain_id for profile in PROFILES}) == len(PROFILES)
    assert known_profile(31337) is DEV
    assert {profile.finality for profile in PROFILES} == {Finality.FINALIZED}
    with pytest.raises(FormatError, match="nothing is known"):
        known_profile(4242)
