from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.cluster.edge import Edge, split_entries
from counterfoil.cluster.queue import join_entries
from counterfoil.core.merkle import leaf_hash, root_of
from counterfoil.core.tile import parse_tile_path
from counterfoil.errors import FormatError

COUNTS = st.lists(st.sampled_from([1, 2, 3, 100, 255, 256, 257, 600]), min_size=1, max_size=6)


@given(COUNTS)
def test_growing_in_pieces_makes_the_tiles_of_growing_at_once(counts):
    """However calls are cut into commits, the tiles are the same, and so is the root."""
    entries = [b"%d" % number for number in range(sum(counts))]
    edge, objects, outgrown = Edge.empty(), {}, []
    for count in counts:
        growth = edge.grow(entries[edge.size : edge.size + count])
        assert not objects.keys() & growth.objects.keys(), "an object was made twice"
        objects |= growth.objects
        outgrown += growth.outgrown
        edge = growth.edge
    whole = Edge.empty().grow(entries)
    full = {path: data for path, data in objects.items() if ".p/" not in path}
    assert full == {path: data for path, data in whole.objects.items() if ".p/" not in path}
    assert edge.open_tiles() == whole.edge.open_tiles()
    assert edge.open_tiles().items() <= objects.items()
    assert edge.frontier.root() == root_of([leaf_hash(entry) for entry in entries])
    # What was outgrown is gone in the end, but for the edge: nothing is left behind for ever.
    left = {path for path in objects if not path.startswith(tuple(outgrown or ["-"]))}
    partial = {path for path in left if ".p/" in path}
    edges = {path.partition(".p/")[0] for path in edge.open_tiles()}
    assert {path.partition(".p/")[0] for path in partial} <= edges
    for path in objects:
        parse_tile_path(path)


@given(st.lists(st.binary(max_size=300), max_size=600))
def test_entries_of_a_call_come_apart_again(entries):
    """What a call put into the queue is what a leader takes out of it."""
    assert split_entries(join_entries(entries), len(entries)) == entries


@given(st.binary(max_size=600), st.integers(0, 300))
def test_any_bytes_in_the_queue_are_read_or_refused(data, count):
    """Whatever lies in the queue is exactly so many entries, or refused."""
    try:
        entries = split_entries(data, count)
    except FormatError:
        return
    assert len(entries) == count
    assert join_entries(entries) == data


def test_a_call_is_bounded():
    """One call of append has at most 64 MiB, and says so."""
    with pytest.raises(FormatError, match="the most is 67108864"):
        join_entries([bytes(65_535)] * 1025)
