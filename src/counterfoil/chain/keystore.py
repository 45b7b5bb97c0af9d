"""eth-account, imported so that this process stays as hard to crash as before.

A library below it lets Python recurse a hundred times deeper, for all of the process. Input that
nests without end would then end the process where it is an error now: `tomllib`, RLP and model
formats count on that limit. Whoever needs eth-account, or web3 on top of it, imports this first.
"""

from __future__ import annotations

import sys

_LIMIT = sys.getrecursionlimit()

from eth_account import Account as Keystore  # noqa: E402 the limit is read before
from eth_account.messages import encode_defunct, encode_typed_data  # noqa: E402 likewise

sys.setrecursionlimit(_LIMIT)

__all__ = ["Keystore", "encode_defunct", "encode_typed_data"]
