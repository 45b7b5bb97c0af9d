# pragma version ==0.4.3
# pragma evm-version paris
# pragma optimize gas
"""
@title Which models may be used for what
@license Apache-2.0
@notice A model is authorised for a use by a committee's quorum, until a time, on the ground of a
        statement that provably is in an anchored log. A revocation needs fewer signatures, and
        whoever authorises the model again has to name it.
@custom:security The contract sees a statement's leaf hash, not what it says: that it authorises
    or revokes this model for this use is what the signers vouch for, and what verification of
    the log compares. Of uses and models only digests are stored.
"""


import committee
import rfc9162
from interfaces import ICheckpointAnchor
from interfaces import IModelRegistry


implements: IModelRegistry
initializes: committee
exports: committee.eip712Domain


struct Standing:
    statement: bytes32  # leaf of the authorisation in force; 0: none
    expires: uint64
    approvals: uint64  # members who signed it
    revocation: bytes32  # leaf of the last revocation; 0: none


event Authorised:
    use: indexed(bytes32)
    model: indexed(bytes32)
    statement: indexed(bytes32)
    expires: uint64
    approvals: uint64


event Revoked:
    use: indexed(bytes32)
    model: indexed(bytes32)
    statement: indexed(bytes32)


# The committee's id: there is one here.
COMMITTEE: constant(bytes32) = empty(bytes32)
AUTHORISATION: constant(bytes32) = keccak256(
    "Authorisation(bytes32 use,bytes32 model,bytes32 statement,uint64 expires,bytes32 revocation,uint64 epoch)"
)
REVOCATION: constant(bytes32) = keccak256(
    "Revocation(bytes32 use,bytes32 model,bytes32 statement,uint64 epoch)"
)

# Where statements are anchored.
anchor: public(ICheckpointAnchor)
log_id: public(bytes32)
# Signatures that a revocation needs, or the committee's threshold if that is lower.
revoke_threshold: public(uint64)
# Use -> model -> what is in force.
standings: HashMap[bytes32, HashMap[bytes32, Standing]]
# Use -> model -> leaf -> whether it has been counted: a statement counts once.
counted: HashMap[bytes32, HashMap[bytes32, HashMap[bytes32, bool]]]


@deploy
def __init__(
    anchor: address,
    log_id: bytes32,
    members: DynArray[address, committee.MAX_MEMBERS],
    threshold: uint64,
    revoke_threshold: uint64,
):
    """
    @notice Name the log, and seat the first committee.
    @param anchor The CheckpointAnchor.
    @param log_id A log that is open there.
    @param members Ascending, 1 to 32 addresses.
    @param threshold How many of them have to sign an authorisation, 1 to their number.
    @param revoke_threshold How many a revocation, 1 to `threshold`.
    @custom:security What code is at `anchor` is for whoever relies on this registry to check.
    """
    assert (
        revoke_threshold != 0 and revoke_threshold <= threshold
    ), "models: revoke threshold is not between 1 and the threshold"
    committee.found(COMMITTEE, members, threshold)
    self.anchor = ICheckpointAnchor(anchor)
    self.log_id = log_id
    self.revoke_threshold = revoke_threshold
    assert not staticcall self.anchor.is_stopped(log_id), "models: log is stopped"


@external
def authorise(
    use: bytes32,
    model: bytes32,
    size: uint64,
    index: uint64,
    leaf: bytes32,
    path: DynArray[bytes32, rfc9162.MAX_HASHES],
    expires: uint64,
    revocation: bytes32,
    signatures: DynArray[committee.Signature, committee.MAX_MEMBERS],
):
    """
    @notice Authorise a model for a use, or anew. Anyone can submit what the quorum signed.
    @param use Digest of the use's name.
    @param model SHA-256 of the model.
    @param size An anchored size of the log.
    @param index Position of the statement.
    @param leaf Its leaf hash.
    @param path Its inclusion proof at `size`.
    @param expires First second in which it is authorised no more, since 1970.
    @param revocation Leaf of the last revocation of this model for this use, or 0.
    @param signatures Of `Authorisation` (statement: `leaf`) at the current epoch.
    @custom:security What was signed and not submitted stays good until it expires, the model is
        revoked or the committee rotates.
    """
    assert convert(expires, uint256) > block.timestamp, "models: authorisation has expired"
    assert (
        self.standings[use][model].revocation == revocation
    ), "models: last revocation is not named"
    self._count(use, model, size, index, leaf, path)
    epoch: uint64 = committee.epochs[COMMITTEE]
    digest: bytes32 = committee.typed_digest(
        keccak256(abi_encode(AUTHORISATION, use, model, leaf, expires, revocation, epoch))
    )
    committee.check_quorum(COMMITTEE, epoch, digest, signatures)
    approvals: uint64 = convert(len(signatures), uint64)
    self.standings[use][model] = Standing(
        statement=leaf, expires=expires, approvals=approvals, revocation=revocation
    )
    log Authorised(
        use=use, model=model, statement=leaf, expires=expires, approvals=approvals
    )


@external
def revoke(
    use: bytes32,
    model: bytes32,
    size: uint64,
    index: uint64,
    leaf: bytes32,
    path: DynArray[bytes32, rfc9162.MAX_HASHES],
    signatures: DynArray[committee.Signature, committee.MAX_MEMBERS],
):
    """
    @notice End a model's authorisation for a use; also before there is one.
    @param use Digest of the use's name.
    @param model SHA-256 of the model.
    @param size An anchored size of the log.
    @param index Position of the statement.
    @param leaf Its leaf hash.
    @param path Its inclusion proof at `size`.
    @param signatures Of `Revocation` (statement: `leaf`) at the current epoch; as many as
        `revoke_threshold`.
    @custom:security It has to be anchored first. While the log is stopped nothing new can be
        anchored, so `check_model` refuses every model.
    """
    self._count(use, model, size, index, leaf, path)
    epoch: uint64 = committee.epochs[COMMITTEE]
    digest: bytes32 = committee.typed_digest(
        keccak256(abi_encode(REVOCATION, use, model, leaf, epoch))
    )
    threshold: uint64 = min(self.revoke_threshold, committee.thresholds[COMMITTEE][epoch])
    committee.check_signed(COMMITTEE, epoch, digest, signatures, convert(threshold, uint256))
    self.standings[use][model] = Standing(
        statement=empty(bytes32), expires=0, approvals=0, revocation=leaf
    )
    log Revoked(use=use, model=model, statement=leaf)


@external
def rotate(
    members: DynArray[address, committee.MAX_MEMBERS],
    threshold: uint64,
    signatures: DynArray[committee.Signature, committee.MAX_MEMBERS],
    acceptances: DynArray[committee.Signature, committee.MAX_MEMBERS],
):
    """
    @notice Replace the committee and begin the next epoch. Authorisations stay.
    @param members The new members, ascending.
    @param threshold How many of them have to sign.
    @param signatures Of `Rotation` (committee 0, the new epoch), by a quorum of the old members.
    @param acceptances Of the same, by a quorum of the new ones.
    """
    committee.rotate(COMMITTEE, members, threshold, signatures, acceptances)


@external
@view
def check_model(use: bytes32, model: bytes32) -> bytes32:
    """
    @notice Revert unless the model is authorised for the use, now.
    @param use Digest of the use's name.
    @param model SHA-256 of the model.
    @return Leaf of the statement that authorises it.
    @custom:security "Now" is the block's time. That a revocation is in the log is not enough: it
        counts here from when it is submitted.
    """
    standing: Standing = self.standings[use][model]
    assert standing.statement != empty(bytes32), "models: model is not authorised"
    assert (
        block.timestamp < convert(standing.expires, uint256)
    ), "models: authorisation has expired"
    assert not staticcall self.anchor.is_stopped(self.log_id), "models: log is stopped"
    return standing.statement


@external
@view
def standing_of(use: bytes32, model: bytes32) -> Standing:
    """
    @notice What is on record of a model for a use, expired or not.
    """
    return self.standings[use][model]


@external
@view
def committee_of() -> (uint64, uint64, DynArray[address, committee.MAX_MEMBERS]):
    """
    @notice Epoch (from 1), threshold and members in force.
    """
    return committee.current(COMMITTEE)


@internal
def _count(
    use: bytes32,
    model: bytes32,
    size: uint64,
    index: uint64,
    leaf: bytes32,
    path: DynArray[bytes32, rfc9162.MAX_HASHES],
):
    """
    @notice Check that a statement is in the log, and that it has not been counted before.
    """
    assert not self.counted[use][model][leaf], "models: statement is counted already"
    self.counted[use][model][leaf] = True
    root: bytes32 = staticcall self.anchor.check_inclusion(self.log_id, size, leaf, index, path)
