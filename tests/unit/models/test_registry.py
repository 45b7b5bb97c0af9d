from __future__ import annotations

import functools
import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import counterfoil as cf
from counterfoil.core.requirements import Mode

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


def test_what_decides_is_what_was_hashed(ledger):
    """Changing the caller's object afterwards changes no decision."""
    mine = trained()
    model = ledger.models.add(mine, name="m")
    before = model.decide(ROWS).output
    mine.coef_[:] = -mine.coef_
    assert list(model.decide(ROWS).output) == list(before)


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
    with pytest.raises(cf.VerificationError):
        ledger.models.load("f", predictor=lambda rows: ["no"] * len(rows))
    with pytest.raises(cf.FormatError, match="only exists as a function"):
        ledger.models.load("f")
    assert ledger.models.add(functools.partial(answer), name="p").format == "callable"


def test_a_pickle_is_opened_only_where_the_policy_names_it(ledger, tmp_path):
    """In whatever mode: opening a pickle runs it, so the policy has to say that it may be."""
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(trained()))
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
    with pytest.raises(cf.RefusedError, match="revoked at index 5"):
        ledger.models.load("m")
    ledger.models.approve("m", by=("operator",))
    with pytest.raises(cf.RefusedError):
        ledger.models.load("m")
    ledger.models.approve("m", by=("operator",), after=revoked.index)
    assert len(ledger.models.load("m").decide(ROWS)) == 4
