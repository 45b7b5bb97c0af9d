"""A witness of ours for logs of others: its keys, and which logs it knows.

    home()/witnessing/<slug>/key.pem, key.vkey                      its Ed25519 key, type 04
                             post-quantum.pem, post-quantum.vkey    its ML-DSA-44 key, if it has one
                             anchor.json                            its seat, if it signs anchors
                             <id>.vkey, <id>.checkpoint, <id>.refused   as `witness` has them

It is not the local witness of a ledger here: that one watches us, this one watches others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from counterfoil.core.checkpoint import Checkpoint, parse_checkpoint
from counterfoil.core.cosignature import find_cosignatures
from counterfoil.core.keys import Algorithm, VerifierKey
from counterfoil.core.merkle import Hash
from counterfoil.core.note import NoteSignature, parse_note
from counterfoil.core.quorum import Witness as Listed
from counterfoil.errors import ConflictError, FormatError
from counterfoil.ledger.disk import reported
from counterfoil.ledger.keyfiles import generate_key, home, load_key, load_vkey, save_key
from counterfoil.ledger.localwitness import format_add_checkpoint, read_reply
from counterfoil.ledger.places import Places
from counterfoil.ledger.seat import Seat, read_seat, write_seat
from counterfoil.ledger.suspects import Refused
from counterfoil.ledger.witness import Witness

_KEY, _POST_QUANTUM = "key", "post-quantum"


@dataclass(frozen=True, slots=True)
class Watched:
    """A log that a witness of ours knows.

    Args:
        origin: The log.
        cosigned: What was cosigned of it last; None if nothing was.
        time: When, Unix seconds; 0 if nothing was.
        refused: What the log signed and was not cosigned, oldest first.
    """

    origin: str
    cosigned: Checkpoint | None
    time: int
    refused: tuple[Refused, ...]


class OwnWitness:
    """A witness on this machine; `make` or `open` gives one.

    Args:
        folder: Its keys and its memory.
        clock: POSIX time in seconds.
        is_new: Whether it was made just now.
    """

    def __init__(
        self, folder: Path, *, clock: Callable[[], float] = time.time, is_new: bool = False
    ) -> None:
        self.folder, self.is_new = folder, is_new
        second = folder / f"{_POST_QUANTUM}.pem"
        self.signers = (
            load_key(folder / f"{_KEY}.pem"),
            *([load_key(second)] if second.exists() else []),
        )
        self.name = self.signers[0].key.name
        self.seat = read_seat(folder, self.signers[0].key)
        self.witness = Witness(folder, *self.signers, clock=clock)

    @classmethod
    def make(cls, name: str, *, post_quantum: bool = False) -> OwnWitness:
        """Make a witness, or open the one of that name; a second key can come later.

        Args:
            name: Of its keys, best a URL without scheme.
            post_quantum: Whether it cosigns with ML-DSA-44 beside Ed25519.

        Raises:
            FormatError: that is no key's name.
            UnavailableError: the disk refuses.
        """
        folder = _home() / Places(name).slug
        wanted = {_KEY: Algorithm.COSIGNATURE_ED25519}
        if post_quantum:
            wanted[_POST_QUANTUM] = Algorithm.COSIGNATURE_ML_DSA_44
        is_new = not (folder / f"{_KEY}.pem").exists()
        for file, algorithm in wanted.items():
            if not (folder / f"{file}.pem").exists():
                save_key(folder / f"{file}.pem", generate_key(name, algorithm))
        return cls(folder, is_new=is_new)

    @classmethod
    def open(cls, name: str | None = None) -> OwnWitness:
        """Open the witness of that name, or the only one.

        Raises:
            FormatError: there is none, or without a name, more than one.
        """
        keys = sorted(_home().glob(f"*/{_KEY}.vkey"))
        names = {load_vkey(path).name: path.parent for path in keys}
        if name in names:
            return cls(names[name])
        if name is None and len(names) == 1:
            return cls(*names.values())
        known = ", ".join(sorted(names)) or "none yet"
        raise FormatError(
            "say which witness" if name is None else f"this machine has no witness {name!r}",
            hint=f"Give --name; here are: {known}.",
        )

    @classmethod
    def find(cls, key: VerifierKey) -> OwnWitness | None:
        """Open the witness with this key; None if it is not on this machine."""
        public = _home() / Places(key.name).slug / f"{_KEY}.vkey"
        return cls(public.parent) if public.exists() and load_vkey(public) == key else None

    def sit(self, seat: Seat) -> None:
        """Sign anchors with an account from now on.

        Raises:
            ConflictError: it signs with another key already, which policies may name.
            FormatError: the anchor key is not bound to this witness.
            UnavailableError: the disk refuses.
        """
        seat.anchor.check(self.signers[0].key)
        if self.seat is not None and self.seat.anchor.address != seat.anchor.address:
            raise ConflictError(
                f"the witness {self.name} signs anchors with {self.seat.anchor.address} already",
                hint="Trust policies may name that key. Make another witness for another account.",
            )
        write_seat(self.folder, seat)
        self.seat = seat

    def know(self, log_key: VerifierKey) -> None:
        """Begin to witness a log; raises as `Witness.know`."""
        self.witness.know(log_key)

    def know_next(self, log_key: VerifierKey) -> None:
        """Be told the key that a log goes on with; raises as `Witness.know_next`."""
        self.witness.know_next(log_key)

    def add_checkpoint(
        self, old_size: int, proof: Sequence[Hash], checkpoint: bytes
    ) -> tuple[NoteSignature, ...]:
        """Cosign, without a server between; see `WitnessClient`."""
        request = format_add_checkpoint(old_size, proof, checkpoint)
        return read_reply(*self.witness.add_checkpoint(request))

    def known(self) -> tuple[VerifierKey, ...]:
        """List the logs that it witnesses, by their keys."""
        with reported(f"cannot read {self.folder}"):
            paths = sorted(self.folder.glob("*.vkey"))
        # A key with `.next` in its name is one that a log goes on with, not another log's.
        names = (path for path in paths if path.stem not in {_KEY, _POST_QUANTUM})
        keys = (load_vkey(path) for path in names if "." not in path.stem)
        return tuple(sorted(keys, key=lambda key: key.name))

    def watched(self) -> tuple[Watched, ...]:
        """Tell how far each log is that it witnesses, and what it refused to cosign.

        Raises:
            FormatError: what it remembers is damaged; so `SignatureError`.
            UnavailableError: it cannot be read.
        """
        return tuple(self._watched(key.name) for key in self.known())

    def _watched(self, origin: str) -> Watched:
        refused = self.witness.refused(origin)
        kept = self.witness.cosigned(sha256(origin.encode()).hexdigest())
        if kept is None:
            return Watched(origin, None, 0, refused)
        note = parse_note(kept)
        times = [time for _, time in find_cosignatures(note, [one.key for one in self.signers])]
        return Watched(origin, parse_checkpoint(note.text), max(times, default=0), refused)

    def listed(self, operator: str, url: str = "") -> Listed:
        """Give it as a trust policy lists it.

        Args:
            operator: The organisation that runs it.
            url: Where it can be asked.
        """
        keys = [signer.key for signer in self.signers]
        second = keys[1] if len(keys) > 1 else None
        anchor = None if self.seat is None else self.seat.anchor
        return Listed(self.name, keys[0], operator, anchor, url=url, post_quantum=second)


def _home() -> Path:
    return home() / "witnessing"
