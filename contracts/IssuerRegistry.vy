# pragma version ==0.4.3
# pragma evm-version paris
# pragma optimize gas
"""
@title Which keys speak for which organisation
@license Apache-2.0
@notice A committee's quorum adds keys and revokes them. A key belongs to one organisation, from
        one time to another. A revocation is final; its time can be moved only to an earlier one.
@custom:security That an organisation holds the key, and who the organisation is, is what the
    committee's members vouch for. Of organisations only handles are stored: digests, not names.
"""


import committee
from interfaces import IIssuerRegistry


implements: IIssuerRegistry
initializes: committee
exports: committee.eip712Domain


struct Key:
    organisation: bytes32
    not_before: uint64
    not_after: uint64
    revoked_from: uint64  # 0: not revoked


event Added:
    organisation: indexed(bytes32)
    kind: indexed(uint8)
    key: indexed(bytes32)
    not_before: uint64
    not_after: uint64


event Revoked:
    kind: indexed(uint8)
    key: indexed(bytes32)
    revoked_from: uint64


ED25519: constant(uint8) = 1  # the public key, 32 bytes
SECP256K1: constant(uint8) = 2  # the address, 12 zero bytes before it

# The committee's id: there is one here.
COMMITTEE: constant(bytes32) = empty(bytes32)
KEY: constant(bytes32) = keccak256(
    "Key(bytes32 organisation,uint8 kind,bytes32 key,uint64 not_before,uint64 not_after,uint64 epoch)"
)
KEY_REVOCATION: constant(bytes32) = keccak256(
    "KeyRevocation(uint8 kind,bytes32 key,uint64 revoked_from,uint64 epoch)"
)

# Kind -> key -> what is known of it.
keys: HashMap[uint8, HashMap[bytes32, Key]]


@deploy
def __init__(members: DynArray[address, committee.MAX_MEMBERS], threshold: uint64):
    """
    @notice Seat the first committee.
    @param members Ascending, 1 to 32 addresses.
    @param threshold How many of them have to sign, 1 to their number.
    """
    committee.found(COMMITTEE, members, threshold)


@external
def add(
    organisation: bytes32,
    kind: uint8,
    key: bytes32,
    not_before: uint64,
    not_after: uint64,
    signatures: DynArray[committee.Signature, committee.MAX_MEMBERS],
):
    """
    @notice Let a key speak for an organisation. Anyone can submit what the quorum signed.
    @param organisation Its handle.
    @param kind 1: Ed25519; 2: secp256k1.
    @param key The Ed25519 public key, or the secp256k1 address as a number.
    @param not_before First second in which it speaks, since 1970.
    @param not_after First second in which it does no more.
    @param signatures Of `Key` at the current epoch.
    @custom:security A key is added once. What was signed and not submitted stays good until the
        committee rotates or the key is revoked, which can be done first.
    """
    assert organisation != empty(bytes32), "issuers: organisation is zero"
    assert kind == ED25519 or kind == SECP256K1, "issuers: kind is not known"
    assert key != empty(bytes32), "issuers: key is zero"
    if kind == SECP256K1:
        assert convert(key, uint256) >> 160 == 0, "issuers: key is no address"
    assert not_before < not_after, "issuers: validity is empty"
    known: Key = self.keys[kind][key]
    assert known.organisation == empty(bytes32), "issuers: key is known already"
    assert known.revoked_from == 0, "issuers: key is revoked"
    epoch: uint64 = committee.epochs[COMMITTEE]
    digest: bytes32 = committee.typed_digest(
        keccak256(abi_encode(KEY, organisation, kind, key, not_before, not_after, epoch))
    )
    committee.check_quorum(COMMITTEE, epoch, digest, signatures)
    self.keys[kind][key] = Key(
        organisation=organisation, not_before=not_before, not_after=not_after, revoked_from=0
    )
    log Added(
        organisation=organisation,
        kind=kind,
        key=key,
        not_before=not_before,
        not_after=not_after,
    )


@external
def revoke(
    kind: uint8,
    key: bytes32,
    revoked_from: uint64,
    signatures: DynArray[committee.Signature, committee.MAX_MEMBERS],
):
    """
    @notice Void a key's statements from a time on, which may be past. For ever, and also for a
            key that has not been added. Again only from an earlier time: so no revocation that
            was signed before, for a later time, can keep this one out.
    @param kind 1: Ed25519; 2: secp256k1.
    @param key As in `add`.
    @param revoked_from Seconds since 1970; 1 for everything it ever said.
    @param signatures Of `KeyRevocation` at the current epoch.
    """
    assert revoked_from != 0, "issuers: time is zero"
    known: uint64 = self.keys[kind][key].revoked_from
    assert known == 0 or revoked_from < known, "issuers: key is revoked"
    epoch: uint64 = committee.epochs[COMMITTEE]
    digest: bytes32 = committee.typed_digest(
        keccak256(abi_encode(KEY_REVOCATION, kind, key, revoked_from, epoch))
    )
    committee.check_quorum(COMMITTEE, epoch, digest, signatures)
    self.keys[kind][key].revoked_from = revoked_from
    log Revoked(kind=kind, key=key, revoked_from=revoked_from)


@external
def rotate(
    members: DynArray[address, committee.MAX_MEMBERS],
    threshold: uint64,
    signatures: DynArray[committee.Signature, committee.MAX_MEMBERS],
    acceptances: DynArray[committee.Signature, committee.MAX_MEMBERS],
):
    """
    @notice Replace the committee and begin the next epoch. Keys stay.
    @param members The new members, ascending.
    @param threshold How many of them have to sign.
    @param signatures Of `Rotation` (committee 0, the new epoch), by a quorum of the old members.
    @param acceptances Of the same, by a quorum of the new ones.
    """
    committee.rotate(COMMITTEE, members, threshold, signatures, acceptances)


@external
@view
def check_issuer(organisation: bytes32, kind: uint8, key: bytes32, at: uint64) -> uint64:
    """
    @notice Revert unless the key speaks for the organisation at a time.
    @param organisation Its handle.
    @param kind 1: Ed25519; 2: secp256k1.
    @param key As in `add`.
    @param at Seconds since 1970.
    @return First second from then on in which it does no more, by what is known today.
    @custom:security When a statement was made is for the caller to know: a time that its signer
        chose is a claim. A revocation that comes later can void what is fine today.
    """
    known: Key = self.keys[kind][key]
    assert (
        organisation != empty(bytes32) and known.organisation == organisation
    ), "issuers: key is not the organisation's"
    assert known.not_before <= at and at < known.not_after, "issuers: key is not valid then"
    if known.revoked_from == 0:
        return known.not_after
    assert at < known.revoked_from, "issuers: key is revoked"
    return min(known.revoked_from, known.not_after)


@external
@view
def key_of(kind: uint8, key: bytes32) -> Key:
    """
    @notice What is known of a key; organisation 0: it was never added.
    """
    return self.keys[kind][key]


@external
@view
def committee_of() -> (uint64, uint64, DynArray[address, committee.MAX_MEMBERS]):
    """
    @notice Epoch (from 1), threshold and members in force.
    """
    return committee.current(COMMITTEE)
