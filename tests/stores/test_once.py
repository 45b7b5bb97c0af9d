"""An entry that is wanted once is in the log once, whoever brings it, where, and whoever dies."""

from __future__ import annotations

import json
import signal
import threading

import pytest
from servers import MissingError

from counterfoil.cluster.address import parse_address
from counterfoil.cluster.database import Database
from counterfoil.cluster.queue import join_entries, stage
from counterfoil.core.receipt import check_receipt
from counterfoil.errors import FormatError, VerificationError
from counterfoil.ledger import once
from counterfoil.ledger.audit import audit

HERD = [f"herd {number}".encode() for number in range(50)]
STEPS = {
    # Where a process dies, and whether what it was about to append is durable by then.
    "take": "from counterfoil.cluster import leader; leader.take = die",
    "swap": "from counterfoil.cluster import state; state.swap = die",
    "swapped": (
        "from counterfoil.cluster.leader import Leader; real = Leader._go_on_from\n"
        "def go_on(me, done):\n"
        "    real(me, done) if not done.growth.objects else die()\n"
        "Leader._go_on_from = go_on"
    ),
    "store": "from counterfoil.cluster.tiletree import TileTree; TileTree.store = die",
    "witness": "from counterfoil.ledger.countersign import Witnesses; Witnesses.countersign = die",
    "publish": "from counterfoil.cluster import state; state.publish = die",
    "tell": "from counterfoil.cluster.waiting import Waiting; Waiting.resolve = die",
}


@pytest.fixture
def database(shared):
    """The tables of a shared log, beneath everything."""
    opened = Database(parse_address(shared.location))
    yield opened
    opened.close()


def indices(log, entries, since=0):
    """Append entries once; where they stand, by receipts that hold."""
    receipts = log.append_many(entries, since=since)
    for entry, receipt in zip(entries, receipts, strict=True):
        check_receipt(entry, receipt, log.key)
        assert log.entry(receipt.index) == entry
    return [receipt.index for receipt in receipts]


def leave_queued(database, *calls):
    """Queue calls as a process does that is killed before anybody could lead."""
    with database.transaction("queueing as a process that then died") as connection:
        rows = [(len(entries), join_entries(entries), since) for entries, since in calls]
        return stage(connection, database, rows)


def test_a_herd_appends_each_entry_once(store):
    """Processes with many threads bring the same entries at once: all are told the same places."""
    code = (
        "import json, random, sys, threading\n"
        f"HERD, told = {HERD!r}, []\n"
        "def work(seed):\n"
        "    chance, mine = random.Random(seed), list(HERD)\n"
        "    chance.shuffle(mine)\n"
        "    while mine:\n"
        "        some = [mine.pop() for _ in range(min(len(mine), chance.randrange(1, 8)))]\n"
        "        receipts = log.append_many(some, since=0)\n"
        "        told.extend((e.decode(), r.index) for e, r in zip(some, receipts))\n"
        "log.append(b'begun'); print('ready', flush=True); input()\n"
        "threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]\n"
        "for one in threads: one.start()\n"
        "for one in threads: one.join()\n"
        "print(json.dumps(told))\n"
    )
    running = [store.in_process(code) for _ in range(store.writers)]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    told: list[tuple[str, int]] = []
    for process in running:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        told += map(tuple, json.loads(output))
    assert len(told) == 4 * store.writers * len(HERD)
    places = dict(told)
    assert len(set(told)) == len(places) == len(HERD)
    with store.open() as log:
        assert log.size == store.writers + len(HERD)
        for entry, index in places.items():
            assert log.entry(index) == entry.encode()
        audit(log)


def test_places_of_one_call_need_not_follow_each_other(store):
    """What is in already, or comes twice in a call, is answered with the first place there is."""
    with store.open() as log:
        log.append_many([b"a", b"b"])
        assert indices(log, [b"b", b"c", b"c", b"a", b"d"]) == [1, 2, 2, 0, 3]
        checkpoint = log.checkpoint
        assert indices(log, [b"d", b"a"]) == [3, 0]
        assert indices(log, []) == []
        assert (log.size, log.checkpoint) == (4, checkpoint)
        assert log.append_many([b"a", b"e"])[0].index == 4  # whoever does not ask is not refused
        assert indices(log, [b"a", b"e"]) == [0, 5]
        assert indices(log, [b"b", b"f"], since=log.size) == [6, 7]
    with store.open() as log:
        assert indices(log, [b"f", b"g"], since=log.size - 1) == [7, 8]
        assert audit(log).size == 9


def test_only_so_much_is_looked_through(store, monkeypatch):
    """Nobody has others wait while he has a whole log looked through."""
    with store.open() as log:
        log.append_many([b"%d" % number for number in range(600)])
        monkeypatch.setattr(once, "_LOOKED_THROUGH", 250)
        monkeypatch.setattr(once, "MAX_SINCE_ENTRIES", 590)
        assert indices(log, [b"10", b"599", b"x", b"260"], since=10) == [10, 599, 600, 260]
        for since in (-1, 10, 602):
            with pytest.raises(FormatError, match=f"from {since} on, in a log of 601"):
                log.append_many([b"x"], since=since)
        assert log.size == 601


def test_threads_that_ask_and_threads_that_do_not(store):
    """Beside plain appends, which may repeat, each entry that is wanted once is added once."""
    with store.open() as log:
        log.append(b"begun")
        told: list[tuple[bytes, int]] = []

        def ask():
            told.extend((entry, log.append_many([entry], since=0)[0].index) for entry in HERD)

        def add():
            for number in range(len(HERD)):
                log.append_many([b"plain", b"plain %d" % number])

        threads = [threading.Thread(target=work) for work in (ask, add, ask, add, ask)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(set(told)) == len(HERD)
        entries = list(log.entries(0, log.size))
        assert len(entries) == 1 + len(HERD) + 4 * len(HERD)
        assert all(entries[index] == entry for entry, index in told)
        audit(log)


def test_what_a_dead_process_queued_is_found(shared, database):
    """A copy still in the queue, and the same sent again to another: in once, wherever it stood."""
    with shared.open() as log:
        log.append(b"old")
    leave_queued(database, ([b"x", b"y"], 0), ([b"plain", b"z"], None))
    again, new = leave_queued(database, ([b"old", b"z", b"y"], 0), ([b"w", b"x"], 1))
    with shared.open() as log:
        assert indices(log, [b"w", b"x", b"z", b"old"]) == [5, 1, 4, 0]
        assert log.size == 6
        with database.transaction("looking") as connection:
            placed = "SELECT first, count, indices FROM placed WHERE id = ANY(%s) ORDER BY id"
            rows = connection.execute(placed, ([again, new],)).fetchall()
            queued = connection.execute("SELECT FROM queue WHERE id = %s", (again,)).rowcount
        assert rows == [(5, 0, [0, 4, 2]), (5, 1, [5, 1])]
        assert queued == 0
        audit(log)


def test_copies_leave_nothing_in_the_queue(shared, database):
    """The queue is emptied as ever, however many copies have come."""
    entries = [b"%d" % number for number in range(300)]
    with shared.open() as log:
        for begin in range(0, 300, 60):
            for _ in range(3):
                indices(log, entries[begin : begin + 60] * 2)
        log.append_many([b"more"] * 212)
        assert log.size == 512
        indices(log, [b"299", b"7"])
    with database.transaction("looking") as connection:
        assert connection.execute("SELECT count(*) FROM queue").fetchone() == (0,)
    with shared.open() as log:
        assert indices(log, [b"299", b"new"]) == [299, 512]


@pytest.mark.parametrize("step", STEPS)
def test_a_leader_killed_at_a_step(make_store, step):
    """Whatever a leader was doing when it was killed, the next one appends nothing twice."""
    try:
        shared = make_store("postgres-files")
    except MissingError as missing:
        pytest.skip(str(missing))
    shared.make()
    with shared.open() as log:
        log.append_many([b"a", b"b"])
    wanted = [b"b", b"c", b"c", b"a", b"d"]
    dying = shared.in_process(
        "import os\n"
        "def die(*words, **more): os.kill(os.getpid(), 9)\n"
        f"{STEPS[step]}\n"
        f"log.append_many({wanted!r}, since=0)"
    )
    dying.communicate(timeout=60)
    assert dying.returncode == -signal.SIGKILL
    with shared.open() as log:
        assert indices(log, [b"d", b"e"]) == [3, 4]
        assert indices(log, wanted) == [1, 2, 2, 0, 3]
        assert list(log.entries(0, log.size)) == [b"a", b"b", b"c", b"d", b"e"]
        audit(log)


def test_a_leader_killed_at_copies_only(make_store):
    """Killed when it had found that all of a call is in, it leaves the log as it was."""
    shared = make_store("postgres-files")
    shared.make()
    with shared.open() as log:
        log.append_many([b"a", b"b"])
    dying = shared.in_process(
        "import os\n"
        "def die(*words, **more): os.kill(os.getpid(), 9)\n"
        "from counterfoil.cluster.waiting import Waiting; Waiting.resolve = die\n"
        "log.append_many([b'b', b'a'], since=0)"
    )
    dying.communicate(timeout=60)
    assert dying.returncode == -signal.SIGKILL
    with shared.open() as log:
        assert indices(log, [b"b", b"a", b"c"]) == [1, 0, 2]


def test_a_false_place_is_not_believed(shared, database):
    """Whoever changes the database has nobody told that an entry is where another one is."""
    with shared.open() as log, database.session("testing") as connection:
        log.append_many([b"a", b"b"])
        connection.execute(
            "CREATE FUNCTION lie() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN NEW.indices = ARRAY[0]; RETURN NEW; END';"
            "CREATE TRIGGER lie BEFORE INSERT ON placed FOR EACH ROW EXECUTE FUNCTION lie()"
        )
        with shared.open() as other:
            log.ask_witnesses()  # it leads, so that the other one is told by the database
            with pytest.raises(VerificationError, match="already as number 0"):
                other.append_many([b"b"], since=0)
