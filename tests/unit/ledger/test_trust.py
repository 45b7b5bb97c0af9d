from __future__ import annotations

from dataclasses import replace

import pytest

import counterfoil as cf
from counterfoil.errors import CounterfoilError, VerificationError
from counterfoil.ledger.policyfile import read_policy


@pytest.fixture
def adopted(tmp_path):
    """The file of a policy that was adopted."""
    with cf.init(tmp_path / "ledger") as ledger:
        return ledger.places.trust


def test_no_flipped_bit_makes_another_policy(adopted):
    """A damaged file is refused, unless it still says the same."""
    data = adopted.read_bytes()
    policy = read_policy(adopted)
    refused = 0
    for place in range(len(data)):
        adopted.write_bytes(
            data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]
        )
        try:
            assert read_policy(adopted) == policy
        except CounterfoilError:
            refused += 1
    assert refused > len(data) // 2


def test_an_edited_file_is_refused_by_name_and_by_everybody(adopted, tmp_path):
    """A gate and a verifier go by what was adopted, or by a file that claims nothing about it."""
    edited = adopted.read_text().replace("quorum = 0", "quorum = 1")
    adopted.write_text(edited)
    with cf.open(tmp_path / "ledger") as ledger:
        for act in (ledger.policy.show, lambda: cf.verify(tmp_path / "ledger")):
            with pytest.raises(
                VerificationError, match="not the policy that was adopted"
            ) as caught:
                act()
            assert caught.value.hint
        adopted.write_text(edited.rpartition("# digest: ")[0])
        assert ledger.policy.show().quorum == 1


@pytest.fixture
def ledger(tmp_path):
    with cf.init(tmp_path / "ledger") as ledger:
        yield ledger


def draft(policy, **changes):
    return replace(policy, version=policy.version + 1, previous=policy.digest.hex(), **changes)


def test_an_adopted_policy_names_all_before_it(ledger):
    """Adoption writes in which policy judges which entries, whatever draft it is given."""
    digests = [ledger.policy.show().digest.hex()]
    for number in range(3):
        policy = ledger.policy.show()
        inherited = () if number == 1 else policy.predecessors
        index = ledger.policy.adopt(draft(policy, name=f"p{number}", predecessors=inherited))
        adopted = ledger.policy.show()
        assert [one.digest for one in adopted.predecessors] == digests
        assert adopted.predecessors[-1].until_index == index + 1
        digests.append(adopted.digest.hex())
    history = ledger.policy.history()
    assert [history.at(index).version for index in range(6)] == [1, 1, 2, 3, 4, 4]


def test_adopting_again_changes_nothing(ledger):
    """The policy in force is adopted already, whether its predecessors are written in or not."""
    first = ledger.policy.show()
    made = draft(first, name="second")
    index = ledger.policy.adopt(made)
    size = ledger.size
    assert ledger.policy.adopt(made) == ledger.policy.adopt(ledger.policy.show()) == index
    assert ledger.size == size
    with pytest.raises(cf.PolicyError, match="version"):
        ledger.policy.adopt(first)


def test_an_interrupted_adoption_is_completed_by_the_next(ledger):
    """A policy that reached the log and not the trust store is followed before another one is."""
    before = ledger.places.trust.read_bytes()
    made = draft(ledger.policy.show(), name="second")
    index = ledger.policy.adopt(made)
    second = ledger.policy.show()
    ledger.places.trust.write_bytes(before)
    assert ledger.policy.adopt(made) == index
    assert ledger.policy.show() == second
    ledger.places.trust.write_bytes(before)
    ledger.policy.adopt(draft(second, name="third"))
    assert [one.digest for one in ledger.policy.show().predecessors][-1] == second.digest.hex()
