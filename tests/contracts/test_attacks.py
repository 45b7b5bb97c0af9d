"""What a security review tried, where no other test had: some is refused, some is how it is.

Whoever reads `docs/explanation/contracts-review.md` finds each accepted finding shown here.
"""

from __future__ import annotations

import boa
from logs import Log
from signers import addresses, domain_of, members
from trees import Tree

from counterfoil.core.merkle import Hash, node_hash

ZERO = b"\0" * 32
FORK = Tree({3: b"another face"})
SIZE = 13


def nodes_above(tree: Tree, index: int, size: int) -> list[tuple[Hash, list[bytes]]]:
    """The inner nodes on the way from a leaf to the root, each with the rest of the path."""
    node, path = tree.leaf(index), tree.path(index, size)
    fn, sn, found = index, size - 1, []
    for place, sibling in enumerate(path):
        if fn & 1 or fn == sn:
            node = node_hash(sibling, node)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = node_hash(node, sibling)
        fn, sn = fn >> 1, sn >> 1
        found.append((node, path[place + 1 :]))
    return found


def refuses(call, *values) -> bool:
    try:
        call(*values)
    except boa.BoaError:
        return True
    return False


def test_no_inner_node_passes_for_a_leaf(anchor, log):
    """Shown with the rest of a real path, at whatever index, it is refused: no second preimage."""
    log.tree = Tree({at: b"entry %d" % at for at in range(SIZE)})
    log.advance(SIZE)
    offered = {
        (node, tuple(rest)) for at in range(SIZE) for node, rest in nodes_above(log.tree, at, SIZE)
    }
    assert (log.tree.root(SIZE), ()) in offered
    for node, rest in offered:
        for index in range(SIZE):
            assert refuses(anchor.check_inclusion, log.id, SIZE, node, index, list(rest))


def test_a_committee_that_hurries_to_rotate_is_recorded_and_not_stopped(anchor, log):
    """Accepted: who signed two roots can rotate before anybody reports it; the record remains."""
    a, b = log.tree.root(100), FORK.root(100)
    two_faces = (log.id, 1, 100, a, log.sign(100, a), b, log.sign(100, b))
    log.rotate(log.members, 3)
    anchor.report_split(*two_faces)
    assert not anchor.is_stopped(log.id)
    assert anchor.split_of(log.id, 1)[0] == 100


def test_at_half_two_quorums_have_nobody_in_common(anchor):
    """Accepted: two of four seat whom they like, and the other two are out without a word."""
    log = Log(anchor, size=4, threshold=2)
    log.advance(10)
    rest = [one for one in log.members if one not in log.quorum]
    log.rotate(sorted(log.quorum, key=lambda one: int(one.address, 16)), 2)
    root = log.tree.root(11)
    with boa.reverts("committee: signer is no member"):
        log.advance(11, log.sign(11, root, by=rest))
    log.advance(11)


def test_a_key_signed_for_another_registry_is_refused(sources):
    """Two registries with the same members take nothing from each other, rotations included."""
    three = members(1, 3)
    here, there = (sources["IssuerRegistry"].deploy(addresses(three), 2) for _ in range(2))
    fields = {"organisation": b"\xba" * 32, "kind": 1, "key": b"\x0e" * 32}
    fields |= {"not_before": 1, "not_after": 9}
    rotation = {"committee": ZERO, "epoch": 2, "threshold": 1, "members": addresses(three)}
    elsewhere = domain_of(there.address)
    signed = [one.sign(elsewhere, "Key", fields | {"epoch": 1}) for one in three]
    rotated = [one.sign(elsewhere, "Rotation", rotation) for one in three]
    with boa.reverts("committee: signer is no member"):
        here.add(*fields.values(), signed)
    with boa.reverts("committee: signer is no member"):
        here.rotate(addresses(three), 1, rotated, rotated)
    there.add(*fields.values(), signed)
    there.rotate(addresses(three), 1, rotated, rotated)


def models(sources, log):
    """A registry over the log: of three members two authorise and one revokes."""
    three = members(70, 3)
    return three, sources["ModelRegistry"].deploy(
        log.anchor.address, log.id, addresses(three), 2, 1
    )


USE, MODEL = b"\x05" * 32, b"\x30" * 32


def authorise(registry, three, log, index, signers):
    """Sign by all three, submit what `signers` signed."""
    message = {"use": USE, "model": MODEL, "statement": log.tree.leaf(index)}
    message |= {"expires": boa.env.timestamp + 1_000, "revocation": ZERO, "epoch": 1}
    domain = domain_of(registry.address)
    signed = {one: one.sign(domain, "Authorisation", message) for one in three}
    path = log.tree.path(index, log.size)
    registry.authorise(
        USE, MODEL, log.size, index, message["statement"], path, message["expires"], ZERO,
        [signed[one] for one in signers],
    )  # fmt: skip


def test_whoever_submits_chooses_how_many_approvals_count(sources, log):
    """Accepted: three signed, a stranger submits two of them first, and two are on record."""
    log.tree = Tree({at: b"statement %d" % at for at in range(4)})
    log.advance(10)
    three, registry = models(sources, log)
    authorise(registry, three, log, 1, three[:2])
    assert registry.standing_of(USE, MODEL)[2] == 2
    with boa.reverts("models: statement is counted already"):
        authorise(registry, three, log, 1, three)


def test_a_model_can_be_revoked_while_nothing_new_is_anchored(sources, log):
    """A log's committee that is stopped or withholds keeps no revocation out: any entry serves."""
    log.tree = Tree({at: b"statement %d" % at for at in range(4)})
    log.advance(10)
    three, registry = models(sources, log)
    authorise(registry, three, log, 1, three)
    b = FORK.root(10)
    log.anchor.report_split(log.id, 1, 10, log.tree.root(10), [], b, log.sign(10, b))
    message = {"use": USE, "model": MODEL, "statement": log.tree.leaf(2), "epoch": 1}
    signed = [three[0].sign(domain_of(registry.address), "Revocation", message)]
    registry.revoke(USE, MODEL, 10, 2, log.tree.leaf(2), log.tree.path(2, 10), signed)
    log.rotate(log.members, 3)
    with boa.reverts("models: model is not authorised"):
        registry.check_model(USE, MODEL)
