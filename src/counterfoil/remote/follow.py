"""From one checkpoint to the next: what a newer one needs to be believed.

    1. the trusted key has signed it
    2. a quorum of the policy's witnesses has cosigned it
    3. its tiles lead to its root
    4. the tree of the checkpoint seen last is the beginning of its tree; when it is opened, one of
       it and of each tree seen at another address of the log is the beginning of the other

Only then is it remembered, and after that shown.

Source:
    C2SP tlog-checkpoint, tlog-policy; RFC 9162, section 2.1.4.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from counterfoil.core.checkpoint import Checkpoint, LogKeys, open_checkpoint
from counterfoil.core.cosignature import find_cosignatures
from counterfoil.core.merkle import Hash
from counterfoil.core.note import MAX_NOTE_BYTES, parse_note
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import check_quorum
from counterfoil.errors import (
    CounterfoilError,
    SignatureError,
    SplitViewError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.disk import Disk, read_file
from counterfoil.ledger.splitview import keep_split_view
from counterfoil.ledger.waits import waiting_for
from counterfoil.remote.memory import Memory
from counterfoil.remote.sitetree import SiteTree
from counterfoil.remote.source import CHECKPOINT, Source, open_source, read_checkpoint
from counterfoil.remote.tilecache import TileCache

SETTLE_WITHIN_S = 5.0
"""How long an older checkpoint than was seen is taken for that of a cache on the way."""

_PAUSE_S = 0.25
_TRIES = 10  # others of this machine remember newer ones meanwhile


class SetBackError(VerificationError):
    """A log shows fewer entries than it did."""


class Follower:
    """Moves a tree from checkpoint to checkpoint of one log.

    Args:
        source: Where checkpoints come from.
        memory: What was seen.
        policy: Gives the trust policy as it is now: the log's key, and the quorum.
        settle_within_s: See `SETTLE_WITHIN_S`.
        mirror: A copy of the log in a folder, whose checkpoint was seen as well.
    """

    def __init__(
        self,
        source: Source,
        memory: Memory,
        policy: Callable[[], TrustPolicy],
        *,
        settle_within_s: float = SETTLE_WITHIN_S,
        mirror: Path | None = None,
    ) -> None:
        self._source, self._memory, self._policy = source, memory, policy
        self._settle_within_s, self._mirror = settle_within_s, mirror
        self._lock = threading.Lock()
        self._is_opened = False

    def follow(self, tree: SiteTree) -> None:
        """Show the newest checkpoint.

        Raises:
            FormatError: it is none.
            PolicyError: too few witnesses have cosigned it.
            SignatureError: the trusted key has not signed it.
            SplitViewError: it has another history than the one seen last, or at another address.
            UnavailableError: the server does not answer; or what was seen at another address is
                longer, and cannot be compared now.
            VerificationError: it is older than one seen, or its tiles do not lead to it.
        """
        until = time.monotonic() + self._settle_within_s
        for _ in range(_TRIES):
            seen, note, checkpoint = self._read()
            if self._is_behind(checkpoint, seen):
                seen, note, checkpoint = self._settled(tree, until)
            if self._take(tree, checkpoint, note, seen):
                return
        raise UnavailableError(
            f"{self._source.name} grows faster than its checkpoints can be compared",
            hint="Try again.",
        )

    def take(self, tree: SiteTree, note: bytes, leaves: bytes = b"") -> Checkpoint:
        """Hold a checkpoint that came with a receipt against the tree, and show it if it is newer.

        Args:
            tree: The tree.
            note: The checkpoint.
            leaves: Leaf hashes of what was just appended; if nobody else appended anything, they
                alone lead to the checkpoint's root, and nothing has to be read.

        Raises:
            As `follow`.
        """
        checkpoint = self._judged(note)
        for _ in range(_TRIES):
            seen = self._memory.seen()
            if checkpoint.size <= tree.size:
                if tree.root(checkpoint.size) != checkpoint.root:
                    raise self._split(tree.head, note, checkpoint.size)
                return checkpoint
            if self._is_behind(checkpoint, seen):
                # Another process has seen a newer one: from there this one is compared.
                self.follow(tree)
            elif self._take(tree, checkpoint, note, seen, leaves):
                return checkpoint
        raise UnavailableError(
            f"{self._source.name} grows faster than its checkpoints can be compared",
            hint="Try again.",
        )

    def _read(self) -> tuple[bytes, bytes, Checkpoint]:
        """Read what was seen, and the newest checkpoint."""
        seen = self._memory.seen()
        note = read_checkpoint(self._source)
        return seen, note, self._judged(note)

    def _is_behind(self, checkpoint: Checkpoint, seen: bytes) -> bool:
        return bool(seen) and checkpoint.size < self._opened(seen).size

    def _settled(self, tree: SiteTree, until: float) -> tuple[bytes, bytes, Checkpoint]:
        """Read as `_read`, until a cache on the way gives no older checkpoint than was seen."""
        compared, is_told = b"", False
        with waiting_for(f"{self._source.name} to show as many entries as were seen there before"):
            while True:
                seen, note, checkpoint = self._read()
                if not self._is_behind(checkpoint, seen):
                    return seen, note, checkpoint
                if note != compared:  # another history is no cache's: nobody waits for it
                    is_told = self._compare_older(tree, checkpoint, seen, note)
                    compared = note
                if time.monotonic() > until:
                    raise self._set_back(checkpoint, seen, note, is_told=is_told)
                time.sleep(_PAUSE_S)

    def _take(
        self,
        tree: SiteTree,
        checkpoint: Checkpoint,
        note: bytes,
        seen: bytes,
        leaves: bytes = b"",
    ) -> bool:
        """Show a checkpoint that is signed and of quorum, if it extends what was seen."""
        before = self._opened(seen) if seen else None
        if before is not None and before.size == checkpoint.size and before != checkpoint:
            raise self._split(seen, note, before.size)
        is_shown = before is not None and (before.size, before.root) == (tree.size, tree.root())
        edge = tree.edge.extended(leaves)
        if is_shown and (edge.size, edge.root()) == (checkpoint.size, checkpoint.root):
            pass  # what was seen and what was appended make this tree, so it extends what was seen
        else:
            edge = tree.find_edge(checkpoint)
            if before is not None and before.size < checkpoint.size:
                self._compare(tree.under(edge), before, seen, note)
        if not self._is_opened:
            self._compare_addresses(tree.under(edge), checkpoint, note)
            self._is_opened = True
        with self._lock:  # what was remembered last is shown last, whichever thread is faster
            if not self._memory.keep(note, instead_of=seen):
                return False
            # If we stop before this, the checkpoint is remembered and nobody was shown anything.
            tree.show(checkpoint, note, edge)
        return True

    def _compare(self, grown: SiteTree, before: Checkpoint, seen: bytes, note: bytes) -> None:
        if grown.root(before.size) != before.root:
            raise self._split(seen, note, before.size)

    def _compare_older(
        self, tree: SiteTree, checkpoint: Checkpoint, seen: bytes, note: bytes
    ) -> bool:
        """Tell whether fewer entries than were seen are the first of those, if that can be told."""
        root = _root_then(tree, self._opened(seen), checkpoint.size)
        if root is not None and root != checkpoint.root:
            raise self._split(seen, note, checkpoint.size)
        return root is not None

    def _compare_addresses(self, grown: SiteTree, checkpoint: Checkpoint, note: bytes) -> None:
        keys = self._policy().log.keys
        for other in self._elsewhere(keys):
            try:
                before = open_checkpoint(other.note, keys)
            except SignatureError:
                continue  # by a later key than this policy knows of: it says nothing here
            size = min(before.size, checkpoint.size)
            is_longer = before.size > checkpoint.size
            then = other.root(before, size) if is_longer else before.root
            if then is None:
                self._memory.keep_set_back(note)
                raise UnavailableError(
                    f"{self._source.name} shows {size} entries of {checkpoint.origin}, and "
                    f"{before.size} were seen at {other.address}: whether those begin with these "
                    "cannot be told, as too little of them is kept here, or served there now",
                    hint=f"Try again when {other.address} can be read; or, to go by this address "
                    f"alone, move {other.folder} away.",
                )
            if then != (checkpoint.root if is_longer else grown.root(size)):
                raise self._split(other.note, note, size, other)

    def _elsewhere(self, keys: LogKeys) -> Iterator[_Elsewhere]:
        """Give what was seen of the log at other addresses, and in the mirror that is kept."""
        for one in self._memory.elsewhere(keys):
            yield _Elsewhere(one.address, one.folder, one.seen(), one.folder / "tiles")
        if self._mirror is not None and (self._mirror / CHECKPOINT).exists():
            note = read_file(self._mirror / CHECKPOINT, MAX_NOTE_BYTES)
            yield _Elsewhere(self._mirror.absolute().as_uri(), self._mirror, note, None)

    def _judged(self, note: bytes) -> Checkpoint:
        policy = self._policy()
        checkpoint = open_checkpoint(note, policy.log.keys)
        check_quorum(policy, find_cosignatures(parse_note(note), policy.witness_keys))
        return checkpoint

    def _opened(self, seen: bytes) -> Checkpoint:
        return open_checkpoint(seen, self._policy().log.keys)

    def _set_back(
        self, checkpoint: Checkpoint, seen: bytes, note: bytes, *, is_told: bool
    ) -> SetBackError:
        size = self._opened(seen).size
        doubt = (
            ""
            if is_told
            else "; whether these are the first of those cannot be told, as too little of them is "
            "kept here, or served there now"
        )
        return SetBackError(
            f"{self._source.name} shows {checkpoint.size} entries of {checkpoint.origin}, and "
            f"{size} were seen there before: it was set back{doubt}",
            hint=f"The newer checkpoint is {self._memory.folder / 'checkpoint'}, and the older one "
            f"is kept in {self._memory.keep_set_back(note)}; show them to whoever runs the log.",
        )

    def _split(
        self, seen: bytes, note: bytes, size: int, other: _Elsewhere | None = None
    ) -> SplitViewError:
        origin = self._policy().log.origin
        folder = keep_split_view(origin, seen, note, disk=Disk())
        where, first = "there before", ""
        if other is not None:
            where = f"at another address ({other.address})"
            first = (
                f" What was proven first stays readable there; if that is the false one, move "
                f"{other.folder} away, too."
            )
        return SplitViewError(
            f"{self._source.name} shows another history than was seen {where}, with other entries "
            f"among the first {size}",
            a=seen,
            b=note,
            hint=f"Both checkpoints are kept in {folder}: the log signed both, and can be trusted "
            f"no more.{first}",
        )


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """What was proven of the log at another address.

    Args:
        address: Of the site.
        folder: What it is remembered in.
        note: The checkpoint.
        tiles: Where hashes of it are kept; None for nowhere.
    """

    address: str
    folder: Path
    note: bytes
    tiles: Path | None

    def root(self, checkpoint: Checkpoint, size: int) -> Hash | None:
        """Compute the root at a size of the tree under its checkpoint; None if it is not known."""
        tree = SiteTree(open_source(self.address), self.folder, TileCache(self.tiles).apart())
        try:
            return _root_then(tree, checkpoint, size)
        finally:
            tree.close()


def _root_then(tree: SiteTree, checkpoint: Checkpoint, size: int) -> Hash | None:
    """Compute the root at a size of the tree under an older checkpoint; None if it is not known."""
    try:
        return tree.past(checkpoint).root(size)
    except CounterfoilError:
        return None  # whatever it is that keeps its hashes from being read
