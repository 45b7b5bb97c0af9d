from __future__ import annotations

import os
import threading

import pytest

from counterfoil.ledger.disk import Disk


@pytest.fixture
def fds(tmp_path):
    """Three open files."""
    files = [(tmp_path / name).open("wb") for name in "abc"]
    yield [file.fileno() for file in files]
    for file in files:
        file.close()


def test_several_files_are_synced_at_once(fds):
    """All are asked for before the first is done, and each is asked for once."""
    met = threading.Barrier(len(fds), timeout=10)
    asked = []

    class Meeting(Disk):
        def sync(self, fd):
            met.wait()
            asked.append(fd)
            super().sync(fd)

    Meeting().sync_all(fds)
    assert sorted(asked) == sorted(fds)


@pytest.mark.parametrize("error", [OSError, MemoryError])
@pytest.mark.parametrize("place", range(3))
def test_one_refusal_among_several_files_is_a_refusal(fds, place, error):
    """Nothing passes for durable that the disk refused, and the others are waited for."""
    asked = []

    class Refusing(Disk):
        def sync(self, fd):
            asked.append(fd)
            if fd == fds[place]:
                raise error("broken by the test")

    with pytest.raises(error, match="broken by the test"):
        Refusing().sync_all(fds)
    assert sorted(asked) == sorted(fds)


def test_files_are_synced_where_no_thread_can_be_had(fds, monkeypatch):
    """A process that may have no more threads takes longer, and loses nothing."""
    synced = []

    def start(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(os, "fdatasync", synced.append, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    Disk().sync_all(fds)
    assert synced == fds
