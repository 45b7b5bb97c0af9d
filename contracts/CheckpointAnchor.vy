# pragma version ==0.4.3
# pragma evm-version paris
# pragma optimize gas
"""
@title Checkpoints of transparency logs that can only grow
@license Apache-2.0
@notice A light client of logs. A checkpoint (size, root) is anchored if a quorum of the log's
        committee signed it and an RFC 9162 proof shows that it extends the one anchored before.
        Two signed roots of one size stop the log, whoever shows them.
@dev Nobody owns this, nothing can be upgraded, and there are no immutables: the code hash is
     the same wherever it is deployed. A log's id is made from its first committee, so that
     nobody can take another's origin.
@custom:security What the log's entries say, and that anyone can read them, is not checked.
    A quorum can withhold checkpoints, but not take back what is anchored. Times are those of
    blocks, which whoever makes the blocks can bend.
"""


import committee
import rfc9162
from interfaces import ICheckpointAnchor


implements: ICheckpointAnchor
initializes: committee
exports: committee.eip712Domain


struct Anchor:
    size: uint64
    root: bytes32
    time: uint64  # of the block, in seconds since 1970
    number: uint64  # of the block


struct SplitView:
    size: uint64
    root_a: bytes32
    root_b: bytes32
    time: uint64  # of the block that recorded it


event Opened:
    id: indexed(bytes32)
    origin: indexed(bytes32)


event Advanced:
    id: indexed(bytes32)
    size: uint64
    root: bytes32


event Split:
    id: indexed(bytes32)
    epoch: uint64
    size: uint64
    root_a: bytes32
    root_b: bytes32


CHECKPOINT: constant(bytes32) = keccak256(
    "Checkpoint(bytes32 log,uint64 epoch,uint64 size,bytes32 root)"
)
MAX_ANCHORS: constant(uint256) = 2**32
LOW_64_BITS: constant(uint256) = 2**64 - 1

# Log -> size -> root. A storage proof of one slot of it shows the root at a size.
roots: HashMap[bytes32, HashMap[uint64, bytes32]]
# Log -> its anchors in order: size, time << 64, number << 128.
history: HashMap[bytes32, DynArray[uint256, MAX_ANCHORS]]
# Log -> epoch -> the first split view that was shown; size 0: none.
splits: HashMap[bytes32, HashMap[uint64, SplitView]]


@external
def open_log(
    origin: bytes32, members: DynArray[address, committee.MAX_MEMBERS], threshold: uint64
) -> bytes32:
    """
    @notice Begin a log: anyone can, since its id says who the first committee is.
    @param origin SHA-256 of the origin line of its checkpoints, without the line feed.
    @param members Ascending, 1 to 32 addresses.
    @param threshold How many of them have to sign, 1 to their number.
    @return The log's id: keccak256 of the ABI encoding of the three parameters, threshold before
            members.
    @custom:security The members are not asked. Whoever relies on a log gets its id elsewhere.
    """
    id: bytes32 = keccak256(abi_encode(origin, threshold, members))
    assert committee.epochs[id] == 0, "anchor: log is open already"
    committee.found(id, members, threshold)
    log Opened(id=id, origin=origin)
    return id


@external
def advance(
    id: bytes32,
    size: uint64,
    root: bytes32,
    proof: DynArray[bytes32, rfc9162.MAX_HASHES],
    signatures: DynArray[committee.Signature, committee.MAX_MEMBERS],
):
    """
    @notice Anchor a checkpoint. Anyone can submit what the quorum signed.
    @param id The log.
    @param size Leaves, more than at the newest anchor.
    @param root Root hash at `size`.
    @param proof RFC 9162 consistency proof from the newest anchor; empty for the first.
    @param signatures Of `Checkpoint` at the current epoch, in any order.
    @custom:security The first checkpoint is as the quorum signed it: nothing comes before it.
    """
    epoch: uint64 = committee.epochs[id]
    assert epoch != 0, "anchor: log is not open"
    assert self.splits[id][epoch].size == 0, "anchor: log is stopped by a split view"
    old_size: uint64 = self._newest_size(id)
    assert size > old_size, "anchor: size does not grow"
    assert root != empty(bytes32), "anchor: root is zero"
    if old_size == 0:
        assert size <= rfc9162.MAX_SIZE, "anchor: size is too large"
        assert len(proof) == 0, "anchor: first checkpoint has a proof"
    else:
        rfc9162.check_consistency(old_size, self.roots[id][old_size], size, root, proof)
    committee.check_quorum(id, epoch, self._digest(id, epoch, size, root), signatures)
    self.roots[id][size] = root
    self.history[id].append(
        convert(size, uint256) | (block.timestamp << 64) | (block.number << 128)
    )
    log Advanced(id=id, size=size, root=root)


@external
def rotate(
    id: bytes32,
    members: DynArray[address, committee.MAX_MEMBERS],
    threshold: uint64,
    signatures: DynArray[committee.Signature, committee.MAX_MEMBERS],
    acceptances: DynArray[committee.Signature, committee.MAX_MEMBERS],
):
    """
    @notice Replace the committee and begin the next epoch; a stopped log goes on.
    @param id The log.
    @param members The new members, ascending.
    @param threshold How many of them have to sign.
    @param signatures Of `Rotation` (naming the new epoch), by a quorum of the old members.
    @param acceptances Of the same, by a quorum of the new ones.
    @custom:security After a split view, the members who signed it can rotate to themselves. The
        record of the split stays.
    """
    assert committee.epochs[id] != 0, "anchor: log is not open"
    committee.rotate(id, members, threshold, signatures, acceptances)


@external
def report_split(
    id: bytes32,
    epoch: uint64,
    size: uint64,
    root_a: bytes32,
    signatures_a: DynArray[committee.Signature, committee.MAX_MEMBERS],
    root_b: bytes32,
    signatures_b: DynArray[committee.Signature, committee.MAX_MEMBERS],
):
    """
    @notice Record that a quorum signed a root that contradicts another one of the same size, and
            stop the log if that committee is still in force. Anyone can.
    @param id The log.
    @param epoch Of the signatures.
    @param size Leaves in both trees.
    @param root_a One root.
    @param signatures_a By a quorum; may be empty where `root_a` is the anchored root.
    @param root_b Another root.
    @param signatures_b By a quorum.
    @custom:security Only roots of one size can be compared. Which of the two is the honest one,
        if any, is not decided. One split view an epoch is kept, the first.
    """
    assert root_a != root_b, "anchor: roots do not differ"
    assert size != 0, "anchor: size is zero"
    assert self.splits[id][epoch].size == 0, "anchor: split view is on record already"
    # Where nothing is anchored the stored root is zero, and nobody vouches for that.
    anchored: bool = root_a == self.roots[id][size] and root_a != empty(bytes32)
    if not anchored or len(signatures_a) != 0:
        committee.check_quorum(id, epoch, self._digest(id, epoch, size, root_a), signatures_a)
    committee.check_quorum(id, epoch, self._digest(id, epoch, size, root_b), signatures_b)
    self.splits[id][epoch] = SplitView(
        size=size, root_a=root_a, root_b=root_b, time=convert(block.timestamp, uint64)
    )
    log Split(id=id, epoch=epoch, size=size, root_a=root_a, root_b=root_b)


@external
@view
def check_inclusion(
    id: bytes32,
    size: uint64,
    leaf: bytes32,
    index: uint64,
    path: DynArray[bytes32, rfc9162.MAX_HASHES],
) -> bytes32:
    """
    @notice Revert unless `leaf` is number `index` of the log at the anchored `size`.
    @param id The log.
    @param size A size that was anchored.
    @param leaf Leaf hash, SHA-256(00, entry).
    @param index Zero-based position.
    @param path Sibling hashes, leaf to root.
    @return The root at `size`.
    @custom:security What the entry says, and whether a later one revokes it, is not looked at,
        nor whether the log has been stopped since (see `is_stopped`).
    """
    root: bytes32 = self._root_at(id, size)
    rfc9162.check_inclusion(leaf, index, size, path, root)
    return root


@external
@view
def root_at(id: bytes32, size: uint64) -> bytes32:
    """
    @notice The root anchored at exactly `size`; reverts where there is none.
    """
    return self._root_at(id, size)


@external
@view
def latest(id: bytes32) -> Anchor:
    """
    @notice The newest anchor; reverts where there is none.
    """
    count: uint256 = len(self.history[id])
    assert count != 0, "anchor: nothing is anchored"
    return self._anchor(id, count - 1)


@external
@view
def anchors(id: bytes32) -> uint256:
    """
    @notice How many checkpoints are anchored.
    """
    return len(self.history[id])


@external
@view
def anchor_at(id: bytes32, n: uint256) -> Anchor:
    """
    @notice Anchor number `n`, from 0.
    """
    assert n < len(self.history[id]), "anchor: no such anchor"
    return self._anchor(id, n)


@external
@view
def as_of(id: bytes32, time: uint64) -> Anchor:
    """
    @notice The newest anchor whose block is not later than `time`; reverts where there is none.
    @param time Seconds since 1970.
    """
    low: uint256 = 0
    high: uint256 = len(self.history[id])
    # Anchors before `low` are old enough, those from `high` on are too new.
    for _: uint256 in range(33):
        if low == high:
            break
        middle: uint256 = (low + high) // 2
        if self._anchor(id, middle).time <= time:
            low = middle + 1
        else:
            high = middle
    assert low != 0, "anchor: nothing was anchored by then"
    return self._anchor(id, low - 1)


@external
@view
def committee_of(
    id: bytes32,
) -> (uint64, uint64, DynArray[address, committee.MAX_MEMBERS]):
    """
    @notice Epoch (from 1), threshold and members in force; reverts for unknown logs.
    """
    assert committee.epochs[id] != 0, "anchor: log is not open"
    return committee.current(id)


@external
@view
def is_stopped(id: bytes32) -> bool:
    """
    @notice Whether a split view by the current committee is on record; reverts for unknown logs.
    """
    epoch: uint64 = committee.epochs[id]
    assert epoch != 0, "anchor: log is not open"
    return self.splits[id][epoch].size != 0


@external
@view
def split_of(id: bytes32, epoch: uint64) -> SplitView:
    """
    @notice The split view by the committee of `epoch` that is on record; size 0: none.
    """
    return self.splits[id][epoch]


@internal
@view
def _digest(id: bytes32, epoch: uint64, size: uint64, root: bytes32) -> bytes32:
    """
    @notice What members sign.
    """
    return committee.typed_digest(keccak256(abi_encode(CHECKPOINT, id, epoch, size, root)))


@internal
@view
def _newest_size(id: bytes32) -> uint64:
    """
    @notice Size at the newest anchor; 0 before the first.
    """
    count: uint256 = len(self.history[id])
    if count == 0:
        return 0
    return convert(self.history[id][count - 1] & LOW_64_BITS, uint64)


@internal
@view
def _root_at(id: bytes32, size: uint64) -> bytes32:
    """
    @notice The root anchored at `size`; `advance` takes no root of zeros.
    """
    root: bytes32 = self.roots[id][size]
    assert root != empty(bytes32), "anchor: size is not anchored"
    return root


@internal
@view
def _anchor(id: bytes32, n: uint256) -> Anchor:
    """
    @notice Read anchor number `n`, which exists.
    """
    packed: uint256 = self.history[id][n]
    size: uint64 = convert(packed & LOW_64_BITS, uint64)
    return Anchor(
        size=size,
        root=self.roots[id][size],
        time=convert((packed >> 64) & LOW_64_BITS, uint64),
        number=convert(packed >> 128, uint64),
    )
