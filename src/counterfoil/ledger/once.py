"""Appending an entry once: what is in the log already is found by its leaf hash.

The tree itself says what is in it. Whoever wants an entry once says up to which size it has looked
for it, as a rule in an index; from there to where the log ends, whoever gives entries their place
compares leaf hashes. That is what was appended meanwhile, so it costs nothing that grows with the
log, nothing has to be kept beside it, and it makes no difference who appended the entry, or how.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple

from counterfoil.core.merkle import leaf_hash
from counterfoil.errors import FormatError
from counterfoil.ledger.tree import Tree

MAX_SINCE_ENTRIES = 1 << 20
"""How far back from the end of the log a call may have entries looked for."""

_LOOKED_THROUGH = 1 << 14  # leaf hashes that are read at a time


class Wanted(NamedTuple):
    """A call of append.

    Args:
        entries: What it appends.
        since: Where to begin to look for them; None if they are to be appended in any case.
    """

    entries: Sequence[bytes]
    since: int | None


class Place(NamedTuple):
    """Where the entries of a call stand.

    Args:
        first: Where those begin that it adds.
        added: How many these are, next to each other; the others were there already.
        indices: Of all of them, in the order of the call.
    """

    first: int
    added: int
    indices: Sequence[int]


def check_since(since: int | None, size: int) -> None:
    """Refuse to have so much looked through that other callers would wait.

    Raises:
        FormatError: it begins too far back, or is no index at all.
    """
    if since is not None and not max(0, size - MAX_SINCE_ENTRIES) <= since <= size:
        raise FormatError(
            f"entries cannot be looked for from {since} on, in a log of {size}",
            hint=f"At most {MAX_SINCE_ENTRIES} back: `positions_of` finds what is older.",
        )


def place(calls: Sequence[Wanted], size: int, tree: Tree) -> tuple[list[bytes], list[Place]]:
    """Give calls their places, from `size` on.

    Args:
        calls: In their order.
        size: Where the log ends; `tree` has hashes up to there, published or not.
        tree: Where they are looked up.

    Returns:
        What is to be appended, and the place of each call.
    """
    starts = [call.since for call in calls if call.since is not None]
    known: dict[bytes, int] = {}
    if starts:
        leaves = {
            leaf_hash(entry) for call in calls if call.since is not None for entry in call.entries
        }
        known = _find(tree, leaves, min(starts), size)
    new: list[bytes] = []
    places = []
    for call in calls:
        first = size + len(new)
        indices: Sequence[int] = range(first, first + len(call.entries))
        if call.since is not None:
            indices = _append_unknown(call.entries, size, new, known)
        else:
            new += call.entries
            if starts:
                for index, entry in zip(indices, call.entries, strict=True):
                    known.setdefault(leaf_hash(entry), index)
        places.append(Place(first, size + len(new) - first, indices))
    return new, places


def _append_unknown(
    entries: Sequence[bytes], size: int, new: list[bytes], known: dict[bytes, int]
) -> list[int]:
    """Append to `new` what is not known yet; return where each entry stands."""
    indices = []
    for entry in entries:
        end = size + len(new)
        index = known.setdefault(leaf_hash(entry), end)
        if index == end:
            new.append(entry)
        indices.append(index)
    return indices


def _find(tree: Tree, leaves: Container[bytes], start: int, stop: int) -> dict[bytes, int]:
    """Find where leaves first stand, from `start` on."""
    found: dict[bytes, int] = {}
    for begin in range(start, stop, _LOOKED_THROUGH):
        hashes = tree.hashes(0, begin, min(stop, begin + _LOOKED_THROUGH))
        for index, leaf in enumerate(hashes, begin):
            if leaf in leaves:
                found.setdefault(leaf, index)
    return found
