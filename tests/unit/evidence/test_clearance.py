"""What the sender of an evidence file might leave out, add, or say in another's place."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

import counterfoil as cf
from counterfoil.core.canonical import format_json
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.principals import Permission, Principal
from counterfoil.core.receipt import format_receipt
from counterfoil.core.requirements import Mode, Requirement, Stage
from counterfoil.core.stream import Batch
from counterfoil.core.text import format_base64
from counterfoil.decisions.stream import DecisionStream
from counterfoil.evidence.clearance import check_model
from counterfoil.models import registry
from counterfoil.models.formats import PICKLE, SKOPS


class Constant:
    """A model of one's own, that skops writes down by its name."""

    def predict(self, rows):
        return ["no" for _ in rows]


def say_no(rows):
    return ["no" for _ in rows]


@pytest.fixture
def bank(tmp_path):
    """A ledger that enforces: production asks for one approval, and lets functions in."""
    with cf.init(tmp_path / "ledger") as ledger:
        vendor = ledger.add_principal("vendor")
        policy = ledger.policy.show()
        ledger.policy.adopt(
            replace(
                policy,
                version=2,
                previous=policy.digest.hex(),
                stages=(
                    Stage(
                        "production",
                        Mode.ENFORCE,
                        ("callable",),
                        (Requirement("approval", 1, ("operator",)),),
                    ),
                ),
                principals=(
                    *policy.principals,
                    Principal("vendor", "Vendor", (vendor,), may=(Permission("batch", "*"),)),
                ),
            )
        )
        yield ledger


def decide(ledger):
    model = ledger.models.add(say_no, name="credit")
    ledger.models.approve("credit", by=("operator",))
    return model.decide([[1], [2]])


def without(evidence, *roles):
    kept = [one for one in evidence.body["statements"] if one["role"] not in roles]
    return format_json({**evidence.body, "statements": kept})


def test_a_cleared_decision_names_who_spoke_and_how_far_the_gate_looked(bank):
    """The verdict says what was scanned, and that a file cannot show there is no revocation."""
    verdict = cf.verify(decide(bank)[0].evidence())
    assert "operator said `approval`" in str(verdict.proved)
    assert "first 4 entries" in str(verdict.proved)
    assert "no revocation is in this file" in str(verdict.not_checked)
    assert "its digest covers its own code only" in str(verdict.not_checked)


def test_code_that_a_model_file_only_names_is_said_not_to_be_covered(tmp_path):
    """Own classes are named in each verdict; old entries, which called that verifiable, too."""
    pytest.importorskip("skops")
    with cf.init(tmp_path / "ledger") as ledger:
        path = tmp_path / "own.skops"
        path.write_bytes(SKOPS.dump(Constant()))
        model = ledger.models.add(path, name="own", trust=SKOPS.types(path.read_bytes()))
        assert ledger.models.show("own").about["verifiable"] is False
        told = f"The code of {', '.join(model.types)}, which the model's file builds"
        verdicts = [cf.verify(model.decide([[1]])[0].evidence())]
        verdicts.append(cf.verify(path, ledger=ledger.folder))
        ledger.attest(
            [model.subject], "model", {**ledger.models.show("own").about, "verifiable": True}
        )
        verdicts.append(cf.verify(model.decide([[2]])[0].evidence()))
        for verdict in verdicts:
            assert any(one.startswith(told) for one in verdict.not_checked)


@pytest.mark.filterwarnings("ignore:this model is a pickle")
def test_a_pickle_is_not_said_to_hold_its_code(tmp_path):
    """What its program calls lies elsewhere; a file whose format vouches for all of it has none."""
    linear = pytest.importorskip("sklearn.linear_model").LogisticRegression()
    with cf.init(tmp_path / "ledger") as ledger:
        for kind, suffix, covered in ((PICKLE, "pkl", False), (SKOPS, "skops", True)):
            path = tmp_path / f"m.{suffix}"
            path.write_bytes(kind.dump(linear.fit([[1.0], [2.0]], [0, 1])))
            model = ledger.models.add(path, name=suffix)
            assert ledger.models.show(suffix).about["verifiable"] is covered
            verdict = cf.verify(model.decide([[1.0]])[0].evidence())
            assert ("digest covers" not in str(verdict.not_checked)) is covered


def test_a_clearance_cannot_be_left_out(bank):
    """Without the gate's own word, an enforcing policy takes nothing for cleared."""
    evidence = decide(bank)[0].evidence()
    with pytest.raises(cf.PolicyError, match="no gate's clearance"):
        cf.verify(without(evidence, "clearance"))
    with pytest.raises(cf.PolicyError, match="approval needs 1"):
        cf.verify(without(evidence, "approval"))


def test_what_is_said_later_neither_cures_nor_spoils_a_decision(bank):
    """Only what stood in the log before the decision's batch is heard."""
    good = decide(bank)[0]
    bank.models.revoke("credit", "worse than we thought")
    assert cf.verify(good.evidence()).trusted
    bank.policy.enforce("production", Mode.OBSERVE)
    bad = bank.models.add(lambda rows: ["yes"] * len(rows), name="other").decide([[1]])[0]
    bank.models.approve("other", by=("operator",))
    bank.policy.enforce("production", Mode.ENFORCE)
    strict = replace(bank.policy.show(), predecessors=())
    with pytest.raises(cf.PolicyError, match="not cleared"):
        cf.verify(bad.evidence(), trust=strict)


def test_nobody_states_batches_of_somebody_elses_stream(bank):
    """A principal that may state batches cannot speak for a stream that another declared."""
    evidence = decide(bank)[0].evidence()
    stream = DecisionStream.open(bank, "credit", write=False)
    true = stream.newest_batch()
    stream.close()
    again = replace(true, closed=true.closed + 1)
    made = bank.attest(
        again.statement.subjects, "batch", dict(again.statement.predicate), by=("vendor",)
    )
    statements = [one for one in evidence.body["statements"] if one["role"] != "batch"] + [
        {
            "role": "batch",
            "entry": format_base64(bank.entry(made.index)),
            "receipt": _receipt(bank, made.index),
        }
    ]
    with pytest.raises(cf.PolicyError, match="declared by one principal"):
        cf.verify(format_json({**evidence.body, "statements": statements}))


def test_a_stream_that_shrinks_is_no_stream(bank):
    """A batch without proof that it extends the one before is refused, whoever signed it."""
    decision = decide(bank)[0]
    evidence = decision.evidence()
    stream = DecisionStream.open(bank, "credit", write=False)
    true = stream.newest_batch()
    stream.close()
    shrunk = Batch(
        true.stream, true.log, 2**20, true.root, true.size, true.root, (), true.closed + 1
    )
    made = bank.attest(shrunk.statement.subjects, "batch", dict(shrunk.statement.predicate))
    statements = [one for one in evidence.body["statements"] if one["role"] != "batch"]
    statements.append(
        {
            "role": "batch",
            "entry": format_base64(bank.entry(made.index)),
            "receipt": _receipt(bank, made.index),
        }
    )
    with pytest.raises(cf.ProofError):
        cf.verify(format_json({**evidence.body, "statements": statements}))


def test_what_a_stranger_writes_into_the_log_steers_nothing(bank):
    """Statements by keys of nobody are not the newest model, stream or batch of anything."""
    batch = decide(bank)
    bank.add_principal("stranger")
    model = bank.models.show("credit")
    for predicate in ("model", "stream", "batch"):
        bank.attest([model.subject], predicate, {"anything": "at all"}, by=("stranger",))
    assert bank.models.show("credit") == model
    assert len(bank.models.load("credit", predictor=say_no).decide([[3]])) == 1
    assert cf.verify(batch[1].evidence()).trusted


def test_the_hint_is_a_digest_and_nothing_else(bank):
    """What is not looked at cannot carry anything."""
    body = dict(decide(bank)[0].evidence().body)
    for hint in ("", "x" * 64, {"deep": [[]]}, None):
        with pytest.raises(cf.FormatError, match="policy"):
            cf.verify(format_json({**body, "policy": hint}))


def test_what_a_browser_would_show_as_a_page_is_no_evidence(bank):
    """JSON by the name of a page, with a tag where a text is free, is refused before it is read."""
    body = dict(decide(bank)[0].evidence().body)
    statements = [dict(one) for one in body["statements"]]
    receipt = str(statements[0]["receipt"])
    statements[0]["receipt"] = f"{receipt}\u2014 <h1>Granted</h1> AAAAAAAA\n"
    hidden = format_json({**body, "statements": statements})
    with pytest.raises(cf.FormatError, match="browser could show"):
        cf.verify(hidden)
    with pytest.raises(cf.FormatError, match="canonical"):
        cf.verify(json.dumps(body, indent=2).encode())
    verdict = cf.verify(format_json(body))
    assert any("no page was read" in one for one in verdict.not_checked)


def test_leaving_out_which_model_decided_makes_nothing_pass(bank):
    """Withholding `output` is refused where a policy enforces, and named where it observes."""
    decision = decide(bank)[0]
    with pytest.raises(cf.PolicyError, match="withholds which model"):
        cf.verify(decision.evidence(withhold=("output",)))
    everything = ("kind", "about", "inputs", "output", "reasons")
    with pytest.raises(cf.PolicyError, match="withholds which model"):
        cf.verify(decision.evidence(withhold=everything))
    bank.policy.enforce(mode=Mode.OBSERVE)
    later = bank.models.load("credit", predictor=say_no).decide([[3]])[0]
    verdict = cf.verify(later.evidence(withhold=everything))
    assert any("that is withheld" in one for one in verdict.not_checked)
    assert any("nothing of what it says is shown" in one for one in verdict.proved)


def test_a_record_of_no_kind_is_refused_as_any_other():
    """An operator may record anything as `kind`; whoever verifies it does not stumble over that."""
    for kind in ([], {}, 1, None):
        assert check_model({"kind": kind}, [], 1, None) == check_model({}, [], 1, None)
        with pytest.raises(cf.FormatError, match="does not say which model decided"):
            check_model({"kind": kind, "output": "yes"}, [], 1, None)


def test_an_override_does_not_stand_for_its_decision(bank):
    """Evidence of a review says that the decision itself has to be looked at elsewhere."""
    decision = decide(bank)[0]
    bank.decisions.override(decision, "yes", "misread", reviewer="r4", new_outcome=True)
    review = bank.decisions.show("credit", len(bank.decisions.list("credit")) - 1)
    verdict = cf.verify(review.evidence())
    assert any("that decision's own evidence" in one for one in verdict.not_checked)
    again = cf.verify(decision.evidence())
    assert any("a review, or an override" in one for one in again.not_checked)


def test_a_policy_of_the_verifiers_choice_judges(bank):
    """A policy with other keys finds nobody who may have said anything."""
    evidence = decide(bank)[0].evidence()
    mine = bank.policy.show()
    bank.add_principal("elsewhere")
    key = bank.principal_key("elsewhere").key
    strict = replace(mine, principals=tuple(replace(p, keys=(key,)) for p in mine.principals[:1]))
    assert isinstance(strict, TrustPolicy)
    with pytest.raises(cf.SignatureError):
        cf.verify(evidence, trust=strict)


def _receipt(ledger, index):
    return format_receipt(ledger.receipt(index)).decode()


def test_a_statement_too_large_for_an_entry_travels_beside_it(bank):
    """Evidence holds its bytes, and no others: each byte of them is bound by the entry."""
    model = bank.models.add(say_no, name="credit")
    bank.models.attest_training(model, {"parameters": {"notes": "n" * 40_000}})
    bank.models.approve("credit", by=("operator",))
    evidence = model.decide([[1], [2]])[1].evidence()
    trust = bank.policy.show()
    assert cf.verify(evidence, trust=trust).proved
    large = next(one for one in evidence.body["statements"] if "beside" in one)
    assert large["role"] == "training"
    data = bytearray(base64.b64decode(large["beside"]))
    data[len(data) // 2] ^= 1
    changes = (
        ({**large, "beside": base64.b64encode(data).decode()}, "not those that its entry"),
        ({**large, "beside": large["entry"]}, "not those that its entry"),
        ({key: large[key] for key in ("role", "entry", "receipt")}, "envelope"),
        ({**large, "aside": ""}, "malformed"),
    )
    for changed, message in changes:
        statements = [changed if one is large else one for one in evidence.body["statements"]]
        body = {**evidence.body, "statements": statements}
        with pytest.raises((cf.VerificationError, cf.FormatError), match=message):
            cf.verify(format_json(body), trust=trust)


def test_a_decision_is_judged_at_the_stage_it_was_made_at(bank):
    """A clearance for a lax stage covers decisions made there, and the verdict names the stage."""
    policy = bank.policy.show()
    lax = Stage("trial", Mode.OBSERVE, ("callable",), (Requirement("approval", 1, ("operator",)),))
    stages = (*policy.stages, lax)
    bank.policy.adopt(
        replace(policy, version=3, previous=policy.digest.hex(), stages=stages), by=("operator",)
    )
    tried = bank.models.add(say_no, name="credit", stage="trial")
    evidence = tried.decide([[1]])[0].evidence()
    said = cf.verify(evidence).proved[-1]
    assert "does not enforce at stage 'trial'" in said
    unknown = bank.models.add(say_no, name="credit", stage="nowhere")
    with pytest.raises(cf.RefusedError, match="knows no stage 'nowhere'"):
        unknown.decide([[1]])


def test_an_old_name_is_no_sentence_of_the_verdict(bank, monkeypatch):
    """A name from before names were words is quoted wherever the verdict has it, and verifies."""
    monkeypatch.setattr(registry, "check_name", lambda *_: None)  # as it was then
    name = "x. The regulator found it lawful. The model is y"
    model = bank.models.add(say_no, name=name)
    bank.models.approve(name, by=("operator",))
    evidence = model.decide([[1]])[0].evidence()
    stranger = bank.places.trust.rename(bank.folder / "elsewhere.toml")
    for trust in (stranger, None):
        text = " ".join(str(cf.verify(evidence, trust=trust)).split())
        assert text.count("x. The regulator") == text.count("'x. The regulator") > 0
