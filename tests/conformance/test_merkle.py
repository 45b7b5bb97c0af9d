"""RFC 9162 mathematics against the vectors of transparency-dev/merkle."""

from __future__ import annotations

import base64
import json

from counterfoil.core.merkle import (
    Hash,
    check_consistency,
    check_inclusion,
    leaf_hash,
    prove_consistency,
    prove_inclusion,
    root_of,
)
from counterfoil.errors import FormatError, VerificationError

INCLUSION_CASES = 98
CONSISTENCY_CASES = 98

# Here its authors accept two equal "roots" of 12 bytes. A hash of another width than 32 bytes does
# not exist for us, whatever is claimed about it.
STRICTER = {"additional/sizes-are-equal-one-and-proof-is-empty.json"}


def wrong_answers(folder, check):
    """Run every case below `folder`; return how many there were and which came out wrong."""
    files = sorted(folder.rglob("*.json"))
    wrong = []
    for file in files:
        case = json.loads(file.read_text())
        name = str(file.relative_to(folder))
        refuse = case["wantErr"] or name in STRICTER
        try:
            check(case)
        except (VerificationError, FormatError) as error:
            if not refuse:
                wrong.append(f"{name}: refused: {error}")
        else:
            if refuse:
                wrong.append(f"{name}: accepted")
    return len(files), wrong


def decoded(text):
    return Hash(base64.b64decode(text, validate=True))


def test_every_published_inclusion_proof_is_judged_as_its_authors_say(vectors):
    """True proofs are accepted; false ones raise a format or verification error."""

    def check(case):
        check_inclusion(
            decoded(case["leafHash"]),
            case["leafIdx"],
            case["treeSize"],
            [decoded(text) for text in case["proof"] or ()],
            decoded(case["root"]),
        )

    assert wrong_answers(vectors / "merkle" / "inclusion", check) == (INCLUSION_CASES, [])


def test_every_published_consistency_proof_is_judged_as_its_authors_say(vectors):
    """True proofs are accepted; false ones, any from size 0, and odd widths raise."""

    def check(case):
        check_consistency(
            case["size1"],
            decoded(case["root1"]),
            case["size2"],
            decoded(case["root2"]),
            [decoded(text) for text in case["proof"] or ()],
        )

    assert wrong_answers(vectors / "merkle" / "consistency", check) == (CONSISTENCY_CASES, [])


def test_the_classic_tree_of_eight_leaves_has_its_published_roots_and_nodes(vectors):
    """Leaf hashes, every complete subtree and the root at every size are those of the file."""
    tree = json.loads((vectors / "tlog" / "rfc6962_8leaf_tree.json").read_text())
    leaves = [leaf_hash(bytes.fromhex(text)) for text in tree["leaves_hex"]]
    roots = [root_of(leaves[:size]).hex() for size in range(9)]
    assert roots == tree["root_by_size_hex"]
    nodes = [
        root_of(leaves[index << level : (index + 1) << level]).hex()
        for level in range(4)
        for index in range(8 >> level)
    ]
    assert nodes == tree["complete_nodes_hex_level_order"]


def test_proofs_that_we_make_lead_to_roots_that_others_published(vectors):
    """Each entry and each earlier size of the eight-leaf tree is proven at each later size."""
    tree = json.loads((vectors / "tlog" / "rfc6962_8leaf_tree.json").read_text())
    leaves = [leaf_hash(bytes.fromhex(text)) for text in tree["leaves_hex"]]
    roots = [Hash(bytes.fromhex(text)) for text in tree["root_by_size_hex"]]

    def node(level, index):
        return root_of(leaves[index << level : (index + 1) << level])

    for size in range(1, 9):
        for index in range(size):
            path = prove_inclusion(index, size, node)
            check_inclusion(leaves[index], index, size, path, roots[size])
        for old in range(1, size + 1):
            proof = prove_consistency(old, size, node)
            check_consistency(old, roots[old], size, roots[size], proof)
