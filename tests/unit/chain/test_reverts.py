from __future__ import annotations

import pytest
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chain.reverts import decode_reason, revert_reason
from counterfoil.chain.rpc import NodeError

ERROR = "0x08c379a0"


def refused(reason, code=0, data=""):
    return NodeError("m", reason=reason, code=code, data=data, hint="")


def test_a_reason_is_found_in_the_data():
    """What the contract said is taken from the data, whatever words the node puts around it."""
    data = ERROR + encode(["string"], ["anchor: size does not grow"]).hex()
    for error in (
        refused("execution reverted: something", 3, data),
        refused("Execution reverted", -32000, data),
        refused("VM Exception", 3, data),
    ):
        assert revert_reason(error) == "anchor: size does not grow"


@pytest.mark.parametrize(
    "data", ["", "0x", "0xzz", "0x08c379a0", "0x08c379a0" + "ff" * 64, "nonsense"]
)
def test_without_data_the_nodes_words_are_shown(data):
    """Where the data holds no reason, the node's own words are given, or that there are none."""
    assert revert_reason(refused("execution reverted: anchor: no", 3, data)) == "anchor: no"
    assert revert_reason(refused("execution reverted", 3, data)) == "no reason given"


def test_what_is_no_revert_is_none():
    """A node that refuses for another reason is not taken for a contract that says no."""
    assert revert_reason(refused("insufficient funds", -32000)) is None
    assert revert_reason(refused("nonce too low", -32000, ERROR)) is None


def test_a_panic_has_its_number():
    """An assertion of the EVM's own is shown by its number."""
    assert decode_reason("0x4e487b71" + encode(["uint256"], [0x11]).hex()) == "panic 0x11"


@given(st.binary(max_size=200))
def test_arbitrary_data_is_bounded_text(data):
    """Whatever the data is, what comes of it is text of bounded length."""
    for head in ("", ERROR, "0x4e487b71"):
        assert len(decode_reason(head + data.hex())) <= 300
