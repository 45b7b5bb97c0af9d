from __future__ import annotations

import ast
import errno
import logging
import os
import shutil
import signal
import subprocess
import time
import traceback
from pathlib import Path

import pytest
from forking import fork

from counterfoil.core.checkpoint import open_checkpoint
from counterfoil.core.keys import Algorithm
from counterfoil.core.merkle import check_extension
from counterfoil.core.receipt import check_receipt, format_receipt, parse_receipt
from counterfoil.errors import CounterfoilError
from counterfoil.ledger import countersign, journal
from counterfoil.ledger.audit import audit
from counterfoil.ledger.disk import Disk
from counterfoil.ledger.keyfiles import generate_key, load_key, save_key
from counterfoil.ledger.localwitness import LocalWitness
from counterfoil.ledger.log import Log
from counterfoil.ledger.places import Places
from counterfoil.ledger.witness import Witness

REFUSED, DONE, BEFORE, AFTER, TORN = FAULTS = (
    "refused",
    "done-but-reported-refused",
    "killed-before",
    "killed-after",
    "killed-in-the-middle",
)
MOST_STEPS = 150  # of anything that is broken step by step
SECTOR_BYTES = 512  # what a drive writes whole
REACHED = 3  # exit code of a child that met its fault and lived
REAL = {name: getattr(Disk, name) for name in ("write", "sync", "sync_all", "sync_folder")}


class StepDisk(Disk):
    """Counts steps, and at the chosen one goes wrong in the chosen way.

    Nothing is really synced: what the kernel was given outlives a killed process.
    """

    def __init__(self, fault="", at=0):
        self.arm(fault, at)

    def write(self, fd, data, offset):
        self._step(
            lambda: self._put(fd, data, offset),
            lambda: self._put(fd, data[: len(data) // 2], offset),
        )

    def sync(self, fd):
        self._step(lambda: self._keep(fd))

    def sync_all(self, fds):
        for fd in fds:  # in order, so that a step is the same one each time
            self.sync(fd)

    def sync_folder(self, folder):
        self._step(folder.stat)

    def arm(self, fault="", at=0):
        """Count from here on, and go wrong at that step; at none if it is 0."""
        self.fault, self.at, self.steps = fault, at, 0

    @property
    def has_failed(self):
        """Whether the chosen step was reached."""
        return 0 < self.at <= self.steps

    def install(self, replace=setattr):
        """Take the place of every disk in this process, also of those nobody can pass in."""
        for name in REAL:
            replace(Disk, name, getattr(self, name))

    def _step(self, act, torn=None):
        self.steps += 1
        if self.steps != self.at:
            act()
            return
        if self.fault == TORN and torn is not None:
            torn()
        if self.fault in (DONE, AFTER):
            act()
        if self.fault in (REFUSED, DONE):
            raise OSError(errno.EIO, "broken by the test")
        self._die()

    def _put(self, fd, data, offset):
        REAL["write"](self, fd, data, offset)

    def _keep(self, fd):
        os.fstat(fd)

    def _die(self):
        os.kill(os.getpid(), signal.SIGKILL)


class KilledError(BaseException):
    """Stands for the end of a process: nothing may handle it, and nothing is written after it."""


class MortalDisk(StepDisk):
    """A step disk for one process: a kill raises, and a power cut loses what was not synced.

    Args:
        chance: Decides what of it is lost.
    """

    killed_error = KilledError

    def __init__(self, chance, fault="", at=0):
        super().__init__(fault, at)
        self.chance = chance
        self.before = {}  # by path: the file as of its last sync
        self.since = {}  # by path: the writes since then

    def arm(self, fault="", at=0):
        super().arm(fault, at)
        self.is_dead = False

    @staticmethod
    def release(log):
        """Let go of what the end of its process lets go of, and do nothing else."""
        if log._writer is not None:
            log._writer.tree._is_sound = False  # a writer that closes would settle it
            log._writer.tree.close()
        for view in (log._tree, *log._views):
            view.close()

    def cut(self):
        """Leave what a power cut leaves: each sector of each unsynced write, or what was there."""
        for path, content in self.before.items():
            if path.exists():
                path.write_bytes(self._remains(bytearray(content), self.since[path]))
        self.before.clear()
        self.since.clear()

    def _step(self, act, torn=None):
        if self.is_dead:
            raise KilledError
        super()._step(act, torn)

    def _put(self, fd, data, offset):
        path = Path(f"/proc/self/fd/{fd}").readlink()
        self.before.setdefault(path, path.read_bytes())
        self.since.setdefault(path, []).append((offset, bytes(data)))
        super()._put(fd, data, offset)

    def _keep(self, fd):
        path = Path(f"/proc/self/fd/{fd}").readlink()
        self.before.pop(path, None)
        self.since.pop(path, None)

    def _die(self):
        self.is_dead = True
        raise KilledError

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


class NearWitness(LocalWitness):
    """The local witness in this process, so that its steps can be broken like ours."""

    clock = time.time

    @staticmethod
    def overhears(note):
        """Take note of a checkpoint that it was sent, whatever becomes of it."""

    def _ask(self, request):
        self.overhears(request.partition(b"\n\n")[2])
        try:
            key = load_key(self._folder / "key.pem")
            return Witness(self._folder, key, clock=self.clock).add_checkpoint(request)
        except (CounterfoilError, OSError) as error:
            return 500, str(error).encode()


class Outside:
    """What the world outside has seen of a log, and must never be contradicted about."""

    def __init__(self, key):
        self.key = key
        self.roots = {}
        self.told = {}

    def see(self, note):
        """Take note of a checkpoint that left the log's process."""
        checkpoint = open_checkpoint(note, self.key)
        known = self.roots.setdefault(checkpoint.size, checkpoint.root)
        assert known == checkpoint.root, f"two roots were signed for size {checkpoint.size}"

    def acknowledge(self, entry, receipt):
        """Take note of an entry that its author was given a receipt for."""
        receipt = parse_receipt(receipt)
        check_receipt(entry, receipt, self.key)
        assert self.told.setdefault(receipt.index, entry) == entry
        self.see(receipt.checkpoint)

    def look(self, folder):
        """Read what is published, as another process does, and what the witness remembers."""
        with Log(folder) as reader:
            self.see(reader.checkpoint)
            note = LocalWitness(reader.places.witness).memory()
            if note:
                self.see(note)
            return reader.size

    def check(self, log):
        """Check that the log keeps every promise it made."""
        self.see(log.checkpoint)
        for index, entry in self.told.items():
            assert log.entry(index) == entry
            check_receipt(entry, log.receipt(index), self.key)
        for size, root in self.roots.items():
            check_extension(size, root, log.size, log.root, log.consistency(size))
        audit(log)


class World:
    """A home and a ledger, prepared once, and a fresh copy of both for every step of a table."""

    def __init__(self, tmp_path, monkeypatch, quiet):
        self.tmp_path = tmp_path
        self.monkeypatch = monkeypatch
        self.quiet = quiet  # a disk that syncs nothing, for our own checks
        self.template = tmp_path / "template"
        self.use(self.template)

    def use(self, root):
        self.monkeypatch.setenv("COUNTERFOIL_HOME", str(root / "home"))
        return root / "ledger"

    def copy(self, name):
        shutil.copytree(self.template, self.tmp_path / name)
        return self.use(self.tmp_path / name)


def tell(write, entry, receipt):
    """Acknowledge, from a child, over the pipe."""
    os.write(write, repr((entry, format_receipt(receipt))).encode() + b"\n")


@pytest.fixture(params=FAULTS)
def fault(request):
    """Every way to go wrong, one after another."""
    return request.param


@pytest.fixture
def step_disk():
    """The class of disks that go wrong at one step."""
    return StepDisk


@pytest.fixture
def mortal_disk():
    """The class of disks that go wrong in this process."""
    return MortalDisk


@pytest.fixture
def outside():
    """The class that remembers what left a log."""
    return Outside


@pytest.fixture
def in_child():
    """Runs something in a forked process that may be killed.

    Returns its exit code, negative for a signal, and what was acknowledged before that.
    """

    def run(act):
        read, write = os.pipe()
        child = fork()
        if child == 0:
            logging.basicConfig(force=True)  # what libraries log would else be pytest's, and lost
            try:
                os._exit(act(lambda entry, receipt: tell(write, entry, receipt)) or 0)
            except BaseException:  # noqa: BLE001 nothing may run on as a second pytest
                traceback.print_exc()
                os._exit(1)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            told = [ast.literal_eval(line.decode()) for line in pipe]
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told

    return run


@pytest.fixture
def small_journal(monkeypatch):
    """A journal that is recycled every few commits, and quick to copy."""
    monkeypatch.setattr(journal, "JOURNAL_BYTES", 1 << 12)


@pytest.fixture
def unsynced(monkeypatch):
    """Lets every disk return from a sync at once: a killed process loses nothing by that."""
    monkeypatch.setattr(Disk, "sync", lambda _, fd: os.fstat(fd))
    monkeypatch.setattr(Disk, "sync_folder", lambda _, folder: folder.stat())


@pytest.fixture
def small_disk(request, tmp_path, monkeypatch):
    """A disk with a home on it, of 320 KiB or as many as asked; its folder, and how to remount."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={getattr(request, 'param', 320)}k", "none", folder],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"NOT TESTED, a full and a read-only disk: {done.stderr.decode().strip()}")

    def remount(options):
        subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)

    monkeypatch.setenv("COUNTERFOIL_HOME", str(folder / "home"))
    yield folder, remount
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def s3(object_store, monkeypatch):
    """An S3-compatible server that what is tested here finds."""
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    return object_store


@pytest.fixture
def near_witness(monkeypatch):
    """Lets logs ask their witness in this process; the class of that witness."""
    monkeypatch.setattr(countersign, "LocalWitness", NearWitness)
    return NearWitness


@pytest.fixture
def make_keys():
    """Makes the keys that a log of this origin needs; returns the log's own."""

    def make(origin, *, witness=False):
        places = Places(origin)
        signer = generate_key(origin, Algorithm.ED25519)
        save_key(places.keys / "log.pem", signer)
        save_key(places.keys / "operator.pem", generate_key("operator", Algorithm.ED25519))
        if witness:
            key = generate_key("witness.example", Algorithm.COSIGNATURE_ED25519)
            save_key(places.witness / "key.pem", key)
            Witness(places.witness, key, clock=time.time).know(signer.key)
        return signer

    return make


@pytest.fixture
def world(tmp_path, monkeypatch):
    """An empty world."""
    return World(tmp_path, monkeypatch, StepDisk())


@pytest.fixture
def every_step(in_child, fault):
    """Runs `act` in a child that meets the fault at step 1, 2, …, and `check` after each.

    At least `least` steps must have been met before `act` came through.
    """

    def run(world, act, check, least):
        for at in range(1, MOST_STEPS):
            folder = world.copy(f"{fault}-{at}")
            disk = StepDisk(fault, at)

            def child(tell, folder=folder, disk=disk):
                act(folder, disk, tell)
                return REACHED if disk.steps >= disk.at else 0

            code, told = in_child(child)
            assert code in {0, REACHED, -9}, f"step {at} ended with {code}"
            check(folder, told)
            shutil.rmtree(folder.parent)
            if code == 0:
                break
        assert least < at < MOST_STEPS - 1

    return run
