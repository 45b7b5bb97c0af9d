"""Why a contract said no, found in what a node answers.

Source:
    Solidity ABI, `Error(string)` and `Panic(uint256)`; nodes put them into the error's data.
"""

from __future__ import annotations

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from counterfoil.chain.rpc import NodeError

_ERROR = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")
_REVERTED = "execution reverted"  # in the words of geth, and of all that follow it
_REVERT_CODE = 3  # of the same
_MAX_REASON_CHARACTERS = 300


def revert_reason(error: NodeError) -> str | None:
    """Give the contract's reason, or None where it was not the contract that refused."""
    said = error.reason.lower()
    if error.code != _REVERT_CODE and _REVERTED not in said:
        return None
    return decode_reason(error.data) or error.reason.partition(": ")[2] or "no reason given"


def decode_reason(data: str) -> str:
    """Decode the data of a revert; empty where it holds no reason."""
    try:
        raw = bytes.fromhex(data.removeprefix("0x"))
        if raw[:4] == _ERROR:
            (text,) = decode(["string"], raw[4:])
            return " ".join(str(text).split())[:_MAX_REASON_CHARACTERS]
        if raw[:4] == _PANIC:
            (number,) = decode(["uint256"], raw[4:])
            return f"panic {number:#x}"
    except (ValueError, DecodingError, OverflowError):
        return ""  # not in the form of a reason: the node's own words are shown
    return ""
