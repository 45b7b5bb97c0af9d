from __future__ import annotations

import boa
import pytest
from eth_abi import encode
from eth_utils import keccak
from logs import Log
from signers import ORDER, Member, addresses, compact, members, other_form
from trees import Tree

from conftest import artifact

ZERO = b"\0" * 32
BIG = 10**9


def test_a_log_grows_and_its_history_can_be_asked(anchor, log):
    """Each anchor is found by number, size and time; the newest is `latest`."""
    sizes = [1, 2, 7, 1_000, 1_001, 10**6, 2**63 - 1]
    made = []
    for size in sizes:
        boa.env.time_travel(seconds=60)
        log.advance(size)
        made.append((size, log.tree.root(size), boa.env.timestamp, boa.env.evm.patch.block_number))
        assert anchor.latest(log.id) == made[-1]
    assert anchor.anchors(log.id) == len(sizes)
    for number, expected in enumerate(made):
        size, root, time, _ = expected
        assert anchor.anchor_at(log.id, number) == expected
        assert anchor.root_at(log.id, size) == root
        assert anchor.as_of(log.id, time) == anchor.as_of(log.id, time + 59) == expected
    assert anchor.as_of(log.id, 2**64 - 1) == made[-1]
    with boa.reverts("anchor: nothing was anchored by then"):
        anchor.as_of(log.id, made[0][2] - 1)
    with boa.reverts("anchor: no such anchor"):
        anchor.anchor_at(log.id, len(sizes))
    with boa.reverts("anchor: size is not anchored"):
        anchor.root_at(log.id, 3)


def test_the_id_commits_to_origin_threshold_and_members(anchor):
    """Nobody can take a log: another committee gives another id, and the same one is open once."""
    log = Log(anchor, size=3, threshold=2)
    expected = keccak(
        encode(["bytes32", "uint64", "address[]"], [log.origin, 2, addresses(log.members)])
    )
    assert log.id == expected
    others = {Log(anchor, 3, 1).id, Log(anchor, 2, 2).id, Log(anchor, 3, 2, origin="other").id}
    assert len({log.id, *others}) == 4
    with boa.reverts("anchor: log is open already"):
        Log(anchor, size=3, threshold=2)
    log.rotate(members(50, 1), 1)
    with boa.reverts("anchor: log is open already"):
        Log(anchor, size=3, threshold=2)


@pytest.mark.parametrize("threshold", [0, 4, 2**64 - 1])
def test_a_threshold_is_between_one_and_the_number_of_members(anchor, threshold):
    """No committee is open to everybody, and none can never sign."""
    with boa.reverts("committee: threshold is not between 1 and the number of members"):
        anchor.open_log(ZERO, addresses(members(1, 3)), threshold)


@pytest.mark.parametrize("spoil", ["twice", "order", "zero", "nobody"])
def test_members_ascend(anchor, spoil):
    """One set of members has one form, without the zero address, and nobody sits twice."""
    first, second, third = addresses(members(1, 3))
    lists = {
        "twice": [first, second, second],
        "order": [first, third, second],
        "zero": ["0x" + "00" * 20, first],
    }
    if spoil == "nobody":
        with boa.reverts("committee: threshold is not between 1 and the number of members"):
            anchor.open_log(ZERO, [], 1)
    else:
        with boa.reverts("committee: members do not ascend"):
            anchor.open_log(ZERO, lists[spoil], 1)


def test_the_largest_committee_can_work(anchor):
    """Thirty-two members all sign, all rotate to thirty-two others, and those sign."""
    log = Log(anchor, size=32, threshold=32)
    log.advance(5)
    log.rotate(members(100, 32), 32)
    log.advance(BIG)
    assert anchor.committee_of(log.id) == (2, 32, addresses(log.members))


def test_a_log_that_is_not_open_says_so(anchor, log):
    """Nothing about an unknown log passes for an empty one where that would mislead."""
    nobody = b"\1" * 32
    quorum = log.sign(1, log.tree.root(1), id=nobody)
    with boa.reverts("anchor: log is not open"):
        anchor.advance(nobody, 1, log.tree.root(1), [], quorum)
    with boa.reverts("anchor: log is not open"):
        anchor.rotate(nobody, addresses(log.members), 1, [], [])
    with boa.reverts("anchor: log is not open"):
        anchor.committee_of(nobody)
    with boa.reverts("anchor: log is not open"):
        anchor.is_stopped(nobody)
    with boa.reverts("anchor: nothing is anchored"):
        anchor.latest(log.id)
    with boa.reverts("anchor: nothing was anchored by then"):
        anchor.as_of(log.id, 2**64 - 1)
    with boa.reverts("anchor: size is not anchored"):
        anchor.check_inclusion(nobody, 1, log.tree.leaf(0), 0, [])


@pytest.mark.parametrize("size", [0, 99, 100])
def test_a_signed_checkpoint_that_does_not_grow_is_refused(anchor, log, size):
    """Not by a full quorum can a log be rolled back, nor the same size anchored again."""
    log.advance(100)
    root = log.tree.root(size)
    with boa.reverts("anchor: size does not grow"):
        anchor.advance(log.id, size, root, [], log.sign(size, root, log.members))


def test_a_fork_signed_by_everybody_is_refused(anchor, log):
    """A tree with another past has no proof, whoever signs it and whatever is sent for one."""
    log.advance(1_000)
    fork = Tree({17: b"rewritten"})
    root = fork.root(2_000)
    signatures = log.sign(2_000, root, log.members)
    for proof in (fork.proof(1_000, 2_000), log.tree.proof(1_000, 2_000)):
        with boa.reverts("rfc9162: proof leads to another root"):
            anchor.advance(log.id, 2_000, root, proof, signatures)


def test_short_long_and_padded_proofs_are_refused(anchor, log):
    """A proof has the length that its sizes ask for; an empty or zero-padded one is none."""
    log.advance(1_000)
    root, proof = log.tree.root(BIG), log.proof(BIG)
    signatures = log.sign(BIG, root)
    wrong = {
        "rfc9162: proof is too short": [[], proof[:1], proof[:-1]],
        "rfc9162: proof is too long": [[*proof, ZERO], [*proof, *proof], [ZERO, *proof]],
        "rfc9162: proof leads to another root": [[ZERO, *proof[1:]], [*proof[:-1], ZERO]],
    }
    for reason, proofs in wrong.items():
        for bad in proofs:
            with boa.reverts(reason):
                anchor.advance(log.id, BIG, root, bad, signatures)
    with boa.reverts():  # more than 64 hashes are no ABI value of this function
        anchor.advance(log.id, BIG, root, [*proof, *[ZERO] * 64][:65], signatures)
    log.advance(BIG)


def test_the_first_checkpoint_has_no_proof(anchor, log):
    """From nothing, nothing is proven, and no garbage is sent along. The root is never zero."""
    root = log.tree.root(8)
    with boa.reverts("anchor: first checkpoint has a proof"):
        anchor.advance(log.id, 8, root, [root], log.sign(8, root))
    with boa.reverts("anchor: root is zero"):
        anchor.advance(log.id, 8, ZERO, [], log.sign(8, ZERO))
    with boa.reverts("anchor: size is too large"):
        anchor.advance(log.id, 2**63, root, [], log.sign(2**63, root))


@pytest.mark.parametrize(
    "changed",
    [{"chain_id": 2}, {"contract": "0x" + "77" * 20}, {"epoch": 2}, {"epoch": 0}, {"id": ZERO}],
    ids=["chain", "contract", "next epoch", "no epoch", "log"],
)
def test_signatures_for_elsewhere_are_refused(anchor, log, changed):
    """What was signed for another chain, contract, epoch or log counts for nothing here."""
    root = log.tree.root(8)
    with boa.reverts("committee: signer is no member"):
        anchor.advance(log.id, 8, root, [], log.sign(8, root, **changed))
    log.advance(8)


def test_signatures_count_on_the_chain_that_they_name(anchor, log):
    """After a fork of the chain, what was signed before it counts on one side only."""
    root, chain = log.tree.root(8), boa.env.evm.patch
    before = chain.chain_id
    try:
        chain.chain_id = 77
        with boa.reverts("committee: signer is no member"):
            anchor.advance(log.id, 8, root, [], log.sign(8, root, chain_id=before))
        log.advance(8, log.sign(8, root, chain_id=77))
        assert anchor.eip712Domain()[3] == 77
    finally:
        chain.chain_id = before


def test_signatures_of_an_old_epoch_are_refused(anchor, log):
    """A rotation voids what its predecessors signed and nobody submitted, by whomever."""
    root = log.tree.root(8)
    old = log.sign(8, root)
    log.rotate(log.members, log.threshold)
    with boa.reverts("committee: signer is no member"):
        anchor.advance(log.id, 8, root, [], old)
    log.advance(8)


def test_a_quorum_is_different_members_and_nobody_else(anchor, log):
    """Too few, one twice, in either form, and an outsider among them: all refused."""
    root = log.tree.root(8)
    first, second, third = log.sign(8, root)
    (outsider,) = log.sign(8, root, [Member(999)])
    for reason, signatures in {
        "committee: too few signatures": [[], [first], [first, second]],
        "committee: member signed twice": [[first, second, first], [first, first, second, third]],
        "committee: signer is no member": [
            [first, second, other_form(third)],
            [first, second, other_form(first)],
            [first, second, outsider],
            [first, second, third, outsider],
        ],
    }.items():
        for bad in signatures:
            with boa.reverts(reason):
                anchor.advance(log.id, 8, root, [], bad)
    log.advance(8, [third, first, second])


def test_values_that_are_no_signatures_are_nobodys(anchor):
    """R or s of 0 or from the curve's order up recover no member, the zero address least of all."""
    log = Log(anchor, size=1, threshold=1)
    root = log.tree.root(8)
    ((r, vs),) = log.sign(8, root)
    order = ORDER.to_bytes(32, "big")
    for bad in ((ZERO, vs), (r, ZERO), (ZERO, ZERO), (order, vs), (b"\xff" * 32, vs)):
        with boa.reverts("committee: signer is no member"):
            anchor.advance(log.id, 8, root, [], [bad])
    half = ORDER // 2
    with boa.reverts("committee: s is in the upper half"):
        anchor.advance(log.id, 8, root, [], [compact(1, half + 1, 27)])
    with boa.reverts("committee: signer is no member"):
        anchor.advance(log.id, 8, root, [], [compact(1, half, 27)])


def test_anyone_can_submit(log):
    """What counts is who signed, not who pays."""
    with boa.env.prank(boa.env.generate_address()):
        log.advance(3)


def test_a_rotation_needs_both_committees(anchor, log):
    """Neither the old members nor the new ones can do it alone, and the old ones are out then."""
    old, new = log.members, members(50, 4)
    given, taken = log.rotation(new, 2, log.quorum), log.rotation(new, 2, new[:2])
    seats = addresses(new)
    with boa.reverts("committee: too few signatures"):
        anchor.rotate(log.id, seats, 2, given[:2], taken)
    with boa.reverts("committee: too few signatures"):
        anchor.rotate(log.id, seats, 2, given, taken[:1])
    with boa.reverts("committee: signer is no member"):
        anchor.rotate(log.id, seats, 2, taken + taken[:1], taken)
    with boa.reverts("committee: signer is no member"):
        anchor.rotate(log.id, seats, 2, given, given[:2])
    with boa.reverts("committee: signer is no member"):
        anchor.rotate(log.id, seats, 1, given, taken)  # not the threshold that was signed
    with boa.reverts("committee: signer is no member"):
        anchor.rotate(log.id, seats[:3], 2, given, taken)  # not the members that were signed
    assert anchor.committee_of(log.id) == (1, 3, addresses(old))
    log.rotate(new, 2)
    assert anchor.committee_of(log.id) == (2, 2, seats)
    root = log.tree.root(8)
    with boa.reverts("committee: signer is no member"):
        anchor.advance(log.id, 8, root, [], log.sign(8, root, old[:2]))
    with boa.reverts("committee: signer is no member"):
        anchor.rotate(log.id, seats, 2, given, taken)  # once only
    log.advance(8)


@pytest.mark.parametrize(
    "changed", [{"epoch": 1}, {"epoch": 3}, {"id": ZERO}, {"contract": "0x" + "77" * 20}]
)
def test_rotations_signed_for_elsewhere_are_refused(anchor, log, changed):
    """A rotation names its log, contract and the epoch that it begins."""
    new = members(50, 2)
    bad, good = (log.rotation(new, 1, by, **changed) for by in (log.quorum, new[:1]))
    with boa.reverts("committee: signer is no member"):
        anchor.rotate(log.id, addresses(new), 1, bad, good)


def test_inclusion_is_checked_against_what_is_anchored(anchor, log):
    """An entry is proven at an anchored size, by its own path, and the root comes back."""
    log.tree = Tree({123_456: b"approved"})
    log.advance(200_000)
    log.advance(10**6)
    leaf = log.tree.leaf(123_456)
    for size in (200_000, 10**6):
        path = log.tree.path(123_456, size)
        assert anchor.check_inclusion(log.id, size, leaf, 123_456, path) == log.tree.root(size)
        for reason, call in {
            "rfc9162: path leads to another root": (size, leaf, 123_457, path),
            "rfc9162: path is too short": (size, leaf, 123_456, path[:-1]),
            "rfc9162: path is too long": (size, leaf, 123_456, [*path, ZERO]),
            "rfc9162: index is outside the tree": (size, leaf, size, path),
            "anchor: size is not anchored": (size - 1, leaf, 123_456, path),
        }.items():
            with boa.reverts(reason):
                anchor.check_inclusion(log.id, *call)
    with boa.reverts("rfc9162: path leads to another root"):
        path = log.tree.path(123_456, 10**6)
        anchor.check_inclusion(log.id, 10**6, log.tree.leaf(0), 123_456, path)


def test_a_root_lies_in_the_documented_slot(anchor, log):
    """A storage proof of keccak256(keccak256(slot, log), size) shows the root at that size."""
    log.advance(1_000)
    slot = artifact("CheckpointAnchor")["slots"]["roots"]
    place = keccak(keccak(slot.to_bytes(32, "big") + log.id) + (1_000).to_bytes(32, "big"))
    stored = boa.env.evm.get_storage_slot(anchor.address, int.from_bytes(place, "big"))
    assert stored == log.tree.root(1_000)


def test_the_domain_is_told(anchor):
    """A wallet learns from the contract what signatures are bound to (EIP-5267)."""
    assert anchor.eip712Domain() == (
        b"\x0f",
        "counterfoil",
        "1",
        boa.env.evm.patch.chain_id,
        anchor.address,
        ZERO,
        [],
    )


def test_events_tell_what_happened(anchor):
    """A log can be followed by events alone: opened, seated, advanced, rotated."""
    log = Log(anchor, size=2, threshold=1)
    rotated, opened = anchor.get_logs()
    assert (opened.id, opened.origin) == (log.id, log.origin)
    assert (rotated.committee, rotated.epoch, rotated.threshold) == (log.id, 1, 1)
    assert rotated.members == addresses(log.members)
    log.advance(9)
    (advanced,) = anchor.get_logs()
    assert (advanced.id, advanced.size, advanced.root) == (log.id, 9, log.tree.root(9))
    log.rotate(members(50, 1), 1)
    (rotated,) = anchor.get_logs()
    assert (rotated.epoch, rotated.members) == (2, addresses(log.members))
