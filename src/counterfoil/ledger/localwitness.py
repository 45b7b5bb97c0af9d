"""The local witness: a witness process of our own, asked over a pipe.

It has its key and its memory outside the ledger's folder. What it proves: that this ledger was not
set back, forked by a copied folder, or rewritten by whoever can write only to the ledger. Against
somebody who controls this user's account, and so the witness too, it proves nothing; verdicts say
so.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

from counterfoil.core.merkle import Hash
from counterfoil.core.note import NoteSignature, parse_note
from counterfoil.core.text import format_base64, parse_decimal
from counterfoil.errors import ConflictError, FormatError, ProofError, UnavailableError
from counterfoil.ledger.disk import read_file
from counterfoil.ledger.witness import (
    MAX_REQUEST_BYTES,
    REPLY,
    REQUEST,
    STATUS_CONFLICT,
    STATUS_OK,
    STATUS_UNPROVEN,
)

REPLY_WITHIN_S = 10.0
_MAX_REASON_BYTES = 300  # of a witness's words that a message repeats


class WitnessClient(Protocol):
    """Whoever can be asked to cosign.

    `add_checkpoint` returns only after the witness has durably remembered the checkpoint, and
    raises `RememberedError` if that is of another size than `old_size`, `ProofError` where it will
    not follow, or `UnavailableError` where there is no answer, after which it may or may not
    have remembered it.
    """

    def add_checkpoint(
        self, old_size: int, proof: Sequence[Hash], checkpoint: bytes
    ) -> tuple[NoteSignature, ...]:
        """Ask for a cosignature on `checkpoint`, proven to extend the tree of `old_size`."""


class RememberedError(ConflictError):
    """The witness last cosigned another size than the request says.

    Args:
        size: That size.
        says: Who remembers it, and what was asked; None for the plain fact.
        hint: What to do next.
    """

    def __init__(self, size: int, says: str | None = None, *, hint: str = "") -> None:
        super().__init__(says or f"the witness remembers size {size}", hint=hint)
        self.size = size


class LocalWitness:
    """A witness in a child process, started when first asked.

    Args:
        folder: Its key (`key.pem`) and its memory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def add_checkpoint(
        self, old_size: int, proof: Sequence[Hash], checkpoint: bytes
    ) -> tuple[NoteSignature, ...]:
        """Ask the child; see `WitnessClient`."""
        with self._lock:
            return read_reply(*self._ask(format_add_checkpoint(old_size, proof, checkpoint)))

    def memory(self) -> bytes:
        """Read the checkpoint cosigned last; empty if there is none."""
        kept = sorted(self._folder.glob("*.checkpoint"))
        return read_file(kept[0], MAX_REQUEST_BYTES) if kept else b""

    def close(self) -> None:
        """End the child: it ends by itself when its input does."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            try:
                self._process.wait(REPLY_WITHIN_S)
            except subprocess.TimeoutExpired:
                # A process forked from ours holds the pipe open; what the witness knows is durable.
                self._process.kill()
                self._process.wait()
            self._process = None

    def _ask(self, request: bytes) -> tuple[int, bytes]:
        key = self._folder / "key.pem"
        if not key.exists():
            raise UnavailableError(
                f"the local witness has no key {key}",
                hint="Restore it; until then, set-backs are noticed and receipts not cosigned.",
            )
        try:
            if self._process is None:
                self._process = subprocess.Popen(  # noqa: S603 our own module, our own folder
                    # -P: a folder that we happen to stand in must not lend it modules.
                    [sys.executable, "-P", "-m", "counterfoil.ledger.witness", str(self._folder)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    # Ctrl-C is for us: the witness ends when we have closed its input.
                    start_new_session=True,
                    # A child of ours finds the package where we found it.
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            pipe_in, pipe_out = self._process.stdin, self._process.stdout
            assert pipe_in is not None  # noqa: S101 asked for above
            assert pipe_out is not None  # noqa: S101 asked for above
            pipe_in.write(REQUEST.pack(len(request)) + request)
            pipe_in.flush()
            deadline = time.monotonic() + REPLY_WITHIN_S
            status, length = REPLY.unpack(_read_within(pipe_out, REPLY.size, deadline))
            return status, _read_within(pipe_out, min(length, MAX_REQUEST_BYTES), deadline)
        except (OSError, UnavailableError) as error:
            process, self._process = self._process, None
            if process is not None:
                process.kill()
                process.communicate()
            raise UnavailableError(
                f"the local witness in {self._folder} does not answer: {error}",
                hint="Entries are durable without it; receipts lack its cosignature.",
            ) from error


def format_add_checkpoint(old_size: int, proof: Sequence[Hash], checkpoint: bytes) -> bytes:
    """Write a request of tlog-witness."""
    lines = "".join(f"{format_base64(value)}\n" for value in proof)
    return f"old {old_size}\n{lines}\n".encode() + checkpoint


def read_reply(status: int, body: bytes) -> tuple[NoteSignature, ...]:
    """Read a reply of tlog-witness; raises as `WitnessClient` says."""
    reason = reason_in(body)
    try:
        if status == STATUS_OK:
            return parse_note(b"cosignatures\n\n" + body).signatures
        if status == STATUS_CONFLICT:
            size = body.decode("ascii", "replace").removesuffix("\n")
            raise RememberedError(parse_decimal(size, "size in the witness's reply"))
    except FormatError as error:
        raise UnavailableError(f"the witness answers nonsense: {error}") from error
    if status == STATUS_UNPROVEN:
        raise ProofError(f"the witness does not follow: {reason}")
    raise UnavailableError(f"the witness answers {status}: {reason}")


def reason_in(body: bytes) -> str:
    """Give the words of somebody else's reply, as far as a message repeats them."""
    said = body[:_MAX_REASON_BYTES].decode("utf-8", "replace")
    return "".join(one if one.isprintable() else " " for one in said).strip()


def _read_within(pipe: IO[bytes], length: int, deadline: float) -> bytes:
    """Read exactly `length` bytes from an unbuffered view of the pipe before `deadline`."""
    data = b""
    fd = pipe.fileno()
    while len(data) < length:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise UnavailableError("no answer in time")
        part = os.read(fd, length - len(data))
        if not part:
            raise UnavailableError("it ended")
        data += part
    return data
