"""Carrying all that is private from one place to another; streams encrypted as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from counterfoil.errors import ConflictError
from counterfoil.ledger.keeping import Files, Keeping, OpenPlace, Streams
from counterfoil.ledger.places import Places
from counterfoil.vault.epoch import EPOCH_NOTE
from counterfoil.vault.erased import ERASED_FROM_NOTE, ERASED_NOTE
from counterfoil.vault.files import FolderFiles, SealedFiles
from counterfoil.vault.folder import FolderStreams
from counterfoil.vault.intent import INTENT_NOTE
from counterfoil.vault.keystore import FileKeyStore
from counterfoil.vault.plan import PLAN_NOTE
from counterfoil.vault.seal import SLOT_BYTES

_NOTES = (EPOCH_NOTE, INTENT_NOTE, PLAN_NOTE, ERASED_NOTE, ERASED_FROM_NOTE)
_MOST_BYTES = 4 << 30  # of a file: more than any of ours has
_AT_ONCE = 256  # records of one commit: a few of the largest still fit into a journal


@contextlib.contextmanager
def carrying(
    origin: str, source: Path | Keeping, target: Path | Keeping
) -> Iterator[Callable[[], None]]:
    """Keep everybody from recording at one place, until all that is private is at another.

    Args:
        origin: The log's.
        source: Where it is: the ledger's folder, or its database.
        target: Where it goes.

    Yields:
        What carries it over. Each stream and file is at one of the two places, whole, at any time;
        doing it again goes on.

    Raises:
        ConflictError: somebody records, or the target has records that the source has not.
    """
    old, new = _streams(source), _streams(target)
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
            _carry_files(_files(origin, source), _files(origin, target))
            if isinstance(source, Path):
                _remove_empty(source / "private")

        yield carry


def _carry_files(old: Files, new: Files) -> None:
    """Carry files over; they are named by digests, so one of a name is as good as another."""
    for name in old.names():
        if not new.has(name):
            new.put(name, old.get(name, _MOST_BYTES))
        old.remove(name)


def _remove_empty(folder: Path) -> None:
    """Remove a folder and those in it, as far as nothing is in them."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


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
    notes = {name: one.note(name) for name in _NOTES}
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


def _streams(where: Path | Keeping) -> Streams:
    return FolderStreams(where) if isinstance(where, Path) else where.streams


def _files(origin: str, where: Path | Keeping) -> Files:
    if isinstance(where, Path):
        return FolderFiles(where)
    return SealedFiles(where.files, FileKeyStore(Places(origin).vault_keys), origin)
