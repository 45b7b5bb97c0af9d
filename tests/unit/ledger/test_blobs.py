from __future__ import annotations

import os

import pytest

from counterfoil.core.statement import Subject
from counterfoil.errors import VerificationError
from counterfoil.ledger.log import Log

SUBJECT = Subject("credit", {"sha256": "ab" * 32})


def cut(path):
    os.truncate(path, 10)


def lengthen(path):
    os.truncate(path, 1 << 40)


def empty(path):
    path.write_bytes(b"")


def replace_by_pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [cut, lengthen, empty, replace_by_pipe])
def test_what_was_stated_never_passes_for_no_statement(make_log, damage):
    """A search, and so a gate, stops at a statement whose bytes are not those beside the log."""
    folder = make_log()
    with Log(folder) as log:
        log.attest([SUBJECT], "revocation", {"reason": "x" * 47_000, "final": True})
    (blob,) = (path for path in (folder / "blobs").rglob("*") if path.is_file())
    damage(blob)
    with Log(folder) as log, pytest.raises(VerificationError, match="not what the log says"):
        log.find(subject="credit")
