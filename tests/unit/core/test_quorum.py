from __future__ import annotations

from dataclasses import replace

import pytest

from counterfoil.core.keys import Algorithm
from counterfoil.core.quorum import Grade, Witness, check_quorum
from counterfoil.errors import FormatError, PolicyError


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
    with pytest.raises(PolicyError, match=r"^1 witness cosigned") as caught:
        check_quorum(policy, cosigned(bank, "auditor", "auditor"))
    assert (caught.value.have, caught.value.need) == ("auditor", "2 of 2 witnesses")
    assert "own" in caught.value.hint
    assert "verify it with the policy of its time" in caught.value.hint


def test_a_witness_counts_only_with_all_its_keys(bank):
    """Where the policy asks for post-quantum, a dropped ML-DSA-44 line is a missing witness."""
    quantum = bank.key("auditor-pq", Algorithm.COSIGNATURE_ML_DSA_44).key
    own, auditor = bank.policy().witnesses
    policy = replace(bank.policy(), witnesses=(own, replace(auditor, post_quantum=quantum)))
    assert quantum in policy.witness_keys
    for dropped in ("auditor", "auditor-pq"):
        with pytest.raises(PolicyError, match="0 witnesses"):
            check_quorum(policy, cosigned(bank, dropped))
    assert check_quorum(policy, cosigned(bank, "auditor", "auditor-pq")) is Grade.WITNESSED


def test_two_keys_of_a_witness_are_of_two_kinds(bank):
    """Ed25519 beside ML-DSA-44: two of one kind would fall together."""
    old = bank.key("w", Algorithm.COSIGNATURE_ED25519).key
    new = bank.key("w-pq", Algorithm.COSIGNATURE_ML_DSA_44).key
    for key, other in ((old, old), (new, new), (new, old)):
        with pytest.raises(FormatError, match="two keys of different kinds"):
            Witness("w", key, "Auditor LLP", post_quantum=other)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a", "https://", "https://a/", "https://A", "https://u@a", "https://a?b", "https://a#b",
        "https://a:0", "https://a:http", "https://a//b", "https://a b", "https://ä", "//a", "https://-a",
        "https://a/%2e", "https://a\n", "https://" + "a" * 500,
    ],
)  # fmt: skip
def test_an_address_has_one_spelling(bank, url):
    """What is no address, or another spelling of one, is refused where it is read."""
    with pytest.raises(FormatError, match="address"):
        replace(bank.policy().witnesses[0], url=url)


@pytest.mark.parametrize(
    "url", ["https://w.example/a/b", "http://127.0.0.1:8100", "http://[::1]:1"]
)
def test_an_address_is_part_of_the_witness(bank, url):
    """It survives both forms."""
    one = replace(bank.policy().witnesses[0], url=url)
    assert one.to_json()["url"] == url


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
