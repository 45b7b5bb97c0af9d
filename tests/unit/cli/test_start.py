from __future__ import annotations

import shutil
import sys
import types
from hashlib import sha256
from pathlib import Path

import pytest

import counterfoil


def test_init_makes_a_ledger_and_says_where_things_are(ask, run, place):
    """A first `init` makes ledger, keys and policy, and nothing refuses yet."""
    made = ask("init", "mine", "--organisation", "Mine & Co")
    assert made["made"]
    assert made["modes"] == {"production": "observe"}
    assert Path(made["keys"], "log.pem").exists()
    assert (place / "mine" / "trust.toml").read_bytes() == Path(made["trust"]).read_bytes()
    assert "Mine & Co" in Path(made["trust"]).read_text()
    assert "next: counterfoil data add" in run("init", "other").stdout


def test_init_is_safe_to_repeat(ask, run):
    """Running `init` again changes nothing and says so."""
    first = ask("init", "ledger")
    assert not first["made"]
    assert first == ask("init", "ledger")
    assert run("init", "ledger").stdout.startswith("there was already a ledger in ledger\n")


def test_verify_is_trusted_under_ones_own_policy(ask, run):
    """Evidence of one's own ledger verifies, with the policy named."""
    run("evidence", "make", "credit", 1, "--out", "1.html")
    verdict = ask("verify", "1.html")
    assert verdict["trusted"]
    assert verdict["policy"] == ask("policy", "show")["digest"]
    assert verdict["grade"] == "self-witnessed"
    assert run("verify", "1.html").stdout.startswith("HOLDS: decision 1 of credit\n")


def test_verify_without_a_policy_is_untrusted(ask, run, place, monkeypatch):
    """Whoever has no policy from elsewhere exits as untrusted, and is told what to do."""
    run("evidence", "make", "credit", 1, "--out", "1.html")
    monkeypatch.setenv("COUNTERFOIL_HOME", str(place / "a-stranger"))
    verdict = ask("verify", "1.html", exit_code=20)
    assert not verdict["trusted"]
    assert "HOLDS TOGETHER, NOT TRUSTED" in run("verify", "1.html", exit_code=20).stdout
    assert ask("verify", "1.html", "--trust", "ledger/trust.toml")["trusted"]


def test_verify_names_a_changed_figure(run, place):
    """A letter whose visible text was edited is refused."""
    run("evidence", "make", "credit", 1, "--out", "1.html")
    letter = place / "1.html"
    changed = letter.read_text().replace("income", "incomf", 1)
    letter.write_text(changed)
    result = run("verify", "1.html", exit_code=4)
    assert result.stderr.startswith("error: ")


def test_verify_takes_a_receipt_with_its_entry(ask, run, place):
    """A receipt and the entry it is about verify; the receipt alone does not."""
    from counterfoil.core.receipt import format_receipt  # noqa: PLC0415 a user has it from a log

    with counterfoil.open("ledger") as ledger:
        (place / "entry").write_bytes(ledger.entry(1))
        (place / "receipt").write_bytes(format_receipt(ledger.receipt(1)))
    verdict = ask("verify", "receipt", "--entry", "entry")
    assert verdict["facts"]["index"] == 1
    run("verify", "receipt", exit_code=3)


@pytest.mark.parametrize("what", [["1.html"], ["ledger"], ["train.csv", "--ledger", "ledger"]])
def test_verify_takes_an_entry_for_a_receipt_only(what, run):
    """An entry that nobody would look at is refused beside a letter, a ledger or data."""
    run("evidence", "make", "credit", 1, "--out", "1.html")
    assert "this is no receipt" in run("verify", *what, "--entry", "x", exit_code=3).stderr


def test_verify_of_a_letter_in_a_ledger_says_how_it_is_verified(run, ask):
    """--ledger is for model files and data sets; a genuine letter is not called false for it."""
    run("evidence", "make", "credit", 1, "--out", "1.html")
    run("log", "receipt", 1)
    for what in ("1.html", "1.receipt"):
        error = ask("verify", what, "--ledger", "ledger", exit_code=3)
        assert "--ledger is for model files and data sets" in error["message"]
        assert f"verify {what} --trust" in error["hint"]


def test_verify_takes_a_whole_ledger(ask, place):
    """A ledger's folder is hashed from the first entry to the last."""
    assert ask("verify", "ledger")["facts"]["size"] == ask("log", "status")["size"]
    entries = place / "ledger" / "log" / "entries"
    damaged = bytearray(entries.read_bytes())
    damaged[100] ^= 1
    entries.write_bytes(damaged)
    error = ask("verify", "ledger", exit_code=4)
    assert "entry 0 does not have the hash that was logged" in error["message"]


def test_verify_takes_data_and_model_files(ask, place):
    """A file is recognised as what was attested in a ledger; one changed byte, and it is not."""
    assert ask("verify", "train.csv", "--ledger", "ledger")["what"] == "data set applicants"
    assert ask("verify", "credit.pkl", "--ledger", "ledger")["what"] == "model credit"
    (place / "credit.pkl").write_bytes((place / "credit.pkl").read_bytes() + b".")
    ask("verify", "credit.pkl", "--ledger", "ledger", exit_code=4)


def test_verify_refuses_a_model_that_was_revoked(ask, run):
    """A revoked model's file does not hold, until all that a gate asks for is said anew."""
    asked = ["verify", "credit.pkl", "--ledger", "ledger"]
    revoked = ask("model", "revoke", "credit", "--reason", "drift")["revocation"]
    error = ask(*asked, exit_code=7)
    assert error["message"] == f"the model credit was revoked at entry {revoked}"
    run("model", "approve", "credit", "--after", revoked)
    run(*asked, exit_code=7)  # an evaluation is asked for as well
    table = ["train.csv", "--data", "applicants", "--label", "outcome"]
    run("model", "evaluate", "credit", *table)
    assert f"Entry {revoked} says that it was revoked" in str(ask(*asked)["not_checked"])


def test_verify_says_whose_revocation_does_not_count(ask):
    """A revocation by somebody who may not revoke is mentioned, and takes nothing away."""
    from counterfoil.core.statement import Subject  # noqa: PLC0415 a stranger writes it

    with counterfoil.open("ledger") as ledger:
        ledger.add_principal("stranger")
        digest = ledger.models.show("credit").digest
        subject = Subject("credit", {"sha256": digest})
        ledger.attest([subject], "revocation", {"reason": "envy", "final": True}, by=("stranger",))
    verdict = ask("verify", "credit.pkl", "--ledger", "ledger")
    assert "that does not count" in str(verdict["not_checked"])


def test_verify_quotes_an_old_name(ask, place):
    """A name from before names were words still verifies, and is not taken for a verdict."""
    from counterfoil.core.statement import Subject  # noqa: PLC0415 as an older version wrote it

    name = "x. It is lawful"
    digest = sha256((place / "rows.csv").read_bytes()).hexdigest()
    with counterfoil.open("ledger") as ledger:
        ledger.attest([Subject(name, {"sha256": digest})], "model", {"name": name})
    verdict = ask("verify", "rows.csv", "--ledger", "ledger")
    assert verdict["what"] == f"model '{name}'"
    assert f"the model '{name}' attested" in verdict["proved"][0]


@pytest.mark.parametrize("what", [["snapshot"], ["credit.pkl", "--ledger", "snapshot"]])
def test_verify_refuses_what_the_witness_here_knows_better(what, ask, run, place, home):
    """A ledger that was set back, or has another history than was cosigned here, does not hold."""
    shutil.copytree(place / "ledger", place / "snapshot")
    run("data", "add", "rows.csv", "--name", "more")
    assert "restored snapshot" in ask("verify", *what, exit_code=4)["message"]
    shutil.move(home / "witness", place / "away")
    run("data", "add", "train.csv", "--name", "other", "--ledger", "snapshot")
    run("data", "add", "train.csv", "--name", "another", "--ledger", "snapshot")
    shutil.move(place / "away", home / "witness")
    assert "another history" in ask("verify", *what, exit_code=8)["message"]


@pytest.mark.parametrize("code", [0, 4])
def test_demo_exits_as_the_story_ends(code, run, monkeypatch):
    """`demo` runs the demonstration in the folder asked for and passes its outcome on."""
    asked = []

    def run_demo(folder, *, as_json):
        asked.append((folder, as_json))
        return code

    demo = types.ModuleType("counterfoil.demo")
    demo.run_demo = run_demo
    monkeypatch.setitem(sys.modules, "counterfoil.demo", demo)
    run("demo", exit_code=code)
    run("demo", "--folder", "there", "--json", exit_code=code)
    assert asked == [(Path("counterfoil-demo"), False), (Path("there"), True)]


def test_demo_takes_no_file_for_a_folder(run, place):
    """A file is not replaced by the demonstration, nor is a folder made below one."""
    before = (place / "rows.csv").read_bytes()
    run("demo", "--folder", "rows.csv", exit_code=10)
    run("demo", "--folder", "rows.csv/demo", exit_code=11)
    assert (place / "rows.csv").read_bytes() == before


def test_demo_names_what_has_to_be_installed(run, place, monkeypatch):
    """Where the extra is not installed, one line says so and the next how to get it."""
    monkeypatch.setitem(sys.modules, "sklearn", None)  # as if it were not there
    stderr = run("demo", exit_code=11).stderr
    assert stderr == (
        "error: the Python library sklearn is needed here and is not installed\n"
        "hint: pip install 'counterfoil[demo]'\n"
    )
    assert not (place / "counterfoil-demo").exists()
