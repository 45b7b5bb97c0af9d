# pragma version ==0.4.3
# pragma evm-version paris
# pragma optimize gas
"""
@title The proofs of rfc9162.vy, callable by tests
@license Apache-2.0
"""


import rfc9162


@external
@view
def check_inclusion(
    leaf: bytes32, index: uint64, size: uint64, path: DynArray[bytes32, 64], root: bytes32
):
    """
    @notice As the module's.
    """
    rfc9162.check_inclusion(leaf, index, size, path, root)


@external
@view
def check_consistency(
    old_size: uint64,
    old_root: bytes32,
    size: uint64,
    root: bytes32,
    proof: DynArray[bytes32, 64],
):
    """
    @notice As the module's.
    """
    rfc9162.check_consistency(old_size, old_root, size, root, proof)
