from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from counterfoil.core.receipt import format_receipt
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.log import Log

SOAK = int(os.environ.get("COUNTERFOIL_SOAK", "1"))
SECTOR_BYTES = 512

pytestmark = pytest.mark.usefixtures("small_journal", "near_witness", "unsynced")


class PowerCutError(Exception):
    """The power is gone; nothing can be asked of this disk any more."""


class PowerDisk(Disk):
    """Loses what was not synced: each sector of each write since then, or keeps it, by chance."""

    def __init__(self, chance, at):
        self.chance, self.left = chance, at
        self.before = {}  # by path: the file as of its last sync
        self.since = {}  # by path: the writes since then

    def _step(self):
        self.left -= 1
        if self.left < 0:
            raise PowerCutError

    def write(self, fd, data, offset):
        self._step()
        path = Path(f"/proc/self/fd/{fd}").readlink()
        self.before.setdefault(path, path.read_bytes())
        self.since.setdefault(path, []).append((offset, bytes(data)))
        Disk.write(self, fd, data, offset)

    def sync(self, fd):
        self._step()
        path = Path(f"/proc/self/fd/{fd}").readlink()
        self.before.pop(path, None)
        self.since.pop(path, None)

    def sync_all(self, fds):
        for fd in fds:  # in order, so that a step is the same one each time
            self.sync(fd)

    def sync_folder(self, folder):
        self._step()
        folder.stat()

    def cut(self):
        """Leave on the disk what the power cut left."""
        for path, content in self.before.items():
            if path.exists():
                path.write_bytes(self._remains(bytearray(content), self.since[path]))

    def _remains(self, content, writes):
        length = len(content)
        for offset, data in writes:
            content.extend(bytes(max(0, offset + len(data) - len(content))))
            for start in range(0, len(data), SECTOR_BYTES):
                if self.chance.random() < 0.5:
                    sector = data[start : start + SECTOR_BYTES]
                    content[offset + start : offset + start + len(sector)] = sector
        # The length is news of its own: it may have come through or not.
        return bytes(content if self.chance.random() < 0.5 else content[:length])


def drop(log):
    """Release what the end of a process releases, and nothing else."""
    if log._sequencer is not None:
        tree = log._sequencer.tree
        tree._is_sound = False
        tree.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux which file it is")
def test_a_power_cut_takes_nothing_that_was_acknowledged(world, make_keys, outside):
    """Whatever part of the unsynced writes is lost, each acknowledged entry is there, in order."""
    signer = make_keys("example.com/power", witness=True)
    for seed in range(12 * SOAK):
        chance = random.Random(seed)  # noqa: S311 faults, not secrets
        folder = world.template / f"ledger-{seed}"
        folder.mkdir()
        world.monkeypatch.setenv("COUNTERFOIL_HOME", str(folder / "home"))
        signer = make_keys("example.com/power", witness=chance.random() < 0.5)
        Log.create(folder, signer, disk=world.quiet)
        seen = outside(signer.key)
        for life in range(8):
            disk = PowerDisk(chance, at=chance.randrange(1, 40))
            log = None
            try:
                log = Log(folder, disk=disk)
                for number in range(10):
                    count = chance.choice([1, 2, 30])
                    entries = [b"%d %d %d" % (life, number, i) for i in range(count)]
                    receipts = log.append_many(entries)
                    for place in {0, count - 1}:
                        seen.acknowledge(entries[place], format_receipt(receipts[place]))
            except PowerCutError:
                pass
            if log is not None:
                drop(log)
            disk.cut()
        with Log(folder, disk=world.quiet) as log:
            seen.acknowledge(b"after", format_receipt(log.append(b"after")))
            seen.check(log)
            assert len(seen.told) > 5
