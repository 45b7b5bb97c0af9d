"""What a dishonest operator can make with its own keys: other logs, other streams, other worlds.

The demonstration uses this against itself. Nothing here breaks a signature or a hash; it signs
falsehoods with keys that are really the operator's, which is what a log must survive.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.envelope import Envelope, sign_envelope
from counterfoil.core.merkle import Hash, leaf_hashes, prove_inclusion, root_of
from counterfoil.core.stream import Batch, StreamDeclaration, format_batch
from counterfoil.ledger.log import Log
from counterfoil.ledger.treestore import TreeStore


def rewritten_log(log: Log, folder: Path, change: int | None, size: int) -> Path:
    """Make a ledger of the same origin and key whose history is another one.

    Args:
        log: The real one; its key signs.
        folder: Where the false one goes.
        change: Index of the entry to replace; None replaces nothing.
        size: How many entries to keep.
    """
    entries = list(log.entries(0, size))
    if change is not None:
        entries[change] = entries[change].replace(b'"payload":"', b'"payload":"AAAA', 1)
    signer = log.principal_key("log")
    folder.mkdir(parents=True)
    shutil.copy(log.folder / "ledger.json", folder)

    def seal(new_size: int, root: Hash) -> bytes:
        return sign_checkpoint(Checkpoint(log.origin, new_size, root), signer)

    with TreeStore.create(folder / "log") as tree:
        tree.commit(entries, leaf_hashes(entries), seal)
    return folder


def stream_without(
    log: Log, declaration: StreamDeclaration, leaves: list[Hash], index: int, closed: int
) -> tuple[Envelope, Hash, tuple[Hash, ...]]:
    """Make a signed batch of the stream as if one record had never been written.

    Returns:
        The batch, and what now lies at the record's index, with its path.
    """
    kept = leaves[:index] + leaves[index + 1 :]

    def node(level: int, place: int) -> Hash:
        return root_of(kept[place << level : (place + 1) << level])

    batch = Batch(
        stream=declaration.stream_id,
        log=log.origin,
        size_before=0,
        root_before=root_of([]),
        size=len(kept),
        root=root_of(kept),
        consistency=(),
        closed=closed,
    )
    envelope = sign_envelope(format_batch(batch), log.principal_key("operator"))
    return envelope, kept[index], prove_inclusion(index, len(kept), node)
