"""Asking a witness: on becoming the writer, and about each new checkpoint.

A folder that is behind what its witness has seen was restored from a snapshot, or is a copy of
one that went on; it must not sign. One whose history differs is a fork.
"""

from __future__ import annotations

from collections.abc import Callable

from counterfoil.core.checkpoint import Checkpoint, open_checkpoint
from counterfoil.core.keys import VerifierKey
from counterfoil.core.note import Note, NoteSignature, format_note, parse_note
from counterfoil.errors import ConflictError, ProofError, SplitViewError, UnavailableError
from counterfoil.ledger.localwitness import RememberedError, WitnessClient
from counterfoil.ledger.treestore import TreeStore


class Countersigner:
    """One witness, as the log's writer sees it.

    Args:
        client: The witness.
        log_key: The key that signs its checkpoints.
        memory: Reads the checkpoint the witness remembers, for the evidence of a fork.
    """

    def __init__(
        self,
        client: WitnessClient,
        log_key: VerifierKey,
        memory: Callable[[], bytes],
    ) -> None:
        self._client = client
        self._log_key = log_key
        self._memory = memory
        self._size: int | None = None  # what the witness remembers, as far as we know
        self.silence = ""  # why it did not answer when it was asked last

    def meet(self, tree: TreeStore) -> None:
        """Find out what the witness remembers, before anything new is signed.

        Raises:
            ConflictError: this folder is behind its witness.
            SplitViewError: this folder has another history.
        """
        note = tree.head
        countersigned = self.countersign(tree, note)
        if countersigned != note:
            tree.publish(countersigned)

    def countersign(self, tree: TreeStore, note: bytes) -> bytes:
        """Return the checkpoint with the witness's line, or as it was if there is no answer.

        Entries are durable by now, so silence is no reason to fail: the receipt's grade shows it,
        and `silence` says why.

        Raises:
            As `meet`; the checkpoint is then not published.
        """
        checkpoint = open_checkpoint(note, self._log_key)
        try:
            lines = self._ask(tree, checkpoint.size, note)
        except UnavailableError as error:
            self._compare_with_memory(tree, checkpoint, note)
            self.silence = str(error)
            return note
        except ProofError as error:
            raise SplitViewError(
                f"{tree.folder} has another history than its witness cosigned",
                a=note,
                b=self._memory(),
                hint="Two copies of this ledger went on separately, or entries were rewritten; "
                "keep both checkpoints, they are the evidence.",
            ) from error
        self._size, self.silence = checkpoint.size, ""
        opened = parse_note(note)
        own = tuple(s for s in opened.signatures if s.is_named_by(self._log_key))
        return format_note(Note(opened.text, (*own, *lines)))

    def _compare_with_memory(self, tree: TreeStore, checkpoint: Checkpoint, note: bytes) -> None:
        """Do what can be done without the witness: read what it remembers, and do not go behind."""
        kept = self._memory()
        if not kept:
            return
        remembered = open_checkpoint(kept, self._log_key)
        if remembered.size > checkpoint.size:
            raise _behind(tree, checkpoint.size, remembered.size)
        if tree.root_below(remembered.size) != remembered.root:
            raise SplitViewError(
                f"{tree.folder} has another history than its witness cosigned",
                a=note,
                b=kept,
                hint="Keep both checkpoints, they are the evidence.",
            )

    def _ask(self, tree: TreeStore, size: int, note: bytes) -> tuple[NoteSignature, ...]:
        """Ask, and once more with the size the witness says it remembers."""
        old = size if self._size is None else min(self._size, size)
        while True:
            proof = tree.consistency_below(old, size)
            try:
                return self._client.add_checkpoint(old, proof, note)
            except RememberedError as remembered:
                if remembered.size > size:
                    raise _behind(tree, size, remembered.size) from remembered
                if remembered.size == old:
                    raise UnavailableError("the witness contradicts itself") from remembered
                old = remembered.size


def _behind(tree: TreeStore, size: int, seen: int) -> ConflictError:
    return ConflictError(
        f"{tree.folder} has {size} entries and its witness has seen {seen}: this folder was "
        "restored from a snapshot, or is a copy of one that went on",
        hint="Do not append here; go on with the newest copy, or start a new log.",
    )
