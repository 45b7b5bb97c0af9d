"""A consortium in memory: real tries, real headers, and validators who seal with real keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import pytest
import rlp
from eth_hash.auto import keccak
from eth_keys.datatypes import PrivateKey
from trie import HexaryTrie

from counterfoil.chain.anchorproof import (
    AnchorProof,
    Authority,
    ExpectedAnchor,
    check_anchor_proof,
)
from counterfoil.chain.header import Header, format_header
from counterfoil.chain.qbft import MIX_HASH, ExtraData, format_extra, parse_extra, seal_hash
from counterfoil.chain.storageproof import mapping_slot


def uint(number: int) -> bytes:
    return rlp.sedes.big_endian_int.serialize(number)


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def prove(trie: HexaryTrie, key: bytes) -> tuple[bytes, ...]:
    """The nodes on the way to a key, as EIP-1186 has them: embedded ones stay in their parents."""
    nodes = [rlp.encode(node) for node in trie.get_proof(key)]
    return tuple(node for at, node in enumerate(nodes) if at == 0 or len(node) >= 32)


@dataclass(frozen=True)
class State:
    """A state with the contract among other accounts, its storage, and the ways there."""

    root: bytes
    storage_root: bytes
    account: tuple[bytes, ...]
    storage: tuple[bytes, ...]


class Consortium:
    """Four members, a contract, and what a policy says of them."""

    keys = tuple(PrivateKey(bytes([n]) * 32) for n in range(1, 5))
    validators = tuple(sorted(key.public_key.to_canonical_address() for key in keys))
    chain_id, slot, size, time, number = 1337, 5, 1_000_000, 1_790_000_000, 4711
    contract, log, root, code_hash = b"\xc0" * 20, b"\x10" * 32, b"\x70" * 32, b"\xcd" * 32
    place = mapping_slot(slot, log, word(size))

    def header(self, **fields: bytes) -> Header:
        """A header of London, not sealed; the keywords replace fields."""
        names = {
            "parentHash": b"\x01" * 32,
            "sha3Uncles": keccak(rlp.encode([])),
            "miner": b"\x02" * 20,
            "stateRoot": b"\x03" * 32,
            "transactionsRoot": b"\x04" * 32,
            "receiptsRoot": b"\x05" * 32,
            "logsBloom": bytes(256),
            "difficulty": uint(1),
            "number": uint(self.number),
            "gasLimit": uint(30_000_000),
            "gasUsed": uint(21_000),
            "timestamp": uint(self.time),
            "extraData": format_extra(ExtraData(self.validators)),
            "mixHash": MIX_HASH,
            "nonce": bytes(8),
            "baseFeePerGas": uint(0),
        }
        return Header(tuple((names | fields).values()))

    def seal(
        self, header: Header, keys: Sequence[PrivateKey] = keys[:3], **changes: object
    ) -> Header:
        """Have each of `keys` sign the header as QBFT's validators do."""
        header = header.with_extra(format_extra(replace(parse_extra(header.extra), **changes)))
        digest = seal_hash(header)
        return self.with_seals(header, [key.sign_msg_hash(digest).to_bytes() for key in keys])

    def with_seals(self, header: Header, seals: Sequence[bytes]) -> Header:
        extra = replace(parse_extra(header.extra), seals=tuple(seals))
        return header.with_extra(format_extra(extra))

    def state(self, *, others: int = 60, value: bytes = root, **changes: bytes) -> State:
        """A state with the root in the contract's storage; keywords put in other things."""
        storage, accounts = HexaryTrie({}), HexaryTrie({})
        for other in range(others):
            storage[keccak(word(other))] = rlp.encode(uint(other + 1))
            fields = [uint(other), uint(10**18), keccak(rlp.encode(b"")), keccak(b"")]
            accounts[keccak(bytes([other]) * 20)] = rlp.encode(fields)
        place = changes.get("place", self.place)
        if "neighbour" in changes:
            storage[keccak(changes["neighbour"])] = rlp.encode(uint(1))
        storage[keccak(place)] = rlp.encode(value.lstrip(b"\0"))
        code = changes.get("code_hash", self.code_hash)
        contract = changes.get("contract", self.contract)
        accounts[keccak(contract)] = rlp.encode([uint(1), uint(0), storage.root_hash, code])
        return State(
            accounts.root_hash,
            storage.root_hash,
            prove(accounts, keccak(contract)),
            prove(storage, keccak(place)),
        )

    def proof(self, state: State, header: Header) -> AnchorProof:
        return AnchorProof(
            self.chain_id,
            self.contract,
            self.log,
            self.size,
            format_header(header),
            state.account,
            state.storage,
        )

    def check(
        self, proof: AnchorProof, *, authority: Authority | None = None, **changes: object
    ) -> object:
        """Check a proof against what the policy names; keywords replace that."""
        names = {field.name: getattr(self, field.name) for field in fields(ExpectedAnchor)}
        return check_anchor_proof(proof, ExpectedAnchor(**names | changes), authority=authority)


@pytest.fixture(scope="session")
def consortium() -> Consortium:
    return Consortium()


@pytest.fixture(scope="session")
def state(consortium: Consortium) -> State:
    return consortium.state()


@pytest.fixture(scope="session")
def header(consortium: Consortium, state: State) -> Header:
    """The header of a block with that state, sealed by three of four in the third try."""
    return consortium.seal(consortium.header(stateRoot=state.root), round=2)


@pytest.fixture(scope="session")
def proof(consortium: Consortium, state: State, header: Header) -> AnchorProof:
    return consortium.proof(state, header)
