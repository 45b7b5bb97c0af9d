"""Two machines and a database: the wire to the one that leads is cut, and mended."""

from __future__ import annotations

import secrets
import time

import psycopg
import pytest
from machine import HERE, Machine
from nursery import Nursery
from servers import MissingError, Postgres

from counterfoil.cluster import create_log, open_log
from counterfoil.cluster.state import LEASE_S
from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.core.keys import Algorithm
from counterfoil.ledger.audit import audit
from counterfoil.ledger.keyfiles import generate_key, save_key
from counterfoil.ledger.places import Places

SOON_S = 90.0


@pytest.fixture
def machine():
    """Another machine."""
    try:
        made = Machine()
    except OSError as refused:
        pytest.skip(f"NETWORK CUTS BETWEEN MACHINES ARE NOT TESTED: {refused}")
    yield made
    made.close()


@pytest.fixture
def database(machine):  # noqa: ARG001 whose wire has to be there, to be listened on
    """A PostgreSQL server that both machines reach."""
    try:
        server = Postgres(listen_addresses=f"127.0.0.1,{HERE}")
    except MissingError as missing:
        pytest.skip(str(missing))
    with (server.folder / "data" / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {HERE}/24 scram-sha-256\n")
    server.run("SELECT pg_reload_conf()")
    yield server
    server.close()


def acknowledged(nursery, since):
    """Wait until a call begun later is acknowledged; return when."""
    until = time.monotonic() + SOON_S
    while True:
        for line in nursery.news():
            if "index" in line and line["begun"] > since:
                return line["at"]
        assert time.monotonic() < until, nursery.lines[-3:]
        time.sleep(0.02)


def test_the_leader_is_cut_off(machine, database, tmp_path):
    """The other machine leads on, the log stays one, and the first comes back to it."""
    signer = generate_key("example.com/two-machines", Algorithm.ED25519)
    save_key(Places(signer.key.name).keys / "log.pem", signer)
    options = f"?tiles=file://{tmp_path}/tiles&schema=f_{secrets.token_hex(6)}"
    near_url = database.url + options
    far_url = near_url.replace("127.0.0.1", HERE)
    create_log(near_url, lambda: signer)
    far = Nursery(far_url, tmp_path / "far", within=machine.within)
    near = Nursery(near_url, tmp_path / "near")
    try:
        leader = far.spawn()
        acknowledged(far, 0.0)
        with psycopg.connect(database.url) as connection:
            schema = options.rpartition("=")[2]
            query = f"SELECT holder FROM {schema}.leader".encode()  # noqa: S608 ours
            (holder,) = connection.execute(query).fetchone()
        assert holder.split()[1] == str(leader)
        near.spawn()
        acknowledged(near, 0.0)
        machine.cut()
        cut = time.monotonic()
        took = acknowledged(near, cut) - cut
        assert took < 3 * LEASE_S
        acknowledged(near, time.monotonic())
        machine.heal()
        acknowledged(far, time.monotonic())
    finally:
        far.close()
        near.close()
    print(f"cut off, and led on by the other machine after {took:.1f} s")  # noqa: T201 shown by -s
    roots = {}
    with open_log(near_url) as log:
        log.append(b"the last one")
        entries = list(log.entries(0, log.size))
        for line in (*far.lines, *near.lines):
            if "index" in line:
                assert entries[line["index"]] == line["first"].encode()
                head = open_checkpoint(line["note"].encode(), log.key)
                assert roots.setdefault(head.size, head.root) == head.root
        for size, root in roots.items():
            assert log.root_at(size) == root
        audit(log)
