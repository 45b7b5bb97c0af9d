from __future__ import annotations

import csv
import json
import re

import pytest

import counterfoil
from counterfoil.decisions.stream import DecisionStream


def test_make_writes_predictions_and_tickets(ask, place):
    """Every row gets a record, a line of the output file in its order, and a signed ticket."""
    options = ["--subject-column", "id", "--out", "out.csv", "--tickets", "new"]
    made = ask("decision", "make", "credit", "rows.csv", *options)
    assert [one["index"] for one in made["decisions"]] == list(range(8, 16))
    with (place / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["record"]) for row in rows] == list(range(8, 16))
    assert [row["outcome"] for row in rows] == [str(one["outcome"]) for one in made["decisions"]]
    assert sum(made["outcomes"].values()) == 8
    assert len(list((place / "new").iterdir())) == 8
    assert ask("decision", "reconcile", "credit", "new", "tickets/1.ticket.json")["broken"] == []


def test_make_keeps_people_out_of_the_inputs(ask):
    """The column that names people reaches neither model nor record, and finds them again."""
    made = ask("decision", "make", "credit", "rows.csv", "--subject-column", "id")
    assert made["left_out"] == []
    shown = ask("decision", "show", "credit", 8)
    assert set(shown["fields"]["inputs"]) == {"income", "debt"}
    found = ask("decision", "list", "credit", "--person", "ann")["decisions"]
    assert [one["index"] for one in found] == [2, 4, 10, 12]


@pytest.mark.parametrize("person", ["007", "NA"])
def test_make_takes_names_as_they_are_written(person, ask, run):
    """A name of digits keeps its zeros, and the name NA is a name."""
    run("decision", "make", "credit", "rows.csv", "--subject-column", "id")
    assert ask("decision", "list", "credit", "--person", person)["records"] == 2


def test_make_says_which_columns_it_leaves_out(ask, run):
    """Columns that the model does not know are left out, and named."""
    made = ask("decision", "make", "credit", "train.csv")
    assert made["left_out"] == ["outcome"]
    assert "left out" in run("decision", "make", "credit", "train.csv").stdout


def test_make_shows_what_the_gate_would_refuse(ask, run):
    """While gates observe, one sees what enforcing would change."""
    assert not ask("decision", "make", "credit", "rows.csv")["gate"]["cleared"]
    run("policy", "enforce")
    refused = run("decision", "make", "credit", "rows.csv", exit_code=9)
    assert "skops" in refused.stderr
    assert refused.stdout == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no table"),
        (b"income,debt\n", "no rows"),
        (b"income,debt\n1\n", "line 2 has 1 values, the header 2"),
        (b"income,debt\n1,2,3\n", "line 2 has 3 values, the header 2"),
        (b"income\n1\n", "no column debt"),
        (b"income,debt\n\xff,2\n", "no table"),
        (b'income,debt\n"1,2\n', "no table"),
    ],
)
def test_make_refuses_bad_files(text, said, run, place):
    """A file that is no table of the model's columns is refused before anything is recorded."""
    (place / "bad.csv").write_bytes(text)
    assert said in run("decision", "make", "credit", "bad.csv", exit_code=3).stderr


def test_make_refuses_what_is_not_there(run):
    """A missing file, column or model is an error, not a traceback."""
    run("decision", "make", "credit", "none.csv", exit_code=3)
    assert (
        "Its columns are income, debt, id."
        in run(
            "decision", "make", "credit", "rows.csv", "--subject-column", "name", exit_code=3
        ).stderr
    )
    run("decision", "make", "nothing", "rows.csv", exit_code=3)


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [
        (["--out", "no/such/folder.csv"], 11),
        (["--out", "rows.csv"], 10),
        (["--out", "tickets"], 10),
        (["--tickets", "rows.csv/tickets"], 11),
        (["--tickets", "taken"], 10),
    ],
)
def test_make_decides_nothing_that_it_cannot_write(options, exit_code, ask, run, place):
    """What can be known beforehand about a result's place is known before anything is recorded."""
    (place / "taken").mkdir()
    (place / "taken" / "9.ticket.json").write_text("of another system")
    rows = (place / "rows.csv").read_bytes()
    run("decision", "make", "credit", "rows.csv", *options, exit_code=exit_code)
    assert (place / "rows.csv").read_bytes() == rows
    assert ask("decision", "list", "credit")["records"] == 8


def test_make_refuses_rows_about_nobody(ask, run, place):
    """An empty cell in the column that names people would make a record that no erasure finds."""
    (place / "gap.csv").write_text("income,debt,id\n1,2,ann\n3,4,\n")
    asked = ["decision", "make", "credit", "gap.csv", "--subject-column", "id"]
    assert "nobody in column 'id' of row 1" in run(*asked, exit_code=3).stderr
    assert ask("decision", "list", "credit")["records"] == 8


@pytest.mark.parametrize("text", ["hello", "1_0", "0x10"])
def test_make_refuses_text_among_numbers(text, ask, run, place):
    """A cell that is no number is named by row and column, and nothing is recorded."""
    (place / "text.csv").write_text(f"income,debt\n1,2\n{text},4\n")
    stderr = run("decision", "make", "credit", "text.csv", exit_code=3).stderr
    assert f"the value of 'income' in row 1 is the text '{text}'" in stderr
    assert ask("decision", "list", "credit")["records"] == 8


def test_show_gives_every_digit(run, ask):
    """What was recorded is shown as it was recorded, not rounded."""
    recorded = ask("decision", "show", "credit", 1)["fields"]
    shown = run("decision", "show", "credit", 1).stdout
    assert str(recorded["output"]["score"]) in shown
    assert "income  1" in shown
    run("decision", "show", "credit", 99, exit_code=3)


def test_list_gives_systems_then_the_newest(ask, run):
    """Without a system all are counted; of one, the newest are shown."""
    assert ask("decision", "list")["systems"] == [{"system": "credit", "records": 8}]
    newest = ask("decision", "list", "credit", "--limit", 3)
    assert (newest["records"], [one["index"] for one in newest["decisions"]]) == (8, [5, 6, 7])
    assert "the newest 3:" in run("decision", "list", "credit", "--limit", 3).stdout
    run("decision", "list", "credit", "--person", "nobody", exit_code=3)


def test_replay_agrees_with_what_was_recorded(ask, run):
    """The same model says the same again."""
    again = ask("decision", "replay", "credit", 1)
    assert again["agrees"]
    assert again["compared"] == ["outcome", "score", "threshold", "model", "reasons"]
    assert "says the same today" in run("decision", "replay", "credit", 1).stdout


def test_replay_takes_the_recorded_threshold(ask):
    """A decision on a threshold with names for outcomes is replayed on those terms."""
    pandas = pytest.importorskip("pandas")
    terms = counterfoil.Terms(threshold=0.5, outcomes=("refused", "granted"))
    rows = pandas.DataFrame({"income": [0, 9], "debt": [9, 0]})
    with counterfoil.open("ledger") as ledger, pytest.warns(UserWarning, match="pickle"):
        batch = ledger.models.load("credit", terms=terms).decide(rows)
    assert list(batch.output) == ["refused", "granted"]
    first = batch[0].index
    for index in (first, first + 1):
        assert ask("decision", "replay", "credit", index)["agrees"]


def test_replay_names_what_differs(ask, run, monkeypatch):
    """A model that answers otherwise today is caught: exit code 4, and the difference in words."""
    linear = pytest.importorskip("sklearn.linear_model")
    told = linear.LogisticRegression.predict_proba
    monkeypatch.setattr(
        linear.LogisticRegression, "predict_proba", lambda self, rows: told(self, rows)[:, ::-1]
    )
    again = ask("decision", "replay", "credit", 0, exit_code=4)
    assert not again["agrees"]
    assert again["differences"][0].startswith("score was ")
    assert "something else today" in run("decision", "replay", "credit", 0, exit_code=4).stdout


def test_override_leaves_the_old_record(ask, run):
    """A person's decision is a new record that points at the old one."""
    before = ask("decision", "show", "credit", 1)
    review = ["--outcome", "1", "--reason", "misread", "--reviewer", "r4"]
    made = ask("decision", "override", "credit", 1, *review)
    assert (made["index"], made["overrides"]) == (8, 1)
    assert ask("decision", "show", "credit", 1) == before | {"overrides": [8]}
    assert ask("decision", "show", "credit", 8)["fields"]["output"]["outcome"] == 1
    assert ask("decision", "show", "credit", 8)["fields"]["about"] == before["leaf"]
    shown = run("decision", "show", "credit", 8).stdout
    assert "override 8 of credit" in shown
    assert re.search(r"overrides +1\n", shown)
    assert "misread" in shown
    run("decision", "replay", "credit", 8, exit_code=3)


def test_reconcile_names_a_broken_promise(ask, run, place):
    """A ticket whose record is in no batch is named, and the exit code tells."""
    kept = ask("decision", "reconcile", "credit", "tickets")
    assert (kept["tickets"], kept["broken"]) == (8, [])
    with counterfoil.open("ledger") as ledger:
        stream = DecisionStream.open(ledger, "credit")
        (index,) = stream.append([["decision", None, {}, {}, None]], [None])
        (place / "left-out").write_bytes(stream.ticket(index))
        stream.close()  # and its batch is never published
    broken = ask("decision", "reconcile", "credit", "tickets", "left-out", exit_code=4)
    assert broken["tickets"] == 9
    assert broken["broken"] == ["record 8 was promised and is in no batch"]
    shown = run("decision", "reconcile", "credit", "left-out", exit_code=4).stdout
    assert shown.startswith(
        "1 ticket and the batches of credit: 1 broken\n  - record 8 was promised"
    )


def test_reconcile_refuses_what_is_no_ticket(run, place):
    """A file that was changed, or a folder without tickets, is not taken for kept promises."""
    run("decision", "reconcile", "credit", "ledger", exit_code=3)
    run("decision", "reconcile", "credit", "nowhere", exit_code=3)
    ticket = place / "tickets" / "0.ticket.json"
    forged = json.loads(ticket.read_text())
    forged["payload"] = forged["payload"][::-1]
    ticket.write_text(json.dumps(forged))
    said = run("decision", "reconcile", "credit", "tickets", exit_code=3)
    assert "error: tickets/0.ticket.json: " in said.stderr
    (place / "text").write_text("no ticket")
    said = run("decision", "reconcile", "credit", "tickets/1.ticket.json", "text", exit_code=3)
    assert "error: text: envelope is not JSON" in said.stderr


TERMS = """
threshold = 0.5
outcomes = ["refused", "granted"]

[labels]
income = "Your yearly income"

[notice]
organisation = "Example Bank"
contact = "credit@bank.example"
contest = "Write to us within 30 days."
"""


def test_a_letter_can_be_made_by_commands_alone(place, ask, run):
    """Terms come from a file, the reference from a column that the model does not see."""
    (place / "terms.toml").write_text(TERMS)
    columns = ("--subject-column", "id", "--reference-column", "id")
    made = ask("decision", "make", "credit", "rows.csv", *columns, "--terms", "terms.toml")
    assert set(made["outcomes"]) <= {"refused", "granted"}
    run("evidence", "make", "credit", "8", "--out", "letter.html")
    page = (place / "letter.html").read_text()
    for text in ("Your yearly income", "credit@bank.example", "007", "within 30 days"):
        assert text in page
    ask("decision", "make", "credit", "rows.csv", "--terms", "nowhere.toml", exit_code=3)


def test_a_table_with_semicolons_is_said_to_be_one(place, ask):
    """The usual export of a spreadsheet in half of Europe gets an error that says what it is."""
    (place / "half.csv").write_text("income;debt\n1;2\n")
    wrong = ask("decision", "make", "credit", "half.csv", exit_code=3)
    assert "separated by semicolons" in wrong["message"]


def test_a_padded_stream_is_declared_made_and_reconciled(ask, run):
    """Pads fill batches, and are listed by nobody who asks for decisions."""
    made = ask("decision", "declare", "padded", "--pad-to", 16)
    assert (made["pad_to"], made["cadence_s"]) == (16, None)
    run("decision", "declare", "padded", "--pad-to", 8, exit_code=10)
    run("model", "add", "credit.pkl", "--name", "padded")
    ask("decision", "make", "padded", "rows.csv", "--tickets", "new-tickets")
    listed = ask("decision", "list", "padded", "--limit", 3)
    assert [one["index"] for one in listed["decisions"]] == [5, 6, 7]
    published = ask("decision", "publish", "padded")
    assert (published["records"], published["size"]) == (16, 16)
    assert ask("decision", "reconcile", "padded", "new-tickets")["broken"] == []
    assert ask("decision", "reconcile", "padded")["tickets"] == 0


def test_a_rhythm_is_told_with_the_command_that_keeps_it(run):
    """Who promises a batch in every period is told what to call in every period."""
    text = run("decision", "declare", "hourly", "--cadence", 3600).stdout
    assert "counterfoil decision publish hourly" in text
    run("decision", "declare", "hasty", "--cadence", 1, exit_code=3)
    run("decision", "publish", "nobody", exit_code=3)


@pytest.mark.parametrize("words", [["decision", "show"], ["evidence", "make"]])
def test_a_number_that_is_not_there_is_told_with_those_that_are(run, words):
    """Whoever asks for a record beyond the last one is told how many there are."""
    told = run(*words, "credit", 99, exit_code=3).stderr
    assert "credit has 8 records; there is no number 99" in told


def test_an_override_is_pointed_to(ask, run):
    """Whoever looks at the old decision, or makes its letter, learns of the newer record."""
    assert ask("decision", "show", "credit", 1)["overrides"] == []
    assert "OVERRIDDEN" not in run("decision", "show", "credit", 1).stdout
    why = ("--reason", "misread", "--reviewer", "r4")
    slip = run("decision", "override", "credit", 1, "--outcome", "grantd", *why, exit_code=3)
    assert "no decision of late has the outcome 'grantd'" in slip.stderr
    made = ask("decision", "override", "credit", 1, "--outcome", "half", "--new-outcome", *why)
    again = ask("decision", "override", "credit", 1, "--outcome", "half", *why)
    numbers = [made["index"], again["index"]]
    assert ask("decision", "show", "credit", 1)["overrides"] == numbers
    said = f"by number {numbers[0]}, {numbers[1]}"
    assert said in run("decision", "show", "credit", 1).stdout
    assert said in run("evidence", "make", "credit", 1).stdout
