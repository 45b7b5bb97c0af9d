from __future__ import annotations

import pytest

from counterfoil.core.canonical import format_json
from counterfoil.errors import FormatError
from counterfoil.vault.epoch import Epoch, format_epoch, parse_epoch

WHERE = "vault.json"
EPOCH = Epoch(b"S" * 32, 3, began=1000, ends=1600, retiring=2)


def test_the_state_reads_back():
    """Parsing inverts formatting, both ways."""
    data = format_epoch(EPOCH)
    assert parse_epoch(data, WHERE) == EPOCH
    assert format_epoch(parse_epoch(data, WHERE)) == data


def test_epochs_follow_each_other():
    """The next epoch is as long, begins now, and retires the one before until it is settled."""
    following = EPOCH.settled().next(5000)
    assert following == Epoch(b"S" * 32, 4, began=5000, ends=5600, retiring=3)
    assert following.settled().retiring == 0


def test_a_clock_that_goes_backwards_does_not_shorten_history():
    """An epoch never begins before the one that it follows."""
    assert EPOCH.settled().next(10).began == 1000


@pytest.mark.parametrize(
    "change",
    [
        {"format": "counterfoil vault v2"},
        {"epoch": 0},
        {"epoch": True},
        {"epoch": 2**32},
        {"ends": 1000},
        {"began": -1},
        {"retiring": 1},
        {"stream": "53" * 31},
        {"stream": "S" * 64},
        {"more": 1},
    ],
)
def test_another_state_is_refused(change):
    """A state that we would not write is refused, naming the file."""
    good = {
        "began": 1000,
        "ends": 1600,
        "epoch": 3,
        "format": "counterfoil vault v1",
        "retiring": 2,
        "stream": "53" * 32,
    }
    assert parse_epoch(format_json(good), WHERE) == EPOCH
    with pytest.raises(FormatError, match=r"vault\.json"):
        parse_epoch(format_json(good | change), WHERE)
