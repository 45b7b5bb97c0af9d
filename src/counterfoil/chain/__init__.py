"""Consensus: checkpoints on an EVM chain that refuses to be rewritten. Needs the extra `chain`.

node        a chain through one node, answers held against each other
profile     which chain it is, and when a block of it is final
account     the organisation's key in a file, or a signer elsewhere
outbox      transactions that are sent once           shelf         the same on the disk
contracts   artifacts, deployed and known by hash     anchor        the CheckpointAnchor
registries  of issuers, models and consents           typed         what members sign
anchoring   a log's checkpoints reach its chain       desk          what is being asked just now
member      who signs, here or elsewhere              request       what they are asked and answer
join        a log gets a place on a chain             binding       two keys of one witness
here        members on this machine                   served      a witness of ours that does
httpmember  asked over HTTP                           answering     who answers there
place       where a policy's log is anchored          audit         all anchors against the log
anchored    proofs kept with the log                  authenticate  who vouches for their blocks
anchorproof a root in a contract's storage, offline   fetchproof    collected from a node
header      headers of blocks                         storageproof  what a contract stores
qbft        who sealed a block of a consortium        encoding      RLP
genesis     a consortium's chain and its members      besufiles     a folder for each member
devchain    a chain of one operator                   proxy         what stands before it
anvil       its program, found or installed           guard         which ends when we do
rpc         requests with bounds                      answers       what nodes say, read strictly
transaction signed bytes, checked                     reverts       why a contract said no
provider    web3.py over all that                     keystore      eth-account, kept in bounds
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
    from counterfoil.chain.account import read_passphrase as read_passphrase
    from counterfoil.chain.account import stated_address as stated_address
    from counterfoil.chain.anchor import Anchor as Anchor
    from counterfoil.chain.anchor import CheckpointAnchor as CheckpointAnchor
    from counterfoil.chain.anchor import Committee as Committee
    from counterfoil.chain.anchor import log_id as log_id
    from counterfoil.chain.anchoring import Anchoring as Anchoring
    from counterfoil.chain.anchoring import Standing as Standing
    from counterfoil.chain.anchorproof import AnchoredAt as AnchoredAt
    from counterfoil.chain.anchorproof import AnchorProof as AnchorProof
    from counterfoil.chain.anchorproof import ExpectedAnchor as ExpectedAnchor
    from counterfoil.chain.anchorproof import PinnedBlocks as PinnedBlocks
    from counterfoil.chain.anchorproof import UnauthenticatedAnchor as UnauthenticatedAnchor
    from counterfoil.chain.anchorproof import check_anchor_proof as check_anchor_proof
    from counterfoil.chain.anchorproof import format_anchor_proof as format_anchor_proof
    from counterfoil.chain.anchorproof import parse_anchor_proof as parse_anchor_proof
    from counterfoil.chain.answering import AnchorDesk as AnchorDesk
    from counterfoil.chain.answers import parse_address as parse_address
    from counterfoil.chain.anvil import ANVIL_VERSION as ANVIL_VERSION
    from counterfoil.chain.anvil import find_anvil as find_anvil
    from counterfoil.chain.anvil import install_anvil as install_anvil
    from counterfoil.chain.audit import audit_anchors as audit_anchors
    from counterfoil.chain.besufiles import make_node_key as make_node_key
    from counterfoil.chain.besufiles import make_trial as make_trial
    from counterfoil.chain.besufiles import write_network as write_network
    from counterfoil.chain.besufiles import write_node as write_node
    from counterfoil.chain.contracts import CONTRACTS as CONTRACTS
    from counterfoil.chain.contracts import Deployed as Deployed
    from counterfoil.chain.contracts import check_creation as check_creation
    from counterfoil.chain.contracts import deploy as deploy
    from counterfoil.chain.contracts import deployment_key as deployment_key
    from counterfoil.chain.contracts import load_artifact as load_artifact
    from counterfoil.chain.devchain import DevChain as DevChain
    from counterfoil.chain.devchain import dev_url as dev_url
    from counterfoil.chain.fetchproof import fetch_anchor_proof as fetch_anchor_proof
    from counterfoil.chain.genesis import Network as Network
    from counterfoil.chain.genesis import NetworkMember as NetworkMember
    from counterfoil.chain.genesis import format_member as format_member
    from counterfoil.chain.genesis import parse_member as parse_member
    from counterfoil.chain.genesis import parse_place as parse_place
    from counterfoil.chain.here import members_here as members_here
    from counterfoil.chain.here import policy_for as policy_for
    from counterfoil.chain.here import sign_request as sign_request
    from counterfoil.chain.join import join_chain as join_chain
    from counterfoil.chain.join import make_member as make_member
    from counterfoil.chain.member import FileMember as FileMember
    from counterfoil.chain.member import LocalMember as LocalMember
    from counterfoil.chain.node import Chain as Chain
    from counterfoil.chain.node import connect as connect
    from counterfoil.chain.outbox import FINAL_WITHIN_S as FINAL_WITHIN_S
    from counterfoil.chain.outbox import Outbox as Outbox
    from counterfoil.chain.outbox import read_outbox as read_outbox
    from counterfoil.chain.place import connect_to as connect_to
    from counterfoil.chain.place import require_chain as require_chain
    from counterfoil.chain.profile import DEV as DEV
    from counterfoil.chain.profile import ChainProfile as ChainProfile
    from counterfoil.chain.profile import parse_finality as parse_finality
    from counterfoil.chain.qbft import QbftValidators as QbftValidators
    from counterfoil.chain.registries import ConsentRegistry as ConsentRegistry
    from counterfoil.chain.registries import IssuerRegistry as IssuerRegistry
    from counterfoil.chain.registries import ModelRegistry as ModelRegistry
    from counterfoil.chain.request import parse_request as parse_request
    from counterfoil.chain.rpc import Rpc as Rpc
    from counterfoil.chain.served import agree as agree
    from counterfoil.chain.served import open_desk as open_desk
    from counterfoil.chain.served import seat_witness as seat_witness
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
    "AnchorDesk": ".answering",
    "AnchorProof": ".anchorproof",
    "AnchoredAt": ".anchorproof",
    "Anchoring": ".anchoring",
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
    "ExpectedAnchor": ".anchorproof",
    "FINAL_WITHIN_S": ".outbox",
    "FileMember": ".member",
    "Finality": "..core.anchoring",
    "IssuerRegistry": ".registries",
    "LocalAccount": ".account",
    "LocalMember": ".member",
    "ModelRegistry": ".registries",
    "Network": ".genesis",
    "NetworkMember": ".genesis",
    "Outbox": ".outbox",
    "Pending": ".shelf",
    "PinnedBlocks": ".anchorproof",
    "QbftValidators": ".qbft",
    "RemoteAccount": ".account",
    "Rpc": ".rpc",
    "Settled": ".shelf",
    "Signature": ".typed",
    "Standing": ".anchoring",
    "UnauthenticatedAnchor": ".anchorproof",
    "account_path": ".account",
    "agree": ".served",
    "audit_anchors": ".audit",
    "check_anchor_proof": ".anchorproof",
    "check_creation": ".contracts",
    "connect": ".node",
    "connect_to": ".place",
    "create_account": ".account",
    "deploy": ".contracts",
    "deployment_key": ".contracts",
    "dev_url": ".devchain",
    "fetch_anchor_proof": ".fetchproof",
    "find_anvil": ".anvil",
    "format_anchor_proof": ".anchorproof",
    "format_member": ".genesis",
    "import_account": ".account",
    "install_anvil": ".anvil",
    "join_chain": ".join",
    "load_account": ".account",
    "load_artifact": ".contracts",
    "log_id": ".anchor",
    "made_contract": ".transaction",
    "make_member": ".join",
    "make_node_key": ".besufiles",
    "make_trial": ".besufiles",
    "members_here": ".here",
    "open_desk": ".served",
    "parse_address": ".answers",
    "parse_anchor_proof": ".anchorproof",
    "parse_finality": ".profile",
    "parse_member": ".genesis",
    "parse_place": ".genesis",
    "parse_request": ".request",
    "policy_for": ".here",
    "read_outbox": ".outbox",
    "read_passphrase": ".account",
    "require_chain": ".place",
    "seat_witness": ".served",
    "sign_request": ".here",
    "stated_address": ".account",
    "write_network": ".besufiles",
    "write_node": ".besufiles",
}

__all__ = [*_HOMES]  # noqa: PLE0604 every key is a string

if not TYPE_CHECKING:
    __getattr__, __dir__ = offer(__name__, _HOMES, extra="chain")
