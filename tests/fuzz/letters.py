"""A letter about a decision whose every part verifies: policy, witnesses, clearance and anchor."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Any

from counterfoil.chain.anchorproof import anchor_proof_to_json
from counterfoil.core.checkpoint import Checkpoint, format_checkpoint, sign_checkpoint
from counterfoil.core.cosignature import cosign
from counterfoil.core.envelope import format_envelope
from counterfoil.core.keys import format_vkey
from counterfoil.core.merkle import (
    EMPTY_ROOT,
    Hash,
    leaf_hash,
    prove_consistency,
    prove_inclusion,
    root_of,
)
from counterfoil.core.note import Note, format_note, parse_note
from counterfoil.core.policy import TrustPolicy
from counterfoil.core.receipt import Receipt, format_receipt
from counterfoil.core.record import seal_rows
from counterfoil.core.stream import Batch, StreamDeclaration, format_batch, format_stream
from counterfoil.core.text import format_base64
from fuzz import chains
from fuzz.seeds import (
    LOG,
    NOW,
    ORIGIN,
    OUTSIDE,
    envelope,
    policy,
    statement,
)

FIELDS = ("kind", "about", "inputs", "output", "reasons")
DIGEST = sha256(b"model").hexdigest()
OUTPUT: dict[str, Any] = {
    "outcome": "refused",
    "score": 0.3127,
    "threshold": 0.5,
    "decided": "2026-11-22T10:04:31Z",
    "model": {"name": "credit", "version": "1", "digest": DIGEST, "stage": "production"},
    "notice": {"organisation": "Bank", "contact": "Desk\nStreet", "labels": {"amount": "Amount"}},
}
REASONS: dict[str, Any] = {
    "method": "ebm-terms",
    "library": "interpret-core 0.7.8",
    "reference": "the mean of 700 training rows",
    "baseline": 1.02,
    "terms": [{"feature": "amount", "label": "Amount", "value": 7855, "contribution": -0.42}],
    "principal": ["The amount is high"],
    "recourse": [
        {
            "feature": "amount",
            "label": "Amount",
            "from": 7855,
            "to": 15,
            "score": 0.51,
            "outcome": "yes",
        }
    ],
}
VALUES = ("decision", None, {"amount": 7855, "wild": True, "name": "é<&"}, OUTPUT, REASONS)

DECLARATION = StreamDeclaration(
    log=ORIGIN, system="credit", nonce=bytes(32), fields=FIELDS, max_delay_s=90
)


@cache
def judge() -> TrustPolicy:
    """The policy of a verifier of this letter, which knows who seals the chain's blocks."""
    whole = policy()
    assert whole.chain is not None
    validators = tuple(f"0x{one.hex()}" for one in chains.VALIDATORS)
    rules = replace(whole.chain, validators=validators, blocks=())
    witnesses = tuple(replace(one, post_quantum=None) for one in whole.witnesses)
    return replace(whole, version=1, previous="", predecessors=(), chain=rules, witnesses=witnesses)


@cache
def evidence() -> dict[str, Any]:
    """The letter's JSON, with its anchor."""
    rows = [("decision", None, {}, {}, None), VALUES]
    salts = b"".join(sha256(b"salt %d" % at).digest() for at in range(2 * len(FIELDS)))
    sealed = seal_rows(DECLARATION.stream_id, FIELDS, rows, salts)
    leaves = [one.leaf for one in sealed]
    batch = Batch(
        stream=DECLARATION.stream_id, log=ORIGIN, size_before=0, root_before=EMPTY_ROOT, size=2,
        root=root_of(leaves), consistency=(), closed=NOW,
    )  # fmt: skip
    entries = [
        (role, format_envelope(envelope(payload, *signers)))
        for role, payload, signers in (
            (
                "model",
                statement("model", {"version": "1", "format": "skops", "types": []}),
                ("risk-a",),
            ),
            ("evaluation", statement("evaluation", {"metrics": {"auc": "0.79"}}), ("validation",)),
            *(
                ("approval", statement("approval", _yes(name)), (name,))
                for name in ("risk-a", "risk-b")
            ),
            ("clearance", statement("clearance", {"stage": "production", "size": 4}), ("risk-a",)),
            ("stream", format_stream(DECLARATION), ("risk-a",)),
            ("batch", format_batch(batch), ("risk-a",)),
        )
    ]
    hashes = [leaf_hash(one) for _, one in entries]
    found = Checkpoint(ORIGIN, len(hashes), root_of(hashes))
    text = format_checkpoint(found)
    lines = (
        *parse_note(sign_checkpoint(found, LOG)).signatures,
        cosign(text, NOW, OUTSIDE),
    )
    checkpoint = format_note(Note(text, lines))
    size = len(hashes) - 1

    def node(level: int, at: int) -> Hash:
        return root_of(hashes[at << level : (at + 1) << level])

    return {
        "counterfoil": "evidence/v2",
        "kind": "decision",
        "log": {"origin": ORIGIN, "key": format_vkey(LOG.key)},
        "policy": judge().digest.hex(),
        "record": {
            "record": format_base64(sealed[1].record),
            "index": 1,
            "path": [format_base64(leaves[0])],
            "size": 2,
            "root": format_base64(root_of(leaves)),
        },
        "disclosures": list(sealed[1].disclosures),
        "statements": [
            {
                "role": role,
                "entry": format_base64(entry),
                "receipt": format_receipt(
                    Receipt(at, prove_inclusion(at, len(hashes), node), checkpoint)
                ).decode(),
            }
            for at, (role, entry) in enumerate(entries)
        ],
        "anchor": {
            "size": size,
            "root": format_base64(root_of(hashes[:size])),
            "consistency": [format_base64(one) for one in prove_consistency(size, size + 1, node)],
            "proof": anchor_proof_to_json(chains.proof(size, root_of(hashes[:size]))),
        },
    }


def _yes(name: str) -> dict[str, Any]:
    return {"stage": "production", "decision": "approve", "comment": name}


@cache
def facts() -> dict[str, Any]:
    """What the letter's disclosures show."""
    return dict(zip(FIELDS, VALUES, strict=True))
