from __future__ import annotations

import json
from importlib import resources

import jsonschema
import pytest

import counterfoil as cf
from counterfoil.core.predicates import PREDICATES
from counterfoil.demo import run_demo
from counterfoil.demo.attacks import ATTACKS, Attack, NotCaughtError, Target, attack


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The demonstration, told once: its folder and its summary."""
    folder = tmp_path_factory.mktemp("demo") / "demonstration"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COUNTERFOIL_HOME", str(folder.parent / "the-users-own"))
        written = []
        patch.setattr("builtins.print", written.append)
        assert run_demo(folder, as_json=True) == 0
    return folder, json.loads(written[-1])


def test_the_whole_story_comes_out_as_told(told):
    """Verified elsewhere, every attack caught, one person erased, within half a minute."""
    folder, summary = told
    assert summary["verdict"]["trusted"]
    assert len(summary["attacks"]) == len(ATTACKS) == 10
    assert summary["erasure"]["verified"] >= 9
    assert summary["auc"] == pytest.approx(0.79, abs=0.02)
    assert sorted(path.name for path in folder.iterdir()) == [
        "home",
        "ledger",
        "refusal.html",
        "report.html",
        "trust.toml",
    ]
    # The user's own keys were not touched.
    assert not (folder.parent / "the-users-own").exists()


def test_the_letter_verifies_for_whoever_has_the_policy(told):
    """The letter is evidence; under the policy of another bank it is nothing."""
    folder, _ = told
    letter, policy = folder / "refusal.html", folder / "trust.toml"
    verdict = cf.verify(letter, trust=policy)
    assert verdict.grade == "self-witnessed"
    assert verdict.facts["output"]["outcome"] == "refused"
    text = letter.read_text()
    assert "Demonstration Bank" in text
    assert "age_years" not in text


def test_what_the_story_states_has_the_published_form(told, monkeypatch):
    """Every statement of the demonstration validates against its schema."""
    folder, _ = told
    monkeypatch.setenv("COUNTERFOIL_HOME", str(folder / "home"))
    with cf.open(folder / "ledger") as ledger:
        for found in ledger.find():
            name = found.statement.predicate_type.split(":")[-2]
            text = resources.files("counterfoil.core").joinpath(PREDICATES[name].schema).read_text()
            jsonschema.validate(dict(found.statement.predicate), json.loads(text))
        assert ledger.find(predicate="training")


def test_the_report_needs_nothing_else(told):
    """The report is one file, and says what is not proven."""
    page = (told[0] / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert "What is not proven" in page


def test_an_attack_that_nobody_notices_fails_the_demonstration():
    """The story cannot end well by itself: each attack must be caught, and by the right one."""

    def nothing(_):
        """Nothing at all."""

    def another(_):
        """Something else."""
        raise cf.VerificationError("another reason")

    target = Target(*[None] * 6)
    with pytest.raises(NotCaughtError, match="nobody noticed"):
        attack(target, Attack(nothing, cf.VerificationError, "", ""))
    with pytest.raises(NotCaughtError, match="another reason"):
        attack(target, Attack(another, cf.VerificationError, "", "the expected reason"))


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    """Nothing of the user's is thrown away."""
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(cf.ConflictError, match="no former demonstration"):
        run_demo(tmp_path)
    assert (tmp_path / "precious.txt").read_text() == "x"
