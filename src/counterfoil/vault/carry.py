"""Carrying streams from one place to another, as they are: encrypted, erased, in their epoch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from counterfoil.errors import ConflictError
from counterfoil.ledger.streamplace import OpenPlace, Streams
from counterfoil.vault.epoch import EPOCH_NOTE
from counterfoil.vault.folder import FolderStreams
from counterfoil.vault.intent import INTENT_NOTE
from counterfoil.vault.seal import SLOT_BYTES

_AT_ONCE = 256  # records of one commit: a few of the largest still fit into a journal


@contextlib.contextmanager
def carrying(source: Path | Streams, target: Path | Streams) -> Iterator[Callable[[], None]]:
    """Keep everybody from recording into the streams of a place, until they are elsewhere.

    Args:
        source: Where they are: a ledger's folder, or what its engine keeps them in.
        target: Where they go.

    Yields:
        What carries them over. Each is at one of the two places, whole, at any time; doing it
        again goes on.

    Raises:
        ConflictError: somebody records, or the target has records that the source has not.
    """
    old, new = _as_streams(source), _as_streams(target)
    with contextlib.ExitStack() as held:
        opened = {}
        for stream in old.ids():
            opened[stream] = old.place(stream).open(write=True)
            held.callback(opened[stream].close)
            _require_contained(new, stream, opened[stream])

        def carry() -> None:
            for stream, one in opened.items():
                new.place(stream).remove()  # a copy that is older, or that was not finished
                _copy(one, new, stream)
                one.close()
                old.place(stream).remove()

        yield carry


def _require_contained(new: Streams, stream: bytes, one: OpenPlace) -> None:
    """Check that what is at the target is the beginning of what comes."""
    place = new.place(stream)
    if not place.exists():
        return
    there = place.open(write=True)
    try:
        size, root = there.tree.size, there.tree.root()
    finally:
        there.close()
    if size > one.tree.size or one.tree.root(size) != root:
        raise ConflictError(
            f"{place.name} has {size} records, and not those that are to come there",
            hint="Keep both, and find out which went on before you do anything.",
        )


def _copy(one: OpenPlace, new: Streams, stream: bytes) -> None:
    notes = {name: one.note(name) for name in (EPOCH_NOTE, INTENT_NOTE)}
    there = new.place(stream).create(EPOCH_NOTE, notes.pop(EPOCH_NOTE) or b"")
    try:
        tree = one.tree
        for start in range(0, tree.size, _AT_ONCE):
            stop = min(tree.size, start + _AT_ONCE)
            payloads = [payload or bytes(SLOT_BYTES) for payload in tree.payloads(start, stop)]
            leaves = b"".join(tree.hashes(0, start, stop))
            there.tree.commit(payloads, leaves, lambda _size, _root: b"")
        for name, data in notes.items():
            if data is not None:
                there.put_note(name, data)
    finally:
        there.close()


def _as_streams(where: Path | Streams) -> Streams:
    return FolderStreams(where) if isinstance(where, Path) else where
