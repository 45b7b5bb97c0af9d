"""The gas table in git is what transactions cost, and no more than was promised."""

from __future__ import annotations

import pytest
from gas import measure, table

# Most gas that a call may use, as announced.
PROMISED = {
    "`advance`, 3-of-5, at 10⁶": 140_000,
    "`check_inclusion` as a transaction, at 10⁶": 55_000,
}


@pytest.fixture(scope="module")
def measured():
    return measure()


def test_the_table_is_what_transactions_cost(measured):
    """Whoever makes a call dearer, or cheaper, says so in docs/reference/gas.md."""
    written = table()
    dearer = {what: gas for what, gas in measured.items() if gas > written.get(what, 0)}
    assert not dearer, "a call costs more than docs/reference/gas.md says"
    assert written == measured, "docs/reference/gas.md is stale: make contracts"


@pytest.mark.parametrize("what", PROMISED)
def test_calls_cost_no_more_than_promised(measured, what):
    """Anchoring a log of a million entries stays affordable."""
    assert measured[what] <= PROMISED[what]
