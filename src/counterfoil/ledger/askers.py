"""Witnesses of others, asked about one checkpoint at the same time and within a bounded time.

Each has a thread and a mailbox of its own, kept between checkpoints, so that one that is slow,
lies or answers garbage delays nobody else. A thread only talks; what to ask and what an answer is
worth is decided here, by whoever writes the log.

Whoever does not answer in time keeps its question. The answer is taken up with the next
checkpoint, and until there is one, nobody waits for this witness again unless the quorum needs it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from counterfoil.core.checkpoint import Checkpoint
from counterfoil.core.merkle import Hash
from counterfoil.core.note import NoteSignature
from counterfoil.errors import CounterfoilError, ProofError, VerificationError
from counterfoil.ledger.httpwitness import HttpWitness
from counterfoil.ledger.localwitness import RememberedError
from counterfoil.ledger.objections import Objection
from counterfoil.ledger.tree import Tree

COSIGNED_WITHIN_S = 5.0
"""How long a checkpoint waits for the witnesses that are asked about it, all together."""

_MAX_QUESTIONS = 2  # about one checkpoint: with what we think it remembers, with what it says

Lines = tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What all witnesses are asked at once.

    Args:
        tree: Proves that the checkpoint extends what they remember.
        checkpoint: The one they are to cosign.
        text: Its note text.
        note: The note, with the log's own signature alone.
    """

    tree: Tree
    checkpoint: Checkpoint
    text: str
    note: bytes


@dataclass(frozen=True, slots=True)
class _Request:
    """What a thread is to send, and for which checkpoint."""

    text: str
    size: int
    old: int
    proof: tuple[Hash, ...]
    note: bytes


class Asker:
    """One witness, and what is known of it.

    Args:
        name: As the trust policy names it.
        client: How it is reached.
        news: Guards everything here, and wakes who waits for answers.
    """

    def __init__(self, name: str, client: HttpWitness, news: threading.Condition) -> None:
        self.name = name
        self.silence = ""  # why its line is missing under the newest checkpoint
        self.suspicion: CounterfoilError | None = None  # it says that we are behind, or differ
        self.is_late = False  # it did not answer in time, and has not answered since
        self._client, self._news = client, news
        self._size: int | None = None  # what it remembers, as far as we know
        self._held: tuple[str, Lines] = ("", ())  # its newest lines, and the text they are for
        self._text = ""  # of the checkpoint that it is asked about
        self._asked = 0  # how often about this one
        self._request: _Request | None = None
        self._outcome: Lines | Exception | None = None
        self._is_closed = False
        # A daemon: a program that ends does not wait for somebody else's server.
        threading.Thread(target=self._talk, name=f"witness {name}", daemon=True).start()

    def objection(self, checkpoint: Checkpoint) -> Objection | None:
        """Give its objection to the checkpoint that it was asked about, to be remembered."""
        said = self.suspicion
        if said is None:
            return None
        seen = said.size if isinstance(said, RememberedError) else None
        size, root, now = checkpoint.size, checkpoint.root, int(time.time())
        return Objection(self.name, size, root, seen, now, str(said))

    @property
    def lines(self) -> Lines:
        """Its lines under the checkpoint that it is asked about; empty so far."""
        text, lines = self._held
        return lines if text == self._text else ()

    def begin(self, question: Question) -> None:
        """Turn to another checkpoint, or once more to the same."""
        self._text, self._asked = question.text, 0
        self.suspicion, self.silence = None, ""

    def advance(self, question: Question) -> bool:
        """Take up an answer and ask what is left to ask; whether nothing more is to come."""
        if self._request is not None and self._outcome is not None:
            request, outcome = self._request, self._outcome
            self._request = self._outcome = None
            self._take(request, outcome, question)
        if self.lines or self.suspicion or self.silence:
            return True
        if self._request is None:
            self._ask(question)
        return False

    def close(self) -> None:
        """Ask no more; an answer under way is thrown away."""
        with self._news:
            self._is_closed = True
            self._news.notify_all()

    def _ask(self, question: Question) -> None:
        size = question.checkpoint.size
        old = size if self._size is None else min(self._size, size)
        proof = question.tree.consistency_below(old, size)
        self._request = _Request(question.text, size, old, proof, question.note)
        self._asked += 1
        self._news.notify_all()

    def _take(self, request: _Request, outcome: Lines | Exception, question: Question) -> None:
        """Learn from an answer, to this question or to one that it was late for."""
        is_current = request.text == question.text
        size = question.checkpoint.size
        match outcome:
            case tuple():
                self.is_late, self._size = False, request.size
                self._held = (request.text, outcome)
            case RememberedError():
                self.is_late, self._size = False, outcome.size
                if outcome.size > size:
                    self.suspicion = _ahead(self.name, outcome.size, question)
                elif outcome.size == request.old == size:
                    self.suspicion = _differs(self.name, "409", question)
                elif is_current and (outcome.size == request.old or self._asked >= _MAX_QUESTIONS):
                    self.silence = f"it contradicts itself: it says it remembers {outcome.size}"
            case ProofError():
                self.is_late, self._size = False, None
                if is_current:
                    self.suspicion = _differs(self.name, str(outcome), question)
            case CounterfoilError():
                if is_current:
                    self.silence = str(outcome)
            case _:
                raise outcome  # our own bug, raised where somebody sees it

    def _talk(self) -> None:
        while True:
            with self._news:
                while not self._is_closed and (self._request is None or self._outcome is not None):
                    self._news.wait()
                request = self._request
                if self._is_closed or request is None:
                    break
            outcome: Lines | Exception
            try:
                outcome = self._client.add_checkpoint(request.old, request.proof, request.note)
            except Exception as error:  # noqa: BLE001 `_take` raises what is not the witness's
                outcome = error
            with self._news:
                self._outcome = outcome
                self._news.notify_all()
        self._client.close()


def ask_all(
    askers: Sequence[Asker],
    question: Question,
    news: threading.Condition,
    is_enough: Callable[[Lines], bool],
) -> Lines:
    """Ask all of them, and give the lines that came in time.

    Args:
        askers: Who is asked; what each said is in it afterwards.
        question: About what.
        news: That of the askers.
        is_enough: Whether a checkpoint with these lines may be published; then late ones are not
            waited for.

    Raises:
        ConflictError: witnesses say that they have cosigned more, and not more of them follow.
        VerificationError: likewise, that they have cosigned another history.
    """
    deadline = time.monotonic() + COSIGNED_WITHIN_S
    with news:
        for one in askers:
            one.begin(question)
        while True:
            # All of them, so that all are asked before anybody is waited for.
            waiting = [one for one in askers if not one.advance(question)]
            lines = tuple(line for one in askers for line in one.lines)
            left = deadline - time.monotonic()
            if not waiting or left <= 0:
                break
            if all(one.is_late for one in waiting) and is_enough(lines):
                break
            news.wait(left)
        for one in waiting:
            one.is_late = True
            one.silence = f"no answer within {COSIGNED_WITHIN_S:g} s"
        suspicions = [one.suspicion for one in askers if one.suspicion is not None]
        # One word against another: a fork cannot be undone, a halt can. A minority halts nobody.
        if suspicions and len(suspicions) >= sum(bool(one.lines) for one in askers):
            raise suspicions[0]
        for one in askers:
            if one.suspicion is not None:
                one.silence = str(one.suspicion)
    return lines


_HINT = (
    "This is the witness's word, so suspicion and not proof. Proof is the checkpoint that it "
    "cosigned: it bears this log's signature, and its operator can show it. Until you know, do not "
    "append here; if another copy of this ledger is newer, go on with that one. If the witness "
    "errs, adopt a policy that does not ask it."
)


def _ahead(name: str, seen: int, question: Question) -> RememberedError:
    return RememberedError(
        seen,
        f"{question.tree.name} has {question.checkpoint.size} entries, and the witness {name} says "
        f"that it has cosigned {seen}: this is a restored snapshot or a copy of a ledger that went "
        "on, or the witness errs",
        hint=_HINT,
    )


def _differs(name: str, said: str, question: Question) -> VerificationError:
    return VerificationError(
        f"the witness {name} does not follow {question.tree.name} to "
        f"{question.checkpoint.size} entries, as if it had cosigned another history: {said}",
        hint=_HINT,
    )
