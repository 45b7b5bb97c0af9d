"""RLP, in which execution clients write headers and tries, read strictly.

Whatever comes in is bounded before it is worked on, and accepted only in the form that would be
written: `format_rlp(parse_rlp(b)) == b`.
"""

from __future__ import annotations

from typing import TypeAlias

import rlp  # type: ignore[import-untyped]  # it ships no types

from counterfoil.errors import FormatError

RlpItem: TypeAlias = "bytes | list[RlpItem]"


def parse_rlp(data: bytes, what: str, max_bytes: int) -> RlpItem:
    """Read RLP in its one form.

    Args:
        data: The encoding, all of it.
        what: The thing read, for the error message.
        max_bytes: Longest encoding, in bytes.

    Returns:
        A byte string, or a list of items.

    Raises:
        FormatError: It is longer, not RLP, or another spelling of the same item.

    Source:
        Ethereum yellow paper, appendix B.
    """
    if len(data) > max_bytes:
        raise FormatError(
            f"{what} has {len(data)} bytes, at most {max_bytes} are read",
            hint="Nothing honest is as long; look where the bytes come from.",
        )
    try:
        item: RlpItem = rlp.decode(data)
    except (rlp.exceptions.RLPException, RecursionError) as error:
        raise FormatError(
            f"{what} is not RLP: {error}", hint="It was cut or changed; fetch it again."
        ) from error
    return item


def format_rlp(item: RlpItem) -> bytes:
    """Write a byte string or a list of items as RLP."""
    data: bytes = rlp.encode(item)
    return data


def parse_uint(data: bytes, what: str, bits: int) -> int:
    """Read a number as RLP has them: big-endian, without leading zeros; none at all is 0.

    Raises:
        FormatError: It begins with a zero, or has more than `bits` bits.
    """
    number = int.from_bytes(data, "big")
    if data[:1] == b"\0" or number.bit_length() > bits:
        raise FormatError(
            f"{what} is no number of at most {bits} bits without leading zeros",
            hint="It was changed, or stands in the wrong place.",
        )
    return number


def format_uint(number: int) -> bytes:
    """Write a number as RLP has them."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def check_size(data: RlpItem, what: str, size: int) -> bytes:
    """Check that an item is a byte string of the size it must have, and return it.

    Raises:
        FormatError: It is a list, or has another size.
    """
    if not isinstance(data, bytes) or len(data) != size:
        found = f"{len(data)} bytes" if isinstance(data, bytes) else "a list"
        raise FormatError(
            f"{what} is {found}, not {size} bytes",
            hint="It was cut, or stands in the wrong place.",
        )
    return data
