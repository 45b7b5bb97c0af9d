"""Overrides: which outcomes a person may give, and which records are about a decision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from counterfoil.core.canonical import JsonValue
from counterfoil.core.record import parse_disclosure
from counterfoil.errors import FormatError, UnavailableError
from counterfoil.vault.store import StreamStore

MAX_LOOK_BACK: Final = 1000  # records that are read where no index says which ones to read


def known_outcome(outcome: JsonValue, store: StreamStore) -> JsonValue:
    """Give an outcome as records of late have it; a number may be given as a text.

    A letter about a slip of the pen would hold, so one that none of them has is refused.

    Raises:
        FormatError: none of the newest `MAX_LOOK_BACK` has it; lists those that there are.
    """
    known: dict[str, None] = {}
    for index in _newest(store):
        output = _read(store, index).get("output")
        if isinstance(output, dict) and "outcome" in output:
            if outcome in (output["outcome"], str(output["outcome"])):
                return output["outcome"]
            known[f"{output['outcome']!a:.40}"] = None
    raise FormatError(
        f"no decision of late has the outcome {outcome!a:.40}; there are {', '.join(known)}",
        hint="If that is what was decided, say so: `new_outcome=True`, or `--new-outcome`.",
    )


def find_overrides(store: StreamStore, index: int) -> list[int]:
    """Find the records that are about the one at `index`, oldest first.

    An override is about the same person, so the index of persons finds it; of a record about
    nobody, the newest `MAX_LOOK_BACK` are read.
    """
    subject, leaf = store.subject(index), store.leaf(index).hex()
    about = sorted(_newest(store)) if subject is None else store.find(subject)
    return [one for one in about if one > index and _read(store, one).get("about") == leaf]


def _newest(store: StreamStore) -> Iterator[int]:
    return reversed(range(max(0, store.size - MAX_LOOK_BACK), store.size))


def _read(store: StreamStore, index: int) -> dict[str, JsonValue]:
    """Read a record's fields; none of one that was erased."""
    try:
        return {one.name: one.value for one in map(parse_disclosure, store.disclosures(index))}
    except UnavailableError:
        return {}
