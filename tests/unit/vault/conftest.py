from __future__ import annotations

import base64
import errno
import os
from types import SimpleNamespace

import pytest

from counterfoil.core.record import seal_rows
from counterfoil.ledger import journal
from counterfoil.ledger.disk import Disk
from counterfoil.vault import FileKeyStore, StreamStore
from counterfoil.vault.folder import FolderPlace

NOW = 1_795_392_000  # 2026-11-23
FIELDS = ("kind", "inputs", "output")


class FailingDisk(Disk):
    """Fails at the operation numbered `at`, counted from 0: before doing it, or after."""

    def __init__(self, at, *, after):
        self.left = at
        self.after = after

    def _step(self, do):
        self.left -= 1
        if self.left == -1 and not self.after:
            raise OSError(errno.ENOSPC, "no room (test)")
        do()
        if self.left == -1:
            raise OSError(errno.EIO, "done, reported as refused (test)")

    def write(self, fd, data, offset):
        self._step(lambda: super(FailingDisk, self).write(fd, data, offset))

    def sync(self, fd):
        self._step(lambda: super(FailingDisk, self).sync(fd))

    def sync_all(self, fds):
        for fd in fds:  # in order, so that a step is the same one each time
            self.sync(fd)

    def sync_folder(self, folder):
        self._step(lambda: super(FailingDisk, self).sync_folder(folder))


def decision(about, *, decided="2026-11-22T10:00:00Z"):
    """A decision's row, with a value that is easy to look for on a disk."""
    inputs = {"name": f"needle-{about}", "income": 1234.5}
    return ("decision", inputs, {"outcome": "refused", "decided": decided})


def files_with(folder, needle):
    """Names files that hold the needle's bytes, plain, in hexadecimal or in base64."""
    forms = {needle, needle.hex().encode()}
    for shift in range(3):  # base64 looks different at each of three alignments
        encoded = base64.b64encode(bytes(shift) + needle)[4 if shift else 0 : -4]
        if len(encoded) >= 8:  # shorter ones are everywhere by chance
            forms |= {encoded, encoded.replace(b"+", b"-").replace(b"/", b"_")}
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [p.name for p in files if any(form in p.read_bytes() for form in forms)]


@pytest.fixture
def failing_disk():
    """The class of disks that refuse one operation."""
    return FailingDisk


@pytest.fixture
def keys(tmp_path):
    return FileKeyStore(tmp_path / "keys")


@pytest.fixture
def vault(tmp_path, keys, monkeypatch):
    """Opens and fills stores of one stream, with a clock that the test sets."""
    monkeypatch.setattr(journal, "JOURNAL_BYTES", 1 << 16)  # quicker to write in every test
    world = SimpleNamespace(now=NOW, keys=keys, stream=b"S" * 32, folder=tmp_path / "stream")
    world.decision = decision
    world.files_with = lambda needle: files_with(tmp_path, needle)
    opened = []

    def keep(store):
        opened.append(store)
        return store

    def clock():
        return world.now

    def create(**options):
        return keep(StreamStore.create(world.folder, world.stream, keys, clock=clock, **options))

    def open_(*, write=True, folder=None, keys=keys, disk=None):
        place = FolderPlace(folder or world.folder, disk)
        return keep(StreamStore.open(place, keys, write=write, clock=clock))

    def seal(*rows):
        return seal_rows(world.stream, FIELDS, rows, os.urandom(32 * len(FIELDS) * len(rows)))

    def fill(store, *people):
        """Appends one decision about each."""
        return store.append(seal(*(decision(who) for who in people)), people)

    world.clock, world.create, world.open, world.seal, world.fill = clock, create, open_, seal, fill
    yield world
    for store in opened:
        store.close()
