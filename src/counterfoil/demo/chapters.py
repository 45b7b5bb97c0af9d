"""The report's contents, from what the steps of the demonstration made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from counterfoil.core.keys import format_vkey
from counterfoil.demo import credit, plots
from counterfoil.demo.anchor import PROVES, PROVES_NOT, Anchored
from counterfoil.demo.attacks import Caught
from counterfoil.demo.steps import DATA_NAME, ORGANISATION, SYSTEM, Erasure, Scene
from counterfoil.demo.story import (
    Attack,
    Card,
    LedgerState,
    Section,
    Story,
    Table,
    Timing,
)
from counterfoil.demo.story import Erasure as ErasureRow
from counterfoil.models.evaluate import Share
from counterfoil.models.explain import rank_reasons


def tell_story(
    scene: Scene,
    verdict: Mapping[str, Any],
    caught: Sequence[Caught],
    erasure: Erasure,
    *,
    anchored: Anchored | None,
    seconds: Mapping[str, float],
) -> Story:
    """Put the report together.

    Args:
        scene: What the steps made.
        verdict: Of the letter, as the separate process gave it.
        caught: The attacks.
        erasure: What erasing a person showed.
        anchored: The log's place on a chain of this machine; None where there was none.
        seconds: Of each step, by its name.
    """
    ledger, evaluation = scene.ledger, scene.evaluation
    refused = sum(_outcome(one.values) == "refused" for one in scene.batch)
    people = len(scene.batch)
    return Story(
        title="What was decided, and how anybody can check it",
        organisation=ORGANISATION,
        generated=datetime.fromtimestamp(ledger.clock(), UTC).strftime("%-d %B %Y, %H:%M UTC"),
        summary=(
            f"An explainable model decided on {people} loan applications and refused {refused}. "
            f"Data, training, test, approvals and every decision are on a ledger; one refused "
            f"applicant's letter was verified offline; {len(caught)} attempts to falsify the "
            "record were all noticed. Everything ran on this machine, on real data."
        ),
        ledger=LedgerState(
            ledger.origin,
            format_vkey(ledger.key),
            ledger.size,
            ledger.root.hex(),
            ledger.policy.show().digest.hex(),
            str(verdict["grade"]),
        ),
        cards=(
            Card("Decisions", str(people), f"{refused} refused, each with exact reasons"),
            Card("Area under the curve", f"{evaluation.auc:.2f}", f"on {people} held-out rows"),
            Card("Attacks caught", f"{len(caught)} of {len(caught)}", "see by what, below"),
            Card("Ledger entries", str(ledger.size), "for all of this"),
        ),
        lineage="lineage",
        sections=(
            _data(scene),
            _model(scene),
            _decisions(scene),
            _letter(scene, verdict),
            _chain(anchored),
        ),
        attacks=tuple(
            Attack(one.attack, True, f"{one.by}: {one.said}", one.seconds) for one in caught
        ),
        erasures=(
            ErasureRow(f"{erasure.person}, today", False, erasure.refused),
            ErasureRow(
                f"{erasure.person}, on {erasure.simulated[:10]} (simulated time)",
                True,
                "Key and payload are overwritten; old backups open nothing after "
                f"{erasure.final_by[:10]}. {erasure.verified} proofs about others, older ones too, "
                "still verify.",
            ),
        ),
        not_proven=(
            *map(str, verdict["not_checked"]),
            "That the model is a good one: its figures are stated by who tested it.",
            *(f"Erasure does not reach {what}." for what in erasure.not_touched[:4]),
        ),
        trust=tuple(map(str, verdict["trust"])),
        timings=tuple(Timing(name, value) for name, value in seconds.items()),
        plots=_plots(scene),
    )


def _data(scene: Scene) -> Section:
    about = scene.data.about
    rows = (
        ("Rows", str(about["rows"])),
        ("Licence", str(about["licence"])),
        ("Source", str(about["source"])),
        ("Salted fingerprint", scene.data.digest),
        ("Attested by", "data-office"),
        ("Log entry", str(scene.data.index)),
    )
    return Section(
        "The data",
        "Statlog German Credit: 1,000 people who borrowed, and whether they paid back. The log "
        "holds a salted root, so that nobody can guess a row from it.",
        (Table(DATA_NAME, ("", ""), rows),),
    )


def _model(scene: Scene) -> Section:
    evaluation = scene.evaluation
    figures = (
        ("Area under the ROC curve", f"{evaluation.auc:.3f}"),
        ("Brier score", f"{evaluation.brier:.3f}"),
        ("Wrong decisions", f"{evaluation.errors.count} of {evaluation.errors.of}"),
    )
    groups = tuple(
        (
            group.group,
            str(group.errors.of),
            _with_interval(group.errors),
            _with_interval(group.good_turned_down),
        )
        for group in evaluation.groups
    )
    return Section(
        "The model",
        f"An explainable boosting machine without interactions, {len(credit.FEATURES)} attributes; "
        "age and what touches on nationality are not among them. It was let into production after "
        "validation and two of three risk principals had signed; before the second, the gate "
        "refused it.",
        (
            Table(f"{SYSTEM}, SHA-256 {scene.model.digest}", ("Figure", "Value"), figures),
            Table(
                "Errors by age group, with 95 % intervals",
                ("Age", "People", "Wrong decisions", "Good cases turned down"),
                groups,
                frozenset({1, 2, 3}),
            ),
        ),
        (
            ("calibration", "Whether the score means what it says"),
            ("groups", "Who bears the errors; wide intervals mean few people"),
        ),
    )


def _decisions(scene: Scene) -> Section:
    rows = []
    for decision in scene.batch[:12]:
        match decision.values:
            case {
                "output": {"outcome": str(outcome), "score": float(score)},
                "reasons": {"terms": [{"label": str(label), "value": value}, *_]},
            }:
                told = f"{label}: {value}" if outcome == "refused" else ""
                rows.append((str(decision.index), outcome, f"{score:.3f}", told))
    return Section(
        "The decisions",
        "Each is a record of salted commitments in the model's own stream; the log holds only the "
        "stream's roots. The score is the chance of being repaid; from 0.5 on the loan is granted.",
        (
            Table(
                f"The first {len(rows)}",
                ("Record", "Outcome", "Score", "Reason that counted most"),
                tuple(rows),
                frozenset({0, 2}),
            ),
        ),
        (("scores", "Scores of all decisions, by what really came true"),),
    )


def _letter(scene: Scene, verdict: Mapping[str, Any]) -> Section:
    rows = tuple((f"{number}", said) for number, said in enumerate(verdict["proved"], 1))
    return Section(
        "One letter",
        f"Record {scene.refused.index} was refused. The letter, refusal.html, is itself the "
        "evidence: a separate process with nothing but the letter and the trust policy found this "
        "proven.",
        (Table("Proved", ("", ""), rows),),
        (("contributions", "What counted for and against this applicant, exactly"),),
    )


def _chain(anchored: Anchored | None) -> Section:
    if anchored is None:
        return Section(
            "The chain",
            "Nothing is anchored: there was no chain on this machine. What an anchor adds: "
            f"{PROVES}.",
        )
    rows = (
        ("Entries under the anchored root", f"{anchored.size:,}"),
        ("Block", str(anchored.block)),
        ("Gas, however many entries it covers", f"{anchored.gas:,}"),
    )
    return Section(
        "The chain",
        f"The log is anchored on a development chain of this machine. It proves that {PROVES}. It "
        f"does not prove {PROVES_NOT}.",
        (Table("Anchor", ("", ""), rows),),
    )


def _plots(scene: Scene) -> dict[str, str]:
    model = scene.model
    rows = scene.held_out[list(credit.FEATURES)]
    prediction = model.predictor.predict(rows)
    assert model.explainer is not None  # noqa: S101 training made sure
    assert model.terms.reference is not None  # noqa: S101 likewise
    assert prediction.scores is not None  # noqa: S101 likewise
    explained = model.explainer.explain(rows).against(model.terms.reference)
    ranked = rank_reasons(explained, prediction.table, credit.LABELS)
    return {
        "lineage": plots.lineage(
            (
                plots.Step("Data", (f"{scene.data.about['rows']} rows", "cleared for training")),
                plots.Step("Training", ("attested: code, seed,", "parameters, libraries")),
                plots.Step("Test", (f"AUC {scene.evaluation.auc:.2f}", "errors by age group")),
                plots.Step("Approval", ("2 of 3 principals",)),
                plots.Step("Gate", ("enforced, recorded",)),
                plots.Step("Decisions", (f"{len(scene.batch)} records", "exact reasons")),
                plots.Step("Log", (f"{scene.ledger.size} entries", "one signed root")),
                plots.Step("Witness", ("cosigned: only ever", "grew")),
            )
        ),
        "calibration": plots.calibration(scene.evaluation.calibration),
        "groups": plots.group_errors(scene.evaluation.groups),
        "scores": plots.score_histogram(
            prediction.scores.tolist(), scene.held_out[credit.TARGET].tolist(), credit.THRESHOLD
        ),
        "contributions": plots.contributions(ranked[scene.refused.index]),
    }


def _with_interval(share: Share) -> str:
    return f"{share.rate:.0%} ({share.low:.0%} to {share.high:.0%})"


def _outcome(values: Mapping[str, Any]) -> object:
    output = values.get("output")
    return output.get("outcome") if isinstance(output, dict) else None
