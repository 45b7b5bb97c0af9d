"""Receipts: all it takes to show, offline, that an entry is in a log.

    c2sp.org/tlog-proof@v1
    index 73894
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
    B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=

    example.com/log
    109482
    sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

    — example.com/log hI2DJw...

An index, the inclusion path from the leaf's sibling to the root's child, and the signed
checkpoint as the log issued it, with whatever cosignatures it carries. The entry is not in it:
whoever verifies hashes the entry that lies before them, so that a receipt cannot be shown for
anything else.

Source:
    C2SP tlog-proof, version 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from counterfoil.core.checkpoint import Checkpoint, LogKeys, open_checkpoint, parse_checkpoint
from counterfoil.core.merkle import (
    HASH_BYTES,
    MAX_PROOF_HASHES,
    MAX_SIZE,
    Hash,
    as_hash,
    check_inclusion,
    leaf_hash,
)
from counterfoil.core.note import MAX_NOTE_BYTES, parse_note
from counterfoil.core.text import format_base64, parse_base64, parse_decimal
from counterfoil.errors import FormatError

if TYPE_CHECKING:
    from counterfoil.core.keys import VerifierKey

MAX_EXTRA_BYTES = 65_535
"""Longest extra data; it is not authenticated, so nothing large has a reason to be there."""

MAX_RECEIPT_BYTES = MAX_NOTE_BYTES + 100_000
"""Longest receipt that is read: the longest note, the longest extra data in base64, 63 hashes."""

_HEADER = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an entry is in a log, and what shows it.

    Args:
        index: Zero-based position of the entry.
        path: Inclusion proof, leaf to root, 32 bytes each.
        checkpoint: The log's checkpoint as a signed note, byte for byte as the log issued it.
        extra: Data of the application. Nobody signs it: never trust it.
    """

    index: int
    path: tuple[Hash, ...]
    checkpoint: bytes
    extra: bytes = b""

    def __post_init__(self) -> None:
        if not 0 <= self.index < MAX_SIZE:
            raise FormatError(
                f"no entry has index {self.index}", hint="An index counts from 0; see the log."
            )
        if len(self.path) > MAX_PROOF_HASHES or len(self.extra) > MAX_EXTRA_BYTES:
            raise FormatError(
                f"a receipt has at most {MAX_PROOF_HASHES} hashes and {MAX_EXTRA_BYTES} bytes of "
                f"extra data, not {len(self.path)} and {len(self.extra)}",
                hint="Ask the log for the receipt again.",
            )
        for node in self.path:
            as_hash(node, "hash of an inclusion path")


def format_receipt(receipt: Receipt) -> bytes:
    """Write a receipt; files of it are named `*.tlog-proof`."""
    lines = [_HEADER]
    if receipt.extra:
        lines.append(f"extra {format_base64(receipt.extra)}")
    lines.append(f"index {receipt.index}")
    lines.extend(map(format_base64, receipt.path))
    return "\n".join(lines).encode() + b"\n\n" + receipt.checkpoint


def parse_receipt(data: bytes) -> Receipt:
    """Read a receipt; `format_receipt` of the result is `data`. Nothing is checked yet.

    Raises:
        FormatError: `data` is not a receipt.
    """
    if len(data) > MAX_RECEIPT_BYTES:
        raise _no_receipt(f"it has {len(data)} bytes, at most {MAX_RECEIPT_BYTES} are read")
    head, _, checkpoint = data.partition(b"\n\n")
    header, *lines = head.decode("ascii", "backslashreplace").split("\n")
    if header != _HEADER:
        raise _no_receipt(f"its first line is not {_HEADER}")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = parse_base64(lines.pop(0).removeprefix("extra "), "extra data of a receipt")
        if not extra:
            raise _no_receipt("its line of extra data is empty, and should not be there")
    if not lines or not lines[0].startswith("index "):
        raise _no_receipt("its index is missing")
    index = parse_decimal(lines.pop(0).removeprefix("index "), "index of a receipt", MAX_SIZE - 1)
    path = tuple(
        Hash(parse_base64(line, "hash of an inclusion path", size=HASH_BYTES)) for line in lines
    )
    parse_checkpoint(parse_note(checkpoint).text)
    return Receipt(index, path, checkpoint, extra)


def check_receipt(entry: bytes, receipt: Receipt, log_key: VerifierKey | LogKeys) -> Checkpoint:
    """Check that `entry` is in the log of `log_key`, at the receipt's index.

    Cosignatures are not looked at here; see `find_cosignatures`. Without them this is the log
    operator's word alone.

    Args:
        entry: The very bytes that were appended.
        receipt: As parsed; its extra data is ignored.
        log_key: The log's key, or all its keys, from the verifier's own trust policy.

    Returns:
        The checkpoint that covers the entry.

    Raises:
        FormatError: `log_key` is not a key that logs sign with.
        SignatureError: The checkpoint is not by `log_key`.
        ProofError: The path does not lead from this entry to the checkpoint's root.

    Source:
        C2SP tlog-proof, "Verifying a tlog proof", steps 1, 2 and 4.
    """
    checkpoint = open_checkpoint(receipt.checkpoint, log_key)
    check_inclusion(leaf_hash(entry), receipt.index, checkpoint.size, receipt.path, checkpoint.root)
    return checkpoint


def _no_receipt(why: str) -> FormatError:
    return FormatError(
        f"this is not a receipt: {why}", hint="Ask the log for the receipt again, as bytes."
    )
