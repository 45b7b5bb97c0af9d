"""The proofs on the EVM, against the core and against vectors that others wrote."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import boa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrevm import EVM
from trees import Tree

from counterfoil.core.merkle import Hash, check_consistency, check_inclusion, leaf_hash
from counterfoil.errors import FormatError, ProofError

PROBE = Path(__file__).with_name("rfc9162_probe.vy")
SENDER = "0x" + "11" * 20
INCLUSION_CASES = CONSISTENCY_CASES = 98
# Pairs of sizes up to here are tried one by one.
SMALL = 64
# And up to here, whatever is claimed of each.
TINY = 12

# All leaves differ, so that no two hashes of it are alike by chance.
SMALL_TREE = Tree({index: b"entry %d" % index for index in range(SMALL)})


def word(value: int | bytes) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value


class Probe:
    """rfc9162.vy on revm: a second EVM, and fast enough to try everything."""

    def __init__(self) -> None:
        compiled = boa.load_partial(str(PROBE)).compiler_data
        self._evm = EVM()
        self._evm.set_balance(SENDER, 10**24)
        self._address = self._evm.deploy(SENDER, compiled.bytecode)
        methods = boa.load_partial(str(PROBE)).compiler_data.global_ctx.exposed_functions
        self._selectors = {
            function.name: selector.to_bytes(4, "big")
            for function in methods
            for selector in function.method_ids.values()
        }

    def includes(self, leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes):
        head = (leaf, index, size, 5 * 32, root)
        return self._accepts("check_inclusion", head, path)

    def extends(
        self, old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
    ):
        head = (old_size, old_root, size, root, 5 * 32)
        return self._accepts("check_consistency", head, proof)

    def _accepts(self, name: str, head: Sequence[int | bytes], hashes: Sequence[bytes]) -> bool:
        data = self._selectors[name] + b"".join(map(word, (*head, len(hashes), *hashes)))
        try:
            self._evm.message_call(SENDER, self._address, calldata=data, is_static=True)
        except RuntimeError as error:
            # Refused, and by these words; running out of gas or into a bug is not refusing.
            reason = str(error)
            assert reason.startswith("Revert")
            assert b"rfc9162: ".hex() in reason
            return False
        return True


@pytest.fixture(scope="module")
def probe() -> Probe:
    return Probe()


def core_includes(leaf, index, size, path, root) -> bool:
    try:
        check_inclusion(leaf, index, size, path, root)
    except ProofError:
        return False
    return True


def core_extends(old_size, old_root, size, root, proof) -> bool:
    try:
        check_consistency(old_size, old_root, size, root, proof)
    except ProofError:
        return False
    return True


def flipped(value: bytes, bit: int) -> Hash:
    return Hash((int.from_bytes(value, "big") ^ 1 << bit).to_bytes(32, "big"))


def tampered(proof: Sequence[Hash], bit: int) -> Iterator[list[Hash]]:
    """Every proof that is one step away: flipped, dropped, duplicated, added to, swapped."""
    original = list(proof)
    for at, value in enumerate(original):
        yield [*original[:at], flipped(value, bit), *original[at + 1 :]]
        yield original[:at] + original[at + 1 :]
        yield original[: at + 1] + original[at:]
        for other in range(at):
            swapped = original.copy()
            swapped[at], swapped[other] = swapped[other], swapped[at]
            yield swapped
    for at in range(len(original) + 1):
        yield [*original[:at], leaf_hash(b"another"), *original[at:]]


@pytest.mark.parametrize("size", range(1, SMALL + 1))
def test_every_inclusion_proof_of_a_small_tree_and_every_tampering(probe, size):
    """The true path of every leaf is accepted; no path one step away is, nor another leaf's."""
    tree, root = SMALL_TREE, SMALL_TREE.root(size)
    for index in range(size):
        leaf, path = tree.leaf(index), tree.path(index, size)
        assert probe.includes(leaf, index, size, path, root)
        for changed in tampered(path, bit=(index + size) % 256):
            assert not probe.includes(leaf, index, size, changed, root)
            assert not core_includes(leaf, index, size, changed, root)
        assert not probe.includes(flipped(leaf, size), index, size, path, root)
        assert not probe.includes(leaf, index, size, path, flipped(root, index))
        # A path may fit another size of the same shape: the root is not the only thing trusted.
        for other in ((index + 1, size), (index, size + 1), (index, size - 1), (index - 1, size)):
            if min(other) >= 0:
                case = (leaf, *other, path, root)
                assert probe.includes(*case) == core_includes(*case)


@pytest.mark.parametrize("size", range(1, SMALL + 1))
def test_every_consistency_proof_of_small_trees_and_every_tampering(probe, size):
    """Every true pair of sizes is accepted; no proof one step away is."""
    tree, root = SMALL_TREE, SMALL_TREE.root(size)
    for old_size in range(1, size + 1):
        old_root, proof = tree.root(old_size), tree.proof(old_size, size)
        assert probe.extends(old_size, old_root, size, root, proof)
        for changed in tampered(proof, bit=(old_size + size) % 256):
            assert not probe.extends(old_size, old_root, size, root, changed)
            assert not core_extends(old_size, old_root, size, root, changed)
        assert not probe.extends(old_size, flipped(old_root, size), size, root, proof)
        assert not probe.extends(old_size, old_root, size, flipped(root, size), proof)
        sizes = ((old_size + 1, size), (old_size - 1, size), (old_size, size + 1))
        for old, new in (*sizes, (old_size, size - 1), (size, old_size), (0, size)):
            case = (old, old_root, new, root, proof)
            assert probe.extends(*case) == core_extends(*case)


@pytest.mark.parametrize("size", range(1, TINY + 1))
def test_every_claim_about_tiny_trees(probe, size):
    """Whatever index and sizes a true proof is claimed for, contract and core say the same."""
    tree, root = SMALL_TREE, SMALL_TREE.root(size)
    claims = list(product(range(TINY + 2), repeat=2))
    for index in range(size):
        leaf, path, old_root = tree.leaf(index), tree.path(index, size), tree.root(index + 1)
        proof = tree.proof(index + 1, size)
        for claim in claims:
            assert probe.includes(leaf, *claim, path, root) == core_includes(
                leaf, *claim, path, root
            )
            case = (claim[0], old_root, claim[1], root, proof)
            assert probe.extends(*case) == core_extends(*case)


HASHES = st.binary(min_size=32, max_size=32).map(Hash)
SIZES = st.one_of(
    st.integers(0, 70),
    st.integers(0, 2**64 - 1),
    st.builds(
        lambda bits, off: min(max(2**bits + off, 0), 2**64 - 1),
        st.integers(0, 64),
        st.integers(-2, 2),
    ),
)


@given(st.data(), SIZES, SIZES)
def test_contract_and_core_accept_the_same_inclusion_proofs(probe, data, index, size):
    """Whatever tree, index and size are claimed, both say the same; with true ones both accept."""
    tree = Tree({index: b"this one"})
    if index < size < 2**63:
        path, root = tree.path(index, size), tree.root(size)
        assert probe.includes(tree.leaf(index), index, size, path, root)
        index = data.draw(st.sampled_from([index, index ^ 1, index // 2, index + 1]))
        size = min(data.draw(st.sampled_from([size, size ^ 1, size + 1, size * 2])), 2**64 - 1)
        at = data.draw(st.integers(0, len(path)))
        path = data.draw(st.sampled_from([path, path[:at], path[at:], [*path, root]]))[:64]
    else:
        path, root = data.draw(st.lists(HASHES, max_size=64)), data.draw(HASHES)
    leaf = data.draw(st.sampled_from([tree.leaf(0), leaf_hash(b"this one")]))
    case = (leaf, min(index, 2**64 - 1), size, path, root)
    assert probe.includes(*case) == core_includes(*case)


@given(st.data(), SIZES, SIZES)
def test_contract_and_core_accept_the_same_consistency_proofs(probe, data, old_size, size):
    """Whatever two trees are claimed, both say the same; with true ones both accept."""
    tree = Tree({max(old_size - 1, 0): b"the last", size // 2: b"the middle"})
    if 0 < old_size <= size < 2**63:
        proof, old_root, root = tree.proof(old_size, size), tree.root(old_size), tree.root(size)
        assert probe.extends(old_size, old_root, size, root, proof)
        old_size = data.draw(st.sampled_from([old_size, old_size ^ 1, old_size + 1, size]))
        size = data.draw(st.sampled_from([size, size ^ 1, size + 1, old_size]))
        at = data.draw(st.integers(0, len(proof)))
        proof = data.draw(st.sampled_from([proof, proof[:at], proof[at:], [*proof, root]]))[:64]
    else:
        proof = data.draw(st.lists(HASHES, max_size=64))
        old_root = data.draw(HASHES)
        root = data.draw(st.sampled_from([old_root, *proof]))
    case = (old_size, old_root, size, root, proof)
    assert probe.extends(*case) == core_extends(*case)


def test_the_longest_proofs_there_are(probe):
    """At the largest size, paths of 63 hashes and consistency proofs of 64 are accepted."""
    size = 2**63 - 1
    tree = Tree()
    path, proof = tree.path(3, size), tree.proof(2**61 + 1, size)
    assert (len(path), len(proof)) == (63, 64)
    assert probe.includes(tree.leaf(3), 3, size, path, tree.root(size))
    assert probe.extends(2**61 + 1, tree.root(2**61 + 1), size, tree.root(size), proof)


def test_no_tree_is_larger_than_a_checkpoint_can_say(probe):
    """Proofs that would be true of 2**63 leaves are refused, as by the core."""
    size, tree = 2**63, Tree()
    root = tree.root(size)
    inclusion = (tree.leaf(3), 3, size, tree.path(3, size), root)
    consistency = (8, tree.root(8), size, root, tree.proof(8, size))
    assert not probe.includes(*inclusion)
    assert not core_includes(*inclusion)
    assert not probe.extends(*consistency)
    assert not core_extends(*consistency)


def wrong_answers(folder: Path, check) -> tuple[int, list[str]]:
    """Run every case below `folder`; return how many there were and which came out wrong."""
    files = sorted(folder.rglob("*.json"))
    wrong = []
    for file in files:
        case = json.loads(file.read_text())
        try:
            accepted = check(case)
        except (FormatError, OverflowError, ValueError):
            # Hashes of another width and sizes of more than 64 bits have no ABI encoding.
            accepted = False
        stricter = file.name == "sizes-are-equal-one-and-proof-is-empty.json"
        if accepted == (case["wantErr"] or stricter):
            wrong.append(str(file.relative_to(folder)))
    return len(files), wrong


def decoded(text: str | None) -> bytes:
    value = base64.b64decode(text or "", validate=True)
    if len(value) != 32:
        raise FormatError(f"{len(value)} bytes")
    return value


@pytest.fixture
def boa_probe():
    return boa.load(str(PROBE))


def holds(check, *case) -> bool:
    with boa.env.anchor():
        try:
            check(*case)
        except boa.BoaError as error:
            if "rfc9162: " not in str(error):
                raise
            return False
        return True


def test_every_published_inclusion_proof_is_judged_as_its_authors_say(vectors, boa_probe, probe):
    """The vectors of transparency-dev/merkle come out on two EVMs as they do in the core."""

    def check(case) -> bool:
        proof = [decoded(text) for text in case["proof"] or ()]
        index, size = case["leafIdx"], case["treeSize"]
        call = (decoded(case["leafHash"]), index, size, proof, decoded(case["root"]))
        if index >= 2**64 or size >= 2**64:
            raise OverflowError
        accepted = holds(boa_probe.check_inclusion, *call)
        assert accepted == probe.includes(*call)
        return accepted

    assert wrong_answers(vectors / "merkle" / "inclusion", check) == (INCLUSION_CASES, [])


def test_every_published_consistency_proof_is_judged_as_its_authors_say(vectors, boa_probe, probe):
    """The vectors of transparency-dev/merkle come out on two EVMs as they do in the core."""

    def check(case) -> bool:
        proof = [decoded(text) for text in case["proof"] or ()]
        sizes = case["size1"], case["size2"]
        call = (sizes[0], decoded(case["root1"]), sizes[1], decoded(case["root2"]), proof)
        if max(sizes) >= 2**64:
            raise OverflowError
        accepted = holds(boa_probe.check_consistency, *call)
        assert accepted == probe.extends(*call)
        return accepted

    assert wrong_answers(vectors / "merkle" / "consistency", check) == (CONSISTENCY_CASES, [])
