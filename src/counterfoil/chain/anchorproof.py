"""Anchor proofs: what shows offline that a chain holds a log's root, and since when.

    header ─► account of the anchor contract ─► roots[log][size] = root
      └─ authenticated by validators or a block hash that the verifier's policy names

A proof holds the header of one block and two paths of nodes. Checking it needs no node, only what
the verifier got elsewhere: chain, contract, hash of its code, slot, log, and whom to believe about
headers. Anyone can make a header and a state below it, so that without such an authority a proof
shows nothing: what comes back then is an `UnauthenticatedAnchor`, which is no `AnchoredAt`.

A header does not name its chain. The chain id in a proof is a claim that is only compared; what
ties a proof to a chain are the validators, or the block hash, that were pinned for it.

What a proof does not show: whether the log was stopped or its committee replaced since (look at the
chain), and whether the block's time is right (validators bend it by seconds, not by days).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, overload

from counterfoil.chain.answers import ADDRESS_BYTES, HASH_BYTES
from counterfoil.chain.encoding import check_size
from counterfoil.chain.header import MAX_HEADER_BYTES, Header, parse_header
from counterfoil.chain.qbft import block_hash
from counterfoil.chain.storageproof import (
    MAX_NODE_BYTES,
    MAX_NODES,
    check_account,
    check_storage,
    mapping_slot,
)
from counterfoil.core.canonical import JsonValue, check_integer, format_json, parse_canonical
from counterfoil.core.text import format_base64, parse_base64, parse_hex
from counterfoil.core.toml import Table
from counterfoil.errors import FormatError, PolicyError, ProofError

MAX_ANCHOR_PROOF_BYTES = 160 * 1024
"""Longest anchor proof that is read: the longest header and the longest paths, in base64."""

_VERSION = "anchor-proof/v1"
_MEMBERS = ("counterfoil", "chain_id", "contract", "log", "size", "header", "account", "storage")
_MAX_DEPTH = 2  # lists in an object


class Authority(Protocol):
    """Who says which headers are those of final blocks of the chain.

    An authority is made from the verifier's own policy, never from what is being verified. What it
    lets pass is the header of a block that is final on its chain, as far as those whom it names
    can be believed.
    """

    def authenticate(self, header: Header) -> bytes:
        """Return the block's hash, 32 bytes, or raise a `VerificationError` or `FormatError`."""


@dataclass(frozen=True, slots=True)
class PinnedBlocks:
    """The hashes of blocks that a policy names; only these count.

    Args:
        hashes: As the chain's explorers and nodes show them, 32 bytes each.
    """

    hashes: frozenset[bytes]

    def __post_init__(self) -> None:
        for digest in self.hashes:
            check_size(digest, "hash of a pinned block", HASH_BYTES)

    def authenticate(self, header: Header) -> bytes:
        """Check that the block is one of those.

        Raises:
            FormatError: The header claims to be of QBFT and is not.
            PolicyError: The block is none of those.
        """
        digest = block_hash(header)
        if digest not in self.hashes:
            raise PolicyError(
                f"block {header.number} is not pinned",
                have=digest.hex(),
                need="the hash of a block that the policy names",
                hint="Compare its hash with the chain, then name it in the policy.",
            )
        return digest


@dataclass(frozen=True, slots=True)
class ExpectedAnchor:
    """The root of a log at a size, and where a chain should hold it. Never taken from a proof.

    Args:
        chain_id: The chain (EIP-155).
        contract: Address of the anchor contract, 20 bytes.
        code_hash: Keccak-256 of the contract's code, 32 bytes: that of a released version.
        slot: Where that version has `roots`, from its artifact.
        log: The log's id in that contract, 32 bytes.
        size: Leaves at the checkpoint.
        root: Root hash of the checkpoint, 32 bytes.
    """

    chain_id: int
    contract: bytes
    code_hash: bytes
    slot: int
    log: bytes
    size: int
    root: bytes

    def __post_init__(self) -> None:
        check_size(self.contract, "contract", ADDRESS_BYTES)
        check_size(self.code_hash, "code hash", HASH_BYTES)
        check_size(self.log, "log", HASH_BYTES)
        check_size(self.root, "root", HASH_BYTES)

    @property
    def root_slot(self) -> bytes:
        """The slot of `roots[log][size]`, 32 bytes."""
        return mapping_slot(self.slot, self.log, self.size.to_bytes(HASH_BYTES, "big"))


@dataclass(frozen=True, slots=True)
class AnchorProof:
    """The header of a block, and the way from it to one root. Claims, until checked.

    Args:
        chain_id: Which chain it says that it is of (EIP-155).
        contract: Address of the anchor contract, 20 bytes.
        log: The log's id in that contract, 32 bytes.
        size: Leaves of the log at the anchor.
        header: The block's header in RLP.
        account: Nodes from the state root to the contract's account.
        storage: Nodes from the storage root to the slot.
    """

    chain_id: int
    contract: bytes
    log: bytes
    size: int
    header: bytes
    account: tuple[bytes, ...]
    storage: tuple[bytes, ...]

    def __post_init__(self) -> None:
        check_integer(self.chain_id, "chain id of an anchor proof", 1)
        check_integer(self.size, "size of an anchor proof", 1)
        check_size(self.contract, "contract of an anchor proof", ADDRESS_BYTES)
        check_size(self.log, "log of an anchor proof", HASH_BYTES)
        nodes = (*self.account, *self.storage)
        if (
            len(self.header) > MAX_HEADER_BYTES
            or max(len(self.account), len(self.storage)) > MAX_NODES
            or any(len(node) > MAX_NODE_BYTES for node in nodes)
        ):
            raise FormatError(
                f"an anchor proof has at most {MAX_NODES} nodes of {MAX_NODE_BYTES} bytes on each "
                f"way, and a header of {MAX_HEADER_BYTES} bytes",
                hint="No honest one is larger; look where it comes from.",
            )


@dataclass(frozen=True, slots=True)
class AnchoredAt:
    """What an authenticated proof shows: the root was on the chain, in a final block.

    Args:
        time: Of that block, POSIX seconds: the root existed by then.
        number: Of that block.
        block_hash: 32 bytes.
    """

    time: int
    number: int
    block_hash: bytes


@dataclass(frozen=True, slots=True)
class UnauthenticatedAnchor:
    """What a proof says whose header nobody vouches for. It counts for nothing, by itself.

    Args:
        time: What the header claims, POSIX seconds.
        number: Of the block, as claimed.
        block_hash: 32 bytes: whoever finds it on the chain, final, has authenticated the proof.
    """

    time: int
    number: int
    block_hash: bytes


@overload
def check_anchor_proof(
    proof: AnchorProof, expected: ExpectedAnchor, *, authority: Authority
) -> AnchoredAt: ...
@overload
def check_anchor_proof(
    proof: AnchorProof, expected: ExpectedAnchor, *, authority: None
) -> UnauthenticatedAnchor: ...
def check_anchor_proof(
    proof: AnchorProof, expected: ExpectedAnchor, *, authority: Authority | None
) -> AnchoredAt | UnauthenticatedAnchor:
    """Check that a contract on a chain holds the root that is expected there.

    Args:
        proof: As parsed.
        expected: The verifier's own, from a policy and a checkpoint.
        authority: Whose word counts about headers; None where the policy names nobody.

    Returns:
        With an authority, which block shows it; without, what the proof claims.

    Raises:
        FormatError: A part is malformed.
        ProofError: The proof is of something else, leads elsewhere, or to another root.
        PolicyError: The authority does not vouch for the header.
        SignatureError: A seal is false.
    """
    for what, claimed, sought in (
        ("chain id", proof.chain_id, expected.chain_id),
        ("contract", proof.contract, expected.contract),
        ("log", proof.log, expected.log),
        ("size", proof.size, expected.size),
    ):
        if claimed != sought:
            raise ProofError(
                f"this is an anchor proof of another {what}: {_shown(claimed)}, not "
                f"{_shown(sought)}",
                hint="Take the proof that belongs to this checkpoint, chain and contract.",
            )
    header = parse_header(proof.header)
    account = check_account(header.state_root, expected.contract, proof.account)
    if account.code_hash != expected.code_hash:
        raise ProofError(
            f"the contract {_shown(expected.contract)} has the code {account.code_hash.hex()}, "
            f"not {expected.code_hash.hex()}",
            hint="It is another contract, or another release of it than the policy names.",
        )
    found = check_storage(account.storage_root, expected.root_slot, proof.storage)
    if found != expected.root:
        raise ProofError(
            f"the chain holds another root at size {expected.size}: {found.hex()}, "
            f"not {expected.root.hex()}",
            hint="The log shows you another history than it anchored; keep the checkpoint.",
        )
    if authority is None:
        return UnauthenticatedAnchor(header.time, header.number, block_hash(header))
    return AnchoredAt(header.time, header.number, authority.authenticate(header))


def anchor_proof_to_json(proof: AnchorProof) -> JsonValue:
    """Give the JSON of a proof, as docs/reference/anchor-proof.md has it."""
    return {
        "counterfoil": _VERSION,
        "chain_id": proof.chain_id,
        "contract": proof.contract.hex(),
        "log": proof.log.hex(),
        "size": proof.size,
        "header": format_base64(proof.header),
        "account": [format_base64(node) for node in proof.account],
        "storage": [format_base64(node) for node in proof.storage],
    }


def anchor_proof_from_json(value: JsonValue) -> AnchorProof:
    """Read the JSON of a proof; `anchor_proof_to_json` of the result is `value`.

    Raises:
        FormatError: It has other members, or one is not in its form.
    """
    if not isinstance(value, dict):
        raise FormatError(
            "an anchor proof is no JSON object", hint="Take the proof as it was written."
        )

    def read(table: Table) -> AnchorProof:
        table.only(*_MEMBERS)
        if table.text("counterfoil") != _VERSION:
            raise table.error(f"this is not {_VERSION}", hint="Use a newer counterfoil.")
        return AnchorProof(
            chain_id=table.integer("chain_id"),
            contract=parse_hex(table.text("contract"), "contract"),
            log=parse_hex(table.text("log"), "log"),
            size=table.integer("size"),
            header=parse_base64(table.text("header"), "header"),
            account=_parse_nodes(table, "account"),
            storage=_parse_nodes(table, "storage"),
        )

    return Table(value, "anchor proof").read(read)


def format_anchor_proof(proof: AnchorProof) -> bytes:
    """Write a proof as canonical JSON; files of it are named `*.anchor.json`."""
    return format_json(anchor_proof_to_json(proof))


def parse_anchor_proof(data: bytes) -> AnchorProof:
    """Read a proof; `format_anchor_proof` of the result is `data`. Nothing is checked yet.

    Raises:
        FormatError: `data` is no anchor proof in canonical form.
    """
    return anchor_proof_from_json(
        parse_canonical(
            data, what="anchor proof", max_bytes=MAX_ANCHOR_PROOF_BYTES, max_depth=_MAX_DEPTH
        )
    )


def _parse_nodes(table: Table, key: str) -> tuple[bytes, ...]:
    if key not in table.values:  # an absent list would be read as an empty one
        raise table.error(f"{key} is missing", hint="Take the proof as it was written.")
    return tuple(parse_base64(text, f"node of {key}") for text in table.texts(key))


def _shown(value: int | bytes) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
