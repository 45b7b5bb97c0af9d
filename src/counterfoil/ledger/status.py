"""How a log stands: what it holds, who writes, and what its local witness remembers.

`read_status` is no verdict. It is what the folder and the places outside it say now; `audit` hashes
the entries, and `verify` judges by a trust policy and asks `check_memory`.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from counterfoil.core.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from counterfoil.core.cosignature import find_cosignatures
from counterfoil.core.keys import VerifierKey, format_vkey
from counterfoil.core.merkle import Hash, check_extension
from counterfoil.core.note import parse_note
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import Grade, check_quorum
from counterfoil.errors import (
    PolicyError,
    ProofError,
    SignatureError,
    SplitViewError,
    VerificationError,
)
from counterfoil.ledger.disk import reported
from counterfoil.ledger.engine import Writers
from counterfoil.ledger.keyfiles import load_vkey
from counterfoil.ledger.localwitness import LocalWitness
from counterfoil.ledger.log import Log
from counterfoil.ledger.objections import Objection, read_objections
from counterfoil.ledger.sharding import shard_after
from counterfoil.ledger.splitview import kept_split_view
from counterfoil.ledger.stamps import kept_stamps, read_stamp
from counterfoil.ledger.trust import Trust

_PID_BYTES = 20  # decimal digits of any process number
_PUBLISHING_S = 2.0  # between the witness's answer and the head that readers see lies one write


class Standing(StrEnum):
    """How a ledger's folder compares with what its witness remembers."""

    FRESH = "fresh"  # the witness has cosigned nothing yet
    SAME = "same"
    AHEAD = "ahead"  # the folder extends it: the witness was silent for a while
    WAITING = "waiting"  # it has cosigned what waits here for more witnesses
    OLDER = "older"  # a mirror, to which nobody appends, of fewer entries than it has cosigned
    BEHIND = "behind"  # a restored snapshot, or a copy of a folder that went on
    CONTRADICTS = "contradicts"  # another history


@dataclass(frozen=True, slots=True)
class Memory:
    """What the local witness remembers.

    Args:
        key: Its vkey.
        folder: Where it keeps its memory, outside the ledger.
        note: The checkpoint it cosigned last; empty before the first.
        checkpoint: The same, read.
        standing: How the ledger's folder compares with it.
    """

    key: str
    folder: Path
    note: bytes
    checkpoint: Checkpoint | None
    standing: Standing


class SetBack(NamedTuple):
    """A place that has fewer entries than it has shown.

    Args:
        has: How many it has.
        shown: How many it has shown.
    """

    has: int
    shown: int


@dataclass(frozen=True, slots=True)
class KeptStamp:
    """The newest time-stamp of an authority.

    Args:
        authority: As the policy names it.
        size: Entries that it covers.
        time: By when they existed, Unix seconds.
        until: When its certificates end, Unix seconds.
    """

    authority: str
    size: int
    time: int
    until: int


@dataclass(frozen=True, slots=True)
class Status:
    """How a log stands.

    Args:
        origin: Its identity.
        key: Its vkey.
        size: Entries published.
        waiting: Entries that are durable beyond them, and wait for more witnesses.
        root: The root over them.
        checkpoint: The signed note, with the cosignatures it has.
        grade: What those are worth under the adopted policy.
        lacking: Why it is worth nothing, where the policy's quorum is not met.
        cosigned: Names of the policy's witnesses who have cosigned the newest checkpoint.
        silent: Names of the others; those with an address, and a local one, can be asked again.
        objections: What witnesses of the policy said when they refused this log as it is, and have
            not cosigned since.
        writer: Number of the process that writes here; None if nobody does, or it cannot be told.
        is_shared: Whether several processes may append at a time; then `writer` is None.
        writers: Who may append here.
        moved: Where the log was moved to from here; empty if it was not.
        policy: The adopted policy; None if none was adopted on this machine.
        witness: What the local witness remembers; None if there is none.
        stamps: For each authority of the policy the newest time-stamp that is kept; nothing in it
            is checked here.
        following: Key of the log that goes on, if this one has ended.
        set_back_from: How many entries the place has shown already, where it has fewer now.
        split_view: The proof, kept on this machine, that it showed two histories; None without one.
    """

    origin: str
    key: str
    size: int
    waiting: int
    root: Hash
    checkpoint: bytes
    grade: str
    lacking: str
    cosigned: tuple[str, ...]
    silent: tuple[str, ...]
    writer: int | None
    is_shared: bool
    writers: Writers
    moved: str
    policy: TrustPolicy | None
    witness: Memory | None
    stamps: tuple[KeptStamp, ...] = ()
    objections: tuple[Objection, ...] = ()
    following: VerifierKey | None = None
    set_back_from: int | None = None
    split_view: SplitViewError | None = None

    @property
    def is_own(self) -> bool:
        """Whether processes like this one may append: no server is asked, and it is no copy."""
        return self.writers in {Writers.ONE, Writers.ANY}


def read_status(log: Log) -> Status:
    """Find out how a log stands; nothing is written.

    Args:
        log: An open log, as of its last refresh.

    Raises:
        FormatError: a policy, key or checkpoint on this machine is damaged; so `SignatureError`.
        UnavailableError: the disk refuses.
    """
    memory = _read_memory(log)  # at once, as a writer may publish meanwhile
    policy = Trust(log).show() if log.places.trust.exists() else None
    found = find_cosignatures(parse_note(log.checkpoint), policy.witness_keys) if policy else ()
    grade, lacking = _grade(policy, found)
    keys = {key for key, _ in found}
    witnesses = policy.witnesses if policy is not None else ()
    moved, following = log.engine.moved_to(), shard_after(log)
    set_back = find_set_back(log)
    writers = Writers.NOBODY if moved or following is not None else log.engine.writers
    return Status(
        origin=log.origin,
        key=format_vkey(log.key),
        size=log.size,
        waiting=count_waiting(log),
        root=log.root,
        checkpoint=log.checkpoint,
        grade=grade,
        lacking=lacking,
        cosigned=tuple(one.name for one in witnesses if keys.issuperset(one.keys)),
        silent=tuple(one.name for one in witnesses if not keys.issuperset(one.keys)),
        writer=_find_writer(log.folder / "log" / "writer.lock"),
        is_shared=writers in {Writers.ANY, Writers.SERVER},
        writers=writers,
        moved=moved,
        policy=policy,
        witness=memory,
        stamps=() if policy is None else tuple(_read_stamps(log, policy)),
        objections=tuple(
            one
            for one in read_objections(log.places)
            if any(one.witness == each.name for each in witnesses) and _is_about(one, log)
        ),
        following=following,
        set_back_from=None if set_back is None else set_back.shown,
        split_view=kept_split_view(log.keys),
    )


def find_set_back(log: Log) -> SetBack | None:
    """Find out whether the place of a log has fewer entries than it, or its store, has shown."""
    shown, note = log.size, log.engine.shown()
    if note:
        shown = max(shown, parse_checkpoint(parse_note(note).text).size)
    has = log.engine.reached()  # asked last: the place goes on meanwhile
    return None if has is None or has >= shown else SetBack(has, shown)


def count_waiting(log: Log) -> int:
    """Count the entries that are durable in a log's folder, and not published yet."""
    unpublished = log.unpublished()
    return 0 if unpublished is None else unpublished.size - log.size


def check_memory(
    log: Log, *, goes_on: bool = False, may_lag: bool = False
) -> SplitViewError | None:
    """Check that a log is, or extends, what the local witness on this machine remembers of it.

    Nor may the proof lie here that it showed two histories, nor the place have shown more. Without
    such a witness nothing else is checked. What it has cosigned may wait for more witnesses.

    Args:
        log: An open log; it is refreshed where a writer seems to be about to publish.
        goes_on: Whether the proof of two histories keeps nobody from the one that the local
            witness has cosigned: for an operator who has met somebody else's fork of the log.
        may_lag: Whether a mirror may have fewer entries than the local witness has cosigned; that
            they are the first ones of those is not compared then.

    Returns:
        That proof, where it lies here and this is that history.

    Raises:
        SplitViewError: it has another history, or showed two.
        VerificationError: it is behind.
    """
    split = kept_split_view(log.keys)
    if split is not None and not goes_on:
        raise split
    try:
        is_confirmed = _check_places(log, may_lag=may_lag)
    except VerificationError as error:
        raise (split or error) from None
    if split is not None and not is_confirmed:
        raise split
    return split


def _check_places(log: Log, *, may_lag: bool) -> bool:
    """Check that nothing outside the log has more or other entries; tell if the witness has any."""
    set_back = find_set_back(log)
    if set_back is not None:
        raise VerificationError(
            f"{log.engine.name} has {set_back.has} entries, and {set_back.shown} of this log were "
            "shown already: the database was restored from a backup, or is a standby that is "
            "behind",
            hint="Verify the newest database.",
        )
    memory = _read_memory(log)
    if memory is None or memory.checkpoint is None:
        return False
    until = time.monotonic() + _PUBLISHING_S
    about_to_publish = {Standing.OLDER, Standing.BEHIND, Standing.WAITING}
    while (standing := _compare(log, memory.checkpoint)) in about_to_publish:
        if standing is Standing.OLDER and may_lag:
            return False
        if time.monotonic() > until:
            if standing is Standing.WAITING:
                return True
            moved = log.engine.moved_to()
            if moved:
                raise VerificationError(
                    f"the log in {log.engine.name} was moved to {moved}, and went on there: here "
                    f"it has {log.size} entries, and the witness on this machine has cosigned "
                    f"{memory.checkpoint.size}",
                    hint=f"Verify it there: {moved}",
                )
            raise VerificationError(
                f"{log.engine.name} has {log.size} entries, and the witness on this machine has "
                f"cosigned {memory.checkpoint.size} of this log: this is a restored snapshot, or a "
                "copy of a folder that went on",
                hint="Verify the newest copy. If a process was killed while it wrote here, any "
                "command that writes finishes what it began.",
            )
        time.sleep(_PUBLISHING_S / 40)
        log.refresh()
    if standing is Standing.CONTRADICTS:
        raise SplitViewError(
            f"{log.engine.name} has another history than the witness on this machine cosigned "
            f"at size {memory.checkpoint.size}",
            a=log.checkpoint,
            b=memory.note,
            hint="Entries were rewritten, or two copies went on separately; keep both "
            "checkpoints, they are the evidence.",
        )
    return True


def _grade(policy: TrustPolicy | None, found: Sequence[tuple[VerifierKey, int]]) -> tuple[str, str]:
    if policy is None:
        return Grade.SELF_WITNESSED.label, ""
    try:
        grade = check_quorum(policy, found)
    except PolicyError as error:
        return Grade.SELF_WITNESSED.label, str(error)
    return grade.label, ""


def _is_about(one: Objection, log: Log) -> bool:
    """Whether a witness objects to a log as it is: it may have been another copy of the folder."""
    if one.seen is not None and log.size >= one.seen:
        return False
    if log.size < one.size:
        return log.unpublished() == Checkpoint(log.origin, one.size, one.root)
    return log.root_at(one.size) == one.root


def _read_stamps(log: Log, policy: TrustPolicy) -> Iterator[KeptStamp]:
    for authority in policy.authorities:
        kept = kept_stamps(log, authority.name)
        if kept:
            stamped = read_stamp(log, authority.name, kept[-1]).stamped
            yield KeptStamp(authority.name, kept[-1].size, stamped.time, stamped.until)


def _find_writer(path: Path) -> int | None:
    """Read who holds the writer's lock: the file keeps the number of the last one that did."""
    if not path.exists():
        return None
    with reported(f"cannot read {path}"):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # Shared, so that two who ask do not take each other for the writer.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, _PID_BYTES).decode("ascii", "replace").strip()
            return int(holder) if holder.isdigit() else None
        finally:
            os.close(fd)
    return None


def _read_memory(log: Log) -> Memory | None:
    folder = log.places.witness
    if not (folder / "key.vkey").exists():
        return None
    with reported(f"cannot read what the witness in {folder} remembers"):
        key = load_vkey(folder / "key.vkey")
        note = LocalWitness(folder).memory()
    try:
        checkpoint = open_checkpoint(note, log.keys) if note else None
    except SignatureError:
        if not log.engine.moved_to():
            raise
        # Where it is now it was handed over to a key that nobody here knows: it went on there.
        checkpoint = parse_checkpoint(parse_note(note).text)
    return Memory(format_vkey(key), folder, note, checkpoint, _compare(log, checkpoint))


def _compare(log: Log, remembered: Checkpoint | None) -> Standing:
    if remembered is None:
        return Standing.FRESH
    if remembered.size > log.size:
        # The very checkpoint: whatever else the journal holds does not make up for a set-back.
        if log.unpublished() == remembered:
            return Standing.WAITING
        return Standing.OLDER if log.engine.writers is Writers.NOBODY else Standing.BEHIND
    proof = log.consistency(remembered.size)
    try:
        check_extension(remembered.size, remembered.root, log.size, log.root, proof)
    except ProofError:
        return Standing.CONTRADICTS
    return Standing.SAME if remembered.size == log.size else Standing.AHEAD
