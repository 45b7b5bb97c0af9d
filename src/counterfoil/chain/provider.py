"""A `Web3` that reaches its node through ours, so that its answers have a deadline and a bound."""

from __future__ import annotations

from typing import Any

from counterfoil.chain import keystore  # noqa: F401 before web3, which imports the same

# isort: split
from web3 import Web3
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from counterfoil.chain.rpc import NodeError, Rpc
from counterfoil.errors import CounterfoilError


class BoundedProvider(JSONBaseProvider):
    """Gives web3.py what `Rpc` got; raises our errors where there is no answer."""

    def __init__(self, rpc: Rpc) -> None:
        super().__init__()
        self._rpc = rpc

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Ask; a node's refusal is an answer, for web3 to make its own error of."""
        try:
            return {"jsonrpc": "2.0", "id": 1, "result": self._rpc.call(method, *params)}
        except NodeError as error:
            return {
                "jsonrpc": "2.0",
                "id": 1,
                "error": {"code": error.code, "message": error.reason, "data": error.data},
            }

    def is_connected(self, show_traceback: bool = False) -> bool:
        """Tell whether the node answers at all."""
        try:
            self._rpc.call("web3_clientVersion")
        except CounterfoilError:
            if show_traceback:
                raise
            return False
        return True


def make_web3(rpc: Rpc) -> Web3:
    """Make a `Web3` on a node of ours."""
    return Web3(BoundedProvider(rpc))
