from __future__ import annotations

import os

from counterfoil.ledger.disk import Disk
from counterfoil.vault.wipe import overwrite, wipe


def test_wiping_overwrites_before_it_removes(tmp_path):
    """Somebody who still has the file open reads zeros, as long as the content was."""
    path = tmp_path / "secret"
    path.write_bytes(b"needle" * 100)
    with path.open("rb") as still_open:
        wipe(path, Disk(), os.urandom)
        assert still_open.read() == bytes(600)
    assert not path.exists()


def test_wiping_writes_noise_first(tmp_path):
    """The first pass is noise, so that a drive that compresses zeros has to write something."""
    passes = []

    class Watched(Disk):
        def write(self, fd, data, offset):
            passes.append(bytes(data))
            super().write(fd, data, offset)

    path = tmp_path / "secret"
    path.write_bytes(b"needle")
    wipe(path, Watched(), lambda n: b"n" * n)
    assert passes == [b"n" * 6, bytes(6)]


def test_wiping_what_is_not_there_is_no_error(tmp_path):
    """An interrupted wipe may be repeated."""
    wipe(tmp_path / "missing", Disk(), os.urandom)


def test_overwriting_keeps_the_file(tmp_path):
    """A file that its owner still needs keeps its name and length."""
    path = tmp_path / "journal"
    path.write_bytes(b"needle")
    overwrite(path, Disk())
    assert path.read_bytes() == bytes(6)
