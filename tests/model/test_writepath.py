"""The real engine, led step by step down every kind of way that the model of it can go.

Each process of the model is the thread in which an engine leads, held before every step until it is
told to go on, to die before the step, or to die having done it. After every step the database, the
witness and what readers see are those of the model.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from servers import MissingError, Postgres
from writepath import PROCESSES, State, Step, apply, explore

from counterfoil.cluster import leader as leading
from counterfoil.cluster import state as rows
from counterfoil.cluster.address import parse_address
from counterfoil.cluster.create import create_log
from counterfoil.cluster.database import Database
from counterfoil.cluster.engine import open_log, open_objects
from counterfoil.cluster.queue import join_entries, stage
from counterfoil.cluster.tiletree import TileTree
from counterfoil.cluster.waiting import Pending, Waiting
from counterfoil.core.checkpoint import LogKeys, open_checkpoint
from counterfoil.core.keys import Algorithm
from counterfoil.core.merkle import leaf_hash, root_of
from counterfoil.core.receipt import check_receipt
from counterfoil.ledger.audit import audit
from counterfoil.ledger.countersign import Witnesses
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.keyfiles import generate_key, load_key, save_key
from counterfoil.ledger.localwitness import LocalWitness
from counterfoil.ledger.places import Places
from counterfoil.ledger.witness import Witness

CALLS = 2
FAULTS = 2 if os.environ.get("COUNTERFOIL_SOAK") else 1
PARTS = 4  # the ways are split, so that tests can run side by side
WITHIN_S = 30.0
ENTRIES = [b"call %d" % number for number in range(CALLS + 1)]


def calls_entries(call):
    """The entries of a call, and from where on they are wanted once.

    Every call but the first also has the entry of that one, so it adds one entry like the others.
    """
    return ([ENTRIES[call], ENTRIES[0]], 0) if call else ([ENTRIES[0]], None)


class Died(BaseException):
    """The process ends here."""


class NearWitness(LocalWitness):
    """The local witness in this process; a process of its own for every way would take long."""

    def _ask(self, request):
        key = load_key(self._folder / "key.pem")
        return Witness(self._folder, key, clock=time.time).add_checkpoint(request)


class Held(leading.Leader):
    """A leader that takes no step before it is told to."""

    def __init__(self, *words, **more):
        super().__init__(*words, **more)
        self.orders = queue.SimpleQueue()
        self.reports = queue.SimpleQueue()
        self.connection = None
        self.dies_after = self.is_finishing = self.is_publishing = False

    def run(self):
        try:
            super().run()
        except Died:
            pass
        finally:
            self.reports.put("ended")

    def _finish(self, *words, **more):
        self.is_finishing = True
        try:
            super()._finish(*words, **more)
        finally:
            self.is_finishing = False

    def _go_on_from(self, committed):
        if not self.is_finishing:
            self.end_step()
        super()._go_on_from(committed)

    def step(self, what, work, *, ends=True):
        """Do a step as ordered; `ends` is false where the model's step goes on after it."""
        self.reports.put(what)
        how = self.orders.get(timeout=WITHIN_S)
        if how == "before":
            raise Died
        self.dies_after = how == "after"
        try:
            done = work()
        except rows.FencedError:
            self.is_publishing = False
            self.end_step()
            raise
        if ends:
            self.end_step()
        return done

    def end_step(self):
        if self.dies_after:
            raise Died


def held():
    return threading.current_thread()


def put_gate(monkeypatch, owner, name, what, *, connection=False, ends=True):
    """Have a thread that is held stop before a function, and be told what to do."""
    real = getattr(owner, name)

    def gated(*words, **more):
        me = held()
        if not isinstance(me, Held) or me.is_publishing:
            return real(*words, **more)  # what one transaction does is one step
        # Who takes over also publishes what witnesses say of the size that is published.
        if what == "publish":
            if not me.is_finishing:
                return real(*words, **more)
            me.is_publishing = True
        if connection:
            me.connection = words[0]
            me.backend = me.connection.info.backend_pid
        return me.step(what, lambda: real(*words, **more), ends=ends)

    monkeypatch.setattr(owner, name, gated)


@pytest.fixture(autouse=True)
def gates(monkeypatch):
    """Put a gate before every step, in whichever thread it is taken."""
    gate = partial(put_gate, monkeypatch)
    gate(rows, "try_lock", "lead", connection=True, ends=False)
    real_lead = rows.lead

    def lead(*words, **more):
        found = real_lead(*words, **more)
        if isinstance(held(), Held):
            held().end_step()
        return found

    monkeypatch.setattr(rows, "lead", lead)
    gate(leading, "take", "take")
    gate(rows, "swap", "swap", ends=False)
    gate(TileTree, "store", "store")
    gate(Witnesses, "countersign", "witness")
    gate(rows, "publish", "publish", ends=False)
    real_take = TileTree.take

    def take(tree, head):
        me = held()
        if isinstance(me, Held) and me.is_publishing:
            me.is_publishing = False
            me.end_step()  # the transaction is over
        real_take(tree, head)

    monkeypatch.setattr(TileTree, "take", take)
    monkeypatch.setattr(leading, "_RETRY_S", 0.0)
    monkeypatch.setattr(leading, "_IDLE_S", 0.001)
    monkeypatch.setattr(leading, "STANDBY_S", 0.001)
    monkeypatch.setattr(leading, "IDLE_STANDBY_S", 0.001)
    monkeypatch.setattr("counterfoil.ledger.countersign.LocalWitness", NearWitness)


@pytest.fixture(scope="module")
def server():
    try:
        postgres = Postgres(fsync="on")
    except MissingError as missing:
        pytest.skip(str(missing))
    yield postgres
    postgres.close()


class World:
    """One log, and the processes that may lead it."""

    def __init__(self, server, folder: Path, name: str):
        self.url = f"{server.url}?tiles=file://{folder}/tiles&schema={name}"
        self.key = generate_key(f"model.example/{name}", Algorithm.ED25519)
        self.places = Places(self.key.key.name)
        save_key(self.places.keys / "log.pem", self.key)
        witness = generate_key("witness.example", Algorithm.COSIGNATURE_ED25519)
        save_key(self.places.witness / "key.pem", witness)
        Witness(self.places.witness, witness, clock=time.time).know(self.key.key)
        create_log(self.url, lambda: self.key)
        self.address = parse_address(self.url)
        self.objects = open_objects(self.address, Disk())
        self.database = Database(self.address)
        self.ids = []  # of the calls in the queue
        self.roots = {}
        self.told = {}
        self.leaders = {}
        for who in range(PROCESSES):
            self.begin(who)

    def begin(self, who):
        """Start a process; it stands before its first step."""

        def read_head():
            with self.database.transaction("reading") as connection:
                return rows.read_news(connection, self.database).head

        tree = TileTree(self.address.name, self.objects, read_head, lambda: None, lambda: None)
        tree.refresh()
        waiting = Waiting()
        waiting.enter(*self.pending())
        self.leaders[who] = Held(
            self.database,
            self.objects,
            tree,
            find_signer=lambda _: self.key,
            witnesses=Witnesses(LogKeys(self.key.key), self.places),
            waiting=waiting,
        )
        self.leaders[who].waiting = waiting
        self.leaders[who].start()
        self.stands(who)

    def pending(self):
        return [Pending(1, b"") for _ in self.ids], self.ids

    def stands(self, who):
        """Wait until a process stands before a step, or has ended."""
        self.leaders[who].at = self.leaders[who].reports.get(timeout=WITHIN_S)

    def take(self, step: Step):
        """Have a step happen."""
        if step.what == "enqueue":
            with self.database.transaction("queueing") as connection:
                entries, since = calls_entries(step.who)
                call = (len(entries), join_entries(entries), since)
                self.ids += stage(connection, self.database, [call])
            return
        leader = self.leaders[step.who]
        if step.what == "cut":
            leader.connection.execute("SELECT pg_advisory_unlock_all()")
            return
        assert leader.at == step.what, f"it stands before {leader.at}"
        leader.orders.put(step.how)
        self.stands(step.who)
        if step.how != "done":
            assert leader.at == "ended"
            leader.join()
            self.forgotten(leader)
            self.begin(step.who)

    def forgotten(self, leader):
        """Wait until the database has noticed that a process is gone, and let go of its lock."""
        until = time.monotonic() + WITHIN_S
        while True:
            with self.database.transaction("looking") as connection:
                found = connection.execute(
                    "SELECT FROM pg_stat_activity WHERE pid = %s", (leader.backend,)
                )
                if not found.rowcount:
                    return
            assert time.monotonic() < until
            time.sleep(0.005)

    def look(self, model: State):
        """Compare everything with the model."""
        with self.database.transaction("looking") as connection:
            epoch, size, root = connection.execute("SELECT epoch, size, root FROM log").fetchone()
            places = connection.execute("SELECT id, indices FROM placed ORDER BY first").fetchall()
            shown, note = connection.execute("SELECT size, checkpoint FROM published").fetchone()
        committed = [self.ids.index(number) for number, _ in places]
        assert [indices for _, indices in places] == [
            [place, committed.index(0)] if call else None for place, call in enumerate(committed)
        ]
        assert (epoch, committed) == (model.epoch, list(model.committed))
        assert (size, shown) == (len(committed), len(model.published))
        assert root == root_of([leaf_hash(ENTRIES[call]) for call in committed])
        self.see(note)
        memory = NearWitness(self.places.witness).memory()
        if memory:
            assert self.see(memory) >= len(model.witnessed)

    def see(self, note):
        """Take note of a checkpoint that left a process."""
        checkpoint = open_checkpoint(note, self.key.key)
        assert self.roots.setdefault(checkpoint.size, checkpoint.root) == checkpoint.root
        return checkpoint.size

    def end(self, model: State):
        """Let all processes die; a new one finishes, and everything that was promised is true."""
        for leader in self.leaders.values():
            if leader.at != "ended":
                leader.orders.put("before")
                leader.join()
        with open_log(self.url) as log:
            receipt = log.append(ENTRIES[CALLS])
            assert [*log.entries(0, len(model.committed))] == [
                ENTRIES[call] for call in model.committed
            ]
            assert receipt.index == len(self.ids)
            check_receipt(ENTRIES[CALLS], receipt, self.key.key)
            self.see(receipt.checkpoint)
            for index in range(log.size):
                check_receipt(log.entry(index), log.receipt(index), self.key.key)
            audit(log)
        self.database.close()


def ways():
    """Ways that together have every kind of step: the longest first, and none that adds nothing."""
    _, all_ways = explore(CALLS, FAULTS)
    chosen, seen = [], set()
    for way in sorted(all_ways, key=len, reverse=True):
        if way not in seen:
            chosen.append(way)
            seen.update(way[:length] for length in range(1, len(way) + 1))
    return chosen


def walk(server, folder, name, way):
    """Lead the real thing down one way."""
    world, model = World(server, folder, name), State()
    with contextlib.ExitStack() as told:
        told.callback(print, f"the way: {' '.join(map(str, way))}")
        for step in way:
            world.take(step)
            model = apply(model, step)
            world.look(model)
        world.end(model)
        told.pop_all()


def test_no_state_that_faults_can_lead_to_breaks_a_promise():
    """All states of two processes, three calls and three faults: none contradicts another."""
    states, kinds = explore(3, 3)
    assert states > 20_000
    assert len(kinds) > 500


@pytest.mark.parametrize("part", range(PARTS))
def test_the_engine_goes_every_kind_of_way_that_the_model_goes(part, server, tmp_path):
    """At each step, the real database, store and witness hold what the model says."""
    for number, way in enumerate(ways()):
        if number % PARTS == part:
            walk(server, tmp_path / str(number), f"way_{number}", way)
