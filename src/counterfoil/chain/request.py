"""What the members of a committee are asked to sign, and what they answer: two small files.

A request holds the log's signed checkpoint, where it is to be anchored, and consistency proofs
from the sizes that a member may remember. An answer holds the member's two signatures: the
cosignature of a witness, and one that the contract checks. Both are canonical JSON, so that they
can be handed around as files and sent by whatever carries them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from counterfoil.chain.typed import SIGNATURE_BYTES, Signature
from counterfoil.core.anchoring import check_address
from counterfoil.core.canonical import format_json, parse_canonical
from counterfoil.core.checkpoint import Checkpoint, parse_checkpoint
from counterfoil.core.merkle import HASH_BYTES, MAX_PROOF_HASHES, Hash
from counterfoil.core.note import parse_note
from counterfoil.core.text import format_base64, parse_base64, parse_hex
from counterfoil.core.toml import Table
from counterfoil.errors import FormatError

REQUEST_FORMAT = "anchor-request/v1"
ANSWER_FORMAT = "anchor-signature/v1"

MAX_REQUEST_BYTES = 256 << 10
"""Largest request or answer: `MAX_PROOFS` proofs of 63 hashes and a checkpoint, with room."""

MAX_PROOFS = 32
"""Sizes from which a request proves: the one anchored last, and requests since that came to
nothing."""

MAX_COSIGNATURE_CHARACTERS = 8192
"""Longest line of a witness: an ML-DSA-44 signature in base64, and the longest name."""


@dataclass(frozen=True, slots=True)
class AnchorRequest:
    """A checkpoint that wants to be anchored.

    Args:
        chain_id: EIP-155.
        contract: Address of the `CheckpointAnchor`, lower case.
        log: The log's id there, 32 bytes.
        epoch: Of the committee that is asked.
        note: The checkpoint, signed by the log.
        proofs: By older size, the consistency proof from there.
    """

    chain_id: int
    contract: str
    log: bytes
    epoch: int
    note: bytes
    proofs: Mapping[int, tuple[Hash, ...]]

    @property
    def checkpoint(self) -> Checkpoint:
        """What the note says; whether the log signed it is not looked at here."""
        return parse_checkpoint(parse_note(self.note).text)


@dataclass(frozen=True, slots=True)
class AnchorSignature:
    """A member's answer.

    Args:
        address: Of the key that signed, lower case.
        size: What was signed.
        root: 32 bytes.
        signature: What the contract checks.
        cosignature: The line of the member's witness key; empty if it has none for the log.
    """

    address: str
    size: int
    root: Hash
    signature: Signature
    cosignature: str


def format_request(request: AnchorRequest) -> bytes:
    """Write a request; `parse_request` is the inverse."""
    return format_json(
        {
            "counterfoil": REQUEST_FORMAT,
            "chain_id": request.chain_id,
            "contract": request.contract,
            "log": request.log.hex(),
            "epoch": request.epoch,
            "checkpoint": request.note.decode(),
            "proofs": [
                {"size": size, "hashes": [format_base64(value) for value in hashes]}
                for size, hashes in sorted(request.proofs.items())
            ],
        }
    )


def parse_request(data: bytes) -> AnchorRequest:
    """Read a request; nothing in it is believed yet.

    Raises:
        FormatError: it is not what `format_request` writes.
    """
    request = _table(data, "the anchor request").read(_read_request)
    if format_request(request) != data:
        raise FormatError(
            "the anchor request lists a size twice, or sizes out of order",
            hint="Ask for the file that `counterfoil chain anchor` wrote.",
        )
    return request


def format_answer(answer: AnchorSignature) -> bytes:
    """Write an answer; `parse_answer` is the inverse."""
    return format_json(
        {
            "counterfoil": ANSWER_FORMAT,
            "address": answer.address,
            "size": answer.size,
            "root": format_base64(answer.root),
            "signature": bytes(answer.signature).hex(),
            "cosignature": answer.cosignature,
        }
    )


def parse_answer(data: bytes) -> AnchorSignature:
    """Read an answer; its signatures are not checked here.

    Raises:
        FormatError: it is not what `format_answer` writes.
    """
    return _table(data, "the anchor signature").read(_read_answer)


def _table(data: bytes, what: str) -> Table:
    value = parse_canonical(data, what=what, max_bytes=MAX_REQUEST_BYTES)
    if not isinstance(value, dict):
        raise FormatError(f"{what} is an object", hint="This is other JSON; ask for the file.")
    return Table(value, what)


def _read_request(table: Table) -> AnchorRequest:
    table.only("counterfoil", "chain_id", "contract", "log", "epoch", "checkpoint", "proofs")
    _require_format(table, REQUEST_FORMAT)
    check_address(table.text("contract"), "contract")
    proofs = table.each("proofs", _read_proof)
    if len(proofs) > MAX_PROOFS:
        raise table.error(f"{len(proofs)} proofs, at most {MAX_PROOFS}", key="proofs")
    request = AnchorRequest(
        table.integer("chain_id"),
        table.text("contract"),
        parse_hex(table.text("log"), "log id", size=32),
        table.integer("epoch"),
        table.text("checkpoint").encode(),
        dict(proofs),
    )
    _ = request.checkpoint  # raises where it is none
    if request.epoch < 1:
        raise table.error("committees begin with epoch 1", key="epoch")
    return request


def _read_answer(table: Table) -> AnchorSignature:
    table.only("counterfoil", "address", "size", "root", "signature", "cosignature")
    _require_format(table, ANSWER_FORMAT)
    check_address(table.text("address"), "address")
    cosignature = table.text("cosignature")
    if len(cosignature) > MAX_COSIGNATURE_CHARACTERS:
        raise table.error("the cosignature is too long", key="cosignature")
    return AnchorSignature(
        table.text("address"),
        table.integer("size"),
        _hash(table.text("root")),
        Signature.parse(parse_hex(table.text("signature"), "signature", size=SIGNATURE_BYTES)),
        cosignature,
    )


def _read_proof(table: Table) -> tuple[int, tuple[Hash, ...]]:
    table.only("size", "hashes")
    hashes = table.texts("hashes")
    if len(hashes) > MAX_PROOF_HASHES:
        raise table.error(f"more than {MAX_PROOF_HASHES} hashes", key="hashes")
    return table.integer("size"), tuple(_hash(text) for text in hashes)


def _hash(text: str) -> Hash:
    return Hash(parse_base64(text, "hash", size=HASH_BYTES))


def _require_format(table: Table, form: str) -> None:
    if table.text("counterfoil") != form:
        raise table.error(
            f"this is not of the form {form}",
            key="counterfoil",
            hint="Ask for the file again; it may be of a newer version.",
        )
