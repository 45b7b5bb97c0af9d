"""Whatever a server answers, it becomes an error of ours with a bounded message."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from counterfoil.errors import CounterfoilError
from counterfoil.ledger.web import Answer
from counterfoil.remote.refusals import refusal

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=2_000),
    lambda inner: st.lists(inner, max_size=60) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=80,
)
MEMBERS = st.sampled_from(["detail", "title", "hint", "reasons", "status", "type"])
PROBLEMS = st.dictionaries(MEMBERS, VALUES).map(lambda value: json.dumps(value).encode())


@given(st.integers(100, 599), st.binary(max_size=200) | PROBLEMS)
def test_any_answer_is_an_error_of_ours(status: int, body: bytes):
    """No words of a server end in a traceback, in lines of their own, or in a flood."""
    error = refusal(Answer(status, {}, body), "https://ledger.example")
    assert isinstance(error, CounterfoilError)
    assert len(str(error)) < 20_000
    assert "\n" not in str(error) + error.hint
