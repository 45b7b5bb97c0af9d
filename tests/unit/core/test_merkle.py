from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core import merkle
from counterfoil.core.merkle import EMPTY_ROOT, Frontier, Hash
from counterfoil.errors import FormatError, ProofError

LEAVES = [merkle.leaf_hash(i.to_bytes(4, "big")) for i in range(70)]


def mth(leaves):
    """RFC 9162, section 2.1.1, as written: the oracle for the fast code."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m, leaves):
    """RFC 9162, section 2.1.3.1, as written."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m, leaves, whole):
    """RFC 9162, section 2.1.4.1, as written."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def node(level, index):
    return Hash(mth(LEAVES[index << level : (index + 1) << level]))


def test_roots_are_those_of_the_recursive_definition():
    """The folded right edge gives the RFC's root at every size, however leaves arrive."""
    for size in range(len(LEAVES) + 1):
        expected = mth(LEAVES[:size])
        assert merkle.root_of(LEAVES[:size]) == expected
        for cut in (0, size // 3, size // 2):
            frontier = Frontier()
            frontier.extend(b"".join(LEAVES[:cut]))
            frontier.extend(b"".join(LEAVES[cut:size]))
            assert frontier.root() == expected
            assert Frontier.at(size, node).root() == expected


def test_extend_returns_the_subtrees_it_completes():
    """What tiles hold at level 8 is what the frontier hands out as it grows."""
    leaves = [merkle.leaf_hash(i.to_bytes(4, "big")) for i in range(600)]
    frontier = Frontier()
    level_1 = b""
    for start in range(0, 600, 37):
        completed = frontier.extend(b"".join(leaves[start : start + 37]))
        if len(completed) > 1:
            level_1 += completed[1]
    assert level_1 == mth(leaves[:256]) + mth(leaves[256:512])


def test_inclusion_proofs_are_those_of_the_recursive_definition():
    """Every entry of every size up to 70 proves as the RFC says, and at no other index."""
    for size in range(1, len(LEAVES) + 1, 3):
        root = Hash(mth(LEAVES[:size]))
        for index in range(size):
            proof = merkle.prove_inclusion(index, size, node)
            assert list(proof) == path(index, LEAVES[:size])
            merkle.check_inclusion(LEAVES[index], index, size, proof, root)
            if size > 1:
                with pytest.raises(ProofError):
                    merkle.check_inclusion(LEAVES[index], (index + 1) % size, size, proof, root)


def test_consistency_proofs_are_those_of_the_recursive_definition():
    """Every pair of sizes up to 70 proves as the RFC says."""
    for size in range(1, len(LEAVES) + 1, 2):
        for old in range(1, size + 1):
            proof = merkle.prove_consistency(old, size, node)
            assert list(proof) == subproof(old, LEAVES[:size], True)
            merkle.check_consistency(
                old, Hash(mth(LEAVES[:old])), size, Hash(mth(LEAVES[:size])), proof
            )


@given(st.integers(1, 70), st.data())
def test_a_changed_inclusion_proof_fails(size, data):
    """One bit anywhere, one hash more or fewer, or another size: no proof survives it."""
    index = data.draw(st.integers(0, size - 1))
    root = Hash(mth(LEAVES[:size]))
    proof = list(merkle.prove_inclusion(index, size, node))
    merkle.check_inclusion(LEAVES[index], index, size, proof, root)
    with pytest.raises(ProofError):
        merkle.check_inclusion(LEAVES[index], index, size, [*proof, root], root)
    if proof:
        with pytest.raises(ProofError):
            merkle.check_inclusion(LEAVES[index], index, size, proof[:-1], root)
        place = data.draw(st.integers(0, len(proof) - 1))
        bit = data.draw(st.integers(0, 255))
        flipped = int.from_bytes(proof[place], "big") ^ (1 << bit)
        proof[place] = Hash(flipped.to_bytes(32, "big"))
        with pytest.raises(ProofError):
            merkle.check_inclusion(LEAVES[index], index, size, proof, root)


@given(st.integers(2, 70), st.data())
def test_a_changed_consistency_proof_fails(size, data):
    """A tree that does not begin with the older one cannot be proven to."""
    old = data.draw(st.integers(1, size - 1))
    old_root, root = Hash(mth(LEAVES[:old])), Hash(mth(LEAVES[:size]))
    proof = list(merkle.prove_consistency(old, size, node))
    place = data.draw(st.integers(0, len(proof) - 1))
    bit = data.draw(st.integers(0, 255))
    changed = proof.copy()
    changed[place] = Hash((int.from_bytes(proof[place], "big") ^ (1 << bit)).to_bytes(32, "big"))
    for bad in (changed, proof[:-1], [*proof, root]):
        with pytest.raises(ProofError):
            merkle.check_consistency(old, old_root, size, root, bad)
    with pytest.raises(ProofError):
        merkle.check_consistency(old, root, size, root, proof)


def test_hashes_have_one_width():
    """Two hashes glued into one place cannot pass for one."""
    root = Hash(mth(LEAVES[:2]))
    with pytest.raises(FormatError):
        merkle.check_inclusion(LEAVES[0], 0, 2, [Hash(LEAVES[1] + b"\0")], root)
    with pytest.raises(FormatError):
        merkle.as_hash(b"\0" * 31)


def test_the_empty_tree_is_extended_by_any_and_needs_no_proof():
    """A witness accepts a log's first checkpoint, and nothing but an empty proof for it."""
    root = Hash(mth(LEAVES[:5]))
    merkle.check_extension(0, EMPTY_ROOT, 5, root, ())
    with pytest.raises(ProofError):
        merkle.check_extension(0, EMPTY_ROOT, 5, root, (root,))
    with pytest.raises(ProofError):
        merkle.check_extension(0, root, 5, root, ())
    with pytest.raises(ProofError):
        merkle.check_consistency(0, EMPTY_ROOT, 5, root, ())
