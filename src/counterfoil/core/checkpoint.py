"""Checkpoints: a log's word on its size and root, as the text of a signed note.

    example.com/log
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — example.com/log Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGz...

Origin, size, root, and nothing else. RFC 6962 calls this a signed tree head.

Source:
    C2SP tlog-checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

from counterfoil.core.keys import Signer, VerifierKey
from counterfoil.core.merkle import HASH_BYTES, MAX_SIZE, Hash, as_hash
from counterfoil.core.note import check_note_text, format_note, open_note, sign_note
from counterfoil.core.text import format_base64, parse_base64, parse_decimal, shown
from counterfoil.errors import FormatError, SignatureError, SplitViewError

MAX_ORIGIN_BYTES = 255
"""Longest origin: ML-DSA-44 cosignatures write its length in one byte (tlog-cosignature)."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tree of one log at one size.

    Args:
        origin: Identity of the log, best a URL without scheme; one line, not empty, at most
            `MAX_ORIGIN_BYTES` in UTF-8.
        size: Number of leaves.
        root: Root hash, 32 bytes.
    """

    origin: str
    size: int
    root: Hash

    def __post_init__(self) -> None:
        check_note_text(f"{self.origin}\n")
        if "\n" in self.origin or not 1 <= len(self.origin.encode()) <= MAX_ORIGIN_BYTES:
            raise FormatError(
                f"{shown(self.origin)} cannot be a log's origin",
                hint=f"An origin is one line of 1 to {MAX_ORIGIN_BYTES} bytes: example.org/log.",
            )
        if not 0 <= self.size <= MAX_SIZE:
            raise FormatError(
                f"a log cannot have {self.size} entries",
                hint=f"A size is a number from 0 to {MAX_SIZE}.",
            )
        as_hash(self.root, "root")


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Write the note text of a checkpoint: three lines."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{format_base64(checkpoint.root)}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the note text of a checkpoint; `format_checkpoint` of the result is `text`.

    Extension lines are refused: we never write them, no witness vouches for them, and no monitor
    can audit them.

    Raises:
        FormatError: `text` is not exactly origin, size and root.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1]:
        raise FormatError(
            "this is not a checkpoint: it has to be the three lines origin, size and root",
            hint="Compare with the log's /checkpoint.",
        )
    if len(lines) > 4:
        raise FormatError(
            f"this checkpoint goes on after its root with {shown(lines[3])}",
            hint="Extension lines are refused here; nobody can audit them.",
        )
    root = as_hash(parse_base64(lines[2], "root of a checkpoint", size=HASH_BYTES))
    return Checkpoint(lines[0], parse_decimal(lines[1], "size of a checkpoint", MAX_SIZE), root)


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """Sign a checkpoint as its log; the result is a signed note.

    Raises:
        FormatError: The key has another name than the log, or is for another purpose.
    """
    if signer.key.name != checkpoint.origin:
        raise FormatError(
            f"the key {signer.key.label} cannot sign for {shown(checkpoint.origin)}",
            hint="A log's key has the log's origin as its name.",
        )
    return format_note(sign_note(format_checkpoint(checkpoint), signer))


def open_checkpoint(note: bytes, log_key: VerifierKey) -> Checkpoint:
    """Read a signed checkpoint and check that the log's own key signed it.

    Cosignatures of witnesses are not looked at here; see `find_cosignatures`.

    Args:
        note: The signed note.
        log_key: The log's key; its name is the origin that is expected.

    Raises:
        FormatError: `note` is not a signed note, or its text is no checkpoint.
        SignatureError: `log_key` did not sign it, or it is a checkpoint of another log.
    """
    checkpoint = parse_checkpoint(open_note(note, log_key).note.text)
    if checkpoint.origin != log_key.name:
        raise SignatureError(
            f"{log_key.label} signed a checkpoint of {shown(checkpoint.origin)}, another log",
            hint="Ask the log's operator; a key signs for the log of its own name only.",
        )
    return checkpoint


def check_same_history(a: bytes, b: bytes, log_key: VerifierKey) -> None:
    """Check that two checkpoints of one log do not contradict each other.

    Only equal sizes can contradict each other by themselves; whether the tree of one size begins
    with that of another takes a consistency proof, see `check_extension`.

    Args:
        a: A signed checkpoint.
        b: Another one.
        log_key: The log's key.

    Raises:
        FormatError: One is not a signed checkpoint.
        SignatureError: One is not by `log_key`; then it says nothing against the log.
        SplitViewError: Same size and different roots: the log signed two histories. The error
            holds `a` and `b`, which prove it to anyone.
    """
    first, second = open_checkpoint(a, log_key), open_checkpoint(b, log_key)
    if first.size == second.size and first.root != second.root:
        raise SplitViewError(
            f"{shown(first.origin)} signed two different trees of size {first.size}",
            a=a,
            b=b,
            hint="Keep both files: together they prove that this log cannot be trusted.",
        )
