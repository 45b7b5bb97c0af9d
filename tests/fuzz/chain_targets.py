"""Targets of the chain: proofs, headers, transactions, and what a node answers."""

from __future__ import annotations

import rlp
from eth_hash.auto import keccak
from eth_keys.datatypes import PrivateKey

from counterfoil.chain import account
from counterfoil.chain.anchorproof import (
    ExpectedAnchor,
    anchor_proof_from_json,
    check_anchor_proof,
    format_anchor_proof,
    parse_anchor_proof,
)
from counterfoil.chain.answers import (
    parse_address,
)
from counterfoil.chain.encoding import format_rlp, format_uint, parse_rlp, parse_uint
from counterfoil.chain.genesis import NetworkMember, format_member, parse_member, parse_place
from counterfoil.chain.header import format_header, parse_header
from counterfoil.chain.profile import parse_finality
from counterfoil.chain.qbft import (
    QbftValidators,
    block_hash,
    format_extra,
    parse_extra,
    recover_signers,
)
from counterfoil.chain.request import (
    AnchorRequest,
    AnchorSignature,
    format_answer,
    format_request,
    parse_answer,
    parse_request,
)
from counterfoil.chain.shelf import format_pending, format_settled, parse_pending, parse_settled
from counterfoil.chain.storageproof import check_account, check_storage
from counterfoil.chain.transaction import parse_signed
from counterfoil.chain.typed import Signature
from counterfoil.core.anchoring import Finality
from counterfoil.core.merkle import Hash, root_of
from fuzz import chains, seeds
from fuzz.chains import CHAIN_ID, CODE_HASH, CONTRACT, KEYS, LOG_ID, SLOT, VALIDATORS
from fuzz.targets import Target, bytes_of, text_of

SIZE, ROOT = 7, root_of(seeds.LEAVES[:7])
PROOF = chains.proof(SIZE, ROOT)
EXPECTED = ExpectedAnchor(CHAIN_ID, CONTRACT, CODE_HASH, SLOT, LOG_ID, SIZE, ROOT)
AUTHORITY = QbftValidators(frozenset(VALIDATORS))
MAX_RLP = 1 << 16
SIGNED = Signature.parse(KEYS[0].sign_msg_hash(b"\x07" * 32).to_bytes())


def take_anchor_proof(data: bytes) -> None:
    proof = parse_anchor_proof(data)
    assert format_anchor_proof(proof) == data
    check_anchor_proof(proof, EXPECTED, authority=None)
    check_anchor_proof(proof, EXPECTED, authority=AUTHORITY)


def take_rlp(data: bytes) -> None:
    assert format_rlp(parse_rlp(data, "item", MAX_RLP)) == data


def take_uint(data: bytes) -> None:
    assert format_uint(parse_uint(data, "number", 256)) == data


def take_header(data: bytes) -> None:
    header = parse_header(data)
    assert format_header(header) == data
    block_hash(header)
    recover_signers(header)
    AUTHORITY.authenticate(header)


def take_extra(data: bytes) -> None:
    assert format_extra(parse_extra(data)) == data


def take_storage_node(data: bytes) -> None:
    """The last node of a proof is anything, below a branch that leads to it."""
    slot = EXPECTED.root_slot
    check_storage(keccak(data), slot, [data])


def take_branch(data: bytes) -> None:
    slot = EXPECTED.root_slot
    above = [b""] * 17
    above[keccak(slot)[0] >> 4] = keccak(data)
    parent = rlp.encode(above)
    check_storage(keccak(parent), slot, [parent, data])


def take_account_node(data: bytes) -> None:
    check_account(keccak(data), CONTRACT, [data])


def leaf_of(key: bytes, value: bytes, nibbles: int) -> bytes:
    """The node at the end of a way, so many half-bytes of which lie above it."""
    digits = keccak(key).hex()[nibbles:]
    path = bytes.fromhex(f"3{digits}" if len(digits) % 2 else f"20{digits}")
    return rlp.encode([path, value])


def account_leaf() -> bytes:
    """A trie of one account, the contract's."""
    account = rlp.encode([b"\x01", b"", bytes(32), CODE_HASH])
    return leaf_of(CONTRACT, account, 0)


def take_signed(data: bytes) -> None:
    assert parse_signed(data).raw == data


def take_signature(data: bytes) -> None:
    signature = Signature.parse(data)
    assert Signature.parse(bytes(signature)) == signature == Signature.parse(signature.long())
    signature.recover(b"\x07" * 32)


def take_pending(data: bytes) -> None:
    assert format_pending(parse_pending(data)) == data


def take_settled(data: bytes) -> None:
    assert format_settled(parse_settled(data)) == data


def take_key_file(data: bytes) -> None:
    """The costs that are let through are as small as those of the seed."""
    account.MAX_SCRYPT_N, account._MAX_PBKDF2_ROUNDS = 2, 2
    account._open(data, "passphrase", "key file")


def take_request(data: bytes) -> None:
    assert format_request(parse_request(data)) == data


def take_answer(data: bytes) -> None:
    assert format_answer(parse_answer(data)) == data


def anchor_request() -> bytes:
    """A request to sign, with two proofs."""
    proofs = {3: (Hash(b"\x01" * 32), ROOT), SIZE: ()}
    contract = "0x" + CONTRACT.hex()
    return format_request(
        AnchorRequest(CHAIN_ID, contract, LOG_ID, 1, seeds.checkpoint(SIZE), proofs)
    )


def anchor_answer() -> bytes:
    """A member's answer."""
    line = seeds.checkpoint(SIZE).decode().splitlines()[5]
    signature = Signature.parse(b"\x03" * 64)
    return format_answer(AnchorSignature("0x" + "12" * 20, SIZE, ROOT, signature, line))


def take_address(data: bytes) -> None:
    text = text_of(data)
    assert parse_address(text).lower() == text.lower()


def take_finality(data: bytes) -> None:
    rule, count = parse_finality(text_of(data))
    assert bytes_of(str(count) if rule is Finality.CONFIRMATIONS else rule.value) == data


def take_member(data: bytes) -> None:
    member = parse_member(text_of(data))
    assert parse_member(format_member(member)) == member


def take_place(data: bytes) -> None:
    parse_place(text_of(data))


def member() -> bytes:
    """What a member of a network hands around."""
    public = PrivateKey(b"\x01" * 32).public_key.to_bytes()
    return format_member(NetworkMember("north", public, "10.0.0.1", 30303)).encode()


TARGETS = (
    Target(
        "anchor-proof",
        take_anchor_proof,
        lambda: [format_anchor_proof(PROOF)],
        "json",
        more=lambda: [(seeds.GOLDEN / "chain" / "anchor.json").read_bytes()],
        covers=(parse_anchor_proof, anchor_proof_from_json),
    ),
    Target("rlp", take_rlp, lambda: [PROOF.header, *PROOF.account], "rlp", covers=(parse_rlp,)),
    Target("uint", take_uint, lambda: [b"", b"\x01", b"\xff" * 32], covers=(parse_uint,)),
    Target("header", take_header, lambda: [PROOF.header], "rlp", covers=(parse_header,)),
    Target(
        "qbft-extra",
        take_extra,
        lambda: [parse_header(PROOF.header).extra],
        "rlp",
        covers=(parse_extra,),
    ),
    Target(
        "storage-node",
        take_storage_node,
        lambda: [leaf_of(EXPECTED.root_slot, rlp.encode(b"\x07" * 32), 0)],
        "rlp",
        more=lambda: PROOF.storage,
    ),
    Target(
        "storage-branch",
        take_branch,
        lambda: [leaf_of(EXPECTED.root_slot, rlp.encode(b"\x07" * 32), 1)],
        "rlp",
        more=lambda: PROOF.storage,
    ),
    Target(
        "account-node",
        take_account_node,
        lambda: [account_leaf()],
        "rlp",
        more=lambda: PROOF.account,
    ),
    Target(
        "signed-transaction",
        take_signed,
        lambda: [chains.attempt(7).signed.raw],
        covers=(parse_signed,),
    ),
    Target(
        "key-file",
        take_key_file,
        lambda: chains.KEY_FILES,
        "json",
        tries=200,
    ),
    Target("account-signature", take_signature, lambda: [bytes(SIGNED), SIGNED.long()]),
    Target(
        "pending",
        take_pending,
        lambda: [format_pending(chains.PENDING)],
        "json",
        covers=(parse_pending,),
    ),
    Target(
        "settled",
        take_settled,
        lambda: [format_settled(chains.SETTLED)],
        "json",
        covers=(parse_settled,),
    ),
    Target(
        "anchor-request", take_request, lambda: [anchor_request()], "json", covers=(parse_request,)
    ),
    Target("anchor-answer", take_answer, lambda: [anchor_answer()], "json", covers=(parse_answer,)),
    Target(
        "address",
        take_address,
        lambda: [str(chains.CALL.to).encode(), b"0x" + b"12" * 20],
        covers=(parse_address,),
    ),
    Target(
        "finality",
        take_finality,
        lambda: [b"finalized", b"immediate", b"12"],
        covers=(parse_finality,),
    ),
    Target("network-member", take_member, lambda: [member()], covers=(parse_member,)),
    Target(
        "network-place",
        take_place,
        lambda: [b"10.0.0.1:30303", b"[fd00::1]:30303"],
        covers=(parse_place,),
    ),
)
