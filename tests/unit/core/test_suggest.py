from __future__ import annotations

from dataclasses import replace

import pytest

from counterfoil.core.instant import parse_instant
from counterfoil.core.judgement import evaluate_data, evaluate_stage
from counterfoil.core.policy import format_policy, parse_policy
from counterfoil.core.requirements import Mode
from counterfoil.core.suggest import Observed, suggest_policy
from counterfoil.errors import FormatError

NOW = parse_instant("2026-11-22T00:00:00Z", "now")


def test_a_suggestion_lets_through_what_was_observed(bank):
    """What happened under observation passes under enforcement, and the file reads back."""
    seen = [
        Observed("dataset", "applicants", "data-office"),
        Observed("evaluation", "credit", "validation"),
        Observed("approval", "credit", "risk-a"),
        Observed("approval", "credit", bank.key("risk-b").key.label),
        Observed("approval", "other", "risk-a"),
        Observed("approval", "other", "risk-c"),
    ]
    policy = suggest_policy(bank.policy(), seen, purposes=("credit-scoring",))
    assert policy.stages[0].requirements[1].threshold == 2
    lonely = suggest_policy(bank.policy(), [*seen, Observed("approval", "third", "risk-c")])
    assert lonely.stages[0].requirements[1].threshold == 1
    assert parse_policy(format_policy(policy)) == policy
    assert (policy.version, policy.previous) == (2, bank.policy().digest.hex())
    said = bank.hear(
        bank.says("validation", "evaluation", {}),
        bank.says("risk-a risk-b", "approval", {}),
        bank.says(
            "data-office",
            "dataset",
            {"purposes": ["credit-scoring"], "personal": False},
            bank.model("applicants"),
        ),
        policy=policy,
    )
    stage = evaluate_stage(policy, "production", bank.model(), said, model_format="skops", now=NOW)
    data = evaluate_data(policy, "credit-scoring", bank.model("applicants"), said, now=NOW)
    assert (stage.mode, stage.reasons, data.reasons) == (Mode.ENFORCE, (), ())


def test_a_suggestion_allows_nothing_wider(bank):
    """Each principal may say what it said about what it spoke of; strangers get nothing."""
    seen = [Observed("approval", "credit", "risk-a"), Observed("approval", "credit", "stranger")]
    policy = suggest_policy(bank.policy(), seen)
    assert {one.name: one.may for one in policy.principals if one.may}.keys() == {"risk-a"}
    (stage,) = policy.stages
    assert [(one.predicate, one.threshold, one.among) for one in stage.requirements] == [
        ("approval", 1, ("risk-a",))
    ]
    with pytest.raises(FormatError, match="has a \\*"):
        suggest_policy(bank.policy(), [Observed("approval", "*", "risk-a")])


def test_whoever_may_approve_may_revoke(bank):
    """A draft lets in what somebody could put out: approvers and the data office may revoke."""
    seen = [
        Observed("approval", "credit", "risk-a"),
        Observed("evaluation", "credit", "validation"),
        Observed("dataset", "applicants", "data-office"),
    ]
    policy = suggest_policy(bank.policy(), seen)
    revocations = {
        one.name: [it.subject for it in one.may if it.predicate == "revocation"]
        for one in policy.principals
        if one.may
    }
    assert revocations == {"data-office": ["applicants"], "validation": [], "risk-a": ["credit"]}
    revoked = bank.hear(bank.says("risk-a", "revocation", {}), policy=policy)
    judged = evaluate_stage(
        policy, "production", bank.model(), revoked, model_format="skops", now=NOW
    )
    assert judged.reasons[0].startswith("revoked at index 0")


def test_nothing_observed_suggests_nothing_allowed(bank):
    """An empty log asks for what was asked before; where nothing was, nothing gets in."""
    asked = suggest_policy(bank.policy(), []).stages[0].requirements
    assert asked == bank.policy().stages[0].requirements
    policy = suggest_policy(replace(bank.policy(), data=None, stages=()), [])
    assert policy.stages[0].requirements == ()
    assert policy.data is None
