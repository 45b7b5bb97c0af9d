# pragma version ==0.4.3
# pragma evm-version paris
# pragma optimize gas
"""
@title Which organisation lets which other one use a data set for what
@license Apache-2.0
@notice An organisation grants the use of a data set for a purpose, until a time, and can withdraw
        it, which is final. Other contracts ask before they act.
@custom:security Nothing about natural persons belongs here, in whatever form: what is on a chain
    stays for ever, and so does a salt that was sent along. A data set goes by a handle of 32
    random bytes, made anew for each grant and kept elsewhere; one that was derived from a
    content or a name tells that content or name to whoever guesses it. That grantor and grantee
    deal with each other for a purpose can be read by everyone. Whether a grantor may grant
    anything about a data set is not checked.
"""


from interfaces import IConsentRegistry


implements: IConsentRegistry


struct Grant:
    expires: uint64  # 0: never granted
    withdrawn: uint64  # time of the block; 0: not withdrawn


event Granted:
    grantor: indexed(address)
    dataset: indexed(bytes32)
    grantee: indexed(address)
    purpose: bytes32
    expires: uint64


event Withdrawn:
    grantor: indexed(address)
    dataset: indexed(bytes32)
    grantee: indexed(address)
    purpose: bytes32


# Grantor -> data set -> purpose -> grantee -> what was granted.
grants: HashMap[address, HashMap[bytes32, HashMap[bytes32, HashMap[address, Grant]]]]


@external
def grant(dataset: bytes32, purpose: bytes32, grantee: address, expires: uint64):
    """
    @notice Grant a use, or change when the grant expires. The grantor is whoever calls.
    @param dataset A random handle of 32 bytes.
    @param purpose Digest of the purpose's name.
    @param grantee Who may use it.
    @param expires First second in which it may no more, since 1970.
    """
    assert dataset != empty(bytes32), "consents: data set is zero"
    assert grantee != empty(address), "consents: grantee is zero"
    assert convert(expires, uint256) > block.timestamp, "consents: grant has expired"
    assert (
        self.grants[msg.sender][dataset][purpose][grantee].withdrawn == 0
    ), "consents: grant is withdrawn"
    self.grants[msg.sender][dataset][purpose][grantee].expires = expires
    log Granted(
        grantor=msg.sender, dataset=dataset, grantee=grantee, purpose=purpose, expires=expires
    )


@external
def withdraw(dataset: bytes32, purpose: bytes32, grantee: address):
    """
    @notice Withdraw a grant for ever: a new one needs a new handle.
    @param dataset As in `grant`.
    @param purpose As in `grant`.
    @param grantee As in `grant`.
    @custom:security What was done before the block that withdraws it was done with consent, and
        a grantee that keeps a copy has one.
    """
    given: Grant = self.grants[msg.sender][dataset][purpose][grantee]
    assert given.expires != 0, "consents: nothing is granted"
    assert given.withdrawn == 0, "consents: grant is withdrawn"
    self.grants[msg.sender][dataset][purpose][grantee].withdrawn = convert(
        block.timestamp, uint64
    )
    log Withdrawn(grantor=msg.sender, dataset=dataset, grantee=grantee, purpose=purpose)


@external
@view
def check_consent(
    grantor: address, dataset: bytes32, purpose: bytes32, grantee: address
) -> uint64:
    """
    @notice Revert unless the grantor lets the grantee use the data set for the purpose, now.
    @param grantor Who granted it.
    @param dataset As in `grant`.
    @param purpose As in `grant`.
    @param grantee Who wants to use it.
    @return First second in which it may no more.
    @custom:security "Now" is the block's time. That the caller is the grantee is for it to see to.
    """
    given: Grant = self.grants[grantor][dataset][purpose][grantee]
    assert given.expires != 0, "consents: nothing is granted"
    assert given.withdrawn == 0, "consents: grant is withdrawn"
    assert block.timestamp < convert(given.expires, uint256), "consents: grant has expired"
    return given.expires


@external
@view
def grant_of(grantor: address, dataset: bytes32, purpose: bytes32, grantee: address) -> Grant:
    """
    @notice What is on record, expired and withdrawn or not; expires 0: nothing.
    """
    return self.grants[grantor][dataset][purpose][grantee]
