from __future__ import annotations

from dataclasses import replace

import pytest

from counterfoil.core.quorum import Grade, check_quorum
from counterfoil.errors import PolicyError


def cosigned(bank, *names):
    return [(bank.key(name).key, 1_800_000_000) for name in names]


def test_an_independent_witness_lifts_the_grade(bank):
    """A cosignature by somebody else's witness makes a checkpoint witnessed."""
    policy = bank.policy()
    assert check_quorum(policy, cosigned(bank, "auditor")) is Grade.WITNESSED
    assert check_quorum(policy, cosigned(bank, "own", "auditor")) is Grade.WITNESSED


@pytest.mark.parametrize("operator", ["Northbank", "northBANK", "NORTHBANK"])
def test_the_operators_own_witness_counts_and_lifts_nothing(bank, operator):
    """A witness of the log's operator fills the quorum, and the verdict stays self-witnessed."""
    own = replace(bank.policy().witnesses[0], operator=operator)
    policy = replace(bank.policy(), witnesses=(own, bank.policy().witnesses[1]))
    assert check_quorum(policy, cosigned(bank, "own")) is Grade.SELF_WITNESSED


def test_each_witness_counts_once(bank):
    """Two cosignatures of one witness are one voice."""
    policy = replace(bank.policy(), quorum=2)
    with pytest.raises(PolicyError) as caught:
        check_quorum(policy, cosigned(bank, "auditor", "auditor"))
    assert (caught.value.have, caught.value.need) == ("auditor", "2 of 2 witnesses")
    assert "own" in caught.value.hint


def test_strangers_do_not_count(bank):
    """Sham witnesses that the policy does not name add nothing."""
    bank.witness("sham", "Sham Ltd")
    with pytest.raises(PolicyError, match="0 witnesses"):
        check_quorum(bank.policy(), cosigned(bank, "sham"))


def test_no_quorum_is_met_by_nobody(bank):
    """With quorum 0 a checkpoint stands on its operator's word, and the grade says so."""
    assert check_quorum(replace(bank.policy(), quorum=0), []) is Grade.SELF_WITNESSED


def test_grades_are_ordered():
    """Each grade includes those before it."""
    assert [grade.label for grade in sorted(Grade)] == [
        "self-witnessed",
        "witnessed",
        "time-stamped",
        "anchored",
    ]
