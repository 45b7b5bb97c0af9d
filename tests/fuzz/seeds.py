"""Real artefacts, made by the project's own code with keys and salts that never change.

Only signatures by ML-DSA are new each time, as they draw randomness.

One organisation's world: a log with witnesses, a policy, a stream with batches and tickets, and a
letter about a decision. What others made is added where COUNTERFOIL_VECTORS names it.
"""

from __future__ import annotations

import json
import os
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from counterfoil.core.anchoring import AnchorKey, ChainRules, Finality, binding_of
from counterfoil.core.checkpoint import Checkpoint, format_checkpoint, sign_checkpoint
from counterfoil.core.cosignature import cosign, cosign_subtree
from counterfoil.core.envelope import Envelope, format_envelope, sign_envelope
from counterfoil.core.keys import Algorithm, PrivateKey
from counterfoil.core.merkle import Hash, leaf_hash, prove_consistency, prove_inclusion, root_of
from counterfoil.core.note import Note, format_note, parse_note
from counterfoil.core.policy import Predecessor, Succession, TrustPolicy
from counterfoil.core.principals import Compromise, Permission, Principal
from counterfoil.core.quorum import LogIdentity, Witness
from counterfoil.core.receipt import Receipt, format_receipt
from counterfoil.core.requirements import DataRules, Mode, Requirement, Stage
from counterfoil.core.retention import RetentionRule
from counterfoil.core.statement import Statement, Subject, format_statement, predicate_type
from counterfoil.core.subtree import Subtree
from counterfoil.core.text import format_base64
from counterfoil.ledger.localwitness import format_add_checkpoint

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
ORIGIN = "bank.example/log"
NOW = 1_800_000_000
SIZE = 11
RISK = ("risk-a", "risk-b")


@cache
def key(name: str, algorithm: Algorithm = Algorithm.ED25519) -> PrivateKey:
    """The key that is always the same for a name."""
    seed = sha256(name.encode()).digest()
    if algorithm is Algorithm.COSIGNATURE_ML_DSA_44:
        return PrivateKey.from_private(name, algorithm, MLDSA44PrivateKey.from_seed_bytes(seed))
    return PrivateKey.from_private(name, algorithm, Ed25519PrivateKey.from_private_bytes(seed))


LOG = key(ORIGIN)
OUTSIDE = key("auditor.example/w", Algorithm.COSIGNATURE_ED25519)
QUANTUM = key("auditor.example/q", Algorithm.COSIGNATURE_ML_DSA_44)


def statement(predicate: str, body: dict[str, Any], name: str = "credit") -> bytes:
    """A statement about the model of this name."""
    subject = Subject(name, {"sha256": sha256(b"model").hexdigest()})
    return format_statement(Statement((subject,), predicate_type(predicate), body))


STATEMENTS = (
    statement("model", {"version": "1", "format": "skops", "types": ["a.B"], "verifiable": True}),
    statement(
        "evaluation", {"metrics": {"auc": "0.79", "n": 700}, "expires": "2030-01-01T00:00:00Z"}
    ),
    statement(
        "approval", {"stage": "production", "decision": "approve", "comment": "", "after": None}
    ),
    statement("revocation", {"reason": "stolen"}),
    statement("clearance", {"stage": "production", "size": 7, "root": "00" * 32}),
    statement(
        "dataset", {"personal": True, "purposes": ["credit-scoring"], "rows": 700}, "applicants"
    ),
    statement("consent", {"purposes": ["credit-scoring"]}, "applicants"),
)


def envelope(payload: bytes, *names: str) -> Envelope:
    """That payload, signed by these."""
    return sign_envelope(payload, *(key(name) for name in names))


@cache
def entries() -> tuple[bytes, ...]:
    """The log's entries."""
    signed = [format_envelope(envelope(one, "risk-a", "risk-b")) for one in STATEMENTS]
    return (*signed, *(b"entry %d" % at for at in range(len(signed), SIZE)))


LEAVES = tuple(leaf_hash(one) for one in entries())


def node(level: int, at: int) -> Hash:
    """A node of the log's tree."""
    return root_of(LEAVES[at << level : (at + 1) << level])


def checkpoint(size: int, *cosigners: PrivateKey) -> bytes:
    """The log's signed checkpoint of a size, cosigned by an auditor."""
    found = Checkpoint(ORIGIN, size, root_of(LEAVES[:size]))
    text = format_checkpoint(found)
    own = parse_note(sign_checkpoint(found, LOG)).signatures
    return format_note(
        Note(text, (*own, *(cosign(text, NOW, one) for one in cosigners or (OUTSIDE,))))
    )


def receipts() -> tuple[bytes, ...]:
    """Receipts of the first entry and the last, one of them with extra data."""
    return tuple(
        format_receipt(Receipt(at, prove_inclusion(at, SIZE, node), checkpoint(SIZE), extra))
        for at, extra in ((0, b""), (SIZE - 1, b"\x00\x01"))
    )


def witness_requests() -> tuple[bytes, ...]:
    """What a log asks a witness, that has seen nothing, that has seen 4, and has seen it all."""
    plain = sign_checkpoint(Checkpoint(ORIGIN, SIZE, root_of(LEAVES)), LOG)
    return (
        format_add_checkpoint(0, (), plain),
        format_add_checkpoint(4, prove_consistency(4, SIZE, node), plain),
        format_add_checkpoint(SIZE, (), checkpoint(SIZE)),
    )


def subtree_requests() -> tuple[bytes, ...]:
    """What a log asks a witness about parts of it."""
    found = []
    for start, end in ((4, 8), (8, 11), (0, SIZE)):
        part = Subtree(start, end)
        hashes = (part.root(node), *part.prove_consistency(SIZE, node))
        lines = "".join(f"{format_base64(one)}\n" for one in hashes)
        found.append(f"subtree {start} {end}\n{lines}\n".encode() + checkpoint(SIZE))
    return tuple(found)


def replies() -> tuple[bytes, ...]:
    """What a witness answers: cosignatures, of a checkpoint and of a subtree, or a size."""
    lines = parse_note(checkpoint(SIZE, OUTSIDE, QUANTUM)).signatures[1:]
    part = cosign_subtree(ORIGIN, Subtree(4, 8), root_of(LEAVES[4:8]), QUANTUM)
    body = [format_note(Note("-\n", one)).removeprefix(b"-\n\n") for one in (lines, (part,))]
    return (*(b"\0" + one for one in body), b"\1" + b"11\n", b"\2no\n", b"\3down\n")


@cache
def policy() -> TrustPolicy:
    """A policy with something in every part."""
    address = "0x" + "12" * 20
    by = format_base64(OUTSIDE.sign(binding_of(OUTSIDE.key, address).encode()))
    anchor = AnchorKey(address, by, "0x" + "03" * 65)
    stolen = (Compromise(key("risk-b").key.label, 9),)
    requirements = (
        Requirement("evaluation", 1, ("validation",), (("auc", "0.75"),)),
        Requirement("approval", 2, RISK),
    )
    return TrustPolicy(
        name="Bank credit",
        version=2,
        previous="0a" * 32,
        expires="2030-01-01T00:00:00Z",
        log=LogIdentity(ORIGIN, LOG.key, "Bank"),
        witnesses=(
            Witness("own", key("own", Algorithm.COSIGNATURE_ED25519).key, "Bank"),
            Witness("auditor", OUTSIDE.key, "Auditor", anchor, "https://w.example", QUANTUM.key),
        ),
        quorum=1,
        principals=(
            Principal("validation", "Bank", (key("validation").key,), may=_may("evaluation *")),
            *(
                Principal(name, "Bank", (key(name).key,), may=_may("* *"), compromised=void)
                for name, void in (("risk-a", ()), ("risk-b", stolen))
            ),
        ),
        stages=(Stage("production", Mode.ENFORCE, ("skops",), requirements),),
        data=DataRules(
            Mode.WARN, ("credit-scoring",), (Requirement("dataset", 1, RISK),), consent_from=RISK
        ),
        succession=Succession(2, RISK),
        chain=ChainRules(
            id=1337, contract="0x" + "c0" * 20, code_hash="cd" * 32, slot=5, log="10" * 32,
            threshold=1, operators=("Auditor",), finality=Finality.IMMEDIATE,
            validators=("0x" + "34" * 20,), blocks=("56" * 32,),
        ),
        retention=(RetentionRule("Regulation B", 25),),
        predecessors=(Predecessor("0a" * 32, 3),),
    )  # fmt: skip


def _may(*said: str) -> tuple[Permission, ...]:
    return tuple(Permission(*one.split(" ")) for one in said)


@cache
def streams() -> dict[str, Any]:
    """The vectors of docs/reference/streams.md, as `tests/golden` makes them."""
    return json.loads((ROOT / "docs" / "reference" / "stream-vectors.json").read_bytes())


def letter(name: str) -> bytes:
    """An evidence file that `tests/golden/evidence` made."""
    return (GOLDEN / "evidence" / name).read_bytes()


def sharded(name: str) -> bytes:
    """What `tests/golden/sharded` made: evidence of several shards, or the policy for it."""
    return (GOLDEN / "sharded" / name).read_bytes()


def stamped(name: str) -> bytes:
    """What `tests/golden/stamped` made: evidence with time-stamps, or the policy for them."""
    return (GOLDEN / "stamped" / name).read_bytes()


def made_by_others(pattern: str) -> tuple[bytes, ...]:
    """Files of the folder of vectors, if there is one; the small ones, and not too many."""
    folder = os.environ.get("COUNTERFOIL_VECTORS")
    found = sorted(Path(folder).glob(pattern)) if folder else []
    return tuple(one.read_bytes() for one in found if one.is_file() and one.stat().st_size < 8192)[
        :20
    ]
