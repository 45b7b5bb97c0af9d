"""An object store that comes back without its newest objects, as after a power cut without syncs.

It is set back to a copy of its data, made while it was not running: all of it fits together, and
what it answered for since is gone.
"""

from __future__ import annotations

import secrets
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from counterfoil.cluster import create_log, open_log
from counterfoil.cluster.lost import StoreLossWarning
from counterfoil.cluster.objects import CHECKPOINT_PATH, MAX_CHECKPOINT_BYTES
from counterfoil.cluster.remote import RemoteObjects
from counterfoil.core.receipt import check_receipt
from counterfoil.errors import UnavailableError, VerificationError
from counterfoil.ledger.audit import audit

KEPT = [b"kept %d" % number for number in range(300)]  # a full bundle, and some of the next
FEW = [b"few %d" % number for number in range(40)]  # calls of that bundle are in the queue
MANY = [b"many %d" % number for number in range(600)]  # those of full bundles no longer are
NOT_THERE = r"in s3://ledgers/\w+ is not what was logged: it is not there"
SOON_S = 60.0


class Loss:
    """A log on an object store that loses what was appended last."""

    def __init__(self, server, url, prefix, copy):
        self.server, self.url, self.prefix, self.copy = server, url, prefix, copy
        self.told = []  # entries, each with its receipt

    def append(self, log, entries):
        """Append some at a time, and wait until nothing of it is under way any more."""
        for first in range(0, len(entries), 20):
            some = entries[first : first + 20]
            self.told += zip(some, log.append_many(some), strict=True)
        objects, until = RemoteObjects(f"s3://ledgers/{self.prefix}"), time.monotonic() + SOON_S
        while objects.get([CHECKPOINT_PATH], MAX_CHECKPOINT_BYTES) != [log.checkpoint]:
            assert time.monotonic() < until
            time.sleep(0.02)

    def lose(self, log, entries, kept=KEPT):
        """Append entries that the store answers for and then loses; it does not run afterwards."""
        self.append(log, kept)
        self.server.kill()
        shutil.copytree(self.server.folder / "data", self.copy)
        self.server.start()
        self.append(log, entries)
        self.server.kill()
        self.server.set_back(self.copy)

    def check(self):
        """Check that all that was acknowledged is there, where it was, and proven."""
        with open_log(self.url) as log:
            for entry, receipt in self.told:
                assert log.entry(receipt.index) == entry
                check_receipt(entry, receipt, log.key)
                check_receipt(entry, log.receipt(receipt.index), log.key)
            audit(log)


@pytest.fixture
def loss(postgres, s3, make_keys, tmp_path):
    """A log on PostgreSQL and an object store, empty."""
    prefix = f"l_{secrets.token_hex(6)}"
    url = f"{postgres.url}?tiles=s3://ledgers/{prefix}&schema={prefix}"
    create_log(url, lambda: make_keys("example.com/loss"))
    yield Loss(s3, url, prefix, tmp_path / "copy")
    if not s3.is_running():
        s3.start()
    postgres.run(f"DROP SCHEMA IF EXISTS {prefix} CASCADE")


def test_next_leader_puts_back_what_the_queue_has(loss):
    """What the store lost of the newest bundle is put there again, the same, by who leads next."""
    with open_log(loss.url) as log:
        loss.lose(log, FEW)
    loss.server.start()
    with pytest.warns(StoreLossWarning, match="entries from 256 on"), open_log(loss.url) as log:
        loss.append(log, [b"after"])
    loss.check()


def test_same_leader_puts_back_what_the_queue_has(loss):
    """So does a leader that was there all the time, with a call under way meanwhile."""
    with open_log(loss.url) as log, ThreadPoolExecutor(1) as thread:
        loss.lose(log, FEW)
        under_way = thread.submit(log.append, b"meanwhile")
        time.sleep(1)
        loss.server.start()
        with pytest.warns(StoreLossWarning, match="entries from 256 on"):
            loss.told.append((b"meanwhile", under_way.result(SOON_S)))
        loss.append(log, [b"after"])
    loss.check()


def test_loss_that_the_queue_cannot_make_good_is_named(loss):
    """Nothing is signed after what is gone; readers get what is there, and hear what is not."""
    with open_log(loss.url) as log:
        loss.lose(log, MANY)
    loss.server.start()
    with open_log(loss.url) as log:
        size = log.size
        for _ in range(3):
            with pytest.raises(VerificationError, match=NOT_THERE):
                log.append(b"after")
    with open_log(loss.url) as log:
        assert log.size == size == len(KEPT) + len(MANY)
        assert log.entry(5) == KEPT[5]
        with pytest.raises(VerificationError, match=NOT_THERE):
            log.entry(len(KEPT) + 5)
        with pytest.raises(VerificationError, match=NOT_THERE):
            audit(log)


def test_leader_that_had_nothing_to_do_notices_a_loss(loss):
    """One that saw no request fail finds out from the checkpoint there, at its next commits."""
    with open_log(loss.url) as log:
        # Up to a full bundle: none of what it goes on from, or shows, touches what is gone.
        loss.lose(log, MANY, KEPT[:256])
        loss.server.start()
        for _ in range(10):
            try:
                log.append_many([b"after %d" % number for number in range(300)])
            except UnavailableError as error:
                assert "no longer shows the checkpoint" in str(error)  # noqa: PT017 may be either
            except VerificationError:
                break
            time.sleep(0.2)
        with pytest.raises(VerificationError, match=NOT_THERE):
            log.append(b"after")
