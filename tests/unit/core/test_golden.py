from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from counterfoil.core.checkpoint import (
    Checkpoint,
    format_checkpoint,
    open_checkpoint,
    sign_checkpoint,
)
from counterfoil.core.cosignature import check_cosignature, cosign, find_cosignatures
from counterfoil.core.keys import Algorithm, PrivateKey, format_vkey, parse_vkey
from counterfoil.core.merkle import Hash, leaf_hash, prove_consistency, prove_inclusion, root_of
from counterfoil.core.note import (
    Note,
    format_note,
    format_signature_line,
    open_note,
    parse_note,
    parse_signature_line,
    sign_note,
)
from counterfoil.core.receipt import Receipt, check_receipt, format_receipt, parse_receipt
from counterfoil.core.tile import (
    bundle_path,
    format_bundle,
    parse_bundle,
    parse_tile_path,
    tile_path,
    tile_width,
)

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = json.loads((ROOT / "tests/golden/formats.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs/reference/formats.md").read_text(encoding="utf-8")

TREE, CHECKPOINT = GOLDEN["tree"], GOLDEN["checkpoint"]
TILES, RECEIPT = GOLDEN["tiles"], GOLDEN["receipt"]
ENTRIES = [bytes.fromhex(entry) for entry in TREE["entries_hex"]]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
SIZE = len(LEAVES)


def signer(case):
    algorithm, seed = Algorithm(case["algorithm"]), bytes.fromhex(case["private_hex"])
    if algorithm is Algorithm.COSIGNATURE_ML_DSA_44:
        return PrivateKey.from_private(
            case["name"], algorithm, MLDSA44PrivateKey.from_seed_bytes(seed)
        )
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return PrivateKey.from_private(case["name"], algorithm, private)


SIGNERS = {case["name"]: signer(case) for case in GOLDEN["keys"]}
LOG = SIGNERS["example.com/log"]
WITNESS = SIGNERS["witness.example/ed25519"]


def node(level, index):
    return root_of(LEAVES[index << level : (index + 1) << level])


@pytest.mark.parametrize("case", GOLDEN["keys"], ids=lambda case: case["name"])
def test_golden_keys(case):
    """From a fixed private key comes the verifier key of the page."""
    key = SIGNERS[case["name"]].key
    assert key.key_id.hex() == case["key_id_hex"]
    assert format_vkey(key) == case["vkey"]
    assert parse_vkey(case["vkey"]) == key


def test_golden_note():
    """Signing the text gives the note of the page, and that note opens."""
    text, signed = GOLDEN["note"]["text"], GOLDEN["note"]["signed"].encode()
    assert format_note(sign_note(text, LOG)) == signed
    assert open_note(signed, LOG.key).note.text == text


def test_golden_tree():
    """Leaf hashes, roots and proofs of five entries are those of the page."""
    assert [leaf.hex() for leaf in LEAVES] == TREE["leaf_hashes_hex"]
    assert [root_of(LEAVES[:size]).hex() for size in range(SIZE + 1)] == TREE["roots_hex"]
    inclusion, consistency = prove_inclusion(2, SIZE, node), prove_consistency(3, SIZE, node)
    assert [one.hex() for one in inclusion] == TREE["inclusion_of_2_in_5_hex"]
    assert [one.hex() for one in consistency] == TREE["consistency_of_3_in_5_hex"]


def test_golden_checkpoint():
    """Origin, size and root give the text, and the key gives the signed note."""
    root = Hash(bytes.fromhex(CHECKPOINT["root_hex"]))
    checkpoint = Checkpoint(CHECKPOINT["origin"], CHECKPOINT["size"], root)
    signed = CHECKPOINT["signed"].encode()
    assert root == root_of(LEAVES)
    assert format_checkpoint(checkpoint) == CHECKPOINT["text"]
    assert sign_checkpoint(checkpoint, LOG) == signed
    assert open_checkpoint(signed, LOG.key) == checkpoint


@pytest.mark.parametrize("case", GOLDEN["cosignatures"], ids=lambda case: case["key"])
def test_golden_cosignatures(case):
    """The line holds, tells its time, and is a signature over exactly the message of the page."""
    witness, line = SIGNERS[case["key"]], parse_signature_line(case["line"])
    assert check_cosignature(CHECKPOINT["text"], line, witness.key) == case["time"]
    witness.key.verify(bytes.fromhex(case["message_hex"]), line.signature[8:])
    again = cosign(CHECKPOINT["text"], case["time"], witness)
    witness.key.verify(bytes.fromhex(case["message_hex"]), again.signature[8:])
    # ML-DSA-44 draws randomness for each signature; Ed25519 does not.
    if witness.key.algorithm is Algorithm.COSIGNATURE_ED25519:
        assert format_signature_line(again) == case["line"]


def test_golden_tiles():
    """Paths, widths and the bundle of the page come out, and read back."""
    for case in TILES["paths"]:
        level, index, width = case["level"], case["index"], case["width"]
        path = bundle_path(index, width) if level is None else tile_path(level, index, width)
        tile = parse_tile_path(case["path"])
        assert path == case["path"]
        assert (tile.level, tile.index, tile.width) == (level, index, width)
    for case in TILES["widths"]:
        assert tile_width(case["size"], case["level"], case["index"]) == case["width"]
    bundle = bytes.fromhex(TILES["bundle_hex"])
    assert format_bundle(ENTRIES) == bundle
    assert parse_bundle(bundle, SIZE) == ENTRIES


def test_golden_receipt():
    """Index, path, extra data and cosigned checkpoint give the receipt, which holds."""
    index, extra = RECEIPT["index"], bytes.fromhex(RECEIPT["extra_hex"])
    written = RECEIPT["written"].encode()
    signed = parse_note(CHECKPOINT["signed"].encode())
    cosignature = next(case for case in GOLDEN["cosignatures"] if case["key"] == WITNESS.key.name)
    cosigned = Note(signed.text, (*signed.signatures, parse_signature_line(cosignature["line"])))
    receipt = Receipt(index, prove_inclusion(index, SIZE, node), format_note(cosigned), extra)
    assert format_receipt(receipt) == written
    assert parse_receipt(written) == receipt
    assert check_receipt(ENTRIES[index], receipt, LOG.key).size == SIZE
    assert find_cosignatures(parse_note(receipt.checkpoint), [WITNESS.key]) == (
        (WITNESS.key, cosignature["time"]),
    )


SHOWN = [
    *(case["vkey"] for case in GOLDEN["keys"] if case["algorithm"] != 6),
    GOLDEN["note"]["signed"],
    *TREE["roots_hex"],
    *TREE["inclusion_of_2_in_5_hex"],
    *TREE["consistency_of_3_in_5_hex"],
    CHECKPOINT["signed"],
    GOLDEN["cosignatures"][0]["line"],
    GOLDEN["cosignatures"][1]["message_hex"],
    *(f"`{case['path']}`" for case in TILES["paths"]),
    TILES["bundle_hex"],
    RECEIPT["written"],
]


@pytest.mark.parametrize("value", SHOWN)
def test_the_page_shows_the_golden_values(value):
    """Whoever implements from the page sees what the tests check, to the byte."""
    assert value in PAGE
