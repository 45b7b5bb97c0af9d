from __future__ import annotations

import functools
import pickle
import re
from dataclasses import replace
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import counterfoil as cf
from counterfoil.core.requirements import Mode
from counterfoil.core.statement import Subject
from counterfoil.models.formats import SKOPS
from counterfoil.models.skopsfiles import unnamed

ROWS = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0], [-2.0, 1.0]])


def answer(rows):
    return ["yes" for _ in rows]


@pytest.fixture
def ledger(tmp_path):
    """A new ledger, in observe mode."""
    with cf.init(tmp_path / "ledger") as ledger:
        yield ledger


def trained(**settings):
    return LogisticRegression(**settings).fit(ROWS, [1, 0, 1, 0])


def test_the_same_model_is_one_version(ledger):
    """A script that is run again adds nothing; another model is the next version."""
    first = ledger.models.add(trained(), name="m")
    again = ledger.models.add(trained(), name="m")
    assert (again.version, again.digest, again.format) == ("1", first.digest, "skops")
    assert ledger.models.add(trained(C=0.01), name="m").version == "2"
    assert ledger.models.add(answer, name="f").version == "1"
    assert ledger.models.add(answer, name="f").version == "1"


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (RandomForestClassifier, {"n_estimators": 10}),
        (ExtraTreesClassifier, {"n_estimators": 10}),
        (GradientBoostingClassifier, {"n_estimators": 10}),
        (MLPClassifier, {}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*reached and the optimization")
def test_the_same_forest_is_one_version(ledger, kind, settings):
    """Added again, trained again with the same seed, or read from another file of it."""

    def grown(seed):
        return kind(random_state=seed, **settings).fit(ROWS, [1, 0, 1, 0])

    first = grown(1)
    again = SKOPS.dump(first)
    path = ledger.folder.parent / "again.skops"
    path.write_bytes(again)
    added = [ledger.models.add(one, name="m") for one in (first, first, grown(1))]
    added.append(ledger.models.add(path, name="m", trust=SKOPS.types(again)))
    assert {(one.version, one.digest) for one in added} == {("1", added[0].digest)}
    assert ledger.models.add(grown(2), name="m").version == "2"


def test_a_file_that_shares_what_was_not_shared_is_another_version():
    """Skops gives what has one number once: the text beside a number seen before says nothing."""
    data = SKOPS.dump(trained())
    with ZipFile(BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = members["schema.json"].decode()
    first, *_, last = re.findall('"__id__": ([0-9]+)', schema)
    forms = []
    for one in (schema, schema.replace(last, "7"), schema.replace(last, first)):
        made = BytesIO()
        with ZipFile(made, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, one if name == "schema.json" else content)
        forms.append(unnamed(made.getvalue()))
    assert forms[0] == forms[1] != forms[2]


def test_a_model_is_stated_with_the_method_that_its_letters_name(ledger):
    """What the log says of its reasons is what a record of a decision says."""
    model = ledger.models.add(trained(), name="m")
    recorded = model.decide(ROWS)[0].values["reasons"]
    assert ledger.models.show("m").about["reasons"] == recorded["method"] == "linear-terms"
    ledger.models.add(answer, name="f")
    assert ledger.models.show("f").about["reasons"] is None


def test_what_decides_is_what_was_hashed(ledger):
    """Changing the caller's object afterwards changes no decision."""
    mine = trained()
    model = ledger.models.add(mine, name="m")
    before = model.decide(ROWS).output
    mine.coef_[:] = -mine.coef_
    assert list(model.decide(ROWS).output) == list(before)


def test_a_model_known_by_another_digest_is_no_version(ledger, tmp_path):
    """A statement about what has no SHA-256 keeps nobody from listing and verifying the others."""
    model = ledger.models.add(trained(), name="m")
    other = Subject("m", {"sha512": "ab" * 64})
    ledger.attest([other], "model", {"format": "skops"}, by=("operator",))
    ledger.attest(
        [replace(other, name="n"), model.subject], "model", {"format": "skops"}, by=("operator",)
    )
    ledger.attest([other], "promotion", {"stage": "production"}, by=("operator",))
    assert ledger.models.load("m").version == "1"
    ledger.attest([model.subject], "revocation", {"reason": "stolen"}, by=("operator",))
    assert [one.digest for one in ledger.models.list("m")] == [model.digest]
    assert ledger.models.show("m").digest == model.digest
    file = tmp_path / "m.skops"
    file.write_bytes(model.predictor and SKOPS.dump(model.predictor.model))
    with pytest.raises(cf.CounterfoilError):
        cf.verify(file, ledger=ledger.folder)


def test_a_changed_model_file_is_not_loaded(ledger):
    """One bit is enough, and the digests are named."""
    model = ledger.models.add(trained(), name="m")
    path = ledger.folder / "private" / "models" / model.digest
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(cf.VerificationError, match="not the one that was attested"):
        ledger.models.load("m")
    path.unlink()
    with pytest.raises(cf.UnavailableError):
        ledger.models.load("m")


def test_a_function_is_hashed_by_its_code_and_must_be_brought_along(ledger):
    """Another function under its name is refused; that its digest says little is on record."""
    model = ledger.models.add(answer, name="f")
    assert ledger.models.show("f").about["verifiable"] is False
    assert ledger.models.load("f", predictor=answer).digest == model.digest
    with pytest.raises(cf.VerificationError, match="the source of f 1 is not the one"):
        ledger.models.load("f", predictor=lambda rows: ["no"] * len(rows))
    with pytest.raises(cf.FormatError, match="only exists as a function"):
        ledger.models.load("f")
    assert ledger.models.add(functools.partial(answer), name="p").format == "callable"


def test_a_pickle_is_opened_only_where_the_policy_names_it(ledger, tmp_path):
    """In whatever mode: opening a pickle runs it, so the policy has to say that it may be."""
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(trained()))
    with pytest.warns(UserWarning, match="opening it runs"):
        assert ledger.models.add(path, name="m").format == "pickle"
    policy = ledger.policy.show()
    stages = tuple(replace(one, formats=("skops",), mode=Mode.OBSERVE) for one in policy.stages)
    ledger.policy.adopt(replace(policy, version=2, previous=policy.digest.hex(), stages=stages))
    for act in (lambda: ledger.models.load("m"), lambda: ledger.models.add(path, name="n")):
        with pytest.raises(cf.RefusedError, match="pickle"):
            act()


def test_what_is_no_model_is_said_to_be_none(ledger):
    """Numbers, classes and weights without a function are refused before anything is written."""
    before = ledger.size
    for wrong in (42, LogisticRegression, {"weights": ROWS}):
        with pytest.raises(cf.FormatError):
            ledger.models.add(wrong, name="m")
    with pytest.raises(cf.FormatError, match="no data set"):
        ledger.models.add(answer, name="m", trained_on="nothing")
    assert ledger.size == before


def test_a_revoked_model_comes_back_only_by_name_of_its_revocation(ledger):
    """In enforce mode, a revocation stands against every approval that does not know of it."""
    ledger.models.add(trained(), name="m")
    policy = ledger.policy.show()
    stages = tuple(
        replace(one, mode=Mode.ENFORCE, requirements=one.requirements[1:]) for one in policy.stages
    )
    ledger.policy.adopt(replace(policy, version=2, previous=policy.digest.hex(), stages=stages))
    with pytest.raises(cf.RefusedError, match="approval needs 1"):
        ledger.models.load("m")
    ledger.models.approve("m", by=("operator",))
    assert ledger.models.load("m").version == "1"
    revoked = ledger.models.revoke("m", "worse than we thought")
    with pytest.raises(cf.RefusedError, match=f"revoked at index {revoked.index}"):
        ledger.models.load("m")
    ledger.models.approve("m", by=("operator",))
    with pytest.raises(cf.RefusedError):
        ledger.models.load("m")
    ledger.models.approve("m", by=("operator",), after=revoked.index)
    assert len(ledger.models.load("m").decide(ROWS)) == 4


TREE = "sklearn.tree._tree.Tree"
MIXED = ColumnTransformer([("a", StandardScaler(), [0]), ("b", OneHotEncoder(), [1])])
MANY = np.vstack([ROWS] * 8)


@pytest.mark.parametrize(
    ("estimator", "needs_a_word"),
    [
        (DecisionTreeClassifier(), True),
        (RandomForestClassifier(3), True),
        (ExtraTreesClassifier(3), True),
        (GradientBoostingClassifier(n_estimators=3), True),
        (HistGradientBoostingClassifier(max_iter=3), True),
        (CalibratedClassifierCV(LogisticRegression(), cv=2), False),
        (make_pipeline(MIXED, RandomForestClassifier(3)), True),
        (make_pipeline(MIXED, LogisticRegression()), False),
        (KNeighborsClassifier(2), True),
        (MLPClassifier(2, max_iter=20), False),
        (SVC(), False),
    ],
    ids=lambda one: one.steps[-1][0] if hasattr(one, "steps") else type(one).__name__,
)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_what_people_train_reaches_production(ledger, estimator, needs_a_word):
    """As skops, under the policy that is suggested, and, if trees are in it, under no narrower."""
    model = ledger.models.add(estimator.fit(MANY, [1, 0, 1, 0] * 8), name="m")
    assert (model.format, bool(model.types)) == ("skops", needs_a_word)
    expected = list(model.decide(ROWS).output)
    ledger.models.attest_evaluation(model, {"metrics": {"auc": "0.9"}})
    ledger.models.approve("m", by=("operator",))
    draft = ledger.policy.suggest()
    assert draft.stages[0].trusted_types == model.types
    ledger.policy.adopt(draft)
    assert list(ledger.models.load("m").decide(ROWS).output) == expected
    if needs_a_word:
        closed = (replace(draft.stages[0], trusted_types=()),)
        ledger.policy.adopt(ledger.policy.show().followed_by(stages=closed))
        with pytest.raises(cf.RefusedError, match=f"builds .*'{model.types[0]}'"):
            ledger.models.load("m")


def test_a_file_of_somebody_else_builds_only_what_its_reader_names(ledger, tmp_path):
    """A skops file with a tree is refused until its type is named, and has that on record then."""
    mine = ledger.models.add(DecisionTreeClassifier().fit(ROWS, [1, 0, 1, 0]), name="mine")
    path = tmp_path / "theirs.skops"
    path.write_bytes((ledger.folder / "private" / "models" / mine.digest).read_bytes())
    before = ledger.size
    with pytest.raises(cf.RefusedError, match="nobody vouched for"):
        ledger.models.add(path, name="theirs")
    assert ledger.size == before
    theirs = ledger.models.add(path, name="theirs", trust=[TREE])
    assert ledger.models.show("theirs").types == theirs.types == (TREE,)


def test_what_was_promoted_is_what_a_name_means(ledger):
    """A newer version that waits for approval takes nothing out of service, and one can go back."""
    ledger.models.add(trained(), name="m")
    ledger.models.promote("m")
    ledger.models.add(trained(C=0.01), name="m")
    assert ledger.models.load("m").version == "1"
    ledger.models.promote("m")
    assert ledger.models.load("m").version == "2"
    ledger.models.promote(ledger.models.list("m")[0].digest)
    assert ledger.models.load("m").version == "1"


def test_what_a_gate_would_say_is_told_and_not_recorded(ledger):
    """An approval that is not enough, or does not count, is followed by what is still missing."""
    ledger.models.add(trained(), name="m")
    ledger.models.approve("m", by=("operator",))
    before = ledger.size
    assert ledger.models.judge("m").reasons == (
        "evaluation needs 1 of operator; what counts is by nobody",
    )
    assert ledger.size == before
