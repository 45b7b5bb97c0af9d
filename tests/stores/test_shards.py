"""A log in any store ends, and goes on in any other: nobody appends behind its last entry."""

from __future__ import annotations

import itertools
import os
import re
import shutil

import pytest
from ending import run_ending_at
from typer.testing import CliRunner

import counterfoil as cf
from counterfoil import front
from counterfoil.cli import app
from counterfoil.cluster import state
from counterfoil.core.checkpoint import Checkpoint
from counterfoil.core.receipt import check_receipt, parse_receipt
from counterfoil.core.shard import check_carried, takeover_of
from counterfoil.errors import ConflictError
from counterfoil.front import move_log
from counterfoil.ledger.rotation import rotate_key
from counterfoil.ledger.sharding import carry_receipt, hand_over_to, read_handover, shard_after
from counterfoil.ledger.treestore import TreeStore

MOST_STEPS = 40
SOAK = int(os.environ.get("COUNTERFOIL_SOAK", "0"))
KINDS = ("embedded", "postgres-files", "postgres-s3")
APPEND = """
from counterfoil.core.receipt import format_receipt
from counterfoil.errors import CounterfoilError
import itertools, os
try:
    for number in itertools.count():
        entry = b"%d %d" % (os.getpid(), number)
        print(repr((entry, format_receipt(log.append(entry)))), flush=True)
except CounterfoilError as error:
    print(type(error).__name__, error, error.hint, flush=True)
"""


@pytest.fixture
def fill():
    """Makes a ledger at a place, with entries; the place."""

    def make(place):
        with cf.init(place, organisation="Northbank") as ledger:
            ledger.append_many([b"one", b"two", b"three"])
        return place

    return make


@pytest.mark.parametrize("before", KINDS)
@pytest.mark.parametrize("after", KINDS)
def test_a_log_goes_on_anywhere(make_store, fill, before, after, tmp_path):
    """In a folder, in another schema, in a bucket: receipts are carried, the old log is closed."""
    old, new = fill(make_store(before).location), make_store(after).location
    with cf.open(old) as ledger:
        rotate_key(ledger)
    with cf.open(old) as ledger, ledger.shard(new) as following:
        begun = takeover_of(following.envelope(0), following.keys)
        assert begun.checkpoint == Checkpoint(ledger.origin, ledger.size, ledger.root)
        assert begun.keys == ledger.keys
        assert following.policy.show().log.operator == "Northbank"
        following.append(b"in the new year")
        carried = carry_receipt(ledger, 2, following)
        assert check_carried(ledger.entry(2), carried, following.keys)
    with cf.open(old) as ledger, pytest.raises(ConflictError, match=f"goes on as {begun.log}"):
        ledger.append(b"too late")
    with cf.open(old) as ledger, ledger.shard(new) as again:
        assert again.size == 3, "it is safe to repeat"
    with cf.open(old) as ledger, pytest.raises(ConflictError, match=f"goes on as {begun.log}"):
        ledger.shard(tmp_path / "another").close()
    assert cf.verify(old).trusted
    assert cf.verify(new).trusted


def say_no(rows):
    return ["no" for _ in rows]


@pytest.mark.parametrize(
    ("before", "after"),
    [("embedded", "postgres-files"), ("postgres-files", "embedded"), ("postgres-s3",) * 2],
)
def test_evidence_reaches_across(make_store, before, after, tmp_path):
    """Wherever the shards live: the hand-over names the policy in force, and letters hold by it."""
    old, new = make_store(before).location, make_store(after).location
    with cf.init(old, organisation="Northbank") as ledger:
        ledger.models.add(say_no, name="credit").decide([[1]])
        ledger.policy.enforce()
    with cf.open(old) as ledger, ledger.shard(new, despite_records=True) as following:
        assert read_handover(ledger).policy == ledger.policy.show().digest.hex()
        made = following.models.add(say_no, name="credit").decide([[2]])[0]
        later = following.evidence.make(made, earlier=(ledger,))
        moved = tmp_path / "moved"
        move_log(old, moved)
        with cf.open(moved) as put_away:
            decided = put_away.decisions.show("credit", 0)
            earlier = put_away.evidence.make(decided, later=(following,))
        policy = following.policy.show()
    for evidence in (earlier, later):
        verdict = cf.verify(evidence, trust=policy)
        assert verdict.trusted
        assert any(ledger.origin in said for said in verdict.proved)


def test_a_policy_adopted_meanwhile_is_the_one_that_is_named(make_store, fill, monkeypatch):
    """Another server that has adopted one just before the end is not passed over."""
    old, new = fill(make_store("postgres-files").location), make_store("postgres-files").location
    hand_over = front.hand_over_to

    def adopt_first(ledger, following):
        with cf.open(old) as other:
            other.policy.enforce()
        hand_over(ledger, following)

    monkeypatch.setattr(front, "hand_over_to", adopt_first)
    with cf.open(old) as ledger:
        first = ledger.policy.show()
        ledger.shard(new).close()
        named = read_handover(ledger).policy
    with cf.open(old) as ledger:
        assert named == ledger.policy.show().digest.hex() != first.digest.hex()


def test_every_server_is_told_where_it_goes_on(make_store, fill):
    """Those who append while it ends get no entry in behind the last one, and know why."""
    old, new = make_store("postgres-files"), make_store("postgres-files")
    fill(old.location)
    busy = [old.in_process(APPEND) for _ in range(3)]
    for process in busy:
        process.stdout.readline()
    with cf.open(old.location) as ledger, ledger.shard(new.location) as following:
        size, origin = ledger.size, following.origin
        said = []
        for process in busy:
            with process:
                said.append(process.stdout.read().splitlines())
        for *told, last in said:
            assert last.startswith(f"EndedError {ledger.origin} has ended, and goes on as {origin}")
            for entry, text in map(eval, told):
                receipt = parse_receipt(text)
                check_receipt(entry, receipt, ledger.keys)
                assert receipt.index < size - 1
                assert ledger.entry(receipt.index) == entry
        ledger.refresh()
        assert ledger.size == size
        assert shard_after(ledger) == following.key


def test_shards_that_make_no_sense_change_nothing(make_store, fill):
    """Not into itself, not where another log's tiles are, not where something is."""
    old, busy = make_store("postgres-files"), make_store("postgres-files")
    fill(old.location)
    fill(busy.location)
    same_tiles = re.sub("schema=[a-z0-9_]+", "schema=another_one", old.location)
    for place, why in (
        (old.location, "entries already"),
        (busy.location, "entries already"),
        (same_tiles, "holds the tiles of a log already"),
    ):
        with cf.open(old.location) as ledger, pytest.raises(ConflictError, match=why):
            ledger.shard(place)
    empty = make_store("postgres-files")
    empty.make()
    with (
        empty.open() as log,
        empty.open() as same,
        pytest.raises(ConflictError, match="entries already"),
    ):
        hand_over_to(log, same)
    for place in (old.location, busy.location):
        with cf.open(place) as ledger:
            ledger.append(b"it goes on")


def test_an_ended_log_moves_and_stays_ended(make_store, fill, tmp_path):
    """It can be put away in a folder, or on PostgreSQL; nobody appends there either."""
    store = make_store("postgres-files")
    fill(store.location)
    with cf.open(store.location) as ledger:
        ledger.shard(tmp_path / "next").close()
    for source, target in (
        (store.location, tmp_path / "away"),
        (tmp_path / "away", store.location),
    ):
        move_log(source, target)
        with cf.open(target) as ledger, pytest.raises(ConflictError, match="goes on as"):
            ledger.append(b"x")


def test_the_command_takes_an_address(make_store, fill):
    """And shows it without its password."""
    old, new = fill(make_store("postgres-files").location), make_store("postgres-files").location
    done = CliRunner().invoke(app, ["log", "shard", new, "--ledger", old])
    assert done.exit_code == 0, done.output
    assert "schema=" in done.output
    assert not re.search(r"ledger:[^@\s]+@", done.output)


SHARD = """
import sys
import counterfoil as cf
with cf.open(sys.argv[1]) as ledger:
    ledger.shard(sys.argv[2]).close()
"""
STEPS = ((state, "mark_ended"), (state, "create_rows"), (state, "tell"), (TreeStore, "publish"))


def test_killed_at_every_step(make_store, fill, tmp_path, monkeypatch):
    """Wherever it is killed, the old log goes on or has ended; the next try begins the new one."""
    homes = tmp_path / "home"
    shutil.copytree(os.environ["COUNTERFOIL_HOME"], homes / "clean", dirs_exist_ok=True)
    killed = 0
    for at in itertools.count(1, 1 if SOAK else 3):
        assert at < MOST_STEPS
        monkeypatch.setenv("COUNTERFOIL_HOME", str(homes / f"{at}"))
        shutil.copytree(homes / "clean", homes / f"{at}")
        old = fill(make_store("postgres-files").location)
        new = make_store("postgres-files").location
        is_ended = run_ending_at(at, STEPS, SHARD, old, new)
        with cf.open(old) as ledger, ledger.shard(new) as following:
            begun = takeover_of(following.envelope(0), following.keys)
            assert begun.checkpoint == Checkpoint(ledger.origin, ledger.size, ledger.root)
            assert ledger.size == 5
            assert [one.index for one in following.find(predicate="takeover")] == [0]
            following.append(b"of the new year")
        with cf.open(old) as ledger, pytest.raises(ConflictError, match="goes on as"):
            ledger.append(b"too late")
        if not is_ended:
            break
        killed += 1
    assert killed >= (12 if SOAK else 4)
