"""Links between shards, made by somebody who holds the keys of all these logs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from counterfoil.core.checkpoint import Checkpoint, LogKeys, sign_checkpoint
from counterfoil.core.envelope import format_envelope, sign_envelope
from counterfoil.core.keys import Algorithm, Signer
from counterfoil.core.merkle import Hash, leaf_hash, prove_inclusion, root_of
from counterfoil.core.receipt import Receipt, format_receipt
from counterfoil.core.shard import (
    Handover,
    Link,
    Shard,
    Takeover,
    check_links,
    handover_of,
    handover_statement,
    takeover_statement,
)
from counterfoil.core.statement import Statement, format_statement
from counterfoil.errors import ProofError, SignatureError
from counterfoil.ledger.keyfiles import generate_key

DIGEST = "ab" * 32


@dataclass
class Log:
    """A log in memory."""

    signer: Signer
    entries: list[bytes] = field(default_factory=lambda: [b"one", b"two"])

    @property
    def keys(self) -> LogKeys:
        return LogKeys(self.signer.key)

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.keys.name, len(self.entries), root_of(self.hashes))

    @property
    def hashes(self) -> list[Hash]:
        return [leaf_hash(entry) for entry in self.entries]

    def step(self, index: int) -> tuple[bytes, bytes]:
        """An entry, and its receipt."""
        hashes, note = self.hashes, sign_checkpoint(self.checkpoint, self.signer)

        def node(level: int, at: int) -> Hash:
            return root_of(hashes[at << level : (at + 1) << level])

        path = prove_inclusion(index, len(hashes), node)
        return self.entries[index], format_receipt(Receipt(index, path, note))

    def hand_over_to(self, other: Log, size: int | None = None) -> None:
        """State that it ends, at this size or with this entry."""
        size = len(self.entries) + 1 if size is None else size
        said = handover_statement(self.keys.name, Handover(other.signer.key, DIGEST), size)
        self.entries.append(signed(said, self.signer))

    def take_over(self, old: Log) -> None:
        """State, first of all, where that one ended."""
        said = takeover_statement(Takeover(self.keys.name, old.keys, old.checkpoint))
        self.entries.insert(0, signed(said, self.signer, old.signer))


def signed(statement: Statement, *signers: Signer) -> bytes:
    return format_envelope(sign_envelope(format_statement(statement), *signers))


def make(*names: str) -> tuple[Log, ...]:
    return tuple(Log(generate_key(f"{name}.example/log", Algorithm.ED25519)) for name in names)


def tie(*logs: Log) -> tuple[Link, ...]:
    return tuple(Link(old.step(len(old.entries) - 1), new.step(0)) for old, new in pairwise(logs))


def follow(*logs: Log) -> tuple[Link, ...]:
    """Have each log go on as the next one."""
    for old, new in pairwise(logs):
        old.hand_over_to(new)
        new.take_over(old)
    return tie(*logs)


def test_logs_that_follow_each_other_are_shown_with_their_ends_and_policies():
    """Each with its keys, its final checkpoint, and the policy that its hand-over names."""
    logs = make("a", "b", "c")
    shards = check_links(follow(*logs), logs[-1].keys)
    digests = (DIGEST, DIGEST, None)
    assert shards == tuple(
        Shard(log.keys, log.checkpoint, digest) for log, digest in zip(logs, digests, strict=True)
    )


def test_who_knows_another_log_believes_none_of_it():
    """The chain begins with keys that one has; those of an older shard do not end it."""
    logs = make("a", "b", "c", "d")
    links = follow(*logs[:3])
    for keys in (logs[0].keys, logs[1].keys, logs[3].keys):
        with pytest.raises(SignatureError):
            check_links(links, keys)


def test_a_second_successor_is_refused_whatever_the_old_key_signs():
    """A hand-over to it that was planted before the last entry, or a takeover alone."""
    old, right, wrong = make("old", "right", "wrong")
    old.hand_over_to(wrong, size=len(old.entries) + 2)
    old.hand_over_to(right)
    wrong.take_over(old)
    right.take_over(old)
    assert check_links(tie(old, right), right.keys)
    with pytest.raises(ProofError, match=r"goes on as 'right\.example/log"):
        check_links(tie(old, wrong), wrong.keys)
    (link,) = tie(old, wrong)
    planted = old.step(len(old.entries) - 2)
    assert handover_of(planted[0], old.keys, len(old.entries))
    with pytest.raises(ProofError, match="is not its hand-over"):
        check_links([replace(link, handover=planted)], wrong.keys)


def test_what_came_after_the_end_changes_nothing():
    """A log that went on after its hand-over has ended where the next one took over."""
    old, new = make("old", "new")
    (link,) = follow(old, new)
    at = len(old.entries) - 1
    old.entries.append(b"too late")
    for step in (old.step(at), old.step(at + 1)):
        with pytest.raises(ProofError, match="took over at"):
            check_links([replace(link, handover=step)], new.keys)
    new.entries[0] = b""
    new.entries = new.entries[1:]
    new.take_over(old)
    with pytest.raises(ProofError, match="is not its hand-over"):
        check_links(tie(old, new), new.keys)


def test_one_that_is_taken_over_before_its_end_is_not_tied():
    """The next log names the end of the one before, and that one's receipts lead there."""
    first, second, third = make("first", "second", "third")
    links = follow(first, second, third)
    second.entries.append(b"more")
    early = replace(links[0], takeover=second.step(0))
    with pytest.raises(ProofError, match="took over at"):
        check_links([early, links[1]], third.keys)


def test_every_shard_has_an_origin_of_its_own():
    """Or it would not be said in which of two logs of one name something lies."""
    logs = make("a", "b", "a")
    with pytest.raises(ProofError, match="comes twice"):
        check_links(follow(*logs), logs[-1].keys)


def test_a_hand_over_names_a_policy_by_a_digest_or_not_at_all():
    """Anything else in its place is no hand-over, so the log goes on."""
    old, new = make("old", "new")
    for policy in (None, DIGEST):
        said = Handover(new.signer.key, policy)
        entry = signed(handover_statement(old.keys.name, said, 1), old.signer)
        assert handover_of(entry, old.keys, 1) == said
        assert handover_of(entry, old.keys, 2) is None
        assert handover_of(entry, new.keys, 1) is None
    for policy in (DIGEST.upper(), DIGEST[2:], ""):
        said = Handover(new.signer.key, policy)
        entry = signed(handover_statement(old.keys.name, said, 1), old.signer)
        assert handover_of(entry, old.keys, 1) is None
    whole = handover_statement(old.keys.name, Handover(new.signer.key, None), 1)
    for more in ({"policy": None}, {"policy": 7}, {"more": 1}):
        said = replace(whole, predicate={**whole.predicate, **more})
        assert handover_of(signed(said, old.signer), old.keys, 1) is None
