"""A witness: it cosigns a checkpoint only if that extends the last one it cosigned.

`Witness` is the decision and its memory, as C2SP tlog-witness has them: check and persist are one
atomic step, and the cosignature leaves only after it. Run as a module, this file answers requests
on standard input; `localwitness` is the other end of that pipe.

Source:
    C2SP tlog-witness v1, add-checkpoint and sign-subtree; statuses are those of its HTTP replies.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from counterfoil.core.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from counterfoil.core.cosignature import cosign, cosign_subtree, find_cosignatures
from counterfoil.core.keys import Algorithm, Signer, VerifierKey, format_vkey
from counterfoil.core.merkle import EMPTY_ROOT, MAX_PROOF_HASHES, Hash, as_hash, check_extension
from counterfoil.core.note import Note, NoteSignature, format_note, open_note, parse_note
from counterfoil.core.subtree import Subtree, check_subtree
from counterfoil.core.text import parse_base64, parse_decimal
from counterfoil.errors import (
    ConflictError,
    CounterfoilError,
    FormatError,
    ProofError,
    SignatureError,
)
from counterfoil.ledger.disk import Disk, read_file, reported
from counterfoil.ledger.keyfiles import load_key, load_vkey
from counterfoil.ledger.places import WITNESSED_DIGITS, witnessed_name
from counterfoil.ledger.suspects import Refused, Suspects

MAX_REQUEST_BYTES = 64 << 10  # 63 proof lines and a checkpoint with many signatures
REQUEST = struct.Struct(">I")  # length of the request
REPLY = struct.Struct(">HI")  # status, length of the body
STATUS_OK, STATUS_MALFORMED, STATUS_FORBIDDEN = 200, 400, 403
STATUS_UNKNOWN, STATUS_CONFLICT, STATUS_UNPROVEN = 404, 409, 422
_SLUG = re.compile(rf"[0-9a-f]{{{WITNESSED_DIGITS}}}")
_ORIGIN_HASH = re.compile(r"[0-9a-f]{64}")
_NEXT = ".next.vkey"  # ends the file with the key that a log goes on with
SIZE_TYPE = "text/x.tlog.size"  # Content-Type of a conflict, whose body is what is remembered
_LOG = logging.getLogger("counterfoil.witness")


class _NotCosigned(Exception):  # noqa: N818 an answer of the protocol, not an error of ours
    """The witness says no, with a status of the protocol."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.body = f"{reason}\n".encode()


class MemoryLostError(FormatError):
    """A witness does not know what it cosigned last of a log, so it cosigns nothing of it.

    Args:
        path: Where that should be.
        why: What is wrong with it.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"the witness's memory {path} is lost: {why}",
            hint="Nothing of that log is cosigned, as it could be another history. Make a witness "
            "with another name, and have it named in the log's trust policy.",
        )


class Witness:
    """The decision, and a folder that remembers it.

    Args:
        folder: Holds `<log>.vkey`, the logs it knows, `<log>.checkpoint`, the last one cosigned
            of each, with its cosignatures, and `<log>.refused`, what it would not cosign.
        signers: Its cosignature keys (type 04 or 06), at least one; all of them sign.
        clock: POSIX time in seconds.
        disk: How to write and sync.
    """

    def __init__(
        self,
        folder: Path,
        *signers: Signer,
        clock: Callable[[], float],
        disk: Disk | None = None,
    ) -> None:
        self._folder = folder
        assert signers, "a witness without keys signs nothing"  # noqa: S101 our own bug
        self._signers = signers
        self._subtree_signers = tuple(
            one for one in signers if one.key.algorithm is Algorithm.COSIGNATURE_ML_DSA_44
        )
        self._clock = clock
        self._disk = disk or Disk()

    def know(self, log_key: VerifierKey) -> None:
        """Begin to witness the log with this key; its name is the origin.

        Raises:
            ConflictError: it knows that log by another key; what it remembers was signed by that.
            UnavailableError: the disk refuses.
        """
        known = self._log_key(log_key.name)
        if known is not None and known != log_key:
            raise ConflictError(
                f"this witness knows the log {log_key.name} by another key, {known.label}",
                hint="Ask the log's operator which key is theirs, by another way.",
            )
        name = f"{witnessed_name(log_key.name)}.vkey"
        with reported(f"cannot make the witness in {self._folder}"):
            self._disk.replace(self._folder, name, f"{format_vkey(log_key)}\n".encode())

    def know_next(self, log_key: VerifierKey) -> None:
        """Be told the key that a log goes on with; from its first checkpoint on it alone counts.

        Until then the key before counts, too. Whoever calls this knows the key from the log's
        operator.

        Raises:
            FormatError: it does not know that log.
            UnavailableError: the disk refuses.
        """
        if self._log_key(log_key.name) is None:
            raise FormatError(
                f"this witness does not know the log {log_key.name}",
                hint="`counterfoil log witness --know VKEY` makes it.",
            )
        know_next(self._folder, log_key, self._disk)

    def add_checkpoint(self, request: bytes) -> tuple[int, bytes]:
        """Answer a request of tlog-witness: HTTP status and body.

        Nothing that is not a verified signature of the log is remembered. What the log signed and
        does not follow from what was cosigned is kept, as it may prove that the log forked.

        Raises:
            MemoryLostError: what it cosigned last of that log cannot be told.
            OSError: the disk refuses; so `UnavailableError`.
        """
        return _answer(self._cosign, request)

    def refused(self, origin: str) -> tuple[Refused, ...]:
        """List what a log signed and this would not cosign, oldest first; see `suspects`.

        Raises:
            FormatError: what is kept is damaged.
            UnavailableError: it cannot be read.
        """
        return self._suspects(origin).read()

    def cosigned(self, origin_hash: str) -> bytes | None:
        """Give the last checkpoint cosigned of a log, with the log's signature and our own.

        Args:
            origin_hash: SHA-256 of the log's origin, in hex.

        Returns:
            None if there is none, or that is no such hash.

        Raises:
            MemoryLostError: what it remembers is damaged.
            UnavailableError: it cannot be read.
        """
        if not _ORIGIN_HASH.fullmatch(origin_hash):
            return None
        path = self._folder / f"{origin_hash[:WITNESSED_DIGITS]}.checkpoint"
        if not path.exists():
            return None
        try:
            data = read_file(path, MAX_REQUEST_BYTES)
            origin = parse_checkpoint(parse_note(data).text).origin
        except FormatError as error:
            raise MemoryLostError(path, str(error)) from error
        return data if sha256(origin.encode()).hexdigest() == origin_hash else None

    def check_memory(self) -> None:
        """Check that it can tell of every log that it knows what it cosigned last.

        Raises:
            MemoryLostError: of one of them it cannot; so `FormatError` for what else is damaged.
            UnavailableError: something cannot be read.
        """
        with reported(f"cannot read {self._folder}"):
            paths = sorted(self._folder.glob("*.vkey"))
        for path in paths:
            if _SLUG.fullmatch(path.stem):
                origin = load_vkey(path).name
                self._remembered(origin, self._log_keys(origin))

    @property
    def signs_subtrees(self) -> bool:
        """Whether it has a key that can: one of ML-DSA-44."""
        return bool(self._subtree_signers)

    def sign_subtree(self, request: bytes) -> tuple[int, bytes]:
        """Answer a request of tlog-witness to sign part of what it cosigned: status and body.

        Nothing is remembered: that it cosigned the checkpoint is in the request, signed by itself.
        """
        return _answer(self._cosign_subtree, request)

    def _cosign_subtree(self, request: bytes) -> bytes:
        subtree, root, proof, data = _parse_subtree_request(request)
        note = parse_note(data)
        checkpoint = parse_checkpoint(note.text)
        if subtree.end > checkpoint.size:
            raise FormatError("the subtree ends behind the checkpoint")
        if self._log_key(checkpoint.origin) is None:
            raise _NotCosigned(STATUS_UNKNOWN, f"unknown log {checkpoint.origin!r}")
        try:
            own = find_cosignatures(note, [signer.key for signer in self._signers])
        except SignatureError as error:
            raise _NotCosigned(STATUS_FORBIDDEN, str(error)) from error
        if not own:
            raise _NotCosigned(STATUS_FORBIDDEN, "this witness has not cosigned that checkpoint")
        try:
            check_subtree(subtree, root, checkpoint.size, checkpoint.root, proof)
        except ProofError as error:
            raise _NotCosigned(STATUS_UNPROVEN, str(error)) from error
        return _format_lines(
            tuple(
                cosign_subtree(checkpoint.origin, subtree, root, signer)
                for signer in self._subtree_signers
            )
        )

    def _cosign(self, request: bytes) -> bytes:
        """Check, persist, cosign, in this order; return the cosignature lines."""
        old_size, proof, data = _parse_request(request)
        note = parse_note(data)
        origin = parse_checkpoint(note.text).origin
        if self._log_key(origin) is None:
            raise _NotCosigned(STATUS_UNKNOWN, f"unknown log {origin!r}")
        with self._exclusive(origin):
            keys = self._log_keys(origin)
            checkpoint = _open(data, keys)
            if old_size > checkpoint.size:
                raise FormatError("old size is larger than the checkpoint's")
            known_size, known_root = self._remembered(origin, keys)
            # Unverified lines are dropped: kept, one could make the memory unreadable.
            own = tuple(s for s in note.signatures if any(map(s.is_named_by, keys)))
            signed = format_note(Note(note.text, own))
            if old_size != known_size:
                if checkpoint.size == known_size and checkpoint.root != known_root:
                    self._suspect(origin, signed, ())
                raise _NotCosigned(STATUS_CONFLICT, str(known_size))
            try:
                check_extension(known_size, known_root, checkpoint.size, checkpoint.root, proof)
            except ProofError as error:
                if known_size:
                    self._suspect(origin, signed, proof)
                raise _NotCosigned(STATUS_UNPROVEN, str(error)) from error
            now = int(self._clock())
            lines = tuple(cosign(note.text, now, signer) for signer in self._signers)
            kept = format_note(Note(note.text, own + lines))
            self._disk.replace(self._folder, self._memory(origin).name, kept)
            # If we stop before this, a checkpoint that was suspected stays so.
            with _never_in_the_way(origin):
                self._suspects(origin).settle(kept)
            # Signed by both it is the hand-over, which the log may still be stopped at.
            if all(s.is_named_by(keys[-1]) for s in own):
                self._settle_key(origin, keys[-1])
        # If we stop here, the log asks again with the size we now remember, and gets its answer.
        return _format_lines(lines)

    def _memory(self, origin: str) -> Path:
        return self._folder / f"{witnessed_name(origin)}.checkpoint"

    def _suspects(self, origin: str) -> Suspects:
        return Suspects(self._folder / f"{witnessed_name(origin)}.refused", self._disk)

    def _suspect(self, origin: str, note: bytes, proof: Sequence[Hash]) -> None:
        """Keep what is refused, beside what was cosigned, and tell the operator the first time."""
        with _never_in_the_way(origin):
            cosigned = read_file(self._memory(origin), MAX_REQUEST_BYTES)
            new = self._suspects(origin).keep(note, proof, cosigned)
            if new is not None:
                level = logging.ERROR if new.is_proof else logging.WARNING
                _LOG.log(level, "%s. It is kept: %s", new, new.path)

    def _log_key(self, origin: str) -> VerifierKey | None:
        path = self._folder / f"{witnessed_name(origin)}.vkey"
        return load_vkey(path) if path.exists() else None

    def _log_keys(self, origin: str) -> tuple[VerifierKey, ...]:
        """The keys that a log may sign with just now: its own, and the next if that is known."""
        paths = [self._folder / f"{witnessed_name(origin)}{ending}" for ending in (".vkey", _NEXT)]
        return tuple(dict.fromkeys(load_vkey(path) for path in paths if path.exists()))

    def _settle_key(self, origin: str, key: VerifierKey) -> None:
        """Go by the key that the log has begun to sign with, and by that alone."""
        following = self._folder / f"{witnessed_name(origin)}{_NEXT}"
        if following.exists():
            vkey = f"{format_vkey(key)}\n".encode()
            self._disk.replace(self._folder, f"{witnessed_name(origin)}.vkey", vkey)
            following.unlink()
            self._disk.sync_folder(self._folder)

    def _remembered(self, origin: str, keys: Sequence[VerifierKey]) -> tuple[int, Hash]:
        path = self._memory(origin)
        if not path.exists():
            # What was refused lies beside what was cosigned by then, and here that is gone.
            if any(path.with_suffix(".refused").glob("*.checkpoint")):
                raise MemoryLostError(path, "it is missing, and something was cosigned before")
            return 0, EMPTY_ROOT
        try:
            checkpoint = _open(read_file(path, MAX_REQUEST_BYTES), keys)
        except (FormatError, _NotCosigned) as error:
            raise MemoryLostError(path, str(error)) from error
        return checkpoint.size, checkpoint.root

    @contextlib.contextmanager
    def _exclusive(self, origin: str) -> Iterator[None]:
        fd = os.open(self._folder / f"{witnessed_name(origin)}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


@contextlib.contextmanager
def _never_in_the_way(origin: str) -> Iterator[None]:
    """Have what concerns evidence fail by itself: the answer does not depend on it."""
    try:
        yield
    except (CounterfoilError, OSError):
        _LOG.exception("what was refused of %s cannot be kept", origin)


def _answer(decide: Callable[[bytes], bytes], request: bytes) -> tuple[int, bytes]:
    """Answer with what was cosigned, or with why nothing was."""
    try:
        return STATUS_OK, decide(request)
    except MemoryLostError:
        raise  # that is no fault of whoever asks
    except FormatError as error:
        return STATUS_MALFORMED, f"{error}\n".encode()
    except _NotCosigned as refusal:
        return refusal.status, refusal.body


def know_next(folder: Path, key: VerifierKey, disk: Disk) -> None:
    """Tell the witness in a folder the key that a log goes on with; see `Witness.know_next`.

    Raises:
        UnavailableError: the disk refuses.
    """
    slug, vkey = witnessed_name(key.name), f"{format_vkey(key)}\n".encode()
    with reported(f"cannot tell the witness in {folder}"):
        if not any(
            path.exists() and path.read_bytes() == vkey
            for path in (folder / f"{slug}.vkey", folder / f"{slug}{_NEXT}")
        ):
            disk.replace(folder, f"{slug}{_NEXT}", vkey)


def _open(data: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Open a checkpoint that one of several keys signed.

    Raises:
        _NotCosigned: none did.
    """
    try:
        opened = open_note(data, *keys)
        return open_checkpoint(data, opened.verified[-1])
    except SignatureError as error:
        raise _NotCosigned(STATUS_FORBIDDEN, str(error)) from error


def _format_lines(signatures: tuple[NoteSignature, ...]) -> bytes:
    """Format signature lines alone, as a witness replies."""
    return format_note(Note("-\n", signatures)).removeprefix(b"-\n\n")


def _parse_request(request: bytes) -> tuple[int, tuple[Hash, ...], bytes]:
    """Parse `old N`, proof lines, a blank line, and the checkpoint."""
    (first, *lines), checkpoint = _split_request(request)
    if not first.startswith("old "):
        raise FormatError("the request does not begin with `old N`")
    return parse_decimal(first.removeprefix("old "), "old size"), _parse_proof(lines), checkpoint


def _parse_subtree_request(request: bytes) -> tuple[Subtree, Hash, tuple[Hash, ...], bytes]:
    """Parse `subtree START END`, its root, proof lines, a blank line, and the checkpoint."""
    (first, *lines), checkpoint = _split_request(request)
    match first.split(" "):
        case ["subtree", start, end] if lines:
            subtree = Subtree(
                parse_decimal(start, "start of the subtree"), parse_decimal(end, "its end")
            )
        case _:
            raise FormatError("the request does not begin with `subtree START END` and a hash")
    root, *proof = _parse_proof(lines, MAX_PROOF_HASHES + 1)
    return subtree, root, tuple(proof), checkpoint


def _split_request(request: bytes) -> tuple[list[str], bytes]:
    """Split a request into its first lines, at least one, and the checkpoint."""
    head, blank, checkpoint = request.partition(b"\n\n")
    if not blank:
        raise FormatError("the request has no blank line before its checkpoint")
    try:
        return head.decode("ascii").split("\n"), checkpoint
    except UnicodeDecodeError as error:
        raise FormatError("the request's first lines are not ASCII") from error


def _parse_proof(lines: list[str], most: int = MAX_PROOF_HASHES) -> tuple[Hash, ...]:
    if len(lines) > most:
        raise FormatError(f"the proof has more than {MAX_PROOF_HASHES} lines")
    return tuple(as_hash(parse_base64(line, "proof line")) for line in lines)


def _serve(folder: Path, pipe_in: BinaryIO, pipe_out: BinaryIO) -> None:
    """Answer requests until the input ends."""
    _LOG.addHandler(logging.NullHandler())  # whoever asks is on this machine, and tells it
    witness = Witness(folder, load_key(folder / "key.pem"), clock=time.time)
    with contextlib.suppress(BrokenPipeError):  # whoever asked has ended
        while head := pipe_in.read(REQUEST.size):
            (length,) = REQUEST.unpack(head)
            if length > MAX_REQUEST_BYTES:
                return
            try:
                status, body = witness.add_checkpoint(pipe_in.read(length))
            except (CounterfoilError, OSError) as error:
                status, body = 500, f"{error}\n".encode()
            pipe_out.write(REPLY.pack(status, len(body)) + body)
            pipe_out.flush()


if __name__ == "__main__":
    try:
        _serve(Path(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
    except CounterfoilError as error:
        sys.exit(f"the local witness cannot start: {error}")
