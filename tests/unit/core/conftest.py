from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from counterfoil.core.envelope import sign_envelope
from counterfoil.core.keys import Algorithm, PrivateKey
from counterfoil.core.policy import Succession, TrustPolicy
from counterfoil.core.principals import Permission, Principal
from counterfoil.core.quorum import LogIdentity, Witness
from counterfoil.core.requirements import DataRules, Mode, Requirement, Stage
from counterfoil.core.statement import Statement, Subject, format_statement, predicate_type
from counterfoil.core.testimony import hear

RISK = ("risk-a", "risk-b", "risk-c")


@dataclass
class Bank:
    """A bank with a policy, everybody's keys, and statements made in their names."""

    signers: dict[str, PrivateKey] = field(default_factory=dict)

    def key(self, name: str, algorithm: Algorithm = Algorithm.ED25519) -> PrivateKey:
        if name not in self.signers:
            seed = sha256(name.encode()).digest()
            private = (
                MLDSA44PrivateKey.from_seed_bytes(seed)
                if algorithm is Algorithm.COSIGNATURE_ML_DSA_44
                else Ed25519PrivateKey.from_private_bytes(seed)
            )
            self.signers[name] = PrivateKey.from_private(name, algorithm, private)
        return self.signers[name]

    def principal(self, name: str, *may: str) -> Principal:
        permissions = tuple(Permission(*one.split(" ")) for one in may)
        return Principal(name, "Northbank", (self.key(name).key,), may=permissions)

    def witness(self, name: str, operator: str) -> Witness:
        return Witness(name, self.key(name, Algorithm.COSIGNATURE_ED25519).key, operator)

    def policy(self) -> TrustPolicy:
        return TrustPolicy(
            name="Northbank credit",
            version=1,
            expires="2030-01-01T00:00:00Z",
            log=LogIdentity("bank.example/log", self.key("bank.example/log").key, "Northbank"),
            witnesses=(self.witness("own", "Northbank"), self.witness("auditor", "Auditor LLP")),
            quorum=1,
            principals=(
                self.principal("data-office", "dataset *", "consent *", "revocation *"),
                self.principal("validation", "evaluation *"),
                self.principal("risk-a", "approval credit*", "revocation credit*"),
                self.principal("risk-b", "approval credit*"),
                self.principal("risk-c", "approval credit*"),
                self.principal("marketing", "approval marketing*", "revocation marketing*"),
            ),
            stages=(
                Stage(
                    "production",
                    Mode.ENFORCE,
                    ("skops",),
                    (
                        Requirement("evaluation", 1, ("validation",), (("auc", "0.75"),)),
                        Requirement("approval", 2, RISK),
                    ),
                ),
            ),
            data=DataRules(
                Mode.ENFORCE,
                ("credit-scoring",),
                (Requirement("dataset", 1, ("data-office",)),),
                consent_from=("data-office",),
            ),
            succession=Succession(2, RISK),
        )

    def model(self, name: str = "credit", content: bytes = b"model") -> Subject:
        return Subject(name, {"sha256": sha256(content).hexdigest()})

    def statement(self, predicate: str, body: dict, subject: Subject | None = None) -> Statement:
        return Statement((subject or self.model(),), predicate_type(predicate), body)

    def says(self, names: str, predicate: str, body: dict, subject: Subject | None = None):
        if predicate == "approval":
            body = {"stage": "production", "decision": "approve", "comment": ""} | body
        payload = format_statement(self.statement(predicate, body, subject))
        return sign_envelope(payload, *(self.key(name) for name in names.split()))

    def hear(self, *envelopes, policy: TrustPolicy | None = None):
        return [hear(policy or self.policy(), one, index) for index, one in enumerate(envelopes)]


@pytest.fixture(scope="session")
def bank() -> Bank:
    return Bank()
