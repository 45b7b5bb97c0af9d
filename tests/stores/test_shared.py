"""What only a log on PostgreSQL and an object store has to promise."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import servers
from typer.testing import CliRunner

import counterfoil as cf
from counterfoil.cli import app
from counterfoil.cluster import Cluster, create_log, leader, schema, state
from counterfoil.cluster.address import parse_address
from counterfoil.cluster.database import Database
from counterfoil.cluster.objects import FolderObjects
from counterfoil.cluster.queue import join_entries, stage, take
from counterfoil.cluster.tiletree import Head
from counterfoil.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from counterfoil.core.cosignature import find_cosignatures
from counterfoil.core.merkle import Hash
from counterfoil.core.note import parse_note
from counterfoil.core.receipt import check_receipt
from counterfoil.core.statement import Subject
from counterfoil.core.tile import parse_tile_path
from counterfoil.errors import (
    ConflictError,
    CounterfoilError,
    FormatError,
    SplitViewError,
    UnavailableError,
    VerificationError,
)
from counterfoil.ledger.audit import audit
from counterfoil.ledger.countersign import Witnesses
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.export import export_site
from counterfoil.ledger.keyfiles import load_vkey
from counterfoil.ledger.places import Places
from counterfoil.ledger.status import check_memory, read_status


@pytest.fixture
def database(shared):
    """The tables of a shared log, beneath everything."""
    opened = Database(parse_address(shared.location))
    yield opened
    opened.close()


@contextlib.contextmanager
def session(database):
    with database.session("testing") as connection:
        yield connection


def forget_witness(store):
    """Take the local witness away, so that nobody but the stores can notice."""
    for path in Places(store.signer.key.name).witness.iterdir():
        path.unlink() if path.is_file() else None
    Places(store.signer.key.name).witness.rmdir()


def test_object_store_is_a_site(shared, tmp_path):
    """What lies in the object store is the log as any tlog-tiles client reads it."""
    with shared.open() as log:
        for count in (1, 255, 300, 77):
            log.append_many([f"{count} {n}".encode() for n in range(count)])
        export_site(log, tmp_path / "site")
        note = log.checkpoint
    files = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(tmp_path / "site")): path.read_bytes() for path in files}
    assert wanted["checkpoint"] == note
    for path, data in wanted.items():
        assert shared.read_object(path) == data, path
    # Partial tiles stay as long as they are at the edge, and go once the full one is there.
    for path in set(shared.paths()) - wanted.keys():
        tile = parse_tile_path(path)
        assert tile.width < 256
        assert path.partition(".p/")[0] not in wanted


def test_reader_behind_a_full_tile(shared):
    """A reader who still holds an older size reads on, though its partial tiles have gone."""
    with shared.open() as log:
        log.append_many([b"%d" % n for n in range(200)])
    with shared.open() as reader:
        with shared.open() as log:
            log.append_many([b"%d" % n for n in range(200, 300)])
        assert not [path for path in shared.paths() if path.startswith("tile/0/000.p/")]
        assert reader.size == 200
        check_receipt(b"7", reader.receipt(7), reader.key)
        assert audit(reader).size == 200


def test_reader_reads_on_while_the_log_grows(shared, monkeypatch):
    """What one thread reads is whole, though another one takes over a newer size meanwhile."""
    with shared.open() as log, shared.open() as reader:
        log.append_many([b"%d" % n for n in range(20)])
        reader.refresh()
        real = reader._tree._tiles

        def grown(*words):
            found = real(*words)
            log.append(b"more")
            reader._tree.refresh()
            return found

        monkeypatch.setattr(reader._tree, "_tiles", grown)
        assert list(reader.entries(0, 20)) == [b"%d" % n for n in range(20)]


def test_queue_is_emptied(shared, database):
    """Entries leave the database once their bundles are full and stored, and no sooner."""
    with shared.open() as log:
        log.append_many([b"%d" % n for n in range(250)])
        with session(database) as connection:
            kept = connection.execute("SELECT sum(count) FROM queue").fetchone()
        assert kept == (250,)
        log.append_many([b"%d" % n for n in range(20)])
        log.append_many([b"%d" % n for n in range(300)])
    with session(database) as connection:
        rows = connection.execute(
            "SELECT first, placed.count FROM queue JOIN placed USING (id) ORDER BY first"
        ).fetchall()
    assert rows == [(270, 300)]


def test_deposed_leader_changes_nothing(shared, database):
    """Whoever led before is fenced: neither the committed head nor the published one moves."""
    with session(database) as old, session(database) as new:
        first = state.lead(old, database, "first")
        second = state.lead(new, database, "second")
        assert second.epoch > first.epoch
        root = Hash(b"\1" * 32)
        checkpoint = Checkpoint(shared.signer.key.name, 1, root)
        head = Head(1, root, sign_checkpoint(checkpoint, shared.signer))
        for act in (
            lambda: state.swap(old, first.epoch, first.committed, head, {}),
            lambda: state.publish(old, database, first.epoch, head),
        ):
            with pytest.raises(state.FencedError):
                act()
        state.swap(new, second.epoch, second.committed, head, {})
        with pytest.raises(state.FencedError):  # it was somebody's already
            state.swap(new, second.epoch, second.committed, head, {})


def test_database_refuses_to_shrink_a_log(shared, database):
    """Not even a query by hand sets a log back, or gives one size a second root."""
    with shared.open() as log:
        log.append(b"x")
    for table in ("log", "published"):
        for change in ("size = 0", "root = decode(repeat('ab', 32), 'hex')"):
            with (
                session(database) as connection,
                pytest.raises(psycopg.IntegrityError, match="only grows"),
            ):
                connection.execute(f"UPDATE {table} SET {change}".encode())


def waiting_calls(database):
    with session(database) as connection:
        return connection.execute("SELECT count(*) FROM queue").fetchone()[0]


def test_database_that_was_set_back_leads_nowhere(shared, database):
    """A database restored from a backup is behind its object store: nobody signs."""
    forget_witness(shared)
    with shared.open() as log:
        log.append(b"x")
        log.append(b"y")
    shared.set_back()
    with shared.open() as log, pytest.raises(ConflictError, match="has 0 entries, and 2 of this"):
        log.append(b"z")
    assert waiting_calls(database) == 0


def test_database_that_was_set_back_is_not_verified(shared):
    """Who only reads is told, too: fewer entries than were shown are no verdict."""
    forget_witness(shared)
    with shared.open() as log:
        log.append_many([b"x", b"y"])
        assert read_status(log).set_back_from is None
        check_memory(log)
    shared.set_back()
    with shared.open() as log:
        assert read_status(log).set_back_from == 2
        with pytest.raises(VerificationError, match="has 0 entries, and 2 of this log were shown"):
            check_memory(log)


def test_leader_shows_nothing_in_a_database_that_was_set_back_under_it(
    shared, database, monkeypatch
):
    """Restored while witnesses are asked, a database does not get what was committed before.

    Nor is the caller told that its entries are queued: they went with what the database was.
    """
    forget_witness(shared)
    is_asking, goes_on = threading.Event(), threading.Event()
    countersign = Witnesses.countersign

    def hold(self, tree, note):
        is_asking.set()
        assert goes_on.wait(60)
        return countersign(self, tree, note)

    with shared.open() as log, ThreadPoolExecutor(1) as thread:
        log.append(b"x")
        monkeypatch.setattr(Witnesses, "countersign", hold)
        waiting = thread.submit(log.append, b"y")
        assert is_asking.wait(60)
        shared.set_back()
        goes_on.set()
        with pytest.raises(ConflictError, match="has 0 entries, and 1 of this") as refused:
            waiting.result()
        assert "queued durably" not in refused.value.hint
        assert "look whether they are in" in refused.value.hint
        with session(database) as connection:
            assert connection.execute("SELECT size FROM published").fetchone() == (0,)
        with pytest.raises(ConflictError, match="has 0 entries, and 1 of this"):
            log.append(b"z")
    assert waiting_calls(database) == 0


@pytest.mark.parametrize("is_shown", [True, False])
def test_database_that_shows_more_than_it_has_was_set_back(shared, database, is_shown):
    """What is published beyond what is committed was published before a restore: all say so."""
    forget_witness(shared)
    with shared.open() as log:
        log.append_many([b"x", b"y"])
    shared.set_back("log")
    if not is_shown:
        shared.write_object("checkpoint", None)
    with shared.open() as log:
        assert read_status(log).set_back_from == 2
        with pytest.raises(VerificationError, match="has 0 entries, and 2 of this log were shown"):
            check_memory(log)
        with pytest.raises(ConflictError, match="has 0 entries, and 2 of this"):
            log.append(b"z")
    assert waiting_calls(database) == 0


def test_what_is_refused_for_the_witness_is_not_queued(shared, database):
    """Whoever knows that the log is behind queues nothing, for others who would not know it."""
    with shared.open() as log:
        log.append(b"x")
    shared.set_back()
    shared.write_object("checkpoint", None)
    with shared.open() as log, pytest.raises(ConflictError, match="its witness has seen 1"):
        log.append(b"y")
    assert waiting_calls(database) == 0


def test_what_a_leader_refuses_is_taken_out_of_the_queue(shared, database):
    """A writer that finds out later takes back what it had queued: no one appends it after all."""
    with shared.open() as log:
        log.append(b"x")
        shared.set_back()
        with session(database) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND pid <> pg_backend_pid()"
            )
        with pytest.raises(ConflictError, match="has 0 entries, and 1 of this"):
            log.append(b"y")
        assert waiting_calls(database) == 0


def test_object_with_other_bytes_is_named(shared):
    """A tile that is there already, and is another one, is an error that names it."""
    forget_witness(shared)
    objects = Cluster(shared.location, Disk()).objects
    objects.create({"tile/entries/000.p/1": b"\x00\x01y"})
    with shared.open() as log, pytest.raises(VerificationError, match=r"tile/entries/000\.p/1"):
        log.append(b"x")
    with pytest.raises(VerificationError, match=r"tile/entries/000\.p/1"):
        objects.create({"tile/entries/000.p/1": b"\x00\x01z"})
    objects.create({"tile/entries/000.p/1": b"\x00\x01y"})


def test_a_closed_ledger_has_no_threads_at_the_store(shared):
    """A program that opens one after another does not gather them until its memory is looked at."""
    with shared.open() as log:
        log.append_many([b"x%d" % number for number in range(300)])
        assert len(list(log.entries(0, 300))) == 300
    assert not [one.name for one in threading.enumerate() if one.name.startswith("objects")]


def test_other_history_in_the_store_is_a_split_view(shared):
    """A store that shows a checkpoint of ours with another root is evidence, and said to be."""
    forget_witness(shared)
    with shared.open() as log:
        log.append_many([b"x"] * 3)
        other = Checkpoint(log.origin, 2, Hash(b"\1" * 32))
    note = sign_checkpoint(other, shared.signer)
    shared.write_object("checkpoint", note)
    with shared.open() as log, pytest.raises(SplitViewError) as caught:
        log.append(b"y")
    assert caught.value.a == note


def test_changed_edge_is_not_signed_over(shared):
    """Whoever changes a tile at the right edge gets no signature over it."""
    with shared.open() as log:
        log.append_many([b"entry %d" % n for n in range(3)])
    shared.damage(0, b"entry 1", b"entry 7")
    with (
        shared.open() as log,
        pytest.raises(VerificationError, match=r"entries/000.p/3 in .* is not what was logged"),
    ):
        log.append(b"x")


def test_newer_tables_are_refused(shared, database):
    """A database that a newer version has migrated is left alone."""
    with session(database) as connection:
        connection.execute("INSERT INTO migrations (number) VALUES (9999)")
    with pytest.raises(ConflictError, match="version 9999"):
        shared.open()


def test_migrations_run_once_and_in_order(database):
    """Each migration runs once, whoever comes; one that fails leaves nothing behind."""
    known = schema.known_migrations()
    assert list(known) == [*range(1, len(known) + 1)]
    newest = max(known)
    more = known | {newest + 1: "CREATE TABLE extra (x int); INSERT INTO extra VALUES (1)"}
    for _ in range(2):
        schema.migrate(database, more)
    with pytest.raises(psycopg.ProgrammingError):
        schema.migrate(database, more | {newest + 2: "CREATE TABLE other (x int); nonsense"})
    with session(database) as connection:
        assert connection.execute("SELECT count(*) FROM extra").fetchone() == (1,)
        assert connection.execute("SELECT to_regclass('other')").fetchone() == (None,)


def test_queries_are_not_compiled(database):
    """Tables that nobody analysed look large; compiling a query on them takes far longer than it.

    PostgreSQL would do so each time, also for the one that every reader asks at each look.
    """
    with session(database) as connection:
        plan = connection.execute(
            "EXPLAIN (ANALYZE) SELECT published.size FROM published, leader, log"
        ).fetchall()
    assert not any("JIT" in line for (line,) in plan)


def test_second_log_in_one_schema_is_refused(shared):
    """One schema holds one log."""
    with pytest.raises(ConflictError, match="already exists"):
        create_log(shared.location, lambda: shared.signer)


def test_a_place_that_takes_no_log_is_left_without_keys(shared, tmp_path, monkeypatch):
    """Where another log's tiles are, `init` is refused before it makes anything in the home."""
    with shared.open() as log:
        log.append(b"x")
    url = re.sub("schema=[a-z0-9_]+", r"\g<0>_more", shared.location)
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "new-home"))
    with pytest.raises(ConflictError, match="holds the tiles of a log"):
        cf.init(url)
    assert not (tmp_path / "new-home").exists()


def test_no_ledger_is_named(shared):
    """Where there are no tables, the error says how to get them."""
    nowhere = re.sub("schema=[a-z0-9_]+", "schema=nothing_here", shared.location)
    with pytest.raises(FormatError, match="there is no ledger in") as caught:
        cf.open(nowhere)
    assert "log move" in caught.value.hint


@pytest.mark.parametrize("tables", ["log (x int)", "migrations (x int)"])
def test_a_schema_of_something_else_is_left_alone(make_store, postgres, tables):
    """Tables of the names that a ledger has are said to be there, and none is added."""
    url = make_store("postgres-files").location
    name = parse_address(url).schema
    postgres.run(f"CREATE SCHEMA {name}; CREATE TABLE {name}.{tables}")
    for use in (cf.init, cf.open):
        with pytest.raises(CounterfoilError, match=f"/ledgers.schema={name}") as refused:
            use(url)
        assert "schema=" in refused.value.hint or "counterfoil init" in refused.value.hint
    query = "SELECT count(*) FROM pg_tables WHERE schemaname = %s"
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute(query, (name,)).fetchone() == (1,)


def test_a_backup_that_is_being_restored_is_no_ledger_yet(shared, database):
    """Whoever opens it while tables are there and not filled yet is told to wait."""
    with session(database) as connection:
        connection.execute("TRUNCATE migrations")
    with pytest.raises(ConflictError, match="already exists") as refused:
        cf.open(shared.location)
    assert "being restored" in refused.value.hint


def test_leader_takes_bounded_bites(shared, database):
    """A backlog is taken in pieces of bounded length, in order, and one large call whole."""
    with session(database) as connection:
        for count in (5000, 3000, 1000, 500):
            data = b"\x00\x01x" * count
            connection.execute("INSERT INTO queue (count, entries) VALUES (%s, %b)", (count, data))
        assert [len(call.entries) for call in take(connection)] == [5000]
        connection.execute("DELETE FROM queue WHERE count = 5000")
        assert [len(call.entries) for call in take(connection)] == [3000, 1000]
    with shared.open() as log:
        log.append(b"y")
        assert log.size == 4501


SECRET = "pass-word-17"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:{}@host/db",
        "postgresql://u:{}@host/db?tiles=http://x/y",
        "postgresql://u:{}@host/db?tiles=s3://bucket/../x",
        "postgresql://u:{}@host/db?tiles=file:///a/../b",
        "postgresql://u:{}@host/db?tiles=file://relative",
        "postgresql://u:{}@host/db?tiles=s3://b/x&tiles=s3://b/y",
        "postgresql://u:{}@host/db?tiles=s3://bucket/x&schema=No",
        "postgresql://u:{}@host/db?tiles=s3://bucket/x&schema=a;b",
        "postgresql://u:{}@host/db?tiles=s3://bucket/x&options=-cfsync=off",
        "postgresql://u:{}%zz@host/db?tiles=s3://bucket/x",
        "postgresql://u:{}@host/db\n?tiles=s3://bucket/x",
        "postgresql://u:{}@[host/db?tiles=s3://bucket/x",
        "postgresql://u:{}@host/db?tiles=s3://bucket/" + "x" * 3000,
        "postgresql://u:{}@host/db?nonsense",
        "https://u:{}@host/db?tiles=s3://bucket/x",
    ],
)
def test_wrong_addresses_are_refused_without_their_secret(url):
    """An address that is none is refused, and no message repeats its password."""
    with pytest.raises(FormatError) as caught:
        parse_address(url.format(SECRET))
    assert SECRET not in str(caught.value) + caught.value.hint


def test_address_is_read():
    """What libpq takes is its own; tiles and schema are ours; the name has no password in it."""
    address = parse_address(
        f"postgresql://u:{SECRET}@h1:5433,h2/db?tiles=s3://bucket/a/b/&schema=x_1"
        "&target_session_attrs=read-write&sslmode=verify-full"
    )
    assert address.tiles == "s3://bucket/a/b"
    assert address.schema == "x_1"
    assert address.conninfo["host"] == "h1,h2"
    assert address.conninfo["password"] == SECRET
    assert address.conninfo["target_session_attrs"] == "read-write"
    assert address.conceal(f"{SECRET} is wrong") == "… is wrong"
    assert SECRET not in repr(address) + address.name + address.url
    assert address.name.endswith("/db?schema=x_1")
    again = parse_address(address.url)
    assert (again.tiles, again.schema, again.conninfo["user"]) == (address.tiles, "x_1", "u")


def test_password_is_in_no_message(shared, capfd):
    """A wrong password, and a server that is not there, are said without the password."""
    wrong = re.sub(":[^:@]+@", f":{SECRET}@", shared.location)
    nowhere = re.sub(r":\d+/", ":1/", wrong)
    for url in (wrong, nowhere):
        with pytest.raises(UnavailableError) as caught:
            cf.open(url)
        error: BaseException | None = caught.value
        assert SECRET not in f"{error} {caught.value.hint}"
    assert SECRET not in "".join(capfd.readouterr())


def test_folder_store_syncs_what_it_makes(tmp_path):
    """An object in a folder is synced, with its name, before anybody hears of it."""
    steps = []

    class Noted(Disk):
        def sync(self, fd):
            steps.append("sync")
            super().sync(fd)

        def sync_folder(self, folder):
            steps.append(folder.name)
            super().sync_folder(folder)

    objects = FolderObjects(tmp_path / "tiles", Noted())
    objects.create({"tile/0/000": b"x" * 32})
    assert steps == [tmp_path.name, "tiles", "tile", "sync", "0"]
    assert [path.name for path in (tmp_path / "tiles" / "tile" / "0").iterdir()] == ["000"]


def test_server_that_does_not_sync_is_refused(make_store):
    """PostgreSQL with fsync off forgets commits in a power cut, so nothing is kept there."""
    careless = servers.Postgres(fsync="off")
    try:
        store = make_store("postgres-files")
        url = f"{careless.url}?{store.location.partition('?')[2]}"
        with pytest.raises(UnavailableError, match="fsync or full_page_writes off"):
            create_log(url, lambda: store.signer)
    finally:
        careless.close()


def test_everyday_words_work_on_a_shared_ledger(make_store):
    """`init`, data, a model, decisions and evidence work there as they do in a folder."""
    store = make_store("postgres-files")
    with cf.init(store.location, organisation="Example Bank") as ledger:
        model = ledger.models.add(lambda rows: ["yes"] * len(rows), name="f")
        batch = model.decide([[1, 2], [3, 4]])
        page = batch[1].evidence().page()
        assert cf.verify(page).trusted
        size = ledger.size
    with cf.open(store.location) as ledger:
        assert ledger.size == size
        assert ledger.audit().size == size
    assert cf.verify(store.location).trusted
    with cf.init(store.location) as again:
        assert again.size == size
        checkpoint = open_checkpoint(again.checkpoint, again.key)
        assert checkpoint.origin.startswith("counterfoil.local/ledgers-")


def test_role_that_may_only_read(shared, database, postgres):
    """A role with SELECT reads, proves and audits; what it cannot do is said."""
    with shared.open() as log:
        log.append_many([b"%d" % n for n in range(300)])
    schema_name = database.address.schema
    role = f"reader_{schema_name}"
    postgres.run(
        f"CREATE ROLE {role} LOGIN PASSWORD 'reads'; GRANT USAGE ON SCHEMA {schema_name} TO {role};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema_name} TO {role}"
    )
    try:
        url = re.sub("//[^@]+@", f"//{role}:reads@", shared.location)
        with cf.open(url) as reader:
            check_receipt(b"7", reader.receipt(7), reader.key)
            assert reader.audit().size == 300
            with pytest.raises(UnavailableError, match="permission denied"):
                reader.append(b"x")
    finally:
        postgres.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_without_the_extra_it_is_named():
    """Without psycopg or obstore, opening such a ledger says what to install."""
    code = (
        "import sys; sys.modules[{!r}] = None\n"
        "import counterfoil as cf\n"
        "try: cf.open('postgresql://host/db?tiles=s3://bucket/x')\n"
        "except cf.UnavailableError as error: print(error, error.hint)"
    )
    for library in ("psycopg", "psycopg_pool", "obstore"):
        command = [sys.executable, "-c", code.format(library)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert library in said
        assert "pip install 'counterfoil[postgres]'" in said


def test_index_outlives_a_writer_who_lags(shared, monkeypatch):
    """Two writers of one machine share an index; one who has not heard of the newest keeps it."""
    with shared.open() as ahead, shared.open() as behind:
        ahead.attest([Subject("s", {"sha256": "ab" * 32})], "approval", {})
        behind.append(b"x")
        monkeypatch.setattr(behind._tree, "take", lambda _: None)  # deaf from here on
        ahead.attest([Subject("s", {"sha256": "ab" * 32})], "approval", {"note": "later"})
        assert [found.index for found in ahead.find(subject="s")] == [0, 2]
        file = ahead.places.index
        before = file.stat().st_ino
        assert [found.index for found in behind.find(subject="s")] == [0]
        assert file.stat().st_ino == before


def test_command_line_moves_and_shows(make_store, run_cli):
    """The commands take a URL wherever they take a folder, and never show its password."""
    old, new = make_store("embedded"), make_store("postgres-files")
    shown = run_cli("init", old.location)
    run_cli("log", "move", old.location, new.location)
    for words in (
        ("log", "status", "--ledger", new.location),
        ("log", "audit", "--ledger", new.location),
        ("verify", new.location),
        ("init", new.location),
    ):
        answer = run_cli(*words)
        assert shown["origin"] in str(answer)
    answer = run_cli("log", "status", "--ledger", new.location)
    assert (answer["shared"], answer["writer"], answer["size"]) == (True, None, shown["size"])
    assert answer["writers"] == "any"
    refused = run_cli("policy", "key", "x", "--ledger", old.location)
    assert refused is not None
    back = run_cli("log", "move", new.location, old.location)
    assert back["ledger"] == old.location
    assert back["left"].startswith("postgresql://ledger@127.0.0.1:")


@pytest.fixture
def run_cli():
    """Runs a command with `--json`; what it answers, which never has the password in it."""

    def run(*words):
        result = CliRunner().invoke(app, [*words, "--json"])
        assert result.exit_code == 0, result.output
        assert servers.PASSWORD not in result.output
        assert urllib.parse.quote(servers.PASSWORD, safe="") not in result.output
        return json.loads(result.stdout)

    return run


def test_missing_objects_are_said_to_be_missing(shared):
    """A tile that is gone is named by whoever needs it, and nothing is made up for it."""
    with shared.open() as log:
        log.append_many([b"%d" % n for n in range(300)])
    shared.write_object("tile/entries/000", None)
    with shared.open() as log:
        assert log.entry(299) == b"299"
        with pytest.raises(CounterfoilError, match="tile/entries/000"):
            log.entry(3)


def test_an_idle_leader_asks_silent_witnesses_by_itself(shared, monkeypatch):
    """No append is needed, and no command in the process that leads."""
    monkeypatch.setattr(leader, "ASK_AGAIN_S", 0.1)
    with shared.open() as log:
        key = load_vkey(Places(log.origin).witness / "key.vkey")
        private = Places(log.origin).witness / "key.pem"
        private.rename(private.with_name("away.pem"))
        with pytest.warns(UserWarning, match="local witness has not cosigned"):
            log.append(b"x")
        private.with_name("away.pem").rename(private)
        deadline = time.monotonic() + 60
        while not find_cosignatures(parse_note(log.checkpoint), [key]):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_whoever_is_in_doubt_finds_out(shared, database):
    """Appending nothing waits until all that was queued before is published, and can be found."""
    with shared.open() as log:
        log.append(b"first")
        writer = log.engine.write()
        try:
            with database.transaction("queueing as a process that then died") as connection:
                for number in range(3):
                    stage(connection, database, [(1, join_entries([b"orphan %d" % number]), None)])
            assert list(writer.append(())) == []
            assert writer.tree.size == 4
        finally:
            writer.close()
        log.append_many(())
        assert log.size == 4
        assert {log.entry(at) for at in range(1, 4)} == {b"orphan %d" % at for at in range(3)}


def test_places_that_a_log_left_say_so(make_store, run_cli, tmp_path):
    """Status and verify name where the log is now, and accuse nobody of a restored snapshot."""
    folder, store = str(tmp_path / "ledger"), make_store("postgres-files")
    run_cli("init", folder)
    run_cli("log", "move", folder, store.location)
    assert run_cli("verify", folder)["not_checked"][0].startswith("What came after: the log was")
    with store.open() as log:
        log.append(b"went on")
        size = log.size
    found = run_cli("log", "status", "--ledger", folder)
    assert found["moved"].startswith("postgresql://ledger@127.0.0.1:")
    assert (found["writers"], found["writer"], found["shared"]) == ("nobody", None, False)
    with pytest.raises(VerificationError, match=r"was moved to postgresql://.*cosigned") as caught:
        cf.verify(folder)
    assert "snapshot" not in str(caught.value)
    assert CliRunner().invoke(app, ["log", "status", "--ledger", folder]).stdout.count("moved") == 2
    run_cli("log", "move", store.location, folder)
    assert run_cli("log", "status", "--ledger", folder)["moved"] is None
    found = run_cli("log", "status", "--ledger", store.location)
    assert (found["moved"], found["writers"], found["size"]) == (folder, "nobody", size)
    text = CliRunner().invoke(app, ["log", "status", "--ledger", store.location]).stdout
    assert f"to {folder}; append there" in text
    assert "any number" not in text


def test_what_is_missing_is_missing_at_its_address(shared):
    """A name that is not in the ledger is said of the address, not of a folder of this machine."""
    with cf.open(shared.location) as ledger:
        for ask in (ledger.models.show, ledger.data.show, ledger.decisions.list):
            with pytest.raises(FormatError, match=r"in postgresql://127\.0\.0\.1:"):
                ask("nothing")


def test_printed_addresses_can_be_given_again(make_store, run_cli, tmp_path):
    """What `init`, `log move` and moved.json say has user, tiles and schema, and no password."""
    store, folder = make_store("postgres-files"), tmp_path / "ledger"
    whole = re.sub(r":[^:/@]+@", "@", store.location)
    assert "@" in whole
    run_cli("init", str(folder))
    assert run_cli("log", "move", str(folder), store.location)["ledger"] == whole
    assert json.loads((folder / "moved.json").read_text())["to"] == whole
    assert run_cli("init", store.location)["ledger"] == whole
    # A mark of before, or of another user, is of the same place.
    mark = (folder / "moved.json").read_text()
    (folder / "moved.json").write_text(re.sub("//[^@]*@", "//", mark))
    assert run_cli("log", "move", str(folder), store.location)["ledger"] == whole


def test_mistyped_tiles_are_said_to_be_none(shared):
    """Where nothing of a log is, nobody is said to have changed anything."""
    with shared.open() as log:
        log.append_many([b"%d" % n for n in range(3)])
    wrong = shared.location.replace("&schema=", "-typo&schema=")
    none = pytest.raises(VerificationError, match="there are no tiles of a log")
    with cf.open(wrong) as log, none as caught:
        log.entry(0)
    assert "tiles=" in caught.value.hint
    assert "changed" not in caught.value.hint


def test_another_machine_appends_with_what_the_page_lists(
    make_store, run_cli, tmp_path, monkeypatch
):
    """It takes keys, policy, and a witness without its memory, as outgrow-one-machine.md says."""
    store = make_store("postgres-files")
    run_cli("init", store.location)
    origin = run_cli("log", "status", "--ledger", store.location)["origin"]
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    add = ("data", "add", str(tmp_path / "rows.csv"), "--name", "rows", "--ledger")
    places = Places(origin)
    keys, trust, witness = places.keys, places.trust, places.witness
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "machine-2"))
    shutil.copytree(keys, places.keys)
    places.trust.parent.mkdir()
    shutil.copy2(trust, places.trust)
    shutil.copytree(witness, places.witness, ignore=shutil.ignore_patterns("*.checkpoint"))
    run_cli(*add, store.location)
    found = run_cli("log", "status", "--ledger", store.location)
    assert found["cosigned"] == ["local"]
    assert found["witness"]["folder"] == str(places.witness)
    assert found["witness"]["standing"] == "same"
