"""Attacks on the demonstration's ledger, each of which somebody notices.

An attack returns what was said when it was caught, or raises `NotCaughtError`, and then the whole
demonstration fails. Files it changes, it puts back.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sklearn.linear_model import LogisticRegression

import counterfoil as cf
from counterfoil.core.checkpoint import check_same_history
from counterfoil.core.ticket import check_ticket_leaf
from counterfoil.decisions.stream import DecisionStream
from counterfoil.demo import credit
from counterfoil.demo.anchor import Place
from counterfoil.demo.forger import rewritten_log, stream_without
from counterfoil.errors import (
    ConflictError,
    CounterfoilError,
    PolicyError,
    RefusedError,
    SplitViewError,
    VerificationError,
)
from counterfoil.ledger.log import Log


class NotCaughtError(CounterfoilError):
    """An attack went through, or was caught by something else than what should have."""

    exit_code = 12


@dataclass(frozen=True, slots=True)
class Caught:
    """An attack and its end.

    Args:
        attack: What was done.
        by: Who or what noticed.
        said: What was said then.
        seconds: How long the check took.
    """

    attack: str
    by: str
    said: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Target:
    """What is attacked.

    Args:
        ledger: The ledger.
        folder: The demonstration's folder.
        system: The model's name.
        letter: The evidence handed out.
        policy: The trust policy as a citizen got it.
        decision: One of the decisions, with its ticket.
        place: Where the ledger is anchored, if it is.
    """

    ledger: cf.Ledger
    folder: Path
    system: str
    letter: Path
    policy: Path
    decision: cf.Decision
    place: Place | None = None


def flip_a_label(target: Target) -> None:
    """One label flipped in the data set."""
    copy = target.folder / "flipped.csv"
    lines = credit.DATA.read_text().splitlines(keepends=True)
    row = lines[417].rstrip("\n")
    lines[417] = row[:-1] + ("0" if row[-1] == "1" else "1") + "\n"
    copy.write_text("".join(lines))
    try:
        target.ledger.data.check("german-credit", copy)
    finally:
        copy.unlink()


def change_the_model_file(target: Target) -> None:
    """One byte of the model's file changed."""
    version = target.ledger.models.show(target.system)
    path = target.ledger.folder / "private" / "models" / version.digest
    with _changed(path, path.stat().st_size // 2):
        target.ledger.models.load(target.system)


def use_an_unapproved_model(target: Target) -> None:
    """A model nobody approved put into production."""
    rows, _ = credit.split(credit.load())
    quick = LogisticRegression().fit(rows[["duration_months", "amount_dm"]], rows[credit.TARGET])
    model = target.ledger.models.add(quick, name="credit-fast-lane")
    target.ledger.models.load(model.name)


def edit_a_stored_decision(target: Target) -> None:
    """A stored decision edited."""
    folder = target.ledger.folder / "private" / "streams" / target.decision.stream.hex()
    length = (folder / "entries").stat().st_size
    place = length * target.decision.index // 300 + 1000
    with _changed(folder / "entries", place):
        for index in range(max(0, target.decision.index - 3), target.decision.index + 3):
            target.ledger.decisions.show(target.system, index)


def leave_a_decision_out(target: Target) -> None:
    """A ticketed decision left out of the batch."""
    ledger, decision = target.ledger, target.decision
    stream = DecisionStream.open(ledger, target.system, write=False)
    try:
        leaves = [stream.store.leaf(index) for index in range(stream.store.size)]
        declaration = stream.declaration
    finally:
        stream.close()
    batch, leaf, path = stream_without(
        ledger, declaration, leaves, decision.index, int(ledger.clock())
    )
    assert decision.ticket is not None  # noqa: S101 the story asked for tickets
    check_ticket_leaf(decision.ticket, declaration, batch, leaf, path)


def rewrite_an_old_entry(target: Target) -> None:
    """An old log entry rewritten, and re-signed with the operator's own key."""
    with _forged(target, change=3, size=target.ledger.size) as forged, cf.open(forged) as ledger:
        ledger.append(b"business as usual")


def cut_the_tail(target: Target) -> None:
    """The log's tail cut off."""
    with (
        _forged(target, change=None, size=target.ledger.size - 4) as forged,
        cf.open(forged) as ledger,
    ):
        ledger.append(b"business as usual")


def show_a_fork(target: Target) -> None:
    """A fork shown to another reader."""
    size = target.ledger.size
    with _forged(target, change=5, size=size) as forged, cf.open(forged) as other:
        check_same_history(target.ledger.checkpoint, other.checkpoint, target.ledger.key)


def rewrite_with_every_key(target: Target) -> None:
    """The log rewritten with all its keys, its witness's memory with it."""
    assert target.place is not None  # noqa: S101 it is run only where there is a chain
    with _forged(target, change=3, size=target.ledger.size) as forged, Log(forged) as log:
        # A reader asks no witness: what is shown is a whole, signed log of the same name.
        target.place.compare(log)


def make_a_parallel_world(target: Target) -> None:
    """A complete parallel log with its own sham witnesses and policy."""
    folder = target.folder / "parallel"
    try:
        with cf.init(folder, organisation="A bank with a familiar name") as sham:
            model = sham.models.add(_always_refuse, name=target.system)
            letter = model.decide([[1.0], [2.0]])[0].evidence().save(target.folder / "sham.html")
            mine = folder / "trust.toml"
            if not cf.verify(letter, trust=mine).trusted:
                raise NotCaughtError("the parallel log does not even hold together")
        cf.verify(letter, trust=target.policy)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        (target.folder / "sham.html").unlink(missing_ok=True)


def change_a_figure(target: Target) -> None:
    """One figure changed in the letter."""
    page = target.letter.read_text()
    found = re.search(r'data-field="inputs\.amount_dm"[^>]*>([0-9,.]+)', page)
    if found is None:
        raise NotCaughtError("the letter does not show the amount of the loan")
    figure = found[1]
    changed = figure[:-1] + ("1" if figure[-1] != "1" else "2")
    page = page[: found.start(1)] + changed + page[found.end(1) :]
    cf.verify(page.encode(), trust=target.policy)


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack, and what must notice it.

    Args:
        run: Does it, and lets whoever should notice look.
        error: What must be raised.
        by: Who notices, in words.
        words: What must be said.
    """

    run: Callable[[Target], None]
    error: type[CounterfoilError]
    by: str
    words: str


ATTACKS = (
    Attack(
        change_a_figure, VerificationError, "the letter, rendered again from its proof", "amount"
    ),
    Attack(flip_a_label, VerificationError, "the fingerprint of the data set", "row 417"),
    Attack(change_the_model_file, VerificationError, "the gate, before loading", "SHA-256"),
    Attack(use_an_unapproved_model, RefusedError, "the gate of production", "approval needs 2"),
    Attack(edit_a_stored_decision, VerificationError, "the record's leaf in the stream", ""),
    Attack(leave_a_decision_out, SplitViewError, "the applicant's ticket", "another record lies"),
    Attack(rewrite_an_old_entry, SplitViewError, "the witness", "another history"),
    Attack(cut_the_tail, ConflictError, "the witness", "its witness has seen"),
    Attack(show_a_fork, SplitViewError, "two readers comparing checkpoints", ""),
    Attack(make_a_parallel_world, PolicyError, "the citizen's own trust policy", "trust policy"),
)

ON_A_CHAIN = (
    Attack(
        rewrite_with_every_key,
        VerificationError,
        "the contract on the chain",
        "the chain holds another root",
    ),
)
"""Attacks that only an anchor is held against."""


def attack(target: Target, one: Attack) -> Caught:
    """Run an attack and see it caught.

    Raises:
        NotCaughtError: it was not, or not by what should have noticed.
    """
    what = (one.run.__doc__ or "").rstrip(".")
    start = time.perf_counter()
    try:
        one.run(target)
    except one.error as error:
        if one.words not in str(error):
            raise NotCaughtError(f"{what}: caught, and what was said is {error}") from error
        return Caught(what, one.by, str(error), time.perf_counter() - start)
    raise NotCaughtError(f"{what}: nobody noticed")


def _always_refuse(rows: list[list[float]]) -> list[str]:
    return ["refused" for _ in rows]


@contextlib.contextmanager
def _changed(path: Path, place: int) -> Iterator[None]:
    """Flip one bit of a file for a while."""
    data = path.read_bytes()
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    try:
        yield
    finally:
        path.write_bytes(data)


@contextlib.contextmanager
def _forged(target: Target, *, change: int | None, size: int) -> Iterator[Path]:
    folder = target.folder / "forged"
    try:
        yield rewritten_log(target.ledger, folder, change, size)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
