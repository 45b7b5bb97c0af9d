"""The CheckpointAnchor: checkpoints of logs that can only grow, and what members sign for it.

Source:
    contracts/CheckpointAnchor.vy; docs/reference/contracts.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from counterfoil.chain.answers import ADDRESS_BYTES, parse_address
from counterfoil.chain.contracts import Contract, hashes, pairs
from counterfoil.chain.transaction import Call
from counterfoil.chain.typed import Message, Signature, checkpoint_message, rotation_message
from counterfoil.errors import FormatError

MAX_MEMBERS = 32
"""Members of a committee, as in contracts/committee.vy."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A checkpoint on the chain.

    Args:
        size: Leaves.
        root: Root hash, 32 bytes.
        time: Of the block, seconds since 1970, as whoever made it says.
        number: Of the block.
    """

    size: int
    root: bytes
    time: int
    number: int


@dataclass(frozen=True, slots=True)
class Committee:
    """Who signs.

    Args:
        epoch: From 1; another with every rotation.
        threshold: How many have to.
        members: Their addresses, ascending.
    """

    epoch: int
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """A split view on record: two roots of one size, each signed by a quorum.

    Args:
        size: Leaves in both trees.
        root_a: One root, 32 bytes.
        root_b: The other.
        time: Of the block that recorded it.
    """

    size: int
    root_a: bytes
    root_b: bytes
    time: int


class CheckpointAnchor(Contract):
    """Checkpoints of any number of logs; see `Contract` for how to read."""

    name = "CheckpointAnchor"

    def open_log(self, origin: str, members: Sequence[str], threshold: int) -> Call:
        """Begin a log; its id is `log_id` of the same.

        Raises:
            FormatError: the members do not ascend, or the threshold is not among their number.
        """
        check_members(members, threshold)
        return self._call("open_log", origin_hash(origin), list(members), threshold)

    def advance(
        self,
        log: bytes,
        size: int,
        root: bytes,
        proof: Sequence[bytes],
        signatures: Sequence[Signature],
    ) -> Call:
        """Anchor a checkpoint.

        Args:
            log: The log's id, 32 bytes.
            size: Leaves, more than at the newest anchor.
            root: Root hash, 32 bytes.
            proof: RFC 9162 consistency proof from the newest anchor; empty for the first.
            signatures: Of `checkpoint_message`, by a quorum, in any order.
        """
        signed = pairs(signatures)
        return self._call("advance", *hashes([log]), size, *hashes([root]), hashes(proof), signed)

    def rotate(
        self,
        log: bytes,
        members: Sequence[str],
        threshold: int,
        signatures: Sequence[Signature],
        acceptances: Sequence[Signature],
    ) -> Call:
        """Replace the committee: `rotation_message`, signed by a quorum of the old and the new."""
        check_members(members, threshold)
        old = pairs(signatures)
        new = pairs(acceptances)
        return self._call("rotate", *hashes([log]), list(members), threshold, old, new)

    def report_split(
        self,
        log: bytes,
        *,
        epoch: int,
        size: int,
        root_a: bytes,
        signatures_a: Sequence[Signature],
        root_b: bytes,
        signatures_b: Sequence[Signature],
    ) -> Call:
        """Put a split view on record; `signatures_a` may be empty where `root_a` is anchored."""
        a = pairs(signatures_a)
        b = pairs(signatures_b)
        roots = hashes([root_a, root_b])
        return self._call("report_split", *hashes([log]), epoch, size, roots[0], a, roots[1], b)

    def check_inclusion(
        self,
        log: bytes,
        size: int,
        leaf: bytes,
        index: int,
        path: Sequence[bytes],
        *,
        final: bool = True,
    ) -> bytes:
        """Have the contract check that `leaf` is in the log at an anchored size; gives the root.

        Raises:
            RefusedError: it is not, or the size is not anchored.
        """
        words = hashes([log, leaf])
        return self._bytes32(
            "check_inclusion", words[0], size, words[1], index, hashes(path), final=final
        )

    def root_at(self, log: bytes, size: int, *, final: bool = True) -> bytes:
        """Give the root anchored at exactly `size`; RefusedError where there is none."""
        return self._bytes32("root_at", *hashes([log]), size, final=final)

    def latest(self, log: bytes, *, final: bool = True) -> Anchor:
        """Give the newest anchor; RefusedError where there is none."""
        return self._anchor("latest", *hashes([log]), final=final)

    def anchors(self, log: bytes, *, final: bool = True) -> int:
        """Count the anchors."""
        (count,) = self._read("anchors", *hashes([log]), final=final)
        return int(count)

    def anchor_at(self, log: bytes, n: int, *, final: bool = True) -> Anchor:
        """Give anchor number `n`, from 0; RefusedError where there is none."""
        return self._anchor("anchor_at", *hashes([log]), n, final=final)

    def as_of(self, log: bytes, time: int, *, final: bool = True) -> Anchor:
        """Give the newest anchor in a block not later than `time`, seconds since 1970."""
        return self._anchor("as_of", *hashes([log]), time, final=final)

    def committee_of(self, log: bytes, *, final: bool = True) -> Committee:
        """Give the committee in force; RefusedError for a log that is not open."""
        epoch, threshold, members = self._read("committee_of", *hashes([log]), final=final)
        return Committee(epoch, threshold, tuple(map(to_checksum_address, members)))

    def is_stopped(self, log: bytes, *, final: bool = True) -> bool:
        """Tell whether a split view by the committee in force is on record."""
        (stopped,) = self._read("is_stopped", *hashes([log]), final=final)
        return bool(stopped)

    def split_of(self, log: bytes, epoch: int, *, final: bool = True) -> Split | None:
        """Give the split view by the committee of `epoch` that is on record, if one is."""
        ((size, a, b, time),) = self._read("split_of", *hashes([log]), epoch, final=final)
        return Split(size, a, b, time) if size else None

    def checkpoint_message(self, log: bytes, epoch: int, size: int, root: bytes) -> Message:
        """Make what members sign, for this chain and this contract."""
        where = (self.chain.chain_id, self.address)
        return checkpoint_message(*where, log=log, epoch=epoch, size=size, root=root)

    def rotation_message(
        self, log: bytes, epoch: int, members: Sequence[str], threshold: int
    ) -> Message:
        """Make what old and new members sign; `epoch` is the one that begins."""
        check_members(members, threshold)
        return rotation_message(
            self.chain.chain_id,
            self.address,
            committee=log,
            epoch=epoch,
            threshold=threshold,
            members=members,
        )

    def _bytes32(self, function: str, *values: object, final: bool) -> bytes:
        (found,) = self._read(function, *values, final=final)
        return bytes(found)

    def _anchor(self, function: str, *values: object, final: bool) -> Anchor:
        ((size, root, time, number),) = self._read(function, *values, final=final)
        return Anchor(size, root, time, number)


def origin_hash(origin: str) -> bytes:
    """Hash the origin line of a log's checkpoints, without its line feed: SHA-256, 32 bytes."""
    return sha256(origin.encode()).digest()


def log_id(origin: str, members: Sequence[str], threshold: int) -> bytes:
    """Compute the id that a log has in every CheckpointAnchor; 32 bytes.

    It stands for the first committee as well, so nobody can take another's origin.

    Raises:
        FormatError: the members do not ascend, or the threshold is not among their number.
    """
    check_members(members, threshold)
    types = ["bytes32", "uint64", "address[]"]
    return bytes(keccak(encode(types, [origin_hash(origin), threshold, list(members)])))


def check_members(members: Sequence[str], threshold: int) -> None:
    """Check a committee as the contract does.

    Raises:
        FormatError: the members do not ascend, or the threshold is not among their number.
    """
    words = [bytes.fromhex(parse_address(member, "member")[2:]) for member in members]
    if words != sorted(set(words)) or bytes(ADDRESS_BYTES) in words:
        raise FormatError(
            "the members of a committee ascend, and none is there twice or is zero",
            hint="Sort them: sorted(members, key=lambda member: int(member, 16)).",
        )
    if not 1 <= threshold <= len(words) <= MAX_MEMBERS:
        raise FormatError(
            f"{threshold} of {len(words)} members can be no quorum",
            hint=f"From 1 to the number of members, of which there are at most {MAX_MEMBERS}.",
        )
