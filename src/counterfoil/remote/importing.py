"""Taking a log in from its site: a copy to read or, if the original is lost, the ledger again.

A second ledger beside one that is alive would give the log two histories, and no machine can tell
whether one is alive elsewhere. So somebody has to say that it is lost.

Everything is verified, and written beside the place where it is to be; only what is whole is put
there, by one rename. If we stop before, the next run goes on with what lies there already, once it
has proven it.

What a site does not hold is not brought back: keys, anchors, and private payloads, unless they are
brought along from where they were left. A site that is behind what the local witness of this
machine has cosigned, or has another history, does not become the ledger: nothing could be appended
to it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from counterfoil.core.keys import VerifierKey
from counterfoil.core.merkle import Hash, leaf_hashes
from counterfoil.errors import ConflictError, SplitViewError, VerificationError
from counterfoil.ledger.audit import Progress
from counterfoil.ledger.blobs import REFERENCE, FolderBlobs
from counterfoil.ledger.disk import Disk, reported
from counterfoil.ledger.identity import write_identity
from counterfoil.ledger.journal import MAX_COMMIT_BYTES
from counterfoil.ledger.log import Log
from counterfoil.ledger.moved import forget_moved
from counterfoil.ledger.nextkey import load_log_key
from counterfoil.ledger.policyfile import format_adopted
from counterfoil.ledger.sharding import shard_after
from counterfoil.ledger.status import check_memory
from counterfoil.ledger.treestore import TreeStore
from counterfoil.ledger.trust import Trust
from counterfoil.remote.engine import open_site
from counterfoil.remote.mirror import Mirror

_BATCH_ENTRIES = 4096
_BATCH_BYTES = MAX_COMMIT_BYTES // 4  # of entries; their hashes lie beside them


Bringing = Callable[[Log, Path], AbstractContextManager[Callable[[], None]]]


@dataclass(frozen=True, slots=True)
class Imported:
    """What was taken in.

    Args:
        origin: The log.
        size: Its entries.
        root: The root over them.
        is_ledger: Whether it is the ledger again; else a copy to read.
        following: Key of the log that goes on, if this one has ended.
    """

    origin: str
    size: int
    root: Hash
    is_ledger: bool
    following: VerifierKey | None

    @property
    def appendable(self) -> bool:
        """Whether it can be appended to."""
        return self.is_ledger and self.following is None


def import_site(
    where: str | Path,
    folder: Path,
    *,
    trust: str | Path | None = None,
    original_is_lost: bool = False,
    bringing: Bringing | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Take a log in.

    Args:
        where: Address of its site, or its folder.
        folder: Where it is to be; must be missing or empty.
        trust: The log's trust policy, for the first time; None for the adopted one.
        original_is_lost: Whether this is to be the log's ledger from now on, because no other one
            is left; takes the log's key. Else it is a copy to read.
        bringing: Gives what brings all that is private of a log into the folder that is to be its
            ledger, which is not in place yet; done again, that goes on.
        progress: Called with entries done and entries in all.

    Raises:
        ConflictError: there is something in the folder, another process imports into it, or it is
            to be the log's ledger and this machine has another key.
        SplitViewError: it is to be the log's ledger, and has another history than the local witness
            has cosigned; nothing is written.
        UnavailableError: the site does not answer, the disk refuses, or the log's key is missing.
        VerificationError: what the site holds is not what the log signed, and nothing is put in
            place; or it is to be the log's ledger, and the local witness has cosigned more.
        As `open_site`.
    """
    with reported(f"cannot import into {folder}"):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConflictError(
                f"{folder} is not empty",
                hint="Give a new folder; if an import put a log there, that is whole, and "
                "`counterfoil log status --ledger` shows it.",
            )
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    doing = "restoring" if original_is_lost else "importing"
    unfinished = folder.absolute().with_name(f".{folder.name}.{doing}")
    if original_is_lost:
        engine = open_site(where, trust=trust)
        with Log(engine.folder, engine=engine) as log:
            load_log_key(log.places, log.keys, Disk())  # refused before anything is fetched
            _check_witness(log)
            with (
                contextlib.nullcontext() if bringing is None else bringing(log, unfinished) as bring
            ):
                _write_ledger(log, unfinished, progress)
                if bring is not None:
                    bring()
            found = _imported(log, is_ledger=True)
            forget_moved(log.places, Disk())  # the database that it went to is lost, too
    else:
        with contextlib.closing(Mirror(where, unfinished, trust=trust)) as mirror:
            mirror.update(progress)
            found = _imported(mirror.log, is_ledger=False)
    with reported(f"cannot import into {folder}"):
        unfinished.replace(folder)
        Disk().sync_folder(folder.absolute().parent)
    return found


def _check_witness(log: Log) -> None:
    """Refuse what the local witness contradicts; an operator who has met a fork goes on."""
    try:
        check_memory(log, goes_on=True)
    except SplitViewError:
        raise
    except VerificationError as error:
        error.hint = "Import the newest site; or without --original-is-lost, as a copy to read."
        raise


def _imported(log: Log, *, is_ledger: bool) -> Imported:
    return Imported(log.origin, log.size, log.root, is_ledger, shard_after(log))


def _write_ledger(log: Log, folder: Path, progress: Progress | None) -> None:
    """Write a whole ledger into a folder that nobody uses yet."""
    disk = Disk()
    with reported(f"cannot import into {folder}"):
        folder.mkdir(exist_ok=True)
        with _open_tree(log, folder / "log", disk) as tree:
            if log.size == 0:
                tree.publish(log.checkpoint)
            while tree.size < log.size:
                entries = _next(log, tree.size)
                _copy_blobs(log, entries, folder / "blobs", disk)
                tree.commit(
                    entries, leaf_hashes(entries), lambda size, root: _head(log, size, root)
                )
                if progress is not None:
                    progress(tree.size, log.size)
        if log.places.trust.exists():
            disk.replace(folder, "trust.toml", format_adopted(Trust(log).show()))
        write_identity(folder, log.keys, disk)


def _open_tree(log: Log, folder: Path, disk: Disk) -> TreeStore:
    """Go on with the tree of a run that stopped, if it is a beginning of the log's."""
    if (folder / "tree.json").exists():
        tree = TreeStore.open(folder, write=True, disk=disk)
        if tree.size < log.size and tree.root() == log.root_at(tree.size):
            return tree
        tree.close()
        shutil.rmtree(folder)
    return TreeStore.create(folder, disk=disk)


def _next(log: Log, start: int) -> list[bytes]:
    """Read as many entries as one commit takes, at least one."""
    entries: list[bytes] = []
    total = 0
    for entry in log.checked(start, min(log.size, start + _BATCH_ENTRIES)):
        total += len(entry)
        if entries and total > _BATCH_BYTES:
            break
        entries.append(entry)
    return entries


def _copy_blobs(log: Log, entries: list[bytes], folder: Path, disk: Disk) -> None:
    blobs = FolderBlobs(folder, disk)
    for entry in entries:
        if entry.startswith(REFERENCE) and (data := log.resolve(entry)) != entry:
            blobs.put(sha256(data).hexdigest(), data)


def _head(log: Log, size: int, root: Hash) -> bytes:
    """Give what is published at a size: the log's own checkpoint at the last, else nothing yet."""
    if size < log.size:
        return b""
    if root != log.root:
        raise VerificationError(
            f"the {size} entries of {log.origin} lead to another root than its checkpoint",
            hint="Nothing was put in place. Tell whoever runs the log.",
        )
    return log.checkpoint
