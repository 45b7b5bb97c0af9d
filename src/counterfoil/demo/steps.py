"""The steps of the demonstration, on real data and with nothing staged.

Each either comes out as told or raises. `tell` shows them in a terminal and makes the report.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import counterfoil as cf
from counterfoil.core.policy import Succession
from counterfoil.core.principals import Permission, Principal
from counterfoil.core.requirements import DataRules, Mode, Requirement, Stage
from counterfoil.demo import credit
from counterfoil.demo.attacks import NotCaughtError
from counterfoil.errors import RefusedError, UnavailableError
from counterfoil.models.evaluate import Evaluation, evaluate
from counterfoil.models.explain import Explanation

ORGANISATION = "Demonstration Bank"
SYSTEM = "credit"
DATA_NAME = "german-credit"
SPEAKERS = {
    "data-office": ("dataset",),
    "data-science": ("model", "training"),
    "validation": ("evaluation",),
    "risk-a": ("approval", "revocation"),
    "risk-b": ("approval", "revocation"),
    "risk-c": ("approval", "revocation"),
}
"""Principals of the demonstration, and what each may say."""

RISK = ("risk-a", "risk-b", "risk-c")
LEAST_AUC = "0.75"
AFTER_THE_HOLD_S = 26 * 31 * 24 * 3600  # 26 months, a month more than Regulation B asks for


@dataclass(frozen=True, slots=True)
class Scene:
    """What the steps made, for those that come after.

    Args:
        folder: Everything the demonstration makes is below it.
        ledger: The ledger, open.
        data: The data set.
        model: What was trained, on its terms.
        evaluation: How it did on the held-out rows.
        explanation: Its terms on the training rows.
        batch: The decisions.
        refused: The one whose letter was written.
        held_out: The rows that were decided on, with what came true.
    """

    folder: Path
    ledger: cf.Ledger
    data: cf.Dataset
    model: cf.Model
    evaluation: Evaluation
    explanation: Explanation
    batch: cf.DecisionBatch
    refused: cf.Decision
    held_out: Any

    @property
    def letter(self) -> Path:
        """The evidence that the applicant gets."""
        return self.folder / "refusal.html"

    @property
    def policy(self) -> Path:
        """The trust policy, as the citizen got it from elsewhere."""
        return self.folder / "trust.toml"


def make_ledger(folder: Path) -> cf.Ledger:
    """Make an embedded ledger, keys, and a trust policy in enforce mode."""
    ledger = cf.init(folder / "ledger", organisation=ORGANISATION)
    speakers = [
        Principal(
            name,
            ORGANISATION,
            (ledger.add_principal(name),),
            may=tuple(Permission(predicate, "*") for predicate in may),
        )
        for name, may in SPEAKERS.items()
    ]
    first = ledger.policy.show()
    policy = replace(
        first,
        name="Demonstration Bank, credit decisions",
        version=first.version + 1,
        previous=first.digest.hex(),
        quorum=1,
        principals=(*first.principals, *speakers),
        stages=(
            Stage(
                "production",
                Mode.ENFORCE,
                ("skops",),
                (
                    Requirement("training", 1, ("data-science",)),
                    Requirement("evaluation", 1, ("validation",), at_least=(("auc", LEAST_AUC),)),
                    Requirement("approval", 2, RISK),
                ),
            ),
        ),
        data=DataRules(
            Mode.ENFORCE,
            ("training",),
            (Requirement("dataset", 1, ("data-office",)),),
            consent_when_personal=False,
        ),
        succession=Succession(2, RISK),
    )
    ledger.policy.adopt(policy, by=("operator", "risk-a", "risk-b"))
    shutil.copy(ledger.folder / "trust.toml", folder / "trust.toml")
    return ledger


def attest_data(ledger: cf.Ledger) -> cf.Dataset:
    """Fingerprint and attest the data set, and clear it for training under the policy."""
    data = ledger.data.add(
        credit.DATA,
        name=DATA_NAME,
        licence="CC BY 4.0",
        origin="Statlog (German Credit Data), Hans Hofmann, UCI Machine Learning Repository",
        by=("data-office",),
    )
    ledger.data.clear(DATA_NAME, "training", source=credit.DATA)
    return data


def train(ledger: cf.Ledger, data: cf.Dataset) -> tuple[cf.Model, Explanation, Any]:
    """Train an explainable model, and attest the model and how it was trained."""
    rows, held_out = credit.split(credit.load())
    started = _now(ledger)
    trained = credit.train(rows)
    finished = _now(ledger)
    terms = cf.Terms(
        threshold=credit.THRESHOLD,
        outcomes=credit.OUTCOMES,
        positive=1,
        labels=credit.LABELS,
        actions=credit.ACTIONS,
        notice={
            "organisation": ORGANISATION,
            "contact": "credit desk, credit@bank.example, +49 30 0000 0000",
            "contest": "Write to the credit desk within 30 days. A person who was not involved "
            "will look at your application again, with what you add, and answer in writing.",
        },
    )
    model = ledger.models.add(
        trained, name=SYSTEM, trained_on=data, terms=terms, by=("data-science",)
    )
    if model.explainer is None:
        raise NotCaughtError("the model gives no exact reasons")
    explanation = model.explainer.explain(rows[list(credit.FEATURES)])
    reference = explanation.mean(f"the mean of the {len(rows)} training rows")
    model = model.on(replace(terms, reference=reference))
    libraries = ("interpret-core", "scikit-learn", "numpy", "pandas")
    ledger.models.attest_training(
        model,
        {
            "name": SYSTEM,
            "algorithm": "explainable boosting machine, without interactions",
            "parameters": dict(credit.PARAMETERS),
            "seed": credit.SEED,
            "environment": {
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in libraries},
            },
            "code": {
                "name": "counterfoil/demo/credit.py",
                "sha256": sha256(Path(credit.__file__).read_bytes()).hexdigest(),
            },
            "data": [{"name": data.name, "digest": data.digest}],
            "features": list(credit.FEATURES),
            "started": started,
            "finished": finished,
        },
        by=("data-science",),
    )
    return model, explanation, held_out


def test_and_approve(
    ledger: cf.Ledger, data: cf.Dataset, model: cf.Model, held_out: Any
) -> Evaluation:
    """Test on held-out rows, and have two of three principals approve what came out."""
    scores = model.predictor.predict(held_out[list(credit.FEATURES)]).scores
    if scores is None:
        raise NotCaughtError("the model gives no scores")
    evaluation = evaluate(
        held_out[credit.TARGET].tolist(),
        scores.tolist(),
        threshold=credit.THRESHOLD,
        groups=credit.age_groups(held_out["age_years"]),
    )
    ledger.models.attest_evaluation(
        model,
        {
            "data": {"name": f"{data.name}, {len(held_out)} rows held out", "digest": data.digest},
            **evaluation.as_json(),
        },
        by=("validation",),
    )
    for who in RISK[:2]:
        _must_be_refused(ledger)
        ledger.models.approve(SYSTEM, by=(who,), comment="Figures and errors by age group seen.")
    return evaluation


def decide(ledger: cf.Ledger, model: cf.Model, held_out: Any) -> cf.DecisionBatch:
    """Load the model through the gate and decide on the held-out applicants."""
    cleared = ledger.models.load(SYSTEM, terms=model.terms)
    people = range(len(held_out))
    batch: cf.DecisionBatch = cleared.decide(
        held_out[list(credit.FEATURES)],
        data_subjects=[_person(number) for number in people],
        references=[f"application {1001 + number}" for number in people],
        tickets=True,
    )
    return batch


def write_letter(folder: Path, batch: cf.DecisionBatch) -> cf.Decision:
    """Write the letter of one refused applicant whom a single change would have helped."""
    for decision in batch:
        match decision.values:
            case {"output": {"outcome": "refused"}, "reasons": {"recourse": [_, _, *_]}}:
                decision.evidence().save(folder / "refusal.html")
                return decision
    raise NotCaughtError("no refused applicant could have changed the outcome")


def verify_elsewhere(letter: Path, policy: Path) -> dict[str, Any]:
    """Verify the letter in a process that has only the letter and the trust policy."""
    command = (sys.executable, "-m", "counterfoil", "verify")
    with tempfile.TemporaryDirectory() as elsewhere:
        for path in (letter, policy):
            shutil.copy(path, elsewhere)
        done = subprocess.run(  # noqa: S603 our own module on our own file
            [*command, letter.name, "--trust", policy.name, "--json"],
            cwd=elsewhere,
            env={
                "COUNTERFOIL_HOME": str(Path(elsewhere) / "home"),
                "PYTHONPATH": ":".join(path for path in sys.path if path),
            },
            capture_output=True,
            check=False,
            timeout=60,
        )
    if done.returncode != 0:
        raise NotCaughtError(f"the letter does not verify: {(done.stdout + done.stderr).decode()}")
    verdict: dict[str, Any] = json.loads(done.stdout)
    return verdict


@dataclass(frozen=True, slots=True)
class Erasure:
    """What the erasure showed.

    Args:
        person: Whose records.
        refused: Why the first request was refused.
        simulated: The time of the second request, as if.
        final_by: When old backups will open nothing, either.
        not_touched: What no erasure reaches.
        verified: How many proofs about others still verified.
    """

    person: str
    refused: str
    simulated: str
    final_by: str
    not_touched: tuple[str, ...]
    verified: int


def erase_a_person(scene: Scene) -> Erasure:
    """Refuse an erasure while a hold runs, carry it out after that, and verify everybody else."""
    ledger, batch = scene.ledger, scene.batch
    erased = next(one for one in batch if one.index != scene.refused.index)
    kept = [one for one in batch[1:60:12] if one.index not in {erased.index, scene.refused.index}]
    before = [one.evidence() for one in kept]
    person = _person(erased.index)
    basis, approvers = "GDPR Art. 17(1)(a): no longer necessary", ("data protection", "legal")
    try:
        ledger.people.erase(person, basis=basis, approvers=approvers)
    except RefusedError as error:
        refused = "; ".join(error.reasons)
    else:
        raise NotCaughtError("a person was erased while their records had to be kept")
    payload = _payload(ledger, erased)
    clock = ledger.clock
    ledger.clock = lambda: clock() + AFTER_THE_HOLD_S
    try:
        simulated = _now(ledger)
        (certificate,) = ledger.people.erase(person, basis=basis, approvers=approvers)
    finally:
        ledger.clock = clock
    _must_be_gone(scene.folder, ledger, erased, payload)
    for one, evidence in zip(kept, before, strict=True):
        cf.verify(evidence, trust=scene.policy)
        cf.verify(ledger.evidence.make(one), trust=scene.policy)
    cf.verify(scene.letter, trust=scene.policy)
    return Erasure(
        person,
        refused,
        simulated,
        _time(certificate.final_by),
        certificate.not_touched,
        2 * len(kept) + 1,
    )


def _must_be_refused(ledger: cf.Ledger) -> None:
    try:
        ledger.models.load(SYSTEM)
    except RefusedError as error:
        if "approval needs 2" in str(error):
            return
        raise
    raise NotCaughtError("a model with too few approvals was let into production")


def _must_be_gone(folder: Path, ledger: cf.Ledger, erased: cf.Decision, payload: bytes) -> None:
    try:
        ledger.decisions.show(SYSTEM, erased.index)
    except UnavailableError:
        files = [path for path in folder.rglob("*") if path.is_file()]
        if any(payload in path.read_bytes() for path in files):
            raise NotCaughtError("the erased payload still lies on the disk") from None
    else:
        raise NotCaughtError("the erased decision can still be read")


def _payload(ledger: cf.Ledger, decision: cf.Decision) -> bytes:
    """Read a decision's encrypted payload from its file, to look for it after the erasure."""
    folder = ledger.folder / "private" / "streams" / decision.stream.hex()
    ends = (folder / "ends").read_bytes()
    at = 8 * decision.index
    begin = int.from_bytes(ends[at - 8 : at], "little") if at else 0
    end = int.from_bytes(ends[at : at + 8], "little")
    return (folder / "entries").read_bytes()[begin + 4 : end]


def _person(number: int) -> str:
    return f"applicant {1001 + number}"


def _now(ledger: cf.Ledger) -> str:
    return _time(ledger.clock())


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
