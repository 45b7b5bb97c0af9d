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

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from counterfoil.core.policy import TrustPolicy as TrustPolicy
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
    from counterfoil.evidence.evidence import EvidenceFile as EvidenceFile
    from counterfoil.evidence.verdict import Verdict as Verdict
    from counterfoil.front import Ledger as Ledger
    from counterfoil.front import init as init
    from counterfoil.front import open_ledger as open  # noqa: A004 `counterfoil.open`, as in io.open
    from counterfoil.front import verify as verify
    from counterfoil.models.recourse import Action as Action
    from counterfoil.models.registry import Model as Model
    from counterfoil.models.terms import Terms as Terms

__version__ = "0.1.0.dev0"

_HOMES = {
    "Action": "models.recourse",
    "ConflictError": "errors",
    "CounterfoilError": "errors",
    "Dataset": "data.datasets",
    "Decision": "decisions.decisions",
    "DecisionBatch": "decisions.decisions",
    "EvidenceFile": "evidence.evidence",
    "FormatError": "errors",
    "Ledger": "front",
    "Model": "models.registry",
    "PolicyError": "errors",
    "ProofError": "errors",
    "RefusedError": "errors",
    "SignatureError": "errors",
    "SplitViewError": "errors",
    "Terms": "models.terms",
    "TrustPolicy": "core.policy",
    "UnavailableError": "errors",
    "Verdict": "evidence.verdict",
    "VerificationError": "errors",
    "init": "front",
    "open": "front",
    "verify": "front",
}

__all__ = [
    "Action",
    "ConflictError",
    "CounterfoilError",
    "Dataset",
    "Decision",
    "DecisionBatch",
    "EvidenceFile",
    "FormatError",
    "Ledger",
    "Model",
    "PolicyError",
    "ProofError",
    "RefusedError",
    "SignatureError",
    "SplitViewError",
    "Terms",
    "TrustPolicy",
    "UnavailableError",
    "Verdict",
    "VerificationError",
    "__version__",
    "init",
    "open",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'counterfoil' has no attribute {name!r}")
    module = importlib.import_module(f"counterfoil.{_HOMES[name]}")
    value: object = getattr(module, "open_ledger" if name == "open" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
