"""Write the golden evidence files again: `python tests/golden/evidence/make.py`.

Keys, salts and times are fixed, so the files come out the same every time. They change only when
a format changes, and pages of version 1 must not change at all.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from counterfoil.core.canonical import format_json
from counterfoil.core.checkpoint import Checkpoint, sign_checkpoint
from counterfoil.core.envelope import format_envelope, sign_envelope
from counterfoil.core.keys import Algorithm, PrivateKey, format_vkey
from counterfoil.core.merkle import EMPTY_ROOT, Hash, leaf_hash, prove_inclusion, root_of
from counterfoil.core.receipt import Receipt, format_receipt
from counterfoil.core.record import check_disclosures, seal_rows
from counterfoil.core.statement import Statement, Subject, format_statement, predicate_type
from counterfoil.core.stream import Batch, StreamDeclaration, format_batch, format_stream
from counterfoil.core.text import format_base64
from counterfoil.evidence.page import format_page

if TYPE_CHECKING:
    from counterfoil.core.canonical import JsonValue

FOLDER = Path(__file__).parent
FIELDS = ("kind", "about", "inputs", "output", "reasons")
ORIGIN = "ledger.northbank.example/decisions"

INPUTS: dict[str, JsonValue] = {
    "checking_account": "less than 0 DM",
    "duration_months": 36,
    "credit_history": "existing credits paid back duly till now",
    "purpose": "furniture and equipment",
    "credit_amount": 7855,
    "savings_account": "less than 100 DM",
    "employment_since": "1 to 4 years",
    "instalment_rate": 4,
    "other_debtors": "none",
    "residence_since": 2,
    "property": "building society savings or life insurance",
    "other_instalments": "none",
    "housing": "owns",
    "existing_credits": 2,
    "job": "skilled employee or official",
    "dependants": 1,
    "telephone": "none",
}
LABELS: dict[str, JsonValue] = {
    "checking_account": "Balance of your checking account",
    "duration_months": "Duration of the loan, in months",
    "credit_history": "Credit history",
    "purpose": "Purpose of the loan",
    "credit_amount": "Amount of the loan, in DM",
    "savings_account": "Savings",
    "employment_since": "Time in your present job",
    "instalment_rate": "Instalments, in percent of income",
    "other_debtors": "Other debtors or guarantors",
    "residence_since": "Years at your present address",
    "property": "Most valuable property",
    "other_instalments": "Instalments owed elsewhere",
    "housing": "Housing",
    "existing_credits": "Loans with this bank",
    "job": "Occupation",
    "dependants": "People you support",
    "telephone": "Telephone in your name",
}
WEIGHTS = {
    "checking_account": -0.7312847,
    "duration_months": -0.5520184,
    "credit_amount": -0.4270911,
    "savings_account": -0.2861094,
    "instalment_rate": -0.2119475,
    "other_instalments": 0.1630228,
    "employment_since": -0.0912004,
    "housing": 0.0874129,
    "purpose": 0.0611735,
    "property": 0.0399812,
    "existing_credits": -0.0350771,
    "credit_history": -0.0218846,
    "job": 0.0140317,
    "residence_since": 0.0089623,
    "telephone": -0.0057411,
    "other_debtors": -0.0031902,
    "dependants": 0.0,
}
OUTPUT: dict[str, JsonValue] = {
    "outcome": "refused",
    "score": 0.3127,
    "threshold": 0.5,
    "decided": "2026-11-22T10:04:31Z",
    "model": {
        "name": "credit",
        "version": "1",
        "digest": hashlib.sha256(b"model").hexdigest(),
        "stage": "production",
    },
    "notice": {
        "organisation": "North Bank",
        "system": "the credit scoring system \u201ccredit-decisions\u201d",
        "subject_ref": "A-1043",
        "contact": "Credit Review Desk\n12 Harbour Street, Northport\n+44 20 7946 0018",
        "contest": "Write to us within 30 days and say which value is wrong, or why the outcome "
        "should be another. A person who did not take part in this decision will look at it "
        "again and answer within 14 days.",
        "labels": LABELS,
    },
}
REASONS: dict[str, JsonValue] = {
    "method": "ebm-terms",
    "library": "interpret-core 0.7.8",
    "reference": "the mean of 700 training rows",
    "baseline": 1.0281734,
    "terms": [
        {
            "feature": feature,
            "label": LABELS[feature],
            "value": INPUTS[feature],
            "contribution": weight,
        }
        for feature, weight in WEIGHTS.items()
    ],
    "principal": [
        "The balance of your checking account is below zero",
        "The loan would run for 36 months",
        "The amount of the loan, 7,855 DM, is high for its kind",
        "Your savings are below 100 DM",
    ],
    "recourse": [
        {
            "feature": "checking_account",
            "label": "Balance of your checking account",
            "from": "less than 0 DM",
            "to": "200 DM or more",
            "score": 0.5614,
            "outcome": "approved",
        },
        {
            "feature": "duration_months",
            "label": "Duration of the loan, in months",
            "from": 36,
            "to": 15,
            "score": 0.5182,
            "outcome": "approved",
        },
    ],
}


def key(name: str) -> PrivateKey:
    """Make the key that is always the same for a name."""
    seed = hashlib.sha256(name.encode()).digest()
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return PrivateKey.from_private(name, Algorithm.ED25519, private)


def body(predicate: str, name: str, **said: JsonValue) -> bytes:
    """Write a statement about something that is known by the hash of its name."""
    subject = Subject(name, {"sha256": hashlib.sha256(name.encode()).hexdigest()})
    return format_statement(Statement((subject,), predicate_type(predicate), said))


def make(values: tuple[JsonValue, ...], shown: tuple[str, ...]) -> dict[str, JsonValue]:
    """Make the evidence of the last of three records, with the fields `shown` disclosed."""
    operator, approvers = key(ORIGIN), (key("risk-a"), key("risk-b"))
    declaration = StreamDeclaration(
        log=ORIGIN,
        system="credit-decisions",
        nonce=hashlib.sha256(b"nonce").digest(),
        fields=FIELDS,
        max_delay_s=86_400,
    )
    rows = [("decision", None, {}, {"outcome": "approved"}, None)] * 2 + [values]
    salts = b"".join(hashlib.sha256(b"salt %d" % at).digest() for at in range(3 * len(FIELDS)))
    sealed = seal_rows(declaration.stream_id, FIELDS, rows, salts)
    leaves = [one.leaf for one in sealed]
    root = root_of(leaves)
    batch = Batch(
        stream=declaration.stream_id,
        log=ORIGIN,
        size_before=0,
        root_before=EMPTY_ROOT,
        size=3,
        root=root,
        consistency=(),
        closed=1_795_341_900,
    )
    entries = [
        (role, format_envelope(sign_envelope(payload, *signers)))
        for role, payload, signers in (
            ("dataset", body("dataset", "applicants", rows=700), (operator,)),
            ("training", body("training", "credit", seed=7), (operator,)),
            ("model", body("model", "credit", version="1"), (operator,)),
            ("evaluation", body("evaluation", "credit", auc="0.79"), (operator,)),
            ("approval", body("approval", "credit", by="risk-a"), approvers[:1]),
            ("approval", body("approval", "credit", by="risk-b"), approvers[1:]),
            ("stream", format_stream(declaration), (operator,)),
            ("batch", format_batch(batch), (operator,)),
        )
    ]
    hashes = [leaf_hash(entry) for _, entry in entries]
    checkpoint = sign_checkpoint(Checkpoint(ORIGIN, len(hashes), root_of(hashes)), operator)
    return {
        "counterfoil": "evidence/v1",
        "kind": "decision",
        "log": {"origin": ORIGIN, "key": format_vkey(operator.key)},
        "policy": hashlib.sha256(b"policy").hexdigest(),
        "record": {
            "record": format_base64(sealed[2].record),
            "index": 2,
            "path": [format_base64(one) for one in path_to(2, leaves)],
            "size": 3,
            "root": format_base64(root),
        },
        "disclosures": [
            disclosure
            for name, disclosure in zip(FIELDS, sealed[2].disclosures, strict=True)
            if name in shown
        ],
        "statements": [
            {
                "role": role,
                "entry": format_base64(entry),
                "receipt": format_receipt(
                    Receipt(index, path_to(index, hashes), checkpoint)
                ).decode(),
            }
            for index, (role, entry) in enumerate(entries)
        ],
    }


def path_to(index: int, leaves: list[Hash]) -> tuple[Hash, ...]:
    """Prove that a leaf is in the tree of all of them."""

    def node(level: int, at: int) -> Hash:
        return root_of(leaves[at << level : (at + 1) << level])

    return prove_inclusion(index, len(leaves), node)


def facts_of(evidence: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Open the disclosures of evidence made here."""
    record = base64.b64decode(evidence["record"]["record"])
    return check_disclosures(record, FIELDS, evidence["disclosures"])


def main() -> None:
    """Write one letter, one bare prediction, each as JSON and as a page."""
    files = {
        "letter": make(("decision", None, INPUTS, OUTPUT, REASONS), FIELDS),
        "prediction": make(
            ("decision", None, {"length": 5.1, "width": 3.5, "wild": True}, 0.8125, None),
            ("kind", "about", "inputs", "output"),
        ),
    }
    for name, evidence in files.items():
        (FOLDER / f"{name}.json").write_bytes(format_json(evidence))
        # `NAME.html` stays as version 1 wrote it.
        (FOLDER / f"{name}.v2.html").write_bytes(format_page(evidence, facts_of(evidence)))


if __name__ == "__main__":
    main()
