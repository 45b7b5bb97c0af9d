"""Headers of blocks, as bytes that hash to what the chain calls the block.

    f90286 a05b5b6b…(parent) … a09099fb…(state root) … 84 0166c7a8(number) … 84 68e2a7cf(time) …

A header is one RLP list. Each fork of the protocol appended fields and none was ever taken away,
so that the number of fields tells the fork. Known are those up to Prague (May 2025), which Osaka
did not change; a longer header is refused, not guessed at.

Source:
    Ethereum yellow paper, section 4.4; EIP-1559 (London), EIP-4895 (Shanghai), EIP-4844 and
    EIP-4788 (Cancun), EIP-7685 (Prague).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from eth_utils.crypto import keccak

from counterfoil.chain.answers import ADDRESS_BYTES, HASH_BYTES, read_data, read_quantity
from counterfoil.chain.encoding import check_size, format_rlp, format_uint, parse_rlp, parse_uint
from counterfoil.core.canonical import JsonValue
from counterfoil.errors import FormatError, UnavailableError

MAX_HEADER_BYTES = 32 * 1024
"""Longest header that is read, in bytes: one with 128 validators and their seals has 12,000."""

MAX_EXTRA_BYTES = 31 * 1024
"""Longest extra data: all of a header but its other fields, which take less than 900 bytes."""

_BLOOM_BYTES = 256
_NONCE_BYTES = 8
_EXTRA = "extraData"

# The name in JSON-RPC, and either the size in bytes or, negative, the largest number of bits.
_FIELDS = (
    ("parentHash", HASH_BYTES),
    ("sha3Uncles", HASH_BYTES),
    ("miner", ADDRESS_BYTES),
    ("stateRoot", HASH_BYTES),
    ("transactionsRoot", HASH_BYTES),
    ("receiptsRoot", HASH_BYTES),
    ("logsBloom", _BLOOM_BYTES),
    ("difficulty", -256),
    ("number", -64),
    ("gasLimit", -64),
    ("gasUsed", -64),
    ("timestamp", -64),
    (_EXTRA, 0),
    ("mixHash", HASH_BYTES),
    ("nonce", _NONCE_BYTES),
    ("baseFeePerGas", -256),
    ("withdrawalsRoot", HASH_BYTES),
    ("blobGasUsed", -64),
    ("excessBlobGas", -64),
    ("parentBeaconBlockRoot", HASH_BYTES),
    ("requestsHash", HASH_BYTES),
)
_PLACES = {name: place for place, (name, _) in enumerate(_FIELDS)}
_FORKS = {15: "Frontier", 16: "London", 17: "Shanghai", 20: "Cancun", 21: "Prague"}


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of a block's header, in their order.

    Args:
        fields: Each as the byte string that stands in the RLP list: 15, 16, 17, 20 or 21.
    """

    fields: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if len(self.fields) not in _FORKS:
            raise FormatError(
                f"a block's header has {len(self.fields)} fields, as in no fork up to Prague",
                hint="A newer fork needs a newer counterfoil; otherwise the header was changed.",
            )
        for (name, form), field in zip(_FIELDS, self.fields, strict=False):
            what = f"{name} of a block's header"
            if form > 0:
                check_size(field, what, form)
            elif form < 0:
                parse_uint(field, what, -form)
            elif len(field) > MAX_EXTRA_BYTES:
                raise FormatError(
                    f"{what} has {len(field)} bytes, at most {MAX_EXTRA_BYTES} are read",
                    hint="No chain that we know has so many validators.",
                )

    @property
    def number(self) -> int:
        """How many blocks came before it."""
        return int.from_bytes(self["number"], "big")

    @property
    def time(self) -> int:
        """POSIX seconds, as whoever made the block claims and the chain's rules allow."""
        return int.from_bytes(self["timestamp"], "big")

    @property
    def state_root(self) -> bytes:
        """Root of the trie of accounts after this block, 32 bytes."""
        return self["stateRoot"]

    @property
    def extra(self) -> bytes:
        """What the consensus of a private network, or whoever made the block, put there."""
        return self[_EXTRA]

    def __getitem__(self, name: str) -> bytes:
        """Get a field by the name that JSON-RPC has for it; it must be there."""
        return self.fields[_PLACES[name]]

    def with_extra(self, extra: bytes) -> Header:
        """Make the same header with other extra data."""
        place = _PLACES[_EXTRA]
        return replace(self, fields=(*self.fields[:place], extra, *self.fields[place + 1 :]))

    def hash(self) -> bytes:
        """Hash it as Ethereum does, 32 bytes; for QBFT see `qbft.block_hash`."""
        return keccak(format_header(self))


def parse_header(data: bytes) -> Header:
    """Read a header; `format_header` of the result is `data`. Nothing is checked yet.

    Raises:
        FormatError: The bytes are no header of a fork up to Prague.
    """
    items = parse_rlp(data, "a block's header", MAX_HEADER_BYTES)
    fields = tuple(item for item in items if isinstance(item, bytes))
    if not isinstance(items, list) or len(fields) != len(items):
        raise FormatError(
            "a block's header is no list of byte strings",
            hint="These bytes are something else; fetch the header again.",
        )
    return Header(fields)


def format_header(header: Header) -> bytes:
    """Write a header in RLP."""
    return format_rlp(list(header.fields))


def read_header(block: JsonValue) -> Header:
    """Make the header of a block as `eth_getBlockByNumber` or `eth_getBlockByHash` answers it.

    Members that are no part of the header are not looked at, `hash` among them: compare it with
    the hash of what comes back.

    Raises:
        FormatError: It has not the fields of a fork up to Prague, or too much extra data.
        UnavailableError: A field is missing, or not in its form.
    """
    if not isinstance(block, dict):
        raise UnavailableError(
            f"the node answers with a {type(block).__name__} where a block should be",
            hint="It may not know the block yet; ask again, or ask another node.",
        )
    count = max((at + 1 for name, at in _PLACES.items() if block.get(name) is not None), default=0)
    fields: list[bytes] = []
    for name, form in _FIELDS[:count]:
        value, what = block.get(name), f"{name} of a block"
        if form < 0:
            fields.append(format_uint(read_quantity(value, what, 2**-form - 1)))
        else:
            fields.append(read_data(value, what, form or None))
    return Header(tuple(fields))
