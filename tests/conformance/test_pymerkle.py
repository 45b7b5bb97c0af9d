"""The log's own trees and proofs against pymerkle, an implementation that we did not write."""

from __future__ import annotations

import itertools

import pytest
from pymerkle import InmemoryTree, verify_consistency, verify_inclusion

from counterfoil.core.keys import Algorithm
from counterfoil.core.merkle import check_consistency, check_inclusion, leaf_hash
from counterfoil.ledger.keyfiles import generate_key, save_key
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places

ENTRIES = [b"entry %d" % number for number in range(600)]
SIZES = [1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 513, 600]  # around the edges of stored tiles


@pytest.fixture
def log(tmp_path):
    """A log of ours, on the disk."""
    key = generate_key("example.com/oracle", Algorithm.ED25519)
    save_key(Places(key.key.name).keys / "log.pem", key)
    Log.create(tmp_path / "ledger", key)
    with Log(tmp_path / "ledger") as log:
        log.append_many(ENTRIES)
        yield log


@pytest.fixture
def theirs():
    """Their tree of the same entries."""
    return InmemoryTree.init_from_entries(ENTRIES)


def test_roots_are_theirs(log, theirs):
    """At every size, the root that we publish is the one that they compute."""
    for size in SIZES:
        assert log._tree.root(size) == theirs.get_root(size)


def test_inclusion_proofs_are_theirs(log, theirs):
    """Our proofs are their proofs, hash by hash, and each holds before the other's verifier."""
    for size in SIZES:
        for index in {0, size // 3, size // 2, size - 1}:
            ours = log._tree.inclusion(index, size)
            leaf = leaf_hash(ENTRIES[index])
            proof = theirs.prove_inclusion(index + 1, size)
            verify_inclusion(leaf, log._tree.root(size), proof)
            siblings = tuple(value for value in proof.path if value != leaf)
            assert siblings == ours
            check_inclusion(leaf, index, size, siblings, theirs.get_root(size))


def test_consistency_proofs_are_theirs(log, theirs):
    """Between any two sizes, both verifiers are convinced of each other's trees."""
    for old, new in itertools.combinations(SIZES, 2):
        proof = theirs.prove_consistency(old, new)
        verify_consistency(log._tree.root(old), log._tree.root(new), proof)
        ours = log.consistency(old, new)
        check_consistency(old, theirs.get_root(old), new, theirs.get_root(new), ours)
