"""A log as its operator and its committee see it, next to the contract that anchors it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from signers import Member, Signature, addresses, domain_of, members
from trees import Tree


class Log:
    """Open a log on `anchor`.

    Args:
        anchor: The CheckpointAnchor.
        size: Members of its committee.
        threshold: How many of them have to sign.
        origin: Another one for another log.
        first: The members' keys begin here.
    """

    def __init__(
        self, anchor: Any, size: int, threshold: int, origin: str = "log.example", first: int = 1
    ) -> None:
        self.anchor = anchor
        self.members = members(first, size)
        self.threshold = threshold
        self.epoch = 1
        self.origin = sha256(origin.encode()).digest()
        self.id: bytes = anchor.open_log(self.origin, addresses(self.members), threshold)
        self.tree = Tree()
        self.size = 0

    @property
    def quorum(self) -> list[Member]:
        """As many members as have to sign, not the first ones, in no order."""
        return self.members[: -self.threshold - 1 : -1]

    def sign(
        self, size: int, root: bytes, by: Sequence[Member] | None = None, **changed: Any
    ) -> list[Signature]:
        """Members' signatures of a checkpoint; `changed` makes them for elsewhere."""
        message = {
            "log": changed.get("id", self.id),
            "epoch": changed.get("epoch", self.epoch),
            "size": size,
            "root": root,
        }
        contract = changed.get("contract", self.anchor.address)
        domain = domain_of(contract, changed.get("chain_id", 1))
        return [member.sign(domain, "Checkpoint", message) for member in by or self.quorum]

    def proof(self, size: int, tree: Tree | None = None) -> list[bytes]:
        """Consistency proof from what is anchored."""
        return (tree or self.tree).proof(self.size, size)

    def advance(self, size: int, signatures: list[Signature] | None = None) -> None:
        """Anchor the log's tree at `size`."""
        root = self.tree.root(size)
        self.anchor.advance(
            self.id, size, root, self.proof(size), signatures or self.sign(size, root)
        )
        self.size = size

    def rotation(
        self, new: Sequence[Member], threshold: int, by: Sequence[Member], **changed: Any
    ) -> list[Signature]:
        """Members' signatures of a rotation to `new`."""
        message = {
            "committee": changed.get("id", self.id),
            "epoch": changed.get("epoch", self.epoch + 1),
            "threshold": threshold,
            "members": addresses(new),
        }
        domain = domain_of(changed.get("contract", self.anchor.address))
        return [member.sign(domain, "Rotation", message) for member in by]

    def rotate(self, new: Sequence[Member], threshold: int) -> None:
        """Seat `new` with everybody's agreement."""
        self.anchor.rotate(
            self.id,
            addresses(new),
            threshold,
            self.rotation(new, threshold, self.quorum),
            self.rotation(new, threshold, new[:threshold]),
        )
        self.members, self.threshold, self.epoch = list(new), threshold, self.epoch + 1
