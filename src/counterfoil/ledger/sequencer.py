"""The one writer of a log: it gives entries their place and signs what that makes true.

Many threads share one data sync and one signature: whoever gets to commit takes along all that
queued up while the last sync ran. There is no timer, so a lone caller waits for nobody.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.keys import Signer, VerifierKey
from counterfoil.core.merkle import Hash, leaf_hashes
from counterfoil.errors import FormatError, UnavailableError
from counterfoil.ledger.countersign import Witnesses
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.identity import write_identity
from counterfoil.ledger.once import Wanted, place
from counterfoil.ledger.treestore import TreeStore

MAX_COMMIT_ENTRIES = 1024  # a commit takes no more callers than that, so that no one waits long


@dataclass(slots=True)
class _Pending:
    """Entries that wait for a commit, and what became of them."""

    entries: Sequence[bytes]
    since: int | None = None
    indices: Sequence[int] = ()
    error: Exception | None = None
    is_done: bool = False


class Sequencer:
    """The writer of the log in `folder`, until closed.

    Opening it finishes what a crash may have left and asks the witness what size that last saw.

    Args:
        folder: The log's tree, in the ledger's folder.
        signer: The log's key; its name is the origin.
        witnesses: Who is asked about each checkpoint.
        disk: How to write and sync.

    Raises:
        ConflictError: there is a writer, or the folder is behind its witness.
        SplitViewError: the folder has another history than its witness cosigned.
        UnavailableError: the disk refuses.
        VerificationError: the folder is damaged.
    """

    def __init__(self, folder: Path, signer: Signer, witnesses: Witnesses, *, disk: Disk) -> None:
        self._signer, self._ledger, self._disk = signer, folder.parent, disk
        self._queue: list[_Pending] = []
        self._turn = threading.Condition(threading.Lock())  # guards the queue and whose turn it is
        self._is_committing = False
        with contextlib.ExitStack() as opened:
            opened.callback(witnesses.close)
            self.tree = TreeStore.open(
                folder, write=True, disk=disk, countersign=witnesses.countersign
            )
            opened.callback(self.tree.close)
            self._witnesses = witnesses
            self._meet()
            self._opened = opened.pop_all()

    def append(self, entries: Sequence[bytes], since: int | None = None) -> Sequence[int]:
        """Append entries next to each other, as one commit; return their indices.

        Of no entries, it finds out what became of those of an earlier call that failed.

        Raises:
            As `TreeStore.commit`; also as opening, if the witness turns out to be ahead.
        """
        pending = _Pending(entries, since)
        is_mine = False
        try:
            with self._turn:
                self._queue.append(pending)
                # Whoever's entries another one takes along leaves as soon as they are in, and
                # does not wait for the commit after that.
                while self._is_committing and not pending.is_done:
                    self._turn.wait()
                if not pending.is_done:
                    is_mine = self._is_committing = True
            while not pending.is_done:
                self._commit(self._take())
        finally:
            if is_mine:
                with self._turn:
                    self._is_committing = False
                    self._turn.notify_all()
        if pending.error is not None:
            raise pending.error
        self._witnesses.warn_of_silence()
        return pending.indices

    def require_writable(self) -> None:
        """Let pass: while this writes, the log is not moved."""

    def ask_witnesses(self) -> None:
        """Ask again about the newest checkpoint, and publish it with the lines that come.

        Raises:
            As opening; and as `append`, where entries of before had not been published.
        """
        with self._turn:
            while self._is_committing:
                self._turn.wait()
            self._is_committing = True
        try:
            self.tree.find_out()  # what a witness may have seen of a commit that failed comes first
            self._meet()
        finally:
            with self._turn:
                self._is_committing = False
                self._turn.notify_all()

    def append_alone(
        self, make: Callable[[int], bytes | None], ends: VerifierKey | None = None
    ) -> None:
        """Append an entry: nobody else does, and who opens the log finds out where it ended."""
        del ends
        entry = make(self.tree.size)
        if entry is not None:
            self.append((entry,))

    def hand_over(self, new: Signer) -> None:
        """Publish the present checkpoint under both keys, and name the next one in `ledger.json`.

        Raises:
            UnavailableError: fewer than the policy's quorum have cosigned it.
        """
        checkpoint = Checkpoint(self._signer.key.name, self.tree.size, self.tree.root())
        note = self._witnesses.countersign(
            self.tree, sign_checkpoint(checkpoint, self._signer, new)
        )
        self.tree.publish(note)
        keys = self._witnesses.log_keys.followed_by(new.key, checkpoint.size)
        write_identity(self._ledger, keys, self._disk)

    def close(self) -> None:
        """Settle the tree, let the next writer in, end the witness process."""
        with self._turn:
            while self._is_committing:
                self._turn.wait()
            self._opened.close()

    def _meet(self) -> None:
        """Find out what witnesses remember, and publish what they have cosigned since."""
        note = self._witnesses.meet(self.tree)
        if note != self.tree.head:
            self.tree.publish(note)

    def _take(self) -> list[_Pending]:
        """Take what is queued, in order, up to about `MAX_COMMIT_ENTRIES`."""
        with self._turn:
            taken: list[_Pending] = []
            count = 0
            for pending in self._queue:
                if taken and count + len(pending.entries) > MAX_COMMIT_ENTRIES:
                    break
                taken.append(pending)
                count += len(pending.entries)
            del self._queue[: len(taken)]
        return taken

    def _commit(self, taken: Sequence[_Pending]) -> None:
        """Commit as one what several callers want; each gets its index, or the error."""
        error: Exception | None = UnavailableError(
            "the commit was interrupted", hint="Look whether the entry is in, then append again."
        )
        is_begun = is_sealed = False

        def seal(size: int, root: Hash) -> bytes:
            # Before this, what an earlier commit left undone was finished, or not.
            nonlocal is_sealed
            is_sealed = True
            return self._seal(size, root)

        try:
            if any(pending.entries for pending in taken):
                self._witnesses.refresh()
                is_begun = True
            # The log may be longer than it seemed, by a commit that failed.
            self.tree.find_out()
            wanted = [Wanted(pending.entries, pending.since) for pending in taken]
            entries, places = place(wanted, self.tree.size, self.tree)
            if entries:
                self.tree.commit(entries, leaf_hashes(entries), seal)
            for pending, one in zip(taken, places, strict=True):
                pending.indices = one.indices
            error = None
        except UnavailableError as raised:
            error = nothing_appended(raised) if is_begun and not is_sealed else raised
        except Exception as raised:  # noqa: BLE001 every caller who waits gets to raise it
            error = raised
        finally:
            # An interrupt passes through, and leaves nobody waiting.
            for pending in taken:
                pending.error, pending.is_done = error, True
        if isinstance(error, FormatError) and len(taken) > 1:
            for pending in taken:  # nothing happened, and one caller's mistake is not the others'
                self._commit([pending])

    def _seal(self, size: int, root: Hash) -> bytes:
        """Sign the checkpoint that becomes durable together with its entries."""
        return sign_checkpoint(Checkpoint(self._signer.key.name, size, root), self._signer)


def nothing_appended(error: UnavailableError) -> UnavailableError:
    """Say that it is earlier entries that are not published, and these are not in at all."""
    return UnavailableError(
        f"nothing was appended, as what came before is not finished: {error}",
        hint=f"{error.hint} Then append these again.",
    )
