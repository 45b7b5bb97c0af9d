# pragma version ==0.4.3
# pragma evm-version paris
# pragma optimize gas
"""
@title Committees that sign by quorum
@license Apache-2.0
@notice A committee has an id, members, and a threshold; at each epoch, others. What it decides is
        EIP-712 typed data, signed by as many members as the threshold asks for. There is no
        owner: only a quorum of the old members together with one of the new can replace them.
@custom:security Members that work together decide anything that their contract lets them decide.
    A contract whose code can be an account (EIP-1271) cannot be a member: signatures are ECDSA.
"""


struct Signature:  # EIP-2098: `vs` is s with the parity of y in the highest bit
    r: bytes32
    vs: bytes32


event Rotated:
    committee: indexed(bytes32)
    epoch: uint64
    threshold: uint64
    members: DynArray[address, MAX_MEMBERS]


MAX_MEMBERS: constant(uint256) = 32

# Signatures with s above half of the curve's order are the other form of valid ones (EIP-2).
HALF_ORDER: constant(uint256) = (
    57896044618658097711785492504343953926418782139537452191302581570759080747168
)

NAME: constant(String[11]) = "counterfoil"
VERSION: constant(String[1]) = "1"
DOMAIN: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
ROTATION: constant(bytes32) = keccak256(
    "Rotation(bytes32 committee,uint64 epoch,uint64 threshold,address[] members)"
)

# The epoch in force, from 1; 0 where there is no such committee.
epochs: HashMap[bytes32, uint64]
thresholds: HashMap[bytes32, HashMap[uint64, uint64]]
members: HashMap[bytes32, HashMap[uint64, DynArray[address, MAX_MEMBERS]]]
# Each member's position in that list, from 1.
seats: HashMap[bytes32, HashMap[uint64, HashMap[address, uint256]]]


@external
@view
def eip712Domain() -> (
    bytes1, String[11], String[1], uint256, address, bytes32, DynArray[uint256, 1]
):
    """
    @notice What members' signatures are bound to (EIP-5267).
    @return Used fields (name, version, chain id, contract), then the fields in EIP-712's order.
    """
    return 0x0f, NAME, VERSION, chain.id, self, empty(bytes32), []


@internal
def found(id: bytes32, members: DynArray[address, MAX_MEMBERS], threshold: uint64):
    """
    @notice Seat the first members of a committee, at epoch 1.
    @custom:security Nobody has to agree: what the id stands for is decided by the caller, who
        also checks that the committee does not exist yet.
    """
    self._seat(id, 1, members, threshold)


@internal
def rotate(
    id: bytes32,
    members: DynArray[address, MAX_MEMBERS],
    threshold: uint64,
    signatures: DynArray[Signature, MAX_MEMBERS],
    acceptances: DynArray[Signature, MAX_MEMBERS],
):
    """
    @notice Replace the members: a quorum of the old and a quorum of the new sign the same
            Rotation, which names the epoch that it begins.
    @param signatures By the old members.
    @param acceptances By the new ones, so that nobody is seated who holds no key.
    """
    epoch: uint64 = self.epochs[id]
    # An array is encoded by its elements alone (EIP-712); ABI encoding puts two words before.
    encoded: Bytes[64 + 32 * MAX_MEMBERS] = abi_encode(members)
    digest: bytes32 = self.typed_digest(
        keccak256(
            abi_encode(
                ROTATION,
                id,
                epoch + 1,
                threshold,
                keccak256(slice(encoded, 64, 32 * len(members))),
            )
        )
    )
    self.check_quorum(id, epoch, digest, signatures)
    self._seat(id, epoch + 1, members, threshold)
    self.check_quorum(id, epoch + 1, digest, acceptances)


@internal
@view
def check_quorum(
    id: bytes32, epoch: uint64, digest: bytes32, signatures: DynArray[Signature, MAX_MEMBERS]
):
    """
    @notice Revert unless as many members of `epoch` signed `digest` as its threshold asks for.
    @custom:security Whether `epoch` is still in force, and whether `digest` has been used before,
        is for the caller to check.
    """
    threshold: uint256 = convert(self.thresholds[id][epoch], uint256)
    self.check_signed(id, epoch, digest, signatures, threshold)


@internal
@view
def check_signed(
    id: bytes32,
    epoch: uint64,
    digest: bytes32,
    signatures: DynArray[Signature, MAX_MEMBERS],
    threshold: uint256,
):
    """
    @notice Revert unless at least `threshold` different members of `epoch` signed `digest`, and
            nobody else did.
    """
    # Without this, no signatures at all would be enough where there is no committee.
    assert threshold != 0, "committee: there is no such epoch"
    assert len(signatures) >= threshold, "committee: too few signatures"
    signed: uint256 = 0
    for signature: Signature in signatures:
        seat: uint256 = self.seats[id][epoch][self._recover(digest, signature)]
        assert seat != 0, "committee: signer is no member"
        bit: uint256 = 1 << seat
        assert signed & bit == 0, "committee: member signed twice"
        signed |= bit


@internal
@view
def typed_digest(struct_hash: bytes32) -> bytes32:
    """
    @notice The EIP-712 digest of a struct, for this chain and this contract.
    @dev Computed anew each time: a chain may fork, and the code stays the same everywhere.
    """
    domain: bytes32 = keccak256(
        abi_encode(DOMAIN, keccak256(NAME), keccak256(VERSION), chain.id, self)
    )
    return keccak256(concat(0x1901, domain, struct_hash))


@internal
@view
def current(id: bytes32) -> (uint64, uint64, DynArray[address, MAX_MEMBERS]):
    """
    @notice Epoch, threshold and members in force; epoch 0 where there is no such committee.
    """
    epoch: uint64 = self.epochs[id]
    return epoch, self.thresholds[id][epoch], self.members[id][epoch]


@internal
def _seat(
    id: bytes32, epoch: uint64, members: DynArray[address, MAX_MEMBERS], threshold: uint64
):
    """
    @notice Begin an epoch. Members ascend, so that one set has one form and nobody has two seats.
    """
    assert (
        threshold != 0 and convert(threshold, uint256) <= len(members)
    ), "committee: threshold is not between 1 and the number of members"
    previous: uint256 = 0
    seat: uint256 = 0
    for member: address in members:
        number: uint256 = convert(member, uint256)
        # The zero address is refused by this too: recovery gives it for signatures of nobody.
        assert number > previous, "committee: members do not ascend"
        previous = number
        seat += 1
        self.seats[id][epoch][member] = seat
    self.epochs[id] = epoch
    self.thresholds[id][epoch] = threshold
    self.members[id][epoch] = members
    log Rotated(committee=id, epoch=epoch, threshold=threshold, members=members)


@internal
@pure
def _recover(digest: bytes32, signature: Signature) -> address:
    """
    @notice Who signed; the zero address for what nobody signed.
    @dev 255 bits hold hardly any s of the upper half; those are refused too.
    """
    vs: uint256 = convert(signature.vs, uint256)
    s: uint256 = vs & (2**255 - 1)
    assert s <= HALF_ORDER, "committee: s is in the upper half"
    return ecrecover(digest, 27 + (vs >> 255), convert(signature.r, uint256), s)
