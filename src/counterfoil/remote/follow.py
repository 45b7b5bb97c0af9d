"""From one checkpoint to the next: what a newer one needs to be believed.

    1. the trusted key has signed it
    2. a quorum of the policy's witnesses has cosigned it
    3. its tiles lead to its root
    4. the tree of the checkpoint seen last is the beginning of its tree; when it is opened, also
       of those seen at other addresses of the log, as far as they are no longer

Only then is it remembered, and after that shown.

Source:
    C2SP tlog-checkpoint, tlog-policy; RFC 9162, section 2.1.4.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from counterfoil.core.checkpoint import Checkpoint, open_checkpoint
from counterfoil.core.cosignature import find_cosignatures
from counterfoil.core.note import parse_note
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import check_quorum
from counterfoil.errors import SignatureError, SplitViewError, UnavailableError, VerificationError
from counterfoil.remote.memory import Memory
from counterfoil.remote.sitetree import SiteTree
from counterfoil.remote.source import Source, read_checkpoint

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
    """

    def __init__(
        self,
        source: Source,
        memory: Memory,
        policy: Callable[[], TrustPolicy],
        *,
        settle_within_s: float = SETTLE_WITHIN_S,
    ) -> None:
        self._source, self._memory, self._policy = source, memory, policy
        self._settle_within_s = settle_within_s
        self._lock = threading.Lock()
        self._is_opened = False

    def follow(self, tree: SiteTree) -> None:
        """Show the newest checkpoint.

        Raises:
            FormatError: it is none.
            PolicyError: too few witnesses have cosigned it.
            SignatureError: the trusted key has not signed it.
            SplitViewError: it has another history than the one seen last.
            UnavailableError: the server does not answer.
            VerificationError: it is older than one seen, or its tiles do not lead to it.
        """
        until = time.monotonic() + self._settle_within_s
        for _ in range(_TRIES):
            seen = self._memory.seen()
            note = read_checkpoint(self._source)
            checkpoint = self._judged(note)
            while seen and checkpoint.size < self._opened(seen).size:
                if time.monotonic() > until:
                    raise self._set_back(checkpoint, seen)
                time.sleep(_PAUSE_S)
                seen = self._memory.seen()
                note = read_checkpoint(self._source)
                checkpoint = self._judged(note)
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
            if seen and checkpoint.size < self._opened(seen).size:
                # Another process has seen a newer one: from there this one is compared.
                self.follow(tree)
            elif self._take(tree, checkpoint, note, seen, leaves):
                return checkpoint
        raise UnavailableError(
            f"{self._source.name} grows faster than its checkpoints can be compared",
            hint="Try again.",
        )

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
            self._compare_addresses(tree.under(edge), note)
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

    def _compare_addresses(self, grown: SiteTree, note: bytes) -> None:
        keys = self._policy().log.keys
        for other in self._memory.elsewhere(keys):
            seen = other.seen()
            try:
                before = open_checkpoint(seen, keys) if seen else None
            except SignatureError:
                continue  # by a later key than this policy knows of: it says nothing here
            if before and before.size <= grown.size and grown.root(before.size) != before.root:
                other.keep_evidence(seen, note)
                raise self._split(seen, note, before.size, f"at another address ({other.folder})")

    def _judged(self, note: bytes) -> Checkpoint:
        policy = self._policy()
        checkpoint = open_checkpoint(note, policy.log.keys)
        check_quorum(policy, find_cosignatures(parse_note(note), policy.witness_keys))
        return checkpoint

    def _opened(self, seen: bytes) -> Checkpoint:
        return open_checkpoint(seen, self._policy().log.keys)

    def _set_back(self, checkpoint: Checkpoint, seen: bytes) -> SetBackError:
        size = self._opened(seen).size
        return SetBackError(
            f"{self._source.name} shows {checkpoint.size} entries of {checkpoint.origin}, and "
            f"{size} were seen there before: it was set back",
            hint=f"The newer checkpoint is {self._memory.folder / 'checkpoint'}; show it to "
            "whoever runs the log.",
        )

    def _split(
        self, seen: bytes, note: bytes, size: int, where: str = "there before"
    ) -> SplitViewError:
        folder = self._memory.keep_evidence(seen, note)
        return SplitViewError(
            f"{self._source.name} shows another history than was seen {where}, with other entries "
            f"among the first {size}",
            a=seen,
            b=note,
            hint=f"Both checkpoints are kept in {folder}: the log signed both, and can be trusted "
            "no more.",
        )
