from __future__ import annotations

import os
import stat

import pytest

from counterfoil.core.canonical import format_json
from counterfoil.errors import CounterfoilError, FormatError, VerificationError
from counterfoil.vault.intent import (
    MAX_ERASED,
    Intent,
    format_intent,
    open_details,
    parse_intent,
    seal_details,
)

KEY, STREAM = b"K" * 32, b"S" * 32
INTENT = seal_details(KEY, STREAM, [3, 17], b"who approved", os.urandom)


def test_an_intent_reads_back():
    """Parsing inverts formatting, both ways."""
    data = format_intent(INTENT)
    assert parse_intent(data) == INTENT
    assert format_intent(parse_intent(data)) == data


def test_the_file_comes_and_goes(vault):
    """There is no intent, then a private file, then none, and its bytes are overwritten."""
    store, path = vault.create(), vault.folder / "erasing"
    assert store.intent() is None
    store.put_intent(INTENT)
    assert store.intent() == INTENT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open("rb") as still_open:
        store.remove_intent()
        assert set(still_open.read()) == {0}
    assert store.intent() is None


def test_only_indices_are_in_the_clear():
    """Why and by whom an erasure was decided opens under its key alone."""
    assert b"who approved" not in format_intent(INTENT)
    assert b'"indices":[3,17]' in format_intent(INTENT)
    assert open_details(KEY, STREAM, INTENT) == b"who approved"


@pytest.mark.parametrize(
    ("key", "stream", "intent"),
    [
        (b"J" * 32, STREAM, INTENT),
        (KEY, b"T" * 32, INTENT),
        (KEY, STREAM, Intent((3, 18), INTENT.sealed)),
        (KEY, STREAM, Intent(INTENT.indices, INTENT.sealed[:-1])),
        (KEY, STREAM, Intent(INTENT.indices, b"")),
    ],
)
def test_details_belong_to_their_intent(key, stream, intent):
    """Details do not open for other records, another stream or under another key."""
    with pytest.raises(VerificationError):
        open_details(key, stream, intent)


@pytest.mark.parametrize(
    "indices",
    [[], [3, 3], [4, 3], [-1], [True], ["3"], list(range(MAX_ERASED + 1))],
)
def test_other_indices_are_refused(indices):
    """Indices ascend, each occurs once, and there are not too many for one record of them."""
    good = {"format": "counterfoil erasure intent v1", "indices": [3], "sealed": ""}
    assert parse_intent(format_json(good)) == Intent((3,), b"")
    with pytest.raises(FormatError):
        parse_intent(format_json(good | {"indices": indices}))


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 10**6, b"\xff", b'{"format":1}'])
def test_other_bytes_raise_our_errors_only(data):
    """Whatever lies in the place of an intent is refused in our own words."""
    with pytest.raises(CounterfoilError):
        parse_intent(data)
