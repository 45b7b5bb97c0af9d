from __future__ import annotations

import contextlib

import pytest
import rlp
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chain.storageproof import (
    MAX_NODE_BYTES,
    MAX_NODES,
    check_account,
    check_storage,
    mapping_slot,
)
from counterfoil.errors import FormatError, ProofError

BRANCH = [b""] * 17


def test_a_proof_shows_what_is_stored(consortium, state):
    """From the state root to a word in a contract's storage, each step is shown."""
    account = check_account(state.root, consortium.contract, state.account)
    assert (account.storage_root, account.code_hash) == (state.storage_root, consortium.code_hash)
    stored = check_storage(account.storage_root, consortium.place, state.storage)
    assert stored == consortium.root
    assert min(len(state.account), len(state.storage)) > 1


@pytest.mark.parametrize("others", [0, 1, 2, 15, 60])
def test_tries_of_any_shape(others, consortium):
    """The path may be one leaf, or lead through branches and extensions."""
    state = consortium.state(others=others)
    account = check_account(state.root, consortium.contract, state.account)
    assert check_storage(account.storage_root, consortium.place, state.storage) == consortium.root


@pytest.mark.parametrize("value", [1, 0x7F, 0x80, 2**255, 2**256 - 1])
def test_every_word_can_be_shown(value, consortium):
    """A word comes back as it was stored, with its leading zeros."""
    word = value.to_bytes(32, "big")
    state = consortium.state(value=word)
    assert check_storage(state.storage_root, consortium.place, state.storage) == word


def test_a_small_value_may_lie_inside_its_parent(consortium):
    """A leaf of less than 32 bytes stands in the branch above it, not in a node of its own."""
    # Slots whose hashes begin with the same eight half-bytes, found by trying.
    place, neighbour = (40364).to_bytes(32, "big"), (105566).to_bytes(32, "big")
    one = (1).to_bytes(32, "big")
    state = consortium.state(place=place, value=one, neighbour=neighbour)
    assert len(rlp.decode(state.storage[-1])) == 17
    assert check_storage(state.storage_root, place, state.storage) == one


def test_every_flipped_bit_is_noticed(consortium, state):
    """No byte of a node can be changed, in either half of the proof."""
    for nodes, check in (
        (state.account, lambda n: check_account(state.root, consortium.contract, n)),
        (state.storage, lambda n: check_storage(state.storage_root, consortium.place, n)),
    ):
        for at, node in enumerate(nodes):
            for byte in range(len(node)):
                changed = bytearray(node)
                changed[byte] ^= 1 << byte % 8
                with pytest.raises((ProofError, FormatError)):
                    check((*nodes[:at], bytes(changed), *nodes[at + 1 :]))


def test_a_proof_has_all_its_nodes_in_order_and_no_others(consortium, state):
    """Nodes that are missing, doubled, swapped, or not on the way are refused."""
    nodes = state.storage
    assert len(nodes) > 1
    for other in (
        (),
        nodes[:-1],
        nodes[1:],
        (*nodes, nodes[-1]),
        (*nodes, b"\x80"),
        (nodes[0], *nodes),
        tuple(reversed(nodes)),
        (*nodes, *state.account),
    ):
        with pytest.raises(ProofError):
            check_storage(state.storage_root, consortium.place, other)


def test_a_proof_is_about_one_key(consortium, state):
    """The proof of one account or slot is not that of another one."""
    with pytest.raises(ProofError):
        check_account(state.root, b"\xc1" * 20, state.account)
    with pytest.raises(ProofError):
        check_storage(state.storage_root, bytes(32), state.storage)
    with pytest.raises(ProofError):
        check_storage(state.root, consortium.place, state.storage)


def test_absence_is_no_value(consortium):
    """Where nothing is stored a proof of that is no proof of zero."""
    trie_root = keccak(rlp.encode(b""))
    with pytest.raises(ProofError):
        check_storage(trie_root, consortium.place, ())
    with pytest.raises(ProofError):
        check_storage(trie_root, consortium.place, (b"\x80",))


def test_proofs_are_bounded(consortium, state):
    """Neither many nodes nor long ones nor deep ones are worked on."""
    for nodes in ((b"\x80",) * (MAX_NODES + 1), (bytes(MAX_NODE_BYTES + 1),)):
        with pytest.raises(FormatError, match="at most"):
            check_storage(state.storage_root, consortium.place, nodes)
    with pytest.raises(FormatError):
        check_storage(state.storage_root, consortium.place, (b"\xc1" * MAX_NODE_BYTES,))


@pytest.mark.parametrize(
    "node",
    [
        [],
        [b""],
        [b"", b""],
        [b"\x20", b""],
        [b"\x20", [b""]],
        [[], b"\x81"],
        [[[]], b"\x81"],
        [b"\x3a", b"x"],
        [b"\x00", b"\x20"],
        [b"\x00", []],
        [b"\x00", [b"\x00", [b"\x00", b"\xc0"]]],
        [[]] * 17,
        [b"short"] * 17,
        [*BRANCH[:16], [b"x"]],
        [bytes(33)] * 17,
        [b"\x90", bytes(32)],
    ],
    ids=str,
)
def test_a_root_that_somebody_made_up_raises_our_errors(node, consortium):
    """Nodes that no trie has, under a root that fits them, end in an error of ours."""
    data = rlp.encode(node)
    with pytest.raises((ProofError, FormatError)):
        check_storage(keccak(data), consortium.place, (data,))


ITEMS = st.recursive(
    st.binary(max_size=34), lambda inner: st.lists(inner, max_size=17), max_leaves=20
)


@given(st.lists(ITEMS, max_size=17), st.binary(max_size=40))
def test_arbitrary_nodes_raise_our_errors(node, second):
    """Whatever stands in a node, and under a root that fits it, no other error comes out."""
    data = rlp.encode(node)
    with contextlib.suppress(ProofError, FormatError):
        check_storage(keccak(data), bytes(32), (data, second))


def test_slots_are_where_vyper_puts_them():
    """The slot of a nested mapping is hashed as slot, then key; each key is a word."""
    one, two = b"\x01" * 32, (7).to_bytes(32, "big")
    inner = keccak((5).to_bytes(32, "big") + one)
    assert mapping_slot(5, one, two) == keccak(inner + two)
    assert mapping_slot(5) == (5).to_bytes(32, "big")
    with pytest.raises(FormatError):
        mapping_slot(5, b"short")


def test_a_leaf_holds_a_string_and_ends_at_the_key(consortium):
    """A list where the value should be, or a way that goes on beyond the key, shows nothing."""
    key = keccak(consortium.place)
    for node in ([b"\x20" + key, [b"", b""]], [b"\x00" + key + b"\x11", b"\x01" * 32]):
        data = rlp.encode(node)
        with pytest.raises(ProofError):
            check_storage(keccak(data), consortium.place, (data,))


def test_an_account_has_four_fields(consortium):
    """What is no account under the address is refused, whatever the trie says."""
    for value in (b"\x80", rlp.encode([b"", b"", bytes(32)]), rlp.encode([b"", b"", b"", b""])):
        leaf = rlp.encode([b"\x20" + keccak(consortium.contract), value])
        with pytest.raises(FormatError):
            check_account(keccak(leaf), consortium.contract, (leaf,))
