"""What follows a publication and nobody waits for: `checkpoint` in the store, and what may go.

One thread of the leader does it beside the next commits, newest first: of several checkpoints that
wait, only the last is written. What fails here ends the leadership at the next commit, as any step
that fails.
"""

from __future__ import annotations

import threading

from counterfoil.cluster import state
from counterfoil.cluster.database import Database
from counterfoil.cluster.objects import CHECKPOINT_PATH, MAX_CHECKPOINT_BYTES, Objects
from counterfoil.cluster.tiletree import Head
from counterfoil.core.tile import TILE_WIDTH
from counterfoil.errors import CounterfoilError, UnavailableError


class Tidier:
    """The thread, until closed.

    Args:
        database: Whose queue is pruned.
        objects: Where the checkpoint goes, and partial tiles lie.
    """

    def __init__(self, database: Database, objects: Objects) -> None:
        self._database, self._objects = database, objects
        self._changed = threading.Condition()
        self._head: Head | None = None
        self._outgrown: list[str] = []
        self._shown: bytes | None = None
        self._error: CounterfoilError | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="counterfoil-tidy", daemon=True)
        self._thread.start()

    def follow(self, head: Head, outgrown: list[str]) -> None:
        """Have a published checkpoint shown in the store, and what it outgrew removed.

        Raises:
            CounterfoilError: what went wrong with an earlier one.
        """
        with self._changed:
            if self._error is not None:
                raise self._error
            self._head = head
            self._outgrown += outgrown
            self._changed.notify()

    def close(self) -> None:
        """Do what is left, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._head is None and not self._closed:
                    self._changed.wait()
                head, self._head = self._head, None
                outgrown, self._outgrown = self._outgrown, []
            if head is None:
                return
            try:
                self._show(head.checkpoint)
                for prefix in outgrown:
                    self._objects.remove_below(prefix)
                if outgrown:
                    with self._database.transaction("emptying the queue") as connection:
                        state.prune(connection, head.size - head.size % TILE_WIDTH)
            except CounterfoilError as error:
                with self._changed:
                    self._error = error
                return

    def _show(self, checkpoint: bytes) -> None:
        """Put a checkpoint into the store, if the one that was put before is still there."""
        if self._shown is not None:
            (found,) = self._objects.get([CHECKPOINT_PATH], MAX_CHECKPOINT_BYTES)
            if found != self._shown:
                # Tiles may be gone as well. Whoever leads next reads them, perhaps this process.
                raise UnavailableError(
                    f"{self._objects.name} no longer shows the checkpoint that was put there",
                    hint="The store was set back, or has lost what it answered for.",
                )
        self._objects.replace(CHECKPOINT_PATH, checkpoint)
        self._shown = checkpoint
