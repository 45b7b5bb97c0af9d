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

from counterfoil.core.canonical import JsonValue
from counterfoil.core.keys import Signer, VerifierKey, format_vkey, parse_vkey
from counterfoil.core.merkle import HASH_BYTES, MAX_SIZE, Hash, as_hash
from counterfoil.core.note import check_note_text, format_note, open_note, sign_note
from counterfoil.core.text import format_base64, parse_base64, parse_decimal, shown
from counterfoil.errors import FormatError, SignatureError, SplitViewError

MAX_EARLIER_KEYS = 64
"""Keys that a log had before: one a year for a lifetime."""

MAX_ORIGIN_BYTES = 255
"""Longest origin: ML-DSA-44 cosignatures write its length in one byte (tlog-cosignature)."""


@dataclass(frozen=True, slots=True)
class EarlierKey:
    """A key that a log signed with once.

    Args:
        key: The key.
        until_size: Entries of the last checkpoint that it counts for; that one is signed by the
            key after it, too.
    """

    key: VerifierKey
    until_size: int


@dataclass(frozen=True, slots=True)
class LogKeys:
    """The keys of a log, one after another; all have its origin as their name.

    Each counts for checkpoints from the size at which it was handed the log up to the size at
    which it handed it on. So one that is stolen later signs nothing new.

    Args:
        key: What it signs with now.
        earlier: What it signed with before, oldest first.
    """

    key: VerifierKey
    earlier: tuple[EarlierKey, ...] = ()

    def __post_init__(self) -> None:
        sizes = [one.until_size for one in self.earlier]
        names = {one.name for one in self.all}
        if len(set(self.all)) != len(self.all) or len(names) != 1 or sizes != sorted(sizes):
            raise FormatError(
                f"the keys of {shown(self.name)} do not follow each other",
                hint="Oldest first, each once, all of one name, and none ends before the last.",
            )
        if len(self.earlier) > MAX_EARLIER_KEYS or any(not 0 <= at <= MAX_SIZE for at in sizes):
            raise FormatError(
                f"the log {shown(self.name)} cannot have had these {len(sizes)} keys before",
                hint=f"At most {MAX_EARLIER_KEYS}, each up to a size that a log can have.",
            )

    @property
    def name(self) -> str:
        """The log's origin."""
        return self.key.name

    @property
    def label(self) -> str:
        """That of the key it signs with now."""
        return self.key.label

    @property
    def all(self) -> tuple[VerifierKey, ...]:
        """Every key, oldest first."""
        return (*(one.key for one in self.earlier), self.key)

    def counts(self, key: VerifierKey, size: int) -> bool:
        """Whether one of the keys may sign a checkpoint of that size."""
        start = 0
        for one in self.earlier:
            if one.key == key:
                return start <= size <= one.until_size
            start = one.until_size
        return key == self.key and start <= size

    def followed_by(self, key: VerifierKey, size: int) -> LogKeys:
        """Give the keys after a hand-over at that size."""
        return LogKeys(key, (*self.earlier, EarlierKey(self.key, size)))

    def begin_with(self, other: LogKeys) -> bool:
        """Whether these are the other keys, or what they became by hand-overs since."""
        count = len(other.earlier)
        return self.earlier[:count] == other.earlier and self.all[count] == other.key


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


def earlier_to_json(keys: LogKeys) -> list[JsonValue]:
    """Write down what a log signed with before; `earlier_from_json` is the inverse."""
    return [{"key": format_vkey(one.key), "until_size": one.until_size} for one in keys.earlier]


def earlier_from_json(value: JsonValue) -> tuple[EarlierKey, ...]:
    """Read what a log signed with before.

    Raises:
        FormatError: it is no list of keys, each with the size up to which it counts.
    """
    if not isinstance(value, list):
        raise _no_earlier()
    return tuple(map(_read_earlier, value))


def _read_earlier(value: JsonValue) -> EarlierKey:
    match value:
        case {"key": str(key), "until_size": int(size), **rest} if not rest and not isinstance(
            size, bool
        ):
            return EarlierKey(parse_vkey(key), size)
    raise _no_earlier()


def _no_earlier() -> FormatError:
    return FormatError(
        "this is no list of a log's earlier keys",
        hint="Each is an object with `key` and `until_size`, oldest first.",
    )


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


def sign_checkpoint(checkpoint: Checkpoint, *signers: Signer) -> bytes:
    """Sign a checkpoint as its log; the result is a signed note.

    Args:
        checkpoint: What is signed.
        signers: The log's key; where it hands over, also the next one.

    Raises:
        FormatError: A key has another name than the log, or is for another purpose.
    """
    for signer in signers:
        if signer.key.name != checkpoint.origin:
            raise FormatError(
                f"the key {signer.key.label} cannot sign for {shown(checkpoint.origin)}",
                hint="A log's key has the log's origin as its name.",
            )
    return format_note(sign_note(format_checkpoint(checkpoint), *signers))


def open_checkpoint(note: bytes, log_key: VerifierKey | LogKeys) -> Checkpoint:
    """Read a signed checkpoint and check that the log's own key signed it.

    Cosignatures of witnesses are not looked at here; see `find_cosignatures`.

    Args:
        note: The signed note.
        log_key: The log's key, or all its keys; their name is the origin that is expected.

    Raises:
        FormatError: `note` is not a signed note, or its text is no checkpoint.
        SignatureError: no key that counts at this size signed it, or it is a checkpoint of
            another log.
    """
    keys = log_key if isinstance(log_key, LogKeys) else LogKeys(log_key)
    opened = open_note(note, *keys.all)
    checkpoint = parse_checkpoint(opened.note.text)
    if checkpoint.origin != log_key.name:
        raise SignatureError(
            f"{log_key.label} signed a checkpoint of {shown(checkpoint.origin)}, another log",
            hint="Ask the log's operator; a key signs for the log of its own name only.",
        )
    if not any(keys.counts(key, checkpoint.size) for key in opened.verified):
        (signed, *_) = opened.verified
        raise SignatureError(
            f"{signed.label} signed a checkpoint of {checkpoint.size} entries, and does not count "
            "for that size",
            hint="The log has handed over to another key; whoever signs on with the old one is "
            "not the log. Keep the checkpoint.",
        )
    return checkpoint


def check_same_history(a: bytes, b: bytes, log_key: VerifierKey | LogKeys) -> None:
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
