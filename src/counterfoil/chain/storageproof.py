"""Proofs of what a contract has stored, from the state root in a block's header (EIP-1186).

    state root ─► account of the contract: code hash, storage root ─► one slot: 32 bytes

Both steps are inclusion proofs in Merkle Patricia tries: nodes from the root to the leaf, each one
named by its hash in the one before. Whether the state root is that of a block on the chain is not
looked at here.

Source:
    EIP-1186; Ethereum yellow paper, section 4.1 and appendix D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import rlp  # type: ignore[import-untyped]  # it ships no types
from eth_utils.crypto import keccak
from trie.exceptions import InvalidNode, MissingTrieNode, ValidationError
from trie.hexary import HexaryTrie

from counterfoil.chain.answers import ADDRESS_BYTES, HASH_BYTES
from counterfoil.chain.encoding import RlpItem, check_size, parse_rlp, parse_uint
from counterfoil.errors import FormatError, ProofError

MAX_NODES = 65
"""Most nodes of a proof: a key has 64 half-bytes, each can be a node, and then comes the leaf."""

MAX_NODE_BYTES = 532
"""Longest node: a branch with 16 hashes of 33 bytes, an empty value, and its length in front."""

_MAX_ACCOUNT_BYTES = 110  # nonce of 64 bits, balance of 256, two hashes, and the lengths of all
_MAX_VALUE_BYTES = 33


@dataclass(frozen=True, slots=True)
class Account:
    """What the state says of a contract's account; nonce and balance are of no interest here.

    Args:
        storage_root: Root of the trie of its storage, 32 bytes.
        code_hash: Keccak-256 of its code, 32 bytes.
    """

    storage_root: bytes
    code_hash: bytes


def mapping_slot(base: int, *keys: bytes) -> bytes:
    """Find the slot of `mapping[key]` or `mapping[key][key]…`, as Vyper lays out a `HashMap`.

    Args:
        base: The slot of the mapping itself, as the compiler's layout tells.
        keys: Each as a word of 32 bytes: numbers padded on the left.

    Returns:
        The slot, 32 bytes: the hash of the slot before, followed by the key. (Solidity has the key
        first, and so other slots.)
    """
    slot = base.to_bytes(HASH_BYTES, "big")
    for key in keys:
        slot = keccak(slot + check_size(key, "key of a mapping", HASH_BYTES))
    return slot


def check_account(state_root: bytes, address: bytes, nodes: Sequence[bytes]) -> Account:
    """Check that the state with this root has an account at `address`, and say what it is.

    Args:
        state_root: 32 bytes, from a block's header.
        address: 20 bytes.
        nodes: The proof, root to leaf.

    Raises:
        FormatError: The proof is too long, or no RLP.
        ProofError: It does not lead from the root to an account at this address.

    Source:
        EIP-1186, `accountProof`.
    """
    what = f"account 0x{address.hex()}"
    found = _check_path(state_root, check_size(address, "address", ADDRESS_BYTES), nodes, what)
    items = parse_rlp(found, what, _MAX_ACCOUNT_BYTES)
    if not isinstance(items, list) or len(items) != 4:
        raise FormatError(f"{what} has not four fields", hint="This is the proof of another thing.")
    return Account(
        check_size(items[2], f"storage root of {what}", HASH_BYTES),
        check_size(items[3], f"code hash of {what}", HASH_BYTES),
    )


def check_storage(storage_root: bytes, slot: bytes, nodes: Sequence[bytes]) -> bytes:
    """Check that a storage with this root has something at `slot`, and say what.

    Args:
        storage_root: 32 bytes, from `check_account`.
        slot: 32 bytes.
        nodes: The proof, root to leaf.

    Returns:
        The word that is stored there, 32 bytes, never zero: a slot of zero is not in the trie.

    Raises:
        FormatError: The proof is too long, or no RLP.
        ProofError: It does not lead from the root to this slot, or nothing is stored there.

    Source:
        EIP-1186, `storageProof`.
    """
    what = f"slot 0x{slot.hex()}"
    found = _check_path(storage_root, check_size(slot, "slot", HASH_BYTES), nodes, what)
    value: RlpItem = parse_rlp(found, what, _MAX_VALUE_BYTES)
    if not isinstance(value, bytes):
        raise FormatError(f"{what} holds a list", hint="This is the proof of another thing.")
    return parse_uint(value, what, 8 * HASH_BYTES).to_bytes(HASH_BYTES, "big")


def _check_path(root: bytes, key: bytes, nodes: Sequence[bytes], what: str) -> bytes:
    """Follow a proof from the root to the value at `key`.

    Raises:
        FormatError: There are too many nodes, or one is too long or no RLP.
        ProofError: They lead elsewhere, or some are not on the way.
    """
    if len(nodes) > MAX_NODES:
        raise FormatError(
            f"the proof of {what} has {len(nodes)} nodes, at most {MAX_NODES} are read",
            hint="No path is as long; look where the proof comes from.",
        )
    for node in nodes:
        parse_rlp(node, f"a node in the proof of {what}", MAX_NODE_BYTES)
    way = _Way(nodes)
    try:
        value: object = HexaryTrie(way, root).get(keccak(key))
    except (
        MissingTrieNode,  # the proof ends too early, or a node has another hash
        # What the library raises on a node that is RLP and no node of a trie:
        InvalidNode,
        ValidationError,
        rlp.exceptions.RLPException,
        LookupError,
        TypeError,
    ) as error:
        raise _elsewhere(what, "a node is missing, or another one than its hash says") from error
    if way.unused:
        raise _elsewhere(what, f"{way.unused} of its {len(nodes)} nodes are not on the way")
    if not isinstance(value, bytes) or not value:
        raise _elsewhere(what, "nothing is stored there")
    return value


class _Way:
    """The nodes of a proof as a trie's storage, which gives out each once, and in their order."""

    def __init__(self, nodes: Sequence[bytes]) -> None:
        self._nodes = nodes
        self._next = 0

    @property
    def unused(self) -> int:
        """How many nodes nobody asked for."""
        return len(self._nodes) - self._next

    def __getitem__(self, digest: bytes) -> bytes:
        node = self._nodes[self._next] if self.unused else b""
        if keccak(node) != digest:
            raise KeyError(digest)
        self._next += 1
        return node


def _elsewhere(what: str, why: str) -> ProofError:
    return ProofError(
        f"the proof of {what} does not hold: {why}",
        hint="It was changed, or belongs to another block; ask a node for it again.",
    )
