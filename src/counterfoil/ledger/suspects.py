"""What a witness would not cosign although the log signed it: kept, as it may prove a fork.

    <digest>.checkpoint     what was refused, with the log's signature
    <digest>.cosigned       what the witness had cosigned last by then, signed by both
    <digest>.proof          the hashes that came with it, where they show another beginning

Anybody can send a true checkpoint with a false proof. So a checkpoint that does not follow is
suspicious, and called proof only where it is one: where it has another root at the same size, or
its own consistency proof leads to it from another root than was cosigned.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from counterfoil.core.checkpoint import Checkpoint, LogKeys, open_checkpoint, parse_checkpoint
from counterfoil.core.merkle import Hash, as_hash, prefix_root
from counterfoil.core.note import MAX_NOTE_BYTES, parse_note
from counterfoil.core.text import format_base64, parse_base64
from counterfoil.errors import FormatError, ProofError, SignatureError
from counterfoil.ledger.disk import Disk, read_file, reported
from counterfoil.ledger.keyfiles import make_private

MAX_SUSPECTS = 16
"""Checkpoints kept of one log. Proof stays; of those that are suspicious, the newest."""

_ENDINGS = (".cosigned", ".proof", ".checkpoint")  # in the order they are written


@dataclass(frozen=True, slots=True)
class Refused:
    """A checkpoint that a witness would not cosign.

    Args:
        checkpoint: The log signed it.
        cosigned: What the witness had cosigned.
        is_proof: Whether the two cannot both be honest.
        time: When it was refused first, Unix seconds.
        path: Its file; the other's has the ending `.cosigned`.
    """

    checkpoint: Checkpoint
    cosigned: Checkpoint
    is_proof: bool
    time: int
    path: Path

    def __str__(self) -> str:
        """Say what it means."""
        one, other = self.checkpoint, self.cosigned
        if self.is_proof:
            return (
                f"{one.origin} has signed two histories: a checkpoint of {one.size} entries was "
                f"refused that contradicts the one of {other.size} which was cosigned"
            )
        return (
            f"a checkpoint of {one.size} entries of {one.origin} was refused, as its proof does "
            f"not lead there from the {other.size} that were cosigned: that may be a fork, or "
            "somebody has sent a false proof"
        )


class Suspects:
    """What was refused of one log; the witness lets one in at a time.

    Args:
        folder: Made when something is first kept.
        disk: How to write and sync.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder, self._disk = folder, disk

    def keep(self, note: bytes, proof: Sequence[Hash], cosigned: bytes) -> Refused | None:
        """Keep a checkpoint that is refused; it is durable on return.

        Args:
            note: With verified lines of the log alone.
            proof: As it came with it.
            cosigned: What the witness has cosigned.

        Returns:
            None where that is known, or there is no room.
        """
        name = sha256(parse_note(note).text.encode()).hexdigest()[:16]
        known = {one.path.stem: one for one in self.read()}
        is_proof = _contradicts(_parse(note), _parse(cosigned), proof)
        if name in known and known[name].is_proof >= is_proof:
            return None
        if len(known) >= MAX_SUSPECTS and name not in known:
            suspicious = [stem for stem, one in known.items() if not one.is_proof]
            if not suspicious:
                return None
            self._remove(suspicious[0])
        make_private(self._folder)
        # If we stop before the last of them, nothing of it counts, and it is kept the next time.
        self._disk.replace(self._folder, f"{name}.cosigned", cosigned)
        if is_proof and proof:
            lines = "".join(f"{format_base64(value)}\n" for value in proof)
            self._disk.replace(self._folder, f"{name}.proof", lines.encode())
        self._disk.replace(self._folder, f"{name}.checkpoint", note)
        return next(one for one in self.read() if one.path.stem == name)

    def settle(self, cosigned: bytes) -> None:
        """Learn from what was cosigned since: a suspect of its size is cleared, or proof."""
        new = _parse(cosigned)
        for one in self.read():
            if not one.is_proof and one.checkpoint.size == new.size:
                if one.checkpoint.root == new.root:
                    self._remove(one.path.stem)
                else:
                    self._disk.replace(self._folder, f"{one.path.stem}.cosigned", cosigned)

    def proven(self, keys: LogKeys) -> tuple[bytes, bytes] | None:
        """Give two checkpoints that prove two histories: what was cosigned, and what was refused.

        Args:
            keys: The log's. What none of them signed, or is damaged, proves nothing about it.

        Returns:
            None where nothing here proves that.

        Raises:
            UnavailableError: it cannot be read.
        """
        for time, path in self._paths():
            with contextlib.suppress(FormatError, SignatureError):
                if self._read(path, time).is_proof:
                    cosigned = read_file(path.with_suffix(".cosigned"), MAX_NOTE_BYTES)
                    note = read_file(path, MAX_NOTE_BYTES)
                    open_checkpoint(cosigned, keys)
                    open_checkpoint(note, keys)
                    return cosigned, note
        return None

    def read(self) -> tuple[Refused, ...]:
        """Read them all, oldest first.

        Signatures were checked when they came. They are not checked again, as the log may have
        been handed over to another key since.

        Raises:
            FormatError: a file is damaged.
            UnavailableError: it cannot be read.
        """
        return tuple(self._read(path, time) for time, path in self._paths())

    def _paths(self) -> list[tuple[int, Path]]:
        """List what was refused, oldest first, with the time in Unix seconds."""
        with reported(f"cannot read {self._folder}"):
            paths = [(one.stat().st_mtime_ns, one) for one in self._folder.glob("*.checkpoint")]
        return [(time // 10**9, path) for time, path in sorted(paths)]

    def _read(self, path: Path, time: int) -> Refused:
        hashes = path.with_suffix(".proof")
        lines = read_file(hashes, MAX_NOTE_BYTES) if hashes.exists() else b""
        proof = [
            as_hash(parse_base64(line, f"line of {hashes}"))
            for line in lines.decode("ascii", "replace").splitlines()
        ]
        one = _parse(read_file(path, MAX_NOTE_BYTES))
        other = _parse(read_file(path.with_suffix(".cosigned"), MAX_NOTE_BYTES))
        return Refused(one, other, _contradicts(one, other, proof), time, path)

    def _remove(self, name: str) -> None:
        for ending in reversed(_ENDINGS):
            (self._folder / f"{name}{ending}").unlink(missing_ok=True)
        self._disk.sync_folder(self._folder)


def _parse(note: bytes) -> Checkpoint:
    return parse_checkpoint(parse_note(note).text)


def _contradicts(one: Checkpoint, cosigned: Checkpoint, proof: Sequence[Hash]) -> bool:
    """Whether it is proven that a checkpoint does not begin with what was cosigned."""
    try:
        return prefix_root(cosigned.size, one.size, one.root, proof) != cosigned.root
    except ProofError:
        return False
