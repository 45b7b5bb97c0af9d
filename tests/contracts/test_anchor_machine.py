"""What holds of a CheckpointAnchor whatever its committees, old ones and outsiders try."""

from __future__ import annotations

from itertools import pairwise

import boa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from logs import Log
from signers import Member, addresses, members
from trees import Tree

from conftest import ROOT

CONTRACT = None
HONEST = Tree({index: b"entry %d" % index for index in range(0, 60, 7)})
# Faces that the log could show to somebody else, by the entry where they begin to differ.
FACES = {
    at: Tree({**{index: b"entry %d" % index for index in range(0, 60, 7)}, at: b"other"})
    for at in (0, 5, 30)
}
MAX_GROWTH = 40


class Anchored(RuleBasedStateMachine):
    """Two logs, one observed. What the contract says is compared with what this remembers."""

    @initialize(size=st.integers(1, 4), data=st.data())
    def begin(self, size, data):
        global CONTRACT  # noqa: PLW0603 compiled once, deployed for every example
        CONTRACT = CONTRACT or boa.load_partial(str(ROOT / "contracts" / "CheckpointAnchor.vy"))
        self.anchor = CONTRACT.deploy()
        self.log = Log(self.anchor, size, data.draw(st.integers(1, size)))
        self.other = Log(self.anchor, 1, 1, origin="other", first=40)
        self.log.tree = HONEST
        self.anchored: dict[int, bytes] = {}
        self.splits: dict[int, tuple] = {}
        self.committees = {1: (self.log.members, self.log.threshold)}

    @property
    def stopped(self) -> bool:
        return self.log.epoch in self.splits

    def refused(self, function, *arguments):
        """Expect a refusal in the contract's own words."""
        before = self.anchor.anchors(self.log.id)
        with pytest.raises(boa.BoaError, match=r"(anchor|committee|rfc9162): "):
            function(*arguments)
        assert self.anchor.anchors(self.log.id) == before

    @rule(growth=st.integers(1, MAX_GROWTH), extra=st.integers(0, 3))
    def advance(self, growth, extra):
        size = self.log.size + growth
        root = self.log.tree.root(size)
        by = self.log.members[: self.log.threshold + extra]
        call = (self.log.id, size, root, self.log.proof(size), self.log.sign(size, root, by))
        if self.stopped:
            self.refused(self.anchor.advance, *call)
            return
        self.anchor.advance(*call)
        self.log.size = size
        self.anchored[size] = root
        self.refused(self.anchor.advance, *call)

    @rule(
        face=st.sampled_from(sorted(FACES)), growth=st.integers(-3, MAX_GROWTH), mine=st.booleans()
    )
    def fork(self, face, growth, mine):
        """Everybody signs a tree with another past; it is refused unless nothing shows yet."""
        size = max(self.log.size + growth, 0)
        if self.log.size <= face:
            return
        tree = FACES[face]
        root = tree.root(size)
        proof = (tree if mine else self.log.tree).proof(min(self.log.size, size), size)
        signed = self.log.sign(size, root, self.log.members)
        self.refused(self.anchor.advance, self.log.id, size, root, proof, signed)

    @precondition(lambda self: self.log.size)
    @rule(back=st.integers(0, MAX_GROWTH))
    def roll_back(self, back):
        size = max(self.log.size - back, 0)
        root = self.log.tree.root(size)
        signed = self.log.sign(size, root, self.log.members)
        for proof in ([], self.log.tree.proof(size, self.log.size)):
            self.refused(self.anchor.advance, self.log.id, size, root, proof, signed)

    @rule(growth=st.integers(1, MAX_GROWTH), data=st.data())
    def sign_wrongly(self, growth, data):
        """Each way in which signatures are not those of a quorum, for a checkpoint that is true."""
        size = self.log.size + growth
        root, quorum = self.log.tree.root(size), self.log.quorum
        good = self.log.sign(size, root)
        how = data.draw(
            st.sampled_from(
                ["few", "twice", "outsider", "chain", "contract", "log", "epoch", "size", "root"]
            )
        )
        bad = {
            "few": lambda: good[:-1],
            "twice": lambda: [*good, good[0]],
            "outsider": lambda: [*good[:-1], *self.log.sign(size, root, [Member(999)])],
            "chain": lambda: self.log.sign(size, root, chain_id=2),
            "contract": lambda: self.log.sign(size, root, contract="0x" + "77" * 20),
            "log": lambda: self.log.sign(size, root, id=self.other.id),
            "epoch": lambda: self.log.sign(size, root, epoch=self.log.epoch - 1),
            "size": lambda: self.log.sign(size + 1, root),
            "root": lambda: self.log.sign(size, FACES[0].root(size)),
        }[how]()
        assert len(quorum) == self.log.threshold
        self.refused(self.anchor.advance, self.log.id, size, root, self.log.proof(size), bad)

    @rule(growth=st.integers(1, MAX_GROWTH), data=st.data())
    def spoil_the_proof(self, growth, data):
        size = self.log.size + growth
        root, proof = self.log.tree.root(size), self.log.proof(size)
        spoilt = data.draw(st.sampled_from([[*proof, root], [root, *proof], proof[1:], proof[:-1]]))
        if spoilt != proof:
            signed = self.log.sign(size, root)
            self.refused(self.anchor.advance, self.log.id, size, root, spoilt, signed)

    @rule(first=st.integers(100, 120), size=st.integers(1, 4), data=st.data())
    def rotate(self, first, size, data):
        new = members(first, size)
        threshold = data.draw(st.integers(1, size))
        given = self.log.rotation(new, threshold, self.log.quorum)
        taken = self.log.rotation(new, threshold, new[:threshold])
        call = (self.log.id, addresses(new), threshold)
        self.refused(self.anchor.rotate, *call, given[1:], taken)
        self.refused(self.anchor.rotate, *call, given, taken[1:])
        self.log.rotate(new, threshold)
        self.committees[self.log.epoch] = (new, threshold)
        self.refused(self.anchor.rotate, *call, given, taken)

    @precondition(lambda self: self.log.epoch > 1)
    @rule(growth=st.integers(1, MAX_GROWTH), data=st.data())
    def old_committee_signs(self, growth, data):
        """Old members advance nothing, by their old epoch nor by the new one."""
        epoch = data.draw(st.integers(1, self.log.epoch - 1))
        old = [m for m in self.committees[epoch][0] if m.address not in addresses(self.log.members)]
        size = self.log.size + growth
        root = self.log.tree.root(size)
        for claimed in (epoch, self.log.epoch):
            signed = self.log.sign(size, root, old or [Member(999)], epoch=claimed)
            self.refused(self.anchor.advance, self.log.id, size, root, self.log.proof(size), signed)

    @rule(size=st.integers(1, 60), face=st.sampled_from(sorted(FACES)), data=st.data())
    def report(self, size, face, data):
        """Two faces signed by one committee, new or old: recorded once, and only if they differ."""
        epoch = data.draw(st.integers(1, self.log.epoch))
        signers, threshold = self.committees[epoch]
        a, b = HONEST.root(size), FACES[face].root(size)
        signed_a, signed_b = (
            self.log.sign(size, root, signers[:threshold], epoch=epoch) for root in (a, b)
        )
        if size in self.anchored and data.draw(st.booleans()):
            signed_a = []
        call = (self.log.id, epoch, size, a, signed_a, b, signed_b)
        self.refused(self.anchor.report_split, *call[:-1], signed_b[1:])
        if a == b or epoch in self.splits:
            self.refused(self.anchor.report_split, *call)
            return
        self.anchor.report_split(*call)
        self.splits[epoch] = (size, a, b, boa.env.timestamp)

    @rule(seconds=st.integers(1, 10_000))
    def wait(self, seconds):
        boa.env.time_travel(seconds=seconds)

    @invariant()
    def history_is_what_was_accepted(self):
        """Sizes grow, each keeps its root, one tree explains them all, and no other log moved."""
        if not hasattr(self, "log"):
            return
        count = self.anchor.anchors(self.log.id)
        kept = [self.anchor.anchor_at(self.log.id, n) for n in range(max(count - 3, 0), count)]
        assert count == len(self.anchored)
        assert [(a.size, a.root) for a in kept] == list(self.anchored.items())[max(count - 3, 0) :]
        assert all(a.size < b.size and a.time <= b.time for a, b in pairwise(kept))
        assert all(root == HONEST.root(size) for size, root in self.anchored.items())
        assert self.anchor.is_stopped(self.log.id) == self.stopped
        for epoch, split in self.splits.items():
            assert self.anchor.split_of(self.log.id, epoch) == split
        epoch, threshold, seats = self.anchor.committee_of(self.log.id)
        assert (epoch, threshold) == (self.log.epoch, self.log.threshold)
        assert seats == addresses(self.log.members)
        assert self.anchor.anchors(self.other.id) == 0


TestAnchored = Anchored.TestCase
# A step is a transaction or several, some 10 ms each.
TestAnchored.settings = settings(
    max_examples=max(settings().max_examples // 2, 1), stateful_step_count=20
)
