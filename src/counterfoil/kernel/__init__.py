"""Hashes of many nodes at once: by C code of ours where it was built, else by hashlib.

    leaves(entries)              SHA-256(00 ‖ entry) of each, one after another
    run_leaves(data, …)          the same of entries that lie one after another, as in a file
    lay_out(entries, …)          entries as they lie there, where each ends, and their leaves
    parents(row)                 SHA-256(01 ‖ left ‖ right) of each two hashes of a row
    climb(node, siblings, left)  from a node to the root above it

`kernel.c` is compiled when counterfoil is built (see `hatch_build.py`), and used on processors with
instructions for SHA-256. Elsewhere OpenSSL, which hashlib uses, has code for the processor that
ours would not outrun. On import the compiled code has to agree with hashlib, or it is not used.
`COUNTERFOIL_KERNEL=off` in the environment leaves it out, at build time and at run time.

Source:
    RFC 9162, section 2.1.1; FIPS 180-4.
"""

from __future__ import annotations

import importlib
import os
from array import array
from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate
from struct import iter_unpack
from typing import Any

from counterfoil.errors import FormatError

HASH_BYTES = 32
_FEW = 8  # hashes that hashlib makes about as quickly as a call into C and its buffers take
_ALL = 2**64 - 1

# Around the borders of blocks and of their padding, where mistakes would be, and of what is hashed
# side by side.
_PROOF_LENGTHS = (*range(130), 183, 184, 247, 248, 1_013, 1_014, 1_015, 4_096)


def is_native() -> bool:
    """Tell whether hashes are made by the C code."""
    return _native is not None


def leaves(entries: Sequence[bytes]) -> bytes:
    """Hash entries into their leaves, 32 bytes each, one after another."""
    if _native is None or len(entries) < _FEW:
        sha = sha256
        return b"".join([sha(b"\x00" + entry).digest() for entry in entries])
    hashes = run_leaves(b"".join(entries), 0, array("Q", accumulate(map(len, entries))), 0)
    return _done(hashes is not None, hashes or b"")


def run_leaves(data: bytes, begin: int, ends: array[int], width: int) -> bytes | None:
    """Hash entries that lie one after another, by the C code, which has to be there.

    Args:
        data: The entries, each behind its length.
        begin: Where `data` begins, as `ends` counts.
        ends: Where each entry ends; an array of type `Q`.
        width: Bytes of the length before each entry, big-endian: 2 or 4, or 0 for none.

    Returns:
        As `leaves`; None if ends and lengths disagree, or do not fill `data`.
    """
    found = bytearray(HASH_BYTES * len(ends))
    buffer = _native.ffi.from_buffer
    is_done = _native.lib.kernel_leaves(
        data,
        len(data),
        begin,
        buffer("uint64_t[]", ends),
        len(ends),
        width,
        buffer("uint8_t[]", found),
        len(found),
    )
    return bytes(found) if is_done else None


def lay_out(
    bodies: Sequence[bytes], lengths: array[int], width: int, begin: int, *, hashed: bool
) -> tuple[bytearray, bytearray, bytes]:
    """Lay entries out as a file holds them, by the C code, which has to be there.

    Args:
        bodies: The entries.
        lengths: Bytes of each, which fit into `width` bytes; an array of type `Q`.
        width: Bytes of the length before each, big-endian: 2 or 4.
        begin: Where the first one's length lies in the file.
        hashed: Whether to hash them.

    Returns:
        The entries behind their lengths; where each ends, u64 little-endian; their leaves, empty
        if they are not hashed.
    """
    joined = b"".join(bodies)
    count = len(lengths)
    data = bytearray(len(joined) + count * width)
    ends = bytearray(8 * count)
    found = bytearray(HASH_BYTES * count if hashed else 0)
    buffer = _native.ffi.from_buffer
    is_done = _native.lib.kernel_lay_out(
        joined,
        len(joined),
        buffer("uint64_t[]", lengths),
        count,
        width,
        begin,
        buffer("uint8_t[]", data),
        len(data),
        buffer("uint8_t[]", ends),
        len(ends),
        buffer("uint8_t[]", found),
        len(found),
    )
    leaves = _done(is_done, found)
    return data, ends, leaves


def parents(row: bytes) -> bytes:
    """Hash each two hashes of a row, which has an even number, into their parent."""
    if _native is None or len(row) < _FEW * 2 * HASH_BYTES:
        sha = sha256
        return b"".join([sha(b"\x01" + pair).digest() for (pair,) in iter_unpack("64s", row)])
    found = bytearray(len(row) // 2)
    is_done = _native.lib.kernel_parents(
        row, len(row), _native.ffi.from_buffer("uint8_t[]", found), len(found)
    )
    return _done(is_done, found)


def climb(node: bytes, siblings: Sequence[bytes], left: int) -> bytes:
    """Hash a node with one sibling after another.

    Args:
        node: Where the way begins.
        siblings: At most 64, 32 bytes each, which is not checked one by one.
        left: Bit `i` says that sibling `i` stands on the left; -1, that all do.
    """
    if _native is None or len(siblings) < _FEW // 2:
        sha = sha256
        for sibling in siblings:
            pair = sibling + node if left & 1 else node + sibling
            node = sha(b"\x01" + pair).digest()
            left >>= 1
        return node
    path = b"".join(siblings)
    found = bytearray(HASH_BYTES)
    is_done = _native.lib.kernel_climb(
        node,
        len(node),
        path,
        len(path),
        left & _ALL,
        _native.ffi.from_buffer("uint8_t[]", found),
        len(found),
    )
    return _done(is_done, found)


_native: Any = None


def load(environment: str) -> None:
    """Use the C code if it is there, runs here, agrees with hashlib, and is not switched off.

    Args:
        environment: The value of `COUNTERFOIL_KERNEL`; `off` switches it off.
    """
    global _native  # noqa: PLW0603 set once, on import
    _native = None
    if environment == "off":
        return
    try:
        native = importlib.import_module("counterfoil.kernel._native")
    except ImportError:  # not built: no compiler, or another processor's wheel
        return
    if not native.lib.kernel_is_usable():
        return
    entries = [bytes(range(256)) * 17 for _ in _PROOF_LENGTHS]
    entries = [entry[:length] for entry, length in zip(entries, _PROOF_LENGTHS, strict=True)]
    row = leaves(entries)
    way = [row[at : at + HASH_BYTES] for at in range(0, 64 * HASH_BYTES, HASH_BYTES)]
    left = 0x5A5A_C3C3_FF00_0F0F
    expected = row, parents(row[: 64 * HASH_BYTES]), climb(way[0], way, left)
    data = b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])
    ends = array("Q", accumulate([len(entry) + 2 for entry in entries]))
    lengths = array("Q", _PROOF_LENGTHS)
    _native = native
    try:
        found = leaves(entries), parents(row[: 64 * HASH_BYTES]), climb(way[0], way, left)
        written, _, hashes = lay_out(entries, lengths, 2, 0, hashed=True)
        agrees = found == expected and (bytes(written), hashes) == (data, row)
        agrees = agrees and run_leaves(data, 0, ends, 2) == row
    except (AttributeError, FormatError, TypeError):  # one of another version, left over
        agrees = False
    if not agrees:
        _native = None


def _done(is_done: object, found: bytes | bytearray) -> bytes:
    """Give what was found; a buffer that C refused to fill must never pass for hashes."""
    if not is_done:
        raise FormatError(
            "what is to be hashed does not have the lengths that it has to have",
            hint="Hashes have 32 bytes; a parent takes two, a way at most 64.",
        )
    return bytes(found)


load(os.environ.get("COUNTERFOIL_KERNEL", ""))
