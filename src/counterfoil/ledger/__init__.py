"""The ledger: where statements live.

log         appended to, for receipts          reading       proven, and found again
sequencer   the one writer in a folder
engine      where the entries live             embedded      in a folder
tree        proofs and entries as published    treeview      read from a folder
treestore   a durable tree in a folder
journal     commits before the flat files      flatfiles     entries and hashes on the disk
index       what is said about what            blobs         statements too large for an entry
trust       the adopted policy                 gate          the check before an act
audit       everything hashed again            status        how a log stands
export      the log as static files            witness       who remembers what it cosigned
localwitness, httpwitness   asking one         countersign   asking all, for a quorum
suspects    what a witness would not cosign    objections    what others would not
ownwitness    one of ours, for others          swap          two who witness each other
seat        with which account it signs anchors
askers        many at the same time            keyfiles      private keys
places      what lies outside the folder       disk          what is asked of a disk
identity    whose log a folder holds           moved         where it is, if no longer there
web         HTTP, bounded                      waits         for whom, at this moment
cadence     again and again
timestamps  an authority, asked and checked    stamps        time-stamps kept with the ledger
stamping    a checkpoint stamped               sharding      a log goes on as another one
rotation    a log goes on with a new key       nextkey       that key, before and while
splitview   two histories of a log, proven     remembered    what was seen of one before
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.lazy import offer

if TYPE_CHECKING:
    from counterfoil.core.envelope import MAX_ENVELOPE_BYTES as MAX_ENVELOPE_BYTES
    from counterfoil.core.keys import format_vkey as format_vkey
    from counterfoil.core.keys import parse_vkey as parse_vkey
    from counterfoil.core.policy import format_policy as format_policy
    from counterfoil.core.policy import format_witness as format_witness
    from counterfoil.core.policy import parse_policy as parse_policy
    from counterfoil.core.policy import policy_to_json as policy_to_json
    from counterfoil.core.quorum import check_witness_url as check_witness_url
    from counterfoil.core.receipt import format_receipt as format_receipt
    from counterfoil.core.requirements import Mode as Mode
    from counterfoil.core.requirements import Requirement as Requirement
    from counterfoil.core.shard import format_carried as format_carried
    from counterfoil.core.testimony import short_predicate as short_predicate
    from counterfoil.ledger.admission import Admission as Admission
    from counterfoil.ledger.admission import Admitted as Admitted
    from counterfoil.ledger.audit import audit
    from counterfoil.ledger.audit import unaudited as unaudited
    from counterfoil.ledger.cadence import keep_confirming as keep_confirming
    from counterfoil.ledger.countersign import SilentWitnessWarning as SilentWitnessWarning
    from counterfoil.ledger.countersign import UnpublishedError as UnpublishedError
    from counterfoil.ledger.countersign import tell_silence as tell_silence
    from counterfoil.ledger.export import Site as Site
    from counterfoil.ledger.export import export_site as export_site
    from counterfoil.ledger.export import prune_site as prune_site
    from counterfoil.ledger.gate import Clearance as Clearance
    from counterfoil.ledger.log import Log as Log
    from counterfoil.ledger.moved import EndedError as EndedError
    from counterfoil.ledger.moved import MovedError as MovedError
    from counterfoil.ledger.nextkey import prepare_next_key as prepare_next_key
    from counterfoil.ledger.objections import Objection as Objection
    from counterfoil.ledger.ownwitness import OwnWitness as OwnWitness
    from counterfoil.ledger.ownwitness import Watched as Watched
    from counterfoil.ledger.places import make_principal_key as make_principal_key
    from counterfoil.ledger.reading import Found as Found
    from counterfoil.ledger.resources import BUNDLES as BUNDLES
    from counterfoil.ledger.resources import read_resource as read_resource
    from counterfoil.ledger.rotation import rotate_key as rotate_key
    from counterfoil.ledger.sharding import carry_receipt as carry_receipt
    from counterfoil.ledger.sharding import shard_after as shard_after
    from counterfoil.ledger.signedrequests import TAG as TAG
    from counterfoil.ledger.signedrequests import Caller as Caller
    from counterfoil.ledger.signedrequests import RequestChecker as RequestChecker
    from counterfoil.ledger.signedrequests import SignedRequest as SignedRequest
    from counterfoil.ledger.signedrequests import known_callers as known_callers
    from counterfoil.ledger.signedrequests import sign_request as sign_request
    from counterfoil.ledger.stamping import Stamping as Stamping
    from counterfoil.ledger.stamping import stamp_log as stamp_log
    from counterfoil.ledger.status import Memory as Memory
    from counterfoil.ledger.status import Standing as Standing
    from counterfoil.ledger.status import Status as Status
    from counterfoil.ledger.status import check_memory as check_memory
    from counterfoil.ledger.status import read_status as read_status
    from counterfoil.ledger.suspects import Refused as Refused
    from counterfoil.ledger.swap import check_theirs as check_theirs
    from counterfoil.ledger.swap import make_offer as make_offer
    from counterfoil.ledger.swap import offer_digest as offer_digest
    from counterfoil.ledger.swap import parse_offer as parse_offer
    from counterfoil.ledger.swap import take_offer as take_offer
    from counterfoil.ledger.waits import waited_for as waited_for
    from counterfoil.ledger.witness import MAX_REQUEST_BYTES
    from counterfoil.ledger.witness import SIZE_TYPE as SIZE_TYPE
    from counterfoil.ledger.witness import STATUS_CONFLICT as STATUS_CONFLICT
    from counterfoil.ledger.witness import Witness as Witness

    audit_log = audit  # `audit` itself is the module
    MAX_WITNESS_REQUEST_BYTES = MAX_REQUEST_BYTES

_HOMES = {
    "Admission": ".admission",
    "Admitted": ".admission",
    "BUNDLES": ".resources",
    "Caller": ".signedrequests",
    "Clearance": ".gate",
    "EndedError": ".moved",
    "Found": ".reading",
    "Log": ".log",
    "MAX_ENVELOPE_BYTES": "..core.envelope",
    "MAX_WITNESS_REQUEST_BYTES": ".witness:MAX_REQUEST_BYTES",
    "Memory": ".status",
    "Mode": "..core.requirements",
    "MovedError": ".moved",
    "Objection": ".objections",
    "OwnWitness": ".ownwitness",
    "Refused": ".suspects",
    "RequestChecker": ".signedrequests",
    "Requirement": "..core.requirements",
    "SIZE_TYPE": ".witness",
    "STATUS_CONFLICT": ".witness",
    "SignedRequest": ".signedrequests",
    "SilentWitnessWarning": ".countersign",
    "Site": ".export",
    "Stamping": ".stamping",
    "Standing": ".status",
    "Status": ".status",
    "TAG": ".signedrequests",
    "UnpublishedError": ".countersign",
    "Watched": ".ownwitness",
    "Witness": ".witness",
    "audit_log": ".audit:audit",
    "unaudited": ".audit",
    "carry_receipt": ".sharding",
    "check_memory": ".status",
    "check_theirs": ".swap",
    "check_witness_url": "..core.quorum",
    "export_site": ".export",
    "format_carried": "..core.shard",
    "format_policy": "..core.policy",
    "format_receipt": "..core.receipt",
    "format_vkey": "..core.keys",
    "format_witness": "..core.policy",
    "keep_confirming": ".cadence",
    "known_callers": ".signedrequests",
    "make_offer": ".swap",
    "make_principal_key": ".places",
    "offer_digest": ".swap",
    "parse_offer": ".swap",
    "parse_policy": "..core.policy",
    "parse_vkey": "..core.keys",
    "policy_to_json": "..core.policy",
    "prepare_next_key": ".nextkey",
    "prune_site": ".export",
    "read_resource": ".resources",
    "read_status": ".status",
    "shard_after": ".sharding",
    "rotate_key": ".rotation",
    "short_predicate": "..core.testimony",
    "sign_request": ".signedrequests",
    "stamp_log": ".stamping",
    "take_offer": ".swap",
    "tell_silence": ".countersign",
    "waited_for": ".waits",
}

__all__ = [*_HOMES]  # noqa: PLE0604 every key is a string

if not TYPE_CHECKING:
    __getattr__, __dir__ = offer(__name__, _HOMES)
