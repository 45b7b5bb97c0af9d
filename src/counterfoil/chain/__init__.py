"""Consensus: checkpoints on an EVM chain that refuses to be rewritten. Needs the extra `chain`.

node        one node, its answers held against each other   rpc       JSON-RPC with bounds
profile     which chain, and when a block is final           answers   what a node says, strictly
account     the organisation's key, or a signer elsewhere    typed     what members sign
outbox      transactions that are sent once                  shelf     the same on the disk
transaction signed bytes, checked                            reverts   why a contract said no
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.lazy import offer

if TYPE_CHECKING:
    from counterfoil.chain.account import Account as Account
    from counterfoil.chain.account import LocalAccount as LocalAccount
    from counterfoil.chain.account import RemoteAccount as RemoteAccount
    from counterfoil.chain.account import account_path as account_path
    from counterfoil.chain.account import create_account as create_account
    from counterfoil.chain.account import import_account as import_account
    from counterfoil.chain.account import load_account as load_account
    from counterfoil.chain.node import Chain as Chain
    from counterfoil.chain.node import connect as connect
    from counterfoil.chain.outbox import Outbox as Outbox
    from counterfoil.chain.profile import DEV as DEV
    from counterfoil.chain.profile import ChainProfile as ChainProfile
    from counterfoil.chain.profile import Finality as Finality
    from counterfoil.chain.profile import parse_finality as parse_finality
    from counterfoil.chain.transaction import Call as Call

_HOMES = {
    "Account": ".account",
    "Call": ".transaction",
    "Chain": ".node",
    "ChainProfile": ".profile",
    "DEV": ".profile",
    "Finality": ".profile",
    "LocalAccount": ".account",
    "Outbox": ".outbox",
    "RemoteAccount": ".account",
    "account_path": ".account",
    "connect": ".node",
    "create_account": ".account",
    "import_account": ".account",
    "load_account": ".account",
    "parse_finality": ".profile",
}

__all__ = [*_HOMES]  # noqa: PLE0604 every key is a string

if not TYPE_CHECKING:
    __getattr__, __dir__ = offer(__name__, _HOMES, extra="chain")
