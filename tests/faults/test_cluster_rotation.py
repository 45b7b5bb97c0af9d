"""A hand-over on PostgreSQL, killed before and after every step: the old key, or the new one."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil

import pytest
from ending import end_at

import counterfoil as cf
from counterfoil.cluster import state
from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.core.receipt import check_receipt
from counterfoil.ledger import rotation
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.rotation import rotate_key

MOST_STEPS = 120
SOAK = int(os.environ.get("COUNTERFOIL_SOAK", "0"))
STEPS = (
    (state, "keep_callers_out"),
    (state, "hand_over"),
    (state, "publish"),
    (state, "swap"),
    (rotation, "prepare_next_key"),
    (rotation, "install_next_key"),
    (Disk, "replace"),
)

pytestmark = pytest.mark.usefixtures("near_witness", "unsynced")


def test_killed_at_every_step(postgres, tmp_path, monkeypatch, in_child):
    """Whichever key is in force signs; run again, it hands over once, and the policy says so."""
    killed, counts = 0, set()
    for at in itertools.count(1, 1 if SOAK else 5):
        assert at < MOST_STEPS
        schema = f"r_{secrets.token_hex(6)}"
        url = f"{postgres.url}?tiles=file://{tmp_path}/{schema}&schema={schema}"
        monkeypatch.setenv("COUNTERFOIL_HOME", str(tmp_path / f"home-{at}"))
        with cf.init(url) as ledger:
            before = ledger.append(b"before")

        def act(_, at=at, url=url):
            end_at(at, STEPS)
            with cf.open(url) as ledger:
                rotate_key(ledger)

        code, _ = in_child(act)
        assert code in {0, 9}
        with cf.open(url) as ledger:
            keys = ledger.keys
            receipt = ledger.append(b"between")
            checkpoint = open_checkpoint(receipt.checkpoint, keys)
            assert keys.counts(keys.key, checkpoint.size)
            assert b"witness.local" in receipt.checkpoint
        with cf.open(url) as ledger:
            if not keys.earlier or ledger.policy.show().log.keys != keys:
                assert len(rotate_key(ledger).keys.earlier) == 1, "it handed over twice"
            assert ledger.policy.show().log.keys == ledger.keys
            check_receipt(b"before", before, ledger.keys)
        assert len(keys.earlier) <= 1
        counts.add(len(keys.earlier))
        assert cf.verify(url).trusted
        with cf.open(url) as ledger:
            for index in range(ledger.size):
                check_receipt(ledger.entry(index), ledger.receipt(index), ledger.keys)
        postgres.run(f"DROP SCHEMA {schema} CASCADE")
        shutil.rmtree(tmp_path / f"home-{at}")
        if code == 0:
            break
        killed += 1
    assert counts == {0, 1}, "it was killed on both sides of the hand-over"
    assert killed >= (15 if SOAK else 4)
