"""A store that comes back without the newest of what it was given, and had answered for.

One that answers before it has synced may do so after a power cut. `checkpoint` is what it is given
last, so what was published after the one it shows may be gone; or a leader died before it showed
its last commits. Whoever takes over reads what was published since, and puts what the queue still
has of it into the store again.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from counterfoil.cluster.database import Connection
from counterfoil.cluster.edge import Edge
from counterfoil.cluster.objects import CHECKPOINT_PATH, MAX_CHECKPOINT_BYTES, Objects
from counterfoil.cluster.queue import entries_between
from counterfoil.cluster.tiletree import Head, TileTree
from counterfoil.core.callers import callers_level
from counterfoil.core.checkpoint import Checkpoint, LogKeys, check_same_history, open_checkpoint
from counterfoil.core.merkle import HASH_BYTES, Frontier, leaf_hashes
from counterfoil.core.tile import TILE_WIDTH
from counterfoil.errors import ConflictError, SplitViewError, VerificationError


class StoreLossWarning(UserWarning):
    """A store did not have what it had answered for; it was given that again, from the queue."""


_READ_ENTRIES = 16 * TILE_WIDTH  # at a time


def read_edge(connection: Connection, objects: Objects, tree: TileTree) -> Edge:
    """Read the edge of what is published; first make good what is missing of it, if that can be.

    Args:
        connection: To the database.
        objects: The store.
        tree: Shows what is published.

    Raises:
        VerificationError: an object at the edge is not there, or is not what was logged.
    """
    try:
        return Edge.of(tree)
    except VerificationError as error:
        if not read_shown(objects):  # nothing of the log is there: rather another place than a loss
            raise
        edge = Edge.at_full_bundles(tree)
        try:
            entries = entries_between(connection, edge.size, tree.size)
        except VerificationError:
            raise error from None
        growth = edge.grow(entries)
        if growth.edge.frontier.root() != tree.root():
            raise
        # What is there and is something else is refused here.
        tree.store(growth.objects, tree.size)
        warnings.warn(
            f"{objects.name} had lost entries from {edge.size} on, which it had answered for; they "
            "were put there again out of the database. Does it sync before it answers?",
            StoreLossWarning,
            stacklevel=callers_level(),
        )
        return growth.edge


def read_shown(objects: Objects) -> bytes:
    """Read the checkpoint in the store; empty if there is none."""
    (note,) = objects.get([CHECKPOINT_PATH], MAX_CHECKPOINT_BYTES)
    return note or b""


def require_reached(note: bytes, head: Head, name: str, keys: LogKeys) -> Checkpoint:
    """Refuse a database that is behind what was shown already.

    Args:
        note: The checkpoint that was shown, read before the database was.
        head: What the database has.
        name: What messages call it.
        keys: The log's.

    Raises:
        ConflictError: it was set back: restored, or failed over to a server that was behind.
        SplitViewError: it has another history, of that very size.
    """
    shown = open_checkpoint(note, keys)
    if shown.size > head.size:
        raise set_back(name, head.size, shown.size)
    check_same_history(note, head.checkpoint, keys)
    return shown


def set_back(name: str, has: int, shown: int) -> ConflictError:
    """Say of a database that it has fewer entries than were shown of its log."""
    return ConflictError(
        f"{name} has {has} entries, and {shown} of this log were shown already: the database was "
        "restored from a backup, or a standby that was behind took over",
        hint="Do not append here; go on with the newest database. If it is lost, `counterfoil log "
        "import TILES FOLDER --original-is-lost` makes a ledger of all that was published.",
    )


def require_newest(note: bytes, committed: Head, tree: TileTree, keys: LogKeys) -> None:
    """Refuse a database that is behind its store, or has another history.

    Args:
        note: The checkpoint in the store, read before the database was; or empty.
        committed: What the database has.
        tree: Shows what is published.
        keys: The log's.

    Raises:
        As `require_reached`; of another history also where that is of another size.
    """
    if not note:
        return
    shown = require_reached(note, committed, tree.name, keys)
    if shown.size <= tree.size and tree.root_below(shown.size) != shown.root:
        raise SplitViewError(
            f"another history of {tree.name} was shown than the database has",
            a=note,
            b=committed.checkpoint,
            hint="Keep both checkpoints, they are the evidence.",
        )


def require_kept(tree: TileTree, since: int) -> Iterator[None]:
    """Compare what was published after a size with the root, some of it in each step.

    Raises:
        VerificationError: an object is not there, or is not what was logged.
    """
    begin = since - since % TILE_WIDTH
    frontier = Frontier.at(begin, tree.node)
    for first in range(begin, tree.size, _READ_ENTRIES):
        leaves = leaf_hashes([*tree.bodies(first, min(tree.size, first + _READ_ENTRIES))])
        for level, hashes in enumerate(frontier.extend(leaves)):
            at = first >> 8 * level
            stop = at + len(hashes) // HASH_BYTES
            if tree.joined_hashes(level, at, stop) != hashes:
                raise _not_the_tree(tree, begin)
        yield
    if frontier.root() != tree.root():
        raise _not_the_tree(tree, begin)


def _not_the_tree(tree: TileTree, begin: int) -> VerificationError:
    return VerificationError(
        f"{tree.name}: the tiles from entry {begin} on are not those of the checkpoint at size "
        f"{tree.size}",
        hint="An object was changed; `counterfoil log audit` names the first bad place.",
    )
