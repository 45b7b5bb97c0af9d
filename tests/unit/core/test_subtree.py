from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core.merkle import (
    EMPTY_ROOT,
    Hash,
    check_inclusion,
    leaf_hash,
    prove_consistency,
    prove_inclusion,
    root_of,
)
from counterfoil.core.subtree import Subtree, check_subtree, cover
from counterfoil.errors import FormatError, ProofError

MOST = 130
LEAVES = [leaf_hash(bytes([value])) for value in range(MOST)]
NODES = {
    (level, index): root_of(LEAVES[index << level : (index + 1) << level])
    for level in range(8)
    for index in range(MOST >> level)
}


def node(level, index):
    return NODES[level, index]


def subtrees(most):
    """Every subtree that ends at `most` or before, by its end, then its start."""
    for end in range(most + 1):
        for start in range(end + 1):
            try:
                yield Subtree(start, end)
            except FormatError:
                continue


def digest(lines):
    return sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def test_roots_are_those_of_the_draft():
    """All subtrees of all logs up to 130 entries have the roots that the draft's authors got."""
    lines = [f"[{s.start}, {s.end}) {s.root(node).hex()}" for s in subtrees(MOST)]
    assert digest(lines) == "b82806ad4265bb151c1119c0f4db437bb4d1a1f887b3a7fba1cd4ebf552e3e81"


def test_inclusion_proofs_are_those_of_the_draft_and_hold():
    """Every leaf of every subtree has the path of the draft, and that leads to its root."""
    lines = []
    for s in subtrees(MOST):
        for index in range(s.start, s.end):
            path = s.prove_inclusion(index, node)
            check_inclusion(LEAVES[index], index - s.start, s.size, path, s.root(node))
            lines.append(" ".join([f"{index} [{s.start}, {s.end})", *(one.hex() for one in path)]))
    assert digest(lines) == "ac2a8f989e44d99e399db448050ff5f19757df53cfb716aa81015d3955d8163f"


def test_consistency_proofs_are_those_of_the_draft_and_hold():
    """Every subtree in every log has the proof of the draft, and that convinces the checker."""
    lines = []
    for size in range(MOST + 1):
        root = root_of(LEAVES[:size])
        for s in subtrees(size):
            proof = s.prove_consistency(size, node)
            check_subtree(s, s.root(node), size, root, proof)
            lines.append(" ".join([f"[{s.start}, {s.end}) {size}", *(one.hex() for one in proof)]))
    assert digest(lines) == "10fa99b37bf9bf9ffa26b412fbd98bd75363256d0b75d61bc4538b9c9c5a0a74"


def test_covers_are_those_of_the_draft():
    """Every range of up to 130 entries is covered by the two subtrees of the draft."""
    lines = []
    for end in range(MOST + 1):
        for start in range(end + 1):
            a, b = cover(start, end)
            lines.append(f"[{a.start}, {a.end}) [{b.start}, {b.end})")
    assert digest(lines) == "7fd9c8b926e9d2b5cf831560e8ce295a5ef97ad5c5ede4ea0dea28a8c8fc8bb0"


def test_from_the_beginning_it_is_the_proof_of_the_rfc():
    """A subtree from 0 is proven as an older log is, and one leaf as an entry is."""
    for size in range(1, MOST + 1):
        for end in range(1, size):
            proof = Subtree(0, end).prove_consistency(size, node)
            assert proof == prove_consistency(end, size, node)
            one = Subtree(end, end + 1).prove_consistency(size, node)
            assert one == prove_inclusion(end, size, node)


@given(st.data())
def test_a_proof_with_anything_changed_is_refused(data):
    """Whatever hash, order, length or root is another, the checker says no.

    Not the size: two logs may have one root's way, and which is meant is for their checkpoints.
    """
    size = data.draw(st.integers(2, MOST))
    s = data.draw(st.sampled_from([s for s in subtrees(size) if 0 < s.size < size]))
    proof, root = list(s.prove_consistency(size, node)), root_of(LEAVES[:size])
    subtree_root = s.root(node)
    match data.draw(st.sampled_from(["hash", "short", "long", "swap", "root", "subtree"])):
        case "hash":
            proof[data.draw(st.integers(0, len(proof) - 1))] = Hash(bytes(32))
        case "short":
            proof.pop(data.draw(st.integers(0, len(proof) - 1)))
        case "long":
            proof.insert(data.draw(st.integers(0, len(proof))), Hash(bytes(32)))
        case "swap":
            proof.append(proof.pop(0))
            if proof == list(s.prove_consistency(size, node)):
                return
        case "root":
            root = Hash(bytes(32))
        case "subtree":
            subtree_root = Hash(bytes(32))
    with pytest.raises(ProofError):
        check_subtree(s, subtree_root, size, root, proof)


@pytest.mark.parametrize(("start", "end"), [(1, 3), (7, 9), (4, 9), (-1, 0), (3, 2), (2, 2**63)])
def test_a_range_that_is_not_aligned_is_no_subtree(start, end):
    """Only what can be proven to be part of the log is a subtree of it."""
    with pytest.raises(FormatError, match="no subtree"):
        Subtree(start, end)


def test_an_empty_subtree_has_the_empty_root_and_no_proof():
    """Of nothing, nothing but the empty root can be claimed."""
    check_subtree(Subtree(5, 5), EMPTY_ROOT, 9, root_of(LEAVES[:9]), ())
    with pytest.raises(ProofError):
        check_subtree(Subtree(5, 5), LEAVES[0], 9, root_of(LEAVES[:9]), ())
    with pytest.raises(ProofError):
        check_subtree(Subtree(5, 5), EMPTY_ROOT, 9, root_of(LEAVES[:9]), (LEAVES[0],))
