from __future__ import annotations

import boa
import pytest
from logs import Log
from signers import Member, members
from trees import Tree

ZERO = b"\0" * 32
FORK = Tree({3: b"another face"})


def test_two_signed_roots_of_one_size_stop_the_log(anchor, log):
    """Anyone can show them; nothing is anchored until the committee rotates. The record stays."""
    log.advance(50)
    a, b = log.tree.root(100), FORK.root(100)
    report = (log.id, 1, 100, a, log.sign(100, a), b, log.sign(100, b))
    with boa.env.prank(boa.env.generate_address()):
        anchor.report_split(*report)
    (event,) = anchor.get_logs()
    assert (event.id, event.epoch, event.size, event.root_a, event.root_b) == (log.id, 1, 100, a, b)
    recorded = (100, a, b, boa.env.timestamp)
    assert anchor.is_stopped(log.id)
    assert anchor.split_of(log.id, 1) == recorded
    with boa.reverts("anchor: log is stopped by a split view"):
        log.advance(100)
    with boa.reverts("anchor: split view is on record already"):
        anchor.report_split(*report)
    # What was anchored before still is.
    assert anchor.check_inclusion(log.id, 50, log.tree.leaf(7), 7, log.tree.path(7, 50))
    log.rotate(members(50, 3), 2)
    assert not anchor.is_stopped(log.id)
    log.advance(100)
    assert anchor.split_of(log.id, 1) == recorded
    assert anchor.split_of(log.id, 2) == (0, ZERO, ZERO, 0)


def test_what_is_anchored_needs_no_signatures_again(anchor, log):
    """One signed root that is not the anchored one is proof enough."""
    log.advance(100)
    a, b = log.tree.root(100), FORK.root(100)
    anchor.report_split(log.id, 1, 100, a, [], b, log.sign(100, b))
    assert anchor.is_stopped(log.id)


def test_an_old_committees_split_view_is_recorded_and_stops_nobody(anchor, log):
    """Members who were replaced cannot stop their successors."""
    log.advance(100)
    b = FORK.root(100)
    old = log.sign(100, b)
    log.rotate(members(50, 3), 2)
    anchor.report_split(log.id, 1, 100, log.tree.root(100), [], b, old)
    assert anchor.split_of(log.id, 1)[0] == 100
    assert not anchor.is_stopped(log.id)
    log.advance(101)


@pytest.mark.parametrize(
    "case",
    ["nothing anchored", "zero root", "same", "few", "outsider", "epoch", "no size", "other log"],
)
def test_what_is_no_split_view_is_refused(anchor, log, case):
    """A minority, an outsider, or one signed root alone cannot stop a log."""
    log.advance(100)
    a, b, honest = log.tree.root(200), FORK.root(200), log.tree.root(100)
    signed_a, signed_b = log.sign(200, a), log.sign(200, b)
    other = Log(anchor, 5, 3, origin="other")
    reason, report = {
        "nothing anchored": ("committee: too few signatures", (1, 200, b, [], a, signed_a)),
        "zero root": ("committee: too few signatures", (1, 200, ZERO, [], a, signed_a)),
        "same": ("anchor: roots do not differ", (1, 200, a, signed_a, a, signed_a)),
        "few": ("committee: too few signatures", (1, 200, a, signed_a, b, signed_b[:2])),
        "outsider": (
            "committee: signer is no member",
            (1, 200, a, signed_a, b, [*signed_b[:2], *log.sign(200, b, [Member(999)])]),
        ),
        "epoch": ("committee: there is no such epoch", (2, 100, honest, [], b, [])),
        "no size": ("anchor: size is zero", (1, 0, a, log.sign(0, a), b, log.sign(0, b))),
        "other log": (
            "committee: signer is no member",
            (1, 200, a, other.sign(200, a), b, other.sign(200, b)),
        ),
    }[case]
    with boa.reverts(reason):
        anchor.report_split(log.id, *report)
    assert not anchor.is_stopped(log.id)
    log.advance(200)


def test_signatures_that_are_sent_are_checked(anchor, log):
    """For an anchored root signatures may be left out, but not be wrong."""
    log.advance(100)
    a, b = log.tree.root(100), FORK.root(100)
    with boa.reverts("committee: signer is no member"):
        anchor.report_split(log.id, 1, 100, a, log.sign(100, b), b, log.sign(100, b))


def test_growth_is_no_split_view(anchor, log):
    """Signatures of two sizes are no contradiction: each root is checked with the size reported."""
    a, b = log.tree.root(100), log.tree.root(101)
    with boa.reverts("committee: signer is no member"):
        anchor.report_split(log.id, 1, 100, a, log.sign(100, a), b, log.sign(101, b))
