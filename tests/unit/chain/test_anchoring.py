from __future__ import annotations

import pytest

from counterfoil.chain.anchoring import cost_of


@pytest.mark.parametrize(
    "price", ["seven", "", "-7", "7.0", "\u0667", "9" * 5000, str(2**256), 7, None, ["7"]]
)
def test_an_anchor_that_says_no_price_cost_nothing(price):
    """Whoever may state anchors can state nonsense; what the others cost is told all the same."""
    assert cost_of({"gas": 21_000, "price_wei": price}) == 0
    assert cost_of({"gas": 21_000, "price_wei": "7"}) == 147_000
