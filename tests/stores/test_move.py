"""Moving a log from one store to another and back: nothing is lost, and no receipt is."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from ending import run_ending_at
from typer.testing import CliRunner

import counterfoil as cf
from counterfoil.cli import app
from counterfoil.cluster import ends, move, state
from counterfoil.cluster.address import parse_address, show_address
from counterfoil.cluster.objects import FolderObjects
from counterfoil.core.receipt import check_receipt
from counterfoil.core.statement import Subject
from counterfoil.errors import (
    ConflictError,
    FormatError,
    SplitViewError,
    UnavailableError,
    VerificationError,
)
from counterfoil.front import import_lost, move_log
from counterfoil.ledger.audit import audit
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.moved import MovedError
from counterfoil.ledger.places import Places
from counterfoil.ledger.status import read_status
from counterfoil.ledger.treestore import TreeStore
from counterfoil.vault import carry

SHARED = ("postgres-files", "postgres-s3")
MOST_STEPS = 120
LATER = time.time() + 3 * 366 * 86_400  # no key of an epoch is due, and no retention binds
APPROVED = {"basis": "GDPR Art. 17(1)(b)", "approvers": ("dpo", "records")}
SOAK = int(os.environ.get("COUNTERFOIL_SOAK", "0"))


def fill(store, count=700):
    """Append entries, and a statement beside the log; everything with its receipt."""
    with store.open() as log:
        entries = [b"entry %d" % n for n in range(count)]
        told = list(zip(entries, log.append_many(entries), strict=True))
        large = log.attest([Subject("s", {"sha256": "ab" * 32})], "approval", {"x": "y" * 40_000})
        told.append((log.entry(large.index), large.receipt))
        return [(entry, receipt) for entry, receipt in told], log.checkpoint


def check_all(store, told, checkpoint):
    with store.open() as log:
        # A writer that opens asks the witness again, whose line has the time in it.
        assert log.checkpoint.splitlines()[:5] == checkpoint.splitlines()[:5]
        for entry, receipt in told[:: len(told) // 20]:
            check_receipt(entry, receipt, log.key)
            assert log.entry(receipt.index) == entry
            check_receipt(entry, log.receipt(receipt.index), log.key)
        assert len(log.envelope(log.size - 1).payload) > 40_000
        audit(log)


@pytest.mark.parametrize("kind", SHARED)
def test_there_and_back_again(make_store, kind):
    """A log moves to PostgreSQL byte for byte, goes on there, and comes back into its folder."""
    old, new = make_store("embedded"), make_store(kind)
    old.make()
    told, checkpoint = fill(old)
    seen = []
    moved = move_log(old.location, new.location, lambda done, of: seen.append((done, of)))
    assert (moved.size, moved.left) == (701, str(Path(old.location).absolute()))
    assert seen[-1] == (701, 701)
    check_all(new, told, checkpoint)
    with old.open() as log, new.open() as same:
        assert (log.size, log.checkpoint) == (701, same.checkpoint)
        with pytest.raises(ConflictError, match=r"was moved to postgresql://ledger@127\.0\.0\.1:"):
            log.append(b"x")
    with new.open() as log:
        told.append((b"new", log.append(b"new")))
        told += zip([b"n"] * 300, log.append_many([b"n"] * 300), strict=True)
        large = log.attest([Subject("s", {"sha256": "cd" * 32})], "approval", {"x": "z" * 40_000})
        told.append((log.entry(large.index), large.receipt))
        checkpoint = log.checkpoint
    move_log(new.location, old.location)
    check_all(old, told, checkpoint)
    with new.open() as log, pytest.raises(ConflictError, match="was moved to /"):
        log.append(b"x")
    with old.open() as log:
        log.append_many([b"home"] * 300)
        checkpoint = log.checkpoint
    move_log(old.location, new.location)
    paths = set(new.paths())
    assert not {path for path in paths if path.partition(".p/")[0] in paths - {path}}
    with new.open() as log:
        assert log.checkpoint.splitlines()[:5] == checkpoint.splitlines()[:5]
        assert log.append(b"away again").index == log.size - 1
        audit(log)


def test_everything_private_moves_along(make_store):
    """Decisions and models recorded in a folder are shown at the new place, and go on there."""
    store = make_store("postgres-files")
    folder = Path(store.location.partition("file://")[2].partition("&")[0]).with_name("ledger")
    with cf.init(folder) as ledger:
        model = ledger.models.add(lambda rows: ["yes"] * len(rows), name="f")
        model.decide([[1, 2], [3, 4]])
        streams = ledger.folder / "private" / "streams"
        with pytest.raises(ConflictError, match="already has a writer"):
            move_log(folder, store.location)
    move_log(folder, store.location)
    assert not streams.exists()
    with cf.open(store.location) as ledger:
        assert len(ledger.engine.keeping.streams.ids()) == 1
        assert not (ledger.folder / "private" / "streams").exists()
        assert ledger.decisions.list("f") == [0, 1]
        page = ledger.decisions.show("f", 1).evidence().page()
        assert cf.verify(page).trusted
    assert cf.verify(store.location).trusted


def files_in(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_moved_folder_takes_nothing_in(make_store, tmp_path):
    """What is refused where the log is no more leaves nothing there, and the log can come back."""
    store = make_store("postgres-files")
    folder = tmp_path / "ledger"
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with cf.init(folder) as ledger:
        kept = ledger.data.add(tmp_path / "rows.csv", name="rows")
        model = ledger.models.add(lambda rows: ["yes"] * len(rows), name="f")
        model.decide([[1, 2]])
    move_log(folder, store.location)
    before = files_in(folder)
    with cf.open(folder) as ledger:
        for refused in (
            lambda: ledger.data.add([[1, 2]], name="more"),
            lambda: ledger.models.add(lambda rows: ["no"] * len(rows), name="g"),
            lambda: ledger.decisions.make(model, [[1, 2]]),
            lambda: ledger.decisions.declare("h"),
        ):
            with pytest.raises(ConflictError, match="was moved to"):
                refused()
        assert (ledger.people.systems(), ledger.people.elsewhere()) == ([], ["f"])
        for about in (
            lambda: ledger.people.export("p"),
            lambda: ledger.people.erase("p", basis="b", approvers=("x", "y")),
        ):
            with pytest.raises(UnavailableError, match="the records of f are elsewhere") as caught:
                about()
            assert "postgresql://" in caught.value.hint
        with pytest.raises(UnavailableError, match="are not in") as caught:
            ledger.decisions.list("f")
        assert "postgresql://" in caught.value.hint
    assert files_in(folder) == before
    assert not (folder / "private").exists()
    (folder / "private" / "data").mkdir(parents=True)  # nothing would be lost with it
    move_log(store.location, folder)
    with cf.open(folder) as ledger:
        assert ledger.data.check("rows", tmp_path / "rows.csv").digest == kept.digest
        assert ledger.decisions.list("f") == [0]
        ledger.decisions.make(model, [[1, 2]])


def test_a_backup_from_before_the_move_is_not_gone_on_with(make_store, tmp_path):
    """Restored on this machine, it says where the log is; once that is back, it may go on."""
    old, new = make_store("embedded"), make_store("postgres-files")
    old.make()
    told, _ = fill(old, 5)
    shutil.copytree(old.location, tmp_path / "backup")
    move_log(old.location, new.location)
    shutil.rmtree(old.location)
    shutil.copytree(tmp_path / "backup", old.location)
    with old.open() as log:
        assert read_status(log).moved.startswith("postgresql://")
        assert log.entry(0) == told[0][0]
        with pytest.raises(MovedError, match="was moved to postgresql://"):
            log.append(b"a second history")
    with new.open() as log:
        log.append(b"on")
    move_log(new.location, tmp_path / "back")
    with cf.open(tmp_path / "back") as log:
        log.append(b"home")
    with old.open() as log, pytest.raises(ConflictError, match="restored from a snapshot"):
        log.append(b"a second history")


def test_an_unfinished_move_says_at_both_places_what_to_repeat(make_store, monkeypatch):
    """Broken off once the old place was marked, nobody is sent round in a circle."""
    old, new = make_store("embedded"), make_store("postgres-files")
    old.make()
    fill(old, 5)

    with monkeypatch.context() as patch:
        patch.setattr(move, "_move_kept", interrupt)
        with pytest.raises(KeyboardInterrupt):
            move_log(old.location, new.location)
    with old.open() as log, pytest.raises(MovedError) as at_old:
        log.append(b"x")
    with pytest.raises(FormatError, match="there is no ledger") as at_new:
        new.open()
    assert "broken off: repeat it, counterfoil log move" in at_old.value.hint
    assert "broken off, repeat it" in at_new.value.hint
    assert move_log(old.location, new.location).size == 6


def test_private_files_are_not_mixed(make_store, tmp_path):
    """What only lies where a log comes back to stays; where it matters it is said what to do."""
    store = make_store("postgres-files")
    folder = tmp_path / "ledger"
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with cf.init(folder) as ledger:
        kept = ledger.data.add(tmp_path / "rows.csv", name="rows")
    move_log(folder, store.location)
    for name in ("private/data", "anchors"):
        (folder / name).mkdir(parents=True)
        (folder / name / "x.json").write_text("{}")
    with cf.open(store.location) as ledger:
        (ledger.folder / "anchors").mkdir()
    with pytest.raises(ConflictError, match=r"anchors is there already, with x\.json") as caught:
        move_log(store.location, folder)
    assert (folder / "anchors" / "x.json").read_text() == "{}"
    command, here, away = caught.value.hint.rsplit(": ", 1)[1].split()
    assert command == "mv"
    Path(here).rename(away)
    move_log(store.location, folder)
    with cf.open(folder) as ledger:
        assert ledger.data.check("rows", tmp_path / "rows.csv").digest == kept.digest
        assert (folder / "private" / "data" / "x.json").read_text() == "{}"


def test_move_does_not_mix_logs(make_store, tmp_path):
    """Nothing is moved over another log, over a copy that went on, or to where it is."""
    old, new = make_store("embedded"), make_store("postgres-files")
    old.make()
    with pytest.raises(FormatError, match="no ledger"):
        move_log(tmp_path / "nothing", new.location)
    with pytest.raises(FormatError, match="where it is"):
        move_log(old.location, old.location)
    with old.open() as log:
        log.append(b"x")
    shutil.copytree(old.location, tmp_path / "copy")
    move_log(old.location, new.location)
    with pytest.raises(ConflictError, match="both hold"):
        move_log(tmp_path / "copy", new.location)
    with pytest.raises(ConflictError, match="was moved to"):
        move_log(old.location, tmp_path / "elsewhere")
    with cf.init(tmp_path / "other"):
        pass
    with pytest.raises(ConflictError, match="holds another log"):
        move_log(tmp_path / "other", new.location)


def test_a_place_that_refuses_is_found_out_before_anything_moves(make_store, tmp_path):
    """Where tiles cannot be written, or another log's are, the log stays with all its records."""
    store, other = make_store("postgres-files"), make_store("postgres-files")
    other.make()
    with other.open() as log:
        log.append(b"other")
        checkpoint = log.checkpoint
    base, schema = store.location.split("?")[0], store.location.rpartition("=")[2]
    folder = tmp_path / "ledger"
    with cf.init(folder) as ledger:
        ledger.models.add(lambda rows: ["yes"] * len(rows), name="f").decide([[1]])
    for tiles, error in (
        ("file:///proc/tiles", UnavailableError),
        (f"file://{other.tiles}", ConflictError),
    ):
        with pytest.raises(error):
            move_log(folder, f"{base}?tiles={tiles}&schema={schema}")
    with cf.open(folder) as ledger:
        assert ledger.decisions.list("f") == [0]
        ledger.append(b"still here")
    with other.open() as log:
        assert log.append(b"still there").index == 1
        assert log.checkpoint != checkpoint
    move_log(folder, store.location)
    with cf.open(store.location) as ledger:
        assert ledger.decisions.list("f") == [0]


def test_a_log_that_was_set_back_is_not_moved(make_store, tmp_path):
    """It is refused before anything is made where it was to go."""
    store = make_store("postgres-files")
    store.make()
    fill(store)
    store.set_back()
    with pytest.raises(ConflictError, match="has 0 entries, and 701 of this log were shown"):
        move_log(store.location, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_the_address_that_is_to_be_left_is_one_that_can_be_given(make_store, tmp_path):
    """Whoever appends where the log was is told the whole command that repeats a move."""
    store = make_store("postgres-files")
    store.make()
    fill(store, 3)
    folder = tmp_path / "a ledger"
    move_log(store.location, folder)
    with store.open() as log, pytest.raises(MovedError) as refused:
        log.append(b"z")
    command = refused.value.hint.rpartition("repeat it, ")[2]
    source, target = shlex.split(command)[3:]
    assert target == str(folder)
    assert show_address(source) == source == show_address(store.location)
    with cf.open(store.location) as ledger, pytest.raises(MovedError) as refused:
        ledger.data.add(Path(__file__), name="x")
    assert source in refused.value.hint


def interrupt(*_):
    raise KeyboardInterrupt


def test_what_is_private_outlives_a_database_that_was_set_back(
    make_store, postgres, tmp_path, monkeypatch
):
    """The tiles give the log back, the database that was restored its streams: all goes on."""
    store = make_store("postgres-files")
    url, schema = store.location, parse_address(store.location).schema
    with cf.init(url, clock=lambda: LATER) as ledger:
        ledger.policy.adopt(ledger.policy.show().followed_by(retention=()))
        model = ledger.models.add(lambda rows: ["yes"] * len(rows), name="loans")
        model.decide([[1], [2]], data_subjects=["ann", "ben"])
    dumped = subprocess.run(
        [postgres.program("pg_dump"), "-d", postgres.url, "-n", schema],
        check=True,
        capture_output=True,
    ).stdout
    with cf.open(url, clock=lambda: LATER) as ledger:
        ledger.append_many([b"after the dump %d" % n for n in range(300)])
        size = ledger.size
    with pytest.raises(ConflictError, match="was not set back"):
        import_lost(store.tiles, tmp_path / "again", url)
    (tmp_path / "dump.sql").write_bytes(dumped)
    restore = ["-q1", "-v", "ON_ERROR_STOP=1", "-c", f"DROP SCHEMA {schema} CASCADE"]
    subprocess.run(
        [postgres.program("psql"), "-d", postgres.url, *restore, "-f", tmp_path / "dump.sql"],
        check=True,
        capture_output=True,
    )
    with (
        cf.open(url, clock=lambda: LATER) as ledger,
        pytest.raises(ConflictError, match="were shown already"),
    ):
        ledger.people.erase("ann", **APPROVED)
    with monkeypatch.context() as patch:
        patch.setattr(carry, "_carry_files", interrupt)
        with pytest.raises(KeyboardInterrupt):  # the streams are there, and none of the rest
            import_lost(store.tiles, tmp_path / "again", url)
    assert not (tmp_path / "again").exists()
    command = ["log", "import", str(store.tiles), str(tmp_path / "again"), "--private-from", url]
    assert CliRunner().invoke(app, command).exit_code == FormatError.exit_code
    done = CliRunner().invoke(app, [*command, "--original-is-lost", "--json"])
    assert json.loads(done.stdout)["size"] == size
    with cf.open(tmp_path / "again", clock=lambda: LATER) as ledger:
        assert ledger.decisions.list("loans") == [0, 1]
        assert cf.verify(ledger.decisions.show("loans", 1).evidence().page()).trusted
        (certificate,) = ledger.people.erase("ann", **APPROVED)
        assert len(certificate.leaves) == 1
        assert ledger.audit().size > size
    with store.open() as log:
        assert read_status(log).set_back_from == size
        assert log.engine.keeping.streams.ids() == []


def test_damaged_log_is_not_moved(make_store):
    """What is not under the signed root is found while copying, and the log stays where it is."""
    old, new = make_store("embedded"), make_store("postgres-files")
    old.make()
    fill(old)
    old.damage(0, b"entry 3", b"entry 4")
    with pytest.raises(VerificationError):
        move_log(old.location, new.location)
    assert ends.FolderEnd(Path(old.location), Disk()).held().moved_to == ""


def test_other_history_is_not_continued(make_store, tmp_path, signer):
    """A log that comes back to a folder with another history is stopped, with both checkpoints."""
    shutil.rmtree(Places(signer.key.name).witness)  # which would have told before
    old, new = make_store("embedded"), make_store("postgres-files")
    old.make()
    fill(old, 5)
    move_log(old.location, new.location)
    with new.open() as log:
        log.append_many([b"z"] * 2)
    mark = Path(old.location) / "moved.json"
    mark.rename(tmp_path / "mark")
    Places(signer.key.name).moved.unlink()  # which would have told, too
    with old.open() as log:
        log.append(b"other")
        note = log.checkpoint
    (tmp_path / "mark").rename(mark)
    with pytest.raises(SplitViewError) as caught:
        move_log(new.location, old.location)
    assert caught.value.a == note


def test_log_is_moved_away_under_load(make_store):
    """Others append without a pause; the move gets its turn, and they are told where to go on."""
    old, new = make_store("postgres-files"), make_store("embedded")
    old.make()
    code = (
        "from counterfoil.errors import ConflictError\n"
        "try:\n"
        "    while True: print(log.append(b'x').index, flush=True)\n"
        "except ConflictError as error: print(error, flush=True)"
    )
    busy = [old.in_process(code) for _ in range(2)]
    for process in busy:
        process.stdout.readline()
    moved = move_log(old.location, new.location)
    told = []
    for process in busy:
        with process:
            told.append(process.stdout.read().split("\n"))
    assert all("was moved to" in lines[-2] for lines in told)
    assert {int(line) for lines in told for line in lines[:-2]} <= set(range(moved.size))
    with new.open() as log:
        assert log.append(b"on").index == moved.size


MOVE = """
import sys
from counterfoil.front import move_log
move_log(*sys.argv[1:])
"""
STEPS = (
    (FolderObjects, "create"),
    (FolderObjects, "replace"),
    (TreeStore, "commit"),
    (TreeStore, "publish"),
    (Disk, "replace"),
    (state, "mark_moved"),
    (state, "create_rows"),
    (state, "resume"),
    (move, "_move_kept"),
    (Path, "unlink"),
)


def test_a_writer_of_long_hears_that_the_log_went(make_store, tmp_path):
    """Nothing is signed any more, nor kept beside the log, once it was moved."""
    shared, folder = make_store("postgres-files"), tmp_path / "back"
    with cf.init(shared.location) as ledger:
        ledger.append(b"as a writer")
        moved = move_log(shared.location, folder)
        time.sleep(2.5)  # it looks every second
        with pytest.raises(MovedError, match="was moved to"):
            ledger.sign([Subject("s", {"sha256": "ab" * 32})], "approval", {})
        assert moved.size == ledger.size


@pytest.mark.parametrize("way", ["away", "back"])
def test_killed_at_every_step(make_store, tmp_path, monkeypatch, way):
    """Wherever a move is killed, the same call finishes it; never can both places append."""
    homes = tmp_path / "home"
    shutil.copytree(os.environ["COUNTERFOIL_HOME"], homes / "clean")
    killed = 0
    for at in itertools.count(1, 1 if SOAK else 7):  # odd: before steps, and after
        assert at < MOST_STEPS
        monkeypatch.setenv("COUNTERFOIL_HOME", str(homes / f"{at}"))
        shutil.copytree(homes / "clean", homes / f"{at}")
        old, new = make_store("embedded"), make_store("postgres-files")
        old.make()
        told, checkpoint = fill(old, 300)
        if way == "back":
            move_log(old.location, new.location)
            with new.open() as log:
                told += [(b"n", log.append(b"n"))]
                large = [Subject("s", {"sha256": "cd" * 32})]
                log.attest(large, "approval", {"x": "z" * 40_000})
                checkpoint = log.checkpoint
            old, new = new, old
        is_ended = run_ending_at(at, STEPS, MOVE, old.location, new.location)
        assert can_append(old) + can_append(new) <= 1
        assert move_log(old.location, new.location).size == len(told) + (way == "back")
        check_all(new, told, checkpoint)
        assert not can_append(old)
        with new.open() as log:
            log.append(b"on")
        if not is_ended:
            break
        killed += 1
    assert killed >= {"away": 40, "back": 12}[way] // (1 if SOAK else 7)


def can_append(store):
    """Whether somebody could become a writer there."""
    try:
        with store.open() as log:
            log.engine.write().close()
    except (ConflictError, FormatError):
        return False
    return True
