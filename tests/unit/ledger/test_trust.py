from __future__ import annotations

import pytest

import counterfoil as cf
from counterfoil.errors import CounterfoilError, VerificationError
from counterfoil.ledger.trust import read_policy


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
