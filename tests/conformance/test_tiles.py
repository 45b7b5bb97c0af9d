"""Checkpoints, tiles and bundles of a log that transparency-dev/tessera wrote."""

from __future__ import annotations

import pytest

from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.core.keys import parse_vkey
from counterfoil.core.merkle import (
    Hash,
    check_consistency,
    check_inclusion,
    leaf_hash,
    prove_consistency,
    prove_inclusion,
    root_of,
)
from counterfoil.core.receipt import Receipt, check_receipt, format_receipt, parse_receipt
from counterfoil.core.tile import (
    bundle_path,
    format_bundle,
    parse_bundle,
    parse_tile_path,
    tile_path,
    tile_width,
)
from counterfoil.errors import FormatError

KEY = parse_vkey("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
SIZE = 15


@pytest.fixture
def log(vectors):
    return vectors / "tessera-log"


@pytest.fixture
def entries(log):
    return parse_bundle((log / bundle_path(0, SIZE)).read_bytes(), SIZE)


@pytest.fixture
def checkpoints(log):
    notes = [(log / f"checkpoint.{size}").read_bytes() for size in range(SIZE + 1)]
    return [open_checkpoint(note, KEY) for note in notes]


def test_every_checkpoint_opens_and_has_the_root_of_its_entries(log, entries, checkpoints):
    """All sixteen signatures hold, and each root is the one we compute ourselves."""
    leaves = [leaf_hash(entry) for entry in entries]
    for size, checkpoint in enumerate(checkpoints):
        assert checkpoint.size == size
        assert checkpoint.root == root_of(leaves[:size])
    assert (log / "checkpoint").read_bytes() == (log / f"checkpoint.{SIZE}").read_bytes()


def test_every_bundle_holds_the_first_entries_in_our_own_bytes(log, entries):
    """Each partial bundle is a beginning of the log, written exactly as we write it."""
    for size in range(1, SIZE + 1):
        data = (log / bundle_path(0, size)).read_bytes()
        assert parse_bundle(data, size) == entries[:size]
        assert format_bundle(entries[:size]) == data
        with pytest.raises(FormatError):
            parse_bundle(data, size + 1)


def test_every_tile_holds_the_leaf_hashes_of_its_entries(log, entries):
    """Each partial tile of level 0 is the leaf hashes, one after the other."""
    for size in range(1, SIZE + 1):
        width = tile_width(size, 0, 0)
        tile = (log / tile_path(0, 0, width)).read_bytes()
        assert tile == b"".join(leaf_hash(entry) for entry in entries[:size])


def test_no_other_tile_is_there_and_each_has_a_path_that_we_write(log):
    """The files on the disk are exactly those that the sizes 1 to 15 call for."""
    found = {str(path.relative_to(log)) for path in log.glob("tile/**/*") if path.is_file()}
    assert {parse_tile_path(path).path for path in found} == found
    assert found == {
        path
        for size in range(1, SIZE + 1)
        for path in (tile_path(0, 0, tile_width(size, 0, 0)), bundle_path(0, size))
    }


def test_proofs_made_from_the_tile_lead_to_roots_that_the_log_signed(log, checkpoints):
    """Inclusion and consistency are proven from the tile alone, at every size."""
    tile = (log / tile_path(0, 0, SIZE)).read_bytes()
    leaves = [Hash(tile[start : start + 32]) for start in range(0, len(tile), 32)]

    def node(level, index):
        return root_of(leaves[index << level : (index + 1) << level])

    for new in checkpoints[1:]:
        for index in range(new.size):
            path = prove_inclusion(index, new.size, node)
            check_inclusion(leaves[index], index, new.size, path, new.root)
        for old in checkpoints[1 : new.size + 1]:
            proof = prove_consistency(old.size, new.size, node)
            check_consistency(old.size, old.root, new.size, new.root, proof)


def test_a_receipt_can_be_made_for_every_entry_of_this_log(log, entries):
    """Receipts of our format hold under a checkpoint that another implementation signed."""
    leaves = [leaf_hash(entry) for entry in entries]

    def node(level, index):
        return root_of(leaves[index << level : (index + 1) << level])

    signed = (log / f"checkpoint.{SIZE}").read_bytes()
    for index, entry in enumerate(entries):
        data = format_receipt(Receipt(index, prove_inclusion(index, SIZE, node), signed))
        assert check_receipt(entry, parse_receipt(data), KEY).size == SIZE
