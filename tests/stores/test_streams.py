"""The private side of streams, at every place that it can lie: a folder, and PostgreSQL."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading

import psycopg
import pytest
from cryptography.exceptions import InvalidTag

from counterfoil.cluster import DatabaseKeeping
from counterfoil.cluster import streamtree as streamtree_module
from counterfoil.core.merkle import check_consistency, check_inclusion, root_of
from counterfoil.core.record import seal_rows
from counterfoil.errors import ConflictError, FormatError, UnavailableError, VerificationError
from counterfoil.vault import Eraser, ErasureRequest, FileKeyStore, StreamStore, request_digest
from counterfoil.vault import carry as vault_carry
from counterfoil.vault import files as vault_files
from counterfoil.vault.erase import ERASURE_FIELDS
from counterfoil.vault.files import SealedFiles
from counterfoil.vault.folder import FolderStreams
from counterfoil.vault.seal import SLOT_BYTES, EpochKeys

ORIGIN = "example.com/stores"
STREAM, AUDIT = b"S" * 32, b"A" * 32
FIELDS = ("kind", "inputs")
REQUEST = ErasureRequest("GDPR Art. 17", request_digest(b"erase me"), ("a", "b"))
NOW = 1_795_392_000


class World:
    """The streams of one log, with their keys."""

    def __init__(self, keeping, keys, url):
        self.keeping, self.keys, self.url = keeping, keys, url
        self.streams = FolderStreams(keeping) if url is None else keeping.streams
        self.now = NOW
        self.opened = []

    def create(self, stream=STREAM, **options):
        return self._keep(
            StreamStore.create(
                self.streams.place(stream), stream, self.keys, clock=lambda: self.now, **options
            )
        )

    def open(self, stream=STREAM, *, write=True):
        place = self.streams.place(stream)
        return self._keep(StreamStore.open(place, self.keys, write=write, clock=lambda: self.now))

    def fill(self, store, *people):
        rows = [("decision", {"name": who}) for who in people]
        sealed = seal_rows(store.stream, FIELDS, rows, os.urandom(32 * len(FIELDS) * len(rows)))
        return store.append(sealed, people)

    def carrying(self, new):
        return vault_carry.carrying(ORIGIN, self.keeping, new.keeping)

    def query(self, text, *values):
        with psycopg.connect(self.url, autocommit=True) as connection:
            done = connection.execute(text, values, binary=True)
            return done.fetchall() if done.description else []

    def _keep(self, store):
        self.opened.append(store)
        return store


@pytest.fixture(params=["folder", "postgres"])
def world(request, tmp_path, make_store):
    """One place after another, without streams."""
    keys = FileKeyStore(tmp_path / "vault-keys")
    if request.param == "folder":
        made = World(tmp_path, keys, None)
    else:
        made = make_world(make_store, keys)
    yield made
    for store in made.opened:
        store.close()


@pytest.fixture
def shared_world(tmp_path, make_store):
    """PostgreSQL, without streams."""
    made = make_world(make_store, FileKeyStore(tmp_path / "vault-keys"))
    yield made
    for store in made.opened:
        store.close()


def make_world(make_store, keys):
    store = make_store("postgres-files")
    store.make()
    base, _, schema = store.location.partition("?")
    url = f"{base}?options=-csearch_path%3D{schema.rpartition('schema=')[2]}"
    return World(DatabaseKeeping(store.location), keys, url)


def test_records_come_back(world):
    """What was appended is there at once, after opening again, and for a reader elsewhere."""
    store = world.create()
    assert world.fill(store, "anna", "bert") == range(2)
    assert world.fill(store, "anna") == range(2, 3)
    reader = world.open(write=False)
    assert [reader.subject(index) for index in range(3)] == ["anna", "bert", "anna"]
    assert reader.find("anna") == [0, 2]
    world.fill(store, "cleo")
    assert reader.size == 3
    reader.refresh()
    assert reader.find("cleo") == [3]
    store.close()
    again = world.open()
    assert again.size == 4
    assert again.disclosures(1) == reader.disclosures(1)
    assert again.find("anna", scan=True) == [0, 2]
    assert world.streams.ids() == [STREAM]


def test_proofs_hold_at_every_size(world):
    """Roots, inclusion and consistency are those of the leaves, past full tiles as well."""
    store = world.create()
    for count in (1, 254, 2, 300):
        world.fill(store, *["anna"] * count)
    leaves = [store.leaf(index) for index in range(557)]
    again = world.open(write=False)
    for size in (1, 255, 256, 257, 512, 557):
        assert again.root(size) == root_of(leaves[:size])
        for old in (1, 200, 256, 557):
            if old <= size:
                proof = again.consistency(old, size)
                check_consistency(old, again.root(old), size, again.root(size), proof)
    check_inclusion(leaves[300], 300, 557, again.inclusion(300), again.root())
    assert again.root() == store.root() == root_of(leaves)


def test_one_process_at_a_time_writes(world):
    """A second writer is refused until the first one closes, and nothing is lost."""
    store = world.create()
    world.fill(store, "anna")
    with pytest.raises(ConflictError, match="already has a writer"):
        world.open()
    with pytest.raises(ConflictError):
        world.create()
    store.close()
    assert world.fill(world.open(), "bert") == range(1, 2)


def test_the_next_one_need_not_wait(world, monkeypatch):
    """A stream that was closed can be written at once, however long PostgreSQL takes to see it."""
    store = world.create()
    closed = []

    def close(connection):
        closed.append(connection)

    with monkeypatch.context() as slow:
        slow.setattr(psycopg.Connection, "close", close)
        store.close()
        assert world.fill(world.open(), "bert") == range(1)
    for connection in closed:
        connection.close()


def test_an_epoch_ends_for_readers_too(world):
    """After a change of epoch all records open; the old key is gone; a reader refreshes."""
    store = world.create()
    world.fill(store, "anna", "bert")
    reader = world.open(write=False)
    assert store.rotate_epoch() == ()
    reader.refresh()
    assert [reader.subject(index) for index in range(2)] == ["anna", "bert"]
    assert reader.find("bert") == [1]
    with pytest.raises(UnavailableError, match="there is no key"):
        world.keys.key(STREAM, 1)


def test_an_erased_person_is_gone(world):
    """After an erasure nobody opens the records, others stay, and the leaf and its proof too."""
    store, audit = world.create(), world.create(AUDIT)
    world.fill(store, "anna", "bert", "anna")
    leaves, root = [store.leaf(index) for index in range(3)], store.root()
    certificate = Eraser(store, audit, rules=()).erase([0, 2], REQUEST)
    assert certificate.leaves == (leaves[0], leaves[2])
    reader = world.open(write=False)
    for place in (0, 2):
        with pytest.raises(UnavailableError, match="was erased"):
            reader.disclosures(place)
    assert (reader.live(), reader.subject(1), reader.find("anna")) == ([1], "bert", [])
    assert (reader.root(), store.find("anna", scan=True)) == (root, [])
    check_inclusion(leaves[0], 0, 3, reader.inclusion(0), root)


@pytest.mark.parametrize("stop", ["intended", "destroyed", "recorded"])
def test_an_interrupted_erasure_is_finished(world, stop):
    """Wherever an erasure stops, opening destroys, and `finish` records it once."""

    def give_up(step):
        if step == stop:
            raise InterruptedError

    store, audit = world.create(), world.create(AUDIT)
    world.fill(store, "anna", "bert")
    with pytest.raises(InterruptedError):
        Eraser(store, audit, rules=(), on_step=give_up).erase([0], REQUEST)
    store.close()
    assert world.streams.with_note("erasing") == [STREAM]
    again = world.open()
    assert again.live() == [1]
    certificate = Eraser(again, audit, rules=()).finish()
    assert certificate.record == 0
    assert (audit.size, world.streams.with_note("erasing")) == (1, [])
    assert again.intent() is None


def test_a_stream_that_is_not_there_is_named(world):
    """Opening what is not there says so, and makes nothing."""
    with pytest.raises(FormatError, match=r"is not there|holds no counterfoil tree"):
        world.open()
    assert world.streams.ids() == []


@pytest.fixture(params=["away", "back"])
def two_worlds(request, tmp_path, shared_world):
    """A place with streams, and another one that they are to go to; they have the same keys."""
    folder = World(tmp_path, shared_world.keys, None)
    yield (folder, shared_world) if request.param == "away" else (shared_world, folder)
    for store in folder.opened:
        store.close()


def test_streams_are_carried(two_worlds):
    """Records, erased ones, the epoch and an erasure under way are the same elsewhere."""
    old, new = two_worlds
    store, audit = old.create(), old.create(AUDIT)
    old.fill(store, *["anna", "bert"] * 200, "cleo")
    Eraser(store, audit, rules=()).erase([0, 2], REQUEST)
    store.rotate_epoch()
    with pytest.raises(InterruptedError):
        Eraser(store, audit, rules=(), on_step=give_up).erase([400], REQUEST)
    root, epoch = store.root(), store.epoch
    with pytest.raises(ConflictError, match="already has a writer"), old.carrying(new):
        pytest.fail("somebody records")
    store.close()
    audit.close()
    with old.carrying(new) as carry:
        with pytest.raises(ConflictError, match="already has a writer"):
            old.open()
        carry()
    assert (old.streams.ids(), sorted(new.streams.ids())) == ([], [AUDIT, STREAM])
    with pytest.raises(FormatError):
        old.open()
    reader = new.open(write=False)
    assert (reader.root(), reader.epoch, reader.size) == (root, epoch, 401)
    assert reader.find("anna") == list(range(4, 400, 2))
    assert reader.intent() is not None
    again = new.open()
    assert Eraser(again, new.open(AUDIT), rules=()).finish().record == 1
    assert again.find("cleo", scan=True) == []
    assert new.fill(again, "dora") == range(401, 402)


def give_up(step):
    raise InterruptedError(step)


def test_carrying_goes_on_where_it_was_broken_off(two_worlds, monkeypatch):
    """Broken off anywhere, each stream is whole at one place, and the same call does the rest."""
    old, new = two_worlds
    for stream in (STREAM, AUDIT):
        store = old.create(stream)
        old.fill(store, *["anna"] * 600)
        store.close()
    real = vault_carry._copy
    for at in range(3):
        with monkeypatch.context() as patched:
            steps = itertools.count()

            def copy(one, target, stream, steps=steps, at=at):
                if next(steps) == at:
                    there = target.place(stream).create("vault.json", one.note("vault.json"))
                    there.close()
                    raise InterruptedError
                real(one, target, stream)

            patched.setattr(vault_carry, "_copy", copy)
            with contextlib.suppress(InterruptedError), old.carrying(new) as carry:
                carry()
            assert len(old.streams.ids()) == (2, 1, 0)[at]
    assert old.streams.ids() == []
    for stream in (STREAM, AUDIT):
        assert new.open(stream).find("anna", scan=True) == list(range(600))


def test_other_records_are_not_overwritten(two_worlds):
    """What is at the target and is not the beginning of what comes stays, and nothing moves."""
    old, new = two_worlds
    for world, person in ((old, "anna"), (new, "bert")):
        store = world.create()
        world.fill(store, person)
        store.close()
    with pytest.raises(ConflictError, match="has 1 records"), old.carrying(new) as carry:
        carry()
    assert old.open(write=False).subject(0) == "anna"
    assert new.open(write=False).subject(0) == "bert"


# What only PostgreSQL has to promise


def all_slots(world):
    rows = world.query("SELECT position, slot FROM stream_slots")
    return {(position, bytes(slot)) for position, slot in rows}


def test_no_copy_of_an_erased_record_opens(shared_world):
    """Rows as they were before, from a backup, open under no key that is left; see the module."""
    world = shared_world
    store, audit = world.create(), world.create(AUDIT)
    world.fill(store, "anna", "bert")
    backup = all_slots(world)
    old = EpochKeys.derive(1, world.keys.key(STREAM, 1))
    for place, slot in backup:
        assert old.wrap.decrypt(slot[4:16], slot[16:], STREAM + place.to_bytes(8, "big"))
    certificate = Eraser(store, audit, rules=()).erase([0], REQUEST)
    assert certificate.final_by == certificate.live_erased_at == NOW
    left = list(world.keys.folder.glob(f"{STREAM.hex()}-*.key"))
    assert [path.name[-6:] for path in left] == ["-2.key"]
    new = EpochKeys.derive(2, world.keys.key(STREAM, 2))
    for place, slot in backup:
        with pytest.raises(InvalidTag):
            new.wrap.decrypt(slot[4:16], slot[16:], STREAM + place.to_bytes(8, "big"))
    assert not backup & all_slots(world)
    assert {len(slot) for _, slot in all_slots(world)} == {SLOT_BYTES}
    assert world.query("SELECT DISTINCT epoch FROM stream_tags") in ([], [(2,)])


def test_the_database_holds_no_plaintext(shared_world):
    """Neither a person's name nor a value of theirs is in any row."""
    world = shared_world
    world.fill(world.create(), "needle-anna")
    tables = ("streams", "stream_records", "stream_slots", "stream_notes", "stream_tags")
    dumped = "".join(str(world.query(f"SELECT {one} FROM {one}")) for one in tables)
    assert "needle" not in dumped
    assert b"needle-anna".hex() not in dumped


def backends(world):
    return world.query(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'counterfoil'"
        " AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
    )


def test_a_writer_goes_on_when_its_connection_was_cut(shared_world):
    """The next append says that it failed, or connects anew; afterwards all is as if never cut."""
    world = shared_world
    store = world.create()
    world.fill(store, "anna")
    reader = world.open(write=False)
    world.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'counterfoil'"
    )
    with pytest.raises(UnavailableError):
        world.fill(store, "bert")
    assert world.fill(store, "bert") == range(1, 2)
    with pytest.raises(UnavailableError):
        reader.refresh()
    reader.refresh()
    assert reader.find("bert") == [1]
    assert len(backends(world)) == 1


def test_a_writer_that_was_overtaken_changes_nothing(shared_world):
    """Cut off, and another one wrote meanwhile: the old writer is refused for ever."""
    world = shared_world
    old = world.create()
    world.fill(old, "anna")
    world.query("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    new = world.open()
    world.fill(new, "bert")
    with pytest.raises(UnavailableError):
        world.fill(old, "cleo")
    for _ in range(2):
        with pytest.raises(ConflictError, match="already has a writer"):
            world.fill(old, "cleo")
    new.close()
    for _ in range(2):
        with pytest.raises(ConflictError, match="written to by somebody else"):
            world.fill(old, "cleo")
    reader = world.open(write=False)
    assert [reader.subject(index) for index in range(2)] == ["anna", "bert"]
    assert reader.size == 2


def test_a_connection_that_was_thought_dead_changes_nothing(shared_world):
    """Whoever raised the fence since is the writer; an open connection is no claim."""
    world = shared_world
    store = world.create()
    world.fill(store, "anna")
    world.query("UPDATE streams SET fence = fence + 1")
    for change in (lambda: world.fill(store, "bert"), lambda: store.destroy([0])):
        with pytest.raises(ConflictError, match="written to by somebody else"):
            change()
    assert world.open(write=False).live() == [0]


def test_a_commit_without_an_answer_counts_once(shared_world, monkeypatch):
    """The connection breaks after the commit: the next call finds the records, and goes on."""
    world = shared_world
    store = world.create()
    session = store._opened._session
    change = session.change
    monkeypatch.setattr(session, "change", lambda doing: broken_after(session, change(doing)))
    with pytest.raises(UnavailableError):
        world.fill(store, "anna")
    monkeypatch.undo()
    assert world.fill(store, "bert") == range(1, 2)
    assert [store.subject(index) for index in range(2)] == ["anna", "bert"]


def broken_after(session, change):
    class Breaking:
        def __enter__(self):
            return change.__enter__()

        def __exit__(self, *error):
            change.__exit__(*error)
            session._connection.close()
            raise UnavailableError("the connection broke (test)")

    return Breaking()


def test_a_change_of_epoch_that_was_interrupted_is_finished(shared_world, monkeypatch):
    """Killed between two parts of it, all records open under one key after opening again."""
    world = shared_world
    monkeypatch.setattr(streamtree_module, "_REPLACED_AT_ONCE", 2)
    store = world.create()
    world.fill(store, *"abcdefg")
    session, parts = store._opened._session, []
    change = session.change

    def counted(doing):
        parts.append(doing)
        if parts.count("replacing keys") == 3:
            raise InterruptedError
        return change(doing)

    monkeypatch.setattr(session, "change", counted)
    with pytest.raises(InterruptedError):
        store.rotate_epoch()
    monkeypatch.setattr(session, "change", change)
    store.close()
    again = world.open()
    assert [again.subject(index) for index in range(7)] == list("abcdefg")
    assert len(all_slots(world)) == 7
    assert {int.from_bytes(slot[:4]) for _, slot in all_slots(world)} == {2}


def test_a_changed_row_is_noticed(shared_world):
    """Whoever runs the database can take a record away, and cannot change or swap one."""
    world = shared_world
    store = world.create()
    world.fill(store, "anna", "bert")
    world.query(
        "UPDATE stream_records SET body = (SELECT body FROM stream_records"
        " WHERE position = 1) WHERE position = 0"
    )
    with pytest.raises(VerificationError, match="does not open"):
        store.disclosures(0)
    world.query("DELETE FROM stream_records WHERE position = 1")
    with pytest.raises(VerificationError, match="are there"):
        store.disclosures(1)


def test_two_begin_a_stream_at_once(shared_world):
    """Only one of them makes it."""
    world = shared_world
    outcomes = []

    def begin():
        try:
            outcomes.append(world.create())
        except ConflictError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [one for one in outcomes if isinstance(one, StreamStore)]
    assert len(made) == 1
    assert world.fill(made[0], "anna") == range(1)


def test_erasures_are_kept_in_a_stream_of_their_own(world):
    """Their records can be read by whoever has the keys, as of any other stream."""
    store, audit = world.create(), world.create(AUDIT)
    world.fill(store, "anna")
    Eraser(store, audit, rules=(), pad_to=4).erase([0], REQUEST)
    assert audit.size == 4
    assert len(audit.disclosures(0)) == len(ERASURE_FIELDS)


# Private files


@pytest.fixture
def files(shared_world):
    """Encrypted ones, in a database."""
    return SealedFiles(shared_world.keeping.files, shared_world.keys, ORIGIN)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1000])
def test_a_private_file_comes_back(shared_world, files, monkeypatch, size):
    """Of whatever size it is, in however many parts, and nothing of it is in the rows."""
    monkeypatch.setattr(vault_files, "_PART_BYTES", 100)
    data = (b"needle" * 200)[:size]
    files.put("models/aa", b"another one of that name")
    files.put("models/aa", data)
    assert (files.has("models/aa"), files.has("models/ab")) == (True, False)
    assert (files.get("models/aa", size), files.names()) == (data, ["models/aa"])
    rows = shared_world.query("SELECT data FROM private_files")
    assert len(rows) == max(1, -(-size // 100))
    assert not any(b"needle" in row[0] for row in rows)
    if size:
        with pytest.raises(FormatError, match="more than"):
            files.get("models/aa", size - 1)
    files.remove("models/aa")
    assert files.names() == []
    with pytest.raises(UnavailableError, match="is not there"):
        files.get("models/aa", size)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM private_files WHERE part = 2",
        "UPDATE private_files SET part = 9 - part",
        "UPDATE private_files SET part = part - 1 WHERE part > 0 AND name = 'data/b'",
        "UPDATE private_files SET data = '' WHERE part = 1",
        "UPDATE private_files SET name = 'data/a' || left(name, 0) WHERE name = 'data/b'",
    ],
)
def test_a_changed_private_file_is_noticed(shared_world, files, monkeypatch, change):
    """Cut short, with its parts in another order, or under another name, a file does not open."""
    monkeypatch.setattr(vault_files, "_PART_BYTES", 100)
    files.put("data/b", os.urandom(300))
    shared_world.query("ALTER TABLE private_files DROP CONSTRAINT private_files_pkey")
    if "part - 1" in change:
        shared_world.query("DELETE FROM private_files WHERE part = 0")
    shared_world.query(change)
    with pytest.raises((VerificationError, UnavailableError)):
        files.get(files.names()[0], 300)
    if "data/a" in change:
        with pytest.raises(VerificationError, match="does not open"):
            files.get("data/a", 300)


def test_a_machine_without_the_key_makes_no_other(shared_world, files, tmp_path):
    """What others put there stays readable for them; the key of the files has to be shared."""
    files.put("models/aa", b"model")
    alone = SealedFiles(shared_world.keeping.files, FileKeyStore(tmp_path / "other"), ORIGIN)
    for use in (lambda: alone.get("models/aa", 9), lambda: alone.put("models/bb", b"x")):
        with pytest.raises(UnavailableError, match="there is no key"):
            use()
    assert files.names() == ["models/aa"]


def test_private_files_are_carried(two_worlds):
    """They are the same elsewhere, and nothing of them stays."""
    old, new = two_worlds
    source, target = (vault_carry._files(ORIGIN, one.keeping) for one in two_worlds)
    source.put("models/aa", b"model")
    source.put("data/bb.json", b"salt")
    with old.carrying(new) as carry:
        carry()
        carry()
    assert (source.names(), target.names()) == ([], ["data/bb.json", "models/aa"])
    assert target.get("models/aa", 9) == b"model"
