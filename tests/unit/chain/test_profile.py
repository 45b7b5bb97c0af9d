from __future__ import annotations

import pytest

from counterfoil.chain.profile import (
    DEV,
    PROFILES,
    ChainProfile,
    Finality,
    format_finality,
    known_profile,
    parse_finality,
)
from counterfoil.errors import FormatError


@pytest.mark.parametrize("text", ["finalized", "immediate", "1", "12", "100000"])
def test_a_rule_reads_back_as_written(text: str):
    """A finality rule has one written form."""
    assert format_finality(parse_finality(text)) == str(parse_finality(text)) == text


@pytest.mark.parametrize("text", ["", "0", "latest", "012", "-1", "100001", "1.5", "Finalized"])
def test_other_rules_are_refused(text: str):
    """What is no rule is never taken for one."""
    with pytest.raises(FormatError):
        parse_finality(text)


@pytest.mark.parametrize(
    ("rule", "confirmations"),
    [("finalized", 1), ("immediate", 1), ("confirmations", 0), ("confirmations", -1), ("safe", 0)],
)
def test_a_rule_that_says_two_things_does_not_exist(rule: str, confirmations: int):
    """Confirmations belong to the rule that counts them."""
    with pytest.raises(FormatError):
        Finality(rule, confirmations)


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
    fields = {"name": "mine", "chain_id": 7, "finality": Finality("immediate")}
    with pytest.raises(FormatError):
        ChainProfile(**(fields | changed))


def test_code_runs_on_its_version_and_later_ones():
    """A chain is believed to run what was compiled for its version or an older one."""
    profile = ChainProfile("mine", 7, Finality("immediate"), "shanghai")
    assert profile.runs("paris")
    assert profile.runs("shanghai")
    assert not profile.runs("cancun")
    assert not profile.runs("unheard of")


def test_known_chains_have_one_profile_each():
    """A chain id finds one profile; no chain without finality is among them."""
    assert len({profile.chain_id for profile in PROFILES}) == len(PROFILES)
    assert known_profile(31337) is DEV
    assert {profile.finality.rule for profile in PROFILES} == {"finalized"}
    with pytest.raises(FormatError, match="nothing is known"):
        known_profile(4242)
