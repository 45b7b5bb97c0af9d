from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from counterfoil.core.record import parse_disclosure, seal_rows
from counterfoil.errors import UnavailableError
from counterfoil.ledger import journal
from counterfoil.ledger.disk import Disk
from counterfoil.vault import (
    Eraser,
    ErasureRequest,
    FileKeyStore,
    StreamStore,
    read_certificate,
    request_digest,
)
from counterfoil.vault.folder import FolderPlace
from counterfoil.vault.seal import SLOT_BYTES, unwrap

STREAM, AUDIT = b"S" * 32, b"A" * 32
FIELDS = ("kind", "inputs", "output")
REQUEST = ErasureRequest("GDPR Art. 17", request_digest(b"erase me"), ("a", "b"))
STEPS = ["intended", "destroyed", "recorded", "finished"]

# What the killed process runs: nothing in it but the public way to erase, and the injected end.
PROGRAM = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from counterfoil.vault import (
        ErasureRequest, Eraser, FileKeyStore, StreamStore, request_digest,
    )

    def stop(step):
        if step == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)

    root = Path(sys.argv[1])
    keys = FileKeyStore(root / "keys")
    store = StreamStore.open(root / "stream", keys, write=True)
    audit = StreamStore.open(root / "audit", keys, write=True)
    request = ErasureRequest("GDPR Art. 17", request_digest(b"erase me"), ("a", "b"))
    Eraser(store, audit, rules=(), on_step=stop).erase([1], request)
    """
)


def opened(root, *, disk=None):
    keys = FileKeyStore(root / "keys", disk=disk)
    places = [FolderPlace(root / name, disk) for name in ("stream", "audit")]
    return tuple(StreamStore.open(place, keys, write=True) for place in places)


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A stream of three records, an erasure stream, and all that must vanish with record 1."""
    monkeypatch.setattr(journal, "JOURNAL_BYTES", 1 << 16)  # quicker to copy for every step
    root = tmp_path / "prepared"
    keys = FileKeyStore(root / "keys")
    rows = [("decision", {"name": f"needle-{who}"}, None) for who in ("anna", "bert", "cleo")]
    with (
        StreamStore.create(root / "stream", STREAM, keys) as store,
        StreamStore.create(root / "audit", AUDIT, keys) as audit,
    ):
        sealed = seal_rows(STREAM, FIELDS, rows, os.urandom(32 * len(FIELDS) * len(rows)))
        store.append(sealed, ["anna", "bert", "cleo"])
        assert audit.size == 0
        payload = store._tree.payload(1)
        needles = [b"needle-bert", payload[4:SLOT_BYTES], payload[SLOT_BYTES:]]
        needles.append(unwrap(store._keys, STREAM, 1, payload[:SLOT_BYTES]))
        needles += [parse_disclosure(text).salt for text in store.disclosures(1)]
        needles += [text.encode() for text in store.disclosures(1)]
        return root, needles, store.root()


def remains(root, needles):
    """Names files that hold a needle, plain or in base64."""
    found = []
    for path in root.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        for needle in needles:
            coded = (base64.b64encode(bytes(n) + needle)[4 if n else 0 : -4] for n in range(3))
            if any(form in data for form in (needle, *coded)):
                found.append(path.name)
    return found


def check_whole(root, needles, tree_root, *, erased):
    """Everything that must hold after a crash: one of two states, and everyone else untouched."""
    store, audit = opened(root)
    with store, audit:
        certificate = Eraser(store, audit).finish()
        assert [store.subject(n) for n in (0, 2)] == ["anna", "cleo"]
        assert store.root() == tree_root
        assert not list((root / "stream").glob("erasing*"))
        assert len(list((root / "keys").iterdir())) == 2
        try:
            store.disclosures(1)
        except UnavailableError:
            is_erased = True
        else:
            is_erased = False
        if erased is not None:
            assert is_erased is erased
        assert audit.size == (1 if is_erased else 0)
        if is_erased:
            recorded = read_certificate(audit, 0)
            assert recorded.leaves == (store.leaf(1),)
            assert certificate in (None, recorded)
            assert store.find("bert", scan=True) == store.find("bert") == []
            assert remains(root, needles) == []
    if is_erased:
        assert remains(root, needles) == []
    return is_erased


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_between_steps_is_finished_on_opening(prepared, step):
    """Killed after any named step, the erasure is carried to its end, once, by `finish`."""
    root, needles, tree_root = prepared
    source = Path(__file__).parents[2] / "src"
    environment = os.environ | {"PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root), step],
        env=environment,
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    check_whole(root, needles, tree_root, erased=True)


def test_opening_alone_makes_it_unreadable(prepared, in_child):
    """Once an erasure is decided, no writer opens the record again, recorded or not."""
    root, _, _ = prepared

    def act(_):
        store, audit = opened(root)
        Eraser(store, audit, rules=(), on_step=lambda _: os._exit(9)).erase([1], REQUEST)

    assert in_child(act) == (9, [])
    store, audit = opened(root)
    with store, audit, pytest.raises(UnavailableError, match="erased"):
        store.disclosures(1)


class KillingDisk(Disk):
    """Ends the process at an operation: before doing it, or after."""

    def __init__(self, *, after):
        self.left = 10**9
        self.after = after

    def _step(self, do):
        self.left -= 1
        if self.left == -1 and not self.after:
            os._exit(9)
        do()
        if self.left == -1:
            os._exit(9)

    def write(self, fd, data, offset):
        # Torn in the middle, as a write is that a crash interrupts.
        if self.left == 0 and not self.after:
            super().write(fd, data[: len(data) // 2], offset)
        self._step(lambda: super(KillingDisk, self).write(fd, data, offset))

    def sync(self, fd):
        self._step(lambda: super(KillingDisk, self).sync(fd))

    def sync_all(self, fds):
        for fd in fds:  # in order, so that a step is the same one each time
            self.sync(fd)

    def sync_folder(self, folder):
        self._step(lambda: super(KillingDisk, self).sync_folder(folder))


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_operation_leaves_one_of_two_states(prepared, tmp_path, in_child, after):
    """Killed at any write or sync, torn ones included, a record is whole or gone without trace."""
    root, needles, tree_root = prepared
    states = []
    for at in range(100):
        copy = tmp_path / f"copy-{at}"
        shutil.copytree(root, copy)

        def act(_, copy=copy, at=at):
            disk = KillingDisk(after=after)
            store, audit = opened(copy, disk=disk)
            disk.left = at
            Eraser(store, audit, rules=()).erase([1], REQUEST)

        code, _ = in_child(act)
        states.append(check_whole(copy, needles, tree_root, erased=True if code == 0 else None))
        shutil.rmtree(copy)
        if code == 0:
            # First kept, then erased, and never back again.
            assert states == sorted(states)
            assert set(states) == {False, True}
            return
        assert code == 9
    pytest.fail("an erasure took more than 100 operations")
