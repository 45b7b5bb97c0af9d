"""A chain in memory for the seeds: real tries, a real header, and validators with real keys."""

from __future__ import annotations

import json
from functools import cache

import rlp
from eth_hash.auto import keccak
from eth_keys.datatypes import PrivateKey
from trie import HexaryTrie

from counterfoil.chain.account import LocalAccount
from counterfoil.chain.anchorproof import AnchorProof
from counterfoil.chain.answers import TxReceipt
from counterfoil.chain.header import Header, format_header
from counterfoil.chain.qbft import MIX_HASH, ExtraData, format_extra, seal_hash
from counterfoil.chain.shelf import Attempt, Pending, Settled, call_digest
from counterfoil.chain.storageproof import mapping_slot
from counterfoil.chain.transaction import Call, Transaction

CHAIN_ID, SLOT, TIME, NUMBER = 1337, 5, 1_790_000_000, 4711
CONTRACT, LOG_ID, CODE_HASH = b"\xc0" * 20, b"\x10" * 32, b"\xcd" * 32
KEYS = tuple(PrivateKey(bytes([n]) * 32) for n in range(1, 5))
VALIDATORS = tuple(sorted(one.public_key.to_canonical_address() for one in KEYS))
ACCOUNT = LocalAccount(b"\x07" * 32)
CALL = Call("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", b"data", 5)


def uint(number: int) -> bytes:
    """A number as RLP has it."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def header(state_root: bytes) -> Header:
    """A block of that state, sealed by three of four validators."""
    names = {
        "parentHash": b"\x01" * 32,
        "sha3Uncles": keccak(rlp.encode([])),
        "miner": b"\x02" * 20,
        "stateRoot": state_root,
        "transactionsRoot": b"\x04" * 32,
        "receiptsRoot": b"\x05" * 32,
        "logsBloom": bytes(256),
        "difficulty": uint(1),
        "number": uint(NUMBER),
        "gasLimit": uint(30_000_000),
        "gasUsed": uint(21_000),
        "timestamp": uint(TIME),
        "extraData": format_extra(ExtraData(VALIDATORS)),
        "mixHash": MIX_HASH,
        "nonce": bytes(8),
        "baseFeePerGas": uint(7),
    }
    plain = Header(tuple(names.values()))
    digest = seal_hash(plain)
    seals = tuple(one.sign_msg_hash(digest).to_bytes() for one in KEYS[:3])
    return plain.with_extra(format_extra(ExtraData(VALIDATORS, seals)))


def prove(trie: HexaryTrie, at: bytes) -> tuple[bytes, ...]:
    """The nodes on the way to a key, as EIP-1186 has them."""
    nodes = [rlp.encode(one) for one in trie.get_proof(at)]
    return tuple(one for place, one in enumerate(nodes) if place == 0 or len(one) >= 32)


@cache
def proof(size: int, root: bytes) -> AnchorProof:
    """The proof that the contract holds that root at that size."""
    storage, accounts = HexaryTrie({}), HexaryTrie({})
    for other in range(40):
        storage[keccak(bytes([other]))] = rlp.encode(uint(other + 1))
        fields = [uint(other), uint(10**18), keccak(rlp.encode(b"")), keccak(b"")]
        accounts[keccak(bytes([other]) * 20)] = rlp.encode(fields)
    place = keccak(mapping_slot(SLOT, LOG_ID, size.to_bytes(32, "big")))
    storage[place] = rlp.encode(root.lstrip(b"\0"))
    accounts[keccak(CONTRACT)] = rlp.encode([uint(1), uint(0), storage.root_hash, CODE_HASH])
    return AnchorProof(
        CHAIN_ID,
        CONTRACT,
        LOG_ID,
        size,
        format_header(header(accounts.root_hash)),
        prove(accounts, keccak(CONTRACT)),
        prove(storage, place),
    )


def attempt(fee: int) -> Attempt:
    """A signed transaction that offers so much."""
    return Attempt(ACCOUNT.sign_transaction(Transaction(1, 3, CALL, 21_000, fee, 0)), TIME)


PENDING = Pending("advance log/5", (attempt(10), attempt(12)))
TX_RECEIPT = TxReceipt(b"\x01" * 32, 2**60, b"\x02" * 32, True, 21_000, 2**200, CALL.to)
SETTLED = Settled("advance log/5", 3, call_digest(CALL), "succeeded", TX_RECEIPT)

_SCRYPT = {
    "cipherparams": {"iv": "7de40f10f169c23a5ebfc2c674332143"},
    "ciphertext": "44a217a0574ee94b460aedceeb08af93042717a84fad3c5f24fa69aecebece1f",
    "kdf": "scrypt",
    "kdfparams": {"dklen": 32, "n": 2, "p": 1, "r": 8, "salt": "0b885e29c99053e7a1271f7807ee06fe"},
    "mac": "e31af7b187ae0d4965e141e30f482f525a911e8b738e87ec5d12aee77e0e20bd",
}
_PBKDF2 = {
    "cipherparams": {"iv": "8f7335255790f86744874c81cec998c9"},
    "ciphertext": "ab8c2edd07482e30214d47f1341de5f07e27f1d95103d74371af66d628449460",
    "kdf": "pbkdf2",
    "kdfparams": {
        "c": 2,
        "dklen": 32,
        "prf": "hmac-sha256",
        "salt": "3a4c3bf29b3d326a6875feae997bff77",
    },
    "mac": "176597f4e5ab36989f3d508520396b575454d6a1542a2267b1410489198813de",
}
KEY_FILES = tuple(
    json.dumps(
        {
            "address": "4a62316623ad457F02cDC5D997deD67a383EC569",
            "crypto": {"cipher": "aes-128-ctr", **locked},
            "version": 3,
        }
    ).encode()
    for locked in (_SCRYPT, _PBKDF2)
)
"""An account's key, under the passphrase `passphrase`, cheap to open."""
