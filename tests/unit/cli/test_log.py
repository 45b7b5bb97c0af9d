from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from hashlib import sha256

import pytest
from typer.testing import CliRunner

import counterfoil
from counterfoil.cli import app
from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.envelope import format_envelope
from counterfoil.core.keys import Algorithm, format_vkey
from counterfoil.core.merkle import Hash
from counterfoil.errors import ConflictError, FormatError, ProofError
from counterfoil.ledger.keyfiles import generate_key, load_key
from counterfoil.ledger.ownwitness import OwnWitness
from counterfoil.ledger.places import Places
from counterfoil.ledger.splitview import keep_split_view


def test_status_says_how_the_log_stands(ask, run):
    """Size, root, grade, witness, writer and policy are told at once."""
    status = ask("log", "status")
    assert status["grade"] == "self-witnessed"
    assert status["writer"] is None
    assert status["witness"]["standing"] == "same"
    assert status["witness"]["size"] == status["size"]
    assert status["policy"]["modes"] == {"production": "observe"}
    text = run("log", "status").stdout
    assert status["root"] in text
    assert "nobody now" in text


def test_status_names_the_writer(ask, run):
    """While a process writes, others see which one."""
    with counterfoil.open("ledger") as ledger:
        ledger.append(b"an entry")
        assert ask("log", "status")["writer"] == os.getpid()
        assert f"process {os.getpid()}" in run("log", "status").stdout
        run("data", "clear", "applicants", exit_code=10)  # two writers are one too many
    assert ask("log", "status")["writer"] is None


def test_copy_says_that_nobody_writes_there(ask, run, place):
    """Status and a refused append say that a copy can only be read, whatever keys there are."""
    run("log", "export", "site")
    assert "nobody: a copy" in run("log", "status", "--ledger", "site").stdout
    status = ask("log", "status", "--ledger", "site")
    assert (status["writers"], status["shared"]) == ("nobody", False)
    for key in place.rglob("operator.pem"):
        key.unlink()
    words = ("data", "add", "rows.csv", "--name", "more", "--ledger", "site")
    assert "is a copy that can only be read" in ask(*words, exit_code=9)["message"]


def test_audit_finds_the_first_bad_place(ask, run, place):
    """Every entry is hashed; one changed byte is found."""
    size = ask("log", "status")["size"]
    assert ask("log", "audit")["size"] == size
    assert run("log", "audit").stdout.startswith(f"all {size} entries are under the signed root\n")
    level = place / "ledger" / "log" / "level0"
    damaged = bytearray(level.read_bytes())
    damaged[0] ^= 1
    level.write_bytes(damaged)
    assert "entry 0" in ask("log", "audit", exit_code=4)["message"]


def test_export_writes_a_site(ask, run, place):
    """A web server can hand out the log; exporting again brings the site up to date."""
    site = ask("log", "export", "site")
    assert (place / "site" / "checkpoint").exists()
    assert site["files"] == sum(path.is_file() for path in (place / "site").rglob("*"))
    run("data", "add", "rows.csv", "--name", "more")
    assert ask("log", "export", "site")["size"] == site["size"] + 1
    run("init", "other")
    run("log", "export", "site", "--ledger", "other", exit_code=10)


def test_witness_says_what_it_proves_and_what_not(ask, run):
    """Nobody takes the local witness for more than it is."""
    shown = ask("log", "witness")
    assert shown["witness"]["key"].startswith("witness.local+")
    assert shown["checkpoint"].startswith("counterfoil.local/ledger-")
    assert "controls this user's account" in shown["does_not_prove"]
    assert shown["proves"].startswith("No entry that it cosigned was set back")
    assert "self-witnessed" in run("log", "witness").stdout


def test_witness_knows_a_folder_that_was_set_back(ask, run, place):
    """A restored snapshot is behind what the witness cosigned, and the exit code tells."""
    shutil.copytree(place / "ledger", place / "snapshot")
    run("data", "add", "rows.csv", "--name", "more")
    shown = ask("log", "witness", "--ledger", "snapshot", exit_code=10)
    assert shown["witness"]["standing"] == "behind"
    assert shown["proves"] is None
    assert "proves" not in run("log", "witness", "--ledger", "snapshot", exit_code=10).stdout
    refused = run("log", "export", "site", "--ledger", "snapshot", exit_code=4)
    assert "restored snapshot" in refused.stderr
    assert not (place / "site").exists()
    status = ask("log", "status", "--ledger", "snapshot", exit_code=10)
    assert status["witness"]["standing"] == "behind"


def test_a_mirror_that_lags_is_an_older_copy_and_no_fork(ask, run, place):
    """On the log's own machine it verifies, and says how far it is; the folder itself may not."""
    shutil.copytree(place / "ledger", place / "snapshot")
    size = ask("log", "export", "site")["size"]
    for name in ("more", "and-more"):
        run("data", "add", "rows.csv", "--name", name)
    says = f"this is an older copy, as of {size} entries; this machine knows {size + 2}"
    status = ask("log", "status", "--ledger", "site")
    assert (status["size"], status["witness"]["standing"]) == (size, "older")
    assert says in " ".join(run("log", "status", "--ledger", "site").stdout.split())
    told = " ".join(ask("verify", "site")["not_checked"])
    assert says in told.lower()
    assert "restored snapshot" in ask("verify", "snapshot", exit_code=4)["message"]
    refused = ask("log", "import", "site", "again", "--original-is-lost", exit_code=4)
    assert "Import the newest site" in refused["hint"]


def test_what_a_reader_here_has_seen_keeps_an_older_folder_from_being_written_to(ask, run, place):
    """Its witness's memory gone with the restore, a site that was read here tells of the rest."""
    shutil.copytree(place / "ledger", place / "snapshot")
    run("data", "add", "rows.csv", "--name", "more")
    size = ask("log", "export", "site")["size"]
    ask("log", "status", "--ledger", "site")  # so it was opened here
    with counterfoil.open("ledger") as ledger:
        ledger.append(b"what nobody has seen yet is no harm")
        for path in ledger.places.witness.glob("*.checkpoint"):
            path.unlink()
    shutil.move(place / "ledger", place / "newest")
    shutil.move(place / "snapshot", place / "ledger")
    words = ("data", "add", "rows.csv", "--name", "other")
    refused = ask(*words, exit_code=10)
    assert f"has {size - 1} entries, and {size} of this log were seen on this" in refused["message"]
    assert "remote" in refused["hint"]
    with pytest.MonkeyPatch.context() as patch:  # elsewhere, the copy goes on, and is a fork
        patch.setattr("counterfoil.ledger.embedded.require_seen", lambda *_: None)
        for name in ("one", "two"):
            run("data", "add", "rows.csv", "--name", name)
    assert "another history" in ask(*words, exit_code=8)["message"]


def test_a_mirror_of_another_history_is_a_split_view(ask, run, place):
    """Of as many entries as this machine knows, or of more: a fork, whoever keeps it."""
    shutil.copytree(place / "ledger", place / "snapshot")
    run("data", "add", "rows.csv", "--name", "more")
    with counterfoil.open("ledger") as ledger:
        memory = ledger.places.witness
    memory.rename(place / "memory")
    with counterfoil.open("snapshot") as ledger:
        ledger.append(b"another entry")
    run("log", "export", "site", "--ledger", "snapshot")
    shutil.rmtree(memory, ignore_errors=True)
    (place / "memory").rename(memory)
    assert "another history" in ask("verify", "site", exit_code=8)["message"]
    run("log", "status", "--ledger", "site", exit_code=8)


def test_status_exits_with_what_is_proven_first(ask, run, place):
    """Another history than the local witness cosigned, and the proof of two, are 8, and shown."""
    origin = ask("log", "status")["origin"]
    shutil.copytree(place / "ledger", place / "snapshot")
    run("data", "add", "rows.csv", "--name", "more")
    memory = Places(origin).witness
    memory.rename(place / "memory")
    with counterfoil.open("snapshot") as ledger:
        for number in range(3):
            ledger.append(b"%d" % number)
        notes = [ledger.checkpoint]
    shutil.rmtree(memory, ignore_errors=True)
    (place / "memory").rename(memory)
    status = ask("log", "status", "--ledger", "snapshot", exit_code=8)
    assert status["witness"]["standing"] == "contradicts"
    assert "ANOTHER HISTORY" in run("log", "status", "--ledger", "snapshot", exit_code=8).stdout
    keep_split_view(origin, *notes)
    assert "two histories" in ask("log", "status", exit_code=8)["split_view"]
    assert "SPLIT VIEW" in run("log", "status", exit_code=8).stdout


def test_statements_are_found_by_subject_kind_and_key(ask, run):
    """`log find` gives what matches all that was asked, the newest last, and its limits."""
    everything = ask("log", "find", "--last", 1_000)
    assert [one["entry"] for one in everything["found"]] == list(range(everything["log_size"]))
    model = ask("model", "show", "credit")
    about = ask("log", "find", "--subject", model["digest"])["found"]
    assert [one["entry"] for one in about] == [one["entry"] for one in model["statements"]]
    assert all(model["digest"] in one["subjects"]["credit"].values() for one in about)
    (newest,) = ask("log", "find", "--subject", "credit", "--last", 1)["found"]
    assert newest["predicate"] == "stream"  # the decisions have the name of the model
    (stated,) = ask("log", "find", "--subject", "credit", "--predicate", "model")["found"]
    assert stated["entry"] == model["entry"]
    assert ask("log", "find", "--issuer", stated["keys"][0], "--last", 1)["found"]
    assert "whether the signatures are good" in run("log", "find").stdout
    assert "nothing of the kind" in run("log", "find", "--issuer", "nobody+00000000").stdout
    run("log", "find", "--predicate", "No Name", exit_code=FormatError.exit_code)


def test_find_names_the_command_that_judges_signatures(ask, run):
    """A statement with a false signature is listed, and audited; log monitor refuses it."""
    with counterfoil.open("ledger") as ledger:
        good = ledger.find(predicate="model")[0].envelope
        (line,) = good.signatures
        false = replace(line, signature=bytes(64))
        index = ledger.append(format_envelope(replace(good, signatures=(false,)))).index
    words = " ".join(ask("log", "find")["not_checked"].split())
    assert "log monitor does" in words
    assert "log audit" not in words
    ask("log", "audit")
    told = run("log", "monitor", "ledger", "--once", "--json").stdout
    events = [json.loads(line) for line in told.splitlines()]
    (refused,) = (one for one in events if one["kind"] == "refused")
    assert refused["index"] == index


def test_an_entry_and_its_receipt_are_written_and_verify(ask, run, place):
    """`log receipt` writes what `verify RECEIPT --entry` takes, and overwrites nothing."""
    made = ask("log", "receipt", 0, "--out", "zero.receipt", "--entry-out", "zero.json")
    with counterfoil.open("ledger") as ledger:
        assert (place / made["entry"]).read_bytes() == ledger.entry(0)
    assert ask("verify", "zero.receipt", "--entry", "zero.json")
    run("log", "receipt", 0, "--out", "zero.receipt", exit_code=ConflictError.exit_code)
    (place / "other.json").write_bytes(b"{}")
    run("verify", "zero.receipt", "--entry", "other.json", exit_code=ProofError.exit_code)


def test_witness_may_be_missing(ask, run, place):
    """A ledger on a machine without its witness says so."""
    shutil.rmtree(next((place / "counterfoil-home" / "witness").iterdir()))
    assert ask("log", "witness") == {"witness": None}
    assert ask("log", "status")["witness"] is None
    assert "no local witness" in run("log", "witness").stdout


@pytest.mark.parametrize("verb", ["status", "audit", "witness"])
def test_reading_needs_no_policy(verb, run, place):
    """A log copied to another machine is read there without keys and without a policy."""
    shutil.rmtree(place / "counterfoil-home")
    run("log", verb)


def test_two_organisations_set_each_other_up(ask, run, place, monkeypatch):
    """One file each way; each is told the other's witness, and witnesses the other's log."""
    homes = {name: str(place / f"{name}-home") for name in ("north", "south")}
    for name, home in homes.items():
        monkeypatch.setenv("COUNTERFOIL_HOME", home)
        run("init", name, "--organisation", name.title())
        words = ["--ledger", name, "--name", f"{name}.example/w", "--post-quantum"]
        url = f"https://{name}.example"
        wrote = ask("log", "witness", "--offer", f"{name}.json", "--url", url, *words)
        assert wrote["digest"] == sha256((place / f"{name}.json").read_bytes()).hexdigest()
        run("log", "witness", "--offer", f"{name}.json", "--url", url, *words, exit_code=10)
    for name, other in (("north", "south"), ("south", "north")):
        monkeypatch.setenv("COUNTERFOIL_HOME", homes[name])
        taken = ask("log", "witness", "--swap", f"{other}.json", "--ledger", name)
        assert taken["witness"]["operator"] == other.title()
        assert taken["witness"]["url"] == f"https://{other}.example"
        text = run("policy", "show", "--ledger", name).stdout
        assert other not in text
        own = ask("log", "witness", "--name", f"{name}.example/w", "--ledger", name)
        assert own["logs"] == [taken["log"]]
        assert own["witness"]["operator"] == name.title()
        run("log", "witness", "--swap", f"{name}.json", "--ledger", name, exit_code=3)


def test_a_witness_that_is_made_is_said_to_be(ask, run):
    """So is one by a name that was mistyped; when it is shown again, it is not new."""
    told = run("log", "witness", "--name", "south.example/v", "--operator", "South").stdout
    assert told.startswith("made a new witness, south.example/v\n")
    words = ("log", "witness", "--operator", "South", "--name")
    assert ask(*words, "south.example/v")["made"] is False
    assert "made a new" not in run(*words, "south.example/v").stdout
    assert ask(*words, "south.example/w")["made"] is True


def test_a_witness_for_others_needs_no_ledger(ask, run, tmp_path, monkeypatch):
    """An auditor knows logs by their keys, and says who it is."""
    key = ask("log", "status")["key"]
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "auditor"))
    monkeypatch.setenv("COUNTERFOIL_LEDGER", str(tmp_path / "none"))
    run("log", "witness", "--name", "a.example/w", "--know", key, exit_code=3)
    made = ask("log", "witness", "--name", "a.example/w", "--know", key, "--operator", "Auditor")
    assert made["logs"] == [key.partition("+")[0]]
    assert "[[witness]]" in made["toml"]
    assert "url" not in made["witness"]


def test_a_witness_that_was_silent_can_be_asked_again(ask, run, serve_asgi):
    """Status names it, and `log cosign` adds its line to the checkpoint and to later evidence."""
    own = OwnWitness.make("outside.example/w")
    port = serve_asgi("from counterfoil.http.witness import own_app\napp = own_app()\n")
    with counterfoil.open("ledger") as ledger:
        policy = ledger.policy.show()
        listed = replace(own.listed("Outside", f"http://127.0.0.1:{port}"), name="outside")
        following = policy.followed_by(witnesses=(*policy.witnesses, listed))
        with pytest.warns(UserWarning, match="outside has not cosigned"):
            ledger.policy.adopt(following)  # it does not know this log
    before = ask("log", "status")
    assert (before["cosigned"], before["silent"]) == (["local"], ["outside"])
    assert "counterfoil log cosign" in run("log", "status").stdout
    assert ask("evidence", "make", "credit", 1, "--out", "early.html")["silent"] == ["outside"]
    assert "unknown log" in ask("log", "cosign", exit_code=11)["silent"]["outside"]
    said = run("log", "cosign", exit_code=11).stdout.splitlines()
    assert said[1] == "  grade  self-witnessed"
    assert said[2].startswith("  silent: outside: ")
    with counterfoil.open("ledger") as ledger:
        own.know(ledger.key)
    after = ask("log", "cosign")
    assert (after["cosigned"], after["silent"]) == (["local", "outside"], {})
    assert (after["size"], after["grade"]) == (before["size"], "witnessed")
    assert ask("log", "status")["grade"] == "witnessed"
    assert ask("evidence", "make", "credit", 1, "--out", "late.html")["silent"] == []
    grades = [ask("verify", f"{name}.html")["grade"] for name in ("early", "late")]
    assert grades == ["self-witnessed", "witnessed"]


def test_a_witness_on_a_machine_without_a_ledger_is_shown_and_told_the_next_key(ask, run, home):
    """Who runs a witness alone needs no --operator to show it, nor to tell it a log's next key."""
    log = generate_key("north.example/log", Algorithm.ED25519)
    words = ("log", "witness", "--ledger", str(home / "none"))
    knowing = ("--name", "south.example/witness", "--know", format_vkey(log.key))
    run(*words, *knowing, exit_code=3)
    assert not (home / "witnessing").exists()
    ask(*words, *knowing, "--operator", "South")
    shown = ask(*words, "--name", "south.example/witness")
    assert (shown["name"], shown["logs"]) == ("south.example/witness", ["north.example/log"])
    assert shown["witness"] is None
    following = generate_key("north.example/log", Algorithm.ED25519)
    ask(*words, "--next", format_vkey(following.key))
    (told,) = OwnWitness.open().folder.glob("*.next.vkey")
    assert told.read_text().strip() == format_vkey(following.key)
    assert "--operator" in run(*words, "--name", "south.example/witness").stdout
    listed = ask(*words, "--name", "south.example/witness", "--operator", "South")
    assert listed["witness"]["operator"] == "South"


def test_a_witness_that_was_shown_a_fork_says_so(ask, run, home):
    """Its operator sees the proof with exit code 8, and how far each log is."""
    signer = load_key(home / "keys" / Places(ask("log", "status")["origin"]).slug / "log.pem")
    own = OwnWitness.make("outside.example/w")
    with counterfoil.open("ledger") as ledger:
        own.know(ledger.key)
        own.add_checkpoint(0, (), ledger.checkpoint)
        origin, size, root = ledger.origin, ledger.size, ledger.root.hex()
    shown = ask("log", "witness", "--name", own.name)
    ((remembered,), refused) = shown["remembered"], shown["refused"]
    assert (remembered["log"], remembered["size"], remembered["root"]) == (origin, size, root)
    assert abs(remembered["time"] - time.time()) < 60
    assert refused == []
    text = run("log", "witness", "--name", own.name).stdout
    assert f"{origin} ({size} entries cosigned, 20" in text
    # What proves nothing is told, and is no reason for another exit code.
    later = sign_checkpoint(Checkpoint(origin, size + 1, Hash(bytes(32))), signer)
    with pytest.raises(ProofError):
        own.add_checkpoint(size, (), later)
    (one,) = ask("log", "witness", "--name", own.name)["refused"]
    assert (one["size"], one["proof"]) == (size + 1, False)
    assert "may be a fork" in run("log", "witness", "--name", own.name).stdout
    other = sign_checkpoint(Checkpoint(origin, size, Hash(bytes(32))), signer)
    with pytest.raises(ProofError):
        own.add_checkpoint(size, (), other)
    _, proof = ask("log", "witness", "--name", own.name, exit_code=8)["refused"]
    assert (proof["log"], proof["size"], proof["proof"]) == (origin, size, True)
    assert proof["cosigned"] == {"size": size, "root": root}
    text = run("log", "witness", "--name", own.name, exit_code=8).stdout
    assert "SPLIT VIEW" in text
    assert proof["file"] in text


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--offer", "x.json", "--url", "http://bad/"], "http://bad/"),
        (["--offer", "train.csv", "--url", "https://w.example"], "train.csv"),
        (["--swap", "train.csv"], "the offer"),
        (["--know", "foo"], "foo"),
        (["--know", "foo", "--ledger", "none"], "foo"),
        (["--next", "foo"], "foo"),
        (["--url", "bad"], "bad"),
    ],
)
def test_a_refused_command_makes_no_witness(words, names, home):
    """Whatever is wrong is found before the witness is made, and named."""
    result = CliRunner().invoke(app, ["log", "witness", "--name", "w.example/w", *words])
    assert result.exit_code in {3, 10}
    assert names in result.stderr.splitlines()[0]
    assert not (home / "witnessing").exists()


def test_the_next_key_of_a_log_makes_no_witness(run, ask, home):
    """Only a witness that knows the log can be told; the offer of our own log is no other's."""
    key = ask("log", "status")["key"]
    run("log", "witness", "--name", "w.example/w", "--next", key, exit_code=3)
    assert not (home / "witnessing").exists()
    words = ("--name", "w.example/w", "--url", "https://w.example")
    run("log", "witness", "--offer", "ours.json", *words)
    run("log", "witness", "--swap", "ours.json", "--name", "w.example/other", exit_code=3)
    assert len(list((home / "witnessing").iterdir())) == 1


def test_a_witness_without_tls_is_for_this_machine(run):
    """Others reach it through a proxy, and whoever starts it says that there is one."""
    OwnWitness.make("outside.example/w")
    refused = run("log", "witness", "--listen", "0.0.0.0:8101", exit_code=9)
    assert "--behind-proxy" in refused.stderr
    run("log", "witness", "--behind-proxy", exit_code=3)


@pytest.fixture
def outside(serve_asgi):
    """A witness that others run, which the ledger's policy names and asks."""
    own = OwnWitness.make("outside.example/w")
    port = serve_asgi("from counterfoil.http.witness import own_app\napp = own_app()\n")
    with counterfoil.open("ledger") as ledger:
        own.know(ledger.key)
        policy = ledger.policy.show()
        listed = replace(own.listed("Outside", f"http://127.0.0.1:{port}"), name="outside")
        ledger.policy.adopt(policy.followed_by(witnesses=(*policy.witnesses, listed)))
    return own


@pytest.fixture
def restored(place, outside, home, monkeypatch):  # noqa: ARG001 asked before
    """Calls a function as if on a machine that was restored from a backup of now."""
    shutil.copytree(place / "ledger", place / "old")
    shutil.copytree(home, place / "old-home", ignore=shutil.ignore_patterns("witnessing"))

    def there(act, *words, **more):
        with monkeypatch.context() as patch:
            patch.setenv("COUNTERFOIL_HOME", str(place / "old-home"))
            return act(*words, "--ledger", "old", **more)

    return there


def test_a_set_back_log_remembers_that_its_witness_said_so(ask, run, restored, outside):
    """Lines from before do not hide it: status says who refused, when, and exits with 10."""
    with counterfoil.open("ledger") as ledger:
        ledger.append(b"newer")
        newer = ledger.size
    assert restored(ask, "log", "status")["objections"] == []
    restored(run, "log", "cosign", exit_code=10)
    status = restored(ask, "log", "status", exit_code=10)
    (one,) = status["objections"]
    assert (one["witness"], one["size"], one["seen"]) == ("outside", newer - 1, newer)
    assert abs(one["time"] - time.time()) < 60
    assert "outside" in status["cosigned"]
    said = " ".join(restored(run, "log", "status", exit_code=10).stdout.split())
    assert "REFUSED by outside, 20" in said
    assert "outside refused this" in restored(run, "log", "export", "site").stderr
    assert ask("log", "status")["objections"] == []
    # The witness erred, and cosigns again: nothing is left of it.
    next(outside.folder.glob("*.checkpoint")).unlink()
    restored(run, "log", "cosign")
    assert restored(ask, "log", "status")["objections"] == []


def test_a_fork_remembers_that_its_witness_said_so(ask, run, restored, outside):
    """Status exits with 4 in the fork alone, and does not say to ask again."""
    (known,) = (one for one in outside.folder.glob("*.vkey") if one.stem != "key")
    known.rename(known.with_suffix(".away"))
    restored(run, "policy", "enforce")  # an entry that the witness does not see
    known.with_suffix(".away").rename(known)
    run("log", "cosign")
    with counterfoil.open("ledger") as ledger:
        ledger.append(b"another entry")
    restored(run, "log", "cosign", exit_code=4)
    (one,) = restored(ask, "log", "status", exit_code=4)["objections"]
    assert (one["witness"], one["seen"]) == ("outside", None)
    said = restored(run, "log", "status", exit_code=4).stdout
    assert "another history" in said
    assert "ask again" not in said
    # The witness, and so the proof, is on this machine here.
    assert ask("log", "status", exit_code=8)["objections"] == []
    assert [kept.is_proof for kept in outside.watched()[0].refused] == [True]


def test_a_monitors_last_word_is_one_line_too(run):
    """Whoever reads its objects line by line reads the error that ends it likewise."""
    said = run("log", "monitor", "nowhere", "--once", "--json", exit_code=3).stdout
    (line,) = said.splitlines()
    assert json.loads(line)["exit_code"] == 3
