"""The first block of a consortium's chain, and who its members are.

Four members or more run one validator each, under Besu's QBFT: a block is final at once when two
thirds of them sealed it. Everything here follows from the members' public keys and addresses, so
that every member makes the same files, byte for byte, and compares one digest.

Clique and IBFT 2.0 are not offered: the one has no finality, the other is what QBFT replaced.

Source:
    Besu's documentation, "Genesis file items" and "Create a private network using QBFT"; checked
    against the source of Besu 26.3 (`GenesisConfig`, `JsonBftConfigOptions`, `EnodeURLImpl`).
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from functools import cached_property

from eth_utils.crypto import keccak

from counterfoil.chain.answers import ADDRESS_BYTES, parse_address
from counterfoil.chain.encoding import check_size
from counterfoil.chain.qbft import MAX_VALIDATORS, MIX_HASH, ExtraData, format_extra
from counterfoil.core.canonical import check_integer
from counterfoil.core.text import parse_decimal, shown
from counterfoil.errors import FormatError

MIN_MEMBERS = 4
"""Fewest members: with three, one that fails or lies stops the chain (QBFT bears less than N/3)."""

MAX_BLOCK_PERIOD_S = 3600
"""Longest time between two blocks, in seconds; an anchor waits for one."""

_PUBLIC_KEY_BYTES = 64
_MAX_PORT = 65_535
_GAS_LIMIT = 30_000_000
_FUNDS_WEI = 10**24
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?")
_MEMBER = re.compile(r"([^=]*)=enode://([0-9a-f]{128})@(.*)", re.DOTALL)
_PLACE = re.compile(r"(\[[0-9a-f:]+\]|[0-9.]+):([0-9]{1,5})")


@dataclass(frozen=True)
class NetworkMember:
    """One organisation's validator, as the others know it.

    Args:
        name: Of a folder and a container: lower-case letters, digits and hyphens, at most 32.
        key: Public key of its node on secp256k1, 64 bytes.
        host: IP address at which the others reach it; Besu takes no names there.
        port: TCP port of the same.
    """

    name: str
    key: bytes
    host: str
    port: int

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise FormatError(
                f"{shown(self.name)} cannot be a member's name",
                hint="Take lower-case letters, digits and hyphens, at most 32, a letter first.",
            )
        check_size(self.key, f"key of {self.name}", _PUBLIC_KEY_BYTES)
        try:
            canonical = str(ipaddress.ip_address(self.host))
        except ValueError:
            canonical = ""
        if canonical != self.host:
            raise FormatError(
                f"{self.name} has the host {shown(self.host)}, which is no IP address",
                hint="Besu finds static nodes by address; write it as in 10.0.0.1 or fd00::1.",
            )
        if not 1 <= self.port <= _MAX_PORT:
            raise FormatError(
                f"{self.name} has the port {self.port}", hint="A port is from 1 to 65535."
            )

    @property
    def address(self) -> bytes:
        """Who seals blocks: the last 20 bytes of the key's hash."""
        return keccak(self.key)[-ADDRESS_BYTES:]

    @property
    def enode(self) -> str:
        """Where the others find the node, and which key it has."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"enode://{self.key.hex()}@{host}:{self.port}"


def parse_member(text: str) -> NetworkMember:
    """Read what a member hands around: `NAME=enode://KEY@IP:PORT`; `format_member` writes it.

    Raises:
        FormatError: It is anything else.
    """
    match = _MEMBER.fullmatch(text)
    if not match:
        raise FormatError(
            f"{shown(text)} is no member", hint="Write NAME=enode://KEY@IP:PORT, as it was printed."
        )
    name, key, place = match.groups()
    return NetworkMember(name, bytes.fromhex(key), *parse_place(place))


def parse_place(text: str) -> tuple[str, int]:
    """Read where a node is reached, `10.0.0.1:30303` or `[fd00::1]:30303`: host and port.

    Raises:
        FormatError: It is anything else.
    """
    match = _PLACE.fullmatch(text)
    if not match:
        raise FormatError(
            f"{shown(text)} is no place of a node",
            hint="Write IP:PORT; Besu finds static nodes by address, not by name.",
        )
    host, port = match.groups()
    return host.strip("[]"), parse_decimal(port, "port of a node", _MAX_PORT)


def format_member(member: NetworkMember) -> str:
    """Write what a member hands around; nothing of it is secret."""
    return f"{member.name}={member.enode}"


@dataclass(frozen=True)
class Network:
    """A chain between members, before its first block.

    Args:
        members: Four or more, in any order: names, keys and places differ.
        chain_id: None for one that is made from the members' keys, so that two networks differ.
        block_period_s: Least time between two blocks, in seconds.
        funded: Addresses that get a million of the chain's coins each; then transactions cost
            gas. Without any, gas is free.
    """

    members: tuple[NetworkMember, ...]
    chain_id: int | None = None
    block_period_s: int = 5
    funded: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not MIN_MEMBERS <= len(self.members) <= MAX_VALIDATORS:
            raise FormatError(
                f"a network has {MIN_MEMBERS} to {MAX_VALIDATORS} members, not {len(self.members)}",
                hint="With four, the chain goes on when any one of them fails or lies.",
            )
        for what, values in (
            ("name", [one.name for one in self.members]),
            ("key", [one.key for one in self.members]),
            ("host and port", [(one.host, one.port) for one in self.members]),
        ):
            if len(set(values)) != len(values):
                raise FormatError(
                    f"two members have the same {what}",
                    hint="Each organisation runs a node of its own, with a key of its own.",
                )
        if self.chain_id is not None:
            check_integer(self.chain_id, "chain id", 1)
        if not 1 <= self.block_period_s <= MAX_BLOCK_PERIOD_S:
            raise FormatError(
                f"the block period is {self.block_period_s} s",
                hint=f"Give 1 to {MAX_BLOCK_PERIOD_S} seconds.",
            )
        for address in self.funded:
            parse_address(address, "funded account")

    @property
    def is_free(self) -> bool:
        """Whether transactions cost nothing."""
        return not self.funded

    @cached_property
    def extra(self) -> bytes:
        """Extra data of the first block: the validators, in ascending order."""
        return format_extra(ExtraData(tuple(sorted(one.address for one in self.members))))

    @cached_property
    def id(self) -> int:
        """The chain id: as given, or 30 bits of the validators' hash above the common ones."""
        return self.chain_id or 2**30 + (int.from_bytes(keccak(self.extra)[:4], "big") >> 2)


def format_genesis(network: Network) -> bytes:
    """Write Besu's genesis.json: the same bytes for every member who knows the same members."""
    config: dict[str, object] = {
        "chainId": network.id,
        "berlinBlock": 0,
        "londonBlock": 0,
        "qbft": {
            "blockperiodseconds": network.block_period_s,
            "epochlength": 30_000,
            "requesttimeoutseconds": 2 * network.block_period_s,
        },
    }
    genesis: dict[str, object] = {
        "config": config,
        "nonce": "0x0",
        "timestamp": "0x0",
        "extraData": "0x" + network.extra.hex(),
        "gasLimit": hex(_GAS_LIMIT),
        "difficulty": "0x1",
        "mixHash": "0x" + MIX_HASH.hex(),
        "coinbase": "0x" + "00" * ADDRESS_BYTES,
        "alloc": {
            one: {"balance": hex(_FUNDS_WEI)}
            for one in sorted(address[2:].lower() for address in network.funded)
        },
    }
    if network.is_free:
        config["zeroBaseFee"] = True
        genesis["baseFeePerGas"] = "0x0"
    return json.dumps(genesis, indent=2).encode() + b"\n"
