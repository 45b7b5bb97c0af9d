"""Telling the demonstration in a terminal, with progress, and writing its report."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

import counterfoil as cf
from counterfoil.demo import anchor, steps
from counterfoil.demo.attacks import ATTACKS, ON_A_CHAIN, Caught, Target, attack
from counterfoil.demo.chapters import tell_story
from counterfoil.demo.report import format_report
from counterfoil.errors import ConflictError, CounterfoilError
from counterfoil.ledger.disk import reported

HOME = "COUNTERFOIL_HOME"


def run_demo(folder: Path, *, as_json: bool = False) -> int:
    """Run the demonstration from an empty folder.

    Args:
        folder: Everything goes below it, keys and witness included; a former demonstration there
            is replaced, anything else is not.
        as_json: Print one JSON object at the end instead of the story.

    Returns:
        0 if every step came out as told.

    Raises:
        ConflictError: the folder holds something else.
        CounterfoilError: a step did not come out as told.
    """
    _make_room(folder)
    # Keys and witness of a demonstration have no business among the user's own; a program has.
    own = {HOME: str(folder.absolute() / "home"), **anchor.find_program()}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        summary = _Teller(Console(stderr=as_json, highlight=False)).tell(folder)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    if as_json:
        print(json.dumps(summary, indent=2))  # noqa: T201 what --json asks for
    return 0


class _Teller:
    """Runs the steps and says what happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seconds: dict[str, float] = {}

    def tell(self, folder: Path) -> dict[str, object]:
        began = time.perf_counter()
        with self._step("Ledger", "keys, a local witness, a trust policy that enforces"):
            ledger = steps.make_ledger(folder)
        with contextlib.ExitStack() as stack:
            stack.enter_context(ledger)
            place = self._take_place(folder, ledger, stack)
            with self._step("Data", "1,000 real loan applications, fingerprinted and cleared"):
                data = steps.attest_data(ledger)
            with self._step("Training", "an explainable model; code, seed and libraries attested"):
                model, explanation, held_out = steps.train(ledger, data)
            with self._step("Test and approval", "refused until two of three have approved"):
                evaluation = steps.test_and_approve(ledger, data, model, held_out)
            self._say(f"AUC {evaluation.auc:.3f}; {evaluation.errors.rate:.0%} wrong decisions")
            with self._step("Decisions", f"{len(held_out)} applicants, exact reasons, tickets"):
                batch = steps.decide(ledger, model, held_out)
            anchored = self._anchor(place)
            with self._step("Letter", "for one refused applicant; the letter is the evidence"):
                refused = steps.write_letter(folder, batch)
            scene = steps.Scene(
                folder, ledger, data, model, evaluation, explanation, batch, refused, held_out
            )
            with self._step("Verification", "elsewhere: only the letter and the trust policy"):
                verdict = steps.verify_elsewhere(scene.letter, scene.policy)
            for heading, colour, part in (
                ("proved", "green", "proved"),
                ("not checked", "yellow", "not_checked"),
                ("still to be trusted", "yellow", "trust"),
            ):
                self._say(f"[{colour}]{heading}[/]")
                for said in verdict[part]:
                    self._say(f"  {said}")
            self._say(f"grade: [bold]{verdict['grade']}[/]")
            caught = self._attack(scene, place)
            with self._step("Erasure", "of one person"):
                erasure = steps.erase_a_person(scene)
            self._say(f"today: refused. {erasure.refused}")
            self._say(
                f"as if on {erasure.simulated[:10]} (simulated): erased; final by "
                f"{erasure.final_by[:10]}; {erasure.verified} proofs about others still verify"
            )
            with self._step("Report", "for whoever answers for the risk"):
                story = tell_story(
                    scene, verdict, caught, erasure, anchored=anchored, seconds=self._seconds
                )
                (folder / "report.html").write_bytes(format_report(story))
        total = time.perf_counter() - began
        self._farewell(scene, total)
        return {
            "seconds": round(total, 2),
            "entries": story.ledger.size,
            "auc": round(evaluation.auc, 4),
            "verdict": verdict,
            "attacks": [asdict(one) for one in caught],
            "erasure": asdict(erasure),
            "anchored": None if anchored is None else asdict(anchored),
            "files": {
                "letter": str(scene.letter),
                "policy": str(scene.policy),
                "report": str(folder / "report.html"),
            },
        }

    def _take_place(
        self, folder: Path, ledger: cf.Ledger, stack: contextlib.ExitStack
    ) -> anchor.Place | None:
        """Start a chain, where that can be."""
        start = time.perf_counter()
        with self._console.status("Chain: one of this machine"):
            place = anchor.take_place(folder, ledger, steps.RISK[:2], stack)
        if isinstance(place, str):
            self._console.print(
                f"[yellow]-[/] [bold]Chain[/] none, so nothing is anchored: {escape(place)}"
            )
            return None
        self._done("Chain", "of this machine, with one operator", start)
        return place

    def _anchor(self, place: anchor.Place | None) -> anchor.Anchored | None:
        if place is None:
            return None
        with self._step("Anchor", "the log's root in a contract that only lets it grow"):
            anchored = place.anchor()
        self._say(f"{anchored.size} entries, block {anchored.block}, {anchored.gas:,} gas")
        self._say(f"[green]proves[/] {anchor.PROVES}")
        self._say(f"[yellow]does not prove[/] {anchor.PROVES_NOT}")
        return anchored

    def _attack(self, scene: steps.Scene, place: anchor.Place | None) -> list[Caught]:
        target = Target(
            scene.ledger,
            scene.folder,
            steps.SYSTEM,
            scene.letter,
            scene.policy,
            scene.batch[42],
            place,
        )
        self._console.print("\n[bold]Attacks[/]")
        caught: list[Caught] = []
        start = time.perf_counter()
        for one in (*ATTACKS, *(ON_A_CHAIN if place is not None else ())):
            caught.append(attack(target, one))
            self._say(f"[green]caught[/] {caught[-1].attack}  [dim]by {caught[-1].by}[/]")
        self._seconds["Attacks"] = time.perf_counter() - start
        return caught

    def _farewell(self, scene: steps.Scene, total: float) -> None:
        letter, policy = _short(scene.letter), _short(scene.policy)
        self._console.print(
            f"\n[bold green]Every step came out as told, in {total:.0f} s.[/] Now it is your "
            f"turn:\n  open [bold]{letter}[/] and [bold]{_short(scene.folder / 'report.html')}[/]\n"
            "  change one figure in the letter with any editor, then\n"
            f"  [bold]{_command()} verify {letter} --trust {policy}[/]",
            soft_wrap=True,  # a command broken over two lines cannot be pasted
        )

    def _say(self, words: str) -> None:
        self._console.print(Padding(words, (0, 0, 0, 4)))

    @contextlib.contextmanager
    def _step(self, name: str, what: str) -> Iterator[None]:
        start = time.perf_counter()
        with self._console.status(f"{name}: {what}"):
            try:
                yield
            except CounterfoilError:
                self._console.print(f"[bold red]x {name}[/] {what}")
                raise
        self._done(name, what, start)

    def _done(self, name: str, what: str, start: float) -> None:
        self._seconds[name] = time.perf_counter() - start
        took = f"[dim]{self._seconds[name]:.1f} s[/]"
        self._console.print(f"[green]\N{CHECK MARK}[/] [bold]{name}[/] {what}  {took}")


def _make_room(folder: Path) -> None:
    """Begin in an empty folder; only what a former demonstration made is thrown away."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not (folder / "home").is_dir() or not (folder / "ledger").is_dir():
            raise ConflictError(
                f"{folder} is there and is no former demonstration",
                hint="Give another folder with `--folder`.",
            )
        shutil.rmtree(folder)
    with reported(f"cannot make {folder}"):
        folder.mkdir(parents=True, exist_ok=True)


def _command() -> str:
    """Name the command as the user can type it, in a virtual environment not activated too."""
    found = shutil.which("counterfoil")
    beside = Path(sys.executable).with_name("counterfoil")
    return "counterfoil" if found or not beside.exists() else _short(beside)


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.absolute().relative_to(Path.cwd()))
    return str(path)
