"""counterfoil: the trust layer under your AI.

    ledger = counterfoil.init("./ledger")              keys, a local witness, a policy that observes
    data   = ledger.data.add(df, name="applicants")
    model  = ledger.models.add(clf, name="credit", trained_on=data)
    batch  = model.decide(X)                           batch.output is the plain array
    batch[17].evidence().save("17.html")               a letter a person can read, and the proof
    counterfoil.verify("17.html")

Names are loaded when first used, so importing this costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from counterfoil.lazy import offer

if TYPE_CHECKING:
    from counterfoil import chain as chain
    from counterfoil.core.policy import TrustPolicy as TrustPolicy
    from counterfoil.core.retention import Hold as Hold
    from counterfoil.core.retention import RetentionRule as RetentionRule
    from counterfoil.data.datasets import Dataset as Dataset
    from counterfoil.decisions.decisions import Decision as Decision
    from counterfoil.decisions.decisions import DecisionBatch as DecisionBatch
    from counterfoil.errors import ConflictError as ConflictError
    from counterfoil.errors import CounterfoilError as CounterfoilError
    from counterfoil.errors import FormatError as FormatError
    from counterfoil.errors import PolicyError as PolicyError
    from counterfoil.errors import ProofError as ProofError
    from counterfoil.errors import RefusedError as RefusedError
    from counterfoil.errors import SignatureError as SignatureError
    from counterfoil.errors import SplitViewError as SplitViewError
    from counterfoil.errors import UnavailableError as UnavailableError
    from counterfoil.errors import VerificationError as VerificationError
    from counterfoil.evidence.anything import verify as verify
    from counterfoil.evidence.evidence import EvidenceFile as EvidenceFile
    from counterfoil.evidence.verdict import Verdict as Verdict
    from counterfoil.front import Ledger as Ledger
    from counterfoil.front import init as init
    from counterfoil.front import open_ledger
    from counterfoil.models.recourse import Action as Action
    from counterfoil.models.terms import Terms as Terms
    from counterfoil.models.version import Model as Model

    open = open_ledger  # noqa: A001 `counterfoil.open`, like `io.open`

__version__ = "0.1.0.dev0"

_HOMES = {
    "Action": ".models.recourse",
    "ConflictError": ".errors",
    "CounterfoilError": ".errors",
    "Dataset": ".data.datasets",
    "Decision": ".decisions.decisions",
    "DecisionBatch": ".decisions.decisions",
    "EvidenceFile": ".evidence.evidence",
    "FormatError": ".errors",
    "Hold": ".core.retention",
    "Ledger": ".front",
    "Model": ".models.version",
    "PolicyError": ".errors",
    "ProofError": ".errors",
    "RefusedError": ".errors",
    "RetentionRule": ".core.retention",
    "SignatureError": ".errors",
    "SplitViewError": ".errors",
    "Terms": ".models.terms",
    "TrustPolicy": ".core.policy",
    "UnavailableError": ".errors",
    "Verdict": ".evidence.verdict",
    "VerificationError": ".errors",
    "chain": ".chain:",
    "init": ".front",
    "open": ".front:open_ledger",
    "verify": ".evidence.anything",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604 every key is a string

if not TYPE_CHECKING:
    __getattr__, __dir__ = offer(__name__, _HOMES)
