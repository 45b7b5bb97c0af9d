# pragma version ==0.4.3
# pragma evm-version paris
# pragma optimize gas
"""
@title Merkle proofs of transparency logs
@license Apache-2.0
@notice Inclusion and consistency proofs of RFC 9162 over SHA-256: what counterfoil's core checks,
        accepted and refused alike.
@dev The two walks are those of RFC 9162, sections 2.1.3.2 and 2.1.4.2, with the names used
     there: `fn` is a node's position in its level, `sn` that of the last node.
@custom:security Who vouches for a root is not looked at here.
"""


# A tree of 2**63 - 1 leaves is the largest that a checkpoint can name.
MAX_SIZE: constant(uint64) = 2**63 - 1
# An inclusion path in it has at most 63 hashes, a consistency proof 64.
MAX_HASHES: constant(uint256) = 64


@internal
@view
def check_inclusion(
    leaf: bytes32, index: uint64, size: uint64, path: DynArray[bytes32, MAX_HASHES], root: bytes32
):
    """
    @notice Revert unless `leaf` is number `index` of the tree (`size`, `root`).
    @param leaf The leaf hash, SHA-256(00, entry).
    @param index Zero-based position.
    @param size Number of leaves.
    @param path Sibling hashes, leaf to root.
    @param root The root hash.
    @custom:security A leaf is a hash: what the entry says, and that `leaf` was made with the
        prefix 00, is for the caller to know. A node of the tree shown as a leaf has another
        depth, and is refused.
    """
    assert index < size and size <= MAX_SIZE, "rfc9162: index is outside the tree"
    fn: uint256 = convert(index, uint256)
    sn: uint256 = convert(size, uint256) - 1
    node: bytes32 = leaf
    for sibling: bytes32 in path:
        assert sn != 0, "rfc9162: path is too long"
        if fn & 1 == 1 or fn == sn:
            node = sha256(concat(0x01, sibling, node))
            if fn & 1 == 0:
                fn = self._climb(fn)
                sn = fn
        else:
            node = sha256(concat(0x01, node, sibling))
        fn >>= 1
        sn >>= 1
    assert sn == 0, "rfc9162: path is too short"
    assert node == root, "rfc9162: path leads to another root"


@internal
@view
def check_consistency(
    old_size: uint64,
    old_root: bytes32,
    size: uint64,
    root: bytes32,
    proof: DynArray[bytes32, MAX_HASHES],
):
    """
    @notice Revert unless the tree (`size`, `root`) begins with the tree (`old_size`, `old_root`).
    @param old_size Leaves of the older tree, at least 1.
    @param old_root Its root.
    @param size Leaves of the newer tree.
    @param root Its root.
    @param proof Hashes as in RFC 9162, section 2.1.4.1; empty when the sizes are equal.
    @custom:security Nothing can be proven about size 0: whoever allows a log to begin decides.
    """
    assert old_size != 0 and old_size <= size and size <= MAX_SIZE, "rfc9162: sizes do not fit"
    if old_size == size:
        assert len(proof) == 0, "rfc9162: proof is too long"
        assert old_root == root, "rfc9162: proof leads to another root"
        return
    fn: uint256 = convert(old_size, uint256) - 1
    sn: uint256 = convert(size, uint256) - 1
    # The older tree's last complete subtree is where both walks begin.
    for _: uint256 in range(MAX_HASHES):
        if fn & 1 == 0:
            break
        fn >>= 1
        sn >>= 1
    # It is the whole older tree where that is complete; otherwise the proof names it.
    node: bytes32 = old_root
    first: uint256 = 0
    if fn != 0:
        assert len(proof) != 0, "rfc9162: proof is too short"
        node = proof[0]
        first = 1
    old_node: bytes32 = node
    for i: uint256 in range(first, len(proof), bound=MAX_HASHES):
        assert sn != 0, "rfc9162: proof is too long"
        sibling: bytes32 = proof[i]
        if fn & 1 == 1 or fn == sn:
            old_node = sha256(concat(0x01, sibling, old_node))
            node = sha256(concat(0x01, sibling, node))
            if fn & 1 == 0:
                fn = self._climb(fn)
                sn = fn
        else:
            node = sha256(concat(0x01, node, sibling))
        fn >>= 1
        sn >>= 1
    assert sn == 0, "rfc9162: proof is too short"
    assert old_node == old_root and node == root, "rfc9162: proof leads to another root"


@internal
@pure
def _climb(fn: uint256) -> uint256:
    """
    @notice Go up from the last node of a level to where it has a sibling on its left, or to the
            root.
    """
    position: uint256 = fn
    for _: uint256 in range(MAX_HASHES):
        if position & 1 == 1 or position == 0:
            break
        position >>= 1
    return position
