"""Consensus: checkpoints on an EVM chain that refuses to be rewritten. Needs the extra `chain`.

node        a chain through one node, answers held against each other
profile     which chain it is, and when a block of it is final
account     the organisation's key in a file, or a signer elsewhere
outbox      transactions that are sent once           shelf        the same on the disk
contracts   artifacts, deployed and known by hash     anchor       the CheckpointAnchor
registries  of issuers, models and consents           typed        what members sign
devchain    a chain of one operator                   proxy        what stands before it
anvil       its program, found or installed           guard        which ends when we do
rpc         requests with bounds                      answers      what nodes say, read strictly
transaction signed bytes, checked                     reverts      why a contract said no
provider    web3.py over all that
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
    from counterfoil.chain.account import stated_address as stated_address
    from counterfoil.chain.anchor import Anchor as Anchor
    from counterfoil.chain.anchor import CheckpointAnchor as CheckpointAnchor
    from counterfoil.chain.anchor import Committee as Committee
    from counterfoil.chain.anchor import log_id as log_id
    from counterfoil.chain.answers import parse_address as parse_address
    from counterfoil.chain.anvil import ANVIL_VERSION as ANVIL_VERSION
    from counterfoil.chain.anvil import find_anvil as find_anvil
    from counterfoil.chain.anvil import install_anvil as install_anvil
    from counterfoil.chain.contracts import CONTRACTS as CONTRACTS
    from counterfoil.chain.contracts import Deployed as Deployed
    from counterfoil.chain.contracts import deploy as deploy
    from counterfoil.chain.contracts import deployment_key as deployment_key
    from counterfoil.chain.contracts import load_artifact as load_artifact
    from counterfoil.chain.devchain import DevChain as DevChain
    from counterfoil.chain.devchain import dev_url as dev_url
    from counterfoil.chain.node import Chain as Chain
    from counterfoil.chain.node import connect as connect
    from counterfoil.chain.outbox import Outbox as Outbox
    from counterfoil.chain.outbox import read_outbox as read_outbox
    from counterfoil.chain.profile import DEV as DEV
    from counterfoil.chain.profile import ChainProfile as ChainProfile
    from counterfoil.chain.profile import parse_finality as parse_finality
    from counterfoil.chain.registries import ConsentRegistry as ConsentRegistry
    from counterfoil.chain.registries import IssuerRegistry as IssuerRegistry
    from counterfoil.chain.registries import ModelRegistry as ModelRegistry
    from counterfoil.chain.rpc import Rpc as Rpc
    from counterfoil.chain.shelf import Pending as Pending
    from counterfoil.chain.shelf import Settled as Settled
    from counterfoil.chain.transaction import Call as Call
    from counterfoil.chain.transaction import made_contract as made_contract
    from counterfoil.chain.typed import Signature as Signature
    from counterfoil.core.anchoring import Finality as Finality

_HOMES = {
    "ANVIL_VERSION": ".anvil",
    "Account": ".account",
    "Anchor": ".anchor",
    "CONTRACTS": ".contracts",
    "Call": ".transaction",
    "Chain": ".node",
    "ChainProfile": ".profile",
    "CheckpointAnchor": ".anchor",
    "Committee": ".anchor",
    "ConsentRegistry": ".registries",
    "DEV": ".profile",
    "Deployed": ".contracts",
    "DevChain": ".devchain",
    "Finality": "..core.anchoring",
    "IssuerRegistry": ".registries",
    "LocalAccount": ".account",
    "ModelRegistry": ".registries",
    "Outbox": ".outbox",
    "Pending": ".shelf",
    "RemoteAccount": ".account",
    "Rpc": ".rpc",
    "Settled": ".shelf",
    "Signature": ".typed",
    "account_path": ".account",
    "connect": ".node",
    "create_account": ".account",
    "deploy": ".contracts",
    "deployment_key": ".contracts",
    "dev_url": ".devchain",
    "find_anvil": ".anvil",
    "import_account": ".account",
    "install_anvil": ".anvil",
    "load_account": ".account",
    "load_artifact": ".contracts",
    "log_id": ".anchor",
    "made_contract": ".transaction",
    "parse_address": ".answers",
    "parse_finality": ".profile",
    "read_outbox": ".outbox",
    "stated_address": ".account",
}

__all__ = [*_HOMES]  # noqa: PLE0604 every key is a string

if not TYPE_CHECKING:
    __getattr__, __dir__ = offer(__name__, _HOMES, extra="chain")
