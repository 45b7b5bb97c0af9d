from __future__ import annotations

import json
import os
import shutil

import pytest

import counterfoil as cf
from counterfoil.core.keys import Algorithm, format_vkey
from counterfoil.core.receipt import format_receipt
from counterfoil.ledger.keyfiles import generate_key


def answer(rows):
    return ["yes" for _ in rows]


@pytest.fixture
def ledger(tmp_path):
    """A new ledger."""
    with cf.init(tmp_path / "ledger", organisation="Acme") as ledger:
        yield ledger


def test_init_is_safe_to_repeat(tmp_path, ledger):
    """A second init opens what is there: same origin, same keys, no new entry."""
    ledger.close()
    with cf.init(tmp_path / "ledger") as again:
        assert (again.origin, again.size) == (ledger.origin, 1)
        assert again.policy.show().log.operator == "Acme"


def test_init_checks_before_it_makes_anything(tmp_path, home):
    """An organisation that no policy can hold leaves neither folder nor keys behind."""
    with pytest.raises(cf.FormatError, match="organisation"):
        cf.init(tmp_path / "made", organisation="evil\nnewline")
    assert not (tmp_path / "made").exists()
    assert not home.exists()


def test_an_empty_path_is_none(tmp_path, monkeypatch):
    """A variable that is not set is not the folder one stands in."""
    monkeypatch.chdir(tmp_path)
    cf.init(".").close()
    for act in (cf.init, cf.open, cf.verify):
        with pytest.raises(cf.FormatError, match="path is empty"):
            act("")


def test_an_interrupted_init_is_completed_by_the_next(tmp_path, ledger):
    """Where the policy was not adopted yet, the next init adopts it."""
    ledger.places.trust.unlink()
    ledger.close()
    with cf.init(tmp_path / "ledger") as again:
        assert again.policy.show().version == 1


def test_opening_nothing_names_init(tmp_path):
    """The error says how to make one; a URL of another kind is said to be none of ours."""
    with pytest.raises(cf.FormatError, match="no ledger") as caught:
        cf.open(tmp_path / "nothing")
    assert "init" in caught.value.hint
    for more in ({}, {"trust": "trust.toml"}):
        with pytest.raises(cf.FormatError, match="no address of a log on PostgreSQL") as caught:
            cf.open("mysql://somewhere/x", **more)
        assert "https://" in caught.value.hint
    with pytest.raises(cf.FormatError, match=r"somewhere is another machine, and http://"):
        cf.open("HTTP://somewhere/x")


def test_a_ledger_that_was_closed_says_so(ledger):
    """Whoever writes afterwards is told that it was closed; what is here can still be read."""
    model = ledger.models.add(answer, name="f")
    model.decide([[1]])
    ledger.close()
    for act in (lambda: model.decide([[2]]), lambda: ledger.append(b"x")):
        with pytest.raises(cf.UnavailableError, match="was closed here") as caught:
            act()
        assert caught.value.hint == "Open it again."
    assert ledger.decisions.list("f") == [0]
    ledger.close()


def test_a_service_outlives_its_ledger_for_what_it_took(tmp_path, ledger):
    """Closed too early, the ledger lets no row be taken, and those that were are in it later."""
    model = ledger.models.add(answer, name="f")
    serving = ledger.decisions.serve(model)
    serving.record({"x": 1}, "yes")
    ledger.close()
    with pytest.raises(cf.UnavailableError, match="was closed here"):
        serving.record({"x": 2}, "yes")
    with pytest.raises(cf.UnavailableError, match="what was recorded is durable") as caught:
        serving.close()
    assert "decision publish f" in caught.value.hint
    with cf.open(tmp_path / "ledger") as again:
        assert again.decisions.publish("f").size == 1
        assert again.decisions.show("f", 0).values["inputs"] == {"x": 1}


def test_any_predictor_is_recorded_and_its_letter_verifies(ledger, tmp_path):
    """A plain function is enough; the output is the plain array."""
    batch = ledger.models.add(answer, name="f").decide([[1, 2], [3, 4]])
    assert list(batch.output) == ["yes", "yes"]
    for name in ("letter.html", "proof.json"):
        verdict = cf.verify(batch[1].evidence().save(tmp_path / name))
        assert verdict.trusted
        assert verdict.facts["inputs"] == {"column_0": 3, "column_1": 4}
    with pytest.raises(cf.FormatError, match="neither"):
        batch[1].evidence().save(tmp_path / "letter.pdf")
    handed_out = (tmp_path / "letter.html").read_bytes()
    with pytest.raises(cf.ConflictError, match="already") as caught:
        batch[0].evidence().save(tmp_path / "letter.html")
    assert "replace=True" in caught.value.hint
    assert (tmp_path / "letter.html").read_bytes() == handed_out
    batch[0].evidence().save(tmp_path / "letter.html", replace=True)
    assert (tmp_path / "letter.html").read_bytes() != handed_out


def test_without_a_policy_from_elsewhere_nothing_is_trusted(ledger, tmp_path, monkeypatch):
    """The file holds together, and the verdict is untrusted, with its own exit code."""
    policy = ledger.folder / "trust.toml"
    letter = (
        ledger.models.add(answer, name="f").decide([[1]])[0].evidence().save(tmp_path / "x.html")
    )
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "elsewhere"))
    verdict = cf.verify(letter)
    assert (verdict.trusted, verdict.exit_code) == (False, 20)
    assert "Everybody" in str(verdict.trust)
    assert cf.verify(letter, trust=policy).exit_code == 0


def test_withheld_fields_are_said_to_be_withheld(ledger):
    """A field can be kept back; nobody can then take its absence for nothing."""
    decision = ledger.models.add(answer, name="f").decide([[1]])[0]
    verdict = cf.verify(decision.evidence(withhold=["inputs"]))
    assert "inputs" not in verdict.facts
    assert "Withheld and not seen here: inputs." in verdict.not_checked
    hidden = cf.verify(decision.evidence(withhold=["output"]))
    assert "Which model decided" in str(hidden.not_checked)
    with pytest.raises(cf.FormatError, match="no field"):
        decision.evidence(withhold=["nonsense"])


def test_a_ledger_a_receipt_a_data_set_and_a_model_verify(ledger, tmp_path):
    """One verify for whatever it is given."""
    ledger.data.add([{"a": 1}], name="rows")
    table = tmp_path / "rows.csv"
    table.write_text("a\n1\n")
    ledger.data.add(table, name="file")
    receipt = ledger.append(b"an entry of my own")
    ledger.close()
    folder = tmp_path / "ledger"
    assert cf.verify(folder).facts["size"] == ledger.size
    text = format_receipt(receipt)
    assert cf.verify(text, entry=b"an entry of my own").facts["index"] == receipt.index
    with pytest.raises(cf.ProofError):
        cf.verify(text, entry=b"another")
    assert cf.verify(table, ledger=folder).what == "data set file"
    table.write_text("a\n2\n")
    with pytest.raises(cf.VerificationError, match="no data set"):
        cf.verify(table, ledger=folder)
    with pytest.raises(cf.FormatError, match="no evidence file"):
        cf.verify(table)


def test_what_is_no_evidence_is_named(tmp_path):
    """Other pages, other JSON, nothing at all: one sentence each."""
    for data in (b"", b"<html></html>", b"{}", b"[]", b"\xff", b"[" * 10**6, b'{"a":1,"a":2}'):
        with pytest.raises(cf.FormatError) as caught:
            cf.verify(data)
        assert "\n" not in str(caught.value)
    with pytest.raises(cf.FormatError, match="no file"):
        cf.verify(tmp_path / "missing.html")
    key = format_vkey(generate_key("x", Algorithm.ED25519).key)
    huge = tmp_path / "huge.html"
    huge.touch()
    os.truncate(huge, 1 << 40)  # a sparse file: it takes no room
    with pytest.raises(cf.FormatError, match="has more than"):
        cf.verify(huge)
    with pytest.raises(cf.FormatError, match="has more than"):
        cf.verify(json.dumps({"log": {"key": key}}).encode(), trust=huge)


def test_enforcing_refuses_what_runs_code_and_says_the_way_out(ledger):
    """In production a pickle is refused, with every reason, and safe formats are named."""
    ledger.models.add(answer, name="f")
    ledger.models.approve("f", by=("operator",))
    ledger.policy.enforce("production")
    with pytest.raises(cf.RefusedError) as caught:
        ledger.models.load("f", predictor=answer)
    assert "skops, safetensors, onnx" in str(caught.value)
    assert "evaluation needs 1" in str(caught.value)
    with pytest.raises(cf.FormatError, match="no stage"):
        ledger.policy.enforce("nowhere")


def test_editing_the_copy_of_the_policy_changes_nothing(ledger):
    """Whoever writes in the ledger's folder does not thereby decide what is trusted."""
    before = ledger.policy.show().digest
    path = ledger.folder / "trust.toml"
    path.write_text(path.read_text().replace("observe", "enforce"))
    assert ledger.policy.show().digest == before


def test_a_person_is_exported_and_erased_when_no_hold_runs(ledger):
    """Refused while the law wants the records; gone afterwards, and the others' stay."""
    model = ledger.models.add(answer, name="f")
    batch = model.decide([[1], [2], [3]], data_subjects=["ann", "bob", "ann"])
    kept = batch[1].evidence()
    assert [len(records) for records in ledger.people.export("ann").values()] == [2]
    with pytest.raises(cf.RefusedError, match="25 months"):
        ledger.people.erase("ann", basis="GDPR Art. 17", approvers=("a", "b"))
    clock = ledger.clock
    ledger.clock = lambda: clock() + 3 * 366 * 86400
    (certificate,) = ledger.people.erase("ann", basis="GDPR Art. 17", approvers=("a", "b"))
    assert len(certificate.leaves) == 2
    assert ledger.people.export("ann") == {}
    with pytest.raises(cf.UnavailableError, match="erased"):
        ledger.decisions.show("f", 0)
    assert cf.verify(kept).trusted
    assert cf.verify(ledger.evidence.make(ledger.decisions.show("f", 1))).trusted
    with pytest.raises(cf.FormatError, match="nothing is recorded"):
        ledger.people.erase("carol", basis="x", approvers=("a", "b"))


def test_an_override_is_a_new_record_about_the_old(ledger):
    """The first decision stays as it was; the second names it by its leaf."""
    decision = ledger.models.add(answer, name="f").decide([[1]], data_subjects=["ann"])[0]
    again = ledger.decisions.override(
        decision, "no", "a second look", reviewer="R. Viewer", new_outcome=True
    )
    assert again.values["about"] == decision.leaf.hex()
    assert again.values["output"]["overrides"] == decision.index
    assert b"&quot;overrides&quot;: 0" in again.evidence().page()
    assert ledger.decisions.show("f", 0).values["output"]["outcome"] == "yes"
    assert cf.verify(again.evidence()).trusted
    assert [len(records) for records in ledger.people.export("ann").values()] == [2]
    assert b"R. Viewer" not in b"".join(ledger.entries(0, ledger.size))


def test_a_replay_tells_what_would_be_different(ledger):
    """The same model agrees with itself; another version does not."""
    model = ledger.models.add(answer, name="f")
    decision = model.decide([[1]])[0]
    assert ledger.decisions.replay(decision, model).agrees
    other = ledger.models.add(lambda rows: ["no"] * len(rows), name="f")
    replayed = ledger.decisions.replay(decision, other)
    assert not replayed.agrees
    assert "outcome was 'yes' and is 'no'" in replayed.differences


def test_tickets_hold_the_system_to_its_word(ledger, tmp_path):
    """Kept promises reconcile; a stream set back to an older copy breaks them."""
    model = ledger.models.add(answer, name="f")
    model.decide([[1]])
    streams = ledger.folder / "private" / "streams"
    shutil.copytree(streams, tmp_path / "older")
    tickets = [one.ticket for one in model.decide([[2], [3]], tickets=True)]
    assert ledger.decisions.reconcile("f", tickets) == ()
    shutil.rmtree(streams)
    shutil.copytree(tmp_path / "older", streams)
    with pytest.raises(cf.VerificationError):
        model.decide([[4]])
    body = json.loads(tickets[0])
    body["signatures"][0]["sig"] = "A" * 86 + "=="
    with pytest.raises(cf.SignatureError):
        ledger.decisions.reconcile("f", [json.dumps(body, separators=(",", ":")).encode()])


def test_a_ledger_audits_itself(ledger):
    """Every entry is hashed again, and progress is told."""
    seen = []
    report = ledger.audit(lambda done, total: seen.append((done, total)))
    assert (report.size, seen) == (1, [(1, 1)])
