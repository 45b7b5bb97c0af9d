"""Finding statements: what both indexes promise, and what only the shared one has to."""

from __future__ import annotations

import re
import shutil
import threading
import time

import psycopg
import pytest

import counterfoil as cf
from counterfoil.cluster import index as shared_index
from counterfoil.cluster.address import parse_address
from counterfoil.cluster.database import Database
from counterfoil.core.statement import Subject, predicate_type
from counterfoil.errors import UnavailableError, VerificationError
from counterfoil.front import move_log
from counterfoil.ledger import index as own_index
from counterfoil.ledger.places import Places

SOON_S = 30.0
PREDICATES = ("approval", "evaluation", "revocation")


@pytest.fixture(params=[False, True], ids=["own", "shared"])
def index(request):
    """Which index is asked."""
    return {"shared": request.param}


@pytest.fixture
def rows(shared):
    """Runs a query on the tables of a shared log; returns what it gives."""
    address = parse_address(shared.location)
    schema = f"-c search_path={address.schema}"
    with psycopg.connect(**address.conninfo, options=schema, autocommit=True) as connection:

        def run(query):
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []

        run.connection = connection
        yield run


@pytest.fixture
def no_follower(monkeypatch):
    """Only who searches brings the index up to date."""
    monkeypatch.setattr(shared_index.Follower, "run", lambda self: self._index.close())


def subject(name):
    return Subject(name, {"sha256": name.encode().hex().ljust(64, "0")[:64]})


def fill(log, count):
    """Append statements about five models, and every tenth entry is none."""
    for number in range(count):
        if number % 10 == 9:
            log.append(b"entry %d" % number)
        else:
            what = PREDICATES[number % 3]
            log.attest([subject(f"model-{number % 5}")], what, {"note": str(number)})


def indices(found):
    return [one.index for one in found]


def test_statement_is_found_once(store, index):
    """A statement is found by subject, predicate and issuer, where it first stands."""
    with store.open() as log:
        first = log.attest([subject("model-1")], "approval", {"note": "yes"})
        log.append_envelope(first.envelope)
        log.attest([subject("model-2")], "approval", {"note": "yes"})
        issuer = first.envelope.signatures[0].keyid
        for asked in (
            {"subject": "model-1"},
            {"subject": first.statement.subjects[0].digest["sha256"]},
            {"subject": "model-1", "predicate": "approval", "issuer": issuer},
        ):
            assert indices(log.find(**asked, **index)) == [0]
        assert indices(log.find(predicate="approval", **index)) == [0, 2]
        assert indices(log.find(issuer=issuer, **index)) == [0, 2]
        assert log.find(issuer="nobody", **index) == []
        assert log.find(subject="model-1", predicate="revocation", **index) == []
        again = log.append_envelope(first.envelope)
        assert indices(log.find(**index)) == [0, 2], again.index


def test_everything_that_was_stated_is_found(store, index):
    """All combinations, and the newest of each, are what reading the whole log finds."""
    with store.open() as log:
        fill(log, 60)
        stated = [number for number in range(60) if number % 10 != 9]
        assert indices(log.find(**index)) == stated
        assert indices(log.find(last=7, **index)) == stated[-7:]
        for what in PREDICATES:
            of_type = [n for n in stated if PREDICATES[n % 3] == what]
            assert indices(log.find(predicate=what, **index)) == of_type
            both = [n for n in of_type if n % 5 == 2]
            asked = {"subject": "model-2", "predicate": predicate_type(what)}
            assert indices(log.find(**asked, **index)) == both
            assert indices(log.find(**asked, last=2, **index)) == both[-2:]
        with store.open() as reader:
            log.attest([subject("model-0")], "approval", {"note": "later"})
            log.find(**index)  # another reader's index may be ahead of one's own view
            assert indices(reader.find(last=1, **index)) == [58]
            reader.refresh()
            assert indices(reader.find(last=1, **index)) == [60]


def test_any_name_is_found(store, index):
    """Whatever a statement may call its subject, it is found by."""
    names = ["a\0b", "x" * 9_000, "Zoë \U0001f9fe", "'; DROP TABLE names; --"]
    with store.open() as log:
        for name in names:
            log.attest([Subject(name, {"sha256": "ab" * 32})], "approval", {})
        for number, name in enumerate(names):
            assert indices(log.find(subject=name, **index)) == [number]
            assert log.find(subject=name + "x", **index) == []
        assert log.find(subject="\ud800", **index) == []


def test_what_postgresql_does_not_hold_is_a_bad_input(shared):
    """A bound of 30 years, or a NUL: what it and its library refuse says what was being done."""
    with shared.open() as log:
        fill(log, 5)
        with pytest.raises(cf.FormatError, match=r"searching: .*statement_timeout") as caught:
            log.find(subject="model-1", shared=True, within_s=1e9)
    assert "too large" in caught.value.hint
    database = Database(parse_address(shared.location))
    with (
        pytest.raises(cf.FormatError, match="asking: PostgreSQL text fields cannot contain NUL"),
        database.transaction("asking") as connection,
    ):
        connection.execute("SELECT %s::text", ("a\0b",))
    database.close()


def test_large_statement_is_found(store, index):
    """One that lies beside the log is found as any other."""
    with store.open() as log:
        log.attest([subject("large")], "approval", {"text": "x" * 48_000})
        assert indices(log.find(subject="large", **index)) == [0]


def test_own_index_can_be_taken_to_another_machine(store, tmp_path, monkeypatch):
    """Copied from a machine that is trusted as much, it goes on there, and is checked as ever."""
    with store.open() as log:
        fill(log, 20)
        before = indices(log.find(subject="model-1"))
        file = log.places.index
    monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / "other"))
    copy = Places(store.signer.key.name).index
    copy.parent.mkdir(mode=0o700, parents=True)
    shutil.copy(file, copy)
    monkeypatch.setattr(own_index, "read_names", None)
    with store.open() as log:
        assert indices(log.find(subject="model-1")) == before == [1, 6, 11, 16]


def test_moved_log_is_found_in(make_store, index):
    """Statements of a log that was moved in, and of one that came back, are all found."""
    folder, shared = make_store("embedded"), make_store("postgres-files")
    folder.make()
    with folder.open() as log:
        fill(log, 12)
    stated = [number for number in range(12) if number != 9]
    move_log(folder.location, shared.location)
    with shared.open() as log:
        assert indices(log.find(**index)) == stated
        log.attest([subject("model-9")], "approval", {})
    move_log(shared.location, folder.location)
    with folder.open() as log:
        log.attest([subject("model-9")], "evaluation", {})
    move_log(folder.location, shared.location)
    with shared.open() as log:
        assert indices(log.find(**index)) == [*stated, 12, 13]


# What only the shared index has to promise


@pytest.mark.usefixtures("no_follower")
def test_index_is_there_on_a_fresh_machine(shared, monkeypatch):
    """What another machine has indexed is not read again."""
    with shared.open() as log:
        fill(log, 30)
        log.find(shared=True)
    shutil.rmtree(Places(shared.signer.key.name).index.parent, ignore_errors=True)
    monkeypatch.setattr(shared_index, "read_names", None)
    with shared.open() as log:
        assert indices(log.find(subject="model-2", shared=True)) == [2, 7, 12, 17, 22, 27]
        assert not log.places.index.exists()


def test_a_writer_keeps_the_index_near(shared, rows):
    """Nobody has to search for the index to follow what is published."""
    with shared.open() as log:
        fill(log, 20)
        until = time.monotonic() + SOON_S
        while rows("SELECT size FROM indexed") != [(20,)]:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert rows("SELECT count(*) FROM statements") == [(18,)]


@pytest.mark.usefixtures("no_follower")
def test_entries_are_indexed_once_however_many_search(shared, monkeypatch):
    """Many who search at the same time share the work, and find the same."""
    monkeypatch.setattr(shared_index, "BATCH", 8)
    read, real = [], shared_index.read_names

    def counted(entry, resolve):
        read.append(entry)
        return real(entry, resolve)

    monkeypatch.setattr(shared_index, "read_names", counted)
    with shared.open() as log:
        fill(log, 100)
    told = []

    def search():
        with shared.open() as log:
            told.append(indices(log.find(shared=True)))

    threads = [threading.Thread(target=search) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [[n for n in range(100) if n % 10 != 9]] * 6
    assert len(read) == 100


@pytest.mark.usefixtures("no_follower")
def test_an_indexer_that_dies_leaves_nothing_half_done(shared, rows):
    """Killed between the two tables of a batch, it leaves what the batches before it have made."""
    with shared.open() as log:
        fill(log, 40)
    code = (
        "import os\n"
        "from counterfoil.cluster import index\n"
        "index.BATCH, real, seen = 8, index._hashes, []\n"
        "def hashes(named):\n"
        "    seen.append(named)\n"
        "    if len(seen) > 20: os.kill(os.getpid(), 9)\n"
        "    return real(named)\n"
        "index._hashes = hashes\n"
        "log.find(shared=True)"
    )
    process = shared.in_process(code)
    process.communicate(timeout=60)
    assert process.returncode == -9
    ((size,),) = rows("SELECT size FROM indexed")
    assert size == 16
    assert rows("SELECT count(*), max(position) FROM statements") == [(15, 15)]
    assert rows("SELECT count(DISTINCT position), count(*) FROM names") == [(15, 60)]
    with shared.open() as log:
        assert len(log.find(shared=True)) == 36


@pytest.mark.usefixtures("no_follower")
@pytest.mark.parametrize("change", ["root = sha256('other')", "size = 1000"])
def test_index_of_another_history_is_made_again(shared, rows, change):
    """One whose root is not the log's, or that is larger than the log, is thrown away."""
    with shared.open() as log:
        fill(log, 20)
        before = indices(log.find(subject="model-1", shared=True))
        rows(f"UPDATE indexed SET {change}")
        rows("DELETE FROM names WHERE position = 6")
        assert indices(log.find(subject="model-1", shared=True)) == before == [1, 6, 11, 16]


@pytest.mark.usefixtures("no_follower")
def test_index_that_lies_is_named(shared, rows):
    """A hit is read and proven: one that is about something else is an error, not an answer."""
    with shared.open() as log:
        fill(log, 20)
        log.find(shared=True)
        rows("UPDATE names SET position = 9 WHERE position = 6")
        with pytest.raises(VerificationError, match="gives entry 9 out for something else"):
            log.find(subject="model-1", shared=True)
        assert indices(log.find(subject="model-2", shared=True)) == [2, 7, 12, 17]


def test_gates_do_not_go_by_the_shared_index(make_store, request):
    """Whoever takes rows out of the database hides no revocation from a gate."""
    store = make_store("postgres-files")
    with cf.init(store.location) as ledger:
        model = Subject("credit", {"sha256": "cd" * 32})
        ledger.attest([model], "model", {"format": "onnx", "name": "credit"})
        ledger.find(shared=True)
        ledger.attest([model], "revocation", {"reason": "it is wrong"})
        server = request.getfixturevalue("postgres")
        schema = parse_address(store.location).schema
        until = time.monotonic() + SOON_S
        while len(ledger.find(subject="credit", shared=True)) < 2:
            assert time.monotonic() < until
        server.run(f"DELETE FROM {schema}.names; DELETE FROM {schema}.statements")
        assert ledger.find(subject="credit", shared=True) == []
        assert len(ledger.find(subject="credit", predicate="revocation")) == 1


@pytest.mark.usefixtures("no_follower")
def test_a_search_of_the_shared_index_ends_in_time(shared, rows):
    """One that takes longer than it may is stopped by the database."""
    with shared.open() as log:
        fill(log, 3)
        log.find(shared=True)
        with rows.connection.transaction():
            rows("LOCK TABLE names")
            began = time.monotonic()
            with pytest.raises(UnavailableError, match=r"took longer than 0\.1 s"):
                log.find(subject="model-1", within_s=0.1, shared=True)
            assert time.monotonic() - began < 3
        assert indices(log.find(subject="model-1", within_s=5, shared=True)) == [1]


@pytest.mark.usefixtures("no_follower")
def test_a_role_that_may_only_read_finds(shared, rows, postgres):
    """It asks the shared index as far as that goes, and else its own."""
    with shared.open() as log:
        fill(log, 8)
        log.find(shared=True)
    schema = parse_address(shared.location).schema
    role = f"reader_{schema}"
    postgres.run(
        f"CREATE ROLE {role} LOGIN PASSWORD 'reads'; GRANT USAGE ON SCHEMA {schema} TO {role};"
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}"
    )
    try:
        url = re.sub("//[^@]+@", f"//{role}:reads@", shared.location)
        with cf.open(url) as reader:
            assert indices(reader.find(subject="model-3", shared=True)) == [3]
            assert not reader.places.index.exists()
            with shared.open() as log:
                log.attest([subject("model-3")], "approval", {})
            reader.refresh()
            assert indices(reader.find(subject="model-3", shared=True)) == [3, 8]
            assert reader.places.index.exists()
        assert rows("SELECT size FROM indexed") == [(8,)]
    finally:
        postgres.run(f"DROP OWNED BY {role}; DROP ROLE {role}")
