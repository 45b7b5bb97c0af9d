"""Asking witnesses: on becoming the writer, and about each new checkpoint.

A folder that is behind what its witness has seen was restored from a snapshot, or is a copy of
one that went on; it must not sign. One whose history differs is a fork.

The local witness is asked before all others, alone: a checkpoint that it refuses leaves this
machine for nobody. Then those of the adopted policy that have an address, all at once. Who has
cosigned in the end decides whether the checkpoint is published, by the same count that verifiers
go by.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from counterfoil.core.callers import callers_level
from counterfoil.core.checkpoint import LogKeys, open_checkpoint
from counterfoil.core.cosignature import find_cosignatures
from counterfoil.core.keys import VerifierKey
from counterfoil.core.note import Note, NoteSignature, format_note, parse_note
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.quorum import Witness, check_quorum
from counterfoil.errors import (
    ConflictError,
    FormatError,
    PolicyError,
    ProofError,
    SplitViewError,
    UnavailableError,
)
from counterfoil.ledger.askers import Asker, Lines, Question, ask_all
from counterfoil.ledger.httpwitness import HttpWitness, lines_that_hold
from counterfoil.ledger.keyfiles import load_vkey
from counterfoil.ledger.localwitness import LocalWitness, RememberedError, WitnessClient
from counterfoil.ledger.objections import note_objections
from counterfoil.ledger.places import Places
from counterfoil.ledger.policyfile import read_policy
from counterfoil.ledger.tree import Tree

LOCAL = "local"  # what `silences` calls the local witness


class UnpublishedError(UnavailableError):
    """Entries are durable, and too few witnesses have cosigned them: nobody is shown them yet."""


class SilentWitnessWarning(UserWarning):
    """The quorum was met without a witness."""


class Witnesses:
    """All whom the writer of a log asks. One writer uses it at a time.

    Args:
        log_keys: The keys that sign the log's checkpoints.
        places: Where the local witness and the adopted policy are, if there are any.
    """

    def __init__(self, log_keys: LogKeys, places: Places) -> None:
        self.log_keys = log_keys
        self._places = places
        self._policy: TrustPolicy | None = None
        self._stamp: tuple[int, int, int] | None = None  # of the file that it was read from
        self._given: TrustPolicy | None = None
        self._local: Countersigner | None = None
        self._client: LocalWitness | None = None
        self._news = threading.Condition()
        self._askers: dict[Witness, Asker] = {}
        # Who has not cosigned the newest checkpoint that all were asked about, by name, and why.
        # Replaced as a whole, as other threads read it while the next one is asked about.
        self.silences: dict[str, str] = {}
        self._warning = threading.Lock()  # guards of whom it was said already
        self._warned: set[str] = set()

    def go_by(self, log_keys: LogKeys) -> None:
        """Ask about checkpoints that these keys sign from now on: the log was handed over."""
        self.close()
        self.log_keys = log_keys

    @contextlib.contextmanager
    def under(self, policy: TrustPolicy) -> Iterator[None]:
        """Go by a policy that is about to be adopted, instead of the adopted one.

        Raises:
            FormatError: it asks for more witnesses than can be asked, and would stop the log.
        """
        own = self._own_key()
        asked = sum(bool(one.url) or one.key == own for one in policy.witnesses)
        if policy.quorum > asked:
            raise FormatError(
                f"the policy asks for {policy.quorum} witnesses, and this log can ask {asked}",
                hint="Give them their url, or lower the quorum.",
            )
        self._given = policy
        try:
            yield
        finally:
            self._given = None

    def refresh(self) -> None:
        """Find out who is to be asked; costs one look at a file unless that has changed.

        Raises:
            FormatError: the adopted policy, or the public half of a key, cannot be read.
            VerificationError: the policy's file is not what was adopted.
        """
        try:
            stat = self._trust.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        except FileNotFoundError:
            stamp = None
        if stamp != self._stamp:
            self._policy = None if stamp is None else read_policy(self._trust)
            self._stamp = stamp
        if self._local is None and self._witness.exists():
            self._client = LocalWitness(self._witness)
            self._local = Countersigner(self._client, self.log_keys, self._client.memory)
        wanted = self._wanted()
        if wanted != self._askers.keys():
            for gone in self._askers.keys() - wanted:
                self._askers.pop(gone).close()
            for new in wanted - self._askers.keys():
                client = HttpWitness(new.url, new.keys)
                self._askers[new] = Asker(new.name, client, self._news)

    def remembered(self) -> bytes:
        """Read the checkpoint that the local witness cosigned last; empty if there is none."""
        self.refresh()
        return b"" if self._client is None else self._client.memory()

    def require_kept(self, tree: Tree, note: bytes, remembered: bytes) -> None:
        """Compare a durable checkpoint with what was remembered before it was read; asks nobody.

        Raises:
            ConflictError: it is behind.
            SplitViewError: what is published is of another history.
        """
        if not remembered:
            return
        checkpoint = open_checkpoint(note, self.log_keys)
        if tree.size < open_checkpoint(remembered, self.log_keys).size <= checkpoint.size:
            return  # its tiles may not be there yet; who leads compares it
        _compare_with_memory(tree, note, remembered, self.log_keys)

    def meet(self, tree: Tree) -> bytes:
        """Find out what they remember, before anything new is signed.

        Returns:
            The published checkpoint, with the lines that it has got.

        Raises:
            ConflictError: this log is behind a witness.
            SplitViewError: it has another history than the local witness cosigned.
            VerificationError: a witness says that it has another history.
        """
        return self._ask(tree, tree.head)[0]

    def countersign(self, tree: Tree, note: bytes) -> bytes:
        """Return a checkpoint that is durable, as it may be published.

        Raises:
            UnpublishedError: fewer than the policy's quorum have cosigned it.
            As `meet`; the checkpoint is then not published.
        """
        countersigned, lacking = self._ask(tree, note)
        if lacking is not None:
            size = open_checkpoint(note, self.log_keys).size
            said = "; ".join(f"{name}: {why}" for name, why in self.silences.items())
            raise UnpublishedError(
                f"the checkpoint of {size} entries is not published: {lacking}"
                + (f" ({said})" if said else ""),
                hint="Its entries are durable. The next append, or `counterfoil log cosign`, asks "
                "again and publishes them; do not append them a second time.",
            ) from lacking
        return countersigned

    def warn_of_silence(self) -> None:
        """Say once of a witness that it is silent: the entries are in, and lack its line.

        The warning is about the line that called this package.
        """
        with self._warning:
            silences = self.silences
            news = silences.keys() - self._warned
            self._warned = set(silences)
        for name in news:
            says = tell_silence(name, silences[name])
            warnings.warn(says, SilentWitnessWarning, stacklevel=callers_level())

    def close(self) -> None:
        """End the local witness's process, and ask nobody any more."""
        for one in self._askers.values():
            one.close()
        self._askers.clear()
        if self._client is not None:
            self._client.close()
        self._local = self._client = None

    # Where they are is worked out once: for each append it would cost more than to hash it.

    @functools.cached_property
    def _trust(self) -> Path:
        return self._places.trust

    @functools.cached_property
    def _witness(self) -> Path:
        return self._places.witness

    def _note_silences(self) -> None:
        silent = {one.name: one.silence for one in self._askers.values() if one.silence}
        if self._local is not None and self._local.silence:
            silent[LOCAL] = self._local.silence
        self.silences = silent

    def _wanted(self) -> set[Witness]:
        """Whom the policy gives an address; but the local one has been asked already."""
        policy = self._given or self._policy
        asked = [one for one in policy.witnesses if one.url] if policy is not None else []
        if not asked:
            return set()
        own = self._own_key()
        return {one for one in asked if one.key != own}

    def _own_key(self) -> VerifierKey | None:
        public = self._witness / "key.vkey"
        return load_vkey(public) if public.exists() else None

    def _ask(self, tree: Tree, note: bytes) -> tuple[bytes, PolicyError | None]:
        """Ask everybody; return the checkpoint with its lines, and what it lacks."""
        self.refresh()
        lines: Lines = ()
        if self._local is not None:
            lines = self._local.ask(tree, note)
        opened = parse_note(note)
        # In the log's own name: by its key, and at a hand-over by the next one.
        own = tuple(one for one in opened.signatures if one.name == self.log_keys.name)
        policy = self._given or self._policy
        if policy is None or not (policy.quorum or self._askers):
            self._note_silences()
            return (format_note(Note(opened.text, (*own, *lines))) if lines else note), None
        bare = format_note(Note(opened.text, own))
        # Lines from here on hold, as far as they are in the name of a witness of the policy. The
        # earlier of two stays: it shows that the checkpoint was there by then.
        known = lines_that_hold(opened.text, (*opened.signatures, *lines), policy.witness_keys)
        others = tuple(line for line in lines if not _is_named(line, policy.witness_keys))

        def complete(new: Lines) -> Note:
            fresh = (line for line in new if not _is_among(line, known))
            return Note(opened.text, (*own, *others, *known, *fresh))

        def lacking(new: Lines) -> PolicyError | None:
            try:
                check_quorum(policy, find_cosignatures(complete(new), policy.witness_keys))
            except PolicyError as error:
                return error
            return None

        if self._askers:
            checkpoint = open_checkpoint(note, self.log_keys)
            question = Question(tree, checkpoint, opened.text, bare)
            askers = list(self._askers.values())
            try:
                new = ask_all(askers, question, self._news, lambda come: lacking(come) is None)
            finally:
                note_objections(
                    self._places,
                    filter(None, (one.objection(checkpoint) for one in askers)),
                    (one.name for one in askers if one.lines),
                )
        else:
            new = ()
        self._note_silences()
        return format_note(complete(new)), lacking(new)


class Countersigner:
    """The local witness, as the log's writer sees it.

    Args:
        client: The witness.
        log_keys: The keys that sign its checkpoints.
        memory: Reads the checkpoint the witness remembers, for the evidence of a fork.
    """

    def __init__(
        self,
        client: WitnessClient,
        log_keys: LogKeys,
        memory: Callable[[], bytes],
    ) -> None:
        self._client = client
        self._log_keys = log_keys
        self._memory = memory
        self._size: int | None = None  # what the witness remembers, as far as we know
        self.silence = ""  # why it did not answer when it was asked last

    def ask(self, tree: Tree, note: bytes) -> Lines:
        """Give its lines under a checkpoint; none if there is no answer.

        Entries are durable by now, so silence is no reason to fail: the receipt's grade shows it,
        and `silence` says why.

        Raises:
            ConflictError: this folder is behind its witness.
            SplitViewError: this folder has another history.
        """
        checkpoint = open_checkpoint(note, self._log_keys)
        try:
            lines = self._ask(tree, checkpoint.size, note)
        except UnavailableError as error:
            # What can be done without it: read what it remembers, and do not go behind.
            if kept := self._memory():
                _compare_with_memory(tree, note, kept, self._log_keys)
            self.silence = str(error)
            return ()
        except ProofError as error:
            raise SplitViewError(
                f"{tree.name} has another history than its witness cosigned",
                a=note,
                b=self._memory(),
                hint="Two copies of this ledger went on separately, or entries were rewritten; "
                "keep both checkpoints, they are the evidence.",
            ) from error
        self._size, self.silence = checkpoint.size, ""
        return lines

    def _ask(self, tree: Tree, size: int, note: bytes) -> tuple[NoteSignature, ...]:
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


def _compare_with_memory(tree: Tree, note: bytes, kept: bytes, keys: LogKeys) -> None:
    """Compare a durable checkpoint with the one that a witness remembers.

    Raises:
        ConflictError: it is behind.
        SplitViewError: it is of another history.
    """
    checkpoint, remembered = open_checkpoint(note, keys), open_checkpoint(kept, keys)
    if remembered.size > checkpoint.size:
        raise _behind(tree, checkpoint.size, remembered.size)
    if tree.root_below(remembered.size) != remembered.root:
        raise SplitViewError(
            f"{tree.name} has another history than its witness cosigned",
            a=note,
            b=kept,
            hint="Keep both checkpoints, they are the evidence.",
        )


def tell_silence(name: str, why: str) -> str:
    """Say of a witness in `Witnesses.silences` what its silence means."""
    if name != LOCAL:
        return f"the witness {name} has not cosigned the newest entries: {why}"
    return (
        f"the local witness has not cosigned the newest entries: {why}; until it does, nobody here "
        "notices if the ledger is set back to before them"
    )


def _behind(tree: Tree, size: int, seen: int) -> ConflictError:
    return ConflictError(
        f"{tree.name} has {size} entries and its witness has seen {seen}: this was "
        "restored from a snapshot, or is a copy of one that went on",
        hint="Do not append here; go on with the newest copy, or start a new log.",
    )


def _is_named(line: NoteSignature, keys: tuple[VerifierKey, ...]) -> bool:
    return any(line.is_named_by(key) for key in keys)


def _is_among(line: NoteSignature, lines: Lines) -> bool:
    """Whether one of `lines` is by the same key."""
    return any((line.name, line.key_id) == (one.name, one.key_id) for one in lines)
